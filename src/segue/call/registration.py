"""REGISTER on every signalling flow (RFC 3261 section 10, RFC 5626, RFC 5627).

One binding per network, told apart by reg-id; all carry the device's instance-id, so that the registrar gives
one GRUU for all and reaches the newest first. A binding is refreshed before it expires; what the registrar
refuses is said, with what a person can do.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from segue.base.entropy import Entropy, fraction, token
from segue.base.errors import RemoteError
from segue.base.machine import earliest
from segue.call.events import Registered, RegistrationFailed
from segue.protocols.sip.flow import Flow
from segue.protocols.sip.message import Headers, Request, Response
from segue.protocols.sip.transaction_client import ClientTransaction

Authorize = Callable[[Request, Response], bool]
"""Whether there are credentials for the challenge to the request; they are put into it when it is sent."""

RETRY_FIRST = 2.0  # seconds after a failure that may pass
RETRY_LIMIT = 60.0
CHALLENGES = 3  # in a row that are answered


@dataclass(frozen=True)
class Identity:
    """Whom we register: `instance` is a URN (RFC 5626 section 4.1), empty to register without."""

    aor: str
    registrar: str  # the Request-URI: the domain of the address of record
    user: str
    instance: str
    expires: int = 600
    user_agent: str = "Segue"


@dataclass
class _Binding:
    flow: Flow
    reg_id: int
    call_id: str
    from_tag: str
    sequence: int = 0
    transaction: ClientTransaction | None = None
    registered: bool = False
    wanted: bool = True
    refresh_at: float | None = None
    failures: int = 0
    challenged: int = 0
    expires: int = 0


class Registration:
    """A machine beside the transaction layer: `requests()` gives what to send and on which flow; the owner
    calls `sent`, `receive`, and `lost` with what becomes of it."""

    def __init__(self, identity: Identity, entropy: Entropy, authorize: Authorize) -> None:
        self.identity = identity
        self._entropy = entropy
        self._authorize = authorize
        self._bindings: dict[str, _Binding] = {}  # by interface
        self._reg_ids: dict[str, int] = {}
        self._requests: list[tuple[str, Flow, Request]] = []
        self._events: list[Registered | RegistrationFailed] = []
        self.gruu = ""

    def register(self, interface: str, flow: Flow) -> None:
        """Register over `flow`, the newest of `interface`; it replaces an older one (same reg-id)."""
        reg_id = self._reg_ids.setdefault(interface, len(self._reg_ids) + 1)
        known = self._bindings.get(interface)
        if known is None:
            known = _Binding(flow, reg_id, token(self._entropy), token(self._entropy, 64))
            self._bindings[interface] = known
        elif known.flow == flow and (known.transaction is not None or known.registered):
            return
        known.flow, known.transaction, known.registered, known.challenged = flow, None, False, 0
        self._send(interface, known)

    def refresh(self) -> None:
        """The server may have forgotten us: every binding is made again now."""
        for interface, binding in self._bindings.items():
            if binding.wanted and binding.registered and binding.transaction is None:
                binding.refresh_at = None
                self._send(interface, binding)

    def unregister(self) -> None:
        """Take every binding back."""
        for interface, binding in self._bindings.items():
            binding.wanted = False
            binding.refresh_at = None
            if binding.registered:
                self._send(interface, binding)

    def flow_gone(self, flow: Flow) -> None:
        """The flow does not exist any more; its binding is made anew on the next one."""
        for binding in self._bindings.values():
            if binding.flow == flow:
                binding.transaction, binding.registered, binding.refresh_at = None, False, None

    def is_registered(self, flow: Flow) -> bool:
        return any(b.flow == flow and b.registered for b in self._bindings.values())

    @property
    def waiting(self) -> bool:
        """A REGISTER has no answer yet."""
        return any(binding.transaction is not None for binding in self._bindings.values())

    def requests(self) -> list[tuple[str, Flow, Request]]:
        """What is to be sent: interface, flow, request."""
        requests, self._requests = self._requests, []
        return requests

    def sent(self, interface: str, transaction: ClientTransaction) -> None:
        """The request left as this transaction."""
        self._bindings[interface].transaction = transaction

    def receive(self, transaction: ClientTransaction, response: Response, now: float) -> bool:
        """A response to one of our REGISTERs; False when it is not ours."""
        for interface, binding in self._bindings.items():
            if binding.transaction is transaction:
                if response.status >= 200:
                    binding.transaction = None
                    self._receive_final(interface, binding, transaction.request, response, now)
                return True
        return False

    def lost(self, transaction: ClientTransaction, problem: str, now: float) -> bool:
        """No answer came; False when the transaction is not ours."""
        for interface, binding in self._bindings.items():
            if binding.transaction is transaction:
                binding.transaction = None
                self._fail(interface, binding, problem, None, now)
                return True
        return False

    def deadline(self) -> float | None:
        return earliest(*(binding.refresh_at for binding in self._bindings.values()))

    def expire(self, now: float) -> None:
        for interface, binding in self._bindings.items():
            if binding.refresh_at is not None and binding.refresh_at <= now:
                binding.refresh_at = None
                self._send(interface, binding)

    def events(self) -> list[Registered | RegistrationFailed]:
        events, self._events = self._events, []
        return events

    def contact(self, flow: Flow, reg_id: int) -> str:
        """Our Contact field value for a REGISTER on this flow."""
        transport = "" if flow.transport == "UDP" else f";transport={flow.transport.lower()}"
        contact = f"<sip:{self.identity.user}@{flow.local}{transport}>"
        if self.identity.instance:
            contact += f';reg-id={reg_id};+sip.instance="<{self.identity.instance}>"'
        return contact

    def _send(self, interface: str, binding: _Binding) -> None:
        self._requests.append((interface, binding.flow, self._request(binding)))

    def _request(self, binding: _Binding) -> Request:
        binding.sequence += 1
        headers = Headers()
        headers.add("Max-Forwards", "70")
        headers.add("From", f"<{self.identity.aor}>;tag={binding.from_tag}")
        headers.add("To", f"<{self.identity.aor}>")
        headers.add("Call-ID", binding.call_id)
        headers.add("CSeq", f"{binding.sequence} REGISTER")
        headers.add("Contact", self.contact(binding.flow, binding.reg_id))
        headers.add("Expires", str(self._expires(binding)))
        headers.add("Supported", "path, outbound, gruu")
        headers.add("User-Agent", self.identity.user_agent)
        return Request("REGISTER", self.identity.registrar, headers, b"")

    def _expires(self, binding: _Binding) -> int:
        return max(self.identity.expires, binding.expires) if binding.wanted else 0

    def _receive_final(
        self, interface: str, binding: _Binding, request: Request, response: Response, now: float
    ) -> None:
        status = response.status
        if status in (401, 407):
            binding.challenged += 1
            if binding.challenged <= CHALLENGES and self._authorize(request, response):
                self._requests.append((interface, binding.flow, self._request(binding)))
                return
            problem = "the password is wrong, or the user unknown"
            self._fail(interface, binding, problem, status, now, final=True)
        elif status < 300:
            self._accept(interface, binding, response, now)
        elif status == 423:
            self._receive_too_brief(interface, binding, response, now)
        else:
            final = status in (403, 404)
            self._fail(interface, binding, f"{status} {response.reason}", status, now, final=final)

    def _accept(self, interface: str, binding: _Binding, response: Response, now: float) -> None:
        binding.challenged = binding.failures = 0
        binding.registered = binding.wanted
        if not binding.wanted:
            return
        expires = self._granted(binding, response)
        # A random point between half and nine tenths, so that an office that switched on together does not
        # register together for ever after.
        binding.refresh_at = now + expires * (0.5 + 0.4 * fraction(self._entropy))
        self._events.append(Registered(self.identity.aor, interface, expires, self.gruu))

    def _granted(self, binding: _Binding, response: Response) -> int:
        """Seconds until our binding expires; takes the GRUU along (RFC 5627 section 4.2)."""
        ours = self.contact(binding.flow, binding.reg_id)
        address = ours[1 : ours.index(">")]
        try:
            for contact in response.contacts:
                instance = (contact.params.get("+sip.instance") or "").strip('"<>')
                mine = instance == self.identity.instance if instance else str(contact.uri) == address
                if mine:
                    self.gruu = (contact.params.get("pub-gruu") or "").strip('"') or self.gruu
                    if contact.params.get("reg-id") in (None, str(binding.reg_id)):
                        return max(1, int(contact.params.get("expires") or response.expires or 600))
            return max(1, response.expires or self.identity.expires)
        except (RemoteError, ValueError):
            return self.identity.expires

    def _receive_too_brief(self, interface: str, binding: _Binding, response: Response, now: float) -> None:
        minimum = response.headers.get("Min-Expires") or ""
        seconds = int(minimum) if minimum.isascii() and minimum.isdigit() and len(minimum) < 8 else 0
        if seconds > self._expires(binding):
            binding.expires = seconds
            self._send(interface, binding)
        else:
            self._fail(interface, binding, "423 Interval Too Brief", 423, now, final=True)

    def _fail(
        self,
        interface: str,
        binding: _Binding,
        problem: str,
        status: int | None,
        now: float,
        *,
        final: bool = False,
    ) -> None:
        binding.registered = False
        binding.failures += 1
        pause = None if final else min(RETRY_LIMIT, RETRY_FIRST * 2 ** (binding.failures - 1))
        binding.refresh_at = None if pause is None or not binding.wanted else now + pause
        self._events.append(RegistrationFailed(self.identity.aor, interface, problem, status, pause))
