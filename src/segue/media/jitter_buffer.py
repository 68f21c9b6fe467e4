"""The adaptive jitter buffer: packets in by timestamp, one pull per tick of the packet clock.

What a pull finds:
- the packet at the playhead: its item;
- nothing at all (STARVED): the playhead stands still, so that a packet which is merely late is played
  whole, and the delay has then grown by itself: a step of delay costs its length in concealment, no word;
- a hole with later packets behind it (LOST): the playhead goes on; a hole that was waited for already is
  jumped over at once. Where what is missing is sent again (`SpeechPolicy.waits`), it stands still (STARVED);
- a pause of the talker (SILENCE): timestamps jump, sequence numbers do not (RFC 3551 section 4.1).

How much delay is right is `arrival_delay`'s question; `surplus` tells the playout how far off we are, and
the playout shortens or lengthens the sound until it is 0. A new path is a new anchor for `arrival_delay`,
found by what it does: packets after starvation, or nothing but late ones. Where the codec repeats each
packet in the next one (`lookahead`), the delay is longer by that while packets are lost.

Items are opaque: payloads, or whatever the caller wants back. Memory is bounded by CAPACITY items.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Iterable
from enum import Enum
from operator import itemgetter
from typing import Any, NamedTuple

from segue.media.arrival_delay import ArrivalDelay
from segue.media.lateness import Lateness
from segue.media.speech_policy import CONTINUOUS, SpeechPolicy

CAPACITY = 1024  # packets: ten seconds at 10 ms, and as many as an SRTP receiver believes to be no replay
LONGEST_PACKET = 0.2  # seconds; the longest that any phone is known to send
EARLY = 0.3  # seconds that a packet may come before its time without a second one to confirm it
JUMP = 1.0  # seconds beyond the largest delay at which timestamps must have been restarted
SAME_STREAM = 3000  # sequence numbers: a minute in which timestamps that advance just as they do are believed
HURRY = 3  # times as fast do the talker's pauses pass while the talk is late
TRIFLE = 0.061  # seconds of speech that concealment bridges: nobody misses a word
MOMENT = 0.3  # seconds of silence that they are worth
LONG_WAIT = 0.1  # seconds after which another short one is better than two
HELD = 0.02  # seconds for which the first packet after a wait is held, unless a second one comes
SLACK = 0.01  # seconds of delay that may be wanting after a hole
CONFIRMING = 0.2  # seconds within which a second strange packet confirms the first
LATE_RUN = 3  # new packets in a row that were all late: the stream is elsewhere now
SOURCE_SILENT = 0.06  # seconds without the old source before another may take its place
SOURCE_RUN = 3  # or this many packets in a row from the other

SETTLING = 0.1  # seconds after a new anchor in which the delay is not judged

LOOKAHEAD_TIME = 10.0  # seconds after a loss for which the delay allows for redundancy

WINDOW = 64  # sequence numbers in which duplicates are known
WINDOW_MASK = (1 << WINDOW) - 1


class Missing(Enum):
    """Why a pull has no packet."""

    BUFFERING = "nothing was played yet"
    LOST = "a packet did not come, later ones did"
    STARVED = "no packet is there"
    SILENCE = "the talker pauses"


class _Packet(NamedTuple):
    timestamp: int  # extended: does not wrap
    ticks: int
    sequence: int
    item: Any
    arrived: float


_timestamp = itemgetter(0)


class JitterBuffer:
    """One stream's packets. Seconds are the `now` of the packet clock; ticks are RTP timestamp units."""

    def __init__(self, clock_rate: int, policy: SpeechPolicy = CONTINUOUS) -> None:
        self.arrival = ArrivalDelay(policy.smallest_delay)
        self._lateness = Lateness(self.arrival)
        self._policy = policy
        self.lookahead = 0.0  # seconds by which redundancy in the next packet comes later than what was lost
        self.ticks = 0  # duration of what the last pull gave or lacked
        self.received = 0  # first copies
        self.duplicates = 0
        self.late = 0  # came after their time
        self.missing = 0  # were not there at their time, whether they came later or never
        self.discarded = 0  # overflow, malformed, strays, and what a skip or a restart left behind
        self.restarts = 0
        self.given_up = 0.0  # seconds of the talk that were jumped over: too late, or never sent again
        self.jumped = False  # since the last pull that gave a packet
        self._source = 0
        self._other = (0, 0)  # another source, and how many packets of ours had come then
        self._other_run = 0
        self._heard_at = float("-inf")
        self._packets: deque[_Packet] = deque()
        self._latest = 0  # extended timestamp that the next one is compared with
        self._playhead = 0
        self._playing = False
        self._empty = True  # nothing was received since the (re)start
        self._starved_at = float("-inf")  # when the playhead began to stand still
        self._starved = False
        self._abandoned: set[int] = set()  # sequence numbers that will not be sent again
        self._late_run = 0
        self._strange: tuple[_Packet, float] | None = None  # far from its time; a second one will tell
        self._highest = 0  # sequence number
        self._seen = 0  # bits: which of the WINDOW sequence numbers up to the highest came
        self._played = -1  # sequence number of the packet played last
        self.use_clock(clock_rate)

    def __len__(self) -> int:
        return len(self._packets)

    @property
    def policy(self) -> SpeechPolicy:
        return self._policy

    @policy.setter
    def policy(self, policy: SpeechPolicy) -> None:
        self._policy = policy
        self.arrival.smallest = policy.smallest_delay

    @property
    def target(self) -> float:
        """The delay behind the fastest packet, in seconds, that playout should have."""
        return self.arrival.target

    def use_clock(self, clock_rate: int) -> None:
        """Timestamps count at `clock_rate` Hz from now on; drops what is held."""
        self._period = 1.0 / clock_rate
        self.frame_ticks = clock_rate // 50
        self._longest = int(clock_rate * LONGEST_PACKET)
        self._forget_stream()

    def expect_move(self, extra: float, now: float, duration: float) -> None:
        """A move is expected: have `extra` seconds more delay than learnt for `duration` seconds."""
        self.arrival.expect_move(extra, now, duration)

    def stand_still(self) -> None:
        """The talk ends for now, as agreed. What of it is still missing is not waited for when it goes on."""
        self._forget_stream()

    def expect_outage(self, now: float) -> None:
        """Our own link is gone: that nothing comes from now on says nothing of the path's jitter."""
        self._lateness.expect_outage(now + self._policy.limit)

    def abandon(self, sequences: Iterable[int]) -> None:
        """These packets will not be sent again."""
        played = self._played
        ahead = {each for each in self._abandoned if 0 < (each - played) & 0xFFFF < 0x8000}
        self._abandoned = ahead
        for each in sequences:
            if len(ahead) < CAPACITY:
                ahead.add(each & 0xFFFF)

    # --- packets in

    def put(
        self, sequence: int, timestamp: int, item: Any, now: float, ticks: int = 0, source: int = 0
    ) -> bool:
        """Take a packet that arrived at `now`: RTP sequence number and timestamp, extended or not.

        `ticks` is its duration (default: 20 ms), `source` its SSRC. Returns whether it is kept.
        """
        if source != self._source and not self._follow(source, now):
            self.discarded += 1
            return False
        ticks = ticks or self.frame_ticks
        if not 0 < ticks <= self._longest:
            self.discarded += 1
            return False
        sequence &= 0xFFFF
        if self._empty:
            self._begin(_Packet(timestamp, ticks, sequence, item, now), now)
            return True
        latest = self._latest
        extended = latest + (((timestamp - latest + 0x8000_0000) & 0xFFFF_FFFF) - 0x8000_0000)
        delay = now - extended * self._period
        arrival = self.arrival
        if not (
            -EARLY < delay - arrival.base < self._policy.limit + JUMP
            or self._same_stream(sequence, extended, ticks)
        ):
            return self._stray(_Packet(extended, ticks, sequence, item, now), now)
        if self._lateness.expected_until > 0.0:
            self._lateness.first_since(self._heard_at, now)
        self._heard_at = now
        # Which sequence numbers came is kept as bits below the highest; a copy is known by its bit.
        ahead = (sequence - self._highest) & 0xFFFF
        newest = 0 < ahead < 0x8000
        if newest:
            if ahead > 1 and self._policy.waits:
                self._lateness.hole(ahead - 1, (ahead - 1) * ticks * self._period, now)
            self._seen = ((self._seen << ahead) | 1) & WINDOW_MASK if ahead < WINDOW else 1
            self._highest = sequence
            self._latest = extended
        elif self._is_copy(-ahead & 0xFFFF):
            self.duplicates += 1
            return False
        self.received += 1
        packets = self._packets
        packet = _Packet(extended, ticks, sequence, item, now)
        if self._playing and extended + (ticks >> 1) <= self._playhead:
            return self._arrive_late(packet, delay, now, newest)
        self._late_run = 0
        if newest and not self._starved:
            arrival.observe(delay, now)
        else:
            self._learn(delay, now, newest)
        if not packets or extended > packets[-1][0]:
            packets.append(packet)
        elif not self._insert(packet):
            self.duplicates += 1
            return False
        if len(packets) > CAPACITY:
            self._skip_to(packets[1][0])
        return True

    def is_older(self, sequence: int) -> bool:
        """Than the newest packet of this stream."""
        return not self._empty and (self._highest - sequence) & 0xFFFF < 0x8000

    def _learn(self, delay: float, now: float, newest: bool) -> None:
        """What a packet that is in time says of the path."""
        if self._starved and not self._packets and delay > self.arrival.base:
            self._lateness.starvation_ended(delay, self._starved_at, self._policy, now)
        elif newest:
            self.arrival.observe(delay, now)
        else:
            self._lateness.reordered(delay, self._policy, now)

    def _follow(self, source: int, now: float) -> bool:
        """Another SSRC: the stream's new source, or a second one that must not cut up the first?"""
        if self._other != (source, self.received):  # packets of our own came between
            self._other, self._other_run = (source, self.received), 0
        self._other_run += 1
        if not self._empty and now - self._heard_at < SOURCE_SILENT and self._other_run < SOURCE_RUN:
            return False
        self.restarts += not self._empty
        self._source = source
        self._forget_stream()
        return True

    def _forget_stream(self) -> None:
        """As at the beginning, but for the counters and what was learnt of the jitter."""
        self.discarded += len(self._packets)
        self._packets.clear()
        self._empty = True
        self._playing = False
        self._starved = False
        self._late_run = 0
        self._strange = None
        self._played = -1

    def _begin(self, packet: _Packet, now: float) -> None:
        """The first packet of the stream, or of what it has become."""
        self._empty = False
        self.received += 1
        self._heard_at = now
        self._latest = packet.timestamp
        self._highest = packet.sequence
        self._seen = 1
        self.arrival.anchor(now - packet.timestamp * self._period, now)
        self._packets.append(packet)

    def _same_stream(self, sequence: int, timestamp: int, ticks: int) -> bool:
        """Whether the timestamp is as far from the newest one as the sequence number says."""
        ahead = ((sequence - self._highest + 0x8000) & 0xFFFF) - 0x8000
        return abs(ahead) < SAME_STREAM and timestamp - self._latest == ahead * ticks

    def _is_copy(self, behind: int) -> bool:
        if behind >= WINDOW:
            return False
        bit = 1 << behind
        if self._seen & bit:
            return True
        self._seen |= bit
        return False

    def _insert(self, packet: _Packet) -> bool:
        """Put a reordered packet where it belongs; False when that place is taken."""
        packets = self._packets
        index = bisect_left(packets, packet.timestamp, key=_timestamp)
        if index < len(packets) and packets[index][0] == packet.timestamp:
            return False
        packets.insert(index, packet)
        return True

    def _stray(self, packet: _Packet, now: float) -> bool:
        """Far from its time: a stray, unless the one before was as strange (RFC 3550 appendix A.1)."""
        first, then = self._strange or (packet, now)
        self._strange = (packet, now)
        if first.sequence == packet.sequence:
            return False
        apart = (packet.timestamp - first.timestamp) * self._period
        if abs(now - then - apart) > CONFIRMING:
            self.discarded += 1
            return False
        self._strange = None
        delay = then - first.timestamp * self._period
        if abs(delay - self.arrival.base) < self._policy.limit + JUMP:
            self.arrival.anchor(delay, then)  # a much faster path; what is held stays good
            self.put(first.sequence, first.timestamp, first.item, then, first.ticks, self._source)
        else:
            self.restarts += 1
            self._forget_stream()
            self._begin(first, then)
        return self.put(packet.sequence, packet.timestamp, packet.item, now, packet.ticks, self._source)

    def _arrive_late(self, packet: _Packet, delay: float, now: float, newest: bool) -> bool:
        """After its time. Nothing but new packets that are all late means that the stream is elsewhere."""
        if newest or not self._policy.waits:
            self.arrival.observe(delay, now)
        self.late += 1
        elsewhere = newest and not self._packets and not self.arrival.held_up
        self._late_run = self._late_run + 1 if elsewhere else 0
        if self._late_run < LATE_RUN:
            return False
        self.restarts += 1
        self._forget_stream()
        self._begin(packet, now)
        return True

    # --- packets out

    def get(self, now: float) -> Any:
        """The item for this tick of the packet clock, or a Missing; `ticks` then tells its duration."""
        packets = self._packets
        if not packets:
            self.ticks = self.frame_ticks
            if not self._playing:
                return Missing.BUFFERING
            if not self._starved:
                self._starved = True
                self._starved_at = now
            return Missing.STARVED
        if self._starved and self._policy.complete and not self._may_go_on(now):
            self.ticks = self.frame_ticks
            return Missing.STARVED
        head = packets[0]
        gap = head[0] - self._playhead
        if not self._playing:
            if now - head[0] * self._period - self.arrival.base < self.arrival.target:
                self.ticks = self.frame_ticks
                return Missing.BUFFERING
            self._playing = True
        elif gap > head[1] >> 1:
            missing = self._at_hole(head, gap, now)
            if missing is not None:
                return missing
        packets.popleft()
        self._starved = False
        if self._played >= 0:
            skipped = (head[2] - self._played - 1) & 0xFFFF
            if 0 < skipped < 0x8000:
                self._count_missing(skipped, now)
        self._played = head[2]
        self._playhead = head[0] + head[1]
        self.ticks = head[1]
        return head[3]

    def _at_hole(self, head: _Packet, gap: int, now: float) -> Missing | None:
        """What to do before the packet at the head, `gap` ticks ahead of the playhead; None: play it."""
        self.ticks = min(self.frame_ticks, gap)
        if self._pause:
            age = now - head.timestamp * self._period - self.arrival.base
            late = age >= self.arrival.target
            if late and (self._starved or not self._policy.complete):
                return None
            if not self._starved:
                self._playhead += min(gap, HURRY * self.ticks) if late else self.ticks
            return Missing.SILENCE
        if self._policy.waits and not self._trifle(head, gap, now) and self._awaited(head, gap):
            if not self._starved:
                self._starved = True
                self._starved_at = now
            return Missing.STARVED
        if self._starved:  # what was missing has been waited for; but keep the delay that the path needs
            age = now - head.timestamp * self._period - self.arrival.base
            if age <= self.arrival.target - SLACK:
                return Missing.STARVED
            self._jump_to(head.timestamp)
            return None
        self._playhead += self.ticks
        return Missing.LOST

    def _trifle(self, head: _Packet, gap: int, now: float) -> bool:
        """Whether so little is missing that it is no word, and was waited for long enough for that."""
        if gap * self._period > TRIFLE or not self._starved:
            return False
        return now - max(head.arrived, self._starved_at) >= MOMENT

    def _awaited(self, head: _Packet, gap: int) -> bool:
        """Whether a packet is still to come between the playhead and the head. Those before it that will not come are
        jumped over when the talk stands still anyway."""
        first = self._played + 1
        count = (head.sequence - first) & 0xFFFF
        gone = 0
        while gone < count and (first + gone) & 0xFFFF in self._abandoned:
            gone += 1
        if gone == count:
            return False
        if gone and self._starved:
            self._jump_to(self._playhead + gap * gone // count)
            self._played = (self._played + gone) & 0xFFFF
            self.missing += gone
        return True

    def _may_go_on(self, now: float) -> bool:
        """After a long wait: not with a single packet that has just come, or the talk would stop again behind it."""
        self._give_up(now)
        packets = self._packets
        if not packets:
            return False
        head = packets[0]
        if head[0] - self._playhead > head[1] >> 1:
            return True  # there is a hole, which has rules of its own
        waited = now - self._starved_at >= LONG_WAIT
        return not waited or now - head.arrived >= HELD or self._held() > head[1] * self._period

    def _give_up(self, now: float) -> None:
        """What comes, or would come, later than the limit. What came in time is played though others were waited for
        meanwhile."""
        packets, late = self._packets, self.arrival.base + self._policy.limit
        while packets and packets[0][4] - packets[0][0] * self._period > late:
            head = packets.popleft()
            self._jump_to(head[0] + head[1])
            self._played = head[2]
            self.discarded += 1
        if packets and not self._pause:
            frames = int((now - late) / self._period - self._playhead) // self.frame_ticks
            self._jump_to(min(self._playhead + frames * self.frame_ticks, packets[0][0]))

    @property
    def _pause(self) -> bool:
        """Between the playhead and the head nothing is missing: the talker pauses, if there is anything."""
        return self._packets[0][2] == (self._played + 1) & 0xFFFF

    def _jump_to(self, timestamp: int) -> None:
        if timestamp > self._playhead:
            self.given_up += (timestamp - self._playhead) * self._period
            self._playhead = timestamp
            self.jumped = True

    def _count_missing(self, count: int, now: float) -> None:
        self.missing += count
        if self.lookahead:
            self.arrival.expect(self.lookahead, now, LOOKAHEAD_TIME)

    @property
    def next_item(self) -> Any:
        """The item at the playhead, without taking it; None when the next pull has a Missing."""
        packets = self._packets
        if packets and self._playing and packets[0][0] - self._playhead <= packets[0][1] >> 1:
            return packets[0][3]
        return None

    # --- how far off the delay is

    def delay(self, now: float) -> float:
        """Seconds that the next packet to be pulled is behind the fastest recent one; 0 when none plays."""
        return now - self._playhead * self._period - self.arrival.base if self._playing else 0.0

    def surplus(self, delay: float, now: float) -> float:
        """How much longer `delay` is than it should be, in seconds; negative when it is too short.

        Of a surplus only what is held without a hole can be taken out: packets of a slower path may still
        be under way. A delay beyond the largest is cut here and now: it would take too long to catch up.
        """
        arrival = self.arrival
        if not self._playing or self._starved or now < arrival.anchored_at + SETTLING:
            return 0.0
        if delay > self._policy.limit:
            if not self._policy.complete:
                self._skip_to(int((now - arrival.base - arrival.target) / self._period))
                return 0.0
            self._give_up(now)
        surplus = delay - arrival.target
        return min(surplus, self._held()) if surplus > self.frame_ticks * self._period else surplus

    def _held(self) -> float:
        """Seconds that can be played without a hole."""
        end = self._playhead
        for timestamp, ticks, _, _, _ in self._packets:
            if timestamp - end > ticks >> 1:
                break
            end = timestamp + ticks
        return (end - self._playhead) * self._period

    def _skip_to(self, timestamp: int) -> None:
        """Give up what is before `timestamp`."""
        packets = self._packets
        while len(packets) > 1 and packets[0][0] < timestamp:
            self._played = packets.popleft()[2]
            self.discarded += 1
        if packets and self._playing:
            self._jump_to(packets[0][0])
