"""The figures of one move, or of one rebinding of a NAT."""

from __future__ import annotations

import statistics
from dataclasses import asdict
from typing import Any, NamedTuple

from segue.base.errors import RemoteError
from segue.emulator.links import preset
from segue.lab.measure import measures
from segue.lab.measure.address_monitor import address_phase, read_monitor
from segue.lab.measure.catching_up import CatchingUp, catching_up
from segue.lab.measure.measures import Direction, Sighting
from segue.lab.measure.run_files import Run
from segue.lab.measure.unheard import Listened, listen
from segue.lab.networks.links import LinkEvent
from segue.lab.networks.topology import AccessNetwork
from segue.protocols.stun.attributes import ICE_CONTROLLED, ICE_CONTROLLING
from segue.protocols.stun.message import parse_stun

PAIRED = 1.0  # seconds by which two hosts' moves are apart that count as one
NOTICED = 0.002  # seconds that what is on its way behind a NAT may take longer than its link's delay
OTHER = {"mn": "cn", "cn": "mn"}


class Ready(NamedTuple):
    """When a host that moved could send, and from where ("cn wlan0"). Unix time."""

    at: float
    place: str


def move_figures(run: Run, number: int, listened: dict[str, Listened]) -> dict[str, Any]:
    """The `number`-th of the plan. docs/measurements.md says what each key means."""
    planned = run.plan["moves"][number]
    host = planned.get("host", "mn")
    rebound = planned.get("kind") == "rebind"
    detached, attached = (_rebinding(run, number),) * 2 if rebound else _link_events(run, number)
    began, ended = min(detached.wall, attached.wall), max(detached.wall, attached.wall)
    address = 0.0 if rebound else _address(run, planned, attached)
    unheard = {each: heard.around_ms(began, ended) for each, heard in listened.items()}
    clock = 48000 if run.codec == "opus" else 8000
    sides = {}
    for name, stream, to in (("uplink", run.uplink, "cn"), ("downlink", run.downlink, "mn")):
        sent = run.sent[OTHER[to]]
        side = measures.direction(stream, run.received[to], began, ended, unheard[to], sent=sent, clock=clock)
        back = measures.widest(stream, began - measures.BEFORE, ended + measures.AFTER)[1]
        until = _until(run, number)
        playout = catching_up(listened[to].pieces, began, back, until, side.step_ms / 1000)
        sides[name] = _as_json(side, playout)
    session = _healing(run, attached, planned) if rebound else _session(run, number, attached.wall, address)
    hard = attached.wall >= detached.wall
    return {
        "at_s": round(began - run.plan["begin"], 3),
        "kind": "rebind" if rebound else "hard" if hard else "soft",
        "mover": host,
        "role": _role(run.checks[host], began, ended),
        "from": planned["origin"],
        "to": planned["target"],
        "began": began,
        "ended": ended,
        "phase_ms": {
            "link": _ms(max(0.0, attached.wall - detached.wall)),
            "address": _ms(address),
            "session": _ms(session),
        },
        "direct_rtt_ms": _direct(run, ended, planned),
        "direct_rtt_probe_ms": _probed(run, number),
        "signalling_ms": _signalling(run, host, began),
        **sides,
    }


def listen_to(run: Run, host: str) -> Listened:
    """Its recording begins when its call is up."""
    up = run.event(host, "up")
    begin = float(up["time"]) if up else float(run.plan["begin"])
    return listen(run.folder / f"{host}.wav", run.options["talk"], begin)


# When it was


def _link_events(run: Run, number: int) -> tuple[LinkEvent, LinkEvent]:
    """Detach and attach of a move, in the link process' own log: of each, the n-th of that host's after the call
    began, when this is its n-th move."""
    moves = run.plan["moves"]
    host = moves[number].get("host", "mn")
    index = sum(move.get("host", "mn") == host for move in moves[:number])
    later = [e for e in run.links if e.station.startswith(f"{host}-") and e.wall > run.plan["begin"]]
    detached = [event for event in later if event.event == "detached"]
    attached = [event for event in later if event.event == "attached"]
    return detached[index], attached[index]


def _rebinding(run: Run, number: int) -> LinkEvent:
    rebound: list[LinkEvent] = [event for event in run.links if event.event == "rebound"]
    before: int = sum(move.get("kind") == "rebind" for move in run.plan["moves"][:number])
    return rebound[before]


def _until(run: Run, number: int) -> float:
    """When the next move begins; those of both ends at once are one."""
    moves = run.plan["moves"]
    begun = [min(move["detach_at"], move["attach_at"]) for move in moves]
    later = [at for at in begun if at > begun[number] + PAIRED]
    return float(run.plan["begin"] + min(later, default=run.plan["duration"]))


# Its phases


def _address(run: Run, planned: dict[str, Any], attached: LinkEvent) -> float | None:
    network = run.topology.network(planned["target"])
    heard = read_monitor(run.folder / f"addresses-{planned.get('host', 'mn')}.jsonl")
    return address_phase(heard, attached, planned["interface"], network, run.given.family)


def _session(run: Run, number: int, attached: float, address: float | None) -> float | None:
    """From when the mover could send until media flows both ways on its new path; when the other end moved with it,
    from the later of both, on both new paths."""
    planned = run.plan["moves"][number]
    host = planned.get("host", "mn")
    ready = {host: Ready(attached + (address or 0.0), f"{host} {planned['interface']}")}
    for index, move in enumerate(run.plan["moves"]):
        if move.get("host", "mn") != host and abs(move["attach_at"] - planned["attach_at"]) <= PAIRED:
            event = _link_events(run, index)[1]
            at = event.wall + (_address(run, move, event) or 0.0)
            ready[OTHER[host]] = Ready(at, f"{OTHER[host]} {move['interface']}")
    since = attached if len(ready) == 1 else max(each.at for each in ready.values())
    place = {each: ready[each].place if each in ready else "" for each in OTHER}
    flowing = [
        measures.flows_after(run.uplink, place["mn"], place["cn"], since),
        measures.flows_after(run.downlink, place["cn"], place["mn"], since),
    ]
    if None in flowing:
        return None
    begin = max(each.at for each in ready.values())
    return max(0.0, max(t for t in flowing if t is not None) - begin)


def _healing(run: Run, rebound: LinkEvent, planned: dict[str, Any]) -> float | None:
    """From the first packet that meets a NAT which has forgotten everything, and so comes from another source, until
    media comes back through it."""
    behind = _one_way_ms(run, run.topology.network(planned["target"])) / 1000
    sent = [d.sent_at for d in run.uplink if d.sent_at + behind >= rebound.wall]
    back = measures.flows_after(run.downlink, "", "", rebound.wall + behind + NOTICED)
    return None if back is None or not sent else max(0.0, back - min(sent))


def _role(checks: list[Sighting], began: float, ended: float) -> str | None:
    """The mover's in ICE, as its own checks say around the move; None when it sent none."""
    window = (c for c in checks if began - measures.BEFORE <= c.time <= ended + measures.AFTER)
    for check in window:
        try:
            message = parse_stun(check.octets)
        except RemoteError:
            continue
        if message.get(ICE_CONTROLLING) is not None:
            return "controlling"
        if message.get(ICE_CONTROLLED) is not None:
            return "controlled"
    return None


def _signalling(run: Run, host: str, began: float) -> float | None:
    """From the mover's first re-INVITE to its 200; ms, by the phone's own clock."""
    asked = None
    for line in run.events[host]:
        if line.get("time", 0.0) < began or not str(line.get("cseq", "")).endswith("INVITE"):
            continue
        if line["event"] == "sip_sent" and line["line"].startswith("INVITE") and asked is None:
            asked = line
        if asked and line["event"] == "sip_received" and line["line"].startswith("SIP/2.0 200"):
            return _ms(line["time"] - asked["time"])
    return None


# The way between them


def _direct(run: Run, ended: float, planned: dict[str, Any]) -> float:
    """There and back between the networks where the two are after the move, by what the links are told to be; ms."""
    at = {"mn": _network_at(run, "mn", ended), "cn": _network_at(run, "cn", ended)}
    at[planned.get("host", "mn")] = run.topology.network(planned["target"])
    core = preset(run.given.links).link("core").one_way_delay_ms
    return round(2 * (core + sum(_one_way_ms(run, network) for network in at.values())), 2)


def _network_at(run: Run, host: str, wall: float) -> AccessNetwork:
    """Where a host was attached last, by the link process' log."""
    joined = [e for e in run.links if e.event == "attached" and e.station.startswith(f"{host}-")]
    before = [e for e in joined if e.wall <= wall] or joined[:1]
    return run.topology.network(before[-1].network)


def _one_way_ms(run: Run, network: AccessNetwork) -> float:
    return preset(run.given.links).link(network.kind).one_way_delay_ms


def _probed(run: Run, number: int) -> float | None:
    """The same, as echo requests found it; None when none came back."""
    times = run.probes[number] if number < len(run.probes) else []
    return round(statistics.median(times), 2) if times else None


def _as_json(side: Direction, playout: CatchingUp | None) -> dict[str, Any]:
    return side._asdict() | {"step_ms": round(side.step_ms, 2)} | (asdict(playout) if playout else {})


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 2)
