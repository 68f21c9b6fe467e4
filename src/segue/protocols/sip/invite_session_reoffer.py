"""The changes of a session that we want: re-INVITE (RFC 3261 section 14.1) and UPDATE (RFC 3311), one at a time,
tried again when they meet one of the peer's."""

from __future__ import annotations

from segue.base.entropy import number
from segue.protocols.sip.dialog import DialogState
from segue.protocols.sip.invite_session_callee import CalleeSide
from segue.protocols.sip.invite_session_caller import CallerSide
from segue.protocols.sip.message import Response
from segue.protocols.sip.offer_answer import Exchange, Step
from segue.protocols.sip.reliable import ReliableReceiver, is_reliable, rseq_of
from segue.protocols.sip.session_core import Alarm, Leg, Outgoing, Owed, Purpose
from segue.protocols.sip.session_events import (
    AnswerReceived,
    By,
    Ended,
    Glare,
    Modified,
    OfferReceived,
    OfferWanted,
    ReofferRefused,
)
from segue.protocols.sip.session_states import SessionState

TRIES = 10  # how often a change that met another one is tried again
SLOWEST = 180.0  # seconds from its last provisional response until a re-INVITE is cancelled
QUICK = 0.1  # seconds; first step of the waits after a move


class Reoffer:
    """A change of the session that we want: waiting, or under way in `outgoing`."""

    __slots__ = (
        "anew",
        "challenges",
        "headers",
        "method",
        "moved",
        "offers",
        "outgoing",
        "parked",
        "retry_at",
        "tries",
    )

    def __init__(self, method: str, *, offers: bool = True, moved: bool = False) -> None:
        self.method = method
        self.offers = offers
        self.moved = moved  # it tells the peer of a move
        self.anew = False  # by placing the call anew, which nobody has answered
        self.headers: dict[str, str] = {}  # credentials
        self.outgoing: Outgoing | None = None
        self.challenges = 0
        self.parked = False  # waits for credentials
        self.retry_at: float | None = None
        self.tries = 0


class ReofferSide(CallerSide, CalleeSide):
    _reoffer: Reoffer | None = None
    _next_reoffer: Reoffer | None = None
    _asked = False  # our user for an offer, and has not got it

    # What we want

    def _want(self, reoffer: Reoffer, now: float) -> None:
        """Make this change, at once or when those before it are done; a later one takes the place of one that
        waits, and tells what that would have told."""
        current = self._overtake_refresh(now)
        if current is None or (current.outgoing is None and not current.parked):
            replaced, self._reoffer = current, reoffer
        else:
            replaced, self._next_reoffer = self._next_reoffer, reoffer
        reoffer.moved = reoffer.moved or (replaced is not None and replaced.moved)
        self._proceed(now)

    def _overtake_refresh(self, now: float) -> Reoffer | None:
        """What is under way or waits, but for a refresh that changes nothing: any change refreshes as well."""
        current = self._reoffer
        refreshes = current is not None and current.method == "UPDATE" and not current.offers
        if refreshes and current is not None and current.outgoing is not None:
            self.supersede(current.outgoing, now)
            current = self._reoffer = None
        return current

    def _proceed(self, now: float) -> None:
        """Go on with the change that waits, if nothing is in its way: ask for its offer, or send it when it has
        none."""
        if self._reoffer is None:
            self._reoffer, self._next_reoffer = self._next_reoffer, None
        reoffer, leg = self._reoffer, self._modifiable()
        if reoffer is None or leg is None or not self._may_go(reoffer, leg):
            return
        if not reoffer.offers:
            self._send_reoffer(reoffer, leg, b"", now)
        else:
            self._ask_offer()

    def _ask_offer(self) -> None:
        if not self._asked:
            self._asked = True
            self.tell(OfferWanted())

    def offer(self, body: bytes, now: float) -> None:
        """The offer that OfferWanted has asked for. Too late is no error; if something came in between, it is asked
        for once more."""
        asked, self._asked = self._asked, False
        reoffer, leg = self._reoffer, self._modifiable()
        if not asked or reoffer is None or leg is None or not reoffer.offers:
            return
        if self._may_go(reoffer, leg):
            self._send_reoffer(reoffer, leg, body, now)

    def _may_go(self, reoffer: Reoffer, leg: Leg) -> bool:
        """Section 14.1, RFC 6337 UAC rules."""
        waits = reoffer.outgoing is not None or reoffer.parked or reoffer.retry_at is not None
        return not waits and self._clear(reoffer, leg) and self.make_room()

    def _send_reoffer(self, reoffer: Reoffer, leg: Leg, body: bytes, now: float) -> None:
        request = self.build(leg, reoffer.method, body)
        for name, value in reoffer.headers.items():
            request.headers.set(name, value)
        if body:
            leg.exchange.take(Step.OFFER_SENT)
        invite = reoffer.method == "INVITE"
        if invite:
            leg.receiver = ReliableReceiver()
        purpose = Purpose.REINVITE if invite else Purpose.UPDATE
        reoffer.outgoing = self.launch(request, purpose, leg, now, offers=bool(body))
        reoffer.outgoing.tries = reoffer.challenges

    def _modifiable(self) -> Leg | None:
        """The dialog a change would go to: the confirmed one, or the latest early one."""
        if self.state is SessionState.ENDED:
            return None
        if self.leg is not None:
            return self.leg
        return next(reversed(self.early.values()), None)

    def _clear(self, reoffer: Reoffer, leg: Leg) -> bool:
        if any(s.pending and s.decided is False for s in self._servers) and reoffer.method == "INVITE":
            return False
        if leg.owed is not None or leg.exchange.state is not Exchange.IDLE:
            return False
        if reoffer.method == "INVITE":
            # One that tells of a move does not wait for the ACK of a 2xx that has our answer.
            unacknowledged = any(s.accepted is not None for s in self._servers) and not reoffer.moved
            return self.state is SessionState.UP and not unacknowledged
        early = leg.dialog.state is DialogState.EARLY
        return not reoffer.offers or not early or leg.exchange.completed > 0

    # Responses to it

    def _receive_reoffer_response(self, outgoing: Outgoing, response: Response, now: float) -> None:
        leg = outgoing.leg
        if leg is None:
            return
        status = response.status
        if status < 200:
            if outgoing.purpose is Purpose.REINVITE and not outgoing.superseded:
                self._alarms[Alarm.SLOW] = now + SLOWEST
            self._receive_reoffer_progress(outgoing, leg, response, now)
            return
        if 200 <= status < 300:
            self._receive_reoffer_accepted(outgoing, leg, response, now)
            return
        self.drop(outgoing)
        reoffer = self._mine(outgoing)
        if reoffer is None:
            return
        if outgoing.offers and leg.exchange.state is Exchange.LOCAL_OFFER:
            leg.exchange.take(Step.WITHDRAWN)
        if self._try_later(reoffer, leg, response, now):
            return
        self._reoffer = None
        if status in (405, 501):
            leg.allow.discard(reoffer.method)  # whatever it has said before
        if self.ends_dialog(outgoing, status):
            self._lose(leg, status, response.reason, now)
        else:
            self.tell(ReofferRefused(status, response.reason, response, reoffer.moved))

    def _mine(self, outgoing: Outgoing) -> Reoffer | None:
        """The change this request is for; None when it was superseded or the session is over."""
        reoffer = self._reoffer
        if reoffer is None or reoffer.outgoing is not outgoing or self.state is SessionState.ENDED:
            return None
        reoffer.outgoing = None
        return reoffer

    def _tells_of_move(self, outgoing: Outgoing) -> bool:
        reoffer = self._reoffer
        return reoffer is not None and reoffer.outgoing is outgoing and reoffer.moved

    def _receive_reoffer_progress(self, outgoing: Outgoing, leg: Leg, response: Response, now: float) -> None:
        if outgoing.superseded or not is_reliable(response) or outgoing.purpose is not Purpose.REINVITE:
            return
        if self.make_room() and leg.receiver.take(rseq_of(response)):
            self.refresh_target(leg, response)
            self._take_reoffer_body(outgoing, leg, response, "1xx", now)
            if leg.owed is None:
                self._send_prack(leg, response, now)

    def _receive_reoffer_accepted(self, outgoing: Outgoing, leg: Leg, response: Response, now: float) -> None:
        invite = outgoing.purpose is Purpose.REINVITE
        tag = leg.dialog.id.remote_tag
        if invite and (self.acknowledge_again(outgoing, tag) or not self._live(outgoing)):
            if tag not in outgoing.acks:
                self.acknowledge(outgoing, leg)
            return
        if not invite:
            self.drop(outgoing)
        reoffer = self._mine(outgoing)
        if reoffer is None:
            return
        self.refresh_target(leg, response)
        self.timer.take_answer(outgoing.request, response, now)
        self.follow_timer()
        if self._take_reoffer_body(outgoing, leg, response, "2xx", now):
            self._reoffer = None
            if invite and leg.owed is None:
                self.acknowledge(outgoing, leg)
            self.tell(Modified(reoffer.method, reoffer.moved))
        else:
            # Accepted, but without the answer: nothing has changed.
            self._reoffer = None
            leg.exchange.take(Step.WITHDRAWN)
            if invite:
                self.acknowledge(outgoing, leg)
            self.tell(ReofferRefused(response.status, "no answer in 2xx", response, reoffer.moved))

    def _live(self, outgoing: Outgoing) -> bool:
        reoffer = self._reoffer
        return reoffer is not None and reoffer.outgoing is outgoing and self.state is not SessionState.ENDED

    def _take_reoffer_body(
        self, outgoing: Outgoing, leg: Leg, response: Response, where: str, now: float
    ) -> bool:
        """False when a 2xx lacks the answer."""
        body, content_type = response.body, response.headers.get("Content-Type") or ""
        if outgoing.offers and leg.exchange.state is Exchange.LOCAL_OFFER:
            if not body:
                return where == "1xx"
            leg.exchange.take(Step.ANSWER_RECEIVED)
            self.tell(AnswerReceived(body, content_type, leg.dialog))
        elif body and self._has_offer(outgoing) and leg.exchange.take(Step.OFFER_RECEIVED):
            leg.owed = Owed(where, outgoing=outgoing, response=response)
            self.wait_for_user(now)
            self.tell(OfferReceived(body, content_type, where, leg.dialog))
        if body:
            outgoing.heard = True
        return True

    def _has_offer(self, outgoing: Outgoing) -> bool:
        """Whether the first session description in a response to it is an offer."""
        return not outgoing.offers and outgoing.purpose is Purpose.REINVITE and not outgoing.heard

    def _try_later(self, reoffer: Reoffer, leg: Leg, response: Response, now: float) -> bool:
        """After 491, or a 500 that says when to come again, once more (section 14.1).

        A move is in a hurry: its first new try goes out at once, the next ones after 0.1 s, 0.3 s … up to the
        standard's time. The peer's answer paces them, so there is at most one in a round trip. Two that moved do
        not go on meeting, as one of them gives way (`_yields`).
        """
        if self.timer.take_refusal(response):
            return True
        later = response.headers.get("Retry-After")
        if response.status == 491:
            owner = leg.dialog.owns_call_id
            units = 210 + number(self.layer.entropy, 191) if owner else number(self.layer.entropy, 201)
            wait = units / 100
        elif response.status == 500 and (later is not None or reoffer.moved):
            seconds = (later or "").partition(";")[0].partition("(")[0].strip()
            wait = float(min(int(seconds), 10)) if seconds.isascii() and seconds.isdigit() else 2.0
        else:
            return False
        if reoffer.tries >= TRIES:
            return False
        if reoffer.moved:
            wait = min(wait, QUICK * (2**reoffer.tries - 1))
        reoffer.tries += 1
        reoffer.retry_at = now + wait
        self._alarms[Alarm.REOFFER] = now + wait
        self.tell(Glare(wait))
        return True

    def _cancel_slow(self, now: float) -> None:
        """The peer took a re-INVITE and says no more: nothing else could be changed while it is under way."""
        if self._reoffer is not None and self._reoffer.outgoing is not None:
            self.layer.cancel(self._reoffer.outgoing.transaction, now)

    def _retry_reoffer(self) -> None:
        if self._reoffer is not None:
            self._reoffer.retry_at = None

    def _reoffer_unanswered(self, outgoing: Outgoing, leg: Leg, status: int, now: float) -> None:
        """408: no final response; 503: nothing could be sent. Neither ends a call that has moved, or whose peer
        was heard meanwhile (RFC 3261 section 14.1 would; RFC 5057 section 5.1 says what it rests on)."""
        reoffer = self._mine(outgoing)
        if reoffer is None:
            return
        if outgoing.offers and leg.exchange.state is Exchange.LOCAL_OFFER:
            leg.exchange.take(Step.WITHDRAWN)
        if leg.owed is not None and leg.owed.outgoing is outgoing:
            leg.owed = None
        self._reoffer = None
        if reoffer.moved or not self.ends_dialog(outgoing, status):
            self.tell(ReofferRefused(status, "no answer", None, reoffer.moved))
        else:
            self._lose(leg, status, "no answer", now)

    def ends_dialog(self, outgoing: Outgoing, status: int) -> bool:
        """Whether this final response says that the dialog is gone (RFC 3261 section 12.2.1.2, RFC 5057). Before
        the first INVITE has its ACK only that one decides, and the peer may not know the dialog yet."""
        if self.state is not SessionState.UP:
            return False
        if status == 408 or (status == 503 and outgoing.transaction.state.value == "terminated"):
            heard = outgoing.leg is not None and outgoing.leg.heard_at > outgoing.sent_at
            return not heard and self._moved_at is None and status == 408
        return status in (404, 410, 416, 481, 482, 483, 484, 485, 604)

    def _lose(self, leg: Leg, status: int, reason: str, now: float) -> None:
        """The dialog is gone for the peer, or the peer for us: say BYE all the same (section 12.2.1.2)."""
        if self.state is SessionState.ENDED:
            return
        self._refuse_servers(now)
        self.say_bye(leg, now)
        self.end(Ended(By.NETWORK if status in (408, 503) else By.PEER, status, reason), now)

    def _refuse_servers(self, now: float) -> None:
        for server in self._servers:
            self._refuse_server(server, 487, now)
