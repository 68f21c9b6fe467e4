"""The walks of `tools/measure.py`, what each figure of theirs is to reach, and their part of the page."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Iterator
from typing import Any

ROUNDS = 15  # walks: 30 moves, 15 from WLAN to 3G and 15 back
HOPS = 30  # moves to and fro, or rebindings
LONG = 185  # moves of a call of 25 minutes
QUIET = {"attacks": 0}  # walks on which nobody attacks: the others have that
CONTROLLED = {"caller": "cn"}  # the mover answers, so that the other end nominates

_REINVITE = {"mode": "reinvite"}
_MIGRATE = {"mode": "migrate"}
_SOFT = {"mode": "soft+duplicate", "overlap": 500}
_COMPLETE = {"mode": "migrate", "speech": "complete", "link_time": 400, **QUIET}
_BOTH = {"scenario": "both-move", "rounds": HOPS, **QUIET}
_REBIND = {"scenario": "nat-rebind", "mode": "migrate", "rounds": HOPS, **QUIET}
_TO_AND_FRO = {"scenario": "two-subnets", "mode": "migrate"}

WALKS: dict[str, dict[str, Any]] = {
    # By re-INVITE alone, as with phones that know no better.
    "hard-tls-6": {**_REINVITE, "signalling": "tls", "family": 6},
    "hard-udp-6": {**_REINVITE, "signalling": "udp", "family": 6},
    "hard-tls-4": {**_REINVITE, "signalling": "tls", "family": 4},
    "hard-udp-4": {**_REINVITE, "signalling": "udp", "family": 4},
    "soft-tls-6": {"mode": "soft", "signalling": "tls", "family": 6},
    "hard-tls-6-street": {**_REINVITE, "signalling": "tls", "family": 6, "links": "street"},
    "soft-tls-6-street": {"mode": "soft", "signalling": "tls", "family": 6, "links": "street"},
    "challenged": {**_REINVITE, "rounds": 1, "challenge": True},
    # Hard moves without signalling, in both roles.
    "migrate-controlling": _MIGRATE,
    "migrate-controlled": {**_MIGRATE, **CONTROLLED},
    "migrate-controlling-street": {**_MIGRATE, "links": "street", **QUIET},
    "migrate-controlled-street": {**_MIGRATE, **CONTROLLED, "links": "street", **QUIET},
    "migrate-controlling-4": {**_MIGRATE, "family": 4, **QUIET},
    # The other end behind a NAT that lets no new source in, and the mover behind one too.
    **{
        f"migrate-cn-nat-{signalling}": {**_MIGRATE, "nat": "cn:port-restricted", "signalling": signalling, **QUIET}
        for signalling in ("tls", "tcp", "udp")
    },
    "migrate-cn-nat-controlled": {**_MIGRATE, **CONTROLLED, "nat": "cn:port-restricted", **QUIET},
    "migrate-cn-full-cone": {**_MIGRATE, "nat": "cn:full-cone", **QUIET},
    "migrate-both-nat": {**_MIGRATE, "nat": "both:port-restricted", **QUIET},
    # Two radios.
    "soft-duplicate-controlling": _SOFT,
    "soft-duplicate-controlled": {**_SOFT, **CONTROLLED, **QUIET},
    "soft-duplicate-street": {**_SOFT, "links": "street", **QUIET},
    # Every word.
    "complete-controlling": _COMPLETE,
    "complete-controlled": {**_COMPLETE, **CONTROLLED},
    "complete-street": {**_COMPLETE, "links": "street"},
    # Both ends, and a NAT that forgets.
    "both-move-hard": {**_BOTH, **_MIGRATE},
    "both-move-soft": {**_BOTH, **_SOFT},
    "both-move-reinvite": {**_BOTH, **_REINVITE},
    **{
        f"nat-rebind-{kind}": {**_REBIND, "nat": f"mn:{kind}"}
        for kind in ("full-cone", "address-restricted", "port-restricted", "symmetric")
    },
    "nat-rebind-controlled": {**_REBIND, **CONTROLLED},
    # Keys over moves and the wrap of the sequence numbers, by suite; and a call of 25 minutes.
    **{
        f"wrap-{suite.lower().replace('_', '-')}": {
            **_TO_AND_FRO, "suite": suite, "initial_sequence": 65_000, "rounds": 4, **QUIET,
        }
        for suite in (
            "AEAD_AES_256_GCM", "AEAD_AES_128_GCM", "AES_256_CM_HMAC_SHA1_80", "AES_CM_128_HMAC_SHA1_80",
        )
    },
    "wrap": {**_TO_AND_FRO, **_REINVITE, "initial_sequence": 65_000},
    "long-call": {**_TO_AND_FRO, "initial_sequence": 65_000, "rounds": LONG, **QUIET},
}  # fmt: skip

ONE_WAY = {
    "umts": 40.0,
    "office": 5.0,
    "cafe": 5.0,
    "a": 5.0,
    "b": 5.0,
    "home": 5.0,
    "hotel": 5.0,
}  # ms, access
CORE, STAYS = 10.0, 5.0  # ms one way: the core, the access of the end that stays


def options_of(name: str) -> dict[str, Any]:
    """Of `segue lab run`, with the scenario."""
    return {"scenario": "walk", "rounds": ROUNDS} | WALKS[name]


def reach(move: dict[str, Any], side: str, result: dict[str, Any]) -> float | None:
    """What the gap is to stay under, ms: each term is measured, or is the emulated links' delay. None for what has no
    such figure: both ends moving, and NATs that forget."""
    if result["scenario"] in ("both-move", "nat-rebind"):
        return None
    step = float(move[side]["step_ms"])
    mode = result["mode"]
    if move["kind"] == "soft":
        return step + (10 if mode == "soft+duplicate" else 20)
    begun = float(move["phase_ms"]["link"] + (move["phase_ms"]["address"] or 0.0))
    leaves = (side == "uplink") == (move["mover"] == "mn")
    if leaves:
        return begun + step + (20 if mode == "migrate" else 40)
    restricted = _restricted(result, "cn" if move["mover"] == "mn" else "mn")
    if mode == "migrate" and not restricted:
        return float(begun + move["direct_rtt_ms"] + 25)
    to_proxy = ONE_WAY[move["to"]] + CORE
    connecting = {"tls": 2, "tcp": 1, "udp": 0}[result["signalling"]] * 2 * to_proxy
    told = to_proxy + CORE + STAYS + float(move[side]["owd_new_ms"] or 0.0)
    own_nat = 2 * to_proxy if mode == "migrate" and _kind(result, move["mover"]) else 0.0
    return begun + connecting + told + own_nat + (40 if mode == "migrate" else 60)


def _kind(result: dict[str, Any], host: str) -> str:
    """Of the NAT there, "" for none."""
    for word in filter(None, str(result.get("nat", "")).split(",")):
        where, _, kind = word.partition(":")
        if where in (host, "both"):
            return kind
    return ""


def _restricted(result: dict[str, Any], host: str) -> bool:
    return _kind(result, host) not in ("", "full-cone")


# The page


def section(kept: dict[str, Any], about: str) -> str:
    """A heading, what was run, and a row for each direction of the walk."""
    result = kept["result"]
    security, setup = result["security"], result["setup_ms"]
    lines = [f"## {kept['name']}", "", about, ""]
    lines.append(
        f"{result['codec']}, {result['suite'] or 'in the clear'}; post-dial {number(setup['post_dial'])} ms"
        f"{' (challenged)' if setup['challenged'] else ''}; of {security['media_packets']} media packets "
        f"{security['clear_rtp_packets']} in the clear; keys changed: {_yes(security['keys_changed'])}; "
        f"lost {result['summary']['lost']}; unheard {number(result['summary']['unheard_ms'])} ms; repeated "
        f"{number(result['summary'].get('repeated_ms'))} ms; "
        f"worst p99 of a link's delay error {_p99(result):.2f} ms."
    )
    lines += _attacks(security["attacks"])
    heads = ("move", "n", "role", "address (seen before)", "uplink gap", "reach", "downlink gap", "reach")
    lines += ["", f"| {' | '.join((*heads, 'lost up / down', 'unheard up / down'))} |"]
    lines.append("| --- | ---: | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    groups = list(_groups(result["moves"]))
    lines += [_row(label, moves, result) for label, moves in groups]
    lines += _more(groups, result)
    return "\n".join(lines) + "\n\n"


def _row(label: str, moves: list[dict[str, Any]], result: dict[str, Any]) -> str:
    roles = sorted({move["role"] or "-" for move in moves})
    cells = [label, str(len(moves)), ", ".join(roles), _addresses(moves, result["moves"])]
    for side in ("uplink", "downlink"):
        cells.append(spread(m[side]["gap_ms"] for m in moves))
        cells.append(median(reach(m, side, result) for m in moves))
    for what in ("lost", "unheard_ms"):
        sides = [[m[side][what] for m in moves] for side in ("uplink", "downlink")]
        cells.append(" / ".join(map(median, sides)) + f" (worst {number(max(max(each) for each in sides))})")
    return "| " + " | ".join(cells) + " |"


def _addresses(moves: list[dict[str, Any]], everything: list[dict[str, Any]]) -> str:
    """All, and those of networks that this host had been in before."""
    been: set[tuple[str, str]] = set()
    seen = []
    for move in everything:
        been.add((move["mover"], move["from"]))
        if move in moves and (move["mover"], move["to"]) in been:
            seen.append(move["phase_ms"]["address"])
        been.add((move["mover"], move["to"]))
    return f"{median(m['phase_ms']['address'] for m in moves)} ({median(seen)})"


def _more(groups: list[tuple[str, list[dict[str, Any]]]], result: dict[str, Any]) -> list[str]:
    """What only some of the walks have figures of, in a row for each direction of media."""
    complete = result.get("speech") == "complete"
    heads = ["move", "media", "session", "re-INVITE to 200", "recovered", "copies", "octets sent again"]
    heads += ["inserted silence", "catch-up", "normal after"] if complete else []
    lines = ["", f"| {' | '.join(heads)} |", f"| --- | --- |{' ---: |' * (len(heads) - 2)}"]
    for label, moves in groups:
        for side in ("uplink", "downlink"):
            sides = [move[side] for move in moves]
            cells = [label, side, spread(m["phase_ms"]["session"] for m in moves)]
            cells.append(spread(m["signalling_ms"] for m in moves))
            cells += [spread(s.get(key) for s in sides) for key in ("recovered", "duplicates", "extra_bytes")]
            if complete:
                cells.append(spread(s.get("inserted_silence_ms") for s in sides))
                cells.append(hundredths(s.get("catch_up_speed") for s in sides))
                cells.append(spread(s.get("normal_after_ms") for s in sides))
            lines.append("| " + " | ".join(cells) + " |")
    probes = [move.get("direct_rtt_probe_ms") for _, moves in groups for move in moves]
    if any(probe is not None for probe in probes):
        told = [
            move["direct_rtt_ms"] for _, moves in groups for move in moves if move.get("direct_rtt_probe_ms")
        ]
        off = [abs(probe - told_) for probe, told_ in zip(filter(None, probes), told, strict=True)]
        lines += [
            "",
            f"Echo requests found the direct round trip within {max(off):.1f} ms of the links' delays.",
        ]
    return lines


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


def _groups(moves: list[dict[str, Any]]) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """By direction of the walk, and by who moves."""
    named = (
        ("WLAN → 3G", [m for m in moves if m["to"] == "umts"]),
        ("3G → WLAN", [m for m in moves if m["from"] == "umts"]),
        ("NAT forgets", [m for m in moves if m["kind"] == "rebind"]),
        ("WLAN → WLAN", [m for m in moves if "umts" not in (m["from"], m["to"]) and m["kind"] != "rebind"]),
    )
    for label, group in named:
        for mover in ("mn", "cn"):
            own = [move for move in group if move["mover"] == mover]
            if own:
                yield (label if mover == "mn" else f"{label} (cn)"), own


def median(values: Iterable[float | None]) -> str:
    known = [value for value in values if value is not None]
    return f"{statistics.median(known):.0f}" if known else "-"


def spread(values: Iterable[float | None]) -> str:
    """Median, 95th percentile and worst."""
    known = sorted(value for value in values if value is not None)
    if not known:
        return "-"
    at95 = known[min(len(known) - 1, round(0.95 * (len(known) - 1)))]
    return f"{statistics.median(known):.0f} (p95 {at95:.0f}, worst {known[-1]:.0f})"


def hundredths(values: Iterable[float | None]) -> str:
    known = [value for value in values if value is not None]
    return f"{statistics.median(known):.2f} (most {max(known):.2f})" if known else "-"


def number(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f}"


def _p99(result: dict[str, Any]) -> float:
    return max((link.get("p99_error_ms") or 0.0 for link in result["links"]), default=0.0)


def _yes(value: bool | None) -> str:
    return "there are none" if value is None else "yes" if value else "no"
