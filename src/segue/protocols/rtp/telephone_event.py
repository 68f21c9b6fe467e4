"""Telephone events, for now DTMF digits (RFC 4733 sections 2.3, 2.5 and 3.2)."""

from __future__ import annotations

from collections import deque
from struct import Struct
from typing import NamedTuple

from segue.base.errors import LocalError, RemoteError
from segue.protocols.rtp.sender import RtpSender

DIGITS = "0123456789*#ABCD"
LONGEST = 0xFFFF  # what a duration field can say; longer events go on in another segment
COPIES = 3  # of the last packet of an event (section 2.5.1.4)
QUEUE = 64  # digits
REMEMBERED = 32  # events whose late packets are known

_FORMAT = Struct("!BBH")


class TelephoneEvent(NamedTuple):
    """`duration` in units of the RTP clock, `volume` in -dBm0 (0 to 63)."""

    event: int
    end: bool
    volume: int
    duration: int

    def to_bytes(self) -> bytes:
        return _FORMAT.pack(self.event, (0x80 if self.end else 0) | self.volume, self.duration)

    @property
    def digit(self) -> str | None:
        """None for events that are no DTMF digits."""
        return DIGITS[self.event] if self.event < len(DIGITS) else None


def parse_telephone_events(payload: bytes) -> list[TelephoneEvent]:
    """The events of one packet, as a rule one (section 2.5.1.5). Raises RemoteError."""
    if not payload or len(payload) % 4:
        raise RemoteError("a telephone event has four octets")
    return [
        TelephoneEvent(event, flags >= 0x80, flags & 0x3F, duration)
        for event, flags, duration in _FORMAT.iter_unpack(payload)
    ]


class DtmfSender:
    """Digits waiting to be sent, one after another.

    `duration` and `gap` in seconds: of a digit, and at least between two (section 2.5.1.1: 40 ms are the least
    that receivers take). For each frame of sound `next_packet` is asked first; what it returns takes the
    frame's place.
    """

    def __init__(
        self,
        payload_type: int,
        clock_rate: int,
        *,
        duration: float = 0.1,
        gap: float = 0.08,
        volume: int = 10,
    ) -> None:
        self.payload_type = payload_type
        self._duration = min(round(duration * clock_rate), LONGEST)
        self._gap = round(gap * clock_rate)
        self._volume = volume
        self._waiting: deque[int] = deque()
        self._event: int | None = None
        self._timestamp = 0
        self._elapsed = 0
        self._copies = 0
        self._pause = 0  # samples until the next digit may begin

    def press(self, digits: str) -> None:
        """Send these after those that wait. Raises LocalError for what is no digit, or too many."""
        events = [DIGITS.find(digit) for digit in digits.upper()]
        if -1 in events:
            raise LocalError(f"{digits!r} is not all DTMF digits", f"use {DIGITS}")
        if len(self._waiting) + len(events) > QUEUE:
            raise LocalError("too many digits at a time", f"{QUEUE} may wait")
        self._waiting.extend(events)

    @property
    def busy(self) -> bool:
        """Whether digits wait or one is being sent."""
        return bool(self._waiting) or self._event is not None

    def next_packet(self, sender: RtpSender, samples: int) -> bytes | None:
        """The packet for the time of the next `samples` samples, which it takes from `sender`; None when sound
        may go in it, as between two digits."""
        marker = False
        if self._event is None:
            if self._pause or not self._waiting:
                self._pause = max(self._pause - samples, 0)
                return None
            self._event = self._waiting.popleft()
            self._timestamp, self._elapsed, self._copies, marker = sender.timestamp, 0, 0, True
        self._elapsed += samples
        end = self._elapsed >= self._duration
        # The last packet comes again as it was: a receiver must not take its copies for a longer tone.
        duration = min(self._elapsed, self._duration)
        report = TelephoneEvent(self._event, end, self._volume, duration)
        packet = sender.event_packet(report.to_bytes(), self.payload_type, self._timestamp, marker)
        sender.skip(samples)
        if end:
            self._copies += 1
            if self._copies == COPIES:
                self._event = None
                # Two copies have passed since the tone ended, and are part of the gap.
                self._pause = max(self._gap - (COPIES - 1) * samples, 0)
        return packet


class DtmfReceiver:
    """Each digit once, at its first packet, whatever of the others is lost, doubled or late."""

    def __init__(self) -> None:
        self._seen: deque[tuple[int, int]] = deque(maxlen=REMEMBERED)  # (timestamp, event)
        self._last = TelephoneEvent(-1, True, 0, 0)
        self._last_timestamp = 0

    def receive(self, payload: bytes, timestamp: int) -> str | None:
        """The digit or digits that begin with this packet; None as a rule, and for what is malformed."""
        try:
            events = parse_telephone_events(payload)
        except RemoteError:
            return None
        digits = ""
        for event in events:
            digits += self._receive(event, timestamp)
            timestamp = (timestamp + event.duration) & 0xFFFFFFFF
        return digits or None

    def _receive(self, event: TelephoneEvent, timestamp: int) -> str:
        last = self._last
        passed = (timestamp - self._last_timestamp) & 0xFFFFFFFF
        known = (timestamp, event.event) in self._seen
        # A tone longer than the duration field goes on under a new timestamp (section 2.5.1.3).
        goes_on = event.event == last.event and not last.end and 0 < passed in {last.duration, LONGEST}
        if not known:
            self._seen.append((timestamp, event.event))
        if not known or (passed == 0 and event.duration >= last.duration):
            self._last, self._last_timestamp = event, timestamp
        return "" if known or goes_on else event.digit or ""
