"""IPv4 and UDP headers around DHCP, and Ethernet around both."""

from __future__ import annotations

from ipaddress import IPv4Address
from typing import NamedTuple

from segue.base.cursor import Cursor
from segue.base.errors import RemoteError
from segue.base.internet_checksum import internet_checksum

ETHERTYPE_IPV4 = 0x0800
BROADCAST_LINK = b"\xff" * 6
ANY = IPv4Address("0.0.0.0")
LIMITED_BROADCAST = IPv4Address("255.255.255.255")
SERVER_PORT = 67
CLIENT_PORT = 68
_UDP = 17


class Datagram(NamedTuple):
    """A UDP datagram with its addresses."""

    source: IPv4Address
    source_port: int
    destination: IPv4Address
    destination_port: int
    payload: bytes


def parse_datagram(packet: bytes) -> Datagram:
    """An IPv4 packet with UDP; Ethernet padding may follow. RemoteError for anything else."""
    cursor = Cursor(packet)
    first = cursor.u8()
    header_length = (first & 15) * 4
    if first >> 4 != 4 or header_length < 20:
        raise RemoteError("not IPv4")
    cursor.skip(1)
    total = cursor.u16()
    cursor.skip(2)
    if cursor.u16() & 0x3FFF:  # more fragments, or an offset: no DHCP message needs that
        raise RemoteError("a fragment")
    cursor.skip(1)
    if cursor.u8() != _UDP:
        raise RemoteError("not UDP")
    cursor.skip(2)
    source, destination = IPv4Address(cursor.take(4)), IPv4Address(cursor.take(4))
    if internet_checksum(packet[:header_length]) or len(packet) < header_length or total < header_length + 8:
        raise RemoteError("wrong IPv4 header")
    datagram = Cursor(packet[header_length:total])
    source_port, destination_port = datagram.u16(), datagram.u16()
    length, checksum = datagram.u16(), datagram.u16()
    if length < 8:
        raise RemoteError("wrong UDP length")
    payload = datagram.take(length - 8)
    if checksum and internet_checksum(_pseudo_header(source, destination, length) + datagram.data[:length]):
        raise RemoteError("wrong UDP checksum")
    return Datagram(source, source_port, destination, destination_port, payload)


def write_datagram(datagram: Datagram) -> bytes:
    """The IPv4 packet, both checksums filled in."""
    source, source_port, destination, destination_port, payload = datagram
    length = 8 + len(payload)
    ports = source_port.to_bytes(2, "big") + destination_port.to_bytes(2, "big")
    udp = ports + length.to_bytes(2, "big") + b"\0\0" + payload
    checksum = internet_checksum(_pseudo_header(source, destination, length) + udp) or 0xFFFF
    udp = udp[:6] + checksum.to_bytes(2, "big") + udp[8:]
    header = b"\x45\x10" + (20 + length).to_bytes(2, "big") + b"\0\0\0\0" + bytes([64, _UDP]) + b"\0\0"
    header += source.packed + destination.packed
    return header[:10] + internet_checksum(header).to_bytes(2, "big") + header[12:] + udp


def _pseudo_header(source: IPv4Address, destination: IPv4Address, length: int) -> bytes:
    return source.packed + destination.packed + bytes([0, _UDP]) + length.to_bytes(2, "big")


def write_frame(packet: bytes, source: bytes, destination: bytes) -> bytes:
    """An Ethernet frame around an IPv4 packet."""
    return destination + source + ETHERTYPE_IPV4.to_bytes(2, "big") + packet
