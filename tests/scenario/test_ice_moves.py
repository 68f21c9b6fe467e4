"""Moves of a call by ICE alone, in both roles, on virtual time: what the listener hears, and how many checks it
took."""

from __future__ import annotations

import pytest

from segue.base.address import Address
from segue.protocols.stun.message import Class, is_stun, parse_stun
from segue.testing.ice_ends import VOICE, IceEnd, IceNetwork, Seen, port, talking

ROLES = ("controlling", "controlled")
NEW = "203.0.113.7"


def pair(network: IceNetwork, role: str) -> tuple[IceEnd, IceEnd]:
    """Who moves, and who stays."""
    alice, bob = talking(network)
    return (alice, bob) if role == "controlling" else (bob, alice)


def leave(network: IceNetwork, mover: IceEnd, host: str = NEW) -> float:
    """A hard move: the old address is dead, the new one works. When it was."""
    assert mover.agent.selected is not None
    network.dead.add(mover.agent.selected.local.host)
    mover.move(port(host))
    return network.now


def requests(network: IceNetwork, since: float, source: str) -> list[Seen]:
    return [
        seen
        for seen in network.seen
        if seen.at >= since
        and seen.source.host == source
        and is_stun(seen.octets)
        and parse_stun(seen.octets).kind is Class.REQUEST
    ]


@pytest.mark.parametrize("role", ROLES)
def test_one_check_moves_the_call(role: str) -> None:
    network = IceNetwork(delay=0.04)
    mover, stays = pair(network, role)
    at = leave(network, mover)
    network.pass_time(0.079)
    assert len(requests(network, at, NEW)) == 1
    network.pass_time(1.0)
    up = next(voice.at for voice in stays.heard if voice.at > at and voice.path.remote.host == NEW)
    down = next(voice.at for voice in mover.heard if voice.at > at and voice.path.local.host == NEW)
    assert up - at == pytest.approx(0.04, abs=0.001)  # right behind the check
    assert down - at <= 0.08 + 0.021  # one round trip, and at most a packet time
    assert mover.agent.selected == mover.agent.paths[0]
    assert mover.agent.proven(mover.agent.paths[0])
    assert stays.agent.selected is not None
    assert stays.agent.selected.remote == Address(NEW, 4000)
    assert stays.agent.proven(stays.agent.selected)


@pytest.mark.parametrize("role", ROLES)
def test_the_new_path_is_selected_before_it_is_proven(role: str) -> None:
    network = IceNetwork(delay=0.04)
    mover, stays = pair(network, role)
    leave(network, mover)
    network.pass_time(0.5)
    assert not mover.selections[-1].proven
    assert not stays.selections[-1].proven
    assert (mover.withheld, stays.withheld) == (0, 0)


@pytest.mark.parametrize("role", ROLES)
def test_a_path_under_proof_gets_three_times_what_came_from_it(role: str) -> None:
    """The mover's answer never comes back: the peer sends what the credit allows, and no more."""
    network = IceNetwork(delay=0.04)
    mover, stays = pair(network, role)
    mover.talks = False
    network.pass_time(0.1)
    at = network.now
    network.bystander = lambda source, target, octets: (
        []
        if source.host == NEW and parse_stun(octets).kind is not Class.REQUEST
        else [(source, target, octets)]
    )
    leave(network, mover)
    network.pass_time(1.4)
    got = sum(len(seen.octets) for seen in network.seen if seen.at >= at and seen.source.host == NEW)
    sent = sum(len(seen.octets) for seen in network.seen if seen.at >= at and seen.target.host == NEW)
    voice = sum(seen.target.host == NEW and len(seen.octets) == VOICE for seen in network.seen)
    assert voice
    assert stays.withheld
    assert sent <= 3 * got
