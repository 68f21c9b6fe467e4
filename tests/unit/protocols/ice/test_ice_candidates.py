"""Priorities, foundations, redundancy (RFC 8445 sections 5.1.1.3 to 5.1.3, RFC 8421), and the bounds of what a
peer names."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segue.base.address import Address, LocalPort
from segue.base.errors import LocalError
from segue.base.ice_description import Candidate, CandidateType
from segue.protocols.ice.candidate import (
    HIGHEST_PREFERENCE,
    Base,
    LocalCandidates,
    RemoteCandidates,
    may_pair,
    pair_priority,
    priority_of,
)
from segue.protocols.ice.limits import CANDIDATES, PEER_REFLEXIVE, PORTS

HOST, RELAYED = CandidateType.HOST, CandidateType.RELAYED


def at(host: str, number: int = 4000) -> LocalPort:
    return LocalPort("eth0", Address(host, number))


def add(ours: LocalCandidates, port: LocalPort, component: int = 1, **options: object) -> Base | None:
    chosen = {"preference": HIGHEST_PREFERENCE, "related": None, **options}
    return ours.add_base(port, component, HOST, **chosen)  # type: ignore[arg-type]


def test_the_formula_of_the_rfc() -> None:
    assert (
        priority_of(HOST, 65535, 1) == 2130706431
    )  # RFC 8445 section 5.1.2.1, as everybody's first candidate has it
    assert priority_of(CandidateType.SERVER_REFLEXIVE, 65535, 1) == 1694498815
    assert priority_of(RELAYED, 65535, 2) == 16777214


@given(st.integers(1, 2**31 - 1), st.integers(1, 2**31 - 1))
def test_both_ends_compute_one_priority_of_a_pair(ours: int, theirs: int) -> None:
    assert pair_priority(ours, theirs) == (min(ours, theirs) << 32) + 2 * max(ours, theirs) + (ours > theirs)
    assert (pair_priority(ours, theirs) == pair_priority(theirs, ours)) is (ours == theirs)


def test_families_take_turns_and_ipv6_begins() -> None:
    """RFC 8421 section 4: an IPv4 address is never behind many of IPv6."""
    ours = LocalCandidates()
    for number in range(4):
        add(ours, at(f"2001:db8::{number}"))
    for number in range(2):
        add(ours, at(f"192.0.2.{number + 1}"))
    assert [each.address.family for each in ours.all] == [6, 4, 6, 4, 6, 6]


def test_an_interface_that_is_preferred_less_comes_after_all_others() -> None:
    ours = LocalCandidates()
    add(ours, at("2001:db8::1"), preference=10)
    add(ours, at("192.0.2.1"), preference=20)
    add(ours, at("192.0.2.2"), preference=20)
    assert [each.address.host for each in ours.all] == ["192.0.2.1", "192.0.2.2", "2001:db8::1"]


def test_priorities_are_unique_for_a_component() -> None:
    ours = LocalCandidates()
    for number in range(PORTS // 2):
        for component in (1, 2):
            port = at(f"192.0.2.{number + 1}", 4000 + component)
            add(ours, port, component)
            ours.add_reflexive(port, Address("203.0.113.1", 5000 + 2 * number + component), "198.51.100.1")
            ours.add_reflexive(port, Address("203.0.113.1", 6000 + 2 * number + component), "198.51.100.2", 1)
    for component in (1, 2):
        priorities = [each.priority for each in ours.all if each.component == component]
        assert len(priorities) == len(set(priorities)) == 3 * PORTS // 2


def test_foundations_are_of_type_base_and_server() -> None:
    ours = LocalCandidates()
    first, second, other = at("192.0.2.1"), at("192.0.2.1", 4001), at("192.0.2.2")
    for port, component in ((first, 1), (second, 2), (other, 1)):
        add(ours, port, component)
    ours.add_reflexive(first, Address("203.0.113.1", 1), "198.51.100.1")
    ours.add_reflexive(second, Address("203.0.113.1", 2), "198.51.100.1")
    ours.add_reflexive(first, Address("203.0.113.1", 3), "198.51.100.2")
    by_address = {each.address: each.foundation for each in ours.all}
    assert by_address[first.address] == by_address[second.address] != by_address[other.address]
    one, two, three = (by_address[Address("203.0.113.1", number)] for number in (1, 2, 3))
    assert one == two != three
    assert one not in (by_address[first.address], by_address[other.address])


def test_what_repeats_another_is_left_out() -> None:
    ours = LocalCandidates()
    port = at("192.0.2.1")
    add(ours, port)
    assert add(ours, port) is None
    assert ours.add_reflexive(port, port.address, "198.51.100.1") is None
    assert ours.add_reflexive(port, Address("203.0.113.1", 9), "198.51.100.1") is not None
    assert ours.add_reflexive(port, Address("203.0.113.1", 9), "198.51.100.2") is None
    relay = ours.add_base(
        LocalPort("eth1", port.address), 1, RELAYED, preference=1, related=None, server="198.51.100.3"
    )
    assert relay is None


def test_what_checks_show_is_known_but_not_told() -> None:
    ours = LocalCandidates()
    port = at("192.168.1.2")
    add(ours, port)
    seen = Address("203.0.113.1", 9)
    assert not ours.knows(port, seen)
    ours.learn(port, seen)
    assert ours.knows(port, seen)
    assert [each.type for each in ours.all] == [HOST]
    for number in range(100):
        ours.learn(port, Address("203.0.113.1", 1000 + number))
    assert len(ours._reflexive) <= 4


def test_more_ports_than_a_call_can_use_are_our_own_mistake() -> None:
    ours = LocalCandidates()
    for number in range(PORTS):
        add(ours, at(f"192.0.2.{number + 1}"))
    with pytest.raises(LocalError):
        add(ours, at("192.0.2.200"))


def test_link_local_addresses_stay_among_themselves() -> None:
    local, globally = Address("fe80::1", 1), Address("2001:db8::1", 1)
    assert may_pair(local, Address("fe80::2", 2))
    assert not may_pair(local, globally)
    assert not may_pair(globally, local)
    assert not may_pair(globally, Address("192.0.2.1", 1))


def named(number: int, port: int = 1) -> Candidate:
    return Candidate(
        str(number), 1, 1000 + number, Address(f"198.18.{number // 250}.{number % 250}", port), HOST
    )


def test_of_thousands_of_candidates_a_bounded_number_is_kept() -> None:
    theirs = RemoteCandidates()
    for number in range(5000):
        theirs.signal(named(number))
        theirs.learn(1, Address("203.0.113.1", number + 1), 5, frozenset())
    assert len(theirs.of(1, signalled=True)) == CANDIDATES
    assert len(theirs.of(1)) <= CANDIDATES + PEER_REFLEXIVE


def test_the_one_in_use_is_not_forgotten_for_others() -> None:
    theirs = RemoteCandidates()
    here = Address("203.0.113.9", 4000)
    theirs.learn(1, here, 5, frozenset())
    for number in range(100):
        theirs.learn(1, Address("203.0.113.1", number + 1), 5, frozenset({here}))
    assert theirs.get(1, here) is not None


def test_a_learned_candidate_that_is_named_keeps_its_identity() -> None:
    theirs = RemoteCandidates()
    candidate = named(1)
    learned = theirs.learn(1, candidate.address, 5, frozenset())
    assert not learned.signalled
    assert theirs.signal(candidate) is None
    assert learned.signalled
    assert learned.candidate == candidate
