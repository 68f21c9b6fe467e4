"""Duplicates on metered networks: how many, in a call and in an hour."""

from itertools import pairwise

import pytest

from segue.base.errors import LocalError
from segue.mobility.budget import HOUR, DuplicationBudget, DuplicationLimits

METERED = frozenset({"wwan0"})
PACKET = 214  # G.711 under SRTP, UDP and IPv6, without the tag


def budget(per_call: int, per_hour: int) -> DuplicationBudget:
    return DuplicationBudget(METERED, DuplicationLimits(per_call, per_hour))


def test_a_network_without_a_meter_has_no_limit() -> None:
    call = budget(0, 0).for_call()
    assert all(call.allows(PACKET, now, "wlan0") for now in range(10_000))
    assert call.spent == 0


def test_a_call_stops_at_its_own_limit_and_the_next_one_begins_anew() -> None:
    phone = budget(10 * PACKET, 1000 * PACKET)
    first = phone.for_call()
    assert [first.allows(PACKET, 0.02 * n, "wwan0") for n in range(12)] == [True] * 10 + [False] * 2
    assert phone.for_call().allows(PACKET, 1.0, "wwan0")


def test_no_hour_whenever_it_begins_sees_more_than_its_limit() -> None:
    phone = budget(1_000_000, 100 * PACKET)
    spent = []
    now = 0.0
    while now < 3 * HOUR:
        if phone.for_call().allows(PACKET, now, "wwan0"):
            spent.append(now)
        now += 7.3
    assert len(spent) > 200, "what is spent comes back"
    for index, begin in enumerate(spent):
        assert sum(begin <= at < begin + HOUR for at in spent[index:]) <= 100
    assert all(a < b for a, b in pairwise(spent))


def test_memory_is_bounded() -> None:
    phone = budget(1 << 60, 1 << 60)
    call = phone.for_call()
    for tick in range(200_000):
        assert call.allows(PACKET, tick * 0.02, "wwan0")
    assert len(phone._spent) <= 70


def test_a_limit_below_zero_is_refused() -> None:
    with pytest.raises(LocalError, match="below zero"):
        DuplicationLimits(per_call=-1)
