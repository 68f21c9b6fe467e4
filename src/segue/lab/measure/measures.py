"""Gaps, losses and delays of a call's media, from captures alone (the definitions are in docs/measurements.md).

A packet counts when the sender's capture has it octet for octet: what an attacker made is no media. Of several
copies the first counts. Times are seconds of one clock (the kernel's, of one machine).
"""

from __future__ import annotations

import statistics
import struct
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple

from segue.lab.measure.packets import UDP, Packet
from segue.protocols.stun.attributes import COOKIE

PACKET_TIME = 0.02  # seconds
BEFORE, AFTER = 0.5, 5.0  # seconds of the window around a move
ENDING = 1.0  # seconds of silence at a window's end that may be the call's
LATE = 0.1  # seconds beyond the path's delay from which a packet was recovered
STUN_PORT = 3478
FLIGHT = 0.5  # seconds before a stream's end in which what was sent need not have arrived


class Sighting(NamedTuple):
    """A UDP datagram that may be media, as one interface saw it."""

    time: float
    place: str  # host and interface, "mn wlan0"
    octets: bytes  # of the datagram


class Delivery(NamedTuple):
    """One media packet: when it left, and when and where its first copy arrived (None: never)."""

    sequence: int  # extended
    sent_at: float
    sent_from: str
    received_at: float | None
    received_on: str
    timestamp: int = 0  # RTP's, extended


class Direction(NamedTuple):
    """What a move did to one direction; ms, packets and octets. `recovered`: packets that came late, sent again or
    held back. `duplicates`: copies that came beyond the first. `extra_bytes`: of copies that were sent beyond the
    first."""

    gap_ms: float
    gap_without_move_ms: float
    owd_old_ms: float | None
    owd_new_ms: float | None
    lost: int
    recovered: int
    duplicates: int
    unheard_ms: float | None
    extra_bytes: int = 0

    @property
    def step_ms(self) -> float:
        """What the longer path adds to every gap."""
        if self.owd_old_ms is None or self.owd_new_ms is None:
            return 0.0
        return max(0.0, self.owd_new_ms - self.owd_old_ms)


def is_rtp(octets: bytes) -> bool:
    """RTP or SRTP, and not RTCP (RFC 5761 section 4)."""
    return len(octets) >= 12 and octets[0] >> 6 == 2 and not 192 <= octets[1] <= 223


def is_media(packet: Packet) -> bool:
    """RTP between ports that are nobody's: a query of the DNS may look like RTP too."""
    return _is_between_phones(packet) and is_rtp(packet.payload)


def is_check(packet: Packet) -> bool:
    """A STUN request between such ports, and none to a STUN server's."""
    octets = packet.payload
    between = _is_between_phones(packet) and STUN_PORT not in (packet.source_port, packet.destination_port)
    return between and octets[:2] == b"\0\1" and octets[4:8] == COOKIE and len(octets) >= 20


def is_report(packet: Packet) -> bool:
    """RTCP between such ports."""
    octets = packet.payload
    return _is_between_phones(packet) and len(octets) >= 8 and octets[0] >> 6 == 2 and 192 <= octets[1] <= 223


def _is_between_phones(packet: Packet) -> bool:
    return packet.protocol == UDP and min(packet.source_port, packet.destination_port) >= 1024


def ssrc_of(octets: bytes) -> int:
    return int.from_bytes(octets[8:12], "big")


def main_ssrc(sightings: Iterable[Sighting]) -> int | None:
    """The source that most packets are of."""
    counts: dict[int, int] = {}
    for sighting in sightings:
        ssrc = ssrc_of(sighting.octets)
        counts[ssrc] = counts.get(ssrc, 0) + 1
    return max(counts, key=lambda ssrc: counts[ssrc]) if counts else None


def deliveries(sent: Sequence[Sighting], received: Sequence[Sighting]) -> list[Delivery]:
    """Each packet of the sender's stream in the order of its sequence numbers, and what became of it. Packets that
    never got onto a wire (their link had no carrier) are missing from `sent`, and are found by their numbers."""
    ssrc = main_ssrc(sent)
    first: dict[bytes, Sighting] = {}
    for sighting in sorted(received):
        first.setdefault(sighting.octets, sighting)
    made: dict[int, Delivery] = {}
    extended = stamp = None
    for sighting in sorted(sent):
        if ssrc_of(sighting.octets) != ssrc:
            continue
        extended = _extend(struct.unpack_from("!H", sighting.octets, 2)[0], extended)
        stamp = _extend(struct.unpack_from("!I", sighting.octets, 4)[0], stamp, 32)
        arrival = first.get(sighting.octets)
        if extended not in made:
            made[extended] = Delivery(
                extended,
                sighting.time,
                sighting.place,
                arrival.time if arrival else None,
                arrival.place if arrival else "",
                stamp,
            )
    return [made[number] for number in sorted(made)]


def _extend(number: int, highest: int | None, bits: int = 16) -> int:
    """The extended number next to the one before."""
    if highest is None:
        return number
    turn = 1 << bits
    extended = (highest & ~(turn - 1)) | number
    return min((extended - turn, extended, extended + turn), key=lambda candidate: abs(candidate - highest))


def gap(stream: Sequence[Delivery], begin: float, end: float) -> float:
    """The largest time between two arrivals of which one at least is in the window, less one packet time; seconds. A
    stream that never came back is silent until the window's end."""
    return widest(stream, begin, end)[0] - PACKET_TIME


def widest(stream: Sequence[Delivery], begin: float, end: float) -> tuple[float, float]:
    """That time, and when it ended."""
    arrivals = sorted(d.received_at for d in stream if d.received_at is not None)
    inside = [t for t in arrivals if begin <= t <= end]
    edges = [max((t for t in arrivals if t < begin), default=begin), *inside]
    after = min((t for t in arrivals if t > end), default=None)
    if after is not None:
        edges.append(after)
    elif end - edges[-1] > ENDING:
        edges.append(end)
    return max(((b - a, b) for a, b in pairwise(edges)), default=(0.0, begin))


def lost(stream: Sequence[Delivery], begin: float, end: float) -> int:
    """Sequence numbers that were sent in the window and never arrived; also those that never got onto a wire, which
    the numbers on both sides tell. What was sent just before the stream ended may have been on its way."""
    last = max((d.sent_at for d in stream), default=0.0)
    end = min(end, last - FLIGHT)
    inside = [d.sequence for d in stream if begin <= d.sent_at <= end]
    if not inside:
        return 0
    first, last = min(inside), max(inside)  # what left late lies behind what left in time
    before = max((d.sequence for d in stream if d.sent_at < begin and d.sequence < first), default=first - 1)
    after = min((d.sequence for d in stream if d.sent_at > end and d.sequence > last), default=last + 1)
    came = sum(d.received_at is not None for d in stream if before < d.sequence < after)
    return after - before - 1 - came


def delay(stream: Sequence[Delivery], begin: float, end: float) -> float | None:
    """The median one-way delay of what was sent in the window; seconds."""
    delays = [
        d.received_at - d.sent_at for d in stream if d.received_at is not None and begin <= d.sent_at <= end
    ]
    return statistics.median(delays) if delays else None


def recovered(stream: Sequence[Delivery], begin: float, end: float, clock: int, step: float = 0.0) -> int:
    """Packets of which the first copy arrived in the window, more than LATE after the talker's clock and the path's
    delay let it be expected. `clock`: of the RTP timestamps, Hz; `step`: seconds by which the path became
    longer."""
    arrived = [
        (d.received_at, d.received_at - d.timestamp / clock) for d in stream if d.received_at is not None
    ]
    calm = [offset for at, offset in arrived if at < begin]
    if not calm:
        return 0
    usual = statistics.median(calm[-500:]) + max(0.0, step)
    return sum(offset - usual > LATE for at, offset in arrived if begin <= at <= end)


def extra_octets(sent: Sequence[Sighting], begin: float, end: float) -> int:
    """Of datagrams that were sent again in the window."""
    seen: set[bytes] = set()
    extra = 0
    for sighting in sorted(sent):
        if begin <= sighting.time <= end and sighting.octets in seen:
            extra += len(sighting.octets)
        seen.add(sighting.octets)
    return extra


def duplicates(sent: Sequence[Sighting], received: Sequence[Sighting], begin: float, end: float) -> int:
    """Copies beyond the first that arrived in the window, of those that their sender has sent: an attacker's
    replays are none."""
    left = Counter(sighting.octets for sighting in sent)
    came = Counter(sighting.octets for sighting in received if begin <= sighting.time <= end)
    return sum(max(0, min(count, left[octets]) - 1) for octets, count in came.items())


def direction(
    stream: Sequence[Delivery],
    received: Sequence[Sighting],
    began: float,
    ended: float,
    unheard_ms: float | None = None,
    *,
    sent: Sequence[Sighting] = (),
    clock: int = 8000,
) -> Direction:
    """One direction of a move between `began` (the earlier of detach and new attach) and `ended` (the later).
    `clock`: of the RTP timestamps, Hz."""
    begin, end = began - BEFORE, ended + AFTER
    calm_begin = begin - min(5.0, BEFORE + AFTER)
    old, new = delay(stream, began - 2.0, began - 0.05), delay(stream, ended + 1.0, end)
    return Direction(
        gap_ms=_ms(gap(stream, begin, end)),
        gap_without_move_ms=_ms(gap(stream, calm_begin, begin)),
        owd_old_ms=None if old is None else _ms(old),
        owd_new_ms=None if new is None else _ms(new),
        lost=lost(stream, begin, end),
        recovered=recovered(stream, begin, end, clock, (new or 0.0) - (old or 0.0)),
        duplicates=duplicates(sent, received, begin, end),
        unheard_ms=unheard_ms,
        extra_bytes=extra_octets(sent, begin, end),
    )


def flows_after(stream: Sequence[Delivery], sent_from: str, received_on: str, since: float) -> float | None:
    """When media first arrived after a time that had left and come by these places; "" stands for any."""
    times = [
        d.received_at
        for d in stream
        if d.received_at is not None
        and d.received_at >= since
        and sent_from in ("", d.sent_from)
        and received_on in ("", d.received_on)
    ]
    return min(times, default=None)


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 2)


def spread(values: Iterable[float]) -> dict[str, float]:
    """Minimum, median, 95th percentile and maximum."""
    ordered = sorted(values)
    if not ordered:
        return {}
    at95 = ordered[min(len(ordered) - 1, round(0.95 * (len(ordered) - 1)))]
    return {
        "min": ordered[0],
        "median": round(statistics.median(ordered), 2),
        "p95": at95,
        "max": ordered[-1],
    }
