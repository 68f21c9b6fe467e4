"""Every first octet, as RFC 7983 section 7 and RFC 5761 section 4 sort them."""

from __future__ import annotations

import pytest

from segue.protocols.demux import Kind, sort


@pytest.mark.parametrize(
    ("low", "high", "kind"),
    [
        (0, 3, Kind.STUN),
        (4, 15, Kind.UNKNOWN),
        (16, 19, Kind.ZRTP),
        (20, 63, Kind.DTLS),
        (64, 79, Kind.TURN),
        (80, 127, Kind.UNKNOWN),
        (128, 191, Kind.RTP),
        (192, 255, Kind.UNKNOWN),
    ],
)
def test_ranges_of_the_first_octet(low: int, high: int, kind: Kind) -> None:
    for first in range(low, high + 1):
        assert sort(bytes([first, 0, 0, 0])) is kind


def test_rtcp_is_known_by_its_packet_type() -> None:
    for second in range(256):
        expected = Kind.RTCP if 192 <= second <= 223 else Kind.RTP
        assert sort(bytes([0x80, second])) is expected


def test_payload_type_0_with_marker_is_rtp() -> None:
    assert sort(bytes([0x80, 0x80])) is Kind.RTP


def test_too_short_to_tell() -> None:
    assert sort(b"") is sort(b"\x80") is Kind.UNKNOWN
