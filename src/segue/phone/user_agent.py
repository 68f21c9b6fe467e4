"""A phone without sockets: transactions, flows, registration, calls and moves, composed. Pure.

What comes from the network goes in by `receive`, what the kernel reports by `receive_fact`, what became of a wish
for a flow by `located`, `opened` and `failed`. Out come octets per flow (`transmits`), wishes for flows
(`flow_wishes`), and what the user hears (`events`).
"""

from __future__ import annotations

from dataclasses import dataclass

from segue.base.address import Address
from segue.base.entropy import Entropy
from segue.base.errors import LocalError, RemoteError
from segue.base.machine import earliest
from segue.base.trace import NO_TRACE, Trace
from segue.call import events as say
from segue.call.call import CAPABILITIES, EXTENSIONS, METHODS, Call, CallSetup, CallState
from segue.call.call_media import Ports
from segue.call.flows import CloseWanted, FlowDown, FlowEvent, Flows, FlowUp, Origin, Probed, Server
from segue.call.keying import Keying
from segue.call.registration import Identity, Registration
from segue.mobility.budget import DuplicationBudget
from segue.mobility.conductor import Conductor
from segue.mobility.observation import AnswerFact, Attachment, Fact, Observation, SleepFact
from segue.mobility.policy import Policy
from segue.phone.config import PhoneConfig
from segue.phone.inspection import inspect
from segue.phone.moves import Moves
from segue.protocols.sip.digest import DigestClient
from segue.protocols.sip.flow import Flow
from segue.protocols.sip.invite_sessions import InviteSessions
from segue.protocols.sip.message import Request, Response, response_to
from segue.protocols.sip.parser import MalformedMessage, check
from segue.protocols.sip.response_route import refusal
from segue.protocols.sip.session_core import TRICKLE
from segue.protocols.sip.transaction_client import ClientTransaction
from segue.protocols.sip.transaction_events import (
    AckReceived,
    CancelReceived,
    FlowFailed,
    LayerEvent,
    RequestReceived,
    ResponseReceived,
    StrayResponse,
    TimedOut,
)
from segue.protocols.sip.transaction_layer import TransactionLayer

DIAL_PATIENCE = 10.0  # seconds that a call waits for a way to the server
CALLS = 16  # at once, with those that ring: each has sockets and keys
RINGING = 8  # of them, before we answer
TRANSACTIONS = 2_000  # of peers; what comes beyond gets 503
REGISTER_FIRST = 2.0  # seconds that a call waits for the registration, whose GRUU and nonce it can use


@dataclass
class _Wish:
    """A call that waits for a flow."""

    target: str
    asked_at: float


class UserAgent:
    """One account on one device. `calls` by Call-ID, until their media has been closed by `forget`."""

    def __init__(
        self,
        config: PhoneConfig,
        ports: Ports,
        entropy: Entropy,
        *,
        wall_offset: float = 0.0,
        trace: Trace = NO_TRACE,
    ) -> None:
        account = config.account
        self.config = config
        self._user = account.aor.partition(":")[2].partition("@")[0]  # of our addresses
        self.layer = TransactionLayer(entropy, trace=trace, limit=TRANSACTIONS, streams=True)
        self.flows = Flows(entropy, trace)
        self.sessions = InviteSessions()
        self.calls: dict[str, Call] = {}
        self.digest = DigestClient(account.username, account.password, entropy, account.domain)
        identity = Identity(
            account.aor,
            f"sip:{account.domain}",
            self._user,
            account.instance,
            account.expires,
            config.user_agent,
        )
        self.registration = Registration(identity, entropy, self.digest.accept) if account.register else None
        only = frozenset(config.networks.interfaces)
        observation = Observation(frozenset({"lo"}) - only, only, _family(config))
        self.conductor = Conductor(observation, Policy(config.networks.preferences), trace)
        networks = config.networks
        budget = DuplicationBudget(frozenset(networks.metered), networks.duplicates)
        self.setup = CallSetup(
            layer=self.layer,
            media=config.media,
            keying=Keying(config.media, entropy, trace),
            ports=ports,
            entropy=entropy,
            aor=account.aor,
            user_agent=config.user_agent,
            prepare=self.digest.prepare,
            authorize=self.digest.accept,
            silence_limit=config.sound.silence_limit,
            session_interval=account.session_interval,
            wall_offset=wall_offset,
            initial_sequence=config.lab.initial_sequence,
            duplication=lambda: budget.for_call().allows,
            trace=trace,
        )
        self._trace = trace
        self._moves = Moves(self)
        self._around: list[Attachment] = []  # as the calls know it
        self._wishes: list[_Wish] = []
        self._flow_wishes: list[FlowEvent] = []
        self._events: list[say.CallEvent] = []
        self._settled_registration: set[str] = set()  # interfaces whose first REGISTER was answered

    # Commands

    def call(self, target: str, now: float) -> None:
        """Place a call, as soon as there is a way to the server. Raises LocalError for what is no SIP address."""
        self._wishes.append(_Wish(full_address(target, self.config.account.domain), now))
        self._settle(now)

    def answer(self, call_id: str, now: float) -> None:
        self._call(call_id).accept(now)
        self._settle(now)

    def reject(self, call_id: str, status: int, now: float) -> None:
        self._call(call_id).reject(status, now)
        self._settle(now)

    def hang_up(self, call_id: str, now: float) -> None:
        self._call(call_id).hang_up(now)
        self._settle(now)

    def hold(self, call_id: str, now: float) -> None:
        self._call(call_id).hold(now)
        self._settle(now)

    def resume(self, call_id: str, now: float) -> None:
        self._call(call_id).resume(now)
        self._settle(now)

    def press(self, call_id: str, digits: str) -> None:
        self._call(call_id).media.session.press(digits)

    def confirm(self, call_id: str, matches: bool, now: float) -> None:
        """The user has compared the call's short authentication string with the peer."""
        self._call(call_id).media.confirm(matches, now)
        self._settle(now)

    def unregister(self, now: float) -> None:
        """Take the bindings back, before the phone stops."""
        if self.registration is not None:
            self.registration.unregister()
        self._settle(now)

    def _call(self, call_id: str) -> Call:
        try:
            return self.calls[call_id]
        except KeyError:
            raise LocalError(f"no call {call_id}", "it may be over") from None

    def forget(self, call_id: str) -> None:
        """The call is over and its sound has been closed."""
        call = self.calls.pop(call_id, None)
        if call is not None:
            call.media.close()

    @property
    def waiting(self) -> bool:
        """A request of ours has no final response yet: a phone that stops had better wait for it."""
        registering = self.registration is not None and self.registration.waiting
        return registering or any(session.waiting for session in self.sessions.all())

    # From the network and the kernel

    def receive(self, message: Request | Response, flow: Flow, now: float) -> None:
        """A message that came on `flow`."""
        try:
            check(message)
        except RemoteError as error:
            self._refuse(message, flow, error)
            return
        if isinstance(message, Request) and self._is_stranger(flow) and not self.sessions.knows(message):
            self._trace.drop("phone", "request of a stranger", source=flow.remote)
            return
        self.flows.heard(flow, now)
        if _shows_proxy(message):
            self.digest.behind_proxy()
        self.layer.receive(message, flow, now)
        self._settle(now)

    def receive_malformed(self, fault: MalformedMessage, flow: Flow) -> None:
        """What came on `flow` is no message. A request that has enough in it is answered (section 8.2)."""
        self._refuse(fault.message, flow, fault)

    def receive_fact(self, fact: Fact, now: float) -> None:
        """One report of the kernel or the radio; `settle` after a burst of them."""
        if isinstance(fact, SleepFact):
            self.flows.wake(now)
            if self.registration is not None:
                self.registration.refresh()
        self.conductor.receive(fact, now)

    def settle(self, now: float) -> None:
        self.conductor.settle(now)
        self._look_around(now)
        self._settle(now)

    def _look_around(self, now: float) -> None:
        """Networks that have come or gone are news for each call's paths."""
        around = self.attachments()
        if around != self._around:
            self._around = around
            for call in self.live_calls():
                call.media.look_around(now)

    def located(self, origin: Origin, servers: list[Server], now: float) -> None:
        self.flows.located(origin, servers, now)
        self._settle(now)

    def opened(self, origin: Origin, flow: Flow, now: float) -> None:
        self.flows.opened(origin, flow, now)
        self._settle(now)

    def failed(self, origin: Origin, flow: Flow | None, problem: str, now: float) -> None:
        """A flow could not be opened (`flow` None) or broke."""
        self.flows.failed(origin, flow, problem, now)
        self._settle(now)

    def stream_failed(self, stream: Flow, now: float) -> None:
        """The stream of a datagram flow (`Flow.stream`), which is opened when something is sent on it, did not come
        about or broke."""
        self.layer.stream_failed(stream, now)
        self._settle(now)

    def pong(self, flow: Flow, now: float) -> None:
        self.flows.pong(flow, now)
        self._settle(now)

    def bound(self, flow: Flow, transaction: bytes, mapped: Address | None, now: float) -> None:
        """A STUN response came."""
        self.flows.bound(flow, transaction, mapped, now)
        self._settle(now)

    def _is_stranger(self, flow: Flow) -> bool:
        """Whether what came on this flow is from anybody. Who is registered is called through his server; streams are
        those that we have opened to it."""
        return self.registration is not None and not flow.reliable and not self.flows.leads_to_server(flow)

    def _refuse(self, message: object, flow: Flow, error: RemoteError) -> None:
        if self._is_stranger(flow):
            self._trace.drop("phone", "request of a stranger", source=flow.remote)
            return
        self._trace.drop("phone", "malformed message", problem=error.problem)
        if isinstance(message, Request) and message.method != "ACK":
            tag = self.layer.entropy.octets(8).hex()
            try:
                self.layer.send(*refusal(message, error.status or 400, flow, tag))
            except RemoteError:
                return

    # The rest of the five verbs

    def transmits(self) -> list[tuple[Flow, bytes]]:
        return self.layer.transmits()

    def flow_wishes(self) -> list[FlowEvent]:
        """LocateWanted, OpenWanted, CloseWanted and PingWanted."""
        wishes, self._flow_wishes = self._flow_wishes, []
        return wishes

    def events(self) -> list[say.CallEvent]:
        events, self._events = self._events, []
        return events

    def deadline(self) -> float | None:
        registration = self.registration.deadline() if self.registration else None
        wish = min((w.asked_at for w in self._wishes), default=None)
        return earliest(
            self.layer.deadline(),
            self.flows.deadline(),
            self.sessions.deadline(),
            self.conductor.deadline(),
            self._moves.deadline(),
            registration,
            None if wish is None else wish + (REGISTER_FIRST if self._flow_now() else DIAL_PATIENCE),
            *(call.deadline() for call in self.calls.values()),
        )

    def expire(self, now: float) -> None:
        self.layer.expire(now)
        self.sessions.expire(now)
        self.flows.expire(now)
        self.conductor.expire(now)
        self._moves.expire(now)
        if self.registration is not None:
            self.registration.expire(now)
        for call in list(self.calls.values()):
            call.expire(now)
        self._settle(now)

    # Composition: everything that one part says is given to the others until nobody says anything

    def _settle(self, now: float) -> None:
        for _ in range(1000):
            if not self._settle_once(now):
                return
        raise AssertionError("the parts of the phone never come to rest")

    def _settle_once(self, now: float) -> bool:
        busy = False
        for event in self.layer.events():
            busy = True
            self._take(event, now)
        for flow_event in self.flows.events():
            busy = True
            self._take_flow_event(flow_event, now)
        busy = self._moves.settle(now) or busy
        for call in list(self.calls.values()):
            call.take_session_events(now)
            for said in call.events():
                busy = True
                self._tell(said, now)
        if self.registration is not None:
            busy = self._register(self.registration, now) or busy
        return self._dial(now) or busy

    def _take(self, event: LayerEvent, now: float) -> None:
        session = self.sessions.take(event, now)
        if session is not None:
            return
        if isinstance(event, RequestReceived):
            self._take_request(event, now)
        elif isinstance(event, ResponseReceived):
            self._take_registrars(event, now)
        elif isinstance(event, TimedOut | FlowFailed):
            if self.registration is not None and isinstance(event.transaction, ClientTransaction):
                problem = "no answer" if isinstance(event, TimedOut) else "the connection broke"
                ours = self.registration.lost(event.transaction, problem, now)
                if ours and isinstance(event, TimedOut):
                    self.flows.give_up(event.transaction.flow, "the server does not answer", now)
        elif isinstance(event, StrayResponse | AckReceived | CancelReceived):
            self._trace.drop("phone", "message for nobody")

    def _take_registrars(self, event: ResponseReceived, now: float) -> None:
        """A response to REGISTER: it also tells what the server can do, or that it cannot serve us now."""
        response, flow = event.response, event.transaction.flow
        if self.registration is None or not self.registration.receive(event.transaction, response, now):
            return
        self._moves.answered(now)
        if response.status < 300 and "outbound" in response.require:
            timer = response.headers.get("Flow-Timer") or ""
            seconds = int(timer) if timer.isascii() and timer.isdigit() and len(timer) < 6 else None
            self.flows.supports_outbound(flow, seconds, now)
        elif response.status == 503:
            self.flows.give_up(flow, "503 from the server", now)

    def _take_request(self, event: RequestReceived, now: float) -> None:
        request = event.request
        if event.merged is not None:
            self._respond(event, 482, now)
        elif request.to.tag:
            self._respond(event, 481, now)
        elif (objection := inspect(request, METHODS, (*EXTENSIONS, TRICKLE), self._user)) is not None:
            self._respond(event, objection.status, now, objection.headers)
        elif request.method == "INVITE":
            self._take_invite(event, now)
        elif request.method == "OPTIONS":
            self._respond(event, 200, now, CAPABILITIES)
        else:
            self._respond(event, 481, now)

    def _take_invite(self, event: RequestReceived, now: float) -> None:
        flow = event.flow
        if event.request.call_id in self.calls:
            self._respond(event, 482, now)  # our own call that came back, or a stranger's with its Call-ID
            return
        ringing = sum(call.state is CallState.RINGING_IN for call in self.calls.values())
        if ringing >= RINGING or len(self.calls) >= CALLS:
            self._respond(event, 486, now)
            return
        call = Call.incoming(self.setup, event, self.contact(flow), flow.interface, now)
        if call is not None:
            self.calls[call.id] = call
            self.sessions.add(call.session)

    def _respond(
        self, event: RequestReceived, status: int, now: float, headers: dict[str, str] | None = None
    ) -> None:
        response = response_to(event.request, status, to_tag=self.layer.entropy.octets(8).hex())
        for name, value in (headers or {}).items():
            response.headers.set(name, value)
        response.headers.set("User-Agent", self.config.user_agent)
        self.layer.respond(event.transaction, response, now)

    def _take_flow_event(self, event: FlowEvent, now: float) -> None:
        if isinstance(event, FlowUp):
            self._moves.flow_up(event.origin, event.flow, now)
            if self.registration is not None:
                self.registration.register(event.origin.interface, event.flow)
        elif isinstance(event, FlowDown):
            if event.flow is not None:
                self._flow_gone(event.flow, now)
            elif event.retry_in is not None:
                self._cannot_register(event)
                if self._flow_now() is None:
                    self._give_up_wishes(event.problem, now)
        elif isinstance(event, Probed):
            answer = AnswerFact(event.origin.interface, event.origin.host, event.answered)
            self.conductor.receive(answer, now)
            self.conductor.settle(now)
        else:
            if isinstance(event, CloseWanted):
                self._flow_gone(event.flow, now)
            self._flow_wishes.append(event)

    def _cannot_register(self, down: FlowDown) -> None:
        """No server was reached over this network."""
        if self.registration is not None:
            aor, interface = self.registration.identity.aor, down.origin.interface
            self._events.append(say.RegistrationFailed(aor, interface, down.problem, retry_in=down.retry_in))

    def _flow_gone(self, flow: Flow, now: float) -> None:
        if self.registration is not None:
            self.registration.flow_gone(flow)
        self.layer.flow_failed(flow, now)

    def _register(self, registration: Registration, now: float) -> bool:
        requests, events = registration.requests(), registration.events()
        for interface, flow, request in requests:
            self.digest.prepare(request)
            registration.sent(interface, self.layer.send_request(request, flow, now))
        for event in events:
            self._settled_registration.add(event.interface)
            self._events.append(event)
        return bool(requests or events)

    # Dialling

    def _dial(self, now: float) -> bool:
        origin, flow = self._moves.calls_from, self._flow_now()
        if not self._wishes:
            return False
        if origin is None or flow is None:
            late = [wish for wish in self._wishes if wish.asked_at + DIAL_PATIENCE <= now]
            if late:
                only = " or ".join(self.config.networks.interfaces)
                problem = (
                    "the server is silent" if self.attachments() else f"there is no network {only}".rstrip()
                )
                self._give_up_wishes(problem, now)
            return bool(late)
        ready = [wish for wish in self._wishes if self._may_dial(wish, origin, now)]
        for wish in ready:
            self._wishes.remove(wish)
            try:
                call = Call.place(self.setup, wish.target, flow, self.contact(flow), origin.interface, now)
            except LocalError as error:
                self._events.append(say.Ended("", "us", str(error), 0))
                continue
            self.calls[call.id] = call
            self.sessions.add(call.session)
        return bool(ready)

    def _flow_now(self) -> Flow | None:
        """The flow that a new call takes."""
        origin = self._moves.calls_from
        return self.flows.flow(origin) if origin else None

    def _may_dial(self, wish: _Wish, origin: Origin, now: float) -> bool:
        registered = self.registration is None or origin.interface in self._settled_registration
        return registered or now >= wish.asked_at + REGISTER_FIRST

    def _give_up_wishes(self, problem: str, now: float) -> None:
        gone = [wish for wish in self._wishes if wish.asked_at + 1 <= now or self._moves.origin is None]
        for wish in gone:
            self._wishes.remove(wish)
            self._events.append(say.Ended("", "network", f"cannot reach the server: {problem}", 503))

    def contact(self, flow: Flow) -> str:
        """Our Contact inside dialogs: the GRUU once there is one (decision 9), else this flow's address."""
        if self.registration is not None and self.registration.gruu:
            return f"<{self.registration.gruu}>"
        transport = "" if flow.transport == "UDP" else f";transport={flow.transport.lower()}"
        return f"<sip:{self._user}@{flow.local}{transport}>"

    def _tell(self, event: say.CallEvent, now: float) -> None:
        self._events.append(event)
        if isinstance(event, say.MoveEnded):
            self._moves.ended(event, now)

    # For `moves`

    def say(self, event: say.CallEvent) -> None:
        self._events.append(event)

    def live_calls(self) -> list[Call]:
        return [call for call in self.calls.values() if call.state is not CallState.ENDED]

    def attachments(self) -> list[Attachment]:
        return self.conductor.observation.usable()


def _shows_proxy(message: Request | Response) -> bool:
    """Whether this message tells that our server passes requests on (RFC 3261 section 16.6, RFC 3327, RFC 3608, RFC
    5626 section 6), and does not end calls itself."""
    headers = message.headers
    if "Record-Route" in headers or (isinstance(message, Response) and message.status == 483):
        return True
    registrar = isinstance(message, Response) and message.cseq.method == "REGISTER"
    return registrar and ("Path" in headers or "Service-Route" in headers or "outbound" in message.require)


def _family(config: PhoneConfig) -> int | None:
    """4 or 6 when only that makes sense: as configured, else that of a server given by its address."""
    if config.networks.family is not None:
        return config.networks.family
    text = config.account.registrar or config.account.domain
    host = text.removeprefix("sips:").removeprefix("sip:").rpartition("@")[2].partition(";")[0]
    if host.startswith("["):
        return 6
    numbers = host.partition(":")[0].split(".")
    return 4 if len(numbers) == 4 and all(number.isdigit() for number in numbers) else None


def full_address(text: str, domain: str) -> str:
    """`bob`, `bob@example.org` and `sip:bob@example.org` are all fine. Raises LocalError for the rest."""
    from segue.protocols.sip.uri import SipUri

    address = text if ":" in text.partition("@")[0] else f"sip:{text}"
    if "@" not in address:
        address = f"{address}@{domain}"
    try:
        uri = SipUri.parse(address)
    except RemoteError as error:
        raise LocalError(f"cannot call {text!r}: {error.problem}", "write sip:name@domain") from None
    return str(uri)
