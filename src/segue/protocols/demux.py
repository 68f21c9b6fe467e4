"""What a datagram is, on a port that many protocols share (RFC 7983, and RFC 5761 section 4)."""

from __future__ import annotations

from enum import Enum


class Kind(Enum):
    STUN = "STUN"
    ZRTP = "ZRTP"
    DTLS = "DTLS"
    TURN = "TURN channel"
    RTP = "RTP"
    RTCP = "RTCP"
    UNKNOWN = "unknown"


def _kind_of(first: int) -> Kind:
    """RFC 7983 section 7."""
    for kind, low, high in (
        (Kind.STUN, 0, 3),
        (Kind.ZRTP, 16, 19),
        (Kind.DTLS, 20, 63),
        (Kind.TURN, 64, 79),
        (Kind.RTP, 128, 191),
    ):
        if low <= first <= high:
            return kind
    return Kind.UNKNOWN


_KINDS = tuple(_kind_of(first) for first in range(256))


def sort(datagram: bytes) -> Kind:
    """By its first octet; RTCP from RTP by the second, packet types 192 to 223. Needs no other octet, and
    promises nothing of them."""
    if len(datagram) < 2:
        return Kind.UNKNOWN
    kind = _KINDS[datagram[0]]
    return Kind.RTCP if kind is Kind.RTP and 192 <= datagram[1] <= 223 else kind
