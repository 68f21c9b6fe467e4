"""What a run left in its folder, read for the report. Nothing is made up: what is missing or broken is listed.

result.json     figures of the run            phones/mn.jsonl, phones/cn.jsonl  events of each phone
links.jsonl     attached and detached         signals.jsonl   position, and dBm of each WLAN
series.json     every packet, both ways       attacks.jsonl   what the attackers tried
mn.wav, cn.wav  what each phone played        captures/*.pcapng
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, TypeGuard

from segue.base.errors import LocalError

Record = dict[str, Any]

_PACKET_TIME = 0.02  # seconds
_LONGEST_HOLE = 5000  # packets that may be missing in one place
_NEAR = 6.0  # seconds between what the result says and what the log of the links says


class Arrival(NamedTuple):
    """One media packet's first copy. `time` is Unix time in seconds: of the arrival, or of when it was due."""

    time: float
    delay_ms: float
    place: str  # "" when lost
    sequence: int

    @property
    def lost(self) -> bool:
        return not self.place


class Attachment(NamedTuple):
    """An interface of a host on an access network; `end` is infinite while it lasts."""

    host: str
    interface: str
    network: str
    begin: float
    end: float


class Moment(NamedTuple):
    """A move on the wall clock: from the earlier of detach and new attach (`begin`) to the later (`end`)."""

    number: int
    begin: float
    end: float
    record: Record


@dataclass
class RunFolder:
    """Everything known about a run. Times are Unix seconds; `zero` is where `at_s` of the result counts from."""

    folder: Path
    result: Record
    phones: dict[str, list[Record]] = field(default_factory=dict)
    links: list[Record] = field(default_factory=list)
    signals: list[Record] = field(default_factory=list)
    attacks: list[Record] = field(default_factory=list)
    series: dict[str, list[Arrival]] = field(default_factory=dict)
    captures: list[Path] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    attachments: list[Attachment] = field(default_factory=list)
    moments: list[Moment] = field(default_factory=list)
    zero: float = 0.0
    end: float = 0.0

    def records(self, *path: str) -> list[Record]:
        """The objects of a list of the result, [] when it is not there."""
        value: Any = self.result
        for key in path:
            value = value.get(key) if isinstance(value, dict) else None
        return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []

    def part(self, key: str) -> Record:
        value = self.result.get(key)
        return value if isinstance(value, dict) else {}

    def network_of(self, place: str, at: float) -> str:
        """The access network behind an interface ("mn wlan0") at a time; the interface when not known."""
        host, _, interface = place.partition(" ")
        for one in self.attachments:
            if one.host == host and one.interface == interface and one.begin <= at < one.end + 0.15:
                return one.network
        return interface or host

    def networks(self) -> list[str]:
        """Of the mobile node, in the order of their first use."""
        names = [a.network for a in self.attachments if a.host == "mn"]
        names += [str(m.record.get(key)) for m in self.moments for key in ("from", "to") if m.record.get(key)]
        return list(dict.fromkeys(names))

    def up(self, host: str) -> float | None:
        return next((float(e["time"]) for e in self.phones.get(host, []) if e["event"] == "up"), None)


def read_run(folder: Path) -> RunFolder:
    """Raises LocalError when there is no readable result.json; all else may be missing, and is then listed."""
    try:
        result = json.loads((folder / "result.json").read_text())
    except (OSError, ValueError) as error:
        raise LocalError(f"no result of a run in {folder}: {error}", "give the folder of --report") from None
    if not isinstance(result, dict):
        raise LocalError(f"{folder}/result.json is no result of a run", "give the folder of --report")
    run = RunFolder(folder, result)
    for host in ("mn", "cn"):
        events = _lines(run, f"phones/{host}.jsonl", f"events of the phone {host}")
        run.phones[host] = [e for e in events if is_number(e.get("time")) and isinstance(e.get("event"), str)]
    run.links = _lines(run, "links.jsonl", "log of the link process (attached, detached)")
    run.signals = [s for s in _lines(run, "signals.jsonl", "radio signals") if is_number(s.get("time"))]
    run.attacks = _lines(run, "attacks.jsonl", "log of the attacks", optional=True)
    _read_series(run)
    run.captures = sorted((folder / "captures").glob("*.pcapng"))
    if not run.captures:
        run.missing.append("captures/*.pcapng: packet captures")
    run.attachments = _attachments(run.links)
    _place_in_time(run)
    return run


def is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _lines(run: RunFolder, name: str, what: str, optional: bool = False) -> list[Record]:
    path = run.folder / name
    if not path.exists():
        if not optional:
            run.missing.append(f"{name}: {what}")
        return []
    records, broken = [], 0
    for line in path.read_text(errors="replace").splitlines():
        try:
            record = json.loads(line)
        except ValueError:
            broken += bool(line.strip())
            continue
        if isinstance(record, dict):
            records.append(record)
    if broken:
        run.missing.append(f"{name}: {broken} line{'s' if broken > 1 else ''} could not be read")
    if not records and not optional:
        run.missing.append(f"{name}: is empty")
    return records


def _read_series(run: RunFolder) -> None:
    try:
        content = json.loads((run.folder / "series.json").read_text())
    except (OSError, ValueError):
        run.missing.append("series.json: packet by packet delays")
        return
    for direction in ("uplink", "downlink"):
        packets = content.get(direction) if isinstance(content, dict) else None
        run.series[direction] = _arrivals(packets if isinstance(packets, list) else [])
        if not run.series[direction]:
            run.missing.append(f"series.json: no packets {direction}")


def _arrivals(packets: list[Any]) -> list[Arrival]:
    """In the order of their sequence. The place is the mobile node's, whether it sent or received. A number that is
    left out never got onto a wire, and is lost too; what has no time gets that of the one before it."""
    made: list[Arrival] = []
    rows = [p for p in packets if isinstance(p, list) and len(p) >= 4 and is_number(p[3])]
    known = next((p[0] for p in rows if is_number(p[0])), 0.0)
    for time, delay, place, sequence, *rest in sorted(rows, key=lambda row: float(row[3])):
        if made and 1 < sequence - made[-1].sequence <= _LONGEST_HOLE:
            made += _hole(made[-1], int(sequence))
        known = float(time) if is_number(time) else known
        if not place or not is_number(delay):
            made.append(Arrival(known, 0.0, "", int(sequence)))
            continue
        places = [str(place), *(str(sender) for sender in rest[:1] if sender)]
        own = next((name for name in places if name.startswith("mn")), places[0])
        made.append(Arrival(known, float(delay), own, int(sequence)))
    return made


def _hole(before: Arrival, following: int) -> list[Arrival]:
    """The numbers between, each a packet time after the other."""
    numbers = range(before.sequence + 1, following)
    return [Arrival(before.time + (n - before.sequence) * _PACKET_TIME, 0.0, "", n) for n in numbers]


def _attachments(links: list[Record]) -> list[Attachment]:
    """From the log's lines; a station is "HOST-INTERFACE"."""
    lines = [
        r for r in links if is_number(r.get("wall")) and str(r.get("event", ""))[:6] in ("attach", "detach")
    ]
    open_: dict[str, tuple[str, float]] = {}
    made = []

    def close(station: str, at: float) -> None:
        if station in open_:
            network, begin = open_.pop(station)
            host, _, interface = station.partition("-")
            made.append(Attachment(host, interface, network, begin, at))

    for record in sorted(lines, key=lambda r: float(r["wall"])):
        station = str(record.get("station", ""))
        close(station, float(record["wall"]))
        if str(record["event"]).startswith("attach"):
            open_[station] = (str(record.get("network", "")), float(record["wall"]))
    for station in list(open_):
        close(station, math.inf)
    return sorted(made, key=lambda a: a.begin)


def _changes(run: RunFolder, host: str) -> list[float]:
    """When an interface of the host was attached or detached."""
    edges = [t for a in run.attachments if a.host == host for t in (a.begin, a.end)]
    return sorted(t for t in edges if math.isfinite(t))


def _place_in_time(run: RunFolder) -> None:
    """Where 0 s is, and where each move is on the wall clock.

    A move may say when it `began` (Unix time). Without, `at_s` counts from that of the known beginnings (first
    signal, first packet, call up, first attachment) with which the moves lie nearest to the log of the links.
    """
    moves = run.records("moves")
    times = [a.time for packets in run.series.values() for a in packets]
    times += [float(s["time"]) for s in run.signals]
    events = [float(e["time"]) for phone in run.phones.values() for e in phone]
    changes = {host: _changes(run, host) for host in ("mn", "cn")}
    everything = times + events + changes["mn"]
    run.end = max(times or everything, default=0.0)
    starts = [min(series, default=None) for series in (times, events, changes["mn"])]
    starts += [float(run.signals[0]["time"]) if run.signals else None, run.up("mn")]
    candidates = [start for start in starts if start is not None]

    def misfit(start: float) -> float:
        return sum(
            min(
                (abs(start + float(m.get("at_s", 0)) - t) for t in changes.get(m.get("mover", "mn"), [])),
                default=0,
            )
            for m in moves
        )

    origin = next(
        (
            float(m["began"] - m["at_s"])
            for m in moves
            if is_number(m.get("began")) and is_number(m.get("at_s"))
        ),
        None,
    )
    if origin is None:
        origin = min(candidates, key=misfit, default=0.0)
    run.zero = origin
    for number, move in enumerate(moves, 1):
        run.moments.append(_moment(run, number, origin + float(move.get("at_s") or 0.0), move))


def _moment(run: RunFolder, number: int, at: float, move: Record) -> Moment:
    """By its own words; else by the log of the links: leaving `from` and reaching `to`, where that is near; else by
    the move alone."""
    if is_number(began := move.get("began")):
        ended = move.get("ended")
        return Moment(number, float(began), float(ended) if is_number(ended) else float(began), move)
    host = move.get("mover", "mn")
    own = [a for a in run.attachments if a.host == host]
    left = [a.end for a in own if a.network == move.get("from")]
    reached = [a.begin for a in own if a.network == move.get("to")]
    edges = [min(times, key=lambda t: abs(t - at)) for times in (left, reached) if times]
    edges = [t for t in edges if abs(t - at) <= _NEAR]
    if not edges:
        link = _phase(move, "link") if move.get("kind") == "hard" else 0.0
        return Moment(number, at, at + link / 1000, move)
    return Moment(number, min(edges), max(edges), move)


def _phase(move: Record, name: str) -> float:
    value = (move.get("phase_ms") or {}).get(name)
    return float(value) if is_number(value) else 0.0


def file_size(path: Path) -> str:
    octets = float(path.stat().st_size)
    for unit in ("B", "kB", "MB"):
        if octets < 1000 or unit == "MB":
            return f"{octets:.0f} {unit}" if unit == "B" else f"{octets:.1f} {unit}"
        octets /= 1000
    return ""
