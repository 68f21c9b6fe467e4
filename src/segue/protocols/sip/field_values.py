"""Header field values with structure (RFC 3261 section 20): Via, CSeq, and everything that is an address."""

from __future__ import annotations

from typing import NamedTuple

from segue.protocols.sip.syntax import (
    SipSyntaxError,
    is_token,
    number,
    parse_parameters,
    quote,
    split_outside,
    take_quoted,
    write_parameters,
)
from segue.protocols.sip.uri import SipUri, parse_hostport

SEQUENCE_LIMIT = (
    1 << 32
) - 1  # section 20.16 says 2**31 for what we send; RFC 4475 3.1.2.4 refuses over 2**32-1


class CSeq(NamedTuple):
    number: int
    method: str

    @classmethod
    def parse(cls, text: str) -> CSeq:
        digits, _, method = text.strip().partition(" ")
        method = method.strip()
        if not is_token(method):
            raise SipSyntaxError(f"CSeq {text[:40]!r} names no method")
        return cls(number(digits, SEQUENCE_LIMIT, "CSeq"), method)

    def __str__(self) -> str:
        return f"{self.number} {self.method}"


class Via(NamedTuple):
    """`transport` in upper case; `host` without brackets; names of `params` in lower case."""

    transport: str
    host: str
    port: int | None
    params: dict[str, str | None]

    @classmethod
    def parse(cls, text: str) -> Via:
        """Raises SipSyntaxError."""
        protocol, *params = split_outside(text, ";")
        name, _, rest = protocol.partition("/")
        version, slash, rest = rest.partition("/")
        if not slash or name.strip().upper() != "SIP" or version.strip() != "2.0":
            raise SipSyntaxError(f"Via {text[:40]!r} is not of SIP/2.0")
        transport, _, sent_by = rest.strip().partition(" ")
        transport = transport.strip().upper()
        if not is_token(transport):
            raise SipSyntaxError("Via names no transport")
        host, port = parse_hostport(sent_by.replace(" ", ""))
        return cls(transport, host, port, parse_parameters(";".join(params)))

    @property
    def branch(self) -> str | None:
        return self.params.get("branch")

    @property
    def received(self) -> str | None:
        """The source address a server saw; the brackets some write around IPv6 are off (RFC 5118 section 4.5)."""
        value = self.params.get("received")
        return value.strip("[]") if value else value

    @property
    def rport(self) -> int | None:
        """The port in `rport=…` (RFC 3581); None when it is missing or without value."""
        value = self.params.get("rport")
        return int(value) if value and value.isascii() and value.isdigit() and len(value) < 6 else None

    @property
    def sent_by(self) -> str:
        """`host` or `host:port`, in one spelling, for comparisons."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port is None else f"{host}:{self.port}"

    def __str__(self) -> str:
        return f"SIP/2.0/{self.transport} {self.sent_by}{write_parameters(self.params)}"


class NameAddr(NamedTuple):
    """From, To, Contact, Route and their like: `display` unquoted, `uri` a SipUri or, for other schemes, text."""

    display: str
    uri: SipUri | str
    params: dict[str, str | None]

    @classmethod
    def parse(cls, text: str) -> NameAddr:
        """Raises SipSyntaxError. Without angle brackets, parameters belong to the header (section 20)."""
        text = text.strip()
        display = ""
        if text.startswith('"'):
            display, text = take_quoted(text)
            text = text.strip()
            if not text.startswith("<"):
                raise SipSyntaxError("a display name without <URI>")
        opening = text.find("<")
        if opening < 0:
            uri, semicolon, rest = text.partition(";")
            uri = uri.rstrip()
            # RFC 8217: a URI with comma or question mark must stand in angle brackets.
            if any(character in uri for character in ",? \t"):
                raise SipSyntaxError(f"{uri[:60]!r} must stand in angle brackets")
            return cls("", parse_uri(uri), parse_parameters(rest) if semicolon else {})
        if opening:
            display = _display_tokens(text[:opening])
        uri, closed, rest = text[opening + 1 :].partition(">")
        rest = rest.strip()
        if not closed or (rest and not rest.startswith(";")):
            raise SipSyntaxError("angle brackets do not match")
        return cls(display, parse_uri(uri), parse_parameters(rest))

    @property
    def tag(self) -> str | None:
        return self.params.get("tag")

    def __str__(self) -> str:
        display = f"{quote(self.display)} " if self.display else ""
        return f"{display}<{self.uri}>{write_parameters(self.params)}"


def parse_uri(text: str) -> SipUri | str:
    """A SIP URI parsed; one of another scheme (tel, http, urn …) as text. Raises SipSyntaxError for neither."""
    scheme, colon, rest = text.partition(":")
    if text != text.strip() or not colon or not rest or not _is_scheme(scheme):
        raise SipSyntaxError(f"{text[:60]!r} is no URI")
    if scheme.lower() in ("sip", "sips"):
        return SipUri.parse(text)
    if any(ord(character) <= 32 or character in '<>"' for character in rest):
        raise SipSyntaxError(f"{text[:60]!r} is no URI")
    return text


def _is_scheme(text: str) -> bool:
    plain = text.replace("+", "").replace("-", "").replace(".", "")
    return text.isascii() and text[:1].isalpha() and plain.isalnum()


def _display_tokens(text: str) -> str:
    """A display name without quotes: tokens with white space between them."""
    words = text.split()
    if not all(is_token(word) for word in words):
        raise SipSyntaxError(f"display name {text[:40]!r} must be quoted")
    return " ".join(words)
