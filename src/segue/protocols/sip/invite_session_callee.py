"""The callee's half of an INVITE session (RFC 3261 section 13.3, RFC 3262): progress, answer, refusal, and the
INVITE that comes again because its caller has moved, or because we have."""

from __future__ import annotations

from segue.base.errors import LocalError, RemoteError
from segue.protocols.sip.dialog import Dialog
from segue.protocols.sip.invite_server import InviteServer, Overdue
from segue.protocols.sip.invite_session_caller import allows_reliable, requires_reliable
from segue.protocols.sip.message import Request
from segue.protocols.sip.offer_answer import Exchange, OfferAnswer, Step
from segue.protocols.sip.reliable import parse_rack
from segue.protocols.sip.session_core import Alarm, Leg, Owed, SessionCore
from segue.protocols.sip.session_events import (
    AnswerReceived,
    By,
    Ended,
    Established,
    OfferReceived,
    OfferRequested,
    TargetChanged,
)
from segue.protocols.sip.session_states import SessionState, Turn
from segue.protocols.sip.transaction_events import CancelReceived, RequestReceived

PERSONAL = frozenset({480, 486, 487, 600, 603})  # refusals by our user, not of what was offered
OPEN_INVITES = 4  # of the peer's, in one session: one without final response, the others without ACK


class CalleeSide(SessionCore):
    _call_server: InviteServer | None = None  # the INVITE that set the call up
    _progress = 0  # status of the last provisional response
    _refused_with = 0  # what our user refused the call with
    _bye_after_ack: str | None = None  # hung up before the ACK came: with this Reason

    def _start_answering(self, event: RequestReceived, local_tag: str, now: float) -> None:
        request = event.request
        server = self._call_server = InviteServer(self.layer, event.transaction, request)
        event.transaction.user = self
        self.call_id, self.local_tag = request.call_id, local_tag
        try:
            dialog = Dialog.of_callee(request, local_tag, self.contact, self.flow)
            expires = request.expires
        except RemoteError as error:
            self.answer(event.transaction, request, error.status or 400, now)
            self.turn(Turn.END)
            return
        self.leg = Leg(dialog, now)
        self.leg.hear(request, now)
        self._servers.append(server)
        if self.lacks_extension(event.transaction, request, now) or self.objects_to_interval(
            event.transaction, request, now
        ):
            self.turn(Turn.END)
            return
        if expires is not None:
            self._alarms[Alarm.EXPIRES] = now + expires
        self._take_call_offer(self.leg, request, again=False)

    def _take_call_offer(self, leg: Leg, request: Request, *, again: bool) -> None:
        if request.body:
            leg.exchange.take(Step.OFFER_RECEIVED)
            content_type = request.headers.get("Content-Type") or ""
            self.tell(OfferReceived(request.body, content_type, "INVITE", leg.dialog, again))
        elif again:
            self.tell(OfferRequested(leg.dialog))

    # Commands

    def ring(
        self, now: float, body: bytes = b"", *, reliable: bool = False, status: int = 180, reason: str = ""
    ) -> None:
        """Say 180 (Ringing), or another of 101 to 199.

        `body`: an answer to the INVITE's offer (only a preview of it when not reliable), or the first offer
        when the INVITE had none (only when reliable). `reliable` is taken as no when the caller cannot do it,
        and as yes when the caller insists (RFC 3262 section 3).
        Raises LocalError when no such response or body is possible now.
        """
        server, leg = self._call_server, self.leg
        if self.state is not SessionState.INCOMING or server is None or leg is None or not 100 < status < 200:
            raise LocalError("no call rings here", "ring while the call is incoming")
        self._progress = status
        if not server.pending:
            return  # the caller is placing the call anew; its next INVITE gets this status
        reliable = requires_reliable(server.request) or (reliable and allows_reliable(server.request))
        if body:
            self._check_early_body(leg, reliable)
        elif reliable and not server.request.body and leg.exchange.fresh:
            raise LocalError("the first reliable response must have the offer", "give a body")
        response = self.response(server.request, status, reason or None, body)
        if body and reliable:
            answers = leg.exchange.state is Exchange.REMOTE_OFFER
            leg.exchange.take(Step.ANSWER_SENT if answers else Step.OFFER_SENT)
        if reliable:
            self.refresh_target(leg, server.request)
        until_heard = self.trickles and leg.trickles and not leg.known
        server.provisional(response, reliable, now, until_heard=until_heard)

    def progress(
        self, now: float, body: bytes = b"", *, reliable: bool = False, status: int = 183, reason: str = ""
    ) -> None:
        """Say 183 (Session Progress); otherwise as `ring`."""
        self.ring(now, body, reliable=reliable, status=status, reason=reason)

    def _check_early_body(self, leg: Leg, reliable: bool) -> None:
        if leg.exchange.state is Exchange.REMOTE_OFFER and leg.owed is None:
            return
        if reliable and leg.exchange.fresh:
            return
        raise LocalError("no offer or answer fits here", "send no body, or use update()")

    def accept(self, body: bytes, now: float) -> None:
        """Answer the call: 200, repeated until its ACK comes. `body` is the answer to the INVITE's offer, the
        offer when it had none, and empty when a reliable response had it. Raises LocalError when it does not fit
        or the call cannot be accepted any more."""
        server, leg = self._call_server, self.leg
        if self.state is not SessionState.INCOMING or server is None or leg is None:
            raise LocalError("there is no call to accept", "accept while the call is incoming")
        if not server.pending:
            self.turn(
                Turn.ACCEPT
            )  # the caller is placing the call anew: what it offers then is to be answered
            leg.dialog.confirm()
            return
        if leg.owed is not None:
            raise LocalError("the caller's new offer has no answer yet", "use answer_offer() first")
        if leg.exchange.state is Exchange.REMOTE_OFFER:
            self._need_body(body)
            leg.exchange.take(Step.ANSWER_SENT)
        elif leg.exchange.fresh:
            self._need_body(body)
            leg.exchange.take(Step.OFFER_SENT)
            server.offers = True
        else:
            body = b""
        self.turn(Turn.ACCEPT)
        self._alarms.pop(Alarm.EXPIRES, None)
        self.refresh_target(leg, server.request)
        leg.dialog.confirm()
        response = self.response(server.request, 200, None, body)
        server.accept(self.time_answer(server.request, response, now), now)

    def _need_body(self, body: bytes) -> None:
        if not body:
            raise LocalError("a 200 needs a session description here", "give the answer or offer as body")

    def reject(
        self, status: int, now: float, reason: str = "", headers: dict[str, str] | None = None
    ) -> None:
        """Refuse the call with 300 to 699."""
        server = self._call_server
        if self.state is not SessionState.INCOMING or server is None or not 300 <= status < 700:
            raise LocalError("there is no call to refuse", "reject while the call is incoming")
        self._refuse_server(server, status, now, reason, headers)
        self.end(Ended(By.US, status, reason), now)
        self._remember_refusal(status, now)

    def _remember_refusal(self, status: int, now: float) -> None:
        """A caller that moved before it saw this places the same call anew, or did so and its INVITE comes late: it
        must not ring again."""
        if status in PERSONAL and self._call_server is not None:
            self._refused_with = status
            self._alarms[Alarm.LINGER] = now + 2 * self.layer.timers.timeout

    def knows_again(self, from_tag: str) -> bool:
        """Whether an INVITE without To tag, with our Call-ID and this From tag, is the call we have."""
        if self._call_server is None or self.leg is None:
            return False
        here = self.state is not SessionState.ENDED or self._refused_with
        return bool(here) and self.leg.dialog.id.remote_tag == from_tag

    def redirect(self, contacts: list[str], now: float, status: int = 302) -> None:
        """Tell the caller where to call instead; each contact is a Contact field value."""
        self.reject(status, now, headers={"Contact": ", ".join(contacts)})

    def _refuse_server(
        self,
        server: InviteServer,
        status: int,
        now: float,
        reason: str = "",
        headers: dict[str, str] | None = None,
    ) -> None:
        if not server.pending:
            return
        response = self.response(server.request, status, reason or None)
        for name, value in (headers or {}).items():
            response.headers.set(name, value)
        server.refuse(response, now)

    # What comes

    def _receive_cancel(self, event: CancelReceived, now: float) -> None:
        """The INVITE gets 487 (section 9.2). A caller that has moved says so: its call comes again."""
        server = self._server_of(event)
        if server is None:
            self.answer(event.transaction, event.transaction.request or event.request, 487, now)
            return
        self._refuse_server(server, 487, now)
        reason = event.request.headers.get("Reason") or ""
        if server is not self._call_server or self.state is SessionState.ENDED:
            self.withdraw_offer(server)
        elif "segue;cause=1" in reason:
            self._alarms[Alarm.REPLACEMENT] = now + self.layer.timers.timeout
        else:
            self.end(Ended(By.PEER, 487, reason), now)
            self._remember_refusal(487, now)

    def _server_of(self, event: CancelReceived) -> InviteServer | None:
        return next((s for s in self._servers if s.transaction is event.transaction), None)

    def _receive_call_again(self, event: RequestReceived, now: float) -> None:
        """An INVITE without To tag, with our call's Call-ID and From tag."""
        request, transaction, leg = event.request, event.transaction, self.leg
        sequence = request.cseq.number
        if self.state is SessionState.ENDED:
            self.answer(transaction, request, self._refused_with or 482, now)
            self._alarms[Alarm.LINGER] = now + 2 * self.layer.timers.timeout
            return
        known = next((s for s in self._servers if s.sequence == sequence), None)
        if known is not None and (known.pending or known.accepted is not None):
            transaction.user = self
            known.adopt(transaction, request, now)
            return
        last = (leg.dialog.remote_sequence if leg is not None else None) or 0
        if (
            leg is None
            or self.state is SessionState.UP
            or len(self._servers) >= OPEN_INVITES
            or sequence <= last
        ):
            # Nobody has to know a tag of ours for this: it changes nothing once the dialog has its ACK. One that
            # was overtaken by its successor is over.
            self.answer(transaction, request, 487 if sequence < last else 482, now)
            return
        try:
            dialog = Dialog.of_callee(request, leg.dialog.id.local_tag, self.contact, self.flow)
        except RemoteError as error:
            self.answer(transaction, request, error.status or 400, now)
            return
        self._place_anew(event, leg, dialog, now)

    def _place_anew(self, event: RequestReceived, leg: Leg, dialog: Dialog, now: float) -> None:
        """Same call, next INVITE: offers and answers start anew, the user goes on where he was."""
        before = self._call_server
        server = InviteServer(self.layer, event.transaction, event.request)
        server.again = True
        event.transaction.user = self
        if before is not None and before.pending:
            self._refuse_server(before, 487, now)
        self._alarms.pop(Alarm.REPLACEMENT, None)
        self._servers.append(server)
        self._call_server = server
        dialog.local_sequence = leg.dialog.local_sequence
        dialog.state = leg.dialog.state
        if dialog.next_hop != leg.dialog.next_hop:
            self.tell(TargetChanged(dialog))
        leg.dialog = dialog
        leg.exchange = OfferAnswer()
        leg.owed = None
        leg.known = leg.invited = False
        leg.informed = b""
        leg.hear(event.request, now)
        self._take_call_offer(leg, event.request, again=True)
        if self.state is SessionState.ACCEPTED:
            leg.owed = Owed("INVITE", server=server)
            self.wait_for_user(now)
        elif self._progress and (event.request.body or not requires_reliable(event.request)):
            self.ring(now, status=self._progress)

    def _receive_prack(self, event: RequestReceived, leg: Leg, now: float) -> None:
        request, transaction = event.request, event.transaction
        try:
            rack = parse_rack(request.headers.get("RAck"))
        except RemoteError as error:
            self.answer(transaction, request, error.status or 400, now)
            return
        server = next((s for s in self._servers if s.acknowledges(rack)), None)
        if server is None:
            self.answer(transaction, request, 481, now)
            return
        body, content_type = request.body, request.headers.get("Content-Type") or ""
        if body and leg.exchange.take(Step.ANSWER_RECEIVED):
            self.tell(AnswerReceived(body, content_type, leg.dialog))
        elif body and leg.exchange.completed and leg.exchange.take(Step.OFFER_RECEIVED):
            # An offer in a PRACK (RFC 3262 section 5): its 200 has the answer.
            leg.owed = Owed("PRACK", transaction=transaction, request=request)
            self.wait_for_user(now)
            self.tell(OfferReceived(body, content_type, "PRACK", leg.dialog))
            server.receive_prack(now)
            return
        self.answer(transaction, request, 200, now)
        server.receive_prack(now)

    def _receive_ack(self, request: Request, now: float) -> None:
        leg = self.leg
        server = next((s for s in self._servers if s.sequence == request.cseq.number), None)
        if leg is None or server is None or server.accepted is None:
            self._trace.drop("session", "ACK for nothing", cseq=request.cseq.number)
            return
        server.receive_ack()
        leg.hear(request, now)
        leg.known = True
        if server.offers:
            server.offers = False
            if leg.exchange.state is Exchange.LOCAL_OFFER and not self._take_ack_answer(leg, request, now):
                return
        # An ACK of this INVITE says that those before it are not waited for any more.
        for older in self._servers:
            if older.sequence < server.sequence and older.accepted is not None:
                older.receive_ack()
        if self._bye_after_ack is not None:
            reason, self._bye_after_ack = self._bye_after_ack, None
            self.say_bye(leg, now, reason)
        elif self.turn(Turn.ACK):
            self.tell(Established(leg.dialog))

    def _take_ack_answer(self, leg: Leg, request: Request, now: float) -> bool:
        if request.body:
            leg.exchange.take(Step.ANSWER_RECEIVED)
            content_type = request.headers.get("Content-Type") or ""
            self.tell(AnswerReceived(request.body, content_type, leg.dialog))
            return True
        leg.exchange.take(Step.WITHDRAWN)
        if leg.exchange.completed:
            return True  # the session goes on as it was
        self.say_bye(leg, now)
        self.end(Ended(By.US, 488, "ACK without session description"), now)
        return False

    def _call_overdue(self, server: InviteServer, overdue: Overdue, now: float) -> None:
        leg = self.leg
        if overdue is Overdue.PRACK:
            # RFC 3262 section 3.
            self._refuse_server(server, 504, now)
            self.withdraw_offer(server)
            if server is self._call_server and self.state is not SessionState.UP:
                self.end(Ended(By.NETWORK, 504, "no PRACK"), now)
            return
        if leg is None:
            return
        if server.offers:
            server.offers = False
            leg.exchange.take(Step.WITHDRAWN)
        if self._bye_after_ack is not None:
            reason, self._bye_after_ack = self._bye_after_ack, None
            self.say_bye(leg, now, reason)
        elif self.state is SessionState.ACCEPTED:
            if server is self._call_server:
                self.say_bye(leg, now)
                self.end(Ended(By.NETWORK, 408, "no ACK"), now)
        elif leg.heard_at <= now - self.layer.timers.timeout and self._moved_at is None and not server.moved:
            # RFC 6141 section 5.4: a peer that we heard of since, or that just moved, has only lost its address.
            self.say_bye(leg, now)
            self.end(Ended(By.NETWORK, 408, "no ACK"), now)
