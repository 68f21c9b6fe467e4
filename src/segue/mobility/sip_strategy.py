"""SIP mobility (RFC 3261 section 14, thesis section 6.3): what a move means for a call in each of its states.

The re-INVITE goes before the REGISTER (design decision 9): the peer's next word matters more than that of
somebody who may call. Uplink media of a hard move leaves from the new address without waiting for anybody.
"""

from __future__ import annotations

from enum import Enum

from segue.mobility.plan import Plan, Step
from segue.mobility.policy import Kind


class CallState(Enum):
    """The states of a call that make a difference to a move."""

    DIALLING = "dialling"  # INVITE sent, no dialog yet
    RINGING_OUT = "ringing out"  # our INVITE made a phone ring
    RINGING_IN = "ringing in"  # the peer's INVITE makes us ring
    UP = "up"
    ENDING = "ending"


_UP_HARD = Plan(
    at_once=(Step.RECEIVE_ON_NEW, Step.SEND_FROM_NEW, Step.TELL_PEER, Step.REGISTER),
    when_media_flows=(Step.RELEASE_OLD,),
)
_UP_SOFT = Plan(
    at_once=(Step.RECEIVE_ON_NEW, Step.TELL_PEER, Step.REGISTER),
    when_answered=(Step.SEND_FROM_NEW,),
    when_media_flows=(Step.RELEASE_OLD,),
)
_UNANSWERED = Plan(at_once=(Step.RECEIVE_ON_NEW, Step.SEND_FROM_NEW, Step.PLACE_ANEW, Step.REGISTER))
# The proxy sends the pending INVITE again on the flow that this REGISTER opens; our answer goes there.
_CALLED = Plan(at_once=(Step.RECEIVE_ON_NEW, Step.SEND_FROM_NEW, Step.REGISTER))
_ENDING = Plan(at_once=(Step.REGISTER,))

_PLANS: dict[tuple[CallState, Kind], Plan] = {
    (CallState.DIALLING, Kind.HARD): _UNANSWERED,
    (CallState.DIALLING, Kind.SOFT): _UNANSWERED,
    (CallState.RINGING_OUT, Kind.HARD): _UNANSWERED,
    (CallState.RINGING_OUT, Kind.SOFT): _UNANSWERED,
    (CallState.RINGING_IN, Kind.HARD): _CALLED,
    (CallState.RINGING_IN, Kind.SOFT): _CALLED,
    (CallState.UP, Kind.HARD): _UP_HARD,
    (CallState.UP, Kind.SOFT): _UP_SOFT,
    (CallState.ENDING, Kind.HARD): _ENDING,
    (CallState.ENDING, Kind.SOFT): _ENDING,
}


def plan(state: CallState, kind: Kind) -> Plan:
    """The plan of a move of `kind` for a call in `state`; a call on hold is up, and stays held."""
    return _PLANS[state, kind]
