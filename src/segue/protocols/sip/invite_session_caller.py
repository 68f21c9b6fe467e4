"""The caller's half of an INVITE session (RFC 3261 section 13.2): forking, early dialogs, CANCEL, and the call
that is placed anew because its host has moved."""

from __future__ import annotations

from segue.base.entropy import number, token
from segue.base.errors import LocalError
from segue.protocols.sip.dialog import Dialog
from segue.protocols.sip.message import Request, Response
from segue.protocols.sip.offer_answer import Exchange, Step
from segue.protocols.sip.reliable import OPTION, is_reliable, rseq_of, write_rack
from segue.protocols.sip.session_core import Alarm, Leg, Outgoing, Owed, Purpose, SessionCore
from segue.protocols.sip.session_events import (
    AnswerReceived,
    By,
    EarlyDialogEnded,
    Ended,
    Established,
    OfferReceived,
    Progress,
    Redirected,
    Refused,
    ResponseInDialog,
    Ringing,
    TargetChanged,
    Trying,
)
from segue.protocols.sip.session_states import SessionState, Turn

FORKS = 16  # early dialogs, or declined answers, of one call
MOVED_REASON = 'SIP;cause=200;text="Call placed anew", segue;cause=1;text="moved"'
REDIALS = 4  # how often a call that was placed anew is tried again when its first self was in the way
IN_THE_WAY = frozenset({482, 486, 491, 500})


class CallerSide(SessionCore):
    _call: Outgoing | None = None  # our INVITE that counts
    _redials = 0

    def _start_call(self, request: Request, now: float) -> None:
        """Send the first INVITE; what the skeleton lacks is filled in (RFC 3261 sections 8.1.1, 13.2.1)."""
        headers = request.headers
        if request.method != "INVITE" or "From" not in headers or "To" not in headers:
            raise LocalError("no skeleton of an INVITE", "give method INVITE, From and To")
        if not request.from_.tag:
            headers.set("From", f"{headers.get('From')};tag={token(self.layer.entropy, 64)}")
        if "Call-ID" not in headers:
            headers.set("Call-ID", token(self.layer.entropy, 128))
        if "Max-Forwards" not in headers:
            headers.set("Max-Forwards", "70")
        headers.set("CSeq", f"{1 + number(self.layer.entropy, 1 << 16)} INVITE")
        headers.set("Contact", self.contact)
        self.describe(request, "INVITE")
        self.attach(request, request.body, headers.get("Content-Type") or "")
        self.call_id, self.local_tag = request.call_id, request.from_.tag or ""
        self._call = self.launch(request, Purpose.CALL, None, now, offers=bool(request.body))

    def _redial(self, now: float, body: bytes | None = None) -> None:
        """Place the same call anew, by the present flow: same Call-ID and From tag, next CSeq number; then cancel
        the first, whose answer could not reach us. In this order, so that a callee that knows the call again
        never stops ringing."""
        before = self._call
        if before is None:
            return
        self.supersede(before, now)
        self._call = self.again(before, now, body=body)
        self._leave_early(now)
        self.layer.cancel(before.transaction, now, flow=self.flow, reason=MOVED_REASON, at_once=True)

    def _leave_early(self, now: float) -> None:
        """The early dialogs are over, and what was under way in them: the callee starts anew."""
        legs, self.early = list(self.early.values()), {}
        for outgoing in (*self._outgoing.values(), *self._stranded):
            if outgoing.leg in legs and not outgoing.superseded:
                self.supersede(outgoing, now)
                if outgoing.purpose is Purpose.OTHER:
                    self.tell(ResponseInDialog(outgoing.request.method, 408, None))

    def _cancel_call(self, now: float, reason: str) -> None:
        """Give up a call that has no final response (sections 9.1 and 15)."""
        if self._call is not None and self._call.transaction.pending:
            self.layer.cancel(self._call.transaction, now, reason=reason)
        self.end(Ended(By.US, 0, reason), now)

    def _receive_call_response(self, outgoing: Outgoing, response: Response, now: float) -> None:
        status = response.status
        if status >= 300:
            self._receive_call_refusal(outgoing, response, now)
        elif status >= 200:
            self._receive_call_answer(outgoing, response, now)
        elif outgoing.superseded or self.state is not SessionState.CALLING:
            return
        elif status == 100:
            self.tell(Trying())
        else:
            self._receive_call_progress(outgoing, response, now)

    # 101-199

    def _receive_call_progress(self, outgoing: Outgoing, response: Response, now: float) -> None:
        tag = response.to.tag or ""
        leg = self.early.get(tag)
        if leg is None:
            if response.status == 199 or len(self.early) >= FORKS:
                self._trace.drop("session", "early dialog not wanted", status=response.status)
                return
            leg = self.early[tag] = self._new_leg(outgoing, response, now)
            self._tell_target(leg, outgoing.request)
        leg.hear(response, now)
        if is_reliable(response):
            if leg.receiver.has(rseq_of(response)):
                self.refresh_target(leg, response)  # another one: the callee has moved since
                self._send_prack_again(leg, now)
                return
            if not self.make_room():  # it comes again, until it has its PRACK (RFC 3262 section 3)
                self._trace.drop("session", "too many requests are under way", status=response.status)
                return
            if not leg.receiver.take(rseq_of(response)):
                return
            self.refresh_target(leg, response)
        if response.status == 199:
            del self.early[tag]
            self.tell(EarlyDialogEnded(leg.dialog))
        else:
            event = Ringing if response.status == 180 else Progress
            self.tell(event(response, leg.dialog))
        self._take_early_body(outgoing, leg, response, now)

    def _tell_target(self, leg: Leg, request: Request) -> None:
        """Who answers is seldom where the INVITE went."""
        if leg.dialog.remote_target != request.uri:
            self.tell(TargetChanged(leg.dialog))

    def _new_leg(self, outgoing: Outgoing, response: Response, now: float) -> Leg:
        leg = Leg(Dialog.of_caller(outgoing.request, response, self.flow), now)
        leg.dialog.local_sequence = self.highest  # the callee may know this dialog from before a move of ours
        if outgoing.offers:
            leg.exchange.take(Step.OFFER_SENT)
        return leg

    def _take_early_body(self, outgoing: Outgoing, leg: Leg, response: Response, now: float) -> None:
        """An answer, its preview, or an offer, by RFC 6337 section 3.1; then the PRACK, if one is due."""
        body, content_type = response.body, response.headers.get("Content-Type") or ""
        reliable = is_reliable(response)
        if body and leg.exchange.state is Exchange.LOCAL_OFFER and outgoing.offers:
            if reliable:
                leg.exchange.take(Step.ANSWER_RECEIVED)
                self.tell(AnswerReceived(body, content_type, leg.dialog))
            elif leg.previewed is None:
                leg.previewed = body
                self.tell(AnswerReceived(body, content_type, leg.dialog, final=False))
        elif body and reliable and not outgoing.offers and leg.exchange.fresh:
            leg.exchange.take(Step.OFFER_RECEIVED)
            leg.owed = Owed("1xx", outgoing=outgoing, response=response)
            self.wait_for_user(now)
            self.tell(OfferReceived(body, content_type, "1xx", leg.dialog))
            return
        if reliable:
            self._send_prack(leg, response, now)

    def _send_prack(
        self, leg: Leg, response: Response, now: float, body: bytes = b"", content_type: str = ""
    ) -> None:
        request = self.build(leg, "PRACK", body, content_type)
        request.headers.set("RAck", write_rack(response))
        leg.prack = self.launch(request, Purpose.PRACK, leg, now)

    def _send_prack_again(self, leg: Leg, now: float) -> None:
        """The callee repeats a response: its PRACK was refused, or the connection took it to nowhere."""
        before = leg.prack
        if before is not None and (not before.pending or before.transaction.flow.reliable):
            self.supersede(before, now)
            leg.prack = self.again(before, now)

    # 2xx

    def _receive_call_answer(self, outgoing: Outgoing, response: Response, now: float) -> None:
        tag = response.to.tag or ""
        winner = self.leg
        known = winner is not None and winner.dialog.id.remote_tag == tag and self._call is outgoing
        if known and winner is not None and self.state is not SessionState.ENDED:
            # The callee may have moved since the first copy, and waits for the ACK where it is now (RFC 6141
            # section 4.8).
            self.refresh_target(winner, response)
        if self.acknowledge_again(outgoing, tag) or known:
            return  # without an ACK before, it waits for our user's answer
        if self.state is SessionState.CALLING and not (outgoing.superseded and tag in self.early):
            self._take_call_answer(outgoing, response, now)
        elif (self.state is not SessionState.ENDED and outgoing.superseded) and (
            tag in self.early or (winner is not None and winner.dialog.id.remote_tag == tag)
        ):
            # The callee knew the call again and answers the new INVITE too: a BYE would end that one.
            self.acknowledge(outgoing, self._new_leg(outgoing, response, now))
        else:
            self._decline(outgoing, response, now)

    def _decline(self, outgoing: Outgoing, response: Response, now: float) -> None:
        """A 2xx nobody wants: of another fork, or after a CANCEL. ACK, then BYE (section 13.2.2.4)."""
        if len(outgoing.acks) >= FORKS:
            self._trace.drop("session", "too many answers", call_id=outgoing.request.call_id)
            return
        leg = self._new_leg(outgoing, response, now)
        leg.dialog.confirm()
        self.acknowledge(outgoing, leg)
        self.say_bye(leg, now)

    def _take_call_answer(self, outgoing: Outgoing, response: Response, now: float) -> None:
        """The first 2xx makes the call; the other early dialogs are over for us."""
        self.turn(Turn.ACCEPT)
        early = self.early.pop(response.to.tag or "", None)
        leg = self.leg = early or self._new_leg(outgoing, response, now)
        leg.hear(response, now)
        leg.dialog.confirm(response)
        self.timer.take_answer(outgoing.request, response, now)
        self.follow_timer()
        if early is None:
            self._tell_target(leg, outgoing.request)
        else:
            self.refresh_target(leg, response)
        for other in self.early.values():
            self.tell(EarlyDialogEnded(other.dialog))
        self.early.clear()
        newer, self._call = self._call, outgoing
        if newer is not None and newer is not outgoing:
            # The first INVITE was answered after all: the second is not wanted.
            self.supersede(newer, now)
            self.layer.cancel(newer.transaction, now, reason=MOVED_REASON)
            outgoing.superseded = False
        if not self._take_final_body(outgoing, leg, response, now):
            return
        self.acknowledge(outgoing, leg)
        self.turn(Turn.ACK)
        self.tell(Established(leg.dialog))

    def _take_final_body(self, outgoing: Outgoing, leg: Leg, response: Response, now: float) -> bool:
        """True when the ACK may go out now. A 2xx that completes no exchange makes no session."""
        body, content_type = response.body, response.headers.get("Content-Type") or ""
        if leg.exchange.state is Exchange.LOCAL_OFFER and outgoing.offers and leg.exchange.completed == 0:
            answer = body or leg.previewed
            if answer:
                leg.exchange.take(Step.ANSWER_RECEIVED)
                self.tell(AnswerReceived(answer, content_type, leg.dialog))
                return True
        elif leg.exchange.completed or leg.exchange.state is not Exchange.IDLE:
            return True
        elif body:
            leg.exchange.take(Step.OFFER_RECEIVED)
            leg.owed = Owed("2xx", outgoing=outgoing, response=response)
            self.wait_for_user(now)
            self.tell(OfferReceived(body, content_type, "2xx", leg.dialog))
            return False
        self.acknowledge(outgoing, leg)
        self.say_bye(leg, now)
        self.end(Ended(By.US, 488, "2xx without session description"), now)
        return False

    # 300-699

    def _receive_call_refusal(self, outgoing: Outgoing, response: Response, now: float) -> None:
        self.drop(outgoing)
        if outgoing.superseded or self.state is not SessionState.CALLING:
            return
        status = response.status
        if self.timer.take_refusal(response):
            self._call = self.again(outgoing, now)
            self._leave_early(now)
            return
        if status in IN_THE_WAY and 0 < self._redials < (2 if status == 486 else REDIALS):
            # The callee may still have been busy with the INVITE that this one replaces; or with another call.
            self._alarms[Alarm.REDIAL] = now + 0.25 * 2**self._redials
            return
        self.early.clear()
        if 300 <= status < 400:
            contacts = [str(contact.uri) for contact in response.contacts]
            self.end(Redirected(contacts, response), now)
        else:
            self.end(Refused(status, response.reason, response), now)

    def _call_unanswered(self, outgoing: Outgoing, status: int, now: float) -> None:
        """No final response (408), or the flow is gone and no other came (503)."""
        if not outgoing.superseded and self.state is SessionState.CALLING:
            self.end(Refused(status, "no answer" if status == 408 else "signalling lost", None), now)


def requires_reliable(request: Request) -> bool:
    """Whether provisional responses to this INVITE must be reliable (RFC 3262 section 3)."""
    return OPTION in request.require


def allows_reliable(request: Request) -> bool:
    return OPTION in request.supported or requires_reliable(request)
