"""What our packets are numbered."""

from __future__ import annotations

from segue.protocols.rtp.packet import parse_rtp
from segue.protocols.rtp.sender import RtpSender


def test_numbers_wrap() -> None:
    sender = RtpSender(7, 0xFFFF, 0xFFFFFFF0, 0, 8000)
    first, second = (parse_rtp(sender.packet(b"x" * 160, 160, marker)) for marker in (True, False))
    assert (first.sequence, first.timestamp, first.marker) == (0xFFFF, 0xFFFFFFF0, True)
    assert (second.sequence, second.timestamp, second.marker) == (0, 144, False)
    assert (sender.packets, sender.octets) == (2, 320)


def test_silence_takes_time_but_no_numbers() -> None:
    sender = RtpSender(7, 1, 0, 0, 8000)
    sender.packet(b"x", 160)
    sender.skip(1600)
    packet = parse_rtp(sender.packet(b"x", 160, marker=True))
    assert (packet.sequence, packet.timestamp) == (2, 1760)


def test_change_of_payload_keeps_the_stream() -> None:
    sender = RtpSender(7, 1, 0, 0, 8000)
    sender.packet(b"x", 160)
    sender.change_payload(96, 48000)
    packet = parse_rtp(sender.packet(b"y", 960))
    assert (packet.payload_type, packet.sequence, packet.timestamp, packet.ssrc) == (96, 2, 160, 7)
