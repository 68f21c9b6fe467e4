"""What a receiver knows of one source: sequence, loss, jitter (RFC 3550 appendices A.1, A.3 and A.8)."""

from __future__ import annotations

from array import array

from segue.protocols.rtp.packet import RtpPacket
from segue.protocols.rtp.report_block import ReportBlock

MAX_DROPOUT = 3000  # packets; a larger step ahead is believed when the next packet confirms it
MAX_MISORDER = 1024  # as old as the SRTP replay window lets packets be: what is sent again after an outage
SLOTS = 2048  # extended sequence numbers remembered, to know a second copy; over MAX_MISORDER
SENT_AGAIN = 3  # packets behind the highest: more than reordering explains; it was missed, and sent again
NEVER = (1 << 64) - 1
NO_SEQUENCE = 1 << 16


class RtpSource:
    """One SSRC of the peer's. `clock_rate` in Hz; jitter is in its units.

    `probation`: packets in sequence that are wanted before any counts; 0 where SRTP authenticates them, 2 as
    appendix A.1 has it where nothing does.
    """

    def __init__(self, ssrc: int, clock_rate: int, *, probation: int = 0) -> None:
        self.ssrc = ssrc
        self.clock_rate = clock_rate
        self.received = 0
        self.duplicates = 0
        self.jitter = 0.0
        self.heard_at = float("-inf")
        self._probation = probation
        self._highest = -1  # extended; below 0 until there was a packet
        self._first = 0
        self._next_bad = NO_SEQUENCE
        self._seen = array("Q", [NEVER]) * SLOTS
        self._timestamp = -1
        self._arrival = 0.0
        self._expected_prior = 0
        self._received_prior = 0

    @property
    def extended_sequence(self) -> int:
        """The highest sequence number with the count of its cycles above 16 bits; 0 before the first."""
        return max(self._highest, 0)

    @property
    def expected(self) -> int:
        """Packets that were sent so far, as far as sequence numbers tell."""
        return 0 if self._highest < 0 else self._highest - self._first + 1

    @property
    def lost(self) -> int:
        """Packets expected and not received so far."""
        return self.expected - self.received

    def receive(self, packet: RtpPacket, now: float) -> int | None:
        """The extended sequence number of a packet; None when it is a second copy, or far out of sequence and
        not confirmed by its successor, or on probation."""
        sequence = packet.sequence
        highest = self._highest
        ahead = (sequence - highest) & 0xFFFF
        if highest < 0 or self._probation:
            if not self._begin(sequence):
                return None
            extended = self._highest
        elif 0 < ahead < MAX_DROPOUT:
            extended = self._highest = highest + ahead
        elif ahead == 0 or ahead > 0x10000 - MAX_MISORDER:
            extended = highest - (0x10000 - ahead) if ahead else highest
            if extended < 0 or self._seen[extended % SLOTS] == extended:
                self.duplicates += extended >= 0
                return None
            self._first = min(extended, self._first)
        elif sequence == self._next_bad:
            # Two in sequence: the source has jumped, or begun again (A.1). Numbers given out go on upwards.
            extended = self._restart(sequence, (highest >> 16) + 1)
        else:
            self._next_bad = (sequence + 1) & 0xFFFF
            return None
        self._seen[extended % SLOTS] = extended
        self.received += 1
        self.heard_at = now
        if packet.timestamp != self._timestamp and self._highest - extended < SENT_AGAIN:
            self._measure_jitter(packet.timestamp, now)
        return extended

    def _begin(self, sequence: int) -> bool:
        """The first packets; True when this one counts."""
        in_sequence = self._highest >= 0 and sequence == (self._highest + 1) & 0xFFFF
        if self._highest < 0 or in_sequence:
            self._probation = max(self._probation - 1, 0)
        else:
            self._probation = 1
        self._first = self._highest = sequence
        return self._probation == 0

    def _restart(self, sequence: int, cycle: int) -> int:
        extended = cycle << 16 | sequence
        self._highest = self._first = extended
        self._next_bad = NO_SEQUENCE
        self.received = self._expected_prior = self._received_prior = 0
        return extended

    def _measure_jitter(self, timestamp: int, now: float) -> None:
        """Appendix A.8, without packets that say nothing of the network: those that repeat their predecessor's
        timestamp, as all of one telephone event do, and those that were sent again, or late."""
        if self._timestamp >= 0:
            sent = (timestamp - self._timestamp + 0x80000000 & 0xFFFFFFFF) - 0x80000000
            difference = abs((now - self._arrival) * self.clock_rate - sent)
            self.jitter += (difference - self.jitter) / 16
        self._timestamp = timestamp
        self._arrival = now

    def change_clock_rate(self, clock_rate: int) -> None:
        """The source's payload has another clock now (RFC 7160 section 4): jitter is kept in seconds."""
        if clock_rate != self.clock_rate:
            self.jitter *= clock_rate / self.clock_rate
            self.clock_rate = clock_rate
            self._timestamp = -1

    def report_block(self, last_sr: int = 0, delay: int = 0) -> ReportBlock:
        """What to report of it (RFC 3550 section 6.4.1); the fraction is of the time since the last call.

        `last_sr`: middle 32 bits of its last sender report's NTP time; `delay` since then in 1/65,536 s.
        """
        expected, received = self.expected, self.received
        wanted = expected - self._expected_prior
        lost = wanted - (received - self._received_prior)
        self._expected_prior, self._received_prior = expected, received
        return ReportBlock(
            ssrc=self.ssrc,
            fraction_lost=min((lost << 8) // wanted, 255) if wanted > 0 and lost > 0 else 0,
            lost=max(-0x800000, min(0x7FFFFF, expected - received)),
            extended_sequence=self.extended_sequence & 0xFFFFFFFF,
            jitter=min(int(self.jitter), 0xFFFFFFFF),
            last_sr=last_sr,
            delay=delay,
        )
