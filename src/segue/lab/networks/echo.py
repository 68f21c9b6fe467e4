"""Echo requests from a host of the lab (ICMP of RFC 792, ICMPv6 of RFC 4443): whether and how fast they return."""

from __future__ import annotations

import os
import socket
import struct
import time
from ipaddress import ip_address

from segue.lab.networks.namespaces import Namespace

_PROTOCOLS = {4: socket.IPPROTO_ICMP, 6: socket.IPPROTO_ICMPV6}
_SO_TIMESTAMPNS = 35  # SCM_TIMESTAMPNS is the same number
_REQUEST, _REPLY = {4: 8, 6: 128}, {4: 0, 6: 129}


def round_trips(
    host: Namespace,
    target: object,
    *,
    interface: str = "",
    count: int = 3,
    interval: float = 0.05,
    wait: float = 1.0,
) -> list[float]:
    """Milliseconds of each request that was answered within `wait` seconds of the last one; empty: none was. `target`
    is an address or its text; with `interface` requests leave there only. Replies have the kernel's time, so that a
    loaded machine adds little."""
    address = ip_address(str(target))
    family = socket.AF_INET6 if address.version == 6 else socket.AF_INET
    identifier = int.from_bytes(os.urandom(2), "big")
    sent: dict[int, float] = {}
    found: dict[int, float] = {}
    with host.socket(family, socket.SOCK_RAW, _PROTOCOLS[address.version]) as probe:
        probe.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        if interface:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode())
        while len(sent) < count:
            number = len(sent)
            sent[number] = time.time()
            probe.sendto(_request(address.version, identifier, number), (str(address), 0))
            _collect(probe, address.version, identifier, sent, found, time.monotonic() + interval)
        if len(found) < count:
            _collect(probe, address.version, identifier, sent, found, time.monotonic() + wait)
    return [found[number] * 1000 for number in sorted(found)]


def _collect(
    probe: socket.socket,
    version: int,
    identifier: int,
    sent: dict[int, float],
    found: dict[int, float],
    until: float,
) -> None:
    """Take replies until then."""
    while (left := until - time.monotonic()) > 0:
        probe.settimeout(left)
        try:
            octets, notes, _, _ = probe.recvmsg(2048, socket.CMSG_SPACE(16))
        except TimeoutError:
            return
        seconds, nanoseconds = struct.unpack("qq", notes[0][2][:16])
        message = octets[(octets[0] & 15) * 4 :] if version == 4 else octets
        if len(message) >= 8 and message[0] == _REPLY[version]:
            who, number = struct.unpack_from("!HH", message, 4)
            if who == identifier and number in sent:
                found.setdefault(number, seconds + nanoseconds / 1e9 - sent[number])


def _request(version: int, identifier: int, number: int) -> bytes:
    """The kernel fills in the checksum of ICMPv6 (RFC 3542 section 3.1)."""
    head = struct.pack("!BBHHH", _REQUEST[version], 0, 0, identifier, number)
    if version == 6:
        return head
    total = sum(struct.unpack("!4H", head))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return head[:2] + struct.pack("!H", ~total & 0xFFFF) + head[4:]
