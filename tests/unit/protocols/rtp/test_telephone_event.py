"""Digits from one end to the other (RFC 4733)."""

from __future__ import annotations

import itertools

import pytest

from segue.base.errors import LocalError, RemoteError
from segue.protocols.rtp.packet import RtpPacket, parse_rtp
from segue.protocols.rtp.sender import RtpSender
from segue.protocols.rtp.telephone_event import (
    DtmfReceiver,
    DtmfSender,
    TelephoneEvent,
    parse_telephone_events,
)


def sent(digits: str, **options: float) -> list[tuple[int, RtpPacket]]:
    """(frame, packet) of 20 ms frames until all digits are out; sound goes in between."""
    sender, dtmf = RtpSender(7, 100, 8000, 0, 8000), DtmfSender(101, 8000, **options)  # type: ignore[arg-type]
    dtmf.press(digits)
    packets = []
    for frame in itertools.count():
        if not dtmf.busy:
            return packets
        octets = dtmf.next_packet(sender, 160)
        if octets is not None:
            packets.append((frame, parse_rtp(octets)))
        else:
            sender.packet(b"x" * 160, 160)
    raise AssertionError


def heard(packets: list[RtpPacket]) -> str:
    receiver = DtmfReceiver()
    return "".join(receiver.receive(packet.payload, packet.timestamp) or "" for packet in packets)


def test_octets_of_an_event() -> None:
    assert TelephoneEvent(11, True, 10, 1600).to_bytes() == bytes.fromhex("0b8a0640")
    assert parse_telephone_events(bytes.fromhex("0b8a0640")) == [TelephoneEvent(11, True, 10, 1600)]
    assert TelephoneEvent(11, True, 10, 1600).digit == "#"
    assert TelephoneEvent(16, True, 10, 1600).digit is None


@pytest.mark.parametrize("length", [0, 1, 3, 5])
def test_malformed_events(length: int) -> None:
    with pytest.raises(RemoteError):
        parse_telephone_events(bytes(length))
    assert DtmfReceiver().receive(bytes(length), 0) is None


def test_packets_of_one_digit() -> None:
    packets = [packet for _, packet in sent("5")]
    events = [parse_telephone_events(packet.payload)[0] for packet in packets]
    assert [packet.marker for packet in packets] == [True] + [False] * 6
    assert [packet.sequence for packet in packets] == list(range(100, 107))
    assert {(packet.timestamp, packet.payload_type, packet.ssrc) for packet in packets} == {(8000, 101, 7)}
    assert [event.duration for event in events] == [160, 320, 480, 640, 800, 800, 800]
    assert [event.end for event in events] == [False] * 4 + [True] * 3


def test_tone_and_gap_last_as_long_as_asked() -> None:
    packets = sent("12", duration=0.1, gap=0.08)
    starts = [frame for frame, packet in packets if packet.marker]
    assert starts == [0, 9]  # 100 ms of tone and 80 ms of gap
    assert [packet.timestamp for _, packet in packets if packet.marker] == [8000, 8000 + 9 * 160]


def test_all_digits_arrive_once() -> None:
    assert heard([packet for _, packet in sent("0123456789*#abcd")]) == "0123456789*#ABCD"


def test_doubled_digits_are_two() -> None:
    assert heard([packet for _, packet in sent("1122")]) == "1122"


@pytest.mark.parametrize("kept", range(7))
def test_one_packet_of_seven_is_enough(kept: int) -> None:
    packets = [packet for _, packet in sent("7")]
    assert heard([packets[kept]]) == "7"


def test_end_packets_lost() -> None:
    packets = [packet for _, packet in sent("44")]
    assert heard([p for p in packets if not parse_telephone_events(p.payload)[0].end]) == "44"


def test_doubled_and_late_packets() -> None:
    packets = [packet for _, packet in sent("19")]
    first, second = packets[:7], packets[7:]
    assert heard([*first, *first, *second[:2], *first[-2:], *second]) == "19"


def test_a_tone_longer_than_its_field_is_one_digit() -> None:
    receiver = DtmfReceiver()
    segments = [(0, 65535), (65535, 65535), (131070, 900)]
    digits = [
        receiver.receive(TelephoneEvent(3, False, 10, duration).to_bytes(), start + 50)
        for start, last in segments
        for duration in (last // 2, last)
    ]
    assert [digit for digit in digits if digit] == ["3"]


def test_events_packed_into_one_packet() -> None:
    payload = TelephoneEvent(1, True, 10, 800).to_bytes() + TelephoneEvent(2, True, 10, 800).to_bytes()
    receiver = DtmfReceiver()
    assert receiver.receive(payload, 0) == "12"
    assert receiver.receive(payload, 0) is None


def test_what_is_no_digit_is_refused() -> None:
    sender = DtmfSender(101, 8000)
    with pytest.raises(LocalError):
        sender.press("12x")
    with pytest.raises(LocalError):
        sender.press("1" * 65)
    assert not sender.busy
