"""Options of Neighbour Discovery messages (RFC 4861 section 4.6 and successors)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv6Address, IPv6Network

from segue.base.cursor import Cursor
from segue.base.errors import RemoteError

INFINITE = 0xFFFFFFFF  # seconds; a lifetime without end


@dataclass(frozen=True)
class SourceLinkLayerAddress:
    """Type 1."""

    address: bytes


@dataclass(frozen=True)
class TargetLinkLayerAddress:
    """Type 2."""

    address: bytes


@dataclass(frozen=True)
class PrefixInformation:
    """Type 3 (RFC 4861 section 4.6.2); lifetimes in seconds."""

    prefix: IPv6Network
    valid: int
    preferred: int
    on_link: bool = True
    autonomous: bool = True


@dataclass(frozen=True)
class RedirectedHeader:
    """Type 4: the packet that was redirected, cut off as it came."""

    packet: bytes


@dataclass(frozen=True)
class Mtu:
    """Type 5."""

    mtu: int


@dataclass(frozen=True)
class Nonce:
    """Type 14 (RFC 3971 section 5.3.2): tells our solicitation, looped back, from another's (RFC 7527)."""

    nonce: bytes


@dataclass(frozen=True)
class RouteInformation:
    """Type 24 (RFC 4191 section 2.3). `preference` is 1 high, 0 medium, -1 low."""

    prefix: IPv6Network
    lifetime: int
    preference: int = 0


@dataclass(frozen=True)
class RecursiveDnsServers:
    """Type 25 (RFC 8106 section 5.1)."""

    servers: tuple[IPv6Address, ...]
    lifetime: int


@dataclass(frozen=True)
class DnsSearchList:
    """Type 31 (RFC 8106 section 5.2)."""

    domains: tuple[str, ...]
    lifetime: int


Option = (
    SourceLinkLayerAddress
    | TargetLinkLayerAddress
    | PrefixInformation
    | RedirectedHeader
    | Mtu
    | Nonce
    | RouteInformation
    | RecursiveDnsServers
    | DnsSearchList
)

_MAX_OPTIONS = 64  # a 1,500 octet message holds no more that mean anything


def parse_options(cursor: Cursor) -> tuple[Option, ...]:
    """All options to the end of the message; unknown ones are ignored (RFC 4861 section 4.6).

    Raises RemoteError when a length is zero or runs past the end: the message is to be discarded then.
    """
    options: list[Option] = []
    while cursor.remaining and len(options) < _MAX_OPTIONS:
        kind, length = cursor.u8(), cursor.u8()
        if length == 0:
            raise RemoteError("neighbour discovery option of length zero")
        body = Cursor(cursor.take(8 * length - 2))
        try:
            option = _parse_option(kind, length, body)
        except RemoteError:
            continue  # its inside makes no sense: ignored like an unknown one, the message still counts
        if option is not None:
            options.append(option)
    return tuple(options)


def _parse_option(kind: int, length: int, body: Cursor) -> Option | None:
    if kind == 1:
        return SourceLinkLayerAddress(body.take(6))
    if kind == 2:
        return TargetLinkLayerAddress(body.take(6))
    if kind == 3 and length == 4:
        return _parse_prefix(body)
    if kind == 4:
        body.skip(6)
        return RedirectedHeader(body.rest())
    if kind == 5 and length == 1:
        body.skip(2)
        return Mtu(body.u32())
    if kind == 14:
        return Nonce(body.rest())
    if kind == 24:
        return _parse_route(length, body)
    if kind == 25 and length >= 3 and length % 2:
        body.skip(2)
        lifetime = body.u32()
        return RecursiveDnsServers(
            tuple(IPv6Address(body.take(16)) for _ in range((length - 1) // 2)), lifetime
        )
    if kind == 31 and length >= 2:
        body.skip(2)
        lifetime = body.u32()
        return DnsSearchList(_parse_names(body), lifetime)
    return None


def _parse_prefix(body: Cursor) -> PrefixInformation | None:
    length, flags = body.u8(), body.u8()
    valid, preferred = body.u32(), body.u32()
    body.skip(4)
    if length > 128:
        return None
    prefix = IPv6Network((body.take(16), length), strict=False)
    return PrefixInformation(prefix, valid, preferred, bool(flags & 0x80), bool(flags & 0x40))


def _parse_route(length: int, body: Cursor) -> RouteInformation | None:
    prefix_length, flags, lifetime = body.u8(), body.u8(), body.u32()
    octets = body.rest()
    # RFC 4191 section 2.3: the prefix must be long enough for its length; 10 is reserved: ignore the option.
    if prefix_length > 128 or len(octets) * 8 < prefix_length or length > 3 or (flags >> 3) & 3 == 2:
        return None
    prefix = IPv6Network((octets.ljust(16, b"\0"), prefix_length), strict=False)
    return RouteInformation(prefix, lifetime, {0: 0, 1: 1, 3: -1}[(flags >> 3) & 3])


def _parse_names(body: Cursor) -> tuple[str, ...]:
    names: list[str] = []
    labels: list[str] = []
    while body.remaining:
        length = body.u8()
        if length == 0:
            if labels:
                names.append(".".join(labels))
            labels = []
            continue
        if length > 63:
            raise RemoteError("compressed or overlong name in a DNS search list")
        label = body.take(length)
        if not label.replace(b"-", b"0").replace(b"_", b"0").isalnum():
            raise RemoteError("a label in a DNS search list that no host name has")
        labels.append(label.decode("ascii"))
    if labels:
        raise RemoteError("unfinished name in a DNS search list")
    return tuple(names)


def write_options(options: Sequence[Option]) -> bytes:
    return b"".join(_write_option(option) for option in options)


def _write_option(option: Option) -> bytes:
    kind, body = _body(option)
    padded = body + b"\0" * (-(len(body) + 2) % 8)
    return bytes([kind, (len(padded) + 2) // 8]) + padded


def _body(option: Option) -> tuple[int, bytes]:
    match option:
        case SourceLinkLayerAddress(address):
            return 1, address
        case TargetLinkLayerAddress(address):
            return 2, address
        case PrefixInformation(prefix, valid, preferred, on_link, autonomous):
            flags = on_link << 7 | autonomous << 6
            times = valid.to_bytes(4, "big") + preferred.to_bytes(4, "big")
            return 3, bytes([prefix.prefixlen, flags]) + times + bytes(4) + prefix.network_address.packed
        case RedirectedHeader(packet):
            return 4, bytes(6) + packet
        case Mtu(mtu):
            return 5, bytes(2) + mtu.to_bytes(4, "big")
        case Nonce(nonce):
            return 14, nonce
        case RouteInformation(prefix, lifetime, preference):
            flags = {0: 0, 1: 1, -1: 3}[preference] << 3
            octets = prefix.network_address.packed[: (prefix.prefixlen + 63) // 64 * 8]
            return 24, bytes([prefix.prefixlen, flags]) + lifetime.to_bytes(4, "big") + octets
        case RecursiveDnsServers(servers, lifetime):
            return 25, bytes(2) + lifetime.to_bytes(4, "big") + b"".join(s.packed for s in servers)
        case DnsSearchList(domains, lifetime):
            return 31, bytes(2) + lifetime.to_bytes(4, "big") + b"".join(map(_write_name, domains))


def _write_name(domain: str) -> bytes:
    labels = [label.encode("ascii") for label in domain.rstrip(".").split(".")]
    return b"".join(bytes([len(label)]) + label for label in labels) + b"\0"
