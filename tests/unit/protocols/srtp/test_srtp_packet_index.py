"""Index estimation against RFC 3711 appendix A, and the replay list."""

from __future__ import annotations

from hypothesis import example, given, settings
from hypothesis import strategies as st

from segue.protocols.srtp.packet_index import ReplayList, estimate_index


def appendix_a(rollover_counter: int, highest_sequence: int, sequence: int) -> int:
    """The index as the pseudocode of appendix A computes it."""
    if highest_sequence < 32768:
        guess = rollover_counter - 1 if sequence - highest_sequence > 32768 else rollover_counter
    else:
        guess = rollover_counter + 1 if highest_sequence - 32768 > sequence else rollover_counter
    return guess * 65536 + sequence


@settings(max_examples=500)
@given(st.integers(1, 1 << 32), st.integers(0, 65535), st.integers(0, 65535))
@example(5, 0, 32768)
@example(5, 0, 32769)
@example(5, 32767, 65535)
@example(5, 32768, 0)
@example(5, 32769, 0)
@example(5, 65535, 32767)
@example(5, 65535, 32766)
def test_estimate_is_that_of_appendix_a(rollover_counter: int, highest: int, sequence: int) -> None:
    expected = appendix_a(rollover_counter, highest, sequence)
    assert estimate_index(rollover_counter << 16 | highest, sequence) == expected


@given(st.integers(0, 65535), st.integers(0, 65535))
def test_no_index_below_zero(highest: int, sequence: int) -> None:
    assert estimate_index(highest, sequence) >= 0


@settings(max_examples=50, deadline=None)
@given(st.integers(64, 300), st.lists(st.integers(0, 1500), max_size=200))
def test_replay_list_is_like_a_set_with_a_lower_edge(window: int, indices: list[int]) -> None:
    replays, accepted = ReplayList(700, window), {700}
    for index in indices:
        expected = index > max(accepted) - window and index not in accepted
        assert (replays.refusal(index) == "") == expected
        if expected:
            replays.accept(index)
            accepted.add(index)
    assert replays.highest == max(accepted)
