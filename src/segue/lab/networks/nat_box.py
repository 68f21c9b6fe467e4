"""A NAT in the way of real frames: what `emulator.nat` decides is done to IPv4 and IPv6, UDP, TCP and ICMP.

It stands between an access router and the core. IPv4 from inside is translated; IPv6 is let through or not by the
same filter. ICMP errors pass when they are about what passed (RFC 5508, RFC 6092), echo requests like a protocol
with ports; other protocols of inside hosts do not. Later fragments go the way of their first, when that came first.
Whatever is neither from nor for an inside host passes as it is: the routers' own talk.

Checksums are updated, not made anew (RFC 1624), so that a wrong one stays wrong.
"""

from __future__ import annotations

import struct
from collections import OrderedDict
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import NamedTuple

from segue.base.address import Address
from segue.base.entropy import Entropy
from segue.emulator.nat import ICMP, TCP, UDP, Nat, nat_kind

_ICMPV6, _FRAGMENT = 58, 44
_EXTENSIONS = (0, 43, 60)  # hop-by-hop, routing, destination options
_ETHERNET = 14
_ECHO = {4: (8, 0), 6: (128, 129)}
_ERRORS = {4: (3, 11, 12), 6: (1, 2, 3, 4)}
_PORTS_AT = {UDP: 8, TCP: 20}  # octets of a whole transport header
_CHECKSUM_AT = {UDP: 6, TCP: 16, ICMP: 2}
MAX_FRAGMENTED = 64  # packets whose later fragments are waited for


class _Packet(NamedTuple):
    """Where things are in a frame. `fragment`: what its fragments have in common, None for a whole packet; `later`:
    this is not the first of them. Echo messages have their identifier as the source's port."""

    version: int
    ip_at: int
    body_at: int
    protocol: int
    source: Address
    target: Address
    kind: int  # type of an ICMP message, else -1
    fragment: tuple[str, str, int] | None
    later: bool

    @property
    def is_error(self) -> bool:
        return self.protocol == ICMP and self.kind in _ERRORS[self.version]


class NatBox:
    """`inside4` is translated to `outside4`; `inside6` is filtered. `now` is of any monotonic scale."""

    def __init__(
        self,
        kind: str,
        inside4: IPv4Network,
        outside4: IPv4Address,
        inside6: IPv6Network,
        entropy: Entropy,
    ) -> None:
        config = nat_kind(kind)
        self._inside4, self._inside6 = inside4, inside6
        self._outside = str(outside4)
        self._nats = {4: Nat(config, entropy, self._outside), 6: Nat(config, entropy, None)}
        self._fragments: OrderedDict[tuple[str, str, int], tuple[Address, Address]] = OrderedDict()

    def rebind(self) -> None:
        """Forget every mapping."""
        for nat in self._nats.values():
            nat.rebind()

    def outbound(self, frame: bytes, now: float) -> tuple[bytes, bool] | None:
        """A frame from inside as it goes on, and whether it goes inside again; None: dropped."""
        packet = _parse(frame, _ETHERNET)
        if packet is None or not self._is_inside(packet.version, packet.source.host):
            return frame, False
        if packet.later:
            return self._later(frame, packet)
        if packet.is_error:
            return self._error_out(frame, packet, now)
        if not _has_ports(packet, from_inside=True):
            return None
        sent = self._nats[packet.version].outbound(packet.protocol, packet.source, packet.target, now)
        if sent is None:
            return None
        self._remember(packet, sent.source, sent.target)
        changed = _readdressed(frame, packet, sent.source, sent.target)
        if sent.hairpinned:
            changed = changed[6:12] + changed[:6] + changed[12:]  # back to the router that it came from
        return changed, sent.hairpinned

    def inbound(self, frame: bytes, now: float) -> bytes | None:
        """A frame from the core as it goes on; None: refused."""
        packet = _parse(frame, _ETHERNET)
        if packet is None or not self._is_for_inside(packet):
            return frame
        if packet.version == 4 and packet.target.host != self._outside:
            return None  # a private address
        if packet.later:
            later = self._later(frame, packet)
            return later[0] if later else None
        if packet.is_error:
            return self._error_in(frame, packet, now)
        if not _has_ports(packet, from_inside=False):
            return None
        source, target = _inbound_ends(packet)
        received = self._nats[packet.version].inbound(packet.protocol, source, target, now)
        if received is None:
            return None
        self._remember(packet, received.source, received.target)
        return _readdressed(frame, packet, received.source, received.target)

    def _is_inside(self, version: int, host: str) -> bool:
        if version == 4:
            return IPv4Address(host) in self._inside4
        return IPv6Address(host) in self._inside6

    def _is_for_inside(self, packet: _Packet) -> bool:
        host = packet.target.host
        return self._is_inside(packet.version, host) or (packet.version == 4 and host == self._outside)

    def _error_out(self, frame: bytes, packet: _Packet, now: float) -> tuple[bytes, bool] | None:
        """An inside host says what is wrong with a packet that came to it."""
        quoted = _parse(frame, packet.body_at + 8)
        if quoted is None:
            return None
        remote, inside = _inbound_ends(quoted)
        outside = self._nats[packet.version].outside_of(quoted.protocol, inside, remote, now)
        if outside is None:
            return None
        changed = _requoted(frame, packet, quoted, quoted.source, outside)
        return _readdressed(changed, packet, Address(outside.host, 0), packet.target), False

    def _error_in(self, frame: bytes, packet: _Packet, now: float) -> bytes | None:
        """Somebody says what is wrong with a packet that an inside host has sent."""
        quoted = _parse(frame, packet.body_at + 8)
        inside = (
            self._nats[packet.version].inside_of(quoted.protocol, quoted.source, now)
            if quoted is not None
            else None
        )
        if quoted is None or inside is None:
            return None
        changed = _requoted(frame, packet, quoted, inside, quoted.target)
        return _readdressed(changed, packet, packet.source, Address(inside.host, 0))

    def _remember(self, packet: _Packet, source: Address, target: Address) -> None:
        if packet.fragment is None:
            return
        self._fragments[packet.fragment] = (source, target)
        if len(self._fragments) > MAX_FRAGMENTED:
            self._fragments.popitem(last=False)

    def _later(self, frame: bytes, packet: _Packet) -> tuple[bytes, bool] | None:
        assert packet.fragment is not None
        ends = self._fragments.get(packet.fragment)
        return (_readdressed(frame, packet, *ends), False) if ends else None


def nat_box(given: dict[str, str], entropy: Entropy) -> NatBox:
    """From the link process' configuration: `kind`, `inside4`, `outside4`, `inside6`."""
    return NatBox(
        given["kind"],
        IPv4Network(given["inside4"]),
        IPv4Address(given["outside4"]),
        IPv6Network(given["inside6"]),
        entropy,
    )


def _has_ports(packet: _Packet, from_inside: bool) -> bool:
    if packet.protocol != ICMP:
        return packet.protocol in _PORTS_AT
    request, reply = _ECHO[packet.version]
    return packet.kind == (request if from_inside else reply)


def _inbound_ends(packet: _Packet) -> tuple[Address, Address]:
    """Source and target of a packet towards an inside host: of an echo reply the identifier is the target's port."""
    if packet.protocol != ICMP:
        return packet.source, packet.target
    return Address(packet.source.host, 0), Address(packet.target.host, packet.source.port)


# Reading a frame


def _parse(frame: bytes, at: int) -> _Packet | None:
    """The IP packet that begins at `at`, also one that an ICMP error quotes in part; None for what is none."""
    try:
        if at == _ETHERNET and frame[12:14] not in (b"\x08\x00", b"\x86\xdd"):
            return None
        version = frame[at] >> 4
        if version == 4:
            return _parse_ipv4(frame, at)
        return _parse_ipv6(frame, at) if version == 6 else None
    except (IndexError, struct.error, ValueError):
        return None


def _parse_ipv4(frame: bytes, at: int) -> _Packet | None:
    size = (frame[at] & 15) * 4
    if size < 20:
        return None
    identification, flags = struct.unpack_from("!HH", frame, at + 4)
    hosts = (str(IPv4Address(frame[at + 12 : at + 16])), str(IPv4Address(frame[at + 16 : at + 20])))
    fragment = (*hosts, identification) if flags & 0x3FFF else None
    return _with_ports(frame, 4, at, at + size, frame[at + 9], hosts, fragment, bool(flags & 0x1FFF))


def _parse_ipv6(frame: bytes, at: int) -> _Packet | None:
    hosts = (str(IPv6Address(frame[at + 8 : at + 24])), str(IPv6Address(frame[at + 24 : at + 40])))
    protocol, body = frame[at + 6], at + 40
    fragment, later = None, False
    while protocol in (*_EXTENSIONS, _FRAGMENT):
        if protocol == _FRAGMENT:
            offset, identification = struct.unpack_from("!HI", frame, body + 2)
            fragment, later = (*hosts, identification), bool(offset & 0xFFF8)
        length = 8 if protocol == _FRAGMENT else 8 + frame[body + 1] * 8
        protocol, body = frame[body], body + length
        if later:
            break
    return _with_ports(frame, 6, at, body, protocol, hosts, fragment, later)


def _with_ports(
    frame: bytes,
    version: int,
    at: int,
    body: int,
    protocol: int,
    hosts: tuple[str, str],
    fragment: tuple[str, str, int] | None,
    later: bool,
) -> _Packet | None:
    protocol = ICMP if protocol == _ICMPV6 and version == 6 else protocol
    ports, kind = (0, 0), -1
    if not later and protocol in _PORTS_AT:
        ports = struct.unpack_from("!HH", frame, body)
    elif not later and protocol == ICMP:
        kind = frame[body]
        if kind in _ECHO[version]:
            ports = (struct.unpack_from("!H", frame, body + 4)[0], 0)
    ends = [Address(host, port) for host, port in zip(hosts, ports, strict=True)]
    return _Packet(version, at, body, protocol, ends[0], ends[1], kind, fragment, later)


# Changing one


def _readdressed(frame: bytes, packet: _Packet, source: Address, target: Address) -> bytes:
    """The same frame between other endpoints. IPv6 is never translated."""
    if packet.version == 6:
        return frame
    changed = bytearray(frame)
    old_hosts = bytes(changed[packet.ip_at + 12 : packet.ip_at + 20])
    new_hosts = IPv4Address(source.host).packed + IPv4Address(target.host).packed
    changed[packet.ip_at + 12 : packet.ip_at + 20] = new_hosts
    _update(changed, packet.ip_at + 10, old_hosts, new_hosts)
    if packet.later:
        return bytes(changed)
    if packet.protocol == ICMP:
        if packet.kind in _ECHO[4]:
            identifier = source.port if packet.kind == _ECHO[4][0] else target.port
            _replace(changed, packet, packet.body_at + 4, struct.pack("!H", identifier), b"", b"")
        return bytes(changed)
    ports = struct.pack("!HH", source.port, target.port)
    _replace(changed, packet, packet.body_at, ports, old_hosts, new_hosts)
    return bytes(changed)


def _replace(
    frame: bytearray, packet: _Packet, at: int, new: bytes, old_hosts: bytes, new_hosts: bytes
) -> None:
    """Write `new` there and update the transport's checksum, which covers the hosts too (a pseudo header). A UDP
    checksum of zero is none; a quoted packet may end before its checksum."""
    old = bytes(frame[at : at + len(new)])
    frame[at : at + len(new)] = new
    where = packet.body_at + _CHECKSUM_AT[packet.protocol]
    if len(frame) < where + 2 or (packet.protocol == UDP and frame[where : where + 2] == b"\0\0"):
        return
    _update(frame, where, old_hosts + old, new_hosts + new)
    if packet.protocol == UDP and frame[where : where + 2] == b"\0\0":
        frame[where : where + 2] = b"\xff\xff"


def _requoted(frame: bytes, packet: _Packet, quoted: _Packet, source: Address, target: Address) -> bytes:
    """An ICMP error that quotes a packet between other endpoints; its own checksum covers all of that."""
    if packet.version == 6:
        return frame
    changed = bytearray(_readdressed(frame, quoted, source, target))
    before, after = frame[quoted.ip_at :], bytes(changed[quoted.ip_at :])
    _update(changed, packet.body_at + 2, before, after)
    return bytes(changed)


def _update(frame: bytearray, at: int, old: bytes, new: bytes) -> None:
    """HC' = ~(~HC + ~m + m') (RFC 1624 equation 3) for all 16-bit words that changed."""
    total = ~struct.unpack_from("!H", frame, at)[0] & 0xFFFF
    for words, flip in ((old, 0xFFFF), (new, 0)):
        padded = words + b"\0" * (len(words) % 2)
        total += sum(word ^ flip for (word,) in struct.iter_unpack("!H", padded))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    struct.pack_into("!H", frame, at, ~total & 0xFFFF)
