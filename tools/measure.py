"""Makes the figures of docs/measurements.md: `make measure`, or `python tools/measure.py NAME …` for some of them.

Each measurement leaves docs/measurements/NAME.json with its command, date and conditions; the page is written from
those files and from nothing else. Walks need root or a user namespace, and a machine that is otherwise idle.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
KEPT = ROOT / "docs" / "measurements"
PAGE = ROOT / "docs" / "measurements.md"
ROUNDS = 15  # walks: 30 moves, 15 from WLAN to 3G and 15 back
SOAK = 7200  # seconds

WALKS: dict[str, dict[str, Any]] = {
    "hard-tls-6": {"signalling": "tls", "family": 6},
    "hard-udp-6": {"signalling": "udp", "family": 6},
    "hard-tls-4": {"signalling": "tls", "family": 4},
    "hard-udp-4": {"signalling": "udp", "family": 4},
    "soft-tls-6": {"mode": "soft", "signalling": "tls", "family": 6},
    "hard-tls-6-street": {"signalling": "tls", "family": 6, "links": "street"},
    "soft-tls-6-street": {"mode": "soft", "signalling": "tls", "family": 6, "links": "street"},
    "challenged": {"rounds": 1, "challenge": True},
    "wrap": {"scenario": "two-subnets", "initial_sequence": 65_000},
}
BENCHMARKS: dict[str, list[str]] = {
    "media-path": ["benchmarks/media_path.py"],
    "srtp-packets": ["benchmarks/srtp_packets.py"],
    "call-cpu": ["benchmarks/call_cpu.py"],
    "registrar": ["benchmarks/registrar.py"],
    "udp-loopback": ["benchmarks/udp_loopback.py"],
    "tls-handshakes": ["benchmarks/tls_handshakes.py"],
}


def conditions() -> dict[str, Any]:
    model = "unknown"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    return {
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "cpu": f"{os.cpu_count()} × {model}",
        "kernel": platform.release(),
        "python": platform.python_version(),
        "load_before": os.getloadavg()[0],
    }


def keep(name: str, command: str, about: dict[str, Any], figures: dict[str, Any]) -> None:
    KEPT.mkdir(parents=True, exist_ok=True)
    kept = {"name": name, "command": command, **about, **figures}
    (KEPT / f"{name}.json").write_text(json.dumps(kept, indent=1) + "\n")


def measure_walk(name: str) -> None:
    options = {"scenario": "walk", "rounds": ROUNDS} | WALKS[name]
    scenario = options.pop("scenario")
    flags = [
        f"--{key}" if value is True else f"--{key.replace('_', '-')}={value}"
        for key, value in options.items()
    ]
    about = conditions()
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "result.json"
        command = ["-m", "segue", "lab", "run", scenario, *flags, f"--json={result}"]
        subprocess.run([sys.executable, *command], cwd=ROOT, check=True)
        figures = json.loads(result.read_text())
    for gone in ("topology", "options"):
        figures.pop(gone, None)
    keep(name, f"segue lab run {scenario} {' '.join(flags)}", about, {"result": figures})


def measure_benchmark(name: str) -> None:
    about = conditions()
    command = BENCHMARKS[name]
    done = subprocess.run([sys.executable, *command], cwd=ROOT, check=True, capture_output=True, text=True)
    keep(name, f"python {' '.join(command)}", about, {"output": done.stdout})


def measure_soak(seconds: int = SOAK) -> None:
    about = conditions()
    command = ["benchmarks/soak.py", str(seconds), "measurements/soak"]
    done = subprocess.run([sys.executable, *command], cwd=ROOT, check=True, capture_output=True, text=True)
    keep("soak", f"python {' '.join(command)}", about, {"output": done.stdout})


# The page


def render() -> None:
    text = (ROOT / "tools" / "measurements_head.md").read_text()
    for name in WALKS:
        if (kept := _load(name)) is not None:
            text += _walk_section(kept)
    for name in (*BENCHMARKS, "soak"):
        if (kept := _load(name)) is not None:
            text += f"## {name}\n\n{_about(kept)}\n\n```\n{kept['output'].rstrip()}\n```\n\n"
    PAGE.write_text(text.rstrip() + "\n")
    print(f"wrote {PAGE.relative_to(ROOT)}")


def _load(name: str) -> dict[str, Any] | None:
    path = KEPT / f"{name}.json"
    return json.loads(path.read_text()) if path.exists() else None


def _about(kept: dict[str, Any]) -> str:
    return (
        f"`{kept['command']}` — {kept['date']}, {kept['cpu']}, Linux {kept['kernel']}, "
        f"Python {kept['python']}, load {kept['load_before']:.1f} before."
    )


def _walk_section(kept: dict[str, Any]) -> str:
    result = kept["result"]
    lines = [f"## {kept['name']}", "", _about(kept), ""]
    security, setup = result["security"], result["setup_ms"]
    lines.append(
        f"{result['codec']}, {result['suite'] or 'in the clear'}; post-dial {setup['post_dial']:.0f} ms"
        f"{' (challenged)' if setup['challenged'] else ''}; of {security['media_packets']} media packets "
        f"{security['clear_rtp_packets']} in the clear; keys changed: {_yes(security['keys_changed'])}; "
        f"lost {result['summary']['lost']}; unheard {_number(result['summary']['unheard_ms'])} ms; "
        f"worst p99 of a link's delay error {_p99(result):.2f} ms."
    )
    lines += _attacks(security["attacks"])
    lines += [
        "",
        "| move | n | address | uplink gap | reach | downlink gap | reach | lost up / down | unheard up / down |",
    ]
    lines.append("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    for label, moves in _groups(result["moves"]):
        lines.append(_row(label, moves, result))
    return "\n".join(lines) + "\n\n"


def _attacks(attacks: list[dict[str, Any]]) -> list[str]:
    """What was tried on the walk, and on calls and phones without the defence."""
    if not attacks:
        return []
    heads = ["", "| tried | accepted of tried | without the defence |", "| --- | ---: | ---: |"]
    rows = [
        f"| {a['kind'].replace('_', ' ')} | {a['accepted']} of {a['tried']} "
        f"| {a['control_accepted']} of {a['control_tried']} |"
        for a in attacks
    ]
    return [*heads, *rows]


def _groups(moves: list[dict[str, Any]]) -> Iterable[tuple[str, list[dict[str, Any]]]]:
    to_cellular = [move for move in moves if move["to"] == "umts"]
    from_cellular = [move for move in moves if move["from"] == "umts"]
    others = [move for move in moves if "umts" not in (move["from"], move["to"])]
    named = (("WLAN → 3G", to_cellular), ("3G → WLAN", from_cellular), ("WLAN → WLAN", others))
    return [(label, group) for label, group in named if group]


def _row(label: str, moves: list[dict[str, Any]], result: dict[str, Any]) -> str:
    cells = [label, str(len(moves)), _median(m["phase_ms"]["address"] for m in moves)]
    for side in ("uplink", "downlink"):
        cells.append(_median_and_worst(m[side]["gap_ms"] for m in moves))
        cells.append(_median(reach(m, side, result["signalling"]) for m in moves))
    for what in ("lost", "unheard_ms"):
        sides = [[m[side][what] for m in moves] for side in ("uplink", "downlink")]
        cells.append(
            " / ".join(map(_median, sides)) + f" (worst {_number(max(max(each) for each in sides))})"
        )
    return "| " + " | ".join(cells) + " |"


ONE_WAY = {"umts": 40.0, "office": 5.0, "cafe": 5.0, "a": 5.0, "b": 5.0}  # ms, access links
CORE, HOME = 10.0, 5.0


def reach(move: dict[str, Any], side: str, signalling: str) -> float:
    """What the gap is to stay under, ms: each term is measured or is the emulated links' delay."""
    if move["kind"] == "soft":
        return float(move[side]["step_ms"]) + 20
    begun = move["phase_ms"]["link"] + move["phase_ms"]["address"]
    if side == "uplink":
        return float(begun + move[side]["step_ms"] + 40)
    to_proxy = ONE_WAY[move["to"]] + CORE
    connecting = {"tls": 2, "tcp": 1, "udp": 0}[signalling] * 2 * to_proxy
    told = to_proxy + CORE + HOME + float(move[side]["owd_new_ms"])
    return float(begun + told + 60 + connecting)


def _median(values: Iterable[float | None]) -> str:
    known = [value for value in values if value is not None]
    return f"{statistics.median(known):.0f}" if known else "-"


def _median_and_worst(values: Iterable[float]) -> str:
    known = list(values)
    return f"{statistics.median(known):.0f} (worst {max(known):.0f})"


def _p99(result: dict[str, Any]) -> float:
    return max((link.get("p99_error_ms") or 0.0 for link in result["links"]), default=0.0)


def _yes(value: bool | None) -> str:
    return "there are none" if value is None else "yes" if value else "no"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f}"


def main() -> int:
    everything: dict[str, Callable[[], None]] = {
        **{name: lambda name=name: measure_walk(name) for name in WALKS},
        **{name: lambda name=name: measure_benchmark(name) for name in BENCHMARKS},
        "soak": measure_soak,
    }
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"of {', '.join(everything)}; all by default"
    )
    parser.add_argument("--render", action="store_true", help="only write the page from what was kept")
    arguments = parser.parse_args()
    unknown = [name for name in arguments.names if name not in everything]
    if unknown:
        parser.error(f"no measurement {unknown[0]!r}: {', '.join(everything)}")
    for name in [] if arguments.render else arguments.names or everything:
        began = time.monotonic()
        print(f"{name} …", flush=True)
        everything[name]()
        print(f"{name}: {time.monotonic() - began:.0f} s", flush=True)
    render()
    return 0


if __name__ == "__main__":
    sys.exit(main())
