"""Frames into packets, and captures to files and back."""

from __future__ import annotations

import io
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segue.base.errors import LocalError
from segue.lab.measure.capture import CaptureWriter, read_capture
from segue.lab.measure.packets import UDP, parse_frame
from segue.protocols.dhcp.datagram import Datagram, write_datagram, write_frame

FRAME = write_frame(
    write_datagram(Datagram(IPv4Address("192.0.2.1"), 4000, IPv4Address("192.0.2.2"), 5000, b"hello")),
    bytes(6),
    bytes(6),
)


def test_a_datagram_is_found_in_its_frame() -> None:
    packet = parse_frame(FRAME + b"padding of Ethernet")
    assert packet is not None
    assert packet[:6] == ("192.0.2.1", 4000, "192.0.2.2", 5000, UDP, b"hello")


def test_ipv6_extension_headers_are_passed() -> None:
    udp = bytes.fromhex("0fa01388000d0000") + b"hello"
    options = bytes([17, 0]) + bytes(6)
    header = b"\x60\0\0\0" + (len(options) + len(udp)).to_bytes(2, "big") + bytes([60, 64])
    packet = parse_frame(
        bytes(12) + b"\x86\xdd" + header + bytes(15) + b"\1" + bytes(15) + b"\2" + options + udp
    )
    assert packet is not None
    assert packet[:6] == ("::1", 4000, "::2", 5000, UDP, b"hello")


def test_a_later_fragment_has_no_ports() -> None:
    fragment = bytearray(FRAME)
    fragment[20:22] = b"\0\x10"
    packet = parse_frame(bytes(fragment))
    assert packet is not None and packet.source_port == 0


@settings(max_examples=200)
@given(st.binary(max_size=120), st.sampled_from([b"\x08\0", b"\x86\xdd"]))
def test_anything_is_a_packet_or_none(octets: bytes, kind: bytes) -> None:
    parse_frame(bytes(12) + kind + octets)


def test_times_and_directions_survive_the_file(tmp_path: Path) -> None:
    file = io.BytesIO()
    writer = CaptureWriter(file, "mn wlan0")
    writer.write(FRAME, 1_700_000_000_123_456_789, received=True)
    writer.write(b"odd", 1_700_000_001_000_000_000, received=False)
    path = tmp_path / "a.pcapng"
    path.write_bytes(file.getvalue())
    first, second = read_capture(path)
    assert (first.place, first.received, first.frame) == ("mn wlan0", True, FRAME)
    assert abs(first.time - 1_700_000_000.123456789) < 1e-6
    assert (second.received, second.frame) == (False, b"odd")
    path.write_bytes(file.getvalue()[:-7])  # still being written
    assert len(list(read_capture(path))) == 1


def test_another_kind_of_file_is_said_so(tmp_path: Path) -> None:
    path = tmp_path / "a.pcap"
    path.write_bytes(b"\xd4\xc3\xb2\xa1" + bytes(20))
    with pytest.raises(LocalError, match=r"a\.pcap"):
        list(read_capture(path))
