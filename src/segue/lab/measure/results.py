"""The figures of a run, from what it left in its folder: captures, recordings, the link process' log, the kernel's
own words about addresses. What a phone says of itself is used for the times of SIP messages inside TLS only.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from segue.lab.measure import measures, security
from segue.lab.measure.measures import Delivery
from segue.lab.measure.moves import listen_to, move_figures
from segue.lab.measure.run_files import Run
from segue.lab.measure.unheard import Listened
from segue.media.quality import quality

BUFFERED_MS = 60.0  # playout and codec, added to the path's delay for the E-model


def result(folder: Path) -> dict[str, Any]:
    """The JSON of a run (docs/measurements.md says what each key means)."""
    run = Run(folder)
    listened = {host: listen_to(run, host) for host in ("mn", "cn")}
    moves = [move_figures(run, number, listened) for number in range(len(run.plan["moves"]))]
    options = run.options
    keying = run.given.agreed_keying
    ups = [line for host in ("mn", "cn") if (line := run.event(host, "up")) is not None]
    first_up: dict[str, Any] = next((up for up in ups if "suite" in up), {})
    return {
        "scenario": options["scenario"],
        "mode": options["mode"],
        "speech": run.given.speech,
        "nat": run.given.nat,
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


def _links(folder: Path) -> list[dict[str, Any]]:
    """What each link is, and how exactly it was kept: the 99th percentile of the delivery error."""
    listed: list[dict[str, Any]] = json.loads((folder / "links.json").read_text())["links"]
    return listed


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


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 2)
