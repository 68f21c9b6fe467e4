"""Where each message for an INVITE session goes: requests by method, responses by what they answer."""

from __future__ import annotations

from segue.base.errors import RemoteError
from segue.protocols.sip.dialog import DialogState
from segue.protocols.sip.invite_session_moves import CHANGES
from segue.protocols.sip.invite_session_trickle import TrickleSide
from segue.protocols.sip.message import Request, Response
from segue.protocols.sip.offer_answer import Exchange, Step
from segue.protocols.sip.session_core import MEMORY, Alarm, Leg, Outgoing, Purpose
from segue.protocols.sip.session_events import (
    AuthenticationNeeded,
    By,
    EarlyDialogEnded,
    Ended,
    MessageInDialog,
    Refused,
    ReofferRefused,
    ResponseInDialog,
    SignallingLost,
)
from segue.protocols.sip.session_states import SessionState
from segue.protocols.sip.transaction_client import ClientTransaction
from segue.protocols.sip.transaction_events import FlowFailed, RequestReceived, ResponseReceived, TimedOut
from segue.protocols.sip.transaction_server import ServerTransaction
from segue.protocols.sip.transaction_states import State

CHALLENGES = 4  # of one request before it counts as refused


class DispatchSide(TrickleSide):
    # Requests

    def _receive_request(self, event: RequestReceived, now: float) -> None:
        request, transaction = event.request, event.transaction
        transaction.user = self
        leg = self._leg_of(request)
        if leg is not None and leg.dialog.flow.secure and not event.flow.secure:
            # A dialog that lives on TLS takes nothing from a flow where anyone can speak.
            self._trace.drop("session", "request by an insecure flow", method=request.method)
            self.answer(transaction, request, 481, now)
        elif request.method == "INVITE" and not request.to.tag:
            self._receive_call_again(event, now)
        elif leg is None and self.state is SessionState.CALLING:
            self.busy(transaction, request, 500, now)
        elif leg is None or (self.state is SessionState.ENDED and request.method not in ("BYE", "PRACK")):
            self.answer(transaction, request, 481, now)
        elif not self._came_again(transaction, request, leg, now):
            self._receive_in_dialog(event, leg, now)

    def _leg_of(self, request: Request) -> Leg | None:
        leg = self.leg
        if leg is None:
            return self.early.get(request.from_.tag or "")
        return leg if leg.dialog.id.remote_tag == (request.from_.tag or "") else None

    def _receive_in_dialog(self, event: RequestReceived, leg: Leg, now: float) -> None:
        request, transaction, method = event.request, event.transaction, event.request.method
        try:
            leg.dialog.receive_request(request)
        except RemoteError as error:
            self.answer(transaction, request, error.status or 400, now)
            return
        leg.hear(request, now)
        leg.known = True
        for server in self._servers:
            server.heard()
        self._moved_at = None
        if method not in self.options.methods:
            self.answer(transaction, request, 405, now, headers={"Allow": ", ".join(self.options.methods)})
        elif self.lacks_extension(transaction, request, now) or (
            method in ("INVITE", "UPDATE") and self.objects_to_interval(transaction, request, now)
        ):
            pass
        elif method == "BYE":
            self._receive_bye(event, leg, now)
        elif method == "INVITE":
            self._receive_reinvite(event, leg, now)
        elif method == "UPDATE":
            self._receive_update(event, leg, now)
        elif method == "PRACK":
            self._receive_prack(event, leg, now)
        elif method == "INFO" and "Info-Package" in request.headers:
            self._receive_info(transaction, request, leg, now)
        else:
            self._receive_other(transaction, request, leg, now)

    def _receive_bye(self, event: RequestReceived, leg: Leg, now: float) -> None:
        """Section 15.1.2; what of the peer's is still open gets 487."""
        self.answer(event.transaction, event.request, 200, now)
        if self.leg is None:
            # A callee may not do that (section 15), but then its branch is over.
            self.early.pop(leg.dialog.id.remote_tag, None)
            self.tell(EarlyDialogEnded(leg.dialog))
            return
        leg.dialog.state = DialogState.TERMINATED
        self._refuse_servers(now)
        for server in self._servers:
            server.receive_ack()
        for transaction in self._open.values():
            self._close(transaction, now)
        owed = leg.owed
        if owed is not None and owed.transaction is not None:
            self._close(owed.transaction, now)
        if owed is not None and owed.method == "2xx" and owed.outgoing is not None:
            self.acknowledge(owed.outgoing, leg)
        self._open.clear()
        self._bye_after_ack = None
        self.end(Ended(By.PEER, 0, event.request.headers.get("Reason") or ""), now)
        self._remember_refusal(487, now)

    def _close(self, transaction: ServerTransaction, now: float) -> None:
        if transaction.request is not None:
            self.answer(transaction, transaction.request, 487, now)

    def _receive_other(self, transaction: ServerTransaction, request: Request, leg: Leg, now: float) -> None:
        gone = [key for key, open_one in self._open.items() if open_one.state is State.TERMINATED]
        for key in gone:
            del self._open[key]
        if len(self._open) >= MEMORY:
            self.busy(transaction, request, 500, now)
            return
        key = (request.cseq.number, request.method)
        self._open[key] = transaction
        self.tell(MessageInDialog(request, leg.dialog, key))

    def _came_again(self, transaction: ServerTransaction, request: Request, leg: Leg, now: float) -> bool:
        """A request that a proxy sent again by another branch, because our flow had died: it is answered as
        before, or when our user has made up his mind, and not done twice."""
        key = (request.cseq.number, request.method)
        if request.method == "INVITE" or leg.dialog.remote_sequence != request.cseq.number:
            return False
        owed = leg.owed
        if key in self._open:
            self._open[key] = transaction
        elif (
            owed is not None
            and owed.request is not None
            and owed.transaction is not None
            and (key == (owed.request.cseq.number, owed.request.method))
        ):
            owed.transaction, owed.request = transaction, request
        elif self._last_answer is not None and self._last_answer[:2] == key:
            before = self._last_answer[2]
            response = self.response(request, before.status, before.reason, before.body)
            for name in ("Content-Type", "Retry-After", "Allow", "Unsupported"):
                value = before.headers.get(name)
                if value is not None:
                    response.headers.set(name, value)
            self.layer.respond(transaction, response, now)
        else:
            return False
        return True

    # Responses

    def _receive_response(self, event: ResponseReceived, now: float) -> None:
        response = event.response
        outgoing = self._outgoing.get(event.transaction)
        if outgoing is None:
            return
        if len(response.headers.get_all("Via")) != 1 and event.transaction.pending:
            # Section 8.1.3.3. A final one is taken, as no other can follow it.
            self._trace.drop("session", "response for another", status=response.status)
            return
        status = response.status
        outgoing.answered = outgoing.answered or status >= 200
        if 100 < status < 300 or status == 491:
            # Not from a proxy: the peer itself has heard us.
            if outgoing.leg is not None:
                outgoing.leg.hear(response, now)
            if not outgoing.superseded:
                outgoing.heard = outgoing.heard or outgoing.purpose is not Purpose.REINVITE
                self._moved_at = None
        if status in (401, 407) and not outgoing.superseded and self._ask_credentials(outgoing, response):
            return
        if outgoing.purpose is Purpose.CALL:
            self._receive_call_response(outgoing, response, now)
        elif outgoing.purpose in CHANGES:
            self._receive_reoffer_response(outgoing, response, now)
        elif outgoing.purpose is Purpose.INFO and status >= 200:
            self._receive_info_answer(outgoing, status)
        elif status >= 200:
            self.drop(outgoing)
            if outgoing.purpose is Purpose.OTHER and not outgoing.superseded:
                self.tell(ResponseInDialog(outgoing.request.method, status, response))
                if outgoing.leg is not None and self.ends_dialog(outgoing, status):
                    self._lose(outgoing.leg, status, response.reason, now)

    def _ask_credentials(self, outgoing: Outgoing, response: Response) -> bool:
        """Let the user make credentials; False when it has tried often enough."""
        outgoing.tries += 1
        if outgoing.tries > CHALLENGES:
            return False
        self.drop(outgoing)
        leg = outgoing.leg
        if outgoing.purpose is Purpose.CALL and self.state is not SessionState.CALLING:
            return True
        if outgoing.purpose in CHANGES:
            reoffer = self._mine(outgoing)
            if reoffer is None or leg is None:
                return True
            reoffer.parked = True
            reoffer.challenges = outgoing.tries
            if outgoing.offers and leg.exchange.state is Exchange.LOCAL_OFFER:
                leg.exchange.take(Step.WITHDRAWN)
        self._challenged.append(outgoing)
        self.tell(AuthenticationNeeded(outgoing.request, response, outgoing))
        return True

    def _refused(self, outgoing: Outgoing, response: Response, now: float) -> None:
        status, reason = response.status, response.reason
        if outgoing.purpose is Purpose.CALL:
            self.end(Refused(status, reason, response), now)
        elif outgoing.purpose in CHANGES:
            reoffer, self._reoffer = self._reoffer, None
            moved = reoffer is not None and reoffer.moved
            self.tell(ReofferRefused(status, reason, response, moved))
        elif outgoing.purpose is Purpose.OTHER:
            self.tell(ResponseInDialog(outgoing.request.method, status, response))

    # No response

    def _receive_failure(self, event: TimedOut | FlowFailed, now: float) -> None:
        transaction = event.transaction
        if isinstance(transaction, ServerTransaction):
            if isinstance(event, FlowFailed) and transaction.flow != self.flow:
                self.layer.move(transaction, self.flow)
            return
        outgoing = self._outgoing.get(transaction)
        if outgoing is None:
            return
        if outgoing.superseded:
            self.drop(outgoing)
        elif isinstance(event, TimedOut):
            self._unanswered(outgoing, 408, now)
        elif self.layer.streamless(self.flow) or transaction.flow not in (self.flow, self.flow.stream):
            self._send_again(outgoing, now)
        else:
            self._strand(outgoing, transaction, now)

    def _strand(self, outgoing: Outgoing, transaction: ClientTransaction, now: float) -> None:
        """Its flow is gone and there is no other yet: it waits for one."""
        self._outgoing.pop(transaction, None)
        outgoing.stranded = True
        self._stranded.append(outgoing)
        self._alarms.setdefault(Alarm.STRANDED, now + self.layer.timers.timeout)
        if self.state is not SessionState.ENDED:
            self.tell(SignallingLost(transaction.method))

    def _unanswered(self, outgoing: Outgoing, status: int, now: float) -> None:
        leg = outgoing.leg
        self.drop(outgoing)
        if outgoing.purpose is Purpose.CALL:
            self._call_unanswered(outgoing, status, now)
        elif outgoing.purpose in CHANGES and leg is not None:
            self._reoffer_unanswered(outgoing, leg, status, now)
        elif outgoing.purpose is Purpose.OTHER and leg is not None and self.state is not SessionState.ENDED:
            self.tell(ResponseInDialog(outgoing.request.method, status, None))
            if self.ends_dialog(outgoing, status):
                self._lose(leg, status, "no answer", now)
