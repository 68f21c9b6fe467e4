"""What a move means for a call in each of its states."""

import pytest

from segue.mobility.plan import Step
from segue.mobility.policy import Kind
from segue.mobility.sip_strategy import CallState, plan


def test_a_hard_move_sends_media_before_it_tells_anybody() -> None:
    steps = plan(CallState.UP, Kind.HARD).at_once
    assert steps.index(Step.SEND_FROM_NEW) < steps.index(Step.TELL_PEER) < steps.index(Step.REGISTER)


def test_a_soft_move_keeps_sending_on_the_old_path_until_the_peer_agreed() -> None:
    soft = plan(CallState.UP, Kind.SOFT)
    assert Step.SEND_FROM_NEW not in soft.at_once
    assert Step.SEND_FROM_NEW in soft.when_answered
    assert soft.when_media_flows == (Step.RELEASE_OLD,)


def test_an_unanswered_call_is_placed_anew_and_a_ringing_one_waits_for_the_proxy() -> None:
    assert Step.PLACE_ANEW in plan(CallState.DIALLING, Kind.HARD).at_once
    assert Step.TELL_PEER not in plan(CallState.RINGING_IN, Kind.HARD).at_once


@pytest.mark.parametrize("state", CallState)
@pytest.mark.parametrize("kind", Kind)
def test_every_state_has_a_plan_and_always_registers(state: CallState, kind: Kind) -> None:
    assert Step.REGISTER in plan(state, kind).at_once
