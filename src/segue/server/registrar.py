"""REGISTER (RFC 3261 section 10.3) with outbound (RFC 5626 section 6) and public GRUUs (RFC 5627 section 5).

We are the first hop of every phone ourselves: a REGISTER that came through another proxy gets no outbound
processing, and there is no Path.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

from segue.base.entropy import Entropy, token
from segue.base.errors import RemoteError
from segue.protocols.sip.field_values import NameAddr
from segue.protocols.sip.flow import Flow
from segue.protocols.sip.message import Request, Response, response_to
from segue.protocols.sip.syntax import SipSyntaxError, number, write_parameters
from segue.protocols.sip.uri import SipUri
from segue.server.authentication import Authentication, Refusal
from segue.server.config import Policy
from segue.server.location import Binding, Location, gruu_of

EXTENSIONS = frozenset({"outbound", "gruu"})
FLOW_TIMERS = {"UDP": 25, "TCP": 120, "TLS": 120}  # seconds (RFC 5626 section 4.4.1 and 4.4.2)
LONGEST = 1024  # characters of one Contact or To; what is kept for each binding is bounded by it
_OURS = frozenset({"expires", "reg-id", "pub-gruu", "temp-gruu"})  # parameters we write ourselves


class Wanted(NamedTuple):
    """One Contact of a REGISTER. `expires` is None when it says nothing."""

    contact: str
    instance: str
    reg_id: int
    expires: int | None
    params: str


class Registrar:
    """Changes `location`; the answer may go out only when the store has what is dirty there."""

    def __init__(
        self, location: Location, authentication: Authentication, policy: Policy, entropy: Entropy
    ) -> None:
        self._location = location
        self._authentication = authentication
        self._policy = policy
        self._entropy = entropy

    def register(self, request: Request, flow: Flow, now: float) -> Response | None:
        """The answer to a REGISTER for our domain; None for none at all."""
        try:
            user = self._authentication.verify(request, flow, now, proxy=False)
            if isinstance(user, Refusal):
                return self._refused(request, user) if user.status else None
            host, wanted = _aor(_short(request.headers.get("To") or ""))
            aor = f"sip:{user}@{self._authentication.domain}"
            if host != self._authentication.domain:
                return self._answer(request, 404)
            if wanted != aor:
                return self._answer(request, 403)
            unknown = [tag for tag in request.headers.words("Require") if tag.lower() not in EXTENSIONS]
            if unknown:
                response = self._answer(request, 420)
                response.headers.set("Unsupported", ", ".join(unknown))
                return response
            return self._update(request, aor, flow, now)
        except RemoteError as error:
            return self._answer(request, error.status or 400)

    def _update(self, request: Request, aor: str, flow: Flow, now: float) -> Response:
        contacts = request.headers.get_all("Contact")
        supported = request.supported
        if contacts == ["*"] or "*" in contacts:
            if len(contacts) > 1 or request.expires != 0:
                raise RemoteError("Contact * stands alone, with Expires: 0", 400)
            self._remove_all(request, aor)
            return self._success(request, aor, flow, False, now)
        wanted = [_wanted(_short(value)) for value in contacts]
        outbound = self._outbound(request, wanted, supported)
        if outbound is None:
            return self._answer(request, 439)
        if not outbound:
            wanted = [one._replace(reg_id=0) for one in wanted]
        short = self._policy.min_expires
        default = self._expires(request)
        for one in wanted:
            if 0 < (default if one.expires is None else one.expires) < short:
                response = self._answer(request, 423)
                response.headers.set("Min-Expires", str(short))
                return response
        self._apply(request, aor, wanted, default, flow, outbound, "gruu" in supported, now)
        return self._success(request, aor, flow, outbound, now)

    def _outbound(self, request: Request, wanted: list[Wanted], supported: set[str]) -> bool | None:
        """Whether outbound processing applies; None: it is wanted, but we are not the first hop."""
        asked = [one for one in wanted if one.reg_id]
        if not asked:
            return False
        if sum(one.expires != 0 for one in wanted) > 1:
            raise RemoteError("reg-id with several contacts", 400)
        if len(request.headers.get_all("Via")) > 1:
            return None if "outbound" in supported else False
        return "outbound" in supported

    def _expires(self, request: Request) -> int:
        value = request.headers.get("Expires")
        if value is None:
            return self._policy.default_expires
        return number(value, (1 << 32) - 1, "Expires")

    def _apply(
        self,
        request: Request,
        aor: str,
        wanted: list[Wanted],
        default: int,
        flow: Flow,
        outbound: bool,
        gruu: bool,
        now: float,
    ) -> None:
        """All contacts or none (RFC 3261 section 10.3 item 7)."""
        call_id, sequence = request.call_id, request.cseq.number
        known = [self._known(aor, one) for one in wanted]
        for binding in known:
            if binding is not None and binding.call_id == call_id and sequence <= binding.sequence:
                raise RemoteError("a REGISTER from before the newest", 500)
        added = sum(binding is None for binding in known)
        if added and len(self._location.bindings(aor)) + added > self._policy.contacts_limit:
            raise RemoteError("too many contacts", 403)
        for one, before in zip(wanted, known, strict=True):
            binding = before
            expires = min(default if one.expires is None else one.expires, self._policy.max_expires)
            if expires == 0:
                if binding is not None:
                    self._location.remove(binding)
                continue
            if binding is None:
                binding = _new(aor, one, flow)
            elif binding.contact != one.contact or binding.flow != flow:
                self._location.rebind(binding, one.contact, flow)
            binding.params, binding.call_id, binding.sequence = one.params, call_id, sequence
            binding.outbound, binding.gruu = outbound, gruu and bool(one.instance)
            binding.deadline = now + expires
            self._location.put(binding, now)

    def _known(self, aor: str, one: Wanted) -> Binding | None:
        binding = self._location.of_key(aor, _key(one))
        if binding is not None or one.reg_id:
            return binding
        uri = SipUri.parse(one.contact)
        for other in self._location.bindings(aor):
            if not other.reg_id and SipUri.parse(other.contact).equivalent(uri):
                return other
        return None

    def _remove_all(self, request: Request, aor: str) -> None:
        call_id, sequence = request.call_id, request.cseq.number
        bindings = self._location.bindings(aor)
        for binding in bindings:
            if binding.call_id == call_id and sequence <= binding.sequence:
                raise RemoteError("a REGISTER from before the newest", 500)
        for binding in bindings:
            self._location.remove(binding)

    def _success(self, request: Request, aor: str, flow: Flow, outbound: bool, now: float) -> Response:
        response = self._answer(request, 200)
        headers = response.headers
        for binding in self._location.bindings(aor):
            headers.add("Contact", _contact_field(binding, now))
        if outbound:
            headers.add("Require", "outbound")
            headers.add("Flow-Timer", str(FLOW_TIMERS.get(flow.transport, 120)))
        headers.add("Supported", "outbound, gruu")
        return response

    def _answer(self, request: Request, status: int) -> Response:
        return response_to(request, status, to_tag=token(self._entropy, 64))

    def _refused(self, request: Request, refusal: Refusal) -> Response:
        response = self._answer(request, refusal.status)
        for name, value in refusal.headers:
            response.headers.add(name, value)
        return response


def _contact_field(binding: Binding, now: float) -> str:
    left = max(0, math.ceil((binding.deadline or now) - now))
    reg_id = f";reg-id={binding.reg_id}" if binding.reg_id else ""
    gruu = f';pub-gruu="{gruu_of(binding)}"' if binding.gruu else ""
    return f"<{binding.contact}>{binding.params}{reg_id};expires={left}{gruu}"


def _new(aor: str, one: Wanted, flow: Flow) -> Binding:
    return Binding(aor, _key(one), one.contact, "", one.instance, one.reg_id, "", 0, False, False, flow, None)


def _key(one: Wanted) -> str:
    return f"{one.instance} {one.reg_id}" if one.reg_id else one.contact


def _short(text: str) -> str:
    if len(text) > LONGEST:
        raise SipSyntaxError("a field that is too long to be kept", 400)
    return text


@lru_cache(maxsize=4096)
def _wanted(text: str) -> Wanted:
    """A Contact value read; phones send the same one at each refresh."""
    contact = NameAddr.parse(text)
    if not isinstance(contact.uri, SipUri):
        raise SipSyntaxError("a contact that is no SIP URI", 400)
    params = dict(contact.params)
    instance = (params.get("+sip.instance") or "").strip("<>")
    reg_id = 0
    if instance and params.get("reg-id") is not None:
        reg_id = number(params["reg-id"] or "", (1 << 31) - 1, "reg-id")
    expires = None
    if params.get("expires"):
        expires = number(params["expires"] or "", (1 << 32) - 1, "expires")
    kept = write_parameters({name: value for name, value in params.items() if name not in _OURS})
    return Wanted(str(contact.uri), instance, reg_id, expires, kept)


@lru_cache(maxsize=4096)
def _aor(text: str) -> tuple[str, str]:
    uri = NameAddr.parse(text).uri
    if not isinstance(uri, SipUri):
        raise SipSyntaxError("an address of another scheme", 416)
    return uri.host, uri.address_of_record
