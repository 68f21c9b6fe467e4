"""What is in a captured Ethernet frame: IPv4 or IPv6, and UDP or TCP in it. Checksums are not looked at."""

from __future__ import annotations

import struct
from ipaddress import IPv4Address, IPv6Address
from typing import NamedTuple

TCP, UDP, ICMPV6, ICMP = 6, 17, 58, 1
_HOP_BY_HOP, _ROUTING, _FRAGMENT, _DESTINATION = 0, 43, 44, 60


class TcpHeader(NamedTuple):
    """RFC 9293 section 3.1. `flags`: FIN 1, SYN 2, RST 4, PSH 8, ACK 16."""

    sequence: int
    acknowledgement: int
    flags: int


class Packet(NamedTuple):
    """An IP packet. Ports are 0 when it is neither UDP nor TCP, or not the first fragment."""

    source: str
    source_port: int
    destination: str
    destination_port: int
    protocol: int
    payload: bytes  # of UDP, TCP or IP
    tcp: TcpHeader | None = None

    @property
    def family(self) -> int:
        return 6 if ":" in self.source else 4


def parse_frame(frame: bytes) -> Packet | None:
    """None for frames that hold no whole IP packet (ARP; malformed)."""
    try:
        kind = int.from_bytes(frame[12:14], "big")
        if kind == 0x0800:
            return _parse_ipv4(frame[14:])
        if kind == 0x86DD:
            return _parse_ipv6(frame[14:])
    except (IndexError, struct.error):
        pass
    return None


def _parse_ipv4(packet: bytes) -> Packet | None:
    header = (packet[0] & 15) * 4
    total, fragment = struct.unpack_from("!HxxH", packet, 2)
    if packet[0] >> 4 != 4 or header < 20 or not header <= total <= len(packet):
        return None
    source, destination = str(IPv4Address(packet[12:16])), str(IPv4Address(packet[16:20]))
    return _transport(source, destination, packet[9], packet[header:total], not fragment & 0x1FFF)


def _parse_ipv6(packet: bytes) -> Packet | None:
    length, kind = struct.unpack_from("!HB", packet, 4)
    if packet[0] >> 4 != 6 or len(packet) < 40 + length:
        return None
    source, destination = str(IPv6Address(packet[8:24])), str(IPv6Address(packet[24:40]))
    body, first = packet[40 : 40 + length], True
    while kind in (_HOP_BY_HOP, _ROUTING, _DESTINATION, _FRAGMENT):
        if kind == _FRAGMENT:
            first = first and not struct.unpack_from("!H", body, 2)[0] & 0xFFF8
            size = 8
        else:
            size = 8 + body[1] * 8
        kind, body = body[0], body[size:]
    return _transport(source, destination, kind, body, first)


def _transport(source: str, destination: str, protocol: int, body: bytes, first: bool) -> Packet:
    """`first`: the fragment with the transport's header, or no fragment."""
    if first and protocol == UDP and len(body) >= 8:
        source_port, destination_port, length = struct.unpack_from("!HHH", body)
        return Packet(source, source_port, destination, destination_port, protocol, body[8 : max(8, length)])
    if first and protocol == TCP and len(body) >= 20:
        source_port, destination_port, sequence, acknowledgement = struct.unpack_from("!HHII", body)
        header = TcpHeader(sequence, acknowledgement, body[13])
        start = (body[12] >> 4) * 4
        return Packet(source, source_port, destination, destination_port, protocol, body[start:], header)
    return Packet(source, 0, destination, 0, protocol, body)
