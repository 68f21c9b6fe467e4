"""Where a request goes (RFC 3261 sections 16.4 and 16.5): to an AOR's phones, one instance, or a dialog's flow.

Nothing goes to an address that somebody wrote into a message: only over flows that our users opened, or that a
token of ours names. So we relay for nobody else.
"""

from __future__ import annotations

import hashlib
from typing import NamedTuple

from segue.base.errors import RemoteError
from segue.protocols.sip.field_values import NameAddr, Via
from segue.protocols.sip.flow import Flow
from segue.protocols.sip.message import Request
from segue.protocols.sip.uri import SipUri
from segue.server.location import Location, instance_of, target_name
from segue.server.record_route import Names, RecordRoute


class Target(NamedTuple):
    """One branch of a fork. An instance of an AOR (its flows are looked up at each attempt; `prefer` is the key of
    the binding to try first), or with `flow` just that flow, Request-URI as it is."""

    aor: str = ""
    name: str = ""
    prefer: str = ""
    flow: Flow | None = None


class Way(NamedTuple):
    """One flow that reaches a target, and the Request-URI to use on it."""

    uri: str
    flow: Flow


def ways(location: Location, target: Target, uri: str, secure: bool, preferred: bool) -> list[Way]:
    """What reaches a target now, newest first (with `preferred`: the binding it was found by first). `secure`:
    over TLS only."""
    if target.flow is not None:
        return [Way(uri, target.flow)] if target.flow.secure or not secure else []
    bindings = location.of_instance(target.aor, target.name)
    if preferred and target.prefer:
        bindings.sort(key=lambda binding: binding.key != target.prefer)
    return [Way(b.contact, b.flow) for b in bindings if b.flow is not None and (b.flow.secure or not secure)]


class Router:
    """`open_flows`: connections there are now; datagram flows are always there."""

    def __init__(
        self,
        names: Names,
        location: Location,
        record_route: RecordRoute,
        users: dict[str, dict[str, str]],
        open_flows: set[Flow],
    ) -> None:
        self._names = names
        self._location = location
        self._record_route = record_route
        self._users = users
        self._open = open_flows

    def strip_routes(self, request: Request) -> Flow | None:
        """Section 16.4: undo a strict router's work, take our own Routes off; the flow of their last token."""
        routes = request.headers.get_all("Route")
        if routes and self._is_own_route(request.uri):
            last = NameAddr.parse(routes.pop()).uri
            routes.insert(0, f"<{request.uri}>")
            request.uri = str(last)
        flow = None
        while routes and self._is_own_route(routes[0]):
            uri = NameAddr.parse(routes.pop(0)).uri
            assert isinstance(uri, SipUri)
            flow = self._record_route.read(uri) or flow
        request.headers.remove("Route")
        for route in routes:
            request.headers.add("Route", route)
        return flow

    def _is_own_route(self, text: str) -> bool:
        uri = NameAddr.parse(text if "<" in text else f"<{text}>").uri
        return isinstance(uri, SipUri) and "lr" in uri.params and self._names.ours(uri.host, uri.port)

    def is_for_server(self, request: Request) -> bool:
        """Whether it is addressed to us, and to none of our users."""
        uri = SipUri.parse(request.uri)
        return not uri.user and self._names.ours(uri.host, uri.port) and "Route" not in request.headers

    def targets(self, request: Request, token: Flow | None, now: float, reunion: float) -> list[Target]:
        """Not empty. Raises RemoteError with the status to answer: 404, 480, 430, or 403 for elsewhere."""
        if "Route" in request.headers:
            return [self._on_token(token)]
        uri = SipUri.parse(request.uri)
        user = self._names.user_of(uri)
        if user is not None:
            return self._of_user(user, uri, now, reunion)
        alive = token is not None and self._alive(token)
        if alive and "ob" in uri.params:
            return [Target(flow=token)]
        binding = self._location.of_contact(uri)
        if binding is not None:
            return [Target(binding.aor, target_name(binding), binding.key)]
        return [self._on_token(token)]

    def _of_user(self, user: str, uri: SipUri, now: float, reunion: float) -> list[Target]:
        aor = f"sip:{user}@{self._names.domain}"
        if user not in self._users:
            raise RemoteError("no such user", 404)
        if "gr" in uri.params:
            names = [instance_of(uri.params["gr"] or "")]
            if not self._location.of_instance(aor, names[0]):
                names = [n for n in names if self._location.lately_lost(aor, n, now, reunion)]
        else:
            lost = self._location.lost_instances(aor, now, reunion)
            names = list(dict.fromkeys([*self._location.instances(aor), *lost]))
        if not names:
            raise RemoteError("not registered", 480)
        return [Target(aor, name) for name in names]

    def _on_token(self, token: Flow | None) -> Target:
        if token is None:
            raise RemoteError("not of our domain, and of no dialog through us", 403)
        if not self._alive(token):
            raise RemoteError("the flow has failed", 430)
        return Target(flow=token)

    def _alive(self, flow: Flow) -> bool:
        return not flow.reliable or flow in self._open


def loop_mark(request: Request) -> str:
    """What of a received request decides where it goes, in few characters: the second part of our branches
    (RFC 5393 section 4.2.1). Not the method: a CANCEL has its INVITE's."""
    headers = request.headers
    parts = [request.uri, headers.get("Call-ID") or "", headers.get("From") or "", headers.get("To") or ""]
    parts += [(headers.get("CSeq") or "").partition(" ")[0], *headers.get_all("Route")]
    return hashlib.sha256("\n".join(parts).encode("utf-8", "surrogateescape")).hexdigest()[:16]


def has_looped(request: Request, mark: str, names: Names) -> bool:
    """Whether we have sent this very request before (RFC 5393 section 4.2.2). Other elements' Vias may be odd."""
    for text in request.headers.get_all("Via"):
        if mark not in text:
            continue
        try:
            via = Via.parse(text)
        except RemoteError:
            continue
        if (via.branch or "").endswith(f"-{mark}") and names.ours(via.host, via.port):
            return True
    return False
