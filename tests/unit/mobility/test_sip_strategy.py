"""What a move means for a call in each of its states."""

import pytest

from segue.mobility.plan import Step
from segue.mobility.policy import Kind
from segue.mobility.sip_strategy import CallState, plan


@pytest.mark.parametrize("state", [CallState.UNANSWERED, CallState.UP])
def test_a_hard_move_sends_media_before_it_tells_anybody(state: CallState) -> None:
    hard = plan(state, Kind.HARD)
    assert hard.at_once == (Step.RECEIVE_ON_NEW, Step.SEND_FROM_NEW)
    assert hard.when_connected == (Step.TELL_PEER,)


def test_a_soft_move_of_a_call_that_is_up_keeps_sending_on_the_old_path() -> None:
    soft = plan(CallState.UP, Kind.SOFT)
    assert soft.at_once == (Step.RECEIVE_ON_NEW, Step.PROVE_NEW) and soft.when_connected == (Step.TELL_PEER,)


@pytest.mark.parametrize("kind", Kind)
def test_a_call_that_ends_does_not_move(kind: Kind) -> None:
    ending = plan(CallState.ENDING, kind)
    assert not ending.at_once and not ending.when_connected
