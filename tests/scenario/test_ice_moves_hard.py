"""Moves where not everything works: loss, failed moves, many in a row, NATs, both ends, families, ports that go."""

from __future__ import annotations

from itertools import pairwise

import pytest

from segue.base.address import Address, Path
from segue.protocols.ice.events import Failed, PathLost
from segue.protocols.stun.message import Class, is_stun, parse_stun
from segue.testing.ice_ends import IceEnd, IceNetwork, port, talking

ROLES = ("controlling", "controlled")
NEW = "203.0.113.7"
OUTSIDE = "203.0.113.99"


def pair(network: IceNetwork, role: str, **options: object) -> tuple[IceEnd, IceEnd]:
    """Who moves, and who stays."""
    alice, bob = talking(network, **options)
    return (alice, bob) if role == "controlling" else (bob, alice)


def leave(network: IceNetwork, mover: IceEnd, host: str = NEW) -> float:
    assert mover.agent.selected is not None
    network.dead.add(mover.agent.selected.local.host)
    network.dead.discard(host)
    mover.move(port(host))
    return network.now


def gap(end: IceEnd, since: float) -> float:
    """The longest time without voice from then on, less a packet time."""
    times = [since, *(voice.at for voice in end.heard if voice.at > since)]
    return max(after - before for before, after in pairwise(times)) - 0.02


def together(one: IceEnd, other: IceEnd) -> bool:
    """Both send on one path, which both have proven."""
    here, there = one.agent.selected, other.agent.selected
    return (
        here is not None
        and there is not None
        and here.local == there.remote
        and here.remote == there.local
        and one.agent.proven(here)
        and other.agent.proven(there)
    )


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("seed", range(12))
def test_with_loss_and_jitter_the_call_is_back_within_a_second(role: str, seed: int) -> None:
    network = IceNetwork(seed, loss=0.2, jitter=0.03, duplicate=0.05)
    mover, stays = pair(network, role)
    at = leave(network, mover)
    network.pass_time(3.0)
    assert together(mover, stays)
    assert gap(mover, at) < 1.0
    assert gap(stays, at) < 1.0


@pytest.mark.parametrize("role", ROLES)
def test_a_soft_move_on_two_proven_paths_loses_nothing(role: str) -> None:
    network = IceNetwork()
    mover, stays = pair(network, role)
    mover.add(port(NEW))
    network.pass_time(0.5)
    assert len(mover.agent.paths) == 2
    assert len(stays.agent.paths) == 2
    at, sent = network.now, (mover._number, stays._number)
    mover.move(port(NEW))
    assert mover.selections[-1].proven
    network.pass_time(1.0)
    assert together(mover, stays)
    assert mover.agent.selected is not None
    assert mover.agent.selected.local.host == NEW
    assert gap(mover, at) < 0.021
    assert gap(stays, at) < 0.021
    network.pass_time(0.5)
    mover.talks = stays.talks = False
    network.pass_time(0.1)
    assert {voice.number for voice in stays.heard} >= set(range(sent[0], mover._number + 1))
    assert {voice.number for voice in mover.heard} >= set(range(sent[1], stays._number + 1))


@pytest.mark.parametrize("role", ROLES)
def test_ten_moves_in_a_row_and_back(role: str) -> None:
    network = IceNetwork(delay=0.03)
    mover, stays = pair(network, role)
    hosts = [NEW, "203.0.113.8"]
    for number in range(10):
        at = leave(network, mover, hosts[number % 2])
        network.pass_time(0.7)
        assert together(mover, stays)
        assert gap(mover, at) <= 0.06 + 0.021
    assert mover.agent.selected is not None
    assert not mover.count(Failed)


@pytest.mark.parametrize("role", ROLES)
def test_the_second_move_begins_before_the_first_has_ended(role: str) -> None:
    network = IceNetwork(delay=0.05)
    mover, stays = pair(network, role)
    for number in range(6):
        leave(network, mover, f"203.0.113.{10 + number}")
        network.pass_time(0.03)
    network.pass_time(1.0)
    assert together(mover, stays)
    assert mover.agent.selected is not None
    assert mover.agent.selected.local.host == "203.0.113.15"


@pytest.mark.parametrize("role", ROLES)
def test_a_move_to_where_nothing_works_is_taken_back(role: str) -> None:
    network = IceNetwork()
    mover, stays = pair(network, role)
    assert mover.agent.selected is not None
    old = mover.agent.selected
    network.dead.add(NEW)
    at = network.now
    mover.move(port(NEW))
    network.pass_time(4.0)
    assert mover.agent.selected == old
    assert together(mover, stays)
    assert len(stays.selections) == 1  # it never heard of it
    assert gap(stays, at) < 2.5


@pytest.mark.parametrize("role", ROLES)
def test_a_way_that_works_in_one_direction_only_is_left_again(role: str) -> None:
    """The mover's checks arrive, nothing comes back: both are on the old path again in time, for that works."""
    network = IceNetwork()
    mover, stays = pair(network, role)
    old = mover.agent.selected
    network.bystander = lambda source, target, octets: (
        [] if target.host == NEW else [(source, target, octets)]
    )
    at = network.now
    mover.move(port(NEW))
    network.pass_time(5.0)
    assert mover.agent.selected == old
    assert together(mover, stays)
    assert gap(mover, at) < 2.5


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("migration", [True, False])
def test_a_nat_that_rebinds(role: str, migration: bool) -> None:
    """Nobody is told of anything: the first packet from the new source leads to a check, and that to a path."""
    network = IceNetwork(delay=0.04)
    nat = network.put_behind(OUTSIDE, "port-restricted", "192.0.2.1", "198.51.100.2")
    inside = "192.0.2.1" if role == "controlling" else "198.51.100.2"
    for host in {"192.0.2.1", "198.51.100.2"} - {inside}:
        del network.nats[host]
    mover, stays = pair(network, role, migration=migration)
    old = stays.agent.selected
    assert old is not None
    for _ in range(3):
        nat.rebind()
        at = network.now
        network.pass_time(3.0)
        first = next(voice.at for voice in stays.heard if voice.at > at and voice.path.remote != old.remote)
        back = next(voice.at for voice in mover.heard if voice.at > at + 0.05)
        assert back - first <= 0.04 + 0.08 + 0.06 + 0.02  # until it is heard: one way and a packet time more
        selected = stays.agent.selected
        assert selected is not None
        assert selected.remote != old.remote
        assert stays.agent.proven(selected)
        changed = next(
            seen for seen in network.seen if seen.target == selected.remote and not is_stun(seen.octets)
        )
        assert changed.at - first <= 0.08 + 0.06
        old = selected


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("migration", [True, False])
def test_a_nat_that_rebinds_while_the_call_is_held(role: str, migration: bool) -> None:
    """No voice tells of it; the peer's own checks, which keep consent fresh, do, before the old path loses its
    own."""
    network = IceNetwork(delay=0.04)
    inside = "192.0.2.1" if role == "controlling" else "198.51.100.2"
    nat = network.put_behind(OUTSIDE, "port-restricted", inside)
    mover, stays = pair(network, role, migration=migration)
    old = stays.agent.selected
    mover.talks = stays.talks = False
    network.pass_time(20.0)
    nat.rebind()
    network.pass_time(20.0)
    assert stays.agent.selected is not None
    assert stays.agent.selected != old
    assert stays.agent.proven(stays.agent.selected)
    mover.talks = stays.talks = True
    at = network.now
    network.pass_time(1.0)
    assert gap(mover, at) < 0.1
    assert gap(stays, at) < 0.1


def test_one_packet_that_is_late_does_not_keep_a_rebinding_from_being_seen() -> None:
    network = IceNetwork(3, delay=0.03, jitter=0.05)
    nat = network.put_behind(OUTSIDE, "port-restricted", "192.0.2.1")
    mover, stays = pair(network, "controlling")
    nat.rebind()
    at = network.now
    network.pass_time(2.0)
    assert gap(mover, at) < 0.5
    assert stays.agent.selected is not None
    assert stays.agent.proven(stays.agent.selected)


@pytest.mark.parametrize("role", ROLES)
def test_from_ipv4_to_ipv6_and_back(role: str) -> None:
    """The peer's address of the other family was not in use: it has to answer before voice leaves for it."""
    network = IceNetwork()
    mover, stays = pair(network, role)
    six = port("2001:db8:9::9")
    stays.add(six)
    mover.agent.add_remote(stays.agent.candidates, True, network.now)
    mover.drain()
    leave(network, mover, "2001:db8:1::1")
    network.pass_time(1.0)
    assert together(mover, stays)
    assert mover.agent.selected is not None
    assert mover.agent.selected.remote == six.address
    network.dead.clear()
    leave(network, mover, NEW)
    network.pass_time(1.0)
    assert together(mover, stays)
    assert mover.agent.selected.local.family == 4


@pytest.mark.parametrize("role", ROLES)
def test_a_port_that_is_gone_leaves_the_call_to_the_others(role: str) -> None:
    network = IceNetwork()
    mover, stays = pair(network, role)
    first = mover.ports[0]
    mover.add(port(NEW))
    network.pass_time(0.5)
    network.dead.add(first.address.host)
    at = network.now
    mover.remove(first)
    network.pass_time(1.0)
    assert together(mover, stays)
    assert gap(mover, at) < 0.1
    assert mover.count(PathLost) == 1


@pytest.mark.parametrize("role", ROLES)
def test_the_last_port_may_go_and_another_come(role: str) -> None:
    network = IceNetwork()
    mover, stays = pair(network, role)
    mover.remove(mover.ports[0])
    assert mover.agent.selected is None
    network.pass_time(0.4)
    mover.move(port(NEW))
    network.pass_time(1.0)
    assert together(mover, stays)


@pytest.mark.parametrize("role", ROLES)
def test_the_peers_nat_opens_when_signalling_says_where_we_are(role: str) -> None:
    """Our check does not get through its NAT; what signalling brings makes the peer send to us at once."""
    network = IceNetwork(delay=0.04)
    stays_host = "198.51.100.2" if role == "controlling" else "192.0.2.1"
    network.put_behind(OUTSIDE, "port-restricted", stays_host)
    mover, stays = pair(network, role)
    at = leave(network, mover)
    network.pass_time(0.2)
    assert not any(voice.at > at and voice.path.local.host == NEW for voice in mover.heard)
    signalled = network.now
    stays.agent.remote_moved(Address(NEW, 4000), 1200, network.now)
    stays.drain()
    network.pass_time(2.0)
    first = next(voice.at for voice in mover.heard if voice.path.local.host == NEW)
    assert first - signalled <= 0.04 + 0.021
    assert stays.agent.selected is not None
    assert stays.agent.selected.remote.host == NEW
    assert len(stays.agent.paths) == len(mover.agent.paths) == 2
    assert gap(stays, network.now - 1.0) < 0.021


@pytest.mark.parametrize("role", ROLES)
def test_signalling_is_not_needed_when_the_check_came(role: str) -> None:
    network = IceNetwork()
    mover, stays = pair(network, role)
    leave(network, mover)
    network.pass_time(0.5)
    count = len(stays.selections)
    stays.agent.remote_moved(Address(NEW, 4000), 1200, network.now)
    stays.drain()
    network.pass_time(0.5)
    assert len(stays.selections) == count


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
@pytest.mark.parametrize("apart", [0.0, 0.03, 0.1])
def test_both_ends_move_and_signalling_brings_the_addresses(order: tuple[int, int], apart: float) -> None:
    """Neither check finds the other end; each gets the other's candidate a round trip to the proxy later."""
    network = IceNetwork(delay=0.04)
    both = talking(network)
    one, other = (both[index] for index in order)
    leave(network, one, "203.0.113.11")
    network.pass_time(apart)
    at = leave(network, other, "203.0.113.12")
    network.pass_time(0.1)
    for here, there in ((one, other), (other, one)):
        here.agent.add_remote(there.agent.candidates, True, network.now)
        here.drain()
    network.pass_time(1.0)
    assert together(one, other)
    assert gap(one, at) < 1.0
    assert gap(other, at) < 1.0


def test_both_ends_move_softly_at_the_same_moment() -> None:
    network = IceNetwork(delay=0.04)
    alice, bob = talking(network)
    alice.move(port("203.0.113.11"))
    bob.move(port("203.0.113.12"))
    at = network.now
    network.pass_time(3.0)
    assert together(alice, bob)
    assert gap(alice, at) < 0.2
    assert gap(bob, at) < 0.2


def test_without_an_agreement_a_move_needs_a_restart() -> None:
    network = IceNetwork()
    alice, bob = talking(network, migration=False)
    assert not alice.move(port(NEW))
    network.pass_time(1.0)
    assert together(alice, bob)
    assert all(seen.source.host != NEW for seen in network.seen)


@pytest.mark.parametrize("role", ROLES)
def test_a_restart_keeps_the_path_until_there_is_a_new_one(role: str) -> None:
    network = IceNetwork()
    mover, stays = pair(network, role, migration=False)
    mover.add(port(NEW))
    old, before = mover.agent.selected, mover.agent.credentials
    at = network.now
    mover.agent.restart(network.now)
    mover.drain()
    assert mover.agent.credentials != before
    network.pass_time(0.5)
    assert mover.agent.selected == old  # and voice goes on
    stays.learn(mover)
    network.pass_time(0.05)
    mover.learn(stays)
    network.pass_time(5.0)
    assert together(mover, stays)
    assert gap(mover, at) < 0.05
    assert gap(stays, at) < 0.05


@pytest.mark.parametrize("role", ROLES)
def test_a_restart_after_the_old_address_died(role: str) -> None:
    network = IceNetwork()
    mover, stays = pair(network, role, migration=False)
    network.dead.add(mover.ports[0].address.host)
    mover.remove(mover.ports[0])
    mover.add(port(NEW))
    mover.agent.restart(network.now)
    mover.drain()
    stays.learn(mover)
    network.pass_time(0.05)
    mover.learn(stays)
    network.pass_time(2.0)
    assert together(mover, stays)
    assert mover.agent.selected is not None
    assert mover.agent.selected.local.host == NEW


def test_consent_is_asked_for_every_4_to_6_seconds_and_ends_after_30() -> None:
    network = IceNetwork()
    alice, bob = talking(network)
    network.pass_time(60)
    asked = [
        seen.at
        for seen in network.seen
        if seen.at > 1002
        and seen.source.host == "192.0.2.1"
        and is_stun(seen.octets)
        and parse_stun(seen.octets).kind is Class.REQUEST
    ]
    apart = [after - before for before, after in pairwise(asked)]
    assert len(asked) >= 9
    assert all(4.0 <= each <= 6.1 for each in apart)
    network.dead.add("198.51.100.2")
    at = network.now
    assert network.until(lambda: bool(alice.count(PathLost)), 40)
    assert 24 <= network.now - at <= 30.1
    assert alice.agent.selected is None
    sent = len(
        [seen for seen in network.seen if not is_stun(seen.octets) and seen.source.host == "192.0.2.1"]
    )
    network.pass_time(5)
    assert sent == len([s for s in network.seen if not is_stun(s.octets) and s.source.host == "192.0.2.1"])
    assert bob.agent.selected is None


def test_a_path_that_comes_back_after_consent_was_lost_is_found_again() -> None:
    """A computer that slept."""
    network = IceNetwork()
    alice, bob = talking(network)
    network.dead.add("198.51.100.2")
    network.pass_time(100)
    assert alice.agent.selected is None
    network.dead.clear()
    network.pass_time(5)
    assert together(alice, bob)


def test_a_peer_of_the_rfcs_alone_is_not_asked_again_with_the_same_credentials() -> None:
    """RFC 7675 section 5.1: once consent is lost, that takes a restart."""
    network = IceNetwork()
    alice, bob = talking(network, migration=False)
    network.dead.add("198.51.100.2")
    network.pass_time(40)
    network.dead.clear()
    at = network.now
    for end, path in ((alice, ("192.0.2.1", "198.51.100.2")), (bob, ("198.51.100.2", "192.0.2.1"))):
        end.agent.check(Path(path[0], Address(path[0], 4000), Address(path[1], 4000)), network.now)
        end.drain()
    network.pass_time(20)
    assert not any(seen.at > at and len(seen.octets) > 100 for seen in network.seen)
    alice.agent.restart(network.now)
    bob.learn(alice)
    alice.learn(bob)
    network.pass_time(2)
    assert together(alice, bob)


def test_a_standby_path_stays_proven() -> None:
    network = IceNetwork()
    alice, bob = talking(network)
    alice.add(port(NEW))
    network.pass_time(120)
    assert len(alice.agent.paths) == 2
    assert alice.agent.paths[0] == alice.agent.selected
    assert len(bob.agent.paths) == 2
