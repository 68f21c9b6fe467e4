"""Asking the present router about the ones nearby (RFC 4068 section 6.1, ICMPv6 type 150 of RFC 4065).

Only what an address needs before it is used: which access points are nearby, and of each the router's link-layer
address, address and prefix. A solicitation may propose addresses that the sender would have there (option 17, code
2), which section 6.1.1 lets a router ignore; one that knows the other router's neighbours names in its advertisement
those that are nobody's. Routers settle that among themselves (Handover Initiate, section 6.2), which is not here.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv6Address, IPv6Network

from segue.base.cursor import Cursor
from segue.base.errors import RemoteError
from segue.protocols.nd.packet import HOP_LIMIT, parse_packet, write_packet

EXPERIMENTAL_MOBILITY = 150  # ICMPv6 type
_SOLICITATION, _ADVERTISEMENT = 2, 3  # subtypes
_ADDRESS, _PREFIX, _LINK = 17, 18, 19  # options
_NEW_CARE_OF, _NEW_ROUTER = 2, 3  # codes of an address option
_WILDCARD, _ACCESS_POINT, _ROUTERS_LINK, _SOURCE_LINK = 0, 1, 3, 4  # codes of a link-layer address option
MAX_NEARBY = 16  # routers in one advertisement, addresses in one solicitation


@dataclass(frozen=True)
class ProxySolicitation:
    """Who is nearby? (RtSolPr, for all access points.) `proposed`: our addresses there, if they are nobody's."""

    identifier: int
    source_link: bytes
    proposed: tuple[IPv6Address, ...] = ()


@dataclass(frozen=True)
class NearbyRouter:
    """A router behind an access point, and those of the proposed addresses that nobody has there."""

    access_point: str
    link: bytes
    router: IPv6Address
    prefix: IPv6Network
    free: tuple[IPv6Address, ...] = ()


@dataclass(frozen=True)
class ProxyAdvertisement:
    """PrRtAdv."""

    identifier: int
    nearby: tuple[NearbyRouter, ...]


def write_proxy_solicitation(
    message: ProxySolicitation, source: IPv6Address, destination: IPv6Address
) -> bytes:
    """The IPv6 packet."""
    options = _link(_SOURCE_LINK, message.source_link) + _link(_WILDCARD, bytes(6))
    options += b"".join(_address(_NEW_CARE_OF, address, 128) for address in message.proposed)
    return _write(_SOLICITATION, message.identifier, options, source, destination)


def write_proxy_advertisement(
    message: ProxyAdvertisement, source: IPv6Address, destination: IPv6Address
) -> bytes:
    """The IPv6 packet."""
    options = b""
    for near in message.nearby:
        prefix = bytes([_PREFIX, 3, 0, near.prefix.prefixlen, 0, 0, 0, 0])
        options += _link(_ACCESS_POINT, near.access_point.encode()) + _link(_ROUTERS_LINK, near.link)
        options += _address(_NEW_ROUTER, near.router, 128) + prefix + near.prefix.network_address.packed
        options += b"".join(_address(_NEW_CARE_OF, address, 128) for address in near.free)
    return _write(_ADVERTISEMENT, message.identifier, options, source, destination)


def parse_proxy_message(packet: bytes) -> tuple[ProxySolicitation | ProxyAdvertisement, IPv6Address]:
    """With its source. RemoteError for what is to be discarded."""
    outer = parse_packet(packet)
    cursor = Cursor(outer.message)
    kind, code = cursor.u8(), cursor.u8()
    cursor.skip(2)
    subtype, _, identifier = cursor.u8(), cursor.u8(), cursor.u16()
    if outer.hop_limit != HOP_LIMIT or kind != EXPERIMENTAL_MOBILITY:
        raise RemoteError("no proxy message of a neighbour")
    if subtype == _SOLICITATION and code == 0:
        return _parse_solicitation(identifier, _options(cursor)), outer.source
    if subtype == _ADVERTISEMENT and code in (0, 3, 4) and outer.source.is_link_local:
        return ProxyAdvertisement(identifier, _parse_nearby(_options(cursor))), outer.source
    raise RemoteError("no proxy message that we know")


def _write(
    subtype: int, identifier: int, options: bytes, source: IPv6Address, destination: IPv6Address
) -> bytes:
    header = bytes([EXPERIMENTAL_MOBILITY, 0, 0, 0, subtype, 0]) + identifier.to_bytes(2, "big")
    return write_packet(header + options, source, destination)


def _link(code: int, address: bytes) -> bytes:
    body = bytes([code]) + address
    padded = body + b"\0" * (-(len(body) + 2) % 8)
    return bytes([_LINK, (len(padded) + 2) // 8]) + padded


def _address(code: int, address: IPv6Address, prefix_length: int) -> bytes:
    return bytes([_ADDRESS, 3, code, prefix_length, 0, 0, 0, 0]) + address.packed


Options = list[tuple[int, int, Cursor]]
"""Type, code and what follows the code of each."""


def _options(cursor: Cursor) -> Options:
    options: Options = []
    while cursor.remaining and len(options) < 8 * MAX_NEARBY:
        kind, length = cursor.u8(), cursor.u8()
        if not length:
            raise RemoteError("option of length zero")
        body = Cursor(cursor.take(8 * length - 2))
        options.append((kind, body.u8(), body))
    return options


def _parse_solicitation(identifier: int, options: Options) -> ProxySolicitation:
    link, proposed = b"", []
    for kind, code, body in options:
        if (kind, code) == (_LINK, _SOURCE_LINK):
            link = body.take(6)
        elif (kind, code) == (_ADDRESS, _NEW_CARE_OF):
            proposed.append(_parse_address(body))
    return ProxySolicitation(identifier, link, tuple(proposed[:MAX_NEARBY]))


def _parse_address(body: Cursor) -> IPv6Address:
    body.skip(5)
    return IPv6Address(body.take(16))


def _parse_nearby(options: Options) -> tuple[NearbyRouter, ...]:
    """The options of one router follow those of its access point. What lacks a part is passed over."""
    groups: list[list[tuple[int, int, Cursor]]] = []
    for option in options:
        if option[:2] == (_LINK, _ACCESS_POINT):
            groups.append([])
        if groups:
            groups[-1].append(option)
    nearby = [_parse_router(group) for group in groups[:MAX_NEARBY]]
    return tuple(near for near in nearby if near is not None)


def _parse_router(options: Options) -> NearbyRouter | None:
    name, link, router, prefix, free = "", b"", None, None, []
    for kind, code, body in options:
        if (kind, code) == (_LINK, _ACCESS_POINT):
            name = body.rest().rstrip(b"\0").decode(errors="replace")
        elif (kind, code) == (_LINK, _ROUTERS_LINK):
            link = body.take(6)
        elif (kind, code) == (_ADDRESS, _NEW_ROUTER):
            router = _parse_address(body)
        elif (kind, code) == (_ADDRESS, _NEW_CARE_OF):
            free.append(_parse_address(body))
        elif kind == _PREFIX:
            length = body.u8()
            body.skip(4)
            prefix = IPv6Network((body.take(16), length), strict=False) if length <= 128 else None
    if not name or router is None or prefix is None or not router.is_link_local:
        return None
    return NearbyRouter(name, link, router, prefix, tuple(a for a in free if a in prefix))
