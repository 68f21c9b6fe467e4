"""One call, from dialling to hanging up: the signalling session and the media side, composed. Pure.

`take_session_events` turns what the session says into what the user hears, and answers what has to be answered.
Moves are a sequence of small steps (`listen_on`, `send_from`, `tell_peer` …) in an order that `mobility` plans.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from segue.base.address import LocalPort
from segue.base.entropy import Entropy, token
from segue.base.errors import LocalError, RemoteError
from segue.base.machine import earliest
from segue.base.trace import NO_TRACE, Trace
from segue.call import events as say
from segue.call.call_media import CallMedia, Ports
from segue.call.config import MediaConfig
from segue.call.duplication import MayDuplicate
from segue.call.keying import Keying
from segue.call.registration import Authorize
from segue.protocols.sip import session_events as said
from segue.protocols.sip.dialog import Dialog
from segue.protocols.sip.flow import Flow
from segue.protocols.sip.invite_session import InviteSession
from segue.protocols.sip.message import Headers, Request
from segue.protocols.sip.session_core import TRICKLE, SessionOptions
from segue.protocols.sip.session_states import SessionState
from segue.protocols.sip.syntax import parse_parameters, quote, split_outside
from segue.protocols.sip.transaction_events import RequestReceived
from segue.protocols.sip.transaction_layer import TransactionLayer

METHODS = ("INVITE", "ACK", "CANCEL", "BYE", "OPTIONS", "PRACK", "UPDATE", "INFO")
EXTENSIONS = (
    "100rel",
    "199",
    "timer",
)  # option tags; Replaces is found (`invite_sessions`), and not yet acted upon
# What an OPTIONS asks for, in a dialog or not (RFC 3261 section 11.2).
CAPABILITIES = {
    "Allow": ", ".join(METHODS),
    "Accept": "application/sdp",
    "Supported": ", ".join(EXTENSIONS),
}
RING_LIMIT = 180.0  # seconds that we ring: a caller that is gone may not have been able to say so
PROOF_PATIENCE = 3.5  # seconds that a soft move which the peer has agreed to waits for a check to be answered
MOVE_AGAIN = 1.0  # seconds after a move that the peer did not hear of, until it is told again


class CallState(Enum):
    DIALLING = "dialling"
    RINGING_OUT = "ringing out"
    RINGING_IN = "ringing in"
    UP = "up"
    ENDED = "ended"


@dataclass(frozen=True)
class CallSetup:
    """What all calls of a phone share. `prepare` adds credentials known to be good, `authorize` answers a
    challenge; `silence_limit` is in seconds, and `session_interval`, the session timer that we offer (0: none)."""

    layer: TransactionLayer
    media: MediaConfig
    keying: Keying
    ports: Ports
    entropy: Entropy
    aor: str
    user_agent: str
    prepare: Callable[[Request], None]
    authorize: Authorize
    silence_limit: float = 30.0
    session_interval: int = 1800
    wall_offset: float = 0.0
    initial_sequence: int | None = None
    duplication: Callable[[], MayDuplicate] | None = None  # what each call may spend
    trace: Trace = NO_TRACE

    def options(self) -> SessionOptions:
        return SessionOptions(
            methods=METHODS,
            supported=(*EXTENSIONS, TRICKLE) if self.media.ice else EXTENSIONS,
            session_interval=self.session_interval,
            headers=(("User-Agent", self.user_agent),),
        )

    def make_media(self, port: LocalPort, secure: bool, placing: bool, now: float) -> CallMedia:
        agreement = self.keying.to_offer(secure) if placing else self.keying.to_answer(secure)
        return CallMedia(
            self.media,
            agreement,
            self.ports,
            port,
            self.entropy,
            now,
            wall_offset=self.wall_offset,
            initial_sequence=self.initial_sequence,
            may_duplicate=self.duplication() if self.duplication else None,
            trace=self.trace,
        )


@dataclass
class _Move:
    """A move that the peer is being told of."""

    kind: str
    origin: str
    target: str
    port: LocalPort
    came_from: LocalPort
    begun_at: float
    told: bool = False


class Call:
    """`id` is the Call-ID. Made by `place` or `incoming`."""

    def __init__(self, setup: CallSetup, session: InviteSession, media: CallMedia, peer: str) -> None:
        self.id = session.call_id
        self.session = session
        self.media = media
        self.peer = peer
        self.state = CallState.DIALLING
        self.move: _Move | None = None
        self._setup = setup
        self._events: list[say.CallEvent] = []
        self._offer: bytes | None = None  # the caller's, while we ring
        self._answer: bytes = b""
        self._accepted = False
        self._early_answers: dict[str, bytes] = {}  # to our first offer, by the tag of the fork
        self._answered_by = ""  # the fork whose answer holds
        self._held_by = ""
        self._remote = ""
        self._protection = ("", media.verification)  # as the user knows it: suite and verification
        self._early = False
        self._challenge: said.Refused | None = None  # the last one of a request of ours
        self._tell_again_at: float | None = None
        self._rings_until: float | None = None
        self._proof_until: float | None = None  # of a soft move that the peer has agreed to
        session.prepare = setup.prepare

    @classmethod
    def place(
        cls, setup: CallSetup, target: str, flow: Flow, contact: str, interface: str, now: float
    ) -> Call:
        """Call `target`. Raises LocalError where keys would travel in the clear, or no port can be opened."""
        port = setup.ports.open(interface, flow.local.host)
        try:
            media = setup.make_media(port, flow.secure, True, now)
        except LocalError:
            setup.ports.close(port)
            raise
        headers = Headers()
        headers.add("Max-Forwards", "70")
        headers.add("From", f"<{setup.aor}>;tag={token(setup.entropy, 64)}")
        headers.add("To", f"<{target}>")
        headers.add("Call-ID", token(setup.entropy))
        headers.add("Content-Type", "application/sdp")
        setup.prepare(request := Request("INVITE", target, headers, media.offer(now)))
        session = InviteSession.dial(
            setup.layer, request, flow, now, contact=contact, options=setup.options(), trace=setup.trace
        )
        call = cls(setup, session, media, target)
        call._tell(say.Dialling(call.id, target))
        return call

    @classmethod
    def incoming(
        cls, setup: CallSetup, event: RequestReceived, contact: str, interface: str, now: float
    ) -> Call | None:
        """Be called. None when the INVITE cannot be served, which is then answered."""
        session = InviteSession.answering(
            setup.layer, event, now, contact=contact, options=setup.options(), trace=setup.trace
        )
        if session.state is SessionState.ENDED:
            return None
        port: LocalPort | None = None
        try:
            port = setup.ports.open(interface, event.flow.local.host)
            media = setup.make_media(port, event.flow.secure, False, now)
        except (LocalError, RemoteError) as error:
            if port is not None:
                setup.ports.close(port)
            session.reject(488 if isinstance(error, RemoteError) else 500, now)
            setup.trace.note("call", "refused", problem=str(error))
            return None
        call = cls(setup, session, media, _caller(event.request))
        call.state = CallState.RINGING_IN
        return call if call._ring(now) else None

    @property
    def sounds(self) -> bool:
        """Whether sound may flow: the call is up, we have accepted it, or there is early media."""
        if self.media.agreement is None or self.state is CallState.ENDED:
            return False
        return self.state is CallState.UP or self._accepted or self._early

    # Commands

    def accept(self, now: float) -> None:
        """Answer; twice is harmless. Raises LocalError when nobody calls any more."""
        if self.state is not CallState.RINGING_IN:
            raise LocalError("this call does not ring", "answer while it rings")
        if self._accepted:
            return
        try:
            body = self._answer_anew(now) if self._offer else self.media.offer(now)
            self.session.accept(body, now)
            self._accepted = True
        except RemoteError as error:
            self.session.reject(error.status or 488, now)

    def reject(self, status: int, now: float) -> None:
        if self.state is CallState.RINGING_IN:
            self.session.reject(status, now)

    def hang_up(self, now: float, reason: str = "") -> None:
        """End the call in whatever state it is; `reason` becomes a Reason header field (RFC 3326)."""
        self.session.hang_up(now, reason)

    def hold(self, now: float) -> None:
        """Raises LocalError when the call is not up."""
        self._need_up()
        self.media.hold()
        self.session.reinvite(now)

    def resume(self, now: float) -> None:
        """Raises LocalError when the call is not up."""
        self._need_up()
        self.media.resume()
        self.session.reinvite(now)

    def _need_up(self) -> None:
        if self.state is not CallState.UP:
            raise LocalError("the call is not up", "hold and resume it when it is answered")

    # Steps of a move

    def listen_on(self, kind: str, origin: str, interface: str, host: str, now: float) -> None:
        """The move begins: media is received at the new address too. Raises LocalError."""
        came_from = self.media.paths.sending
        port = self.media.listen_on(interface, host, now)
        self.move = _Move(kind, origin, f"{interface} {host}", port, came_from, now)
        self._tell(say.MoveBegun(self.id, kind, origin, self.move.target))

    def prove_new(self, now: float) -> None:
        """The new way is checked, and taken as soon as it is proven, with a peer that needs no telling for that."""
        if self.move is not None:
            self.media.prove(self.move.port, now)

    def send_from_new(self, now: float) -> None:
        if self.move is not None:
            self.media.send_from(self.move.port, now)
            self.media.path_back(now)

    def tell_peer(self, flow: Flow, contact: str, now: float, *, old_flow_works: bool) -> None:
        """Offer the new address by the new flow; a call that nobody has answered is placed anew."""
        if self.move is not None:
            self.move.told = True
        self._tell_again_at = None
        self.session.move(flow, contact, now, old_flow_works=old_flow_works)
        if self.state is not CallState.UP:
            self._end_move(True, now)  # the peer learns the address with the answer

    def change_flow(self, flow: Flow, contact: str, now: float) -> None:
        """Signalling goes by another connection; media stays."""
        self.session.change_flow(flow, contact, now)

    def stay(self, problem: str, now: float) -> None:
        """A soft move did not work out: back to where the call was (decision 6)."""
        if self.move is not None:
            self.media.stay_on(self.move.came_from, now)
            self._end_move(False, now, problem)

    def come_back(self, flow: Flow, contact: str, now: float) -> None:
        """After `stay`: signalling too is where it was. An offer that went another way is replaced by one that
        names the old address."""
        if self.media.offer_is_open:
            self.session.move(flow, contact, now)
        else:
            self.session.change_flow(flow, contact, now, old_flow_works=True)

    @property
    def awaits_telling(self) -> bool:
        """A move waits for a signalling flow on the new network."""
        return self.move is not None and not self.move.told

    # Time

    def deadline(self) -> float | None:
        media = self.media
        return earliest(
            media.deadline(),
            media.paths.release_at,
            self._silent_at(),
            self._tell_again_at,
            self._rings_until,
            self._proof_until,
        )

    def expire(self, now: float) -> None:
        self.media.expire(now)
        self.media.release(now)
        silent_at = self._silent_at()
        if silent_at is not None and silent_at <= now:
            seconds = f"{self._setup.silence_limit:g}"
            self._tell(say.Ended(self.id, "network", f"nothing was heard for {seconds} s", 408))
            self.state = CallState.ENDED
            self.session.hang_up(now, f'SIP;cause=408;text="nothing heard for {seconds} s"')
        if self._proof_until is not None and self._proof_until <= now:
            self._proof_until = None
            self.stay("media does not pass there", now)
        if self._rings_until is not None and self._rings_until <= now:
            self._rings_until = None
            if self.state is CallState.RINGING_IN and not self._accepted:
                self.session.reject(480, now)
        if self._tell_again_at is not None and self._tell_again_at <= now:
            self._tell_again_at = None
            if self.session.state is SessionState.UP:
                session = self.session
                session.move(session.flow, session.contact, now, old_flow_works=True)

    def _silent_at(self) -> float | None:
        agreement = self.media.agreement
        listens = agreement is not None and agreement.direction.receives and not agreement.held_by
        if self.state is not CallState.UP or not listens:
            return None
        return self.media.session.heard_at + self._setup.silence_limit

    def events(self) -> list[say.CallEvent]:
        media = self.media
        for digit in media.session.digits():
            self._tell(say.Digit(self.id, digit))
        if self.state is CallState.UP and (media.suite, media.verification) != self._protection:
            self._protection = (media.suite, media.verification)
            self._tell(say.ProtectionChanged(self.id, *self._protection))
        events, self._events = self._events, []
        return events

    # What the session says

    def take_session_events(self, now: float) -> None:
        """Call after anything that may have moved the session."""
        while events := self.session.events():
            for event in events:
                self._take(event, now)
        if self._proof_until is not None and self._is_proven():
            self._moved(now)
        if fragment := self.media.connectivity.fragment():
            self.session.send_candidates(fragment, now)
        problem = self.media.keying_problem
        if problem and self.state is not CallState.ENDED:
            self._end("us", 488, f"no keys: {problem}")
            self.session.hang_up(now, 'SIP;cause=488;text="no keys"')

    def _take(self, event: said.SessionEvent, now: float) -> None:
        self._take_exchange(event, now)
        if isinstance(event, said.Ringing):
            if self.state is CallState.DIALLING:
                self.state = CallState.RINGING_OUT
                self._tell(say.Ringing(self.id))
        elif isinstance(event, said.EarlyDialogEnded):
            self._early_answers.pop(event.dialog.id.remote_tag, None)
        elif isinstance(event, said.Established):
            self._establish(event.dialog, now)
        elif isinstance(event, said.Modified):
            if event.moved:
                self._moved(now)
        elif isinstance(event, said.ReofferRefused):
            self._reoffer_refused(event, now)
        elif isinstance(event, said.AuthenticationNeeded):
            self._authorize(event, now)
        elif isinstance(event, said.CandidatesReceived):
            self.media.connectivity.take_fragment(event.body, now)
        elif isinstance(event, said.CandidatesWanted):
            self.media.connectivity.tell_all()
        elif isinstance(event, said.MessageInDialog):
            asked = event.request.method == "OPTIONS"
            self.session.respond(event, 200, now, headers=CAPABILITIES if asked else None)
        elif isinstance(event, said.Refused | said.Redirected | said.Ended):
            self._take_last_word(event)

    def _take_exchange(self, event: said.SessionEvent, now: float) -> None:
        if isinstance(event, said.OfferReceived):
            self._take_offer(event, now)
        elif isinstance(event, said.AnswerReceived):
            self._take_answer(event, now)
        elif isinstance(event, said.OfferRequested | said.OfferWanted):
            self._make_offer(event, now)
        elif isinstance(event, said.OfferCrossed) and self.media.take_crossed(event.body, now):
            self._compare(now)

    def _take_last_word(self, event: said.Refused | said.Redirected | said.Ended) -> None:
        if isinstance(event, said.Refused):
            if event.status == 483 and self._challenge is not None:
                event = self._challenge  # it was asked whether the challenge was its own, and it was not
            self._end("peer" if event.response is not None else "network", event.status, event.reason)
        elif isinstance(event, said.Redirected):
            self._end("peer", event.response.status, f"moved to {', '.join(event.contacts)}")
        else:
            self._end(event.by.value, event.status, _said_text(event.reason))

    def _ring(self, now: float) -> bool:
        """Take the first INVITE's offer and ring; False when it cannot be accepted, and is refused."""
        for event in self.session.events():
            if isinstance(event, said.OfferReceived):
                self._offer = event.body
        try:
            if self._offer is not None:
                self._answer_anew(now)
        except RemoteError as error:
            self.media.close()
            warning = f"399 segue {quote(error.problem)}"
            self.session.reject(error.status or 488, now, headers={"Warning": warning})
            self._setup.trace.note("call", "refused", problem=error.problem)
            return False
        self.session.ring(now)
        self._rings_until = now + RING_LIMIT
        self._tell(say.IncomingCall(self.id, self.peer, self.media.verification))
        return True

    def _answer_anew(self, now: float) -> bytes:
        """The answer to the offer of a call that rings, for the port we have now."""
        assert self._offer is not None
        self._answer = self.media.answer(self._offer, now)
        return self._answer

    def _take_offer(self, event: said.OfferReceived, now: float) -> None:
        if event.method == "INVITE" and self.state is CallState.RINGING_IN and not self._accepted:
            self._offer = event.body  # the caller has moved; the answer comes when we accept
            return
        try:
            if event.content_type.partition(";")[0].strip().lower() not in ("", "application/sdp"):
                raise RemoteError("an offer that is no session description", 415)
            answer = self.media.answer(event.body, now)
        except RemoteError as error:
            self._setup.trace.note("call", "offer refused", problem=error.problem)
            self.session.refuse_offer(error.status or 488, now)
            return
        self.session.answer_offer(answer, now, dialog=event.dialog)
        self._compare(now)

    def _take_answer(self, event: said.AnswerReceived, now: float) -> None:
        try:
            self.media.take_answer(event.body, now)
        except RemoteError as error:
            self._setup.trace.note("call", "answer refused", problem=error.problem)
            if self.state is not CallState.UP:
                self._end("us", error.status or 488, error.problem)
                self.session.hang_up(now, f"SIP;cause={error.status or 488};text={quote(error.problem)}")
            return
        if self.state in (CallState.DIALLING, CallState.RINGING_OUT):
            self._answered_by = event.dialog.id.remote_tag
            self._early_answers[self._answered_by] = event.body
            if event.final and self.session.state is SessionState.CALLING and not self._early:
                self._tell(say.EarlyMedia(self.id))
            self._early = True
        self._compare(now)
        self._offer_new_key(now)

    def _make_offer(self, event: said.OfferRequested | said.OfferWanted, now: float) -> None:
        self._early_answers.clear()
        offer = self.media.offer(now)
        if isinstance(event, said.OfferRequested):
            self.session.answer_offer(offer, now, dialog=event.dialog)
        else:
            self.session.offer(offer, now)

    def _establish(self, dialog: Dialog, now: float) -> None:
        if self.state in (CallState.UP, CallState.ENDED):
            return
        self._settle_on(dialog, now)
        self.state = CallState.UP
        media = self.media
        media.session.heard_at = now
        self._protection = (media.suite, media.verification)
        self._tell(say.Up(self.id, self.peer, media.session.codec, *self._protection))
        self._compare(now)
        self._offer_new_key(now)

    def _offer_new_key(self, now: float) -> None:
        if self.media.owes_new_key and self.state is CallState.UP and self.session.state is SessionState.UP:
            self.session.reinvite(now)

    def _settle_on(self, dialog: Dialog, now: float) -> None:
        """The fork that answers the call gets our media, whichever answered our offer last (RFC 3261 section
        13.2.2.4)."""
        winner = dialog.id.remote_tag
        answer = self._early_answers.get(winner)
        self._early_answers.clear()
        if answer is None or winner == self._answered_by:
            return
        try:
            self.media.take_answer(answer, now)
        except RemoteError:  # our offer was taken back since
            self.session.reinvite(now)
        self._compare(now)

    def _compare(self, now: float) -> None:
        """Say what an exchange of offer and answer has changed."""
        agreement = self.media.agreement
        if agreement is None or self.state is not CallState.UP:
            if agreement is not None:
                self._remote = str(agreement.remote or "")
            return
        if agreement.held_by != self._held_by:
            self._held_by = agreement.held_by
            self.media.session.heard_at = now
            self._tell(say.HoldChanged(self.id, self._held_by))
        remote = str(agreement.remote or "")
        if remote and self._remote and remote != self._remote:
            self._tell(say.PeerMoved(self.id, remote))
        self._remote = remote or self._remote

    def _is_proven(self) -> bool:
        return self.move is not None and self.media.connectivity.may_leave_from(self.move.port)

    def _moved(self, now: float) -> None:
        """The peer has agreed to the new address. A soft move with ICE waits for its proof: signalling may pass there
        where media does not."""
        move = self.move
        if move is None:
            return
        if move.kind == "soft" and not self._is_proven():
            self._proof_until = now + PROOF_PATIENCE
            return
        self._proof_until = None
        self.media.arrive(move.port, now)
        self.media.paths.agreed(move.port, now)
        self._end_move(True, now)

    def _reoffer_refused(self, event: said.ReofferRefused, now: float) -> None:
        if not event.moved and self.media.take_back_hold():
            self._tell(say.HoldRefused(self.id, event.status, event.reason))
        self.media.rollback()
        if not event.moved:
            self._setup.trace.note("call", "change refused", status=event.status)
            return
        move = self.move
        if move is not None and move.kind == "soft" and event.response is not None:
            self.stay(f"{event.status} {event.reason}", now)
        else:
            self._tell_again_at = now + MOVE_AGAIN  # there is no way back: the old network is gone

    def _end_move(self, ok: bool, now: float, problem: str = "") -> None:
        move, self.move, self._proof_until = self.move, None, None
        if move is not None:
            took = round(now - move.begun_at, 6)
            self._tell(say.MoveEnded(self.id, ok, move.target if ok else move.origin, took, problem))

    def _authorize(self, event: said.AuthenticationNeeded, now: float) -> None:
        if self._setup.authorize(event.request, event.response):
            response = event.response
            self._challenge = said.Refused(response.status, response.reason, response)
            self.session.retry_with(event, {}, now)
        else:
            self.session.give_up(event, now)

    def _end(self, by: str, status: int, reason: str) -> None:
        if self.state is not CallState.ENDED:
            self.state = CallState.ENDED
            self._tell(say.Ended(self.id, by, _fit_for_a_person(status, reason), status))

    def _tell(self, event: say.CallEvent) -> None:
        self._events.append(event)


_MEANINGS = {
    401: "the password is wrong, or not meant for the one that asks for it",
    403: "the server does not allow it",
    404: "nobody has that address",
    407: "the password is wrong, or the user unknown",
    408: "no answer",
    480: "not reachable now",
    486: "busy",
    487: "given up",
    488: "no common codec or encryption",
    503: "the server cannot be reached",
    600: "busy",
    603: "declined",
}


def _fit_for_a_person(status: int, reason: str) -> str:
    meaning = _MEANINGS.get(status, "")
    if not meaning:
        return reason
    return meaning if not reason or reason == meaning else f"{meaning} ({status} {reason})"


def _said_text(reason: str) -> str:
    """What a Reason header field value says to people (RFC 3326), else all of it."""
    try:
        first = split_outside(reason, ",")[0]
        return parse_parameters(first.partition(";")[2]).get("text") or reason
    except RemoteError:
        return reason


def _caller(request: Request) -> str:
    try:
        sender = request.from_
    except RemoteError:
        return "unknown"
    return f"{sender.display} <{sender.uri}>" if sender.display else str(sender.uri)
