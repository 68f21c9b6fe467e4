"""What we sent in the last seconds, sealed, so that it can be sent again as it was: the outage buffer. Pure.

A packet that is sent again is the identical SRTP packet: its receiver's replay list knows a second copy (RFC 3711
section 3.3.2), and no index is used twice. Packets wait here for one of two reasons: the link was lost when they were
made, or the peer asked for them. What waits leaves oldest first, beside the newest speech, at a bounded pace.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable

AGE = 10.0  # seconds; 500 packets of 20 ms, and the peer's replay window has 1,024
OCTETS = 1 << 18  # of all packets kept: 10 s of any codec are less than half of that
PACE = 2.0  # seconds of late speech in a second: with what is said meanwhile 3 x real time
BURST = 0.06  # seconds of late speech that may leave at once
COPIES = 3  # of a packet beyond the first: a peer that asks more often is not helped by more
UNKNOWN_ROUND_TRIP = 0.2  # seconds
MOST_ASKED = 1024  # packets that one message may ask for; more than are ever kept


class _Kept:
    __slots__ = ("copies", "duration", "late", "left_at", "made_at", "octets")

    def __init__(self, octets: bytes, duration: float, made_at: float, left_at: float | None) -> None:
        self.octets = octets
        self.duration = duration
        self.made_at = made_at
        self.left_at = left_at  # when its last copy left; None: never
        self.late = False  # its last copy left beside newer packets
        self.copies = 0  # that were sent again


class SentPackets:
    """One stream's packets by sequence number.

    `resent`: copies that left because the peer asked. `sent_late`: packets whose first copy left after an outage.
    What is asked for is bounded by what is kept, by the pace, by `COPIES`, and by a budget: for each octet that
    leaves once, one octet may leave again.
    """

    def __init__(self, age: float = AGE, octets: int = OCTETS) -> None:
        self.resent = 0
        self.sent_late = 0
        self._age = age
        self._limit = octets
        self._kept: dict[int, _Kept] = {}  # by extended number, oldest first
        self._octets = 0
        self._newest = -1  # extended
        self._waiting: list[int] = []  # extended, ascending
        self._budget = 0  # octets
        self._credit = BURST  # seconds of speech that may leave now
        self._credited_at = float("-inf")

    @property
    def waiting(self) -> int:
        """Packets that are to leave late."""
        return len(self._waiting)

    # Packets in

    def left(self, octets: bytes, duration: float, now: float) -> None:
        """A sealed packet, of `duration` seconds of speech, leaves now."""
        self._keep(_Kept(octets, duration, now, now))
        self._budget = min(self._budget + len(octets), self._limit)

    def held(self, octets: bytes, duration: float, now: float) -> None:
        """A sealed packet cannot leave now: it waits."""
        number = self._keep(_Kept(octets, duration, now, None))
        self._waiting.append(number)

    def _keep(self, packet: _Kept) -> int:
        octets = packet.octets
        sequence = octets[2] << 8 | octets[3]
        newest = self._newest
        number = sequence if newest < 0 else newest + ((sequence - newest) & 0xFFFF)
        self._newest = number
        self._kept[number] = packet
        self._octets += len(octets)
        self._forget(packet.made_at)
        return number

    def _forget(self, now: float) -> None:
        """What is too old, or too much."""
        kept = self._kept
        while kept:
            oldest = next(iter(kept))
            if now - kept[oldest].made_at <= self._age and self._octets <= self._limit:
                return
            self._octets -= len(kept.pop(oldest).octets)
            if self._waiting and self._waiting[0] == oldest:
                del self._waiting[0]

    def clear(self) -> None:
        """Nothing of this is to be sent again."""
        self._kept.clear()
        self._waiting.clear()
        self._octets = 0

    def drop_held(self, before: float) -> None:
        """Who listens would not wait any more for what was made earlier and never left."""
        self._waiting = [
            number
            for number in self._waiting
            if self._kept[number].left_at is not None or self._kept[number].made_at >= before
        ]

    # What the peer asks for

    def ask(self, sequences: Iterable[int], now: float, round_trip: float | None = None) -> None:
        """These are missing at the peer. A late copy that left less than a round trip ago it could not have, when it
        asked."""
        for count, sequence in enumerate(sequences):
            if count == MOST_ASKED:
                return
            self._ask(self._newest - ((self._newest - sequence) & 0xFFFF), now, round_trip)

    def resume_after(self, sequence: int, oldest: float, now: float, round_trip: float | None = None) -> None:
        """The peer has moved: all that left behind `sequence` went to where it is not any more. It would not wait for
        what is older than `oldest` seconds."""
        first = self._newest - ((self._newest - sequence) & 0xFFFF) + 1
        for number, packet in self._kept.items():
            if number >= first and now - packet.made_at <= oldest:
                self._ask(number, now, round_trip)

    def _ask(self, number: int, now: float, round_trip: float | None) -> None:
        packet = self._kept.get(number)
        if packet is None or packet.left_at is None:
            return
        recently = UNKNOWN_ROUND_TRIP if round_trip is None else round_trip
        if not (packet.late and now - packet.left_at < recently) and packet.copies < COPIES:
            self._wait(number)

    def _wait(self, number: int) -> None:
        at = bisect_left(self._waiting, number)
        if self._waiting[at : at + 1] != [number]:
            self._waiting.insert(at, number)

    # Packets out

    def late(self, now: float, may_send: Callable[[int], bool]) -> list[bytes]:
        """What is to leave now, oldest first. `may_send` is asked with the octets of each packet, and counts them
        when it says yes; what may not leave goes on waiting."""
        self._forget(now)
        passed = min(now - self._credited_at, 1.0)
        self._credit = min(BURST, self._credit + passed * PACE)
        self._credited_at = now
        leaving = []
        while self._waiting:
            packet = self._kept[self._waiting[0]]
            if packet.left_at is not None and self._budget < len(packet.octets):
                del self._waiting[0]  # the peer may ask again when there is a budget again
                continue
            if self._credit < packet.duration - 1e-6 or not may_send(len(packet.octets)):
                break
            del self._waiting[0]
            self._credit -= packet.duration
            self._count(packet)
            packet.left_at, packet.late = now, True
            leaving.append(packet.octets)
        return leaving

    def _count(self, packet: _Kept) -> None:
        if packet.left_at is None:
            self.sent_late += 1
            self._budget = min(self._budget + len(packet.octets), self._limit)
        else:
            self.resent += 1
            packet.copies += 1
            self._budget -= len(packet.octets)
