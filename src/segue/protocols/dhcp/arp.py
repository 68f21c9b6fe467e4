"""ARP for IPv4 over Ethernet (RFC 826), with the probes and announcements of RFC 5227."""

from __future__ import annotations

from ipaddress import IPv4Address
from typing import NamedTuple

from segue.base.cursor import Cursor
from segue.base.errors import RemoteError
from segue.protocols.dhcp.datagram import ANY, BROADCAST_LINK

ETHERTYPE_ARP = 0x0806
_FIXED = b"\0\x01\x08\0\x06\x04"  # Ethernet, IPv4, lengths
_REQUEST = 1
_REPLY = 2


class ArpPacket(NamedTuple):
    """A request, or a reply."""

    request: bool
    sender_link: bytes
    sender: IPv4Address
    target_link: bytes
    target: IPv4Address

    @property
    def is_probe(self) -> bool:
        """Asks whether anyone has an address, without claiming it (RFC 5227 section 1.1)."""
        return self.request and self.sender == ANY

    @property
    def is_announcement(self) -> bool:
        """Claims an address (RFC 5227 section 1.1); called gratuitous ARP by others."""
        return self.sender == self.target and self.sender != ANY


def parse_arp(frame: bytes) -> ArpPacket:
    """An Ethernet frame with ARP. Raises RemoteError for anything else."""
    cursor = Cursor(frame, 12)
    if cursor.u16() != ETHERTYPE_ARP or cursor.take(6) != _FIXED:
        raise RemoteError("not ARP for IPv4 over Ethernet")
    operation = cursor.u16()
    if operation not in (_REQUEST, _REPLY):
        raise RemoteError("unknown ARP operation")
    sender_link, sender = cursor.take(6), IPv4Address(cursor.take(4))
    return ArpPacket(operation == _REQUEST, sender_link, sender, cursor.take(6), IPv4Address(cursor.take(4)))


def write_arp(packet: ArpPacket) -> bytes:
    """The Ethernet frame: broadcast, but for a reply."""
    destination = BROADCAST_LINK if packet.request else packet.target_link
    operation = _REQUEST if packet.request else _REPLY
    body = _FIXED + operation.to_bytes(2, "big") + packet.sender_link + packet.sender.packed
    body += packet.target_link + packet.target.packed
    return destination + packet.sender_link + ETHERTYPE_ARP.to_bytes(2, "big") + body


def write_probe(link_address: bytes, address: IPv4Address) -> bytes:
    return write_arp(ArpPacket(True, link_address, ANY, bytes(6), address))


def write_announcement(link_address: bytes, address: IPv4Address) -> bytes:
    return write_arp(ArpPacket(True, link_address, address, bytes(6), address))


def write_request(link_address: bytes, sender: IPv4Address, target: IPv4Address) -> bytes:
    """Who has `target`? Tell `sender`."""
    return write_arp(ArpPacket(True, link_address, sender, bytes(6), target))
