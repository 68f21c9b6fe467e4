"""A radio that sleeps when it carries nothing."""

from __future__ import annotations

import pytest

from segue.base.errors import LocalError
from segue.emulator.link_model import LinkConfig, both_directions
from segue.testing.entropy import SeededEntropy

CELL = LinkConfig("umts", one_way_delay_ms=40, sleep_after_ms=2000, wake_ms=600)


def test_the_first_packet_wakes_it_for_both_directions_and_for_all_that_wait() -> None:
    up, down = both_directions(CELL, SeededEntropy(1))
    assert up.offer(200, 10.0) == pytest.approx((10.64,))
    assert up.offer(200, 10.02) == pytest.approx((10.64,)), "what is sent meanwhile waits with it"
    assert down.offer(200, 10.5) == pytest.approx((10.64,))
    assert up.offer(200, 11.0) == pytest.approx((11.04,))


def test_it_sleeps_again_when_nothing_was_carried_for_a_while() -> None:
    up, down = both_directions(CELL, SeededEntropy(1))
    up.offer(200, 10.0)
    for now in (12.0, 13.9, 15.8):
        assert down.offer(200, now) == pytest.approx((now + 0.04,)), "kept awake"
    assert up.offer(200, 17.9) == pytest.approx((18.54,))


def test_others_never_sleep_and_no_time_is_below_zero() -> None:
    up, _ = both_directions(LinkConfig("wlan", one_way_delay_ms=5), SeededEntropy(1))
    assert up.offer(200, 1000.0) == pytest.approx((1000.005,))
    with pytest.raises(LocalError, match="negative"):
        LinkConfig("umts", 40, wake_ms=-1)
