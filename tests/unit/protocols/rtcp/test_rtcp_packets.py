"""RTCP packets, octet for octet."""

from __future__ import annotations

import pytest

from segue.base.errors import RemoteError
from segue.protocols.rtcp.packets import (
    CNAME,
    MOST_LOST,
    Application,
    Bye,
    Chunk,
    GenericNack,
    ReceiverReport,
    ReportBlock,
    RtcpPacket,
    SenderReport,
    SourceDescription,
    UnknownPacket,
    is_compound,
    parse_rtcp,
    write_rtcp,
)
from segue.protocols.rtcp.resume import Resume, read_resume, write_resume

BLOCK = ReportBlock(0xCAFEBABE, 64, -5, 0x00010203, 17, 0x11223344, 65536)
EXAMPLES: list[tuple[str, RtcpPacket]] = [
    (
        "81c8000c 0000000a 83aa7e8080000000 000004d2 00000064 00003e80"
        "cafebabe 40fffffb 00010203 00000011 11223344 00010000",
        SenderReport(10, 0x83AA7E8080000000, 1234, 100, 16000, (BLOCK,)),
    ),
    ("80c90001 0000000a", ReceiverReport(10)),
    ("81ca0003 0000000a 01046e61 6d650000", SourceDescription((Chunk(10, ((CNAME, b"name"),)),))),
    ("81ca0003 0000000a 01056e61 6d657300", SourceDescription((Chunk(10, ((CNAME, b"names"),)),))),
    ("81ca0004 0000000a 01066e61 6d657373 00000000", SourceDescription((Chunk(10, ((CNAME, b"namess"),)),))),
    ("82cb0004 0000000a 0000000b 04676f6e 65000000", Bye((10, 11), "gone")),
    ("80cb0000", Bye(())),
    ("83cc0003 0000000a 54455354 01020304", Application(3, 10, b"TEST", b"\1\2\3\4")),
    ("81cd0003 0000000a 0000000b fffe8001", GenericNack(10, 11, (0xFFFE, 0xFFFF, 14))),
    ("84ce0002 0000000a 0000000b", UnknownPacket(206, 4, bytes.fromhex("0000000a0000000b"))),
]


@pytest.mark.parametrize(("octets", "packet"), EXAMPLES)
def test_octets_and_back(octets: str, packet: RtcpPacket) -> None:
    assert parse_rtcp(bytes.fromhex(octets)) == [packet]
    assert write_rtcp([packet]) == bytes.fromhex(octets)


def test_all_in_one_datagram() -> None:
    packets = [packet for _, packet in EXAMPLES]
    assert parse_rtcp(write_rtcp(packets)) == packets
    assert is_compound(packets)
    assert not is_compound(packets[2:])


def test_canonical_name() -> None:
    assert Chunk(1, ((2, b"x"), (CNAME, b"a@b"))).cname == "a@b"
    assert Chunk(1, ((CNAME, b"\xff"),)).cname == "\ufffd"
    assert Chunk(1, ()).cname is None


def test_two_chunks() -> None:
    chunks = (Chunk(1, ((CNAME, b"ab"),)), Chunk(2, ((CNAME, b"abcde"), (7, b"x"))))
    assert parse_rtcp(write_rtcp([SourceDescription(chunks)])) == [SourceDescription(chunks)]


def test_losses_of_a_nack_are_packed_into_runs() -> None:
    lost = (65530, 65531, 1, 10, 11, 500)
    octets = write_rtcp([GenericNack(1, 2, lost)])
    assert len(octets) == 12 + 3 * 4
    assert parse_rtcp(octets) == [GenericNack(1, 2, lost)]


def test_profile_extension_behind_the_blocks_is_left_alone() -> None:
    assert parse_rtcp(bytes.fromhex("80c90002 0000000a deadbeef")) == [ReceiverReport(10)]


def test_padding_of_the_last_packet() -> None:
    report, padded = "80c90001 0000000a", "a1ca0004 0000000a 01046e61 6d650000 00000004"
    packets = parse_rtcp(bytes.fromhex(report + padded))
    assert packets[1] == SourceDescription((Chunk(10, ((CNAME, b"name"),)),))


@pytest.mark.parametrize(
    "octets",
    [
        "",
        "80",
        "80c900",
        "80c90001",
        "80c90000",
        "00c90001 0000000a",
        "c0c90001 0000000a",
        "81c90001 0000000a",
        "80c80001 0000000a",
        "80c90001 0000000a 80ca",
        "a0c90002 0000000a 00000004 80ca0000",
        "a0c90001 0000000a",
        "a0c90002 0000000a 00000003",
        "a0c90002 0000000a 0000000c",
        "a0cb0000",
        "81ca0001 0000000a",
        "81ca0002 0000000a 01ff6e61",
        "81ca0002 0000000a 01026e61",
        "81cb0000",
        "80cb0001 05676f6e",
        "80cc0001 0000000a",
        "81cd0001 0000000a",
        "81cd0003 0000000a 0000000b",
    ],
)
def test_malformed(octets: str) -> None:
    with pytest.raises(RemoteError):
        parse_rtcp(bytes.fromhex(octets))


def test_every_truncation_is_refused() -> None:
    whole = write_rtcp([packet for _, packet in EXAMPLES])
    ends = {0}
    for packet in (packet for _, packet in EXAMPLES):
        ends.add(max(ends) + len(write_rtcp([packet])))
    for length in range(len(whole)):
        if length in ends - {0}:
            parse_rtcp(whole[:length])
        else:
            with pytest.raises(RemoteError):
                parse_rtcp(whole[:length])


def test_our_request_to_go_on_octet_for_octet() -> None:
    """An APP (RFC 3550 section 6.7): subtype 1, our SSRC, SEGU; SSRC, sequence number, age in milliseconds."""
    resume = Resume(0xCAFEBABE, 0xFFFE, 3.0)
    octets = bytes.fromhex("81cc0004 0000000a 53454755 cafebabe fffe0bb8")
    assert write_rtcp([write_resume(10, resume)]) == octets
    (application,) = parse_rtcp(octets)
    assert isinstance(application, Application) and read_resume(application) == resume
    assert read_resume(write_resume(10, resume._replace(oldest=1e9))) == resume._replace(oldest=65.535)


def test_a_datagram_that_names_more_than_anyone_keeps_is_read_in_part() -> None:
    entries = b"".join(first.to_bytes(2, "big") + b"\xff\xff" for first in range(0, 60_000, 4))
    octets = bytes([0x81, 205]) + (2 + len(entries) // 4).to_bytes(2, "big") + bytes(8) + entries
    (nack,) = parse_rtcp(octets)
    assert isinstance(nack, GenericNack)
    assert nack.lost[:18] == (*range(17), 4)
    assert len(nack.lost) < MOST_LOST + 17
