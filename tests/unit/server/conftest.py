"""An office: a server core, and phones that are just octets on flows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from segue.base.address import Address
from segue.base.secret import Secret
from segue.base.trace import MemoryTrace
from segue.protocols.sip.digest import DigestClient
from segue.protocols.sip.flow import Flow
from segue.protocols.sip.message import Headers, Request, Response, response_to
from segue.protocols.sip.parser import parse_message
from segue.server.authentication import hashes_of
from segue.server.config import Listen, Policy, ServerConfig
from segue.server.core import ServerCore
from segue.testing import ManualClock, SeededEntropy

DOMAIN = "example.org"
HOSTS = {
    "UDP": Address("192.0.2.1", 5060),
    "TCP": Address("192.0.2.1", 5060),
    "TLS": Address("192.0.2.1", 5061),
}
USERS = {name: hashes_of(name, DOMAIN, f"secret of {name}") for name in ("alice", "bob", "carol")}


class Office:
    """The core under a manual clock. What it sends is sorted to the phones' flows; saving is at once unless
    `save` is off."""

    def __init__(self, policy: Policy | None = None) -> None:
        listens = tuple(Listen(transport, address) for transport, address in HOSTS.items())
        self.config = ServerConfig(
            DOMAIN, listens, ":memory:", certificate="-", key="-", policy=policy or Policy(requests_rate=0.0)
        )
        self.clock = ManualClock()
        self.trace = MemoryTrace()
        self.core = self.new_core()
        self.inboxes: dict[Flow, list[Request | Response]] = {}
        self.raw: list[tuple[Flow, bytes]] = []
        self.save = True
        self._ports = 30000

    def new_core(self, seed: int = 0) -> ServerCore:
        key = Secret(b"k" * 32)
        return ServerCore(self.config, dict(USERS), key, SeededEntropy(seed), trace=self.trace)

    @property
    def now(self) -> float:
        return self.clock.now()

    def flow(self, transport: str = "UDP", host: str = "198.51.100.7") -> Flow:
        self._ports += 1
        flow = Flow(transport, HOSTS[transport], Address(host, self._ports), serial=self._ports)
        if not flow.reliable:
            flow = flow._replace(serial=0)
        else:
            self.core.opened(flow, self.now)
        self.inboxes[flow] = []
        return flow

    def phone(self, name: str, transport: str = "UDP", **more: object) -> Phone:
        return Phone(self, name, self.flow(transport), **more)  # type: ignore[arg-type]

    def send(self, message: Request | Response | bytes, flow: Flow) -> None:
        octets = message if isinstance(message, bytes) else message.to_bytes()
        self.core.receive(octets, flow, self.now)
        self.settle()

    def close(self, flow: Flow) -> None:
        self.core.closed(flow, self.now)
        self.settle()

    def settle(self) -> None:
        while True:
            if self.save and (batch := self.core.take_batch()) is not None:
                self.core.committed(batch, True, self.now)
            sent = self.core.transmits()
            if not sent:
                return
            for flow, octets in sent:
                self.raw.append((flow, octets))
                if octets.strip():
                    self.inboxes.setdefault(flow, []).append(parse_message(octets))

    def advance(self, seconds: float) -> None:
        """Let time pass, timer by timer."""
        end = self.now + seconds
        while (due := self.core.deadline()) is not None and due <= end:
            self.clock.advance(max(0.0, due - self.now) + 1e-6)
            self.core.expire(self.now)
            self.settle()
        self.clock.advance(max(0.0, end - self.now))
        self.core.expire(self.now)
        self.settle()


class Phone:
    """Makes and reads messages of one user. `instance` makes it an outbound phone with a GRUU."""

    def __init__(
        self,
        office: Office,
        name: str,
        flow: Flow,
        *,
        instance: str = "",
        contact: str = "",
        password: str = "",
    ) -> None:
        self.office = office
        self.name = name
        self.flow = flow
        self.aor = f"sip:{name}@{DOMAIN}"
        self.instance = instance
        self.contact = contact or f"sip:{name}@{flow.remote};transport={flow.transport.lower()}"
        self.gruu = ""
        self.entropy = SeededEntropy(f"{name}{flow}")
        self.digest = DigestClient(name, Secret(password or f"secret of {name}"), self.entropy, DOMAIN)
        self.sequence = 0

    @property
    def inbox(self) -> list[Request | Response]:
        return self.office.inboxes[self.flow]

    def take(self) -> Request | Response:
        return self.inbox.pop(0)

    def take_request(self, method: str) -> Request:
        """The next request of this method; what comes before it is skipped."""
        while True:
            message = self.take()
            if isinstance(message, Request) and message.method == method:
                return message

    def final(self) -> Response:
        """The next final response; provisional ones before it are skipped, requests stay."""
        for message in list(self.inbox):
            if isinstance(message, Response):
                self.inbox.remove(message)
                if message.status >= 200:
                    return message
        raise AssertionError(f"no final response, but {self.inbox}")

    def request(self, method: str, uri: str, *, to: str = "", body: bytes = b"", **fields: str) -> Request:
        self.sequence += 1
        headers = Headers()
        via = f"SIP/2.0/{self.flow.transport} {self.flow.remote};rport;branch=z9hG4bK{self.entropy.octets(6).hex()}"
        headers.add("Via", via)
        headers.add("Max-Forwards", "70")
        headers.add("From", f"<{self.aor}>;tag=from-{self.name}")
        headers.add("To", to or f"<{uri.partition(';')[0]}>")
        headers.add("Call-ID", f"call-{self.name}")
        headers.add("CSeq", f"{self.sequence} {method}")
        if method in ("INVITE", "SUBSCRIBE", "UPDATE"):
            headers.add("Contact", f"<{self.gruu or self.contact}>")
        for field, value in fields.items():
            headers.set(field.replace("_", "-"), value)
        return Request(method, uri, headers, body)

    def send(self, message: Request | Response) -> None:
        self.office.send(message, self.flow)

    def ask(self, request: Request) -> Response:
        """Send, authenticate when asked to, and give the final response."""
        self.send(request)
        response = self.final()
        if response.status in (401, 407):
            request = self.again(request, response)
            self.send(request)
            response = self.final()
        return response

    def again(self, request: Request, response: Response) -> Request:
        """The request with the credentials that the response asks for."""
        request = request.copy()
        self.sequence += 1
        request.headers.set("CSeq", f"{self.sequence} {request.method}")
        via = f"SIP/2.0/{self.flow.transport} {self.flow.remote};rport;branch=z9hG4bK{self.entropy.octets(6).hex()}"
        request.headers.replace_first("Via", via)
        assert self.digest.accept(request, response)
        self.digest.prepare(request)
        return request

    def register(self, *, expires: int = 600, reg_id: int = 1, contact: str = "") -> Response:
        value = contact or self.contact_field(reg_id)
        request = self.request("REGISTER", f"sip:{DOMAIN}", to=f"<{self.aor}>", Contact=value)
        request.headers.set("Call-ID", f"register-{self.flow.remote.port}-{reg_id}")
        request.headers.set("Expires", str(expires))
        request.headers.set("Supported", "path, outbound, gruu")
        response = self.ask(request)
        for value in response.contacts:
            if self.instance and self.instance in (value.params.get("+sip.instance") or ""):
                self.gruu = value.params.get("pub-gruu") or ""
        return response

    def contact_field(self, reg_id: int = 1) -> str:
        outbound = f';+sip.instance="<{self.instance}>";reg-id={reg_id}' if self.instance else ""
        return f"<{self.contact}>{outbound}"

    def invite(self, uri: str, **fields: str) -> Request:
        """Call; returns the INVITE as it was accepted by the proxy, with credentials."""
        request = self.request("INVITE", uri, body=b"v=0\r\n", **fields)
        self.send(request)
        challenge = self.final()
        assert challenge.status == 407, challenge
        ack = self.request("ACK", uri)
        for name in ("Via", "From", "To", "Call-ID"):
            ack.headers.set(name, (challenge if name == "To" else request).headers.get(name) or "")
        ack.headers.set("CSeq", f"{request.cseq.number} ACK")
        self.send(ack)
        request = self.again(request, challenge)
        self.send(request)
        return request

    def answer(self, request: Request, status: int, **fields: str) -> Response:
        response = response_to(request, status, to_tag=f"to-{self.name}")
        if 100 < status < 300:
            response.headers.set("Contact", f"<{self.gruu or self.contact}>")
        for field, value in fields.items():
            response.headers.set(field.replace("_", "-"), value)
        self.send(response)
        return response

    def in_dialog(
        self, method: str, answer: Response, *, caller: bool, uri: str = "", body: bytes = b""
    ) -> Request:
        """A request of the dialog that `answer` (to INVITE, as this side saw it) made."""
        routes = answer.headers.get_all("Record-Route")
        target = uri or str(answer.contacts[0].uri)
        request = self.request(method, target, body=body)
        mine, theirs = ("From", "To") if caller else ("To", "From")
        request.headers.set("From", answer.headers.get(mine) or "")
        request.headers.set("To", answer.headers.get(theirs) or "")
        request.headers.set("Call-ID", answer.call_id)
        for route in reversed(routes) if caller else routes:
            request.headers.add("Route", route)
        return request


@pytest.fixture
def office() -> Office:
    return Office()


@pytest.fixture
def make_office() -> Callable[..., Office]:
    def make(**policy: object) -> Office:
        return Office(replace(Policy(requests_rate=0.0), **policy))  # type: ignore[arg-type]

    return make
