"""SIP and SIPS URIs (RFC 3261 section 19.1, RFC 5954), and their comparison."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from functools import lru_cache
from urllib.parse import unquote as percent_decode

from segue.protocols.sip.syntax import SipSyntaxError, number

_UNRESERVED = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.!~*'()")
_USER = _UNRESERVED | frozenset("&=+$,;?/%")
_PASSWORD = _UNRESERVED | frozenset("&=+$,%")
_PARAMETER = _UNRESERVED | frozenset("[]/:&+$%")
_HEADER = _UNRESERVED | frozenset("[]/?:+$%")
_HOST = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-._")
# Section 19.1.4: these make two URIs differ even when only one of them has it.
_DECISIVE = ("user", "ttl", "method", "maddr", "transport", "gr")
LIMIT = 4096  # characters of one URI


@dataclass(slots=True)
class SipUri:
    """`user` and `password` as written (escapes kept); names of `params` and of `headers` in lower case; a
    parameter without value is None; an IPv6 `host` is without brackets and in its canonical form."""

    scheme: str
    user: str
    password: str | None
    host: str
    port: int | None
    params: dict[str, str | None] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str) -> SipUri:
        """Raises SipSyntaxError: 416 for another scheme, 400 for the rest."""
        scheme, colon, rest = text.strip().partition(":")
        scheme = scheme.lower()
        if not colon or len(text) > LIMIT:
            raise SipSyntaxError(f"{text[:60]!r} is no URI")
        if scheme not in ("sip", "sips"):
            raise SipSyntaxError(f"URI scheme {scheme[:20]!r} is not SIP", 416)
        # Section 19.1.1: the user part may hold ; and ?, so it goes off first. No @ may follow it unescaped.
        userinfo, at, hostpart = rest.rpartition("@")
        user, secret, password = userinfo.partition(":")
        if at and not user:
            raise SipSyntaxError("a URI with an empty user part")
        if not (_USER.issuperset(user) and _PASSWORD.issuperset(password)):
            raise SipSyntaxError("a character in the user part must be escaped")
        hostpart, question, headers = hostpart.partition("?")
        hostport, *params = hostpart.split(";")
        host, port = parse_hostport(hostport)
        return cls(
            scheme,
            user,
            password if secret else None,
            host,
            port,
            _parameters(params),
            _headers(headers) if question else {},
        )

    @property
    def secure(self) -> bool:
        return self.scheme == "sips"

    def same_user(self, user: str) -> bool:
        """Whether the user part is this one, however it is escaped (section 19.1.4)."""
        return _canonical(self.user, _USER) == _canonical(user, _USER)

    @property
    def is_numeric(self) -> bool:
        """Whether the host is an IP address."""
        return _is_address(self.host)

    @property
    def address_of_record(self) -> str:
        """`sip:user@host`, without what only tells the way: what a location service looks up (section 10.3)."""
        user = f"{_canonical(self.user, _USER)}@" if self.user else ""
        return f"sip:{user}{_bracketed(self.host)}"

    def __str__(self) -> str:
        text = f"{self.scheme}:"
        if self.user:
            password = "" if self.password is None else f":{self.password}"
            text += f"{self.user}{password}@"
        text += _bracketed(self.host)
        if self.port is not None:
            text += f":{self.port}"
        for name, value in self.params.items():
            text += f";{name}" if value is None else f";{name}={value}"
        if self.headers:
            text += "?" + "&".join(f"{name}={value}" for name, value in self.headers.items())
        return text

    def equivalent(self, other: SipUri) -> bool:
        """Section 19.1.4. Not transitive, as the RFC says: a URI without a parameter matches both."""
        if (self.scheme, self.host, self.port) != (other.scheme, other.host, other.port):
            return False
        if _canonical(self.user, _USER) != _canonical(other.user, _USER):
            return False
        if _canonical(self.password or "", _PASSWORD) != _canonical(other.password or "", _PASSWORD):
            return False
        return _same_parameters(self.params, other.params) and _same_headers(self.headers, other.headers)


def parse_hostport(text: str) -> tuple[str, int | None]:
    """`host`, `host:port`, `[v6]`, `[v6]:port`. Hosts come back in lower case, IPv6 without brackets.

    Raises SipSyntaxError."""
    text = text.strip()
    if text.startswith("["):
        inside, closed, rest = text[1:].partition("]")
        if not closed or (rest and not rest.startswith(":")):
            raise SipSyntaxError("an IPv6 reference does not end")
        return _ipv6(inside), _port(rest[1:]) if rest else None
    host, colon, port = text.partition(":")
    host = host.strip().lower()
    if not host or not _HOST.issuperset(host) or len(host) > 255:
        raise SipSyntaxError(f"{host[:60]!r} is no host")
    return host, _port(port) if colon else None


@lru_cache(maxsize=1024)
def _ipv6(text: str) -> str:
    try:
        # RFC 5118 section 4.10 and RFC 5954: an embedded IPv4 address is part of the grammar; a zone is not.
        if "%" in text:
            raise ValueError
        # RFC 5118 section 4.10: RFC 3261's grammar lets a third colon stand before an embedded IPv4 address.
        return str(ipaddress.IPv6Address(text.replace(":::", "::")))
    except ValueError:
        raise SipSyntaxError(f"[{text[:60]}] is no IPv6 address") from None


@lru_cache(maxsize=1024)
def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _port(text: str) -> int:
    return number(text, 65535, "port")


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _parameters(parts: list[str]) -> dict[str, str | None]:
    parameters: dict[str, str | None] = {}
    for part in parts:
        name, equals, value = part.partition("=")
        name = name.strip().lower()
        value = value.strip()
        if not name or not _PARAMETER.issuperset(name) or not _PARAMETER.issuperset(value):
            raise SipSyntaxError(f"{part[:60]!r} is no URI parameter")
        if name in parameters:
            raise SipSyntaxError(f"URI parameter {name[:30]!r} stands twice")
        parameters[name] = value if equals else None
    return parameters


def _headers(text: str) -> dict[str, str]:
    headers: dict[str, str] = {}
    for part in text.split("&"):
        name, equals, value = part.partition("=")
        if not name or not equals or not _HEADER.issuperset(name) or not _HEADER.issuperset(value):
            raise SipSyntaxError(f"{part[:60]!r} is no URI header")
        headers[name.lower()] = value
    return headers


def _canonical(text: str, allowed: frozenset[str]) -> str:
    """Escapes of characters that need none are undone; others stay, in upper case (section 19.1.4)."""
    if "%" not in text:
        return text
    out, position = [], 0
    while position < len(text):
        escape = text[position : position + 3]
        if text[position] == "%" and len(escape) == 3:
            plain = percent_decode(escape, errors="replace")
            out.append(plain if plain in allowed and plain != "%" else escape.upper())
            position += 3
        else:
            out.append(text[position])
            position += 1
    return "".join(out)


def _same_parameters(ours: dict[str, str | None], theirs: dict[str, str | None]) -> bool:
    for name in ours.keys() | theirs.keys():
        if name in ours and name in theirs:
            if (ours[name] or "").lower() != (theirs[name] or "").lower():
                return False
        elif name in _DECISIVE:
            return False
    return True


def _same_headers(ours: dict[str, str], theirs: dict[str, str]) -> bool:
    return {n: percent_decode(v) for n, v in ours.items()} == {
        n: percent_decode(v) for n, v in theirs.items()
    }
