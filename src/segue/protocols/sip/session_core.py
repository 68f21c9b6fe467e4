"""What the parts of an INVITE session share: its dialogs, its requests under way, its timers, its events."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto

from segue.base.entropy import fraction
from segue.base.errors import RemoteError
from segue.base.trace import Trace
from segue.protocols.sip.dialog import Dialog, contact_of
from segue.protocols.sip.flow import Flow
from segue.protocols.sip.invite_server import InviteServer
from segue.protocols.sip.message import Request, Response, response_to
from segue.protocols.sip.offer_answer import Exchange, OfferAnswer, Step
from segue.protocols.sip.reliable import ReliableReceiver
from segue.protocols.sip.session_events import (
    Ended,
    OfferWithdrawn,
    Redirected,
    Refused,
    SessionEvent,
    TargetChanged,
)
from segue.protocols.sip.session_states import SESSION, SessionState, Turn
from segue.protocols.sip.session_timer import OPTION as TIMER
from segue.protocols.sip.session_timer import SessionTimer
from segue.protocols.sip.transaction_client import ClientTransaction
from segue.protocols.sip.transaction_layer import TransactionLayer, without_via
from segue.protocols.sip.transaction_server import ServerTransaction
from segue.protocols.sip.transaction_states import State

TRICKLE = "trickle-ice"  # option tag and Info Package
MEMORY = 32  # requests under way, or open requests of the peer, that one session holds at most


@dataclass(frozen=True, slots=True)
class SessionOptions:
    """What this user agent can do inside a session.

    `patience` (seconds) bounds how long a re-INVITE or UPDATE of the peer's waits for our user before it is
    refused. `session_interval` (seconds, at least 90): a session timer (RFC 4028) is asked for, when "timer" is
    supported; 0: only where the peer or a proxy asks for one. `headers` are added to requests and responses
    (User-Agent).
    """

    methods: tuple[str, ...] = (
        "INVITE",
        "ACK",
        "CANCEL",
        "BYE",
        "OPTIONS",
        "INFO",
        "PRACK",
        "UPDATE",
        "NOTIFY",
        "MESSAGE",
    )
    supported: tuple[str, ...] = ("100rel", "replaces", "199")
    content_type: str = "application/sdp"
    session_interval: int = 0
    patience: float = 20.0
    headers: tuple[tuple[str, str], ...] = ()


class Purpose(Enum):
    CALL = auto()  # the INVITE that sets the call up
    REINVITE = auto()
    UPDATE = auto()
    BYE = auto()
    PRACK = auto()
    INFO = auto()  # with an Info Package
    OTHER = auto()


class Alarm(Enum):
    """The session's own timers; those of one INVITE are in `invite_server`."""

    REOFFER = auto()
    PATIENCE = auto()
    STRANDED = auto()
    EXPIRES = auto()
    REDIAL = auto()
    REPLACEMENT = auto()
    LINGER = auto()
    SLOW = auto()
    REFRESH = auto()
    SESSION = auto()


class Outgoing:
    """A request of ours under way."""

    __slots__ = (
        "acks",
        "answered",
        "collisions",
        "heard",
        "leg",
        "offers",
        "purpose",
        "sent_at",
        "stranded",
        "superseded",
        "transaction",
        "tries",
    )

    def __init__(
        self, transaction: ClientTransaction, purpose: Purpose, leg: Leg | None, offers: bool, now: float
    ) -> None:
        self.transaction = transaction
        self.purpose = purpose
        self.leg = leg
        self.offers = offers
        self.sent_at = now
        self.heard = False  # a response other than 100 came
        self.answered = False  # a final response came
        self.superseded = False  # another request took its place; only its 2xx still gets an ACK
        self.stranded = False  # its flow is gone and there is no other yet
        self.tries = 0  # how often it was challenged
        self.collisions = 0  # INVITEs of the peer that met this one
        self.acks: dict[str, tuple[Request, bytes, Flow]] = {}  # by To tag

    @property
    def request(self) -> Request:
        return self.transaction.request

    @property
    def pending(self) -> bool:
        return self.transaction.pending or self.stranded


@dataclass(slots=True)
class Owed:
    """Something of the peer's that our user has to answer with a session description."""

    method: str  # INVITE, UPDATE, PRACK, or 1xx and 2xx for a response
    server: InviteServer | None = None
    transaction: ServerTransaction | None = None
    request: Request | None = None
    outgoing: Outgoing | None = None
    response: Response | None = None


class Leg:
    """One dialog with what the usage knows about it."""

    __slots__ = (
        "allow",
        "dialog",
        "exchange",
        "heard_at",
        "informed",
        "invited",
        "known",
        "owed",
        "prack",
        "previewed",
        "receiver",
        "trickles",
    )

    def __init__(self, dialog: Dialog, now: float) -> None:
        self.dialog = dialog
        self.exchange = OfferAnswer()
        self.receiver = ReliableReceiver()
        self.owed: Owed | None = None
        self.prack: Outgoing | None = None  # the latest
        self.allow: set[str] = set()  # methods the peer takes, as far as it said
        self.previewed: bytes | None = None  # a session description in an unreliable response
        self.heard_at = now
        self.trickles = False  # the peer takes INFO with candidates
        self.known = dialog.owns_call_id  # the peer is known to have the dialog
        self.invited = False  # our user knows that candidates may be sent
        self.informed = b""  # the candidates that were sent last

    def hear(self, message: Request | Response, now: float) -> None:
        self.heard_at = now
        methods = message.headers.get_all("Allow")
        if methods:
            self.allow = {word.strip() for line in methods for word in line.split(",")}
        if "Recv-Info" in message.headers:
            self.trickles = TRICKLE in {word.lower() for word in message.headers.words("Recv-Info")}
        elif TRICKLE in message.supported:
            self.trickles = True


class SessionCore:
    """State and small tools; the protocol is in the classes built on it."""

    def __init__(
        self,
        layer: TransactionLayer,
        flow: Flow,
        contact: str,
        state: SessionState,
        options: SessionOptions | None,
        trace: Trace,
    ) -> None:
        self.layer = layer
        self.flow = flow  # where requests go
        self.contact = contact  # our Contact field value
        self.state = state
        self.options = options or SessionOptions()
        self.timer = SessionTimer(self.options.session_interval, TIMER in self.options.supported)
        self.prepare: Callable[[Request], None] | None = None  # adds credentials known to be good
        self.call_id = ""
        self.local_tag = ""
        self.leg: Leg | None = None
        self.highest = 0  # CSeq number that any request of ours had
        self.early: dict[str, Leg] = {}  # a caller's early dialogs by remote tag
        self._trace = trace
        self._events: list[SessionEvent] = []
        self._alarms: dict[Alarm, float] = {}
        self._outgoing: dict[ClientTransaction, Outgoing] = {}
        self._stranded: list[Outgoing] = []
        self._servers: list[InviteServer] = []
        self._open: dict[
            tuple[int, str], ServerTransaction
        ] = {}  # of the peer's, our user has not answered yet
        self._challenged: list[Outgoing] = []  # of ours, our user has no credentials for yet
        self._last_answer: tuple[int, str, Response] | None = None
        self._moved_at: float | None = None  # we moved then, and have not heard from the peer since

    @property
    def trickles(self) -> bool:
        """We send and take candidates in INFO requests (RFC 8840)."""
        return TRICKLE in self.options.supported

    # Telling

    def tell(self, event: SessionEvent) -> None:
        self._events.append(event)

    def turn(self, turn: Turn) -> bool:
        """Go on in the table of session states; False when there is no such turn here."""
        following = SESSION[self.state].get(turn)
        if following is None:
            return False
        self.state = following
        return True

    def end(self, event: Ended | Refused | Redirected, now: float) -> None:
        """The session's last word, said once. What is under way is completed in silence, or given up."""
        if not self.turn(Turn.END):
            return
        self._alarms = {alarm: at for alarm, at in self._alarms.items() if alarm is Alarm.STRANDED}
        if self.leg is not None:
            self.leg.owed = None
        for outgoing in self._outgoing.values():
            if outgoing.purpose is Purpose.REINVITE and outgoing.pending:
                self.layer.hush(outgoing.transaction, now)
        self.tell(event)

    @property
    def finished(self) -> bool:
        """Nothing is left to do for this session: it may be forgotten."""
        if self.state is not SessionState.ENDED:
            return False
        self._tidy()
        busy = self._outgoing or self._stranded or self._servers or Alarm.LINGER in self._alarms
        return not busy

    @property
    def waiting(self) -> bool:
        """A request of ours has no final response yet."""
        return any(outgoing.pending for outgoing in (*self._outgoing.values(), *self._stranded))

    def has_dialog(self, local_tag: str, remote_tag: str) -> bool:
        """Whether a request with these tags (To, From) is in a dialog of this session."""
        if local_tag != self.local_tag:
            return False
        if self.leg is not None:
            return self.leg.dialog.id.remote_tag == remote_tag
        return remote_tag in self.early

    def expects(self, local_tag: str, remote_tag: str) -> bool:
        """Whether a request with these tags is ours to answer: in a dialog, or from a callee whose response was
        lost, or that does not know yet that the call is placed anew."""
        calling = self.state is SessionState.CALLING and local_tag == self.local_tag
        return calling or self.has_dialog(local_tag, remote_tag)

    def _tidy(self) -> None:
        """Forget what is over. A transaction that ended without a final response is still to be heard of."""
        ended = [t for t in self._outgoing if t.state is State.TERMINATED]
        gone = [t for t in ended if self._outgoing[t].answered or self._outgoing[t].superseded]
        for transaction in gone:
            del self._outgoing[transaction]
        self._servers = [s for s in self._servers if s.pending or s.accepted is not None]

    # Requests of ours

    def build(
        self, leg: Leg, method: str, body: bytes = b"", content_type: str = "", sequence: int | None = None
    ) -> Request:
        """A request in this dialog."""
        leg.dialog.local_target = self.contact
        request = leg.dialog.request(method, sequence=sequence)
        self.describe(request, method)
        self.attach(request, body, content_type)
        return request

    def describe(self, message: Request | Response, method: str) -> None:
        """Add what we can do, where the standard wants it told (RFC 3261 sections 13.2.1 and 13.3.1.4, RFC 3311
        section 5.1, RFC 4028 section 7.1), and the configured header fields."""
        headers, changes = message.headers, method in ("INVITE", "UPDATE")
        if changes and "Allow" not in headers:
            headers.add("Allow", ", ".join(self.options.methods))
        says = changes or (isinstance(message, Request) and method != "ACK")
        if says and "Supported" not in headers and self.options.supported:
            headers.add("Supported", ", ".join(self.options.supported))
        if changes and isinstance(message, Request):
            self.timer.ask(message)
            if self.trickles:
                headers.set("Recv-Info", TRICKLE)
        for name, value in self.options.headers:
            if name not in headers:
                headers.add(name, value)

    def attach(self, message: Request | Response, body: bytes, content_type: str = "") -> None:
        message.body = body
        if body:
            message.headers.set("Content-Type", content_type or self.options.content_type)
        else:
            message.headers.remove("Content-Type")

    def launch(
        self, request: Request, purpose: Purpose, leg: Leg | None, now: float, *, offers: bool = False
    ) -> Outgoing:
        """Send a request in a transaction of its own. For what the peer could ask for without end `make_room` is to
        be asked first."""
        self.make_room()
        if self.prepare is not None:
            self.prepare(request)
        self.highest = max(self.highest, request.cseq.number)
        transaction = self.layer.send_request(request, self.flow, now)
        transaction.user = self
        outgoing = Outgoing(transaction, purpose, leg, offers, now)
        self._outgoing[transaction] = outgoing
        return outgoing

    def make_room(self) -> bool:
        """Whether another request may be under way. Those that count no more, oldest first, are forgotten for it: a
        late 2xx to one of them gets no ACK."""
        if len(self._outgoing) >= MEMORY:
            self._tidy()
        excess = len(self._outgoing) - MEMORY + 1
        if excess > 0:
            superseded = [outgoing for outgoing in self._outgoing.values() if outgoing.superseded]
            for outgoing in superseded[:excess]:
                self.drop(outgoing)
        return len(self._outgoing) < MEMORY

    def again(
        self, outgoing: Outgoing, now: float, headers: dict[str, str] | None = None, body: bytes | None = None
    ) -> Outgoing:
        """Send a request once more as a new one: next CSeq number, present target, Contact and flow, these
        header fields set, another body if given."""
        before = without_via(outgoing.request)
        leg = outgoing.leg
        if leg is not None:
            leg.dialog.local_target = self.contact
            request = leg.dialog.request(before.method)
            for name, value in before.headers.items():
                if name not in request.headers and name not in ("Content-Length", "Route"):
                    request.headers.add(name, value)
            request.body = before.body
        else:
            request = before
            request.headers.set("CSeq", f"{self.highest + 1} {before.method}")
            request.headers.set("Contact", self.contact)
        for name, value in (headers or {}).items():
            request.headers.set(name, value)
        if request.method in ("INVITE", "UPDATE"):
            self.timer.ask(request)
        if body is not None:
            self.attach(request, body, request.headers.get("Content-Type") or "")
        if not outgoing.superseded:
            self.drop(outgoing)
        offers = outgoing.offers if body is None else bool(body)
        anew = self.launch(request, outgoing.purpose, leg, now, offers=offers)
        anew.tries = outgoing.tries
        return anew

    def drop(self, outgoing: Outgoing) -> None:
        """Think no more of this request."""
        outgoing.stranded = False
        self._outgoing.pop(outgoing.transaction, None)
        if outgoing in self._stranded:
            self._stranded.remove(outgoing)

    def supersede(self, outgoing: Outgoing, now: float) -> None:
        """Another request takes this one's place. It is not repeated any more; a late 2xx to an INVITE still
        gets its ACK, and nothing else that comes for it counts."""
        outgoing.superseded = True
        outgoing.stranded = False
        if outgoing in self._stranded:
            self._stranded.remove(outgoing)
        self.layer.hush(outgoing.transaction, now)

    def acknowledge(self, outgoing: Outgoing, leg: Leg, body: bytes = b"", content_type: str = "") -> None:
        """ACK of a 2xx; kept, because each copy of that 2xx gets it again (section 13.2.2.4)."""
        invite = outgoing.request
        ack = self.build(leg, "ACK", body, content_type, sequence=invite.cseq.number)
        for name in ("Authorization", "Proxy-Authorization"):
            for value in invite.headers.get_all(name):
                ack.headers.add(name, value)
        flow = self.layer.way(ack, self.flow)
        octets = self.layer.send(ack.copy(), flow)
        outgoing.acks[leg.dialog.id.remote_tag] = (ack, octets, flow)

    def acknowledge_again(self, outgoing: Outgoing, tag: str) -> bool:
        """A 2xx came once more. False when it has had no ACK yet."""
        known = outgoing.acks.get(tag)
        if known is None:
            return False
        ack, octets, flow = known
        leg = self.leg
        present = self.layer.way(ack, self.flow)
        if leg is not None and leg.dialog.id.remote_tag == tag and ack.uri != leg.dialog.remote_target:
            self.acknowledge(outgoing, leg, ack.body, ack.headers.get("Content-Type") or "")
        elif present != flow:
            octets = self.layer.send(ack.copy(), present)
            outgoing.acks[tag] = (ack, octets, present)
        else:
            self.layer.send_octets(octets, flow)
        return True

    def say_bye(self, leg: Leg, now: float, reason: str = "") -> None:
        request = self.build(leg, "BYE")
        if reason:
            request.headers.set("Reason", reason)
        self.launch(request, Purpose.BYE, leg, now)

    # Requests of the peer's

    def answer(
        self,
        transaction: ServerTransaction,
        request: Request,
        status: int,
        now: float,
        reason: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        """A final response without session description."""
        response = self.response(request, status, reason)
        for name, value in (headers or {}).items():
            response.headers.set(name, value)
        self.give(transaction, request, response, now)

    def give(self, transaction: ServerTransaction, request: Request, response: Response, now: float) -> None:
        """Send a response, and keep it: the request may come again by another branch."""
        self.layer.respond(transaction, response, now)
        if request.method != "INVITE":
            self._last_answer = (request.cseq.number, request.method, response)

    def lacks_extension(self, transaction: ServerTransaction, request: Request, now: float) -> bool:
        """True when the request needs what we do not have; it is then answered (section 8.2.2.3)."""
        unknown = sorted(request.require - set(self.options.supported))
        if unknown:
            self.answer(transaction, request, 420, now, headers={"Unsupported": ", ".join(unknown)})
        return bool(unknown)

    def objects_to_interval(self, transaction: ServerTransaction, request: Request, now: float) -> bool:
        """True when the request asks for too short a session interval; it is then answered (RFC 4028 section 9)."""
        least = self.timer.objection(request)
        if least is not None:
            self.answer(transaction, request, 422, now, headers={"Min-SE": str(least)})
        return least is not None

    def time_answer(self, request: Request, response: Response, now: float) -> Response:
        """Our 2xx to an INVITE or UPDATE, with its session timer."""
        updates = self.leg is not None and "UPDATE" in self.leg.allow
        self.timer.answer(request, response, updates, now)
        self.follow_timer()
        return response

    def follow_timer(self) -> None:
        """After anything that may have moved the session timer."""
        for alarm, at in (
            (Alarm.REFRESH, self.timer.refresh_at),
            (Alarm.SESSION, self.timer.expires_at),
        ):
            self._alarms.pop(alarm, None)
            if at is not None and self.state is not SessionState.ENDED:
                self._alarms[alarm] = at

    def wait_for_user(self, now: float) -> None:
        self._alarms[Alarm.PATIENCE] = now + self.options.patience

    def withdraw_offer(self, server: InviteServer) -> None:
        """The peer's INVITE is over without 2xx: nothing has changed."""
        leg = self.leg
        if leg is None:
            return
        if leg.owed is not None and leg.owed.server is server:
            leg.owed = None
            self._alarms.pop(Alarm.PATIENCE, None)
            self.tell(OfferWithdrawn(leg.dialog))
        if leg.exchange.state is not Exchange.IDLE:
            leg.exchange.take(Step.WITHDRAWN)

    def response(
        self,
        request: Request,
        status: int,
        reason: str | None = None,
        body: bytes = b"",
        content_type: str = "",
    ) -> Response:
        """A response with our tag; with Contact and Record-Route where it makes or refreshes a dialog (sections
        12.1.1 and 12.2.2)."""
        tag = self.leg.dialog.id.local_tag if self.leg is not None else None
        response = response_to(request, status, reason, to_tag=tag)
        if 100 < status < 300 and request.method in ("INVITE", "UPDATE"):
            response.headers.set("Contact", self.contact)
            if request.method == "INVITE" and "Record-Route" not in response.headers:
                for route in request.headers.get_all("Record-Route"):
                    response.headers.add("Record-Route", route)
            self.describe(response, request.method)
            if self.trickles and "Recv-Info" in request.headers:
                response.headers.set("Recv-Info", TRICKLE)
        else:
            self.describe(response, "")
        self.attach(response, body, content_type)
        return response

    def busy(self, transaction: ServerTransaction, request: Request, status: int, now: float) -> None:
        """491, or 500 with a Retry-After of 0 to 10 s (section 14.2, RFC 3311 section 5.2)."""
        wait = str(int(11 * fraction(self.layer.entropy)))
        self.answer(transaction, request, status, now, headers={} if status == 491 else {"Retry-After": wait})

    def refresh_target(self, leg: Leg, message: Request | Response) -> None:
        """Take the peer's new Contact (RFC 6141 sections 4.6, 4.7); a bad one changes nothing."""
        try:
            changed = leg.dialog.refresh_target(message)
        except RemoteError as error:
            self._trace.drop("session", "bad contact", problem=error.problem)
            return
        if changed:
            self.tell(TargetChanged(leg.dialog))

    def moves_target(self, leg: Leg, request: Request) -> bool:
        """Whether this request tells that the peer has moved."""
        try:
            target = contact_of(request)
        except RemoteError:
            return False
        return target is not None and target != leg.dialog.remote_target
