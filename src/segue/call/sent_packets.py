"""What we sent in the last seconds, sealed, so that it can be sent again as it was: the outage buffer. Pure.

A packet that is sent again is the identical SRTP packet: its receiver's replay list knows a second copy (RFC 3711
section 3.3.2), and no index is used twice. Packets wait here for one of two reasons: the link was lost when they were
made, or the peer asked for them. What waits leaves oldest first, beside the newest speech, at a bounded pace.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable

AGE = 10.0  # seconds that a packet is kept
SLOTS = 512  # packets kept: ten seconds of 20 ms each, the shortest that we make; the peer's replay window has 1,024
PACE = 2.0  # seconds of late speech in a second: with what is said meanwhile 3 x real time
BURST = 0.06  # seconds of late speech that may leave at once
COPIES = (
    10  # of a packet beyond the first: as many moves may follow each other before one of them gets through
)
BUDGET = 1 << 18  # octets that may leave again without any leaving once meanwhile
UNKNOWN_ROUND_TRIP, LONGEST_ROUND_TRIP = 0.2, 0.5  # seconds; what the peer reports may be of the path before
MOST_ASKED = 1024  # packets that one message may ask for; more than are ever kept


class _Late:
    """A packet of which a copy left late."""

    __slots__ = ("copies", "left_at")

    def __init__(self, left_at: float) -> None:
        self.left_at = left_at  # the last one
        self.copies = 0  # that were sent again


class SentPackets:
    """One stream's packets by sequence number.

    `resent`: copies beyond the first that left. `sent_late`: packets whose first copy left after an outage.
    What is asked for is bounded by what is kept, by the pace, by `COPIES`, and by a budget: for each octet that
    leaves once, one octet may leave again.
    """

    def __init__(self) -> None:
        self.resent = 0
        self.sent_late = 0
        self._octets = [b""] * SLOTS  # a ring by extended number
        self._made_at = [0.0] * SLOTS
        self._newest = -1  # extended
        self._duration = 0.02  # seconds of speech in a packet
        self._held: set[int] = set()  # extended; those that have not left
        self._late: dict[int, _Late] = {}  # by extended number
        self._waiting: list[int] = []  # extended, ascending
        self._budget = 0  # octets
        self._credit = BURST  # seconds of speech that may leave now
        self._credited_at = 0.0

    @property
    def waiting(self) -> int:
        """Packets that are to leave late."""
        return len(self._waiting)

    # Packets in

    def left(self, octets: bytes, duration: float, now: float) -> None:
        """A sealed packet, of `duration` seconds of speech, leaves now."""
        self._keep(octets, duration, now)
        budget = self._budget + len(octets)
        self._budget = budget if budget < BUDGET else BUDGET

    def held(self, octets: bytes, duration: float, now: float) -> None:
        """A sealed packet cannot leave now: it waits."""
        number = self._keep(octets, duration, now)
        self._held.add(number)
        self._waiting.append(number)
        if len(self._waiting) > SLOTS:
            self._held.discard(self._waiting.pop(0))

    def _keep(self, octets: bytes, duration: float, now: float) -> int:
        sequence, newest = octets[2] << 8 | octets[3], self._newest
        number = sequence if newest < 0 else newest + ((sequence - newest) & 0xFFFF)
        slot = number % SLOTS
        self._octets[slot] = octets
        self._made_at[slot] = now
        self._newest = number
        self._duration = duration
        return number

    def _kept(self, number: int, now: float) -> bytes:
        """The packet with an extended number; nothing when it is not kept any more."""
        slot = number % SLOTS
        known = 0 <= self._newest - number < SLOTS and now - self._made_at[slot] <= AGE
        return self._octets[slot] if known else b""

    def clear(self) -> None:
        """Nothing of this is to be sent again."""
        self._octets = [b""] * SLOTS
        self._waiting.clear()
        self._held.clear()
        self._late.clear()

    def drop_held(self, before: float) -> None:
        """Who listens would not wait any more for what was made earlier and never left."""
        over = {number for number in self._held if self._made_at[number % SLOTS] < before}
        self._held -= over
        self._waiting = [number for number in self._waiting if number not in over]

    def doubt(self, since: float, until: float) -> None:
        """What left in between may be lost: it leaves again without being asked for, all at once. Most of it will
        have come, and must not hold up what has not; it is a handful of packets."""
        before = len(self._waiting)
        for number in range(max(0, self._newest - SLOTS + 1), self._newest + 1):
            if since <= self._made_at[number % SLOTS] <= until:
                self._ask(number, until, 0.0)
        self._credit = BURST + (len(self._waiting) - before) * self._duration

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
        for number in range(max(first, self._newest - SLOTS + 1, 0), self._newest + 1):
            if now - self._made_at[number % SLOTS] <= oldest:
                self._ask(number, now, round_trip)

    def _ask(self, number: int, now: float, round_trip: float | None) -> None:
        if number in self._held or not self._kept(number, now):
            return
        late = self._late.get(number)
        recently = UNKNOWN_ROUND_TRIP if round_trip is None else min(round_trip, LONGEST_ROUND_TRIP)
        if late is not None and (late.copies >= COPIES or now - late.left_at < recently):
            return
        at = bisect_left(self._waiting, number)
        if self._waiting[at : at + 1] != [number]:
            self._waiting.insert(at, number)

    # Packets out

    def late(self, now: float, may_send: Callable[[int], bool]) -> list[bytes]:
        """What is to leave now, oldest first. `may_send` is asked with the octets of each packet, and counts them
        when it says yes; what may not leave goes on waiting."""
        leaving: list[bytes] = []
        if not self._waiting:
            return leaving
        if self._credit < BURST:
            self._credit = min(BURST, self._credit + (now - self._credited_at) * PACE)
        self._credited_at = now
        while self._waiting:
            number = self._waiting[0]
            octets = self._kept(number, now)
            # Where there is no budget the peer may ask again when there is.
            if not octets or (number not in self._held and self._budget < len(octets)):
                del self._waiting[0]
                self._held.discard(number)
                continue
            if self._credit < self._duration - 1e-6 or not may_send(len(octets)):
                break
            del self._waiting[0]
            self._credit -= self._duration
            self._count(number, len(octets), now)
            leaving.append(octets)
        return leaving

    def _count(self, number: int, octets: int, now: float) -> None:
        late = self._late.setdefault(number, _Late(now))
        late.left_at = now
        if number in self._held:
            self._held.remove(number)
            self.sent_late += 1
            self._budget = min(self._budget + octets, BUDGET)
        else:
            late.copies += 1
            self.resent += 1
            self._budget -= octets
        if len(self._late) > SLOTS:
            del self._late[next(iter(self._late))]
