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
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from measured_walks import WALKS, options_of, section

ROOT = Path(__file__).resolve().parent.parent
KEPT = ROOT / "docs" / "measurements"
PAGE = ROOT / "docs" / "measurements.md"
SOAK = 7200  # seconds

BENCHMARKS: dict[str, list[str]] = {
    "media-path": ["benchmarks/media_path.py"],
    "ice-path": ["benchmarks/ice_path.py"],
    "srtp-packets": ["benchmarks/srtp_packets.py"],
    "stun-checks": ["benchmarks/stun_checks.py"],
    "relayed-packets": ["benchmarks/relayed_packets.py"],
    "pesq-moves": ["benchmarks/pesq_moves.py"],
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
    options = options_of(name)
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
            text += section(kept, _about(kept))
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
