"""The figures of a run, from what it left in its folder: captures, recordings, the link process' log, the kernel's
own words about addresses. What a phone says of itself is used for the times of SIP messages inside TLS only.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from segue.lab.measure import measures, security
from segue.lab.measure.address_monitor import address_phase, read_monitor
from segue.lab.measure.capture import Captured, read_captures
from segue.lab.measure.measures import Delivery, Direction, Sighting, is_media, is_report
from segue.lab.measure.unheard import Listened, listen
from segue.lab.networks.links import LinkEvent
from segue.lab.networks.topology import TOPOLOGIES
from segue.media.quality import quality

BUFFERED_MS = 60.0  # playout and codec, added to the path's delay for the E-model


class Run:
    """A folder of `scenario`, read once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.options: dict[str, Any] = json.loads((folder / "options.json").read_text())
        self.plan: dict[str, Any] = json.loads((folder / "plan.json").read_text())
        self.events = {host: _lines(folder / "phones" / f"{host}.jsonl") for host in ("mn", "cn")}
        self.links = [
            LinkEvent(**{name: record[name] for name in LinkEvent._fields})
            for record in _lines(folder / "links.jsonl")
        ]
        self.reports: dict[str, list[Sighting]] = {"mn": [], "cn": []}  # RTCP that they sent
        self.sent: dict[str, list[Sighting]] = {"mn": [], "cn": []}
        self.received: dict[str, list[Sighting]] = {"mn": [], "cn": []}
        self._read(read_captures(folder / "captures"))
        self.uplink = measures.deliveries(self.sent["mn"], self.received["cn"])
        self.downlink = measures.deliveries(self.sent["cn"], self.received["mn"])

    def _read(self, frames: Iterable[Captured]) -> None:
        for captured in frames:
            host = captured.place.partition(" ")[0]
            packet = captured.packet()
            if host not in self.sent or packet is None:
                continue
            if not captured.received and is_report(packet):
                self.reports[host].append(Sighting(captured.time, captured.place, packet.payload))
            if is_media(packet):
                side = self.received if captured.received else self.sent
                side[host].append(Sighting(captured.time, captured.place, packet.payload))

    def event(self, host: str, kind: str) -> dict[str, Any] | None:
        return next((line for line in self.events[host] if line["event"] == kind), None)


def result(folder: Path) -> dict[str, Any]:
    """The JSON of a run (docs/measurements.md says what each key means)."""
    run = Run(folder)
    listened = {host: _listened(run, host) for host in ("mn", "cn")}
    moves = [_move(run, planned, number, listened) for number, planned in enumerate(run.plan["moves"])]
    options = run.options
    keying = options["keying"] or ("sdes" if options["signalling"] == "tls" else "none")
    ups = [line for host in ("mn", "cn") if (line := run.event(host, "up")) is not None]
    first_up: dict[str, Any] = next((up for up in ups if "suite" in up), {})
    return {
        "scenario": options["scenario"],
        "mode": options["mode"],
        "signalling": options["signalling"],
        "family": options["family"],
        "keying": keying,
        "suite": first_up.get("suite", ""),
        "codec": first_up.get("codec", options["codec"]),
        "seed": options["seed"],
        "options": options,
        "topology": (folder / "topology.txt").read_text(),
        "links": _links(folder),
        "moves": moves,
        "summary": _summary(run, moves, listened),
        "security": security.verdict(
            run.folder,
            run.uplink,
            run.downlink,
            run.sent,
            first_up,
            reports=run.reports,
            keyed=keying != "none",
        ),
        "setup_ms": _setup(run),
    }


def write_series(folder: Path) -> None:
    """Every packet's arrival and delay, for the report's time line."""
    run = Run(folder)

    def rows(stream: list[Delivery]) -> list[list[Any]]:
        return [
            [
                round(d.received_at if d.received_at is not None else d.sent_at, 6),
                None if d.received_at is None else round((d.received_at - d.sent_at) * 1000, 3),
                d.received_on or None,
                d.sequence,
                d.sent_from,
            ]
            for d in stream
        ]

    series = {"uplink": rows(run.uplink), "downlink": rows(run.downlink)}
    (folder / "series.json").write_text(json.dumps(series))


def _move(run: Run, planned: dict[str, Any], number: int, listened: dict[str, Listened]) -> dict[str, Any]:
    detached, attached = _link_events(run, number)
    began, ended = min(detached.wall, attached.wall), max(detached.wall, attached.wall)
    hard = attached.wall >= detached.wall
    family = run.options["family"]
    network = TOPOLOGIES[_topology(run)].network(planned["target"])
    interface = planned["interface"]
    address = address_phase(
        read_monitor(run.folder / "addresses-mn.jsonl"), attached, interface, network, family
    )
    link = max(0.0, attached.wall - detached.wall)
    ready = attached.wall + (address or 0.0)
    place = f"mn {interface}"
    flowing = [
        measures.first_after(run.uplink, place, attached.wall),
        measures.first_after(run.downlink, place, attached.wall),
    ]
    both = None if None in flowing else max(t for t in flowing if t is not None)
    unheard = {host: each.around_ms(began, ended) for host, each in listened.items()}
    up = measures.direction(run.uplink, run.received["cn"], began, ended, unheard["cn"])
    down = measures.direction(run.downlink, run.received["mn"], began, ended, unheard["mn"])
    direct = sum(d.owd_new_ms or 0.0 for d in (up, down))
    return {
        "at_s": round(began - run.plan["begin"], 3),
        "kind": "hard" if hard else "soft",
        "mover": "mn",
        "role": None,
        "from": planned["origin"],
        "to": planned["target"],
        "began": began,
        "ended": ended,
        "phase_ms": {
            "link": _ms(link),
            "address": None if address is None else _ms(address),
            "session": None if both is None else _ms(max(0.0, both - ready)),
        },
        "direct_rtt_ms": round(direct, 2),
        "signalling_ms": _signalling(run, began),
        "uplink": _as_json(up),
        "downlink": _as_json(down),
    }


def _as_json(side: Direction) -> dict[str, Any]:
    return side._asdict() | {"step_ms": round(side.step_ms, 2)}


def _topology(run: Run) -> str:
    return "two-subnets" if run.options["scenario"] == "two-subnets" else "office-umts-cafe"


def _link_events(run: Run, number: int) -> tuple[LinkEvent, LinkEvent]:
    """Detach and attach of a move, in the link process' own log: the n-th of each after the call began."""
    later = [
        event for event in run.links if event.station.startswith("mn-") and event.wall > run.plan["begin"]
    ]
    detached = [event for event in later if event.event == "detached"]
    attached = [event for event in later if event.event == "attached"]
    return detached[number], attached[number]


def _signalling(run: Run, began: float) -> float | None:
    """From the mover's first re-INVITE to its 200; ms, by the phone's own clock."""
    asked = None
    for line in run.events["mn"]:
        if line.get("time", 0.0) < began or not str(line.get("cseq", "")).endswith("INVITE"):
            continue
        if line["event"] == "sip_sent" and line["line"].startswith("INVITE") and asked is None:
            asked = line
        if asked and line["event"] == "sip_received" and line["line"].startswith("SIP/2.0 200"):
            return _ms(line["time"] - asked["time"])
    return None


def _links(folder: Path) -> list[dict[str, Any]]:
    """What each link is, and how exactly it was kept: the 99th percentile of the delivery error."""
    listed: list[dict[str, Any]] = json.loads((folder / "links.json").read_text())["links"]
    return listed


def _listened(run: Run, host: str) -> Listened:
    """Its recording begins when its call is up."""
    up = run.event(host, "up")
    begin = float(up["time"]) if up else float(run.plan["begin"])
    return listen(run.folder / f"{host}.wav", run.options["talk"], begin)


def _summary(run: Run, moves: list[dict[str, Any]], listened: dict[str, Listened]) -> dict[str, Any]:
    streams = (run.uplink, run.downlink)
    whole = (float("-inf"), float("inf"))
    return {
        "uplink_gap_ms": measures.spread(m["uplink"]["gap_ms"] for m in moves),
        "downlink_gap_ms": measures.spread(m["downlink"]["gap_ms"] for m in moves),
        "lost": sum(measures.lost(stream, *whole) for stream in streams),
        "packets": sum(len(stream) for stream in streams),
        "unheard_ms": round(sum(each.total_ms for each in listened.values()), 1),
        "repeated_ms": round(sum(each.repeated_ms for each in listened.values()), 1),
        "mos": _mos(run, moves),
    }


def _mos(run: Run, moves: list[dict[str, Any]]) -> dict[str, float] | None:
    """By the E-model, from the captures' delay and loss: before the first move, and in the 10 s around each."""
    if not moves:
        return None
    codec = (run.event("mn", "up") or {}).get("codec", "PCMA")
    first = moves[0]["began"]
    before = _quality(run, codec, [(run.plan["begin"], first - 1.0)])
    around = _quality(run, codec, [(m["began"] - 5.0, m["ended"] + 5.0) for m in moves])
    return {"before": before, "around_moves": around}


def _quality(run: Run, codec: str, windows: list[tuple[float, float]]) -> float:
    scores = []
    for stream in (run.uplink, run.downlink):
        for begin, end in windows:
            delay = measures.delay(stream, begin, end) or 0.0
            lost = measures.lost(stream, begin, end)
            sent = max(1.0, (end - begin) / measures.PACKET_TIME)
            scores.append(quality(codec, delay * 1000 + BUFFERED_MS, min(1.0, lost / sent)).mos)
    return round(float(np.mean(scores)), 2)


def _setup(run: Run) -> dict[str, Any]:
    """post_dial: INVITE to 180, challenges included. first_media: from the caller's 200 to its first packet heard."""
    host = run.options["caller"]
    stream = run.downlink if host == "mn" else run.uplink
    lines = run.events[host]
    invite = _first(lines, "sip_sent", "INVITE")
    ringing = _first(lines, "sip_received", "SIP/2.0 180")
    answered = next(
        (
            line
            for line in lines
            if line["event"] == "sip_received" and line["line"].startswith("SIP/2.0 200") and line["body"]
        ),
        None,
    )
    challenged = _first(lines, "sip_received", "SIP/2.0 407") is not None
    first = min((d.received_at for d in stream if d.received_at is not None), default=None)
    return {
        "post_dial": _ms(ringing["time"] - invite["time"]) if invite and ringing else None,
        "challenged": challenged,
        "first_media": _ms(max(0.0, first - answered["time"])) if first and answered else None,
    }


def _first(lines: list[dict[str, Any]], event: str, beginning: str) -> dict[str, Any] | None:
    return next((x for x in lines if x["event"] == event and x["line"].startswith(beginning)), None)


def _lines(path: Path) -> list[dict[str, Any]]:
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text().splitlines() if line.startswith("{")]


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 2)
