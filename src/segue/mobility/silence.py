"""Missing packets, noticed when the kernel says nothing. Pure.

A network may stop to carry anything while its link stays up, and nothing tells but what does not come. So a peer that
sends packet after packet is listened to: when none has come for three packet times and some jitter, but never sooner
than after 60 ms at 20 ms a packet and never later than after 100, that is worth a check of the path, and no more than
that: the peer may be the one that moves. Whether our own network still answers is another question, which others ask
(`conductor`).

A talker who says nothing may send nothing (RFC 3551 section 4.1). Such a pause shows when it is over: the sequence
numbers go on, and the timestamps have jumped (RFC 3550 section 5.1). A peer who was seen to pause once is never again
expected to send.
"""

from __future__ import annotations

from segue.mobility.observation import MediaFact

PACKETS = 3  # packet times without a packet that are a silence
LONGEST = 5  # packet times of jitter and all
JITTERS = 4  # times the mean deviation that is allowed beyond: what a packet is hardly ever late
STEADY = 10  # packets one after the other before any is expected
ADAPT = 1 / 16  # of the mean deviation, as RFC 3550 section 6.4.1


class MediaSilence:
    """What comes from one peer of a call, over all of its paths. `packet_time` in seconds, as agreed."""

    def __init__(self, packet_time: float = 0.02) -> None:
        self._packet_time = packet_time
        self._interface = ""  # where something came last
        self._last: tuple[float, int, int] | None = None  # when, sequence number, timestamp
        self._ticks = 0  # of the timestamp, from one packet to the next
        self._jitter = 0.0  # mean deviation of the time between two packets, s
        self._steady = 0
        self._pauses = False
        self._expected = True
        self._silent = False
        self._events: list[MediaFact] = []

    def expect(self, sends: bool) -> None:
        """Whether the peer is to send at all: not while one of the two holds the call."""
        if sends != self._expected:
            self._expected, self._steady, self._last = sends, 0, None
            self._end_silence()

    def received(self, interface: str, sequence: int, timestamp: int, now: float) -> None:
        """An authenticated packet came, the first of its copies or another."""
        before, self._last = self._last, (now, sequence, timestamp)
        self._end_silence()
        self._interface = interface
        if before is None:
            return
        elapsed, step = now - before[0], (sequence - before[1]) & 0xFFFF
        ticks = (timestamp - before[2]) & 0xFFFFFFFF
        if step != 1:  # lost, late or a copy: says nothing about the talker
            self._steady = 0 if step > LONGEST else self._steady
            return
        if self._ticks and ticks > 2 * self._ticks and elapsed > 2 * self._packet_time:
            self._pauses = True
        if ticks <= 1 << 16:
            self._ticks = min(ticks, self._ticks) if self._ticks else ticks
        deviation = abs(elapsed - self._packet_time)
        self._jitter += ADAPT * (min(deviation, LONGEST * self._packet_time) - self._jitter)
        self._steady += 1

    @property
    def limit(self) -> float:
        """Seconds after which the absence of packets is a silence."""
        longest = LONGEST * self._packet_time
        return min(longest, PACKETS * self._packet_time + JITTERS * self._jitter)

    def deadline(self) -> float | None:
        waits = self._expected and not self._pauses and not self._silent and self._steady >= STEADY
        return self._last[0] + self.limit if waits and self._last is not None else None

    def expire(self, now: float) -> None:
        due = self.deadline()
        if due is not None and due <= now:
            self._silent = True
            self._events.append(MediaFact(self._interface, silent=True))

    def events(self) -> list[MediaFact]:
        """That nothing comes over an interface, and that something does again."""
        events, self._events = self._events, []
        return events

    def _end_silence(self) -> None:
        if self._silent:
            self._silent = False
            self._events.append(MediaFact(self._interface, silent=False))
