"""Who may offer now (RFC 3264 section 4, RFC 6337 section 2.2). Bodies are not looked at here."""

from __future__ import annotations

from enum import Enum


class Exchange(Enum):
    IDLE = "no offer is open"
    LOCAL_OFFER = "our offer waits for the peer's answer"
    REMOTE_OFFER = "the peer's offer waits for our answer"


class Step(Enum):
    OFFER_SENT = "offer sent"
    OFFER_RECEIVED = "offer received"
    ANSWER_SENT = "answer sent"
    ANSWER_RECEIVED = "answer received"
    WITHDRAWN = "offer refused, or its carrier failed"


EXCHANGE: dict[Exchange, dict[Step, Exchange]] = {
    Exchange.IDLE: {
        Step.OFFER_SENT: Exchange.LOCAL_OFFER,
        Step.OFFER_RECEIVED: Exchange.REMOTE_OFFER,
    },
    Exchange.LOCAL_OFFER: {
        Step.ANSWER_RECEIVED: Exchange.IDLE,
        Step.WITHDRAWN: Exchange.IDLE,
    },
    Exchange.REMOTE_OFFER: {
        Step.ANSWER_SENT: Exchange.IDLE,
        Step.WITHDRAWN: Exchange.IDLE,
    },
}


class OfferAnswer:
    """The exchanges of one dialog: at most one is open at a time (RFC 6337 section 2.2)."""

    __slots__ = ("completed", "state")

    def __init__(self) -> None:
        self.state = Exchange.IDLE
        self.completed = 0  # how many exchanges ended with an answer

    @property
    def fresh(self) -> bool:
        """Nothing has been offered yet, or what was has been withdrawn."""
        return self.state is Exchange.IDLE and self.completed == 0

    def allows(self, step: Step) -> bool:
        return step in EXCHANGE[self.state]

    def take(self, step: Step) -> bool:
        """Go on by one step; False, and nothing changed, when it does not fit."""
        following = EXCHANGE[self.state].get(step)
        if following is None:
            return False
        if step in (Step.ANSWER_SENT, Step.ANSWER_RECEIVED):
            self.completed += 1
        self.state = following
        return True
