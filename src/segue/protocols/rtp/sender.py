"""Our side of an RTP stream: sequence number, timestamp and what sender reports say (RFC 3550 section 5.1)."""

from __future__ import annotations

from segue.protocols.rtp.packet import FIXED


class RtpSender:
    """Numbers packets of one SSRC. The first `sequence` and `timestamp` are random numbers of the caller's;
    `timestamp` is that of the next sample, in units of `clock_rate` (Hz)."""

    def __init__(self, ssrc: int, sequence: int, timestamp: int, payload_type: int, clock_rate: int) -> None:
        self.ssrc = ssrc
        self.sequence = sequence & 0xFFFF  # of the next packet
        self.timestamp = timestamp & 0xFFFFFFFF
        self.payload_type = payload_type
        self.clock_rate = clock_rate
        self.packets = 0
        self.octets = 0  # of payload, as sender reports count them

    def packet(self, payload: bytes, samples: int, marker: bool = False) -> bytes:
        """The packet for the next `samples` samples; `marker`: first after silence (RFC 3551 section 4.1)."""
        sequence, timestamp = self.sequence, self.timestamp
        self.sequence = (sequence + 1) & 0xFFFF
        self.timestamp = (timestamp + samples) & 0xFFFFFFFF
        self.packets += 1
        self.octets += len(payload)
        second = self.payload_type | 0x80 if marker else self.payload_type
        return FIXED.pack(0x80, second, sequence, timestamp, self.ssrc) + payload

    def event_packet(self, payload: bytes, payload_type: int, timestamp: int, marker: bool = False) -> bytes:
        """A packet of another payload type with a timestamp of its own, such as all packets of a telephone event
        (RFC 4733 section 2.2); it takes no samples, `skip` does."""
        sequence = self.sequence
        self.sequence = (sequence + 1) & 0xFFFF
        self.packets += 1
        self.octets += len(payload)
        second = payload_type | 0x80 if marker else payload_type
        return FIXED.pack(0x80, second, sequence, timestamp, self.ssrc) + payload

    def skip(self, samples: int) -> None:
        """Time passes without a packet: silence, hold, or a telephone event in sound's place."""
        self.timestamp = (self.timestamp + samples) & 0xFFFFFFFF

    def change_payload(self, payload_type: int, clock_rate: int) -> None:
        """Another codec from the next packet on. Timestamps go on from where they are, at the new rate."""
        self.payload_type = payload_type
        self.clock_rate = clock_rate
