"""SIP mobility (RFC 3261 section 14, thesis section 6.3): what a move means for a call in each of its states.

Uplink media of a hard move leaves from the new address without waiting for anybody. Peers are told before the
server is (design decision 9): their next word matters more than that of somebody who may call.
"""

from __future__ import annotations

from enum import Enum

from segue.mobility.plan import Plan, Step
from segue.mobility.policy import Kind


class CallState(Enum):
    """The states of a call that make a difference to a move."""

    UNANSWERED = "unanswered"  # one of the two ends rings, or is about to
    UP = "up"  # held or not
    ENDING = "ending"


_HARD = Plan((Step.RECEIVE_ON_NEW, Step.SEND_FROM_NEW), (Step.TELL_PEER,))
_SOFT = Plan((Step.RECEIVE_ON_NEW, Step.PROVE_NEW), (Step.TELL_PEER,))
_NOTHING = Plan()

_PLANS: dict[tuple[CallState, Kind], Plan] = {
    # Nobody hears anything yet that could be interrupted.
    (CallState.UNANSWERED, Kind.HARD): _HARD,
    (CallState.UNANSWERED, Kind.SOFT): _HARD,
    (CallState.UP, Kind.HARD): _HARD,
    (CallState.UP, Kind.SOFT): _SOFT,
    (CallState.ENDING, Kind.HARD): _NOTHING,
    (CallState.ENDING, Kind.SOFT): _NOTHING,
}


def plan(state: CallState, kind: Kind) -> Plan:
    """The plan of a move of `kind` for a call in `state`."""
    return _PLANS[state, kind]
