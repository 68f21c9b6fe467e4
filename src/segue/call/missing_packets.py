"""What of the peer's stream has not come, and when to ask for it. Pure.

A hole is asked for as soon as it is no reordering, again after a round trip, a few times, and never when it is older
than who listens would wait for.
"""

from __future__ import annotations

REORDERED = 2  # packets that may overtake another before it counts as missing
OUTAGE = 5  # packets missing in a row: no reordering, asked for at once
REORDERING_TIME = 0.04  # seconds after which a packet is missing though none came since
ASKS = 8  # times at most that a packet is asked for
FIRST_WAIT = 0.2  # seconds until the next try while the round trip is not known
APART = 0.03  # seconds between two requests, at least
SHORTEST_WAIT, LONGEST_WAIT = 0.06, 1.0  # seconds: what a round trip of the path before may have us believe
MOST = 512  # packets asked for in one message: what the peer keeps
SENDER_PACE = 2.0  # at which we know that late packets come (call.sent_packets)
PACKET_TIMES = 0.01, 0.2  # seconds: what is believed of a peer's packet time
RESTART = 3000  # packets: a larger step is no hole (RFC 3550 appendix A.1, MAX_DROPOUT)


class _Hole:
    __slots__ = ("ask_at", "asked", "expires")

    def __init__(self, ask_at: float, expires: float) -> None:
        self.ask_at = ask_at
        self.expires = expires
        self.asked = 0


class MissingPackets:
    """Of one source, `ssrc`. `limit`: seconds that who listens waits for late speech.

    `asked`: packets that were asked for. `recovered`: of these, those that came then.
    """

    def __init__(self, ssrc: int, limit: float) -> None:
        self.ssrc = ssrc
        self.asked = 0
        self.recovered = 0
        self.unanswered = 0  # messages in a row that brought nothing
        self._limit = limit
        self._holes: dict[int, _Hole] = {}  # by extended number, ascending
        self._given_up: list[int] = []
        self._highest = -1
        self._packet_time = 0.02
        self._timestamp: float | None = None
        self._resumed: int | None = None  # behind which number the peer was asked to go on
        self._heard_at = 0.0
        self._asked_at = float("-inf")
        self._due = float("inf")  # not later than the first time at which something is to be asked for

    def __len__(self) -> int:
        return len(self._holes)

    def received(self, extended: int, media_time: float, now: float) -> None:
        """The first copy of a packet has come, with its timestamp in seconds."""
        self._heard_at = now
        ahead = extended - self._highest
        if ahead == 1:
            self._measure(media_time)
        elif ahead <= 0:
            self._fill(extended)
            return
        elif self._highest >= 0 and ahead < RESTART:
            self._notice(extended, now)
        self._timestamp = media_time
        self._highest = extended
        if self._holes:
            self._overtake(now, ahead)

    def _fill(self, extended: int) -> None:
        hole = self._holes.pop(extended, None)
        if hole is not None and hole.asked:
            self.recovered += 1
            self.unanswered = 0

    def _measure(self, media_time: float) -> None:
        """Of two packets in a row; those of a telephone event have one time."""
        if self._timestamp is not None:
            between = media_time - self._timestamp
            if PACKET_TIMES[0] <= between <= PACKET_TIMES[1]:
                self._packet_time = between

    def _notice(self, extended: int, now: float) -> None:
        """Everything between the highest so far and `extended` is missing."""
        first, resumed = self._highest + 1, self._resumed
        self._resumed = None
        wanted = int(self._limit / self._packet_time)  # older than that is of no use to who listens
        ask_at = now if extended - first >= OUTAGE else now + REORDERING_TIME
        for number in range(max(first, extended - min(wanted, MOST)), extended):
            expires = now - (extended - number) * self._packet_time + self._limit
            hole = self._holes[number] = _Hole(ask_at, expires)
            if resumed == self._highest:
                # The peer sends them by itself, the oldest beside its first packet, unless it has not heard of it.
                hole.asked = 1
                hole.ask_at = now + REORDERING_TIME + self._under_way(number - first)
                self.asked += 1
        self._due = now

    def _overtake(self, now: float, ahead: int) -> None:
        """Enough have come since: what they overtook is missing. Of a source that begins anew nothing is."""
        if ahead >= RESTART:
            self._holes.clear()
        for number, hole in self._holes.items():
            if number + REORDERED >= self._highest:
                return
            if not hole.asked and hole.ask_at > now:
                hole.ask_at = self._due = now

    def _under_way(self, rank: int) -> float:
        """Seconds that the peer needs for the packets before this one, which it sends first."""
        return rank * self._packet_time / SENDER_PACE

    def due(self, now: float, round_trip: float | None) -> tuple[int, ...]:
        """Sequence numbers to ask for now, oldest first; they count as asked for. As long as nothing comes at all the
        other end would not hear it either: one try is enough then."""
        if (
            not self._holes
            or now < max(self._due, self._asked_at + APART)
            or self._heard_at <= self._asked_at
        ):
            return ()
        self._give_up(now)
        wait = FIRST_WAIT if round_trip is None else min(max(1.5 * round_trip, SHORTEST_WAIT), LONGEST_WAIT)
        asking = [number for number, hole in self._holes.items() if hole.ask_at <= now][:MOST]
        # What was asked for and has yet to come is named too: the request before may have been lost, and who has it
        # knows that its copies are under way.
        named = [number for number, hole in self._holes.items() if hole.asked or hole.ask_at <= now][:MOST]
        for rank, number in enumerate(asking):
            hole = self._holes[number]
            self.asked += not hole.asked
            hole.asked += 1
            hole.ask_at = now + wait + self._under_way(rank)
        self._due = min((hole.ask_at for hole in self._holes.values()), default=float("inf"))
        if asking:
            self.unanswered += 1
            self._asked_at = now
        return tuple(number & 0xFFFF for number in named) if asking else ()

    def _give_up(self, now: float) -> None:
        over = [
            n
            for n, hole in self._holes.items()
            if hole.expires <= now or (hole.asked >= ASKS and hole.ask_at <= now)
        ]
        for number in over:
            del self._holes[number]
            self._given_up.append(number & 0xFFFF)

    def given_up(self) -> list[int]:
        """Sequence numbers that are not waited for any more, since the last call."""
        given_up, self._given_up = self._given_up, []
        return given_up

    def resume(self, now: float) -> tuple[int, tuple[int, ...]] | None:
        """We have moved, and the peer is asked to go on behind the highest number that came, which is returned with
        the numbers missing before it; None when nothing came yet."""
        if self._highest < 0:
            return None
        self._resumed = self._highest
        for hole in self._holes.values():
            hole.ask_at = self._due = now
        return self._highest & 0xFFFF, self.due(now, None)
