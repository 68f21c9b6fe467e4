"""What a move of our host does to an INVITE session in each of its states."""

from __future__ import annotations

from segue.protocols.sip.dialog import Dialog
from segue.protocols.sip.flow import Flow
from segue.protocols.sip.invite_session_offers import OfferSide
from segue.protocols.sip.invite_session_reoffer import Reoffer
from segue.protocols.sip.message import Response
from segue.protocols.sip.offer_answer import Exchange, Step
from segue.protocols.sip.session_core import Alarm, Leg, Outgoing, Purpose
from segue.protocols.sip.session_states import SessionState
from segue.protocols.sip.transaction_events import RequestReceived
from segue.protocols.sip.transaction_states import State

CHANGES = frozenset({Purpose.REINVITE, Purpose.UPDATE})


class MoveSide(OfferSide):
    def change_flow(self, flow: Flow, contact: str, now: float, *, old_flow_works: bool = False) -> None:
        """From now on everything of this call goes by `flow`, with this Contact field value. Unless the old flow
        works, what is under way is sent again there."""
        self._retarget(flow, contact)
        if not old_flow_works:
            if self.state is SessionState.CALLING:
                self._place_again(None, now)
            self._abandon_reoffer(now, keep=True)
            self._send_pending_again(now)
        self._proceed(now)

    def move(self, flow: Flow, contact: str, now: float, *, old_flow_works: bool = False) -> None:
        """The host has moved: as `change_flow`, and the session is offered anew, at once: OfferWanted asks for that.

        Dialling: the call is placed anew with the offer, and the first INVITE cancelled; but one that rings and
        whose flow still works is left alone, and the session offered anew as soon as it is up. Called but not
        answered: an UPDATE says it when there is early media, else the coming answer does. Up: re-INVITE; one
        that was under way on the dead flow is given up. A refusal does not end the call: ReofferRefused(moved=True).
        """
        self._retarget(flow, contact)
        self._moved_at = now
        if self.state is SessionState.CALLING:
            if not old_flow_works or self._call is None or not self._call.heard:
                self._reoffer, self._next_reoffer = Reoffer("INVITE", moved=True), None
                self._reoffer.anew = True
                self._ask_offer()
            else:
                self._want(Reoffer("INVITE", moved=True), now)
        elif self.state is not SessionState.ENDED:
            if not old_flow_works:
                self._abandon_reoffer(now, keep=False)
            self._offer_anew(now)
        if not old_flow_works:
            self._send_pending_again(now)
        self._proceed(now)

    def offer(self, body: bytes, now: float) -> None:
        if self._asked and self._to_be_placed_anew:
            self._reoffer, self._asked = None, False
            self._place_again(body, now)
        else:
            super().offer(body, now)

    @property
    def _to_be_placed_anew(self) -> bool:
        """The call is, as soon as our user has given the offer for it."""
        return self.state is SessionState.CALLING and self._reoffer is not None and self._reoffer.anew

    def _take_call_answer(self, outgoing: Outgoing, response: Response, now: float) -> None:
        newer = self._call
        super()._take_call_answer(outgoing, response, now)
        if newer is not None and newer is not outgoing:
            # The first INVITE was answered after all: the callee does not know yet that we have moved.
            self._want(Reoffer("INVITE", moved=True), now)

    def _retarget(self, flow: Flow, contact: str) -> None:
        self.flow, self.contact = flow, contact
        for leg in (self.leg, *self.early.values()):
            if leg is not None:
                leg.dialog.flow = flow
                leg.dialog.local_target = contact

    def _place_again(self, offer: bytes | None, now: float) -> None:
        if self._call is not None and self._call not in self._challenged:
            self._redials = 1
            self._redial(now, offer)

    def _offer_anew(self, now: float) -> None:
        leg = self.leg
        if self.state is not SessionState.INCOMING:
            self._want(Reoffer("INVITE", moved=True), now)
        elif leg is not None and leg.exchange.completed > 0 and "UPDATE" in leg.allow:
            self._want(Reoffer("UPDATE", moved=True), now)

    def _abandon_reoffer(self, now: float, *, keep: bool) -> None:
        """Our change under way was sent on a flow that is dead (RFC 6141 section 5.5)."""
        reoffer = self._reoffer
        if reoffer is not None and reoffer.outgoing is not None:
            outgoing, reoffer.outgoing = reoffer.outgoing, None
            self.supersede(outgoing, now)
            if outgoing.purpose is Purpose.REINVITE:
                self.layer.cancel(outgoing.transaction, now, flow=self.flow, at_once=True)
            leg = outgoing.leg
            if leg is not None and outgoing.offers and leg.exchange.state is Exchange.LOCAL_OFFER:
                leg.exchange.take(Step.WITHDRAWN)
        if not keep:
            self._reoffer = self._next_reoffer = None
            self._alarms.pop(Alarm.REOFFER, None)

    def _place_anew(self, event: RequestReceived, leg: Leg, dialog: Dialog, now: float) -> None:
        # What we offered in the call as it was placed before comes again when there is time for it.
        self._abandon_reoffer(now, keep=True)
        super()._place_anew(event, leg, dialog, now)

    def _send_pending_again(self, now: float) -> None:
        for server in self._servers:
            self.layer.move(server.transaction, self.flow)
            server.refresh_contact(self.contact)
            server.repeat(now)
        refused = self._call_server
        if refused is not None and refused.transaction.state is State.COMPLETED:
            self.layer.move(refused.transaction, self.flow)  # nobody has acknowledged our refusal
            self.layer.repeat(refused.transaction)
        for transaction in self._open.values():
            self.layer.move(transaction, self.flow)
        owed = self.leg.owed if self.leg is not None else None
        if owed is not None and owed.transaction is not None:
            self.layer.move(owed.transaction, self.flow)
        for outgoing in (*self._outgoing.values(), *self._stranded):
            if (
                outgoing.pending
                and not outgoing.superseded
                and outgoing.transaction.flow not in (self.flow, self.flow.stream)
            ):
                self._send_again(outgoing, now)

    def _send_again(self, outgoing: Outgoing, now: float) -> None:
        if outgoing.purpose is Purpose.CALL:
            if self._to_be_placed_anew:
                return
            if self.state is SessionState.CALLING:
                self._place_again(None, now)
            else:
                self.supersede(outgoing, now)
                self.layer.cancel(outgoing.transaction, now, flow=self.flow, at_once=True)
        elif outgoing.purpose in CHANGES:
            self._abandon_reoffer(now, keep=True)
            self._proceed(now)
        else:
            self.supersede(outgoing, now)
            self.again(outgoing, now)
