"""Candidates that follow an offer or answer in INFO requests (RFC 8840, RFC 6086).

Each request repeats all that were found so far, so only the newest body is kept, and one request is under way in each
dialog at a time. They may go once the peer has said that it takes them, and is known to have the dialog: for a caller
that is when the first response with a tag is there, for a callee when the first request of the caller's in the dialog
has come. What is in a body is not looked at here.
"""

from __future__ import annotations

from segue.protocols.sip.invite_session_moves import MoveSide
from segue.protocols.sip.message import Request
from segue.protocols.sip.session_core import TRICKLE, Leg, Outgoing, Purpose
from segue.protocols.sip.session_events import CandidatesReceived, CandidatesWanted
from segue.protocols.sip.session_states import SessionState
from segue.protocols.sip.transaction_server import ServerTransaction

FRAGMENT = "application/trickle-ice-sdpfrag"


class TrickleSide(MoveSide):
    _candidates = b""  # the newest body, for every dialog

    def send_candidates(self, body: bytes, now: float) -> None:
        """All our candidates so far (`sdp.trickle_fragment`), whenever there are new ones: they go out as soon as
        they may. After an ICE restart, those of the new generation."""
        self._candidates = body
        self._proceed(now)

    def _proceed(self, now: float) -> None:
        super()._proceed(now)
        if not self.trickles or self.state is SessionState.ENDED:
            return
        for leg in (self.leg, *self.early.values()):
            if leg is not None and leg.trickles and leg.known:
                self._trickle(leg, now)

    def _trickle(self, leg: Leg, now: float) -> None:
        if not leg.invited:
            leg.invited = True
            self.tell(CandidatesWanted(leg.dialog))
        if not self._candidates or leg.informed == self._candidates or self._informs(leg):
            return
        if self.make_room():
            leg.informed = self._candidates
            request = self.build(leg, "INFO", self._candidates, FRAGMENT)
            request.headers.set("Info-Package", TRICKLE)
            request.headers.set("Content-Disposition", "Info-Package")
            self.launch(request, Purpose.INFO, leg, now)

    def _informs(self, leg: Leg) -> bool:
        """Section 10.9: no more than one at a time."""
        under_way = (*self._outgoing.values(), *self._stranded, *self._challenged)
        return any(
            one.purpose is Purpose.INFO
            and one.leg is leg
            and not one.superseded
            and (one.pending or one in self._challenged)
            for one in under_way
        )

    def _receive_info_answer(self, outgoing: Outgoing, status: int) -> None:
        self.drop(outgoing)
        leg = outgoing.leg
        if leg is not None and status >= 300:
            # 469, 405, 415: it does not take them after all. Others: the next candidates are another try.
            leg.trickles = leg.trickles and status not in (405, 415, 469, 489, 501)

    def _receive_info(self, transaction: ServerTransaction, request: Request, leg: Leg, now: float) -> None:
        package = (request.headers.get("Info-Package") or "").partition(";")[0].strip().lower()
        if package != TRICKLE or not self.trickles:
            ours = TRICKLE if self.trickles else ""
            self.answer(transaction, request, 469, now, headers={"Recv-Info": ours})
        elif request.content_type != FRAGMENT:
            self.answer(transaction, request, 415, now, headers={"Accept": FRAGMENT})
        else:
            self.answer(transaction, request, 200, now)
            self.tell(CandidatesReceived(request.body, leg.dialog))
