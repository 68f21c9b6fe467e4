"""Setting links, addresses, routes, rules and neighbours over rtnetlink: one request, one answer.

The kernel answers at once, so the calls are synchronous (some ten microseconds each) and may be made from an
event loop. Needs CAP_NET_ADMIN in the network namespace in which the `Rtnetlink` was made; it goes on to speak
to that namespace whatever its process enters later. Reading events is `net.netlink`.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

IpAddress = IPv4Address | IPv6Address
IpNetwork = IPv4Network | IPv6Network

_NEWLINK, _DELLINK, _GETLINK = 16, 17, 18
_NEWADDR, _DELADDR, _GETADDR = 20, 21, 22
_NEWROUTE, _DELROUTE = 24, 25
_NEWNEIGH, _DELNEIGH = 28, 29
_NEWRULE, _DELRULE = 32, 33
_REQUEST, _ACK, _DUMP, _REPLACE, _EXCL, _CREATE = 0x1, 0x4, 0x300, 0x100, 0x200, 0x400
_ERROR, _DONE = 2, 3
_CAPPED, _ACK_TLVS = 0x100, 0x200

IFF_UP, IFF_NOARP, IFF_LOWER_UP = 0x1, 0x80, 0x10000
IFA_F_NODAD, IFA_F_OPTIMISTIC, IFA_F_DADFAILED, IFA_F_TENTATIVE = 0x02, 0x04, 0x08, 0x40
IFA_F_NOPREFIXROUTE = 0x200
NUD_REACHABLE, NUD_STALE, NUD_PERMANENT = 0x02, 0x04, 0x80
NTF_ROUTER = 0x80
TABLE_MAIN = 254
FOREVER = 0xFFFFFFFF
_RTPROT_RA = 9
_RTN_UNICAST, _RTN_BLACKHOLE = 1, 6
_SCOPE_UNIVERSE, _SCOPE_LINK = 0, 253
_RULE_TABLE, _RULE_BLACKHOLE = 1, 6
_RULE_INVERT = 0x2


class NetlinkError(OSError):
    """The kernel refused a request; its own words where it gave some."""


@dataclass(frozen=True, slots=True)
class LinkInfo:
    """One interface of the namespace."""

    index: int
    name: str
    link_address: bytes
    flags: int
    mtu: int
    kind: str  # "veth", "tun" …; empty for hardware and loopback
    alias: str

    @property
    def carrier(self) -> bool:
        return bool(self.flags & IFF_LOWER_UP)

    @property
    def without_neighbours(self) -> bool:
        """Point to point: no address resolution (IFF_NOARP)."""
        return bool(self.flags & IFF_NOARP)


@dataclass(frozen=True, slots=True)
class AddressInfo:
    """One address of an interface."""

    index: int
    address: IpAddress
    prefix_length: int
    flags: int  # IFA_F_…


class Rtnetlink:
    """A socket to the kernel's tables. Every method raises NetlinkError when the kernel refuses."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 0)
        self._socket.setsockopt(270, 11, 1)  # SOL_NETLINK, NETLINK_EXT_ACK: say what was wrong
        self._socket.bind((0, 0))
        self._sequence = 0

    def close(self) -> None:
        self._socket.close()

    def __enter__(self) -> Rtnetlink:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- links

    def links(self) -> list[LinkInfo]:
        header = struct.pack("BxHiII", 0, 0, 0, 0, 0)
        return [_link(body) for body in self._dump(_GETLINK, header)]

    def link(self, name: str) -> LinkInfo | None:
        """The interface of that name."""
        return next((link for link in self.links() if link.name == name), None)

    def add_veth(
        self,
        name: str,
        peer: str,
        *,
        index: int = 0,
        peer_index: int = 0,
        namespace: int | None = None,
        peer_namespace: int | None = None,
        link_address: bytes = b"",
        peer_link_address: bytes = b"",
    ) -> None:
        """A pair of virtual interfaces; namespaces are open file descriptors, None for this one."""
        peer_message = struct.pack("BxHiII", 0, 0, peer_index, 0, 0) + _end(
            peer, peer_namespace, peer_link_address
        )
        info = _attribute(1, b"veth\0") + _attribute(2, _attribute(1, peer_message))
        message = struct.pack("BxHiII", 0, 0, index, 0, 0) + _end(name, namespace, link_address)
        self._request(_NEWLINK, _CREATE | _EXCL, message + _attribute(18, info))

    def delete_link(self, index: int) -> None:
        self._request(_DELLINK, 0, struct.pack("BxHiII", 0, 0, index, 0, 0))

    def set_link(
        self,
        index: int,
        *,
        up: bool | None = None,
        arp: bool | None = None,
        mtu: int = 0,
        alias: str | None = None,
        namespace: int | None = None,
    ) -> None:
        """Change what is given. `arp` false makes the link one without neighbours; `namespace` (an open file
        descriptor) moves the link there, whereupon it loses its addresses."""
        flags = change = 0
        if up is not None:
            change |= IFF_UP
            flags |= IFF_UP if up else 0
        if arp is not None:
            change |= IFF_NOARP
            flags |= 0 if arp else IFF_NOARP
        message = struct.pack("BxHiII", 0, 0, index, flags, change)
        if mtu:
            message += _attribute(4, struct.pack("I", mtu))
        if alias is not None:
            message += _attribute(20, alias.encode())
        if namespace is not None:
            message += _attribute(28, struct.pack("i", namespace))
        self._request(_NEWLINK, 0, message)

    # --- addresses

    def addresses(self, index: int | None = None) -> list[AddressInfo]:
        """All addresses, or those of one interface."""
        found = [_address(body) for body in self._dump(_GETADDR, struct.pack("BBBBI", 0, 0, 0, 0, 0))]
        return [info for info in found if index is None or info.index == index]

    def replace_address(
        self,
        index: int,
        address: IpAddress,
        prefix_length: int,
        *,
        flags: int = 0,
        valid: int = FOREVER,
        preferred: int = FOREVER,
    ) -> None:
        """Add it, or change its lifetimes (seconds); either way an event tells everyone."""
        message = _address_header(index, address, prefix_length)
        message += _attribute(6, struct.pack("IIII", min(preferred, valid), valid, 0, 0))
        if flags:
            message += _attribute(8, struct.pack("I", flags))
        self._request(_NEWADDR, _CREATE | _REPLACE, message)

    def delete_address(self, index: int, address: IpAddress, prefix_length: int) -> None:
        """Nothing happens when it is gone already."""
        self._request(
            _DELADDR, 0, _address_header(index, address, prefix_length), ignore=(errno.EADDRNOTAVAIL,)
        )

    # --- routes

    def replace_route(
        self,
        index: int,
        destination: IpNetwork,
        *,
        gateway: IpAddress | None = None,
        metric: int = 0,
        table: int = TABLE_MAIN,
        source: IpAddress | None = None,
        on_link: bool = False,
    ) -> None:
        """A unicast route out of interface `index`; `destination` of length 0 is the default route. With
        `on_link` the gateway is a neighbour whatever the other routes say."""
        message = _route_header(destination, table, gateway is None, 0x4 if on_link else 0)
        message += _route_attributes(index, destination, gateway, metric, table)
        if source is not None:
            message += _attribute(7, source.packed)
        self._request(_NEWROUTE, _CREATE | _REPLACE, message)

    def delete_route(
        self,
        index: int,
        destination: IpNetwork,
        *,
        gateway: IpAddress | None = None,
        metric: int = 0,
        table: int = TABLE_MAIN,
    ) -> None:
        """Nothing happens when there is no such route."""
        message = _route_header(destination, table, False, 0, scope=255)
        message += _route_attributes(index, destination, gateway, metric, table)
        self._request(_DELROUTE, 0, message, ignore=(errno.ESRCH, errno.ENOENT, errno.ENODEV))

    # --- rules

    def add_rule(
        self,
        network: IpNetwork,
        priority: int,
        *,
        table: int | None = None,
        invert: bool = False,
        in_interface: str = "",
    ) -> None:
        """Packets from `network` (with `invert`: from elsewhere) are looked up in `table`; without a table
        they vanish (blackhole)."""
        message = _rule(network, priority, table, invert, in_interface)
        self._request(_NEWRULE, _CREATE | _EXCL, message, ignore=(errno.EEXIST,))

    def delete_rule(
        self,
        network: IpNetwork,
        priority: int,
        *,
        table: int | None = None,
        invert: bool = False,
        in_interface: str = "",
    ) -> None:
        message = _rule(network, priority, table, invert, in_interface)
        self._request(_DELRULE, 0, message, ignore=(errno.ENOENT, errno.EAFNOSUPPORT))

    # --- neighbours

    def replace_neighbour(
        self,
        index: int,
        address: IpAddress,
        link_address: bytes,
        *,
        state: int = NUD_STALE,
        router: bool = False,
    ) -> None:
        """What a neighbour's link-layer address is, without asking it."""
        flags = NTF_ROUTER if router and address.version == 6 else 0
        message = struct.pack("BxHiHBB", _family(address), 0, index, state, flags, 0)
        message += _attribute(1, address.packed) + _attribute(2, link_address)
        self._request(_NEWNEIGH, _CREATE | _REPLACE, message)

    def delete_neighbour(self, index: int, address: IpAddress) -> None:
        message = struct.pack("BxHiHBB", _family(address), 0, index, 0, 0, 0) + _attribute(1, address.packed)
        self._request(_DELNEIGH, 0, message, ignore=(errno.ENOENT,))

    # --- the wire

    def _send(self, kind: int, flags: int, message: bytes) -> None:
        self._sequence += 1
        length = 16 + len(message)
        header = struct.pack("IHHII", length, kind, _REQUEST | flags, self._sequence, 0)
        self._socket.sendto(header + message, (0, 0))

    def _request(self, kind: int, flags: int, message: bytes, ignore: tuple[int, ...] = ()) -> None:
        self._send(kind, flags | _ACK, message)
        for answer, answer_flags, body in self._answers():
            if answer == _ERROR:
                code = -int(struct.unpack_from("i", body)[0])
                if code and code not in ignore:
                    raise NetlinkError(code, _complaint(code, answer_flags, body))
                return

    def _dump(self, kind: int, message: bytes) -> Iterator[bytes]:
        self._send(kind, _DUMP, message)
        for answer, _flags, body in self._answers():
            if answer == _DONE:
                return
            if answer == _ERROR:
                code = -int(struct.unpack_from("i", body)[0])
                raise NetlinkError(code, os.strerror(code))
            yield body

    def _answers(self) -> Iterator[tuple[int, int, bytes]]:
        """Messages that answer the last request, without end."""
        while True:
            data = self._socket.recv(65536)
            while len(data) >= 16:
                length, kind, flags, sequence, _ = struct.unpack_from("IHHII", data)
                if sequence == self._sequence:
                    yield kind, flags, data[16:length]
                data = data[(length + 3) & ~3 :]


def default_network(family: int) -> IpNetwork:
    """The destination of a default route."""
    return IPv6Network("::/0") if family == 6 else IPv4Network("0.0.0.0/0")


def _family(address: IpAddress | IpNetwork) -> int:
    return socket.AF_INET6 if address.version == 6 else socket.AF_INET


def _attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("HH", 4 + len(value), kind) + value + b"\0" * (-len(value) % 4)


def parse_attributes(data: bytes) -> dict[int, bytes]:
    """Attributes of a message by their number; the last of a kind counts."""
    found: dict[int, bytes] = {}
    while len(data) >= 4:
        length, kind = struct.unpack_from("HH", data)
        if length < 4:
            break
        found[kind & 0x3FFF] = data[4:length]
        data = data[(length + 3) & ~3 :]
    return found


def _end(name: str, namespace: int | None, link_address: bytes) -> bytes:
    octets = _attribute(3, name.encode() + b"\0")
    if link_address:
        octets += _attribute(1, link_address)
    if namespace is not None:
        octets += _attribute(28, struct.pack("i", namespace))
    return octets


def _link(body: bytes) -> LinkInfo:
    _ifi_family, _type, index, flags, _change = struct.unpack_from("BxHiII", body)
    found = parse_attributes(body[16:])
    kind = parse_attributes(found.get(18, b"")).get(1, b"").rstrip(b"\0").decode()
    name = found.get(3, b"").rstrip(b"\0").decode(errors="replace")
    alias = found.get(20, b"").rstrip(b"\0").decode(errors="replace")
    mtu = int.from_bytes(found.get(4, b""), "little")
    return LinkInfo(index, name, found.get(1, b""), flags, mtu, kind, alias)


def _address(body: bytes) -> AddressInfo:
    _ifa_family, prefix_length, flags, _scope, index = struct.unpack_from("BBBBI", body)
    found = parse_attributes(body[8:])
    octets = found.get(2) or found[1]
    if 8 in found:
        flags = struct.unpack("I", found[8])[0]
    return AddressInfo(index, ip_address(octets), prefix_length, flags)


def _address_header(index: int, address: IpAddress, prefix_length: int) -> bytes:
    header = struct.pack("BBBBI", _family(address), prefix_length, 0, _SCOPE_UNIVERSE, index)
    return header + _attribute(2, address.packed) + _attribute(1, address.packed)


def _route_header(
    destination: IpNetwork, table: int, link_scope: bool, flags: int, scope: int | None = None
) -> bytes:
    if scope is None:
        scope = _SCOPE_LINK if link_scope and destination.version == 4 else _SCOPE_UNIVERSE
    return struct.pack(
        "BBBBBBBBI",
        _family(destination),
        destination.prefixlen,
        0,
        0,
        table if table < 256 else 0,
        _RTPROT_RA,
        scope,
        _RTN_UNICAST,
        flags,
    )


def _route_attributes(
    index: int, destination: IpNetwork, gateway: IpAddress | None, metric: int, table: int
) -> bytes:
    octets = _attribute(4, struct.pack("i", index)) + _attribute(15, struct.pack("I", table))
    if destination.prefixlen:
        octets += _attribute(1, destination.network_address.packed)
    if gateway is not None:
        octets += _attribute(5, gateway.packed)
    if metric:
        octets += _attribute(6, struct.pack("I", metric))
    return octets


def _rule(network: IpNetwork, priority: int, table: int | None, invert: bool, in_interface: str) -> bytes:
    action = _RULE_BLACKHOLE if table is None else _RULE_TABLE
    message = struct.pack(
        "BBBBBBBBI",
        _family(network),
        0,
        network.prefixlen,
        0,
        table if table is not None and table < 256 else 0,
        0,
        0,
        action,
        _RULE_INVERT if invert else 0,
    )
    message += _attribute(6, struct.pack("I", priority))
    if network.prefixlen:
        message += _attribute(2, network.network_address.packed)
    if table is not None:
        message += _attribute(15, struct.pack("I", table))
    if in_interface:
        message += _attribute(3, in_interface.encode() + b"\0")
    return message


def _complaint(code: int, flags: int, body: bytes) -> str:
    """The kernel's own words (NLMSGERR_ATTR_MSG), else what the number means."""
    if flags & _ACK_TLVS:
        original = struct.unpack_from("I", body, 4)[0]
        start = 20 if flags & _CAPPED else 4 + ((original + 3) & ~3)
        words = parse_attributes(body[start:]).get(1, b"").rstrip(b"\0").decode(errors="replace")
        if words:
            return f"{os.strerror(code)} ({words})"
    return os.strerror(code)
