"""ChannelData (RFC 8656 section 12.4), and messages of TURN cut out of a stream (RFC 8656 section 2.1)."""

from __future__ import annotations

from struct import Struct

from segue.base.errors import RemoteError
from segue.protocols.stun.message import HEADER

FIRST_CHANNEL, LAST_CHANNEL = 0x4000, 0x4FFF
_HEAD = Struct(">HH")


def is_channel_data(datagram: bytes) -> bool:
    """By the first octet (RFC 7983)."""
    return len(datagram) >= 4 and datagram[0] >> 4 == 4


def parse_channel_data(datagram: bytes) -> tuple[int, bytes]:
    """Channel and data. Raises RemoteError when it is shorter than it says (section 12.6); padding is left out."""
    if not is_channel_data(datagram):
        raise RemoteError("no ChannelData")
    channel, length = _HEAD.unpack_from(datagram)
    if 4 + length > len(datagram):
        raise RemoteError("a ChannelData message is cut off")
    return channel, datagram[4 : 4 + length]


def write_channel_data(channel: int, data: bytes, *, padded: bool = False) -> bytes:
    """`padded`: to a multiple of four octets, as streams need it (section 12.5)."""
    return _HEAD.pack(channel, len(data)) + data + (bytes(-len(data) & 3) if padded else b"")


class TurnStream:
    """A stream's octets as messages: STUN and ChannelData tell their lengths, and nothing else may come."""

    __slots__ = ("_kept",)

    def __init__(self) -> None:
        self._kept = b""

    def receive(self, octets: bytes) -> list[bytes]:
        """What is whole. Raises RemoteError for what is no message: the connection is of no use any more."""
        octets = self._kept + octets
        self._kept = b""
        whole, position = [], 0
        while len(octets) - position >= 4:
            length = _length(octets, position)
            if len(octets) - position < length:
                break
            whole.append(octets[position : position + length])
            position += length
        self._kept = octets[position:]
        return whole


def _length(octets: bytes, position: int) -> int:
    """Of the message that begins there."""
    first, length = octets[position], octets[position + 2] << 8 | octets[position + 3]
    if first < 4 and not length & 3:
        return HEADER + length
    if first >> 4 == 4:
        return 4 + length + (-length & 3)
    raise RemoteError("a TURN server sent what is neither STUN nor ChannelData")
