"""The RTP packet (RFC 3550 section 5.1)."""

from __future__ import annotations

from struct import Struct
from typing import NamedTuple

from segue.base.errors import RemoteError

FIXED = Struct("!BBHII")
FIXED_HEADER = 12  # octets


class Extension(NamedTuple):
    """A header extension (section 5.3.1): what its first 16 bits say, and whole 32 bit words of data."""

    profile: int
    data: bytes


class RtpPacket(NamedTuple):
    """`payload` is without padding; `timestamp` counts in the payload's clock rate."""

    payload_type: int
    marker: bool
    sequence: int
    timestamp: int
    ssrc: int
    payload: bytes
    csrcs: tuple[int, ...] = ()
    extension: Extension | None = None

    def to_bytes(self) -> bytes:
        first = 0x80 | len(self.csrcs) | (0x10 if self.extension is not None else 0)
        second = self.payload_type | (0x80 if self.marker else 0)
        octets = FIXED.pack(first, second, self.sequence, self.timestamp, self.ssrc)
        octets += b"".join(csrc.to_bytes(4, "big") for csrc in self.csrcs)
        if self.extension is not None:
            octets += Struct("!HH").pack(self.extension.profile, len(self.extension.data) // 4)
            octets += self.extension.data
        return octets + self.payload


def header_length(octets: bytes) -> int:
    """Octets of the header with CSRCs and extension. Raises RemoteError for what is no RTP packet."""
    if len(octets) < FIXED_HEADER:
        raise RemoteError("an RTP packet has 12 octets at least")
    first = octets[0]
    if first >> 6 != 2:
        raise RemoteError("not RTP version 2")
    length = FIXED_HEADER + 4 * (first & 0x0F)
    if first & 0x10:
        length += 4 + 4 * int.from_bytes(octets[length + 2 : length + 4], "big")
    if length > len(octets):
        raise RemoteError("an RTP header longer than its packet")
    return length


def parse_rtp(octets: bytes) -> RtpPacket:
    """Raises RemoteError."""
    if len(octets) >= FIXED_HEADER and octets[0] == 0x80:
        _, second, sequence, timestamp, ssrc = FIXED.unpack_from(octets)
        return RtpPacket(second & 0x7F, second > 0x7F, sequence, timestamp, ssrc, octets[12:])
    return _parse_long(octets)


def _parse_long(octets: bytes) -> RtpPacket:
    """With CSRCs, extension or padding."""
    header = header_length(octets)
    first, second, sequence, timestamp, ssrc = FIXED.unpack_from(octets)
    csrcs = tuple(int.from_bytes(octets[at : at + 4], "big") for at in range(12, 12 + 4 * (first & 0x0F), 4))
    extension = None
    if first & 0x10:
        at = FIXED_HEADER + 4 * len(csrcs)
        extension = Extension(int.from_bytes(octets[at : at + 2], "big"), octets[at + 4 : header])
    end = len(octets)
    if first & 0x20:
        padding = octets[-1]
        if not 0 < padding <= end - header:
            raise RemoteError("RTP padding longer than its packet")
        end -= padding
    return RtpPacket(
        second & 0x7F, second > 0x7F, sequence, timestamp, ssrc, octets[header:end], csrcs, extension
    )
