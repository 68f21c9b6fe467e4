"""SIP user agents over a `Wire`, in virtual time: what two phones would do, with every octet written and parsed.

`SipWire` is the network: it carries datagrams with the wire's loss, and streams without. `SipEnd` is a user agent
with a transaction layer and its sessions, which answers offers by itself. Bodies are words, not SDP: an answer
repeats its offer, so that two ends that agree have the same last answer (`agreed`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from segue.base.address import Address
from segue.base.errors import LocalError, RemoteError
from segue.base.machine import earliest
from segue.base.trace import MemoryTrace
from segue.protocols.sip import session_events as said
from segue.protocols.sip.field_values import Via
from segue.protocols.sip.flow import Flow
from segue.protocols.sip.invite_session import InviteSession
from segue.protocols.sip.invite_sessions import InviteSessions
from segue.protocols.sip.message import Headers, Request, Response, response_to
from segue.protocols.sip.parser import parse_message
from segue.protocols.sip.response_route import stamp_via
from segue.protocols.sip.session_core import SessionOptions
from segue.protocols.sip.session_states import SessionState
from segue.protocols.sip.timers import Timers
from segue.protocols.sip.transaction_events import LayerEvent, RequestReceived
from segue.protocols.sip.transaction_layer import TransactionLayer
from segue.protocols.sip.uri import SipUri
from segue.testing.entropy import SeededEntropy
from segue.testing.wire import Wire

Place = tuple[str, Address]  # transport and address


class Seen(NamedTuple):
    """A message that left an end."""

    at: float
    source: Address
    target: Address
    message: Request | Response


class SipWire:
    """Moves octets between ends; `now` is the virtual time in seconds."""

    def __init__(
        self,
        seed: int | str = 0,
        *,
        transport: str = "UDP",
        loss: float = 0.0,
        jitter: float = 0.0,
        delay: float = 0.02,
        duplicate: float = 0.0,
    ) -> None:
        self.now = 1000.0
        self.transport = transport
        self.datagrams: Wire[bytes] = Wire(seed, delay=delay, jitter=jitter, loss=loss, duplicate=duplicate)
        self.streams: Wire[bytes] = Wire(seed, delay=delay)
        self.nodes: dict[Address, SipEnd | Relay] = {}
        self.ends: list[SipEnd] = []
        self.seen: list[Seen] = []
        self.mangle: Callable[[bytes], bytes] | None = None  # what a hostile network does to the octets

    def put(self, flow: Flow, octets: bytes) -> None:
        self.seen.append(Seen(self.now, flow.local, flow.remote, parse_message(octets)))
        wire = self.streams if flow.reliable else self.datagrams
        if self.mangle is not None:
            octets = self.mangle(octets)
        wire.send(flow.local, flow.remote, octets, self.now)

    def cut(self, address: Address) -> None:
        """The interface with this address is gone. Streams to it break; datagrams are lost silently."""
        self.datagrams.cut(address)
        self.streams.cut(address)
        self.nodes.pop(address, None)

    def broken(self, flow: Flow) -> bool:
        return flow.reliable and (flow.remote not in self.nodes or flow.local not in self.nodes)

    def run(self, seconds: float) -> None:
        """Let so much time pass; all that falls due happens in its order."""
        until = self.now + seconds
        while True:
            for end in self.ends:
                end.drain()
            wires = (self.datagrams.deadline(), self.streams.deadline())
            due = earliest(*wires, *(end.deadline() for end in self.ends))
            if due is None or due > until:
                break
            self.now = max(self.now, due)
            for wire, transport in ((self.datagrams, "UDP"), (self.streams, self.transport)):
                for arrival in wire.arrivals(self.now):
                    source, target = arrival.source, arrival.target
                    if not isinstance(source, Address) or not isinstance(target, Address):
                        continue
                    node = self.nodes.get(target)
                    if node is not None:
                        node.receive(arrival.load, Flow(transport, target, source))
            for end in self.ends:
                end.expire()
        self.now = until

    def until(self, happened: Callable[[], bool], seconds: float = 10.0) -> None:
        """Run until something is so; AssertionError when it is not within `seconds`."""
        limit = self.now + seconds
        while not happened():
            assert self.now < limit, "it did not happen"
            self.run(0.01)

    def sent(self, method: str, end: SipEnd | None = None) -> list[Request]:
        """The requests of this method that were sent (all copies), by all or by one end."""
        return [
            s.message
            for s in self.seen
            if isinstance(s.message, Request)
            and s.message.method == method
            and (end is None or s.source in end.addresses)
        ]

    def answered(self, method: str, end: SipEnd | None = None) -> list[int]:
        """The statuses of the responses sent to this method."""
        return [
            s.message.status
            for s in self.seen
            if isinstance(s.message, Response)
            and s.message.cseq.method == method
            and (end is None or s.source in end.addresses)
        ]


class Relay:
    """A stateless proxy (RFC 3261 section 16.11) that knows where each end is at present."""

    def __init__(self, network: SipWire, address: Address) -> None:
        self.network = network
        self.address = address
        self.bindings: dict[str, Address] = {}
        network.nodes[address] = self

    def receive(self, octets: bytes, flow: Flow) -> None:
        message = parse_message(octets)
        if isinstance(message, Response):
            message.headers.remove_first("Via")
            via = message.via
            back = Address(via.received or via.host, via.rport or via.port or 5060)
            self.network.put(Flow(flow.transport, self.address, back), message.to_bytes())
            return
        branch = stamp_via(message, flow).branch
        target = self.bindings.get(str(SipUri.parse(message.uri).host))
        if target is None:
            return
        mine = Via(flow.transport, self.address.host, self.address.port, {"branch": f"{branch}-relay"})
        message.headers.prepend("Via", str(mine))
        self.network.put(Flow(flow.transport, self.address, target), message.to_bytes())


class SipEnd:
    """`peer` is where its requests go: the other end's address, or the relay's. `invited` says what it does with a
    call: "ignore", "ring", "ring reliably", "ring with answer" (reliably), "accept" (at once), "reject"."""

    def __init__(
        self, network: SipWire, name: str, address: Address, peer: Address, *, relay: Relay | None = None
    ) -> None:
        self.network = network
        self.name = name
        self.address = address
        self.addresses = [address]
        self.peer = peer
        self.relay = relay
        self.invited = "ring"
        self.offers_answered = True
        self.options = SessionOptions()
        self.trace = MemoryTrace()
        self.layer = TransactionLayer(SeededEntropy(name), Timers(), self.trace)
        self.sessions = InviteSessions()
        self.calls: list[InviteSession] = []
        self.heard: list[said.SessionEvent] = []
        self.candidates = b""  # all so far, for a peer that takes them by INFO
        self.agreed = b""
        self.offered = b""  # by the peer, to be answered
        self._bodies = 0
        network.nodes[address] = self
        network.ends.append(self)
        if relay is not None:
            relay.bindings[name] = address

    # What the test does

    @property
    def call(self) -> InviteSession:
        """The latest session."""
        return self.calls[-1]

    @property
    def up(self) -> bool:
        return bool(self.calls) and self.call.state is SessionState.UP

    @property
    def ended(self) -> bool:
        return not self.calls or self.call.state is SessionState.ENDED

    @property
    def flow(self) -> Flow:
        return Flow(self.network.transport, self.address, self.peer)

    @property
    def contact(self) -> str:
        if self.relay is not None:
            return f"<sip:{self.name}@{self.name};gr>"
        return f"<sip:{self.name}@{self.address}>"

    def offer(self) -> bytes:
        self._bodies += 1
        return f"offer {self._bodies} of {self.name} at {self.address}".encode()

    def answer(self, offer: bytes) -> bytes:
        self._bodies += 1
        self.agreed = f"answer {self._bodies} of {self.name} at {self.address} to {offer.decode()}".encode()
        return self.agreed

    def dial(self, name: str, *, offerless: bool = False) -> InviteSession:
        host = name if self.relay is not None else str(self.peer)
        headers = Headers([("From", f"<sip:{self.name}@example.org>"), ("To", f"<sip:{name}@example.org>")])
        request = Request("INVITE", f"sip:{name}@{host}", headers, b"" if offerless else self.offer())
        session = InviteSession.dial(
            self.layer,
            request,
            self.flow,
            self.network.now,
            contact=self.contact,
            options=self.options,
            trace=self.trace,
        )
        self.sessions.add(session)
        self.calls.append(session)
        self.drain()
        return session

    def accept(self) -> None:
        self.call.accept(self.answer(self.offered) if self.offered else self.offer(), self.network.now)
        self.offered = b""
        self.drain()

    def ring(self, body: bytes = b"", *, reliable: bool = False) -> None:
        self.call.ring(self.network.now, body, reliable=reliable)
        self.drain()

    def ring_with_answer(self) -> None:
        self.ring(self.answer(self.offered) if self.offered else self.offer(), reliable=True)
        self.offered = b""

    def hang_up(self) -> None:
        self.call.hang_up(self.network.now)
        self.drain()

    def reinvite(self, *, offerless: bool = False) -> None:
        self.call.reinvite(self.network.now, offerless=offerless)
        self.drain()

    def update(self) -> None:
        self.call.update(self.network.now)
        self.drain()

    def leave(self, *, told: bool = True) -> None:
        """The interface is gone. `told`: the phone notices at once that its streams broke."""
        self.network.cut(self.address)
        if told and self.flow.reliable:
            self.layer.flow_failed(self.flow, self.network.now)
        self.drain()

    def arrive(self, address: Address) -> None:
        """Another interface is up."""
        self.address = address
        self.addresses.append(address)
        self.network.nodes[address] = self
        if self.relay is not None:
            self.relay.bindings[self.name] = address

    def move(self, address: Address, *, soft: bool = False) -> None:
        """Break before make, or with `soft` the old address goes on working."""
        if not soft:
            self.leave()
        self.arrive(address)
        self.tell_move(soft=soft)

    def tell_move(self, *, soft: bool = False) -> None:
        for session in self.sessions.all():
            session.move(self.flow, self.contact, self.network.now, old_flow_works=soft)
        self.drain()

    # What the network does

    def receive(self, octets: bytes, flow: Flow) -> None:
        try:
            message = parse_message(octets)
        except RemoteError as error:
            self.trace.drop("parser", "malformed", problem=error.problem)
            return
        self.layer.receive(message, flow, self.network.now)
        self.drain()

    def deadline(self) -> float | None:
        return earliest(self.layer.deadline(), self.sessions.deadline())

    def expire(self) -> None:
        self.layer.expire(self.network.now)
        self.drain()
        self.sessions.expire(self.network.now)
        self.drain()

    def drain(self) -> None:
        """The drain rule: until nothing is left to fetch."""
        while True:
            for flow, octets in self.layer.transmits():
                if flow.local in self.network.nodes and not self.network.broken(flow):
                    self.network.put(flow, octets)
                elif flow.reliable:
                    self.layer.flow_failed(flow, self.network.now)
            events = self.layer.events()
            for event in events:
                self._take(event)
            said_now = [(session, one) for session in self.calls for one in session.events()]
            for session, one in said_now:
                self.heard.append(one)
                self._obey(session, one)
            if not events and not said_now:
                return

    def of(self, kind: type[said.SessionEvent]) -> list[said.SessionEvent]:
        """The events of this kind heard so far."""
        return [event for event in self.heard if type(event) is kind]

    def _take(self, event: LayerEvent) -> None:
        now = self.network.now
        if self.sessions.take(event, now) is not None or not isinstance(event, RequestReceived):
            return
        request = event.request
        if request.method != "INVITE" or request.to.tag:
            self.layer.respond(event.transaction, response_to(request, 481, to_tag="none"), now)
        elif event.merged is not None:
            self.layer.respond(event.transaction, response_to(request, 482, to_tag="none"), now)
        else:
            session = InviteSession.answering(
                self.layer, event, now, contact=self.contact, options=self.options, trace=self.trace
            )
            self.sessions.add(session)
            self.calls.append(session)
            session_flow = self.flow if self.relay is not None else event.flow
            session.change_flow(session_flow, self.contact, now, old_flow_works=True)
            self.offered = b""
            for one in session.events():
                self.heard.append(one)
                if isinstance(one, said.OfferReceived):
                    self.offered = one.body
            try:
                self._answer_call(session)
            except LocalError:
                session.reject(488, now)

    def _answer_call(self, session: InviteSession) -> None:
        if session.state is not SessionState.INCOMING:
            return
        if self.invited == "ring":
            self.ring()
        elif self.invited == "ring reliably":
            self.ring(b"" if self.offered else self.offer(), reliable=True)
        elif self.invited == "ring with answer":
            self.ring_with_answer()
        elif self.invited == "accept":
            self.accept()
        elif self.invited == "reject":
            session.reject(486, self.network.now)

    def _obey(self, session: InviteSession, event: said.SessionEvent) -> None:
        now = self.network.now
        if isinstance(event, said.AnswerReceived):
            if event.final:
                self.agreed = event.body
        elif isinstance(event, said.OfferReceived):
            self._take_offer(session, event)
        elif isinstance(event, said.OfferRequested):
            self.offered = b""
            if session.state in (SessionState.UP, SessionState.ACCEPTED) and self.offers_answered:
                session.answer_offer(self.offer(), now)
        elif isinstance(event, said.OfferWithdrawn):
            self.offered = b""
        elif isinstance(event, said.OfferWanted):
            session.offer(self.offer(), now)
        elif isinstance(event, said.CandidatesWanted):
            session.send_candidates(self.candidates, now)
        elif isinstance(event, said.MessageInDialog):
            session.respond(event, 200, now)
        elif isinstance(event, said.TargetChanged) and self.relay is None:
            self._follow(session, event.dialog.next_hop)

    def _take_offer(self, session: InviteSession, event: said.OfferReceived) -> None:
        self.offered = event.body
        early = event.method == "INVITE" and session.state is SessionState.INCOMING
        if early or not self.offers_answered:
            return
        session.answer_offer(self.answer(event.body), self.network.now, dialog=event.dialog)
        self.offered = b""

    def _follow(self, session: InviteSession, uri: str) -> None:
        """Without a relay requests go to the peer's Contact itself."""
        try:
            where = SipUri.parse(uri)
        except RemoteError:
            return
        self.peer = Address(where.host, where.port or 5060)
        session.change_flow(self.flow, self.contact, self.network.now, old_flow_works=True)
