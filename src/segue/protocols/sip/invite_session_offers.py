"""The changes of a session that the peer wants, who gives way when both want one (RFC 3261 section 14.2, RFC
3311 section 5.2, RFC 6337 section 4.3), and our user's answers."""

from __future__ import annotations

from segue.base.errors import LocalError
from segue.protocols.sip.dialog import Dialog
from segue.protocols.sip.invite_server import InviteServer
from segue.protocols.sip.invite_session_callee import OPEN_INVITES
from segue.protocols.sip.invite_session_reoffer import ReofferSide
from segue.protocols.sip.message import Request
from segue.protocols.sip.offer_answer import Exchange, Step
from segue.protocols.sip.session_core import Alarm, Leg, Outgoing, Owed, Purpose
from segue.protocols.sip.session_events import (
    By,
    Ended,
    Established,
    OfferCrossed,
    OfferReceived,
    OfferRequested,
)
from segue.protocols.sip.session_states import SessionState, Turn
from segue.protocols.sip.transaction_events import RequestReceived
from segue.protocols.sip.transaction_server import ServerTransaction


class OfferSide(ReofferSide):
    # What the peer wants

    def _receive_reinvite(self, event: RequestReceived, leg: Leg, now: float) -> None:
        request, transaction = event.request, event.transaction
        known = next((s for s in self._servers if s.sequence == request.cseq.number), None)
        if known is not None and (known.pending or known.accepted is not None):
            transaction.user = self
            known.adopt(transaction, request, now)
            return
        ours = self._change_under_way()
        yields = ours is None or self._yields(ours, leg, request, now)
        if not yields or self.state is SessionState.CALLING:
            self._crossed(transaction, request, leg, 491, now)
            return
        self._overtaken()
        if any(s.pending for s in self._servers) or len(self._servers) >= OPEN_INVITES:
            self._crossed(transaction, request, leg, 500, now)
            return
        if leg.exchange.state is Exchange.LOCAL_OFFER and not self._rolls_back(leg):
            self._crossed(transaction, request, leg, 491, now)
            return
        if leg.owed is not None or leg.exchange.state is Exchange.REMOTE_OFFER:
            self._crossed(transaction, request, leg, 500, now)
            return
        server = InviteServer(self.layer, transaction, request)
        transaction.user = self
        server.moved = self.moves_target(leg, request)
        self._servers.append(server)
        leg.owed = Owed("INVITE", server=server)
        self.wait_for_user(now)
        if request.body:
            leg.exchange.take(Step.OFFER_RECEIVED)
            content_type = request.headers.get("Content-Type") or ""
            self.tell(OfferReceived(request.body, content_type, "INVITE", leg.dialog))
        else:
            self.tell(OfferRequested(leg.dialog))

    def _crossed(
        self, transaction: ServerTransaction, request: Request, leg: Leg, status: int, now: float
    ) -> None:
        """Refuse an offer for now, and tell what it says: a peer that has moved is there already."""
        self.busy(transaction, request, status, now)
        if request.body and leg is self.leg:
            content_type = request.headers.get("Content-Type") or ""
            self.tell(OfferCrossed(request.body, content_type, leg.dialog))

    def _overtaken(self) -> None:
        """A peer that sends the next INVITE has done with those before (section 14.1), whose ACK may never come when
        it has moved from where our 2xx went. They count as acknowledged, but for one that still owes an answer."""
        for server in self._servers:
            if server.accepted is not None and not server.offers and server is not self._call_server:
                server.receive_ack()
        self._servers = [s for s in self._servers if s.pending or s.accepted is not None]

    def _change_under_way(self) -> Outgoing | None:
        """An INVITE of ours, or UPDATE with an offer, without final response, or an INVITE whose ACK waits for our
        user."""
        for outgoing in (*self._outgoing.values(), *self._stranded):
            change = outgoing.purpose in (Purpose.CALL, Purpose.REINVITE)
            change = change or (outgoing.purpose is Purpose.UPDATE and outgoing.offers)
            if change and not outgoing.superseded and outgoing.pending:
                return outgoing
        owed = self.leg.owed if self.leg is not None else None
        return owed.outgoing if owed is not None else None

    def _yields(self, ours: Outgoing, leg: Leg, request: Request, now: float) -> bool:
        """Whether our re-INVITE or UPDATE gives way, where section 14.2 asks for 491.

        Only when ours has had no answer and somebody has moved. When it was the peer, ours went to where it is no
        more, and would block its way to us until it times out. A new Contact says so, or (when that is a GRUU) that
        the peer tries a second time while it still has not answered ours. When both moved, each would go on meeting
        the other. Whoever did not make the Call-ID gives way at once, the other side at the second try, so that two
        who moved together do not both give way; our answer says where we are as well as our offer would have.
        """
        if ours.purpose is Purpose.CALL or ours.heard or leg.owed is not None:
            return False
        ours.collisions += 1
        moved = self.moves_target(leg, request) or self._tells_of_move(ours)
        if ours.collisions < 2 and (leg.dialog.owns_call_id or not moved):
            return False
        reoffer = self._mine(ours)
        self.supersede(ours, now)
        if ours.purpose is Purpose.REINVITE:
            self.layer.cancel(ours.transaction, now)
        if ours.offers and leg.exchange.state is Exchange.LOCAL_OFFER:
            leg.exchange.take(Step.WITHDRAWN)
        if reoffer is not None:
            self._reoffer = reoffer
        return True

    def _rolls_back(self, leg: Leg) -> bool:
        """Our offer in a 2xx whose ACK never came gives way: the peer could not begin another INVITE without
        having done with that one (section 14.1, RFC 6141 section 5.4)."""
        for server in self._servers:
            if server.offers and server.accepted is not None:
                server.receive_ack()
                server.offers = False
                return leg.exchange.take(Step.WITHDRAWN)
        return False

    def _receive_update(self, event: RequestReceived, leg: Leg, now: float) -> None:
        """RFC 3311 section 5.2."""
        request, transaction = event.request, event.transaction
        ours = self._change_under_way() if leg.exchange.state is Exchange.LOCAL_OFFER else None
        yields = ours is not None and self._yields(ours, leg, request, now)
        if leg.owed is not None and leg.owed.method == "UPDATE":
            self._crossed(transaction, request, leg, 500, now)
        elif not request.body:
            self.refresh_target(leg, request)
            self.give(transaction, request, self.time_answer(request, self.response(request, 200), now), now)
        elif leg.exchange.state is Exchange.LOCAL_OFFER and not yields:
            self._crossed(transaction, request, leg, 491, now)
        elif leg.exchange.state is Exchange.REMOTE_OFFER or leg.owed is not None:
            self._crossed(transaction, request, leg, 500, now)
        else:
            leg.exchange.take(Step.OFFER_RECEIVED)
            leg.owed = Owed("UPDATE", transaction=transaction, request=request)
            self.wait_for_user(now)
            content_type = request.headers.get("Content-Type") or ""
            self.tell(OfferReceived(request.body, content_type, "UPDATE", leg.dialog))

    # Our user's answers

    def _owing(self, dialog: Dialog | None) -> tuple[Leg, Owed]:
        for leg in (self.leg, *self.early.values()):
            if leg is not None and leg.owed is not None and dialog in (None, leg.dialog):
                return leg, leg.owed
        raise LocalError("nothing waits for an answer", "answer each OfferReceived or OfferRequested once")

    def answer_offer(
        self, body: bytes, now: float, *, content_type: str = "", dialog: Dialog | None = None
    ) -> None:
        """Answer the peer's offer (OfferReceived), or give the offer it asked for (OfferRequested). `dialog`
        says whose, when several branches of a forked call have made one.

        Raises LocalError when nothing waits for it."""
        leg, owed = self._owing(dialog)
        if not body:
            raise LocalError("an answer needs a session description", "give it as body")
        leg.owed = None
        self._alarms.pop(Alarm.PATIENCE, None)
        if leg.exchange.state is Exchange.REMOTE_OFFER:
            leg.exchange.take(Step.ANSWER_SENT)
        elif leg.exchange.take(Step.OFFER_SENT) and owed.server is not None:
            owed.server.offers = True
        if owed.server is not None:
            self.refresh_target(leg, owed.server.request)
            leg.dialog.confirm()
            response = self.response(owed.server.request, 200, None, body, content_type)
            owed.server.accept(self.time_answer(owed.server.request, response, now), now)
        elif owed.transaction is not None and owed.request is not None:
            response = self.response(owed.request, 200, None, body, content_type)
            if owed.method == "UPDATE":
                self.refresh_target(leg, owed.request)
                self.time_answer(owed.request, response, now)
            self.give(owed.transaction, owed.request, response, now)
        else:
            self._answer_response(leg, owed, body, content_type, now)
        self._proceed(now)

    def _answer_response(self, leg: Leg, owed: Owed, body: bytes, content_type: str, now: float) -> None:
        """The answer to an offer in a response goes into its ACK or PRACK."""
        if owed.outgoing is None or owed.response is None:
            return
        if owed.method == "1xx":
            self._send_prack(leg, owed.response, now, body, content_type)
            return
        self.acknowledge(owed.outgoing, leg, body, content_type)
        if self.turn(Turn.ACK):
            self.tell(Established(leg.dialog))

    def refuse_offer(self, status: int, now: float, reason: str = "") -> None:
        """Refuse what the peer offers; the session goes on as it was. An offer in a response cannot be refused
        (RFC 6337 section 2.3): that ends the call. Raises LocalError when nothing waits for an answer."""
        leg, owed = self._owing(None)
        leg.owed = None
        self._alarms.pop(Alarm.PATIENCE, None)
        if leg.exchange.state is Exchange.REMOTE_OFFER:
            leg.exchange.take(Step.WITHDRAWN)
        if owed.server is not None:
            self._refuse_server(owed.server, status, now, reason)
            if self.state is SessionState.ACCEPTED and owed.server is self._call_server:
                self.end(Ended(By.US, status, reason), now)
        elif owed.transaction is not None and owed.request is not None:
            self.answer(owed.transaction, owed.request, status, now, reason or None)
        elif owed.method == "2xx" and owed.outgoing is not None:
            self.acknowledge(owed.outgoing, leg)
            self.say_bye(leg, now)
            self.end(Ended(By.US, status, reason), now)
        else:
            self._cancel_call(now, reason)
        self._proceed(now)
