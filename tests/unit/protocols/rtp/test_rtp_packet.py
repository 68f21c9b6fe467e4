"""RTP packets, octet for octet."""

from __future__ import annotations

import pytest

from segue.base.errors import RemoteError
from segue.protocols.rtp.packet import Extension, RtpPacket, header_length, parse_rtp

PLAIN = bytes.fromhex("8088123400000a00cafebabe") + b"sound"
FULL = bytes.fromhex("92601234 00000a00 cafebabe 00000001 00000002 bede0001 107f0000") + b"sound"


def test_plain_packet() -> None:
    packet = parse_rtp(PLAIN)
    assert packet == RtpPacket(8, True, 0x1234, 2560, 0xCAFEBABE, b"sound")
    assert packet.to_bytes() == PLAIN
    assert header_length(PLAIN) == 12


def test_packet_with_csrcs_and_extension() -> None:
    packet = parse_rtp(FULL)
    assert packet.csrcs == (1, 2)
    assert packet.extension == Extension(0xBEDE, b"\x10\x7f\0\0")
    assert packet.payload == b"sound"
    assert packet.to_bytes() == FULL
    assert header_length(FULL) == 28


def test_padding_is_taken_off() -> None:
    padded = bytes([PLAIN[0] | 0x20]) + PLAIN[1:] + b"\0\0\3"
    assert parse_rtp(padded).payload == b"sound"
    assert parse_rtp(bytes([0xA0]) + PLAIN[1:12] + b"\0\0\0\4").payload == b""


@pytest.mark.parametrize("padding", [0, 9, 255])
def test_bad_padding(padding: int) -> None:
    with pytest.raises(RemoteError, match="padding"):
        parse_rtp(bytes([0xA0]) + PLAIN[1:] + bytes([0, 0, padding]))


@pytest.mark.parametrize("length", range(28))
def test_truncated_header(length: int) -> None:
    with pytest.raises(RemoteError):
        parse_rtp(FULL[:length])
    with pytest.raises(RemoteError):
        header_length(FULL[:length])


def test_other_versions() -> None:
    for first in (0x00, 0x40, 0xC0):
        with pytest.raises(RemoteError, match="version"):
            parse_rtp(bytes([first]) + PLAIN[1:])
