"""Forming, freezing, ordering and limiting pairs (RFC 8445 sections 6.1.2 and 6.1.4)."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segue.base.address import Address, LocalPort
from segue.base.ice_description import Candidate, CandidateType
from segue.protocols.ice.candidate import HIGHEST_PREFERENCE, Base, LocalCandidates, RemoteCandidate
from segue.protocols.ice.check_list import CheckList
from segue.protocols.ice.pair import TRANSITIONS, Pair, PairState

HOST = CandidateType.HOST


def bases(*hosts: str, components: int = 1) -> list[Base]:
    ours = LocalCandidates()
    for host in hosts:
        for component in range(1, components + 1):
            port = LocalPort("eth0", Address(host, 4000 + component))
            ours.add_base(port, component, HOST, preference=HIGHEST_PREFERENCE, related=None)
    return list(ours.bases.values())


def remotes(*hosts: str, components: int = 1) -> list[RemoteCandidate]:
    return [
        RemoteCandidate(
            Candidate(
                f"r{number}", component, (1 << 30) - 256 * number - component, Address(host, component), HOST
            ),
            True,
        )
        for number, host in enumerate(hosts)
        for component in range(1, components + 1)
    ]


def formed(ours: list[Base], theirs: list[RemoteCandidate], limit: int = 100) -> CheckList:
    check_list = CheckList(controlling=True, limit=limit)
    check_list.form(ours, theirs)
    return check_list


def test_pairs_are_of_one_component_and_family() -> None:
    check_list = formed(
        bases("192.0.2.1", "2001:db8::1", components=2), remotes("198.51.100.1", "2001:db8::2", components=2)
    )
    assert len(check_list) == 4
    assert all(pair.path.local.family == pair.path.remote.family for pair in check_list)
    assert all(pair.base.component == pair.remote.candidate.component for pair in check_list)


def test_of_each_foundation_one_pair_is_not_frozen() -> None:
    check_list = formed(bases("192.0.2.1", components=2), remotes("198.51.100.1", components=2))
    states = {pair.component: pair.state for pair in check_list}
    assert states == {1: PairState.WAITING, 2: PairState.FROZEN}


def test_success_thaws_its_foundation() -> None:
    check_list = formed(bases("192.0.2.1", components=2), remotes("198.51.100.1", components=2))
    first = check_list.next()
    assert first is not None
    assert first.component == 1
    check_list.succeeded(first)
    assert {pair.component: pair.state for pair in check_list}[2] is PairState.WAITING


def test_what_is_frozen_gets_its_turn_when_nothing_waits() -> None:
    check_list = formed(bases("192.0.2.1", components=2), remotes("198.51.100.1", components=2))
    first = check_list.next()
    assert first is not None
    assert check_list.next() is None  # its foundation is being checked
    assert not check_list.has_next
    first.enter(PairState.FAILED)
    assert check_list.has_next
    second = check_list.next()
    assert second is not None
    assert second.component == 2


def test_the_best_pair_is_checked_first_and_triggered_ones_before_it() -> None:
    check_list = formed(bases("192.0.2.1", "192.0.2.2"), remotes("198.51.100.1", "198.51.100.2"))
    worst = max(check_list, key=check_list.rank)
    check_list.trigger(worst)
    check_list.trigger(worst)
    order = [pair for _ in range(4) if (pair := check_list.next()) is not None]
    assert order[0] is worst
    assert order[1:] == sorted(order[1:], key=check_list.rank)
    assert len(order) == len(set(order)) == 4


@settings(max_examples=50, deadline=None)
@given(st.permutations(range(24)), st.integers(1, 20))
def test_the_best_pairs_are_kept_whatever_comes_first(order: list[int], limit: int) -> None:
    ours, theirs = bases("192.0.2.1"), remotes(*(f"198.51.100.{number}" for number in range(24)))
    check_list = CheckList(controlling=False, limit=limit)
    for number in order:
        check_list.form(ours, [theirs[number]])
    assert {pair.remote.candidate.foundation for pair in check_list} == {
        f"r{number}" for number in range(limit)
    }


def test_what_works_is_not_given_up_for_what_may() -> None:
    check_list = formed(bases("192.0.2.1"), remotes("198.51.100.9", "198.51.100.8")[1:], limit=1)
    works = check_list.next()
    assert works is not None
    check_list.succeeded(works)
    check_list.form(bases("192.0.2.1"), remotes("198.51.100.9"))
    assert list(check_list) == [works]


def test_a_pair_that_failed_makes_room() -> None:
    check_list = formed(bases("192.0.2.1"), remotes("198.51.100.1"), limit=1)
    failed = check_list.next()
    assert failed is not None
    failed.enter(PairState.FAILED)
    check_list.form(bases("192.0.2.1"), remotes("198.51.100.1", "198.51.100.2"))
    assert [pair.path.remote.host for pair in check_list] == ["198.51.100.2"]


def test_both_ends_order_pairs_alike() -> None:
    """RFC 8445 section 6.1.2.3: the formula knows who controls."""
    ours, theirs = bases("192.0.2.1", "192.0.2.2"), remotes("198.51.100.1", "198.51.100.2")
    pairs = [Pair(base, remote) for base in ours for remote in theirs]
    mirrored = [
        Pair(
            Base(LocalPort("x", remote.address), remote.candidate, 0),
            RemoteCandidate(base.candidate, True),
        )
        for base in ours
        for remote in theirs
    ]
    assert [pair.priority(True) for pair in pairs] == [pair.priority(False) for pair in mirrored]


@pytest.mark.parametrize("state", PairState)
def test_states_change_as_the_table_says(state: PairState) -> None:
    for other in PairState:
        pair = Pair(bases("192.0.2.1")[0], remotes("198.51.100.1")[0], state)
        if other is state or other in TRANSITIONS[state]:
            pair.enter(other)
            assert pair.state is other
        else:
            with pytest.raises(AssertionError):
                pair.enter(other)
