"""Writes the folder of a walk that never was, in the form the lab writes: `python sample_run.py DIR`.

Every number here is invented (seeded) to exercise the report; nothing of it is a measurement.
"""

from __future__ import annotations

import json
import math
import random
import struct
import sys
import wave
from pathlib import Path
from typing import Any

START = 1795478900.0
UP = START + 1.2
END = START + 46.0
LEAVES, FOUND = START + 18.02, START + 33.4  # the office is lost; the café is reached
LINK = 0.05
ADDRESS = {"umts": 0.021, "cafe": 0.034}
OVERLAP = 2.0
CALL = "7e87775f35a0eea1b52253e7"
Record = dict[str, Any]


def write_sample(folder: Path) -> Path:
    """All files; the recordings are noise in the rhythm of speech."""
    dice = random.Random(7)
    (folder / "phones").mkdir(parents=True)
    (folder / "captures").mkdir()
    _json(folder / "result.json", result())
    _lines(folder / "links.jsonl", links())
    _lines(folder / "signals.jsonl", signals(dice))
    _json(folder / "series.json", {"uplink": series("uplink", dice), "downlink": series("downlink", dice)})
    _lines(folder / "phones/mn.jsonl", phone("mn"))
    _lines(folder / "phones/cn.jsonl", phone("cn"))
    _lines(folder / "attacks.jsonl", attacks())
    for host in ("mn", "cn"):
        _recording(folder / f"{host}.wav", dice)
        (folder / f"captures/{host}-wlan0.pcapng").write_bytes(b"\x0a\x0d\x0d\x0a" + bytes(300))
    return folder


def _direction(gap: float, old: float, new: float, lost: int, recovered: int, copies: int) -> Record:
    return {
        "gap_ms": gap, "gap_without_move_ms": 1.4, "owd_old_ms": old, "owd_new_ms": new, "lost": lost,
        "recovered": recovered, "duplicates": copies, "unheard_ms": 20.0 * lost,
    }  # fmt: skip


def result() -> Record:
    moves = [
        {
            "at_s": LEAVES - START, "kind": "hard", "mover": "mn", "role": "controlling", "from": "office",
            "to": "umts", "phase_ms": {"link": 50.0, "address": 21.0, "session": 101.2}, "direct_rtt_ms": 110.0,
            "signalling_ms": 244.6, "uplink": _direction(109.3, 20.0, 55.0, 0, 5, 0),
            "downlink": _direction(188.7, 20.0, 55.0, 2, 7, 0),
        },
        {
            "at_s": FOUND - START, "kind": "soft", "mover": "mn", "role": "controlling", "from": "umts",
            "to": "cafe", "phase_ms": {"link": 0.0, "address": 34.0, "session": 0.0}, "direct_rtt_ms": 40.0,
            "signalling_ms": 96.1, "uplink": _direction(1.8, 55.0, 20.0, 0, 0, 100),
            "downlink": _direction(2.2, 55.0, 20.0, 0, 0, 98),
        },
    ]  # fmt: skip
    spread = {"min": 1.8, "median": 55.6, "p95": 109.3, "max": 109.3}
    names = (
        ("office", 5, 0.0, 54000),
        ("umts", 40, 0.0, 384),
        ("cafe", 5, 0.0, 54000),
        ("core", 10, 0.0, None),
    )
    links_ = [
        {"name": n, "one_way_delay_ms": d, "jitter_ms": 0, "loss": loss, "rate_kbps": r, "p99_error_ms": 0.42}
        for n, d, loss, r in names
    ]
    attacks_ = [
        {"kind": kind, "tried": tried, "accepted": 0, "control_tried": tried, "control_accepted": control}
        for kind, tried, control in (
            ("eavesdrop", 1, 1), ("rtp injection", 500, 497), ("replay", 300, 300), ("false BYE", 20, 20),
            ("forged re-INVITE", 20, 18), ("redirect by source", 100, 96),
        )
    ]  # fmt: skip
    return {
        "scenario": "walk", "mode": "migrate", "signalling": "tls", "keying": "sdes",
        "suite": "AEAD_AES_256_GCM", "codec": "opus", "seed": 7, "links": links_,
        "moves": moves,
        "summary": {
            "uplink_gap_ms": spread, "downlink_gap_ms": spread | {"median": 95.4, "p95": 188.7, "max": 188.7},
            "lost": 2, "unheard_ms": 40.0, "repeated_ms": 0.0, "mos": {"before": 4.34, "around_moves": 4.12},
        },
        "security": {
            "clear_rtp_packets": 0, "keys_changed": False, "authenticated_peer": "sip:bob@example.org",
            "attacks": attacks_,
        },
        "setup_ms": {"post_dial": 88.2, "first_media": 601.0},
        "topology": "mn ))) office ---+              +--- home ((( cn\n"
        "   ))) cafe   ---+--- core -----+--- proxy\n   === umts   ---+              +--- dns",
        "options": {"mode": "migrate", "signalling": "tls", "family": 6, "links": "clean", "seed": 7},
    }  # fmt: skip


def links() -> list[Record]:
    events = [
        ("attached", "cn-wlan0", "home", START - 2), ("attached", "mn-wlan0", "office", START - 1.5),
        ("detached", "mn-wlan0", "office", LEAVES), ("attached", "mn-wwan0", "umts", LEAVES + LINK),
        ("attached", "mn-wlan0", "cafe", FOUND), ("detached", "mn-wwan0", "umts", FOUND + OVERLAP),
    ]  # fmt: skip
    return [
        {"event": e, "station": s, "network": n, "wall": w, "monotonic": w - START + 100}
        for e, s, n, w in events
    ]


def signals(dice: random.Random) -> list[Record]:
    made = []
    for tick in range(int((END - START) * 10)):
        time = START + tick / 10
        place = 4 + max(0.0, tick / 10 - 4) * 1.8
        levels = {
            name: round(-23 - 40 * math.log10(max(1.0, abs(place - at))) + dice.gauss(0, 0.7), 1)
            for name, at in (("office", 0.0), ("cafe", 80.0))
        }
        made.append({"time": time, "position": round(place, 2), **levels})
    return made


def series(direction: str, dice: random.Random) -> list[list[Any]]:
    """What arrived by one direction: 50 packets a second from `UP` to `END`."""
    up = direction == "uplink"
    back = LEAVES + LINK + ADDRESS["umts"] + (0.0 if up else 0.11)
    made: list[list[Any]] = []
    for number in range(int((END - UP) * 50)):
        sent = UP + number * 0.02
        fast = sent < LEAVES or sent >= FOUND + ADDRESS["cafe"]
        place, delay = ("mn wlan0", 20.0) if fast else ("mn wwan0", 55.0)
        delay += abs(dice.gauss(0, 0.6))
        lost = not up and LEAVES - 0.02 <= sent < LEAVES + 0.02
        late = max(sent, back) - sent if LEAVES - (0.0 if up else 0.02) <= sent < back else 0.0
        arrival = None if lost else sent + late + delay / 1000
        made.append(
            [arrival, None if lost else round(delay + late * 1000, 2), None if lost else place, 1000 + number]
        )
    return made


def _sip(time: float, host: str, direction: str, line: str, cseq: str, interface: str, body: bool) -> Record:
    call_id = "registration" if "REGISTER" in cseq else CALL
    local = {"mn wlan0": "[2001:db8:1::a]:40001", "mn wwan0": "[2001:db8:2::a]:40001"}
    return {
        "event": f"sip_{direction}", "time": time, "line": line, "call_id": call_id, "cseq": cseq, "transport": "TLS",
        "interface": interface, "local": local.get(f"{host} {interface}", "[2001:db8:4::a]:40001"),
        "remote": "[2001:db8:17::2]:5061", "body": body,
    }  # fmt: skip


def _exchange(time: float, cseq: int, interface: str, trip: float) -> list[tuple[str, Record]]:
    """A re-INVITE of the mn, as both phones see it."""
    invite, ok, ack = (
        "INVITE sip:bob@example.org SIP/2.0",
        "SIP/2.0 200 OK",
        "ACK sip:bob@example.org SIP/2.0",
    )
    rows = [
        (0.0, "mn", "sent", invite, "INVITE", True), (trip, "cn", "received", invite, "INVITE", True),
        (trip + 0.004, "cn", "sent", ok, "INVITE", True), (2 * trip + 0.004, "mn", "received", ok, "INVITE", True),
        (2 * trip + 0.006, "mn", "sent", ack, "ACK", False), (3 * trip + 0.006, "cn", "received", ack, "ACK", False),
    ]  # fmt: skip
    return [
        (
            host,
            _sip(time + t, host, way, line, f"{cseq} {method}", interface if host == "mn" else "wlan0", body),
        )
        for t, host, way, line, method, body in rows
    ]


def phone(host: str) -> list[Record]:
    """The events of one phone: registration, call with a challenge, two moves, the end."""
    ring, dial = "SIP/2.0 180 Ringing", START + 0.3
    register = "REGISTER sip:example.org SIP/2.0"
    shared: list[tuple[str, Record]] = [
        ("mn", _sip(START, "mn", "sent", register, "1 REGISTER", "wlan0", False)),
        (
            "mn",
            _sip(START + 0.03, "mn", "received", "SIP/2.0 401 Unauthorized", "1 REGISTER", "wlan0", False),
        ),
        ("mn", _sip(START + 0.032, "mn", "sent", register, "2 REGISTER", "wlan0", False)),
        ("mn", _sip(START + 0.065, "mn", "received", "SIP/2.0 200 OK", "2 REGISTER", "wlan0", False)),
        (
            "mn",
            {
                "event": "registered",
                "time": START + 0.066,
                "aor": "sip:alice@example.org",
                "interface": "wlan0",
            },
        ),
        ("mn", {"event": "dialling", "time": dial, "call_id": CALL, "callee": "sip:bob@example.org"}),
        (
            "cn",
            {
                "event": "incoming_call",
                "time": dial + 0.045,
                "call_id": CALL,
                "caller": "sip:alice@example.org",
            },
        ),
        ("cn", _sip(dial + 0.046, "cn", "sent", ring, "1 INVITE", "wlan0", False)),
        ("mn", _sip(dial + 0.08, "mn", "received", ring, "1 INVITE", "wlan0", False)),
        ("mn", {"event": "ringing", "time": dial + 0.081, "call_id": CALL}),
        ("mn", {"event": "up", "time": UP, "call_id": CALL, "peer": "sip:bob@example.org"}),
        ("cn", {"event": "up", "time": UP + 0.03, "call_id": CALL, "peer": "sip:alice@example.org"}),
        (
            "mn",
            {
                "event": "move_begun",
                "time": LEAVES + 0.001,
                "call_id": CALL,
                "kind": "hard",
                "target": "wwan0",
            },
        ),
        (
            "cn",
            {
                "event": "peer_moved",
                "time": LEAVES + 0.13,
                "call_id": CALL,
                "address": "[2001:db8:2::a]:6000",
            },
        ),
        ("mn", {"event": "move_ended", "time": LEAVES + 0.25, "call_id": CALL, "ok": True, "took": 0.249}),
        ("mn", _sip(END - 0.5, "mn", "sent", "BYE sip:bob@example.org SIP/2.0", "9 BYE", "wlan0", False)),
        (
            "cn",
            _sip(END - 0.48, "cn", "received", "BYE sip:bob@example.org SIP/2.0", "9 BYE", "wlan0", False),
        ),
        ("mn", {"event": "ended", "time": END - 0.499, "call_id": CALL, "by": "us"}),
        *_exchange(dial + 0.001, 1, "wlan0", 0.035),
        *_exchange(LEAVES + 0.075, 2, "wwan0", 0.055),
        *_exchange(FOUND + 0.036, 3, "wlan0", 0.02),
    ]
    return sorted((record for whose, record in shared if whose == host), key=lambda record: record["time"])


def attacks() -> list[Record]:
    return [
        {"time": UP + 4 + n, "kind": kind, "outcome": "dropped", "reason": reason}
        for n, (kind, reason) in enumerate(
            (("rtp injection", "authentication"), ("replay", "replayed index"))
        )
    ]


def _recording(path: Path, dice: random.Random) -> None:
    rate = 8000
    samples = bytearray()
    loud = 0.0
    for tick in range(int((END - UP) * 50)):
        if tick % 9 == 0:
            loud = dice.choice((0.0, 0.05, 0.2, 0.5)) if math.sin(tick / 90) > -0.4 else 0.0
        for _ in range(rate // 50):
            samples += struct.pack("<h", max(-32768, min(32767, int(dice.gauss(0, 0.35) * loud * 40000))))
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(bytes(samples))


def _json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value))


def _lines(path: Path, records: list[Record]) -> None:
    path.write_text("".join(json.dumps(record) + "\n" for record in records))


if __name__ == "__main__":
    print(write_sample(Path(sys.argv[1])))
