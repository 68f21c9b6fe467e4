"""One INVITE dialog usage, as caller or callee, from dialling to hanging up, over any number of moves.

Bodies are opaque; the session only sees to it that offers and answers go where and when they may. Commands and
`receive` take the time and leave octets in the transaction layer (`layer.transmits()`) and events here. See
`session_events` for what a user hears and has to do.

What happens at a move (`move`): requests go by the new flow from then on; those under way on the dead one are
sent again there as new requests (next CSeq number), a call that rings is placed anew and the first INVITE
cancelled, responses that we owe follow to the new flow, and an established session is offered anew at once.

No offer of ours waits in here: the user is asked for it (OfferWanted) when it can leave, and gives it with `offer`.
"""

from __future__ import annotations

from segue.base.entropy import token
from segue.base.errors import LocalError, RemoteError
from segue.base.machine import earliest
from segue.base.trace import NO_TRACE, Trace
from segue.protocols.sip.flow import Flow
from segue.protocols.sip.invite_session_moves import CHANGES
from segue.protocols.sip.invite_session_refresh import RefreshSide
from segue.protocols.sip.invite_session_reoffer import Reoffer
from segue.protocols.sip.message import Request, response_to
from segue.protocols.sip.session_core import Alarm, Purpose, SessionOptions
from segue.protocols.sip.session_events import AuthenticationNeeded, By, Ended, MessageInDialog, SessionEvent
from segue.protocols.sip.session_states import SessionState
from segue.protocols.sip.transaction_events import (
    AckReceived,
    CancelReceived,
    FlowFailed,
    LayerEvent,
    RequestReceived,
    ResponseReceived,
    TimedOut,
)
from segue.protocols.sip.transaction_layer import TransactionLayer


class InviteSession(RefreshSide):
    """Made by `dial` or `answering`. `state` is in `session_states`; `leg.dialog` is the dialog once there is
    one; `finished` says that the session may be forgotten."""

    @classmethod
    def dial(
        cls,
        layer: TransactionLayer,
        request: Request,
        flow: Flow,
        now: float,
        *,
        contact: str,
        options: SessionOptions | None = None,
        trace: Trace = NO_TRACE,
    ) -> InviteSession:
        """Call: send `request`, the skeleton of an INVITE with Request-URI, From and To, perhaps Route, Call-ID
        and a body (the offer). `contact` is our Contact field value. Raises LocalError for another skeleton."""
        session = cls(layer, flow, contact, SessionState.CALLING, options, trace)
        session._start_call(request, now)
        return session

    @classmethod
    def answering(
        cls,
        layer: TransactionLayer,
        event: RequestReceived,
        now: float,
        *,
        contact: str,
        options: SessionOptions | None = None,
        trace: Trace = NO_TRACE,
    ) -> InviteSession:
        """Be called: take the first INVITE. One that cannot be served (420, 400) is answered, and the session has
        ended without an event."""
        session = cls(layer, event.flow, contact, SessionState.INCOMING, options, trace)
        session._start_answering(event, token(layer.entropy, 64), now)
        return session

    # Commands

    def hang_up(self, now: float, reason: str = "", status: int = 487) -> None:
        """End the call, whatever its state: CANCEL, BYE, or `status` to an INVITE that is not accepted. `reason`
        becomes a Reason header field (RFC 3326). A BYE before the callee has its ACK waits for that (section 15)."""
        state, leg = self.state, self.leg
        if state is SessionState.ENDED:
            return
        if state is SessionState.CALLING:
            self._cancel_call(now, reason)
            return
        if state is SessionState.INCOMING or leg is None:
            headers = {"Reason": reason} if reason else None
            for server in self._servers:
                self._refuse_server(server, status, now, headers=headers)
            self.end(Ended(By.US, status, reason), now)
            self._remember_refusal(status, now)
            return
        self._refuse_servers(now)
        owed = leg.owed
        if state is SessionState.UP:
            self.say_bye(leg, now, reason)
        elif owed is not None and owed.outgoing is not None:
            self.acknowledge(owed.outgoing, leg)
            self.say_bye(leg, now, reason)
        elif any(server.accepted is not None for server in self._servers):
            self._bye_after_ack = reason
        self.end(Ended(By.US, 0, reason), now)
        if state is SessionState.ACCEPTED:
            self._remember_refusal(487, now)

    def cancel(self, now: float, reason: str = "") -> None:
        """Give up a call that we placed and nobody has answered."""
        if self.state is SessionState.CALLING:
            self._cancel_call(now, reason)

    def reinvite(self, now: float, *, offerless: bool = False, contact: str = "") -> None:
        """Change the session: as soon as nothing is in the way OfferWanted asks for the offer, and again after
        glare. `offerless`: the peer is asked for one. Raises LocalError when the session is not established."""
        self._need(self.state in (SessionState.UP, SessionState.ACCEPTED), "the call is not up")
        self.contact = contact or self.contact
        self._want(Reoffer("INVITE", offers=not offerless), now)

    def update(self, now: float, *, offerless: bool = False, contact: str = "") -> None:
        """The same by UPDATE (RFC 3311), which also works before the call is answered, and `offerless` changes
        nothing but our Contact. Raises LocalError when there is no dialog, or the peer has not said that it takes
        UPDATE."""
        leg = self._modifiable()
        self._need(leg is not None and "UPDATE" in leg.allow, "the peer takes no UPDATE now")
        self.contact = contact or self.contact
        self._want(Reoffer("UPDATE", offers=not offerless), now)

    def _need(self, fine: bool, problem: str) -> None:
        if not fine:
            raise LocalError(problem, "look at the session's state first")

    def send(
        self,
        method: str,
        now: float,
        body: bytes = b"",
        *,
        content_type: str = "",
        headers: dict[str, str] | None = None,
    ) -> None:
        """A request of another kind in the dialog (INFO, OPTIONS, REFER …); ResponseInDialog follows.
        Raises LocalError when there is no dialog, or too much is under way in it."""
        leg = self._modifiable()
        if leg is None:
            raise LocalError("there is no dialog", "wait until the call rings")
        if not self.make_room():
            raise LocalError("too many requests of this call are under way", "wait for their answers")
        request = self.build(leg, method, body, content_type)
        for name, value in (headers or {}).items():
            request.headers.set(name, value)
        self.launch(request, Purpose.OTHER, leg, now)

    def respond(
        self,
        message: MessageInDialog,
        status: int,
        now: float,
        body: bytes = b"",
        *,
        content_type: str = "",
        headers: dict[str, str] | None = None,
    ) -> None:
        """Answer a MessageInDialog. Too late is no error."""
        transaction = self._open.pop(message.key, None)
        if transaction is None:
            return
        # The request may have come again by another branch meanwhile: that one is answered.
        request = transaction.request or message.request
        response = self.response(request, status, None, body, content_type)
        for name, value in (headers or {}).items():
            response.headers.set(name, value)
        self.give(transaction, request, response, now)

    def retry_with(self, challenge: AuthenticationNeeded, headers: dict[str, str], now: float) -> None:
        """Send a challenged request again, with these header fields (its credentials)."""
        outgoing = challenge.outgoing
        if outgoing not in self._challenged:
            return
        self._challenged.remove(outgoing)
        if outgoing.purpose is Purpose.CALL:
            if self.state is SessionState.CALLING:
                self._call = self.again(outgoing, now, headers)
        elif outgoing.purpose in CHANGES:
            if self._reoffer is not None and self._reoffer.parked:
                self._reoffer.parked = False
                self._reoffer.headers = headers
                self._proceed(now)
        else:
            self.again(outgoing, now, headers)

    def give_up(self, challenge: AuthenticationNeeded, now: float) -> None:
        """There are no credentials for it: the request counts as refused."""
        outgoing, response = challenge.outgoing, challenge.response
        if outgoing in self._challenged:
            self._challenged.remove(outgoing)
            self._refused(outgoing, response, now)
            self._proceed(now)

    # The five verbs

    def receive(self, event: LayerEvent, now: float) -> None:
        """Take an event of the transaction layer that is this session's (`invite_sessions` finds whose)."""
        self._tidy()
        try:
            if isinstance(event, RequestReceived):
                self._receive_request(event, now)
            elif isinstance(event, ResponseReceived):
                self._receive_response(event, now)
            elif isinstance(event, AckReceived):
                self._receive_ack(event.request, now)
            elif isinstance(event, CancelReceived):
                self._receive_cancel(event, now)
            elif isinstance(event, TimedOut | FlowFailed):
                self._receive_failure(event, now)
        except RemoteError as error:
            self._trace.drop("session", "malformed", problem=error.problem)
            if isinstance(event, RequestReceived) and event.transaction.pending:
                self.layer.respond(event.transaction, response_to(event.request, error.status or 400), now)
        self._proceed(now)

    def deadline(self) -> float | None:
        return earliest(*self._alarms.values(), *(server.deadline() for server in self._servers))

    def expire(self, now: float) -> None:
        for alarm in [alarm for alarm, at in self._alarms.items() if at <= now]:
            if self._alarms.pop(alarm, None) is not None:
                self._ring_alarm(alarm, now)
        for server in list(self._servers):
            overdue = server.expire(now)
            if overdue is not None:
                self._call_overdue(server, overdue, now)
        self._tidy()
        self._proceed(now)

    def events(self) -> list[SessionEvent]:
        events, self._events = self._events, []
        return events

    def _ring_alarm(self, alarm: Alarm, now: float) -> None:
        if alarm is Alarm.REOFFER:
            self._retry_reoffer()
        elif alarm is Alarm.PATIENCE:
            if any(leg is not None and leg.owed is not None for leg in (self.leg, *self.early.values())):
                self.refuse_offer(504, now)
        elif alarm is Alarm.SLOW:
            self._cancel_slow(now)
        elif alarm is Alarm.REFRESH:
            self._refresh(now)
        elif alarm is Alarm.SESSION:
            self._expire_session(now)
        elif alarm is Alarm.STRANDED:
            for outgoing in list(self._stranded):
                self._unanswered(outgoing, 503, now)
        elif alarm is Alarm.REDIAL:
            if self._call is not None and self.state is SessionState.CALLING:
                self._redials += 1
                self._call = self.again(self._call, now)
                self._leave_early(now)
        elif alarm is not Alarm.LINGER:
            self._refuse_servers(now)
            self.end(Ended(By.PEER, 487, "expired" if alarm is Alarm.EXPIRES else "moved away"), now)
