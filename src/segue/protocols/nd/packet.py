"""The IPv6 header around ICMPv6, and the Ethernet addresses of multicast groups."""

from __future__ import annotations

from ipaddress import IPv6Address
from typing import NamedTuple

from segue.base.cursor import Cursor
from segue.base.errors import RemoteError
from segue.base.internet_checksum import internet_checksum

ICMPV6 = 58
ETHERTYPE_IPV6 = 0x86DD
ALL_NODES = IPv6Address("ff02::1")
ALL_ROUTERS = IPv6Address("ff02::2")
UNSPECIFIED = IPv6Address("::")
HOP_LIMIT = 255  # proves that a message was not forwarded (RFC 4861 section 3.1)


class IcmpPacket(NamedTuple):
    """An ICMPv6 message with what the validity checks need of its header."""

    source: IPv6Address
    destination: IPv6Address
    hop_limit: int
    message: bytes


def pseudo_header(source: IPv6Address, destination: IPv6Address, length: int) -> bytes:
    """RFC 8200 section 8.1, for ICMPv6."""
    return source.packed + destination.packed + length.to_bytes(4, "big") + bytes([0, 0, 0, ICMPV6])


def with_checksum(message: bytes, source: IPv6Address, destination: IPv6Address) -> bytes:
    """The ICMPv6 message (checksum field zero) with its checksum filled in (RFC 4443 section 2.3)."""
    checksum = internet_checksum(pseudo_header(source, destination, len(message)) + message)
    return message[:2] + checksum.to_bytes(2, "big") + message[4:]


def write_packet(
    message: bytes, source: IPv6Address, destination: IPv6Address, hop_limit: int = HOP_LIMIT
) -> bytes:
    """An IPv6 packet around an ICMPv6 message whose checksum field is zero."""
    header = b"\x60\0\0\0" + len(message).to_bytes(2, "big") + bytes([ICMPV6, hop_limit])
    return header + source.packed + destination.packed + with_checksum(message, source, destination)


def parse_packet(octets: bytes) -> IcmpPacket:
    """An IPv6 packet that holds ICMPv6 without extension headers; Ethernet padding may follow it.

    Raises RemoteError for anything else and for a wrong checksum (RFC 4861 allows no extension header
    before a message that SEND does not protect to change its meaning, so we take none).
    """
    cursor = Cursor(octets)
    if cursor.u32() >> 28 != 6:
        raise RemoteError("not IPv6")
    length, next_header, hop_limit = cursor.u16(), cursor.u8(), cursor.u8()
    source, destination = IPv6Address(cursor.take(16)), IPv6Address(cursor.take(16))
    if next_header != ICMPV6:
        raise RemoteError("not ICMPv6")
    message = cursor.take(length)
    if len(message) < 4:
        raise RemoteError("truncated ICMPv6 message")
    if internet_checksum(pseudo_header(source, destination, length) + message):
        raise RemoteError("wrong ICMPv6 checksum")
    return IcmpPacket(source, destination, hop_limit, message)


def solicited_node(address: IPv6Address) -> IPv6Address:
    """ff02::1:ffXX:XXXX (RFC 4291 section 2.7.1)."""
    return IPv6Address(IPv6Address("ff02::1:ff00:0").packed[:13] + address.packed[13:])


def multicast_link_address(group: IPv6Address) -> bytes:
    """33:33 and the last four octets of the group (RFC 2464 section 7)."""
    return b"\x33\x33" + group.packed[12:]


def write_frame(packet: bytes, source: bytes, destination: bytes) -> bytes:
    """An Ethernet frame around an IPv6 packet."""
    return destination + source + ETHERTYPE_IPV6.to_bytes(2, "big") + packet
