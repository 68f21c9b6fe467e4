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


class Fate:
    """Two ends of a call, and what may happen to them."""

    def __init__(self, seed: int) -> None:
        self.dice = Random(seed)
        self.network = IceNetwork(seed)
        self.ends = talking(self.network)

    def free_host(self) -> str:
        used = {each.address.host for end in self.ends for each in end.ports}
        return self.dice.choice([host for host in HOSTS if host not in used] or [HOSTS[-1]])

    def some_end(self) -> IceEnd:
        return self.dice.choice(self.ends)

    def move(self) -> None:
        """To a new port, or to one it has."""
        mover = self.some_end()
        mover.move(self.dice.choice([port(self.free_host()), *mover.ports]))

    def add(self) -> None:
        end, fresh = self.some_end(), port(self.free_host())
        if fresh not in self.ends[0].ports + self.ends[1].ports:
            end.add(fresh)

    def remove(self) -> None:
        end = self.some_end()
        if len(end.ports) > 1:
            end.remove(self.dice.choice(end.ports))

    def die(self) -> None:
        self.network.dead.add(self.dice.choice(self.some_end().ports).address.host)

    def live(self) -> None:
        self.network.dead.clear()

    def lose(self) -> None:
        self.network.wire.loss = self.dice.choice([0.0, 0.1, 0.4])
        self.network.wire.jitter = self.dice.choice([0.0, 0.05, 0.2])

    def fall_silent(self) -> None:
        end = self.some_end()
        end.talks = not end.talks

    def tell(self) -> None:
        """One end's candidates reach the other, and where it is."""
        one, other = self.dice.sample(self.ends, 2)
        self.signal(one, other)

    def signal(self, one: IceEnd, other: IceEnd) -> None:
        other.agent.add_remote(one.agent.candidates, True, self.network.now)
        if one.agent.selected is not None:
            other.agent.remote_moved(one.agent.selected.local, 1200, self.network.now)
        other.drain()

    def restart(self) -> None:
        """A whole offer and answer."""
        one, other = self.dice.sample(self.ends, 2)
        one.agent.restart(self.network.now)
        one.drain()
        self.network.pass_time(0.05)
        other.learn(one)
        self.network.pass_time(0.05)
        one.learn(other)

    def heal(self) -> None:
        self.network.dead.clear()
        self.network.wire.loss = self.network.wire.jitter = 0.0
        for end in self.ends:
            end.talks = True

    def hear(self, seconds: float) -> bool:
        """Both ends hear the other again, without gaps, within so long."""

        def fluent() -> bool:
            return all(
                len(end.heard) >= 25 and end.heard[-25].at > self.network.now - 0.6 for end in self.ends
            )

        self.network.pass_time(0.7)
        return self.network.until(fluent, seconds)


HAPPENINGS = (
    *(Fate.move, Fate.move, Fate.move, Fate.add, Fate.remove, Fate.die, Fate.die, Fate.live),
    *(Fate.lose, Fate.fall_silent, Fate.tell, Fate.restart),
)


@pytest.mark.parametrize("seed", range(40))
def test_a_call_outlives_anything(seed: int) -> None:
    fate = Fate(seed)
    done = []
    for _ in range(STEPS):
        happening = fate.dice.choice(HAPPENINGS)
        done.append(happening.__name__)
        happening(fate)
        fate.network.pass_time(fate.dice.choice([0.0, 0.01, 0.1, 0.7, 3.0]))
        for end in fate.ends:
            bounded(end)
    fate.heal()
    if not fate.hear(2.0):
        fate.signal(*fate.ends)
        fate.signal(*reversed(fate.ends))
        if not fate.hear(3.0):
            fate.restart()
            assert fate.hear(10.0), done
    # And it stays so.
    fate.network.pass_time(12.0)
    at, counts = fate.network.now, [end.count(PathSelected) for end in fate.ends]
    fate.network.pass_time(20.0)
    assert all(len([voice for voice in end.heard if voice.at > at]) >= 990 for end in fate.ends), done
    assert [end.count(PathSelected) for end in fate.ends] == counts, done


def bounded(end: IceEnd) -> None:
    state = end.agent._state
    assert len(state.paths.table) <= PATHS
    assert all(len(generation.check_list) <= PAIRS for generation in state.generations)
    assert len(state.generations) <= 2
    due = end.agent.deadline()
    assert due is None or due > 0
