"""The five messages of Neighbour Discovery (RFC 4861 section 4) and their checks (6.1, 7.1, 8.1)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv6Address
from typing import NamedTuple, TypeVar

from segue.base.cursor import Cursor
from segue.base.errors import RemoteError
from segue.protocols.nd.options import (
    Option,
    SourceLinkLayerAddress,
    TargetLinkLayerAddress,
    parse_options,
    write_options,
)
from segue.protocols.nd.packet import HOP_LIMIT, UNSPECIFIED, parse_packet, solicited_node, write_packet

Wanted = TypeVar("Wanted", bound=Option)


class _WithOptions:
    options: tuple[Option, ...]

    def option(self, kind: type[Wanted]) -> Wanted | None:
        """The first option of that kind."""
        return next((option for option in self.options if isinstance(option, kind)), None)

    def all_options(self, kind: type[Wanted]) -> list[Wanted]:
        return [option for option in self.options if isinstance(option, kind)]


@dataclass(frozen=True)
class RouterSolicitation(_WithOptions):
    """Section 4.1."""

    options: tuple[Option, ...] = ()


@dataclass(frozen=True)
class RouterAdvertisement(_WithOptions):
    """Section 4.2. `lifetime` of the default router in seconds, 0 for none; `preference` as in RFC 4191
    section 2.2: 1, 0, -1; `reachable` and `retransmit` in milliseconds, 0 for unspecified."""

    lifetime: int
    options: tuple[Option, ...] = ()
    hop_limit: int = 64
    managed: bool = False
    other: bool = False
    preference: int = 0
    reachable: int = 0
    retransmit: int = 0


@dataclass(frozen=True)
class NeighbourSolicitation(_WithOptions):
    """Section 4.3."""

    target: IPv6Address
    options: tuple[Option, ...] = ()


@dataclass(frozen=True)
class NeighbourAdvertisement(_WithOptions):
    """Section 4.4."""

    target: IPv6Address
    options: tuple[Option, ...] = ()
    router: bool = False
    solicited: bool = False
    override: bool = False


@dataclass(frozen=True)
class Redirect(_WithOptions):
    """Section 4.5."""

    target: IPv6Address
    destination: IPv6Address
    options: tuple[Option, ...] = ()


Message = RouterSolicitation | RouterAdvertisement | NeighbourSolicitation | NeighbourAdvertisement | Redirect


class Received(NamedTuple):
    """A valid message with the addresses of its packet."""

    message: Message
    source: IPv6Address
    destination: IPv6Address


def parse_message(packet: bytes) -> Received:
    """One IPv6 packet with a Neighbour Discovery message; RemoteError for what a node must discard."""
    outer = parse_packet(packet)
    if outer.hop_limit != HOP_LIMIT:
        raise RemoteError("a neighbour discovery message from beyond the link")
    kind, code = outer.message[0], outer.message[1]
    if kind not in _PARSERS:
        raise RemoteError("not neighbour discovery")
    if code != 0:
        raise RemoteError("neighbour discovery code is not zero")
    message = _PARSERS[kind](Cursor(outer.message, 4))
    received = Received(message, outer.source, outer.destination)
    _check(received)
    return received


def _parse_router_solicitation(cursor: Cursor) -> Message:
    cursor.skip(4)
    return RouterSolicitation(parse_options(cursor))


def _parse_router_advertisement(cursor: Cursor) -> Message:
    hop_limit, flags, lifetime = cursor.u8(), cursor.u8(), cursor.u16()
    reachable, retransmit = cursor.u32(), cursor.u32()
    # RFC 4191 section 2.2: the reserved preference is read as medium; without a lifetime it means nothing.
    preference = {0: 0, 1: 1, 2: 0, 3: -1}[(flags >> 3) & 3] if lifetime else 0
    return RouterAdvertisement(
        lifetime,
        parse_options(cursor),
        hop_limit,
        bool(flags & 0x80),
        bool(flags & 0x40),
        preference,
        reachable,
        retransmit,
    )


def _parse_neighbour_solicitation(cursor: Cursor) -> Message:
    cursor.skip(4)
    return NeighbourSolicitation(IPv6Address(cursor.take(16)), parse_options(cursor))


def _parse_neighbour_advertisement(cursor: Cursor) -> Message:
    flags = cursor.u32() >> 29
    target = IPv6Address(cursor.take(16))
    return NeighbourAdvertisement(
        target, parse_options(cursor), bool(flags & 4), bool(flags & 2), bool(flags & 1)
    )


def _parse_redirect(cursor: Cursor) -> Message:
    cursor.skip(4)
    target, destination = IPv6Address(cursor.take(16)), IPv6Address(cursor.take(16))
    return Redirect(target, destination, parse_options(cursor))


_PARSERS: dict[int, Callable[[Cursor], Message]] = {
    133: _parse_router_solicitation,
    134: _parse_router_advertisement,
    135: _parse_neighbour_solicitation,
    136: _parse_neighbour_advertisement,
    137: _parse_redirect,
}


def _check(received: Received) -> None:
    """What parsing alone does not see: RFC 4861 sections 6.1.1, 6.1.2, 7.1.1, 7.1.2 and 8.1."""
    message, source, destination = received
    problem = ""
    match message:
        case RouterSolicitation():
            if source == UNSPECIFIED and message.option(SourceLinkLayerAddress):
                problem = "unspecified source with a source link-layer address"
        case RouterAdvertisement():
            if not source.is_link_local:
                problem = "router advertisement from no link-local address"
        case NeighbourSolicitation(target):
            if target.is_multicast:
                problem = "multicast target"
            elif source == UNSPECIFIED and (
                destination != solicited_node(target) or message.option(SourceLinkLayerAddress)
            ):
                problem = "malformed duplicate address detection"
        case NeighbourAdvertisement(target):
            if target.is_multicast or (destination.is_multicast and message.solicited):
                problem = "multicast target, or solicited and sent to a group"
        case Redirect(target, redirected):
            if (
                not source.is_link_local
                or redirected.is_multicast
                or not (target.is_link_local or target == redirected)
            ):
                problem = "malformed redirect"
    if problem:
        raise RemoteError(problem)


def write_message(message: Message, source: IPv6Address, destination: IPv6Address) -> bytes:
    """The IPv6 packet with this message."""
    return write_packet(_octets(message), source, destination)


def _octets(message: Message) -> bytes:
    options = write_options(message.options)
    match message:
        case RouterSolicitation():
            return bytes([133]) + bytes(7) + options
        case RouterAdvertisement():
            preference = {0: 0, 1: 1, -1: 3}[message.preference] << 3
            flags = message.managed << 7 | message.other << 6 | preference
            times = message.reachable.to_bytes(4, "big") + message.retransmit.to_bytes(4, "big")
            fixed = bytes([134, 0, 0, 0, message.hop_limit, flags]) + message.lifetime.to_bytes(2, "big")
            return fixed + times + options
        case NeighbourSolicitation(target):
            return bytes([135]) + bytes(7) + target.packed + options
        case NeighbourAdvertisement(target):
            flags = message.router << 31 | message.solicited << 30 | message.override << 29
            return bytes([136, 0, 0, 0]) + flags.to_bytes(4, "big") + target.packed + options
        case Redirect(target, destination):
            return bytes([137]) + bytes(7) + target.packed + destination.packed + options


def unsolicited_advertisement(address: IPv6Address, link_address: bytes, override: bool) -> bytes:
    """The packet that tells everyone on the link where `address` is now (RFC 4861 section 7.2.6).

    While the address is optimistic `override` must be false (RFC 4429 section 3.3): an entry that another
    owner of the address has is not to be touched.
    """
    message = NeighbourAdvertisement(address, (TargetLinkLayerAddress(link_address),), override=override)
    return write_message(message, address, IPv6Address("ff02::1"))
