"""Dialogs (RFC 3261 section 12) with the target refresh rules of RFC 6141 section 4.

A dialog is known by its Call-ID and two tags, never by a socket. `flow` is where its next request goes; its
owner may change it at any time, and `next_hop` says which URI that flow should lead to.
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

from segue.base.errors import RemoteError
from segue.protocols.sip.flow import Flow
from segue.protocols.sip.message import Headers, Request, Response
from segue.protocols.sip.uri import SipUri

TARGET_REFRESH = frozenset({"INVITE", "UPDATE"})  # of the methods of an INVITE usage (RFC 3311 section 5.1)

ROUTES = 70  # proxies on a way: as many as Max-Forwards lets there be


class DialogId(NamedTuple):
    call_id: str
    local_tag: str
    remote_tag: str


class DialogState(Enum):
    EARLY = "early"
    CONFIRMED = "confirmed"
    TERMINATED = "terminated"


class Dialog:
    """One dialog. `local` and `remote` are the From and To field values, tags included, of our requests.

    `local_target` is our Contact field value, `remote_target` the peer's URI. `owns_call_id`: we made the
    Call-ID, which decides who waits longer after glare (section 14.1).
    """

    __slots__ = (
        "flow",
        "id",
        "local",
        "local_sequence",
        "local_target",
        "owns_call_id",
        "remote",
        "remote_sequence",
        "remote_target",
        "route_set",
        "secure",
        "state",
    )

    def __init__(
        self,
        dialog_id: DialogId,
        local: str,
        remote: str,
        flow: Flow,
        *,
        owns_call_id: bool,
        local_target: str,
        remote_target: str,
        route_set: list[str],
        secure: bool,
    ) -> None:
        self.id = dialog_id
        self.state = DialogState.EARLY
        self.local = local
        self.remote = remote
        self.flow = flow
        self.owns_call_id = owns_call_id
        self.local_target = local_target
        self.remote_target = remote_target
        self.route_set = route_set
        self.secure = secure
        self.local_sequence: int | None = None
        self.remote_sequence: int | None = None

    @classmethod
    def of_caller(cls, request: Request, response: Response, flow: Flow) -> Dialog:
        """The dialog that a response (101-199 or 2xx) to our request makes (section 12.1.2).

        A response must have a Contact. One without, or with a bad one, is answered where the request went: a peer
        that gets no ACK would go on answering."""
        try:
            target = contact_of(response)
        except RemoteError:
            target = None
        dialog = cls(
            DialogId(request.call_id, request.from_.tag or "", response.to.tag or ""),
            request.headers.get("From") or "",
            response.headers.get("To") or "",
            flow,
            owns_call_id=True,
            local_target=request.headers.get("Contact") or "",
            remote_target=target or request.uri,
            route_set=good_routes(response)[::-1],
            secure=flow.secure and request.uri.lower().startswith("sips:"),
        )
        dialog.local_sequence = request.cseq.number
        return dialog

    @classmethod
    def of_callee(cls, request: Request, local_tag: str, contact: str, flow: Flow) -> Dialog:
        """The dialog that our response to this request will make (section 12.1.1).

        Raises RemoteError(400) when the request has no Contact, or a Record-Route that is no SIP URI."""
        routes = good_routes(request)
        if len(routes) != len(request.headers.get_all("Record-Route")):
            raise RemoteError("bad Record-Route", 400)
        target = contact_of(request) or _target_of_old(request)
        if target is None:
            raise RemoteError("a request that makes a dialog has no Contact", 400)
        dialog = cls(
            DialogId(request.call_id, local_tag, request.from_.tag or ""),
            f"{request.headers.get('To')};tag={local_tag}",
            request.headers.get("From") or "",
            flow,
            owns_call_id=False,
            local_target=contact,
            remote_target=target,
            route_set=routes,
            secure=flow.secure and request.uri.lower().startswith("sips:"),
        )
        dialog.remote_sequence = request.cseq.number
        return dialog

    def confirm(self, response: Response | None = None) -> None:
        """Early becomes confirmed. With the caller's 2xx the route set is made anew, and nothing else of the
        dialog's state (section 13.2.2.4); its Contact is a target refresh."""
        if response is not None and self.state is DialogState.EARLY:
            self.route_set = good_routes(response)[::-1]
        self.state = DialogState.CONFIRMED

    def request(self, method: str, *, sequence: int | None = None) -> Request:
        """A request in this dialog, without Via and body (section 12.2.1.1). `sequence` repeats a CSeq number:
        that of the INVITE for its ACK."""
        if sequence is None:
            sequence = self.local_sequence = self._next_sequence()
        uri, routes = self._way()
        headers = Headers()
        headers.add("Max-Forwards", "70")
        for route in routes:
            headers.add("Route", route)
        headers.add("From", self.local)
        headers.add("To", self.remote)
        headers.add("Call-ID", self.id.call_id)
        headers.add("CSeq", f"{sequence} {method}")
        if method in TARGET_REFRESH:
            headers.add("Contact", self.local_target)
        return Request(method, uri, headers, b"")

    def _next_sequence(self) -> int:
        # The first number of a callee is its own choice below 2**31 (section 8.1.1.5).
        return 1 if self.local_sequence is None else self.local_sequence + 1

    def _way(self) -> tuple[str, list[str]]:
        """Request-URI and Route field values; a first router without `lr` gets the old, strict form."""
        if not self.route_set:
            return self.remote_target, []
        first = _address(self.route_set[0])
        if "lr" in SipUri.parse(first).params:
            return self.remote_target, self.route_set
        return _request_uri(first), [*self.route_set[1:], f"<{self.remote_target}>"]

    @property
    def next_hop(self) -> str:
        """The URI that the next request goes to: the first router's, else the peer's (section 8.1.2)."""
        return _address(self.route_set[0]) if self.route_set else self.remote_target

    def receive_request(self, request: Request) -> None:
        """Note a request of the peer's in this dialog. Raises RemoteError(500) when it comes out of order
        (section 12.2.2); one that has the same number came again by another way and is in order. A PRACK is known
        by its RAck and may come late: refusing it would end the call."""
        sequence = request.cseq.number
        if request.method == "PRACK" and self.remote_sequence is not None:
            sequence = max(sequence, self.remote_sequence)
        if self.remote_sequence is not None and sequence < self.remote_sequence:
            raise RemoteError(f"CSeq {sequence} after {self.remote_sequence}", 500)
        self.remote_sequence = sequence

    def refresh_target(self, message: Request | Response) -> bool:
        """Take the peer's Contact from a target refresh request that we answer with a 2xx or reliable 1xx, or
        from such a response (RFC 6141 sections 4.6 and 4.7). True when it is another one than before."""
        target = contact_of(message)
        if target is None or target == self.remote_target:
            return False
        self.remote_target = target
        return True


def contact_of(message: Request | Response) -> str | None:
    """The URI of the first Contact; None when there is none. Raises RemoteError for one that is no SIP URI."""
    contacts = message.contacts
    if not contacts:
        return None
    uri = str(contacts[0].uri)
    if not uri.lower().startswith(("sip:", "sips:")):
        raise RemoteError("Contact is no SIP or SIPS URI", 400)
    return uri


def _target_of_old(request: Request) -> str | None:
    """Where a caller of RFC 2543, which puts no cookie in its branch, is reached without a Contact: at its From."""
    branch, uri = request.via.branch or "", request.from_.uri
    return str(uri) if not branch.startswith("z9hG4bK") and isinstance(uri, SipUri) else None


def good_routes(message: Request | Response) -> list[str]:
    """The Record-Route values that a request can be sent by; what is malformed, or too much, is left out."""
    routes = []
    for value in message.headers.get_all("Record-Route")[:ROUTES]:
        try:
            SipUri.parse(_address(value))
        except RemoteError:
            continue
        routes.append(value)
    return routes


def _address(route: str) -> str:
    """The URI inside `<…>` of a Route field value."""
    start, end = route.find("<"), route.rfind(">")
    return route[start + 1 : end] if 0 <= start < end else route.partition(";")[0].strip()


def _request_uri(uri: str) -> str:
    """Without what is not allowed in a Request-URI (section 19.1.1, table 1): the method parameter, headers."""
    parsed = SipUri.parse(uri)
    parsed.params.pop("method", None)
    parsed.headers.clear()
    return str(parsed)
