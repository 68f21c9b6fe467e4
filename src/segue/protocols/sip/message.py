"""SIP messages as data (RFC 3261 section 7): start line, header fields, body.

Header field values stay text until somebody asks; the typed accessors parse, and raise SipSyntaxError (a
RemoteError with a status) for what is malformed, so a proxy that does not look does not stumble.
"""

from __future__ import annotations

from typing import ClassVar, TypeVar

from segue.protocols.sip.field_values import CSeq, NameAddr, Via
from segue.protocols.sip.reasons import REASONS
from segue.protocols.sip.syntax import SipSyntaxError, number, split_outside

COMPACT = {
    "Accept-Contact": "a",
    "Referred-By": "b",
    "Content-Type": "c",
    "Request-Disposition": "d",
    "Content-Encoding": "e",
    "From": "f",
    "Call-ID": "i",
    "Reject-Contact": "j",
    "Supported": "k",
    "Content-Length": "l",
    "Contact": "m",
    "Event": "o",
    "Refer-To": "r",
    "Subject": "s",
    "To": "t",
    "Allow-Events": "u",
    "Via": "v",
    "Session-Expires": "x",
    "Identity": "y",
}
_KNOWN = (
    *COMPACT,
    "Accept",
    "Accept-Encoding",
    "Accept-Language",
    "Alert-Info",
    "Allow",
    "Authentication-Info",
    "Authorization",
    "Call-Info",
    "Content-Disposition",
    "Content-Language",
    "CSeq",
    "Date",
    "Error-Info",
    "Expires",
    "Flow-Timer",
    "In-Reply-To",
    "Max-Breadth",
    "Max-Forwards",
    "MIME-Version",
    "Min-Expires",
    "Min-SE",
    "Organization",
    "Path",
    "Priority",
    "Proxy-Authenticate",
    "Proxy-Authorization",
    "Proxy-Require",
    "RAck",
    "Reason",
    "Record-Route",
    "Replaces",
    "Reply-To",
    "Require",
    "Retry-After",
    "Route",
    "RSeq",
    "Server",
    "Service-Route",
    "SIP-ETag",
    "SIP-If-Match",
    "Timestamp",
    "Unsupported",
    "User-Agent",
    "Warning",
    "WWW-Authenticate",
)
_CANONICAL = {name.lower(): name for name in _KNOWN} | {short: name for name, short in COMPACT.items()}
# Fields whose comma-separated values are kept as fields of their own, so that get_all gives one value each.
LISTS = frozenset({"Via", "Route", "Record-Route", "Contact", "Path", "Service-Route"})


def canonical_name(name: str) -> str:
    """`call-id`, `CALL-ID` and `i` are `Call-ID`; unknown names are capitalised at each hyphen."""
    known = _CANONICAL.get(name) or _CANONICAL.get(name.lower())
    return known or "-".join(part.capitalize() for part in name.split("-"))


class Headers:
    """Header fields in order. Names are canonical inside; given ones may be in any case."""

    __slots__ = ("_fields",)

    def __init__(self, fields: list[tuple[str, str]] | None = None) -> None:
        self._fields = fields if fields is not None else []

    def get(self, name: str) -> str | None:
        """The first value."""
        for known, value in self._fields:
            if known == name:
                return value
        if name not in _CANONICAL_NAMES:
            wanted = canonical_name(name)
            for known, value in self._fields:
                if known == wanted:
                    return value
        return None

    def get_all(self, name: str) -> list[str]:
        wanted = name if name in _CANONICAL_NAMES else canonical_name(name)
        return [value for known, value in self._fields if known == wanted]

    def words(self, name: str) -> list[str]:
        """The comma-separated parts of all fields of that name."""
        return [word for value in self.get_all(name) for word in split_outside(value, ",") if word]

    def set(self, name: str, value: str) -> None:
        """One field of that name, where the first one was; the last when there was none."""
        name = canonical_name(name)
        positions = [position for position, field in enumerate(self._fields) if field[0] == name]
        if not positions:
            self._fields.append((name, value))
            return
        self._fields[positions[0]] = (name, value)
        for position in reversed(positions[1:]):
            del self._fields[position]

    def add(self, name: str, value: str) -> None:
        self._fields.append((canonical_name(name), value))

    def prepend(self, name: str, value: str) -> None:
        self._fields.insert(0, (canonical_name(name), value))

    def remove(self, name: str) -> None:
        name = canonical_name(name)
        self._fields = [field for field in self._fields if field[0] != name]

    def remove_first(self, name: str) -> None:
        """The topmost field of that name only: our Via, our Route."""
        name = canonical_name(name)
        for position, field in enumerate(self._fields):
            if field[0] == name:
                del self._fields[position]
                return

    def replace_first(self, name: str, value: str) -> None:
        """Another value for the topmost field of that name; those below stay."""
        name = canonical_name(name)
        for position, field in enumerate(self._fields):
            if field[0] == name:
                self._fields[position] = (name, value)
                return

    def items(self) -> list[tuple[str, str]]:
        return list(self._fields)

    def copy(self) -> Headers:
        return Headers(list(self._fields))

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self.get(name) is not None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Headers) and self._fields == other._fields

    __hash__: ClassVar[None] = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Headers({self._fields!r})"


_CANONICAL_NAMES = frozenset(_KNOWN)
SomeMessage = TypeVar("SomeMessage", bound="Message")


class Message:
    """What requests and responses share."""

    __slots__ = ("body", "headers")

    def __init__(self, headers: Headers, body: bytes = b"") -> None:
        self.headers = headers
        self.body = body

    def start_line(self) -> str:
        raise AssertionError("a message is a Request or a Response")

    @property
    def vias(self) -> list[Via]:
        return [Via.parse(value) for value in self.headers.get_all("Via")]

    @property
    def via(self) -> Via:
        """The topmost."""
        return Via.parse(self._required("Via"))

    @property
    def from_(self) -> NameAddr:
        return NameAddr.parse(self._required("From"))

    @property
    def to(self) -> NameAddr:
        return NameAddr.parse(self._required("To"))

    @property
    def call_id(self) -> str:
        return self._required("Call-ID")

    @property
    def cseq(self) -> CSeq:
        return CSeq.parse(self._required("CSeq"))

    @property
    def contacts(self) -> list[NameAddr]:
        """Without `*`."""
        return [NameAddr.parse(value) for value in self.headers.get_all("Contact") if value != "*"]

    @property
    def routes(self) -> list[NameAddr]:
        return [NameAddr.parse(value) for value in self.headers.get_all("Route")]

    @property
    def record_routes(self) -> list[NameAddr]:
        return [NameAddr.parse(value) for value in self.headers.get_all("Record-Route")]

    @property
    def max_forwards(self) -> int | None:
        value = self.headers.get("Max-Forwards")
        return None if value is None else number(value, 255, "Max-Forwards")

    @property
    def expires(self) -> int | None:
        """Seconds. A malformed or enormous one counts as an hour at most of what is allowed (section 20.19)."""
        value = self.headers.get("Expires")
        return None if value is None else number(value, (1 << 32) - 1, "Expires")

    @property
    def content_type(self) -> str:
        """Type and subtype in lower case, without parameters; empty when there is none."""
        return (self.headers.get("Content-Type") or "").partition(";")[0].replace(" ", "").lower()

    @property
    def supported(self) -> set[str]:
        """Option tags, in lower case."""
        return {word.lower() for word in self.headers.words("Supported")}

    @property
    def require(self) -> set[str]:
        """Option tags, in lower case."""
        return {word.lower() for word in self.headers.words("Require")}

    def to_bytes(self, compact: bool = False) -> bytes:
        """The octets to send, with the right Content-Length; `compact` with one-letter names (section 7.3.3)."""
        lines = [self.start_line()]
        for name, value in self.headers._fields:
            if name != "Content-Length":
                lines.append(f"{COMPACT.get(name, name) if compact else name}: {value}")
        lines.append(f"{'l' if compact else 'Content-Length'}: {len(self.body)}\r\n\r\n")
        return "\r\n".join(lines).encode("utf-8", "surrogateescape") + self.body

    def _required(self, name: str) -> str:
        value = self.headers.get(name)
        if value is None:
            raise SipSyntaxError(f"{name} is missing")
        return value


class Request(Message):
    """`uri` is the Request-URI as text: it may be of any scheme."""

    __slots__ = ("method", "uri")

    def __init__(self, method: str, uri: str, headers: Headers | None = None, body: bytes = b"") -> None:
        super().__init__(headers or Headers(), body)
        self.method = method
        self.uri = uri

    def start_line(self) -> str:
        return f"{self.method} {self.uri} SIP/2.0"

    def copy(self) -> Request:
        return Request(self.method, self.uri, self.headers.copy(), self.body)

    def __repr__(self) -> str:
        return f"<{self.method} {self.uri}>"


class Response(Message):
    __slots__ = ("reason", "status")

    def __init__(self, status: int, reason: str, headers: Headers | None = None, body: bytes = b"") -> None:
        super().__init__(headers or Headers(), body)
        self.status = status
        self.reason = reason

    def start_line(self) -> str:
        return f"SIP/2.0 {self.status} {self.reason}"

    def copy(self) -> Response:
        return Response(self.status, self.reason, self.headers.copy(), self.body)

    def __repr__(self) -> str:
        return f"<{self.status} {self.reason}>"


def response_to(
    request: Request, status: int, reason: str | None = None, *, to_tag: str | None = None
) -> Response:
    """A response with the fields that every response copies (section 8.2.6.2). `to_tag` is added to To unless
    it has one already; 100 gets none."""
    headers = Headers()
    source = request.headers
    for name in ("Via", "From", "To", "Call-ID", "CSeq"):
        for value in source.get_all(name):
            headers.add(name, value)
    if status == 100 and "Timestamp" in source:
        headers.add("Timestamp", source.get("Timestamp") or "")
    if to_tag and status > 100 and _takes_tag(source.get("To")):
        headers.set("To", f"{source.get('To')};tag={to_tag}")
    if status > 100 and request.method in ("INVITE", "SUBSCRIBE", "REFER", "NOTIFY"):
        for value in source.get_all("Record-Route"):
            headers.add("Record-Route", value)
    return Response(status, reason if reason is not None else REASONS.get(status, "Unknown"), headers)


def _takes_tag(to: str | None) -> bool:
    """Whether a To has no tag yet. A malformed one goes back as it came: the request is refused with it."""
    try:
        return NameAddr.parse(to or "").tag is None
    except SipSyntaxError:
        return False
