"""Finding a path: NATs, STUN servers, several interfaces, loss and reordering, trickling, roles that conflict."""

from __future__ import annotations

from dataclasses import replace

import pytest

from segue.base.address import Address, LocalPort
from segue.base.ice_description import CandidateType
from segue.protocols.ice.events import CandidateFound, Failed, Gathered, PathSelected
from segue.testing.ice_ends import IceEnd, IceNetwork, port

STUN = Address("203.0.113.200", 3478)
INSIDE_A, INSIDE_B = "192.168.1.2", "192.168.2.2"
OUTSIDE_A, OUTSIDE_B = "203.0.113.1", "203.0.113.2"
KINDS = ("full-cone", "address-restricted", "port-restricted", "symmetric")


def ends(network: IceNetwork, *, migration: bool = False, **options: object) -> tuple[IceEnd, IceEnd]:
    alice = IceEnd.make(network, "alice", controlling=True, migration=migration, **options)
    bob = IceEnd.make(network, "bob", controlling=False, migration=migration, **options)
    return alice, bob


def agree(network: IceNetwork, alice: IceEnd, bob: IceEnd, limit: float = 10.0) -> bool:
    """Offer, answer, checks; whether both send on one path."""
    network.until(lambda: alice.agent.gathered and bob.agent.gathered, 6.0)
    bob.learn(alice)
    network.pass_time(0.02)
    alice.learn(bob)
    return network.until(lambda: nominated(alice) and nominated(bob), limit)


def nominated(end: IceEnd) -> bool:
    return end.agent.completed


def talk(network: IceNetwork, alice: IceEnd, bob: IceEnd, seconds: float = 1.0) -> None:
    """Both hear nearly all of it."""
    before = len(alice.heard), len(bob.heard)
    alice.talks = bob.talks = True
    network.pass_time(seconds)
    share = 0.98 * (1 - network.wire.loss) ** 1.5
    assert len(alice.heard) - before[0] >= share * (seconds - 0.2) / 0.02
    assert len(bob.heard) - before[1] >= share * (seconds - 0.2) / 0.02


@pytest.mark.parametrize("migration", [False, True])
@pytest.mark.parametrize(
    "wire", [{}, {"loss": 0.2}, {"jitter": 0.3, "duplicate": 0.2}], ids=["clean", "lossy", "reordering"]
)
@pytest.mark.parametrize("seed", range(5))
def test_ends_find_each_other(wire: dict[str, float], migration: bool, seed: int) -> None:
    network = IceNetwork(seed, **wire)
    alice, bob = ends(network, migration=migration)
    alice.add(port("192.0.2.1"), port("2001:db8:1::1"), port("10.0.0.1"))
    bob.add(port("198.51.100.2"), port("2001:db8:2::2"))
    assert agree(network, alice, bob)
    assert alice.agent.selected is not None
    assert bob.agent.selected is not None
    assert alice.agent.selected.local == bob.agent.selected.remote
    assert alice.agent.selected.remote == bob.agent.selected.local
    talk(network, alice, bob)


@pytest.mark.parametrize("near", KINDS)
@pytest.mark.parametrize("far", [None, *KINDS])
def test_nats(near: str, far: str | None) -> None:
    """Hole punching works but between a symmetric NAT and one that looks at ports (RFC 5128)."""
    network = IceNetwork()
    network.serve_stun(STUN)
    network.put_behind(OUTSIDE_A, near, INSIDE_A)
    alice, bob = ends(network, stun_servers=(STUN,))
    alice.add(port(INSIDE_A))
    if far is None:
        bob.add(port("198.51.100.2"))
    else:
        network.put_behind(OUTSIDE_B, far, INSIDE_B)
        bob.add(port(INSIDE_B))
    found = agree(network, alice, bob)
    hopeless = {near, far} in ({"symmetric"}, {"symmetric", "port-restricted"})
    assert found is not hopeless
    if found:
        talk(network, alice, bob)


def test_two_behind_one_nat_use_the_straight_way() -> None:
    network = IceNetwork()
    network.serve_stun(STUN)
    network.put_behind(OUTSIDE_A, "port-restricted", "192.168.1.2", "192.168.1.3")
    alice, bob = ends(network, stun_servers=(STUN,))
    alice.add(port("192.168.1.2"))
    bob.add(port("192.168.1.3"))
    assert agree(network, alice, bob)
    assert alice.agent.selected is not None
    assert alice.agent.selected.remote.host == "192.168.1.3"


def test_what_a_stun_server_saw_is_a_candidate() -> None:
    network = IceNetwork()
    network.serve_stun(STUN)
    network.put_behind(OUTSIDE_A, "full-cone", INSIDE_A)
    alice, _ = ends(network, stun_servers=(STUN,))
    alice.add(port(INSIDE_A))
    assert not alice.agent.gathered
    assert network.until(lambda: alice.agent.gathered)
    host, reflexive = alice.agent.candidates
    assert (host.type, reflexive.type) == (CandidateType.HOST, CandidateType.SERVER_REFLEXIVE)
    assert reflexive.address.host == OUTSIDE_A
    assert reflexive.related == Address(INSIDE_A, 4000)
    found = [event.candidate for event in alice.events if isinstance(event, CandidateFound)]
    assert found == [host, reflexive]
    assert alice.count(Gathered) == 1


def test_a_stun_server_that_is_silent_is_not_waited_for_longer() -> None:
    network = IceNetwork()
    alice, _ = ends(network, stun_servers=(STUN,))
    alice.add(port("192.0.2.1"))
    assert network.until(lambda: alice.agent.gathered, 6.0)
    assert len(alice.agent.candidates) == 1


def test_a_public_host_has_no_second_candidate() -> None:
    network = IceNetwork()
    network.serve_stun(STUN)
    alice, _ = ends(network, stun_servers=(STUN,))
    alice.add(port("192.0.2.1"))
    assert network.until(lambda: alice.agent.gathered)
    assert len(alice.agent.candidates) == 1


def test_candidates_may_come_later() -> None:
    """Full trickle: each end knows nothing of the other but the credentials at first."""
    network = IceNetwork()
    network.serve_stun(STUN)
    network.put_behind(OUTSIDE_A, "port-restricted", INSIDE_A)
    network.put_behind(OUTSIDE_B, "port-restricted", INSIDE_B)
    alice, bob = ends(network, stun_servers=(STUN,))
    bob.learn(alice)
    alice.learn(bob)
    alice.add(port(INSIDE_A))
    bob.add(port(INSIDE_B))
    told = {alice.name: 0, bob.name: 0}
    for _ in range(20):
        network.pass_time(0.05)
        for one, other in ((alice, bob), (bob, alice)):
            found = [event.candidate for event in one.events if isinstance(event, CandidateFound)]
            fresh, told[one.name] = found[told[one.name] :], len(found)
            other.agent.add_remote(tuple(fresh), one.agent.gathered, network.now)
            other.drain()
    assert nominated(alice)
    assert nominated(bob)
    talk(network, alice, bob)


def test_the_offerer_answers_checks_that_are_faster_than_the_answer() -> None:
    """RFC 8445 section 7.3: and acts upon them when the answer is there."""
    network = IceNetwork()
    alice, bob = ends(network)
    alice.add(port("192.0.2.1"))
    bob.add(port("198.51.100.2"))
    bob.learn(alice)
    network.pass_time(0.5)
    assert bob.agent.selected is not None
    at = network.now
    alice.learn(bob)
    assert network.until(lambda: nominated(bob), 0.2)
    assert network.now - at < 0.15


@pytest.mark.parametrize("role", [True, False])
@pytest.mark.parametrize("seed", range(4))
def test_two_of_one_role_settle_it(role: bool, seed: int) -> None:
    network = IceNetwork(seed)
    alice = IceEnd.make(network, f"alice{seed}", controlling=role)
    bob = IceEnd.make(network, f"bob{seed}", controlling=role)
    alice.add(port("192.0.2.1"))
    bob.add(port("198.51.100.2"))
    assert agree(network, alice, bob)
    assert alice.agent.controlling is not bob.agent.controlling


def test_a_lite_peer_is_controlled() -> None:
    """It answers checks and sends none (RFC 8445 section 6.1.1)."""
    network = IceNetwork()
    alice = IceEnd.make(network, "alice", controlling=False)
    lite = IceEnd.make(network, "lite", controlling=False)
    alice.add(port("192.0.2.1"))
    lite.add(port("198.51.100.2"))
    description = replace(lite.agent.description, lite=True, options=frozenset({"ice2"}))
    alice.agent.set_remote(description, network.now)
    alice.drain()
    assert alice.agent.controlling
    assert network.until(lambda: nominated(alice))
    alice.talks = True
    network.pass_time(40)
    assert alice.agent.selected is not None
    assert alice.agent.proven(alice.agent.selected)


def test_two_components_have_a_path_each() -> None:
    network = IceNetwork()
    alice, bob = ends(network, components=2)
    for end, host in ((alice, "192.0.2.1"), (bob, "198.51.100.2")):
        end.add(port(host, 4000))
        end.add(port(host, 4001), component=2)
    assert agree(network, alice, bob)
    assert network.until(
        lambda: alice.agent.selected_of(2) is not None and bob.agent.selected_of(2) is not None
    )
    for component, number in ((1, 4000), (2, 4001)):
        path = alice.agent.selected_of(component)
        assert path is not None
        assert (path.local.port, path.remote.port) == (number, number)
    assert {event.component for event in alice.events if isinstance(event, PathSelected)} == {1, 2}


def test_a_peer_that_multiplexes_needs_one_component() -> None:
    network = IceNetwork()
    alice = IceEnd.make(network, "alice", controlling=True, components=2)
    bob = IceEnd.make(network, "bob", controlling=False)
    alice.add(port("192.0.2.1", 4000))
    alice.add(port("192.0.2.1", 4001), component=2)
    bob.add(port("198.51.100.2"))
    assert agree(network, alice, bob)
    network.pass_time(60)
    assert not alice.count(Failed)


def test_a_broken_family_does_not_keep_the_other_waiting() -> None:
    """RFC 8421: IPv6 is first on the list, and reaches nobody."""
    network = IceNetwork()
    network.dead |= {"2001:db8:2::2"}
    alice, bob = ends(network)
    alice.add(port("2001:db8:1::1"), port("192.0.2.1"))
    bob.add(port("2001:db8:2::2"), port("198.51.100.2"))
    at = network.now
    assert agree(network, alice, bob)
    assert network.now - at < 0.6
    assert alice.agent.selected is not None
    assert alice.agent.selected.local.family == 4


def test_ipv6_is_preferred_when_both_work() -> None:
    network = IceNetwork()
    alice, bob = ends(network)
    alice.add(port("192.0.2.1"), port("2001:db8:1::1"))
    bob.add(port("198.51.100.2"), port("2001:db8:2::2"))
    assert agree(network, alice, bob)
    assert alice.agent.selected is not None
    assert alice.agent.selected.local.family == 6


def test_an_interface_that_is_preferred_goes_first() -> None:
    network = IceNetwork()
    alice, bob = ends(network)
    alice.add(port("2001:db8:1::1"), preference=10)
    alice.add(port("192.0.2.1"), preference=60)
    bob.add(port("198.51.100.2"), port("2001:db8:2::2"))
    assert agree(network, alice, bob)
    assert alice.agent.selected is not None
    assert alice.agent.selected.local.host == "192.0.2.1"


def test_nothing_fails_before_the_patience_of_rfc_8863_is_over() -> None:
    network = IceNetwork()
    alice, bob = ends(network)
    alice.add(port("192.0.2.1"))
    alice.agent.set_remote(replace(bob.agent.description, ended=True), network.now)
    alice.drain()
    network.pass_time(39)
    assert not alice.count(Failed)
    network.pass_time(2)
    assert alice.count(Failed) == 1


def test_a_late_check_still_finds_the_way() -> None:
    """A peer without candidates is found by its own checks, within that patience."""
    network = IceNetwork()
    alice, bob = ends(network)
    alice.add(port("192.0.2.1"))
    alice.agent.set_remote(replace(bob.agent.description, ended=True), network.now)
    alice.drain()
    network.pass_time(20)
    bob.add(port("198.51.100.2"))
    bob.learn(alice)
    assert network.until(lambda: nominated(alice) and nominated(bob))


def test_relayed_candidates_are_the_last_resort() -> None:
    network = IceNetwork()
    alice, bob = ends(network)
    alice.add(port("192.0.2.1"))
    alice.add(
        LocalPort("192.0.2.1", Address("203.0.113.50", 5000)),
        kind=CandidateType.RELAYED,
        base=port("192.0.2.1"),
    )
    bob.add(port("198.51.100.2"))
    assert [each.type.value for each in alice.agent.candidates] == ["host", "relay"]
    assert alice.agent.candidates[1].priority < 1 << 24
    assert agree(network, alice, bob)
    assert alice.agent.selected is not None
    assert alice.agent.selected.local.host == "192.0.2.1"


def test_a_relayed_path_is_left_when_a_direct_one_works() -> None:
    network = IceNetwork()
    network.dead.add("192.0.2.1")
    alice, bob = ends(network, migration=True)
    alice.add(port("192.0.2.1"))
    relayed = LocalPort("192.0.2.1", Address("203.0.113.50", 5000))
    alice.add(relayed, kind=CandidateType.RELAYED, base=port("192.0.2.1"))
    bob.add(port("198.51.100.2"))
    assert agree(network, alice, bob)
    assert alice.agent.selected is not None
    assert alice.agent.selected.local == relayed.address
    network.dead.clear()
    assert bob.agent.selected is not None
    bob.agent.check(bob.agent.selected._replace(remote=Address("192.0.2.1", 4000)), network.now)
    bob.drain()
    network.pass_time(2)
    assert alice.agent.selected.local.host == "192.0.2.1"
    assert bob.agent.selected.remote.host == "192.0.2.1"
