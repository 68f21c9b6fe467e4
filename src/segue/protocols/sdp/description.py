"""A session description as data (RFC 8866 section 5). Immutable; changed ones are made with
`dataclasses.replace`.

Text fields are `str`; octets that are not UTF-8 are held by surrogate escapes, so that they are written
back as they came (RFC 8866 section 5). Use `repr` to show such text.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import NamedTuple

from segue.base.errors import RemoteError


class SdpSyntaxError(RemoteError):
    """The text is not SDP, or a value in it is out of its range; the SIP status is 400."""

    def __init__(self, problem: str) -> None:
        super().__init__(f"SDP: {problem}", 400)


def parse_number(text: str, limit: int, what: str) -> int:
    """A decimal of ASCII digits, at most `limit`. `int()` alone would take signs, spaces, other scripts'
    digits and a megabyte of digits."""
    if not (text.isascii() and text.isdigit()) or len(text) > 20:
        raise SdpSyntaxError(f"{what} {text[:40]!r} is no number")
    number = int(text)
    if number > limit:
        raise SdpSyntaxError(f"{what} {number} is over {limit}")
    return number


class Attribute(NamedTuple):
    """`a=name` or `a=name:value`. Names are case-sensitive (RFC 8866 section 5)."""

    name: str
    value: str | None = None


class Origin(NamedTuple):
    """`o=`: who made the session, and which version of it this is (RFC 8866 section 5.2)."""

    username: str
    session_id: int
    version: int
    nettype: str
    addrtype: str
    address: str


class Connection(NamedTuple):
    """`c=`: where media is wanted (RFC 8866 section 5.7). `address` is as written, with any /ttl/count."""

    nettype: str
    addrtype: str
    address: str

    @classmethod
    def to_host(cls, host: str) -> Connection:
        """For our own numeric host; an IPv4-mapped IPv6 address is written as the IPv4 address that it is."""
        plain = _plain(ipaddress.ip_address(host))
        return cls("IN", f"IP{plain.version}", str(plain))

    def host(self) -> str:
        """The numeric unicast host, IPv4-mapped IPv6 as IPv4. "0.0.0.0" and "::" mean "send nothing".

        Raises RemoteError(488) for a name (asking DNS for what a stranger wrote would delay the answer and
        tell him who asks), for multicast and for other networks.
        """
        if self.nettype != "IN" or self.addrtype not in ("IP4", "IP6"):
            raise RemoteError(f"no way to send to network {self.nettype[:20]!r} {self.addrtype[:20]!r}", 488)
        try:
            address = ipaddress.ip_address("" if "%" in self.address else self.address)
        except ValueError:
            raise RemoteError(f"media address {self.address[:64]!r} is not numeric", 488) from None
        if address.version != int(self.addrtype[2]):
            raise SdpSyntaxError(f"{self.addrtype} address {self.address[:64]!r}")
        plain = _plain(address)
        # RFC 8866 section 9: the first octet of a unicast IPv4 address is less than 224.
        if plain.is_multicast or (plain.version == 4 and int(plain) >> 24 >= 224):
            raise RemoteError(f"media address {self.address[:64]!r} is not unicast", 488)
        return str(plain)


def _plain(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


class Bandwidth(NamedTuple):
    """`b=kind:value`; for AS and CT the unit is kbit/s (RFC 8866 section 5.8)."""

    kind: str
    value: int


class TimeDescription(NamedTuple):
    """`t=` with its `r=` and `z=` lines, seconds since 1900 (RFC 8866 sections 5.9 to 5.11)."""

    start: int = 0
    stop: int = 0
    repeats: tuple[str, ...] = ()
    zone: str | None = None


PERMANENT = TimeDescription()


class _Attributed:
    """Access to attributes by name, for both levels."""

    attributes: tuple[Attribute, ...]

    def has(self, name: str) -> bool:
        return any(attribute.name == name for attribute in self.attributes)

    def value(self, name: str) -> str | None:
        """The value of the first attribute of that name; None also for a property attribute."""
        return next((a.value for a in self.attributes if a.name == name), None)

    def values(self, name: str) -> list[str]:
        """The values of all attributes of that name, in order; a missing value is an empty string."""
        return [a.value or "" for a in self.attributes if a.name == name]


@dataclass(frozen=True)
class MediaDescription(_Attributed):
    """`m=` and the lines that belong to it (RFC 8866 section 5.14)."""

    media: str
    port: int
    protocol: str
    formats: tuple[str, ...]
    port_count: int = 1
    title: str | None = None
    connections: tuple[Connection, ...] = ()
    bandwidths: tuple[Bandwidth, ...] = ()
    attributes: tuple[Attribute, ...] = ()

    def refused(self) -> MediaDescription:
        """The same stream with port 0: not wanted, or removed (RFC 3264 sections 6 and 8.2)."""
        return MediaDescription(self.media, 0, self.protocol, self.formats[:1])


@dataclass(frozen=True)
class SessionDescription(_Attributed):
    """All of one SDP body."""

    origin: Origin
    name: str = "-"
    information: str | None = None
    uri: str | None = None
    emails: tuple[str, ...] = ()
    phones: tuple[str, ...] = ()
    connection: Connection | None = None
    bandwidths: tuple[Bandwidth, ...] = ()
    times: tuple[TimeDescription, ...] = (PERMANENT,)
    attributes: tuple[Attribute, ...] = ()
    media: tuple[MediaDescription, ...] = ()

    def connection_of(self, media: MediaDescription) -> Connection | None:
        """A media part's own `c=` overrides that of the session (RFC 8866 section 5.7)."""
        return media.connections[0] if media.connections else self.connection
