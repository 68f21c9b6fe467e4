"""Whether a request outside of dialogs can be processed at all (RFC 3261 section 8.2). Pure."""

from __future__ import annotations

from typing import NamedTuple

from segue.base.errors import RemoteError
from segue.protocols.sip.message import Request
from segue.protocols.sip.uri import SipUri

SESSION = "application/sdp"


class Objection(NamedTuple):
    """Answer with this status and these header fields."""

    status: int
    headers: dict[str, str]


def inspect(
    request: Request, methods: tuple[str, ...], supported: tuple[str, ...], user: str
) -> Objection | None:
    """None when there is nothing against it. `user` is the user part of our own addresses."""
    if request.method not in methods:
        return Objection(405, {"Allow": ", ".join(methods)})
    try:
        uri = SipUri.parse(request.uri)
    except RemoteError as error:
        return Objection(error.status or 400, {})
    if uri.user and not uri.same_user(user):
        return Objection(404, {})
    unknown = sorted(request.require - set(supported))
    if unknown:
        return Objection(420, {"Unsupported": ", ".join(unknown)})
    return _inspect_content(request)


def _inspect_content(request: Request) -> Objection | None:
    """Section 8.2.3; and whether the answer that an INVITE asks for would be taken (section 20.1)."""
    headers = request.headers
    encodings = {word.lower() for word in headers.words("Content-Encoding")}
    if request.body and encodings - {"identity"}:
        return Objection(415, {"Accept-Encoding": "identity"})
    if request.method != "INVITE":
        return None
    if request.body and request.content_type != SESSION:
        return Objection(415, {"Accept": SESSION})
    wanted = {word.partition(";")[0].strip().lower() for word in headers.words("Accept")}
    if "Accept" in headers and not wanted & {SESSION, "application/*", "*/*"}:
        return Objection(406, {})
    return None
