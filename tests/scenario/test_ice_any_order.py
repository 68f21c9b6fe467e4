"""Whatever happens to a call, in whatever order: ports come and go, ends move, networks lose and die, signalling
is late. When the network works again, the call does: by ICE alone when the ends know of each other, else when
signalling comes through."""

from __future__ import annotations

from random import Random

import pytest

from segue.protocols.ice.events import PathSelected
from segue.protocols.ice.limits import PAIRS, PATHS
from segue.testing.ice_ends import IceEnd, IceNetwork, port, talking

HOSTS = [f"203.0.113.{number}" for number in range(10, 16)]
STEPS = 14


def move(network: IceNetwork, ends: tuple[IceEnd, IceEnd], dice: Random) -> None:
    mover = dice.choice(ends)
    used = {each.address.host for end in ends if end is not mover for each in end.ports}
    mover.move(port(dice.choice([host for host in HOSTS if host not in used])))


def add(network: IceNetwork, ends: tuple[IceEnd, IceEnd], dice: Random) -> None:
    end = dice.choice(ends)
    used = {each.address.host for other in ends for each in other.ports}
    free = [host for host in HOSTS if host not in used]
    if free:
        end.add(port(dice.choice(free)))


def remove(network: IceNetwork, ends: tuple[IceEnd, IceEnd], dice: Random) -> None:
    end = dice.choice(ends)
    if len(end.ports) > 1:
        end.remove(dice.choice(end.ports))


def die(network: IceNetwork, ends: tuple[IceEnd, IceEnd], dice: Random) -> None:
    network.dead.add(dice.choice(dice.choice(ends).ports).address.host)


def live(network: IceNetwork, ends: tuple[IceEnd, IceEnd], dice: Random) -> None:
    network.dead.clear()


def lose(network: IceNetwork, ends: tuple[IceEnd, IceEnd], dice: Random) -> None:
    network.wire.loss = dice.choice([0.0, 0.1, 0.4])
    network.wire.jitter = dice.choice([0.0, 0.05, 0.2])


def fall_silent(network: IceNetwork, ends: tuple[IceEnd, IceEnd], dice: Random) -> None:
    end = dice.choice(ends)
    end.talks = not end.talks


def tell(network: IceNetwork, ends: tuple[IceEnd, IceEnd], dice: Random) -> None:
    """One end's candidates reach the other."""
    one, other = dice.sample(ends, 2)
    other.agent.add_remote(one.agent.candidates, True, network.now)
    if one.agent.selected is not None:
        other.agent.remote_moved(one.agent.selected.local, 1200, network.now)
    other.drain()


def restart(network: IceNetwork, ends: tuple[IceEnd, IceEnd], dice: Random) -> None:
    """A whole offer and answer."""
    one, other = dice.sample(ends, 2)
    one.agent.restart(network.now)
    one.drain()
    network.pass_time(0.05)
    other.learn(one)
    network.pass_time(0.05)
    one.learn(other)


HAPPENINGS = (move, move, move, add, remove, die, die, live, lose, fall_silent, tell, restart)


def hear(network: IceNetwork, ends: tuple[IceEnd, IceEnd], seconds: float) -> bool:
    """Both ends hear the other again, without gaps, within so long."""
    for end in ends:
        end.talks = True

    def fluent() -> bool:
        return all(len(end.heard) >= 25 and end.heard[-25].at > network.now - 0.6 for end in ends)

    network.pass_time(0.7)
    return network.until(fluent, seconds)


@pytest.mark.parametrize("seed", range(40))
def test_a_call_outlives_anything(seed: int) -> None:
    dice = Random(seed)
    network = IceNetwork(seed)
    ends = talking(network)
    done = []
    for _ in range(STEPS):
        happening = dice.choice(HAPPENINGS)
        done.append(happening.__name__)
        happening(network, ends, dice)
        network.pass_time(dice.choice([0.0, 0.01, 0.1, 0.7, 3.0]))
        for end in ends:
            bounded(end)
    network.dead.clear()
    network.wire.loss = network.wire.jitter = 0.0
    if not hear(network, ends, 2.0):
        for _ in range(2):
            tell(network, ends, dice)
            tell(network, (ends[1], ends[0]), dice)
        if not hear(network, ends, 3.0):
            restart(network, ends, dice)
            assert hear(network, ends, 10.0), done
    # And it stays so.
    network.pass_time(12.0)
    at, counts = network.now, [end.count(PathSelected) for end in ends]
    network.pass_time(20.0)
    assert all(len([voice for voice in end.heard if voice.at > at]) >= 990 for end in ends), done
    assert [end.count(PathSelected) for end in ends] == counts, done


def bounded(end: IceEnd) -> None:
    state = end.agent._state
    assert len(state.paths.table) <= PATHS
    assert all(len(generation.check_list) <= PAIRS for generation in state.generations)
    assert len(state.generations) <= 2
    due = end.agent.deadline()
    assert due is None or due > 0
