"""The whole server without sockets, disk or clock: octets of flows in, octets of flows out.

A machine (`base.machine`). Beside the five verbs its owner tells it of connections (`opened`, `closed`), and saves
what changed: `take_batch` gives the changes, `committed` lets the answers go that wait for them.
"""

from __future__ import annotations

from typing import NamedTuple

from segue.base.address import source_key
from segue.base.entropy import Entropy
from segue.base.errors import RemoteError
from segue.base.machine import earliest
from segue.base.secret import Secret
from segue.base.trace import NO_TRACE, Trace
from segue.protocols.sip.flow import Flow
from segue.protocols.sip.framing import PING, PONG, Ping, StreamReader
from segue.protocols.sip.message import Request, Response, response_to
from segue.protocols.sip.parser import MalformedMessage, check, parse_message
from segue.protocols.sip.response_route import refusal
from segue.protocols.sip.timers import Timers
from segue.protocols.sip.transaction_events import (
    AckReceived,
    CancelReceived,
    LayerEvent,
    RequestReceived,
    ResponseReceived,
    StrayResponse,
)
from segue.protocols.sip.transaction_layer import TransactionLayer
from segue.protocols.sip.transaction_server import ServerTransaction
from segue.protocols.stun.message import is_stun
from segue.server.authentication import Authentication, Hashes
from segue.server.config import ServerConfig
from segue.server.location import Binding, Dirty, Location
from segue.server.proxy import Proxy
from segue.server.rate_limit import RateLimit
from segue.server.registrar import Registrar
from segue.server.stun import StunResponder

SILENCE = 32.0  # seconds an unregistered connection may stay without a whole message
SWEEP = 8.0


class CloseFlow(NamedTuple):
    """This connection is of no use any more."""

    flow: Flow


class Batch(NamedTuple):
    """Changes to be saved together, and the answers that wait for it."""

    dirty: Dirty
    answers: list[tuple[ServerTransaction, Response]]


class _Stream:
    __slots__ = ("heard_at", "reader", "useful")

    def __init__(self, now: float) -> None:
        self.reader = StreamReader()
        self.heard_at = now
        self.useful = False


class ServerCore:
    """`users`: name to hashes, shared with whoever reloads them. `flow_key` signs flow tokens and outlives a
    restart."""

    def __init__(
        self,
        config: ServerConfig,
        users: dict[str, Hashes],
        flow_key: Secret,
        entropy: Entropy,
        *,
        timers: Timers | None = None,
        trace: Trace = NO_TRACE,
    ) -> None:
        self.location = Location()
        self.layer = TransactionLayer(entropy, timers, trace)
        self.authentication = Authentication(config.domain.lower(), users, config.policy, entropy)
        self.registrar = Registrar(self.location, self.authentication, config.policy, entropy)
        self.proxy = Proxy(config, self.layer, self.location, self.authentication, flow_key, entropy, trace)
        self._requests = RateLimit(config.policy.requests_rate, config.policy.requests_burst)
        self.stun = StunResponder(self._requests, trace)
        self._streams: dict[Flow, _Stream] = {}
        self._answers: list[tuple[ServerTransaction, Response]] = []
        self._events: list[CloseFlow] = []
        self._swept_at = 0.0
        self._domain = config.domain.lower()
        self._trace = trace

    @property
    def answers_wait(self) -> bool:
        """Whether someone waits for a commit."""
        return bool(self._answers)

    # Commands

    def restore(self, bindings: list[Binding], now: float) -> None:
        """What the store had at the start, oldest first."""
        for binding in bindings:
            self.location.put(binding, now, note=False)
            if binding.flow is None:
                self.location.miss(binding, now)
            else:
                self.proxy.names.learn(binding.flow.local)

    def set_users(self, users: dict[str, Hashes]) -> None:
        """Other users, or other passwords; who is no user any more is not registered any more."""
        known = self.authentication.users
        gone = known.keys() - users.keys()
        known.clear()
        known.update(users)
        for name in gone:
            for binding in self.location.bindings(f"sip:{name}@{self._domain}"):
                self.location.remove(binding)

    def opened(self, flow: Flow, now: float) -> None:
        """Someone has connected."""
        self._streams[flow] = _Stream(now)
        self.proxy.opened(flow)
        self._swept_at = self._swept_at or now

    def closed(self, flow: Flow, now: float) -> None:
        """A connection has ended: its bindings go, what waits on it goes elsewhere."""
        if self._streams.pop(flow, None) is None:
            return
        users = [binding.aor[4:].partition("@")[0] for binding in self.location.on_flow(flow)]
        self.authentication.flow_closed(flow, users)
        self.location.flow_failed(flow, now)
        self.proxy.closed(flow)
        self.layer.flow_failed(flow, now)
        self._work(now)

    def take_batch(self) -> Batch | None:
        """What is to be saved now, or None."""
        if not self.location.dirty and not self._answers:
            return None
        batch = Batch(self.location.dirty, self._answers)
        self.location.dirty, self._answers = Dirty(), []
        return batch

    def committed(self, batch: Batch, saved: bool, now: float) -> None:
        """A batch is on disk; or it could not be saved: then nobody is told that it was."""
        for transaction, answer in batch.answers:
            response = answer
            if not saved and transaction.request is not None:
                to_tag = answer.to.tag
                response = response_to(transaction.request, 500, to_tag=to_tag)
            self.layer.respond(transaction, response, now)

    # The five verbs

    def receive(self, octets: bytes, flow: Flow, now: float) -> None:
        """A datagram, or what a stream brought."""
        if flow.reliable:
            self._receive_stream(octets, flow, now)
        elif octets == PING:
            self.layer.send_octets(PONG, flow)
        elif is_stun(octets):
            self._receive_stun(octets, flow, now)
        elif octets.strip(b"\r\n\0"):
            self._receive_datagram(octets, flow, now)
        self._work(now)

    def transmits(self) -> list[tuple[Flow, bytes]]:
        return self.layer.transmits()

    def deadline(self) -> float | None:
        sweep = self._swept_at + SWEEP if self._streams else None
        return earliest(self.layer.deadline(), self.location.deadline(), self.proxy.deadline(), sweep)

    def expire(self, now: float) -> None:
        self.layer.expire(now)
        self.location.expire(now)
        self.proxy.expire(now)
        if now >= self._swept_at + SWEEP:
            self._sweep(now)
        self._work(now)

    def events(self) -> list[CloseFlow]:
        events, self._events = self._events, []
        return events

    # Receiving

    def _receive_stun(self, octets: bytes, flow: Flow, now: float) -> None:
        """The keep-alive of phones on datagram flows (RFC 5626 section 8)."""
        answer = self.stun.answer(octets, flow.remote, now)
        if answer is not None:
            self.layer.send_octets(answer, flow)

    def _receive_datagram(self, octets: bytes, flow: Flow, now: float) -> None:
        if not self._requests.take(source_key(flow.remote.host), now):
            self._trace.drop("server", "too many messages from one source")
            return
        try:
            message = parse_message(octets)
        except MalformedMessage as error:
            self._refuse_malformed(error.message, error.status or 400, error.problem, flow)
            return
        self._receive_message(message, flow, now)

    def _receive_stream(self, octets: bytes, flow: Flow, now: float) -> None:
        stream = self._streams.get(flow)
        if stream is None:
            return
        for piece in stream.reader.receive(octets):
            stream.heard_at = now
            if isinstance(piece, Ping):
                self.layer.send_octets(PONG, flow)
            elif isinstance(piece, Request | Response):
                if self._requests.take(source_key(flow.remote.host), now):
                    self._receive_message(piece, flow, now)
                else:
                    self._refuse_malformed(piece, 503, "too many messages from one source", flow)
        fault = stream.reader.fault
        if fault is not None:
            self._refuse_malformed(fault.message, fault.status or 400, fault.problem, flow)
            self._events.append(CloseFlow(flow))

    def _receive_message(self, message: Request | Response, flow: Flow, now: float) -> None:
        try:
            check(message)
        except RemoteError as error:
            self._refuse_malformed(message, error.status or 400, error.problem, flow)
            return
        self.layer.receive(message, flow, now)

    def _refuse_malformed(self, message: object, status: int, problem: str, flow: Flow) -> None:
        """Answer without a transaction what has enough in it to be answered (RFC 3261 section 16.3)."""
        self._trace.drop("server", "malformed", problem=problem)
        if not isinstance(message, Request) or message.method == "ACK":
            return
        try:
            response, answers = refusal(message, status, flow, "malformed")
        except RemoteError:
            return
        if status == 503:
            response.headers.set("Retry-After", "5")
        self.layer.send(response, answers)

    def _work(self, now: float) -> None:
        """Obey the drain rule for the machines inside."""
        while True:
            events = self.layer.events()
            for event in events:
                self._handle(event, now)
            moved, self.location.moved = self.location.moved, []
            for aor, instance in moved:
                self.proxy.moved(aor, instance, now)
            if not events and not moved:
                return

    def _handle(self, event: LayerEvent, now: float) -> None:
        if isinstance(event, RequestReceived):
            if event.request.method == "REGISTER":
                self._register(event, now)
            else:
                self.proxy.receive_request(event.transaction, event.request, event.flow, event.merged, now)
        elif isinstance(event, ResponseReceived):
            self.proxy.receive_response(event.transaction, event.response, event.flow, now)
        elif isinstance(event, AckReceived):
            self.proxy.receive_ack(event.request, event.flow, now)
        elif isinstance(event, CancelReceived):
            self.proxy.receive_cancel(event.transaction, event.request, now)
        elif isinstance(event, StrayResponse):
            self._trace.drop("server", "stray response")
        else:
            self.proxy.failed(event.transaction, now)

    def _register(self, event: RequestReceived, now: float) -> None:
        transaction, request, flow = event.transaction, event.request, event.flow
        if not self.proxy.is_for_us(request):
            self.layer.respond(transaction, response_to(request, 403, to_tag="elsewhere"), now)
            return
        response = self.registrar.register(request, flow, now)
        if response is None:
            self.layer.forget(transaction)
        elif response.status == 200:
            self._answers.append((transaction, response))
            stream = self._streams.get(flow)
            if stream is not None:
                stream.useful = True
        else:
            self.layer.respond(transaction, response, now)

    def _sweep(self, now: float) -> None:
        """Close connections that carry nothing: who never registered and has been silent, and registered ones
        whose phone promised keep-alives (RFC 5626 section 4.4.1) and sends none any more."""
        self._swept_at = now
        for flow, stream in self._streams.items():
            bindings = self.location.on_flow(flow)
            silent = now - stream.heard_at
            promised = any(binding.outbound for binding in bindings)
            if silent > (300.0 if promised else SILENCE if not (stream.useful or bindings) else 7200.0):
                self._events.append(CloseFlow(flow))
