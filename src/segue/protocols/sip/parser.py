"""Octets to SIP messages (RFC 3261 sections 7 and 25): one datagram, or one message cut out of a stream.

Lenient where RFC 4475 section 3.1.1 asks for it (folding, white space, compact and odd-cased names, escapes),
strict where it would be unsafe: what two readers could understand in two ways is refused (section 3.1.2).
Only the start line and the shape of header fields are looked at here; `check` looks into those fields that every
element needs.
"""

from __future__ import annotations

from segue.protocols.sip.message import LISTS, Headers, Message, Request, Response, canonical_name
from segue.protocols.sip.syntax import SipSyntaxError, is_token, number, split_outside
from segue.protocols.sip.uri import LIMIT as URI_LIMIT
from segue.protocols.sip.uri import SipUri

HEAD_LIMIT = 65_535  # octets of start line and header fields
FIELD_LIMIT = 256  # header fields of one message, lists split
SINGLE = frozenset(
    {
        "From",
        "To",
        "Call-ID",
        "CSeq",
        "Max-Forwards",
        "Content-Length",
        "Content-Type",
        "Expires",
        "RAck",
        "RSeq",
    }
)
MANDATORY = ("Via", "From", "To", "Call-ID", "CSeq")
STATUS_LIMIT = 699


class MalformedMessage(SipSyntaxError):
    """A message that is no SIP, with what of it could be read: enough to answer a request 400."""

    def __init__(self, problem: str, status: int = 400, message: Message | None = None) -> None:
        super().__init__(problem, status)
        self.message = message


def parse_message(octets: bytes) -> Request | Response:
    """The message in one datagram. Octets after Content-Length are ignored (RFC 3261 section 18.3).

    Raises MalformedMessage, with the status to answer a request with."""
    head, separator, body = octets.lstrip(b"\r\n").partition(b"\r\n\r\n")
    if not separator:
        head, body = head.rstrip(b"\r\n"), b""
    message = parse_head(head)
    length = content_length(message)
    if length is None:
        message.body = body
    elif length > len(body):
        raise MalformedMessage(f"Content-Length {length}, but {len(body)} octets follow", 400, message)
    else:
        message.body = body[:length]
    return message


def parse_head(head: bytes) -> Request | Response:
    """Start line and header fields, without the empty line. Raises MalformedMessage."""
    if len(head) > HEAD_LIMIT:
        raise MalformedMessage("the header is too long", 513)
    text = head.decode("utf-8", "surrogateescape")
    start, _, rest = text.partition("\r\n")
    problem: SipSyntaxError | None = None
    try:
        message = _start_line(start)
    except MalformedMessage as error:
        if error.message is None:
            raise
        message, problem = _either(error.message), error
    except SipSyntaxError as error:
        raise MalformedMessage(error.problem) from None
    try:
        message.headers = Headers(_fields(rest))
    except SipSyntaxError as error:
        message.headers = Headers(_legible(rest))
        raise MalformedMessage(error.problem, 400, message) from None
    if problem is not None:
        raise MalformedMessage(problem.problem, problem.status or 400, message)
    return message


def _either(message: Message) -> Request | Response:
    assert isinstance(message, Request | Response)
    return message


def _start_line(line: str) -> Request | Response:
    if line.startswith("SIP/"):
        return _status_line(line)
    method, _, rest = line.partition(" ")
    uri, space, version = rest.rpartition(" ")
    if not space or not is_token(method):
        raise MalformedMessage(f"{line[:60]!r} is no start line")
    request = Request(method, uri)
    if version.upper() != "SIP/2.0":
        status = 505 if version.upper().startswith("SIP/") else 400
        raise MalformedMessage(f"{version[:20]!r} is not SIP/2.0", status, request)
    if not uri or len(uri) > URI_LIMIT or any(c <= " " or c in '<>"\x7f' for c in uri):
        raise MalformedMessage("the Request-URI is no URI", 414 if len(uri) > URI_LIMIT else 400, request)
    return request


def _status_line(line: str) -> Response:
    version, _, rest = line.partition(" ")
    digits, _, reason = rest.partition(" ")
    if version.upper() != "SIP/2.0" or len(digits) != 3:
        raise MalformedMessage(f"{line[:60]!r} is no status line")
    status = number(digits, STATUS_LIMIT, "status")
    if status < 100:
        raise MalformedMessage(f"there is no status {digits}")
    return Response(status, reason)


def _fields(text: str) -> list[tuple[str, str]]:
    fields: list[tuple[str, str]] = []
    if not text:
        return fields
    if "\r\n " in text or "\r\n\t" in text:
        text = _unfold(text)
    for line in text.split("\r\n"):
        name, colon, value = line.partition(":")
        name = name.rstrip(" \t")
        if not colon or not is_token(name):
            raise SipSyntaxError(f"{line[:60]!r} is no header field")
        if "\r" in value or "\n" in value:
            raise SipSyntaxError(f"{name[:30]} has a bare line break")
        canonical = canonical_name(name)
        value = value.strip(" \t")
        if canonical in LISTS and "," in value:
            fields.extend((canonical, part) for part in _list_parts(value, canonical))
        else:
            fields.append((canonical, value))
        if len(fields) > FIELD_LIMIT:
            raise SipSyntaxError("too many header fields")
    return fields


def _legible(text: str) -> list[tuple[str, str]]:
    """Of a header that is malformed the fields that a refusal copies, as they stand."""
    fields = []
    for line in _unfold(text).split("\r\n")[:FIELD_LIMIT]:
        name, colon, value = line.partition(":")
        canonical = canonical_name(name.rstrip(" \t"))
        if colon and canonical in MANDATORY and not {"\r", "\n"} & set(value):
            fields.append((canonical, value.strip(" \t")))
    return fields


def _list_parts(value: str, name: str) -> list[str]:
    parts = split_outside(value, ",")
    if not all(parts):
        raise SipSyntaxError(f"{name} has an empty value in its list")
    return parts


def _unfold(text: str) -> str:
    """A line that begins with white space goes on the one before (section 7.3.1)."""
    lines: list[str] = []
    for line in text.split("\r\n"):
        if line[:1] in (" ", "\t") and lines:
            lines[-1] = f"{lines[-1].rstrip()} {line.strip()}"
        else:
            lines.append(line)
    return "\r\n".join(lines)


def content_length(message: Message) -> int | None:
    """The value of Content-Length; None when there is none. Raises MalformedMessage: a bad one, or two that
    differ, would let two elements see two different messages."""
    values = set(message.headers.get_all("Content-Length"))
    if not values:
        return None
    try:
        lengths = {number(value, 1 << 31, "Content-Length") for value in values}
    except SipSyntaxError as error:
        raise MalformedMessage(error.problem, 400, message) from None
    if len(lengths) > 1:
        raise MalformedMessage("two Content-Length fields that differ", 400, message)
    return lengths.pop()


def check(message: Request | Response) -> None:
    """Whether the fields that every element relies on are there, once, and well-formed (section 8.2 and table 2;
    RFC 4475 sections 3.1.2 and 3.3). Raises SipSyntaxError with the status to refuse a request with."""
    headers = message.headers
    for name in MANDATORY:
        if headers.get(name) is None:
            raise SipSyntaxError(f"{name} is missing")
    seen: set[str] = set()
    for name, _ in headers.items():
        if name in SINGLE:
            if name in seen and name != "Content-Length":
                raise SipSyntaxError(f"{name} stands twice")
            seen.add(name)
    _ = message.via, message.from_, message.to, message.max_forwards, message.expires
    cseq = message.cseq
    if isinstance(message, Request):
        _check_request_line(message, cseq.method)
    if not message.call_id or len(message.call_id) > 1024:
        raise SipSyntaxError("Call-ID is empty or too long")


def _check_request_line(request: Request, method: str) -> None:
    if method != request.method:
        raise SipSyntaxError("CSeq names another method")
    if request.uri[:5].lower().startswith(("sip:", "sips:")) and SipUri.parse(request.uri).headers:
        raise SipSyntaxError("a Request-URI has no header fields")  # section 19.1.1, table 1
