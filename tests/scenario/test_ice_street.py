"""Moves between the lab's links: WLAN and 3G, clean and as in the street, in both roles and both directions of
the walk."""

from __future__ import annotations

from itertools import pairwise
from statistics import median

import pytest

from segue.base.address import Address
from segue.emulator.links import PRESETS
from segue.testing.ice_ends import IceEnd, IceNetwork, port, talking

ROLES = ("controlling", "controlled")
WLAN, CELL, PEER = "203.0.113.1", "203.0.113.2", "203.0.113.3"
ROUND_TRIP = {"wlan": 2 * (0.005 + 0.010 + 0.005), "3g": 2 * (0.040 + 0.010 + 0.005)}  # to a peer in a WLAN
STEP = 0.035  # that the cell is slower, one way
MOVES = 10


def at(role: str, preset: str, seed: int) -> tuple[IceNetwork, IceEnd, IceEnd]:
    """Who moves is in a WLAN, who stays in another."""
    network = IceNetwork(seed, delay=0.010)
    alice, bob = talking(network)
    mover, stays = (alice, bob) if role == "controlling" else (bob, alice)
    links = PRESETS[preset].links
    network.attach(links["wlan"], WLAN, PEER)
    network.attach(links["3g"], CELL)
    stays.move(port(PEER))
    mover.move(port(WLAN))
    network.pass_time(2.0)
    return network, mover, stays


def gap(end: IceEnd, since: float, until: float) -> float:
    """As the lab measures it: the greatest time between first copies, less a packet time."""
    times = [voice.at for voice in end.heard if since - 0.5 <= voice.at <= until]
    return max(after - before for before, after in pairwise(times)) - 0.020


def walk(role: str, preset: str, target: str, seed: int) -> tuple[float, float]:
    """Gaps of a hard move without link and address time: uplink and downlink."""
    network, mover, stays = at(role, preset, seed)
    start, end = (WLAN, CELL) if target == "3g" else (CELL, WLAN)
    if start == CELL:
        mover.move(port(CELL))
        network.pass_time(2.0)
    network.pass_time(0.001 * (seed % 20))  # somewhere between two packets
    moved = network.now
    network.dead.add(start)
    mover.move(port(end))
    network.pass_time(3.0)
    assert mover.agent.selected is not None
    assert mover.agent.selected.local == Address(end, 4000)
    assert mover.agent.proven(mover.agent.selected)
    return gap(stays, moved, network.now), gap(mover, moved, network.now)


@pytest.mark.parametrize("target", ["3g", "wlan"])
@pytest.mark.parametrize("role", ROLES)
def test_hard_moves_on_clean_links(role: str, target: str) -> None:
    """The figures of the lab, without a link or an address to wait for: uplink the step, downlink a round trip."""
    for seed in range(MOVES):
        up, down = walk(role, "clean", target, seed)
        assert up <= (STEP if target == "3g" else 0.0) + 0.020
        assert down <= ROUND_TRIP[target] + 0.025


@pytest.mark.parametrize("target", ["3g", "wlan"])
@pytest.mark.parametrize("role", ROLES)
def test_hard_moves_in_the_street(role: str, target: str) -> None:
    gaps = [walk(role, "street", target, seed) for seed in range(MOVES)]
    ups, downs = ([pair[which] for pair in gaps] for which in (0, 1))
    assert median(ups) <= 0.1
    assert median(downs) <= ROUND_TRIP[target] + 0.06
    assert max(ups + downs) < 0.6


@pytest.mark.parametrize("preset", ["clean", "street"])
@pytest.mark.parametrize("role", ROLES)
def test_soft_moves_there_and_back(role: str, preset: str) -> None:
    """Both networks at once: the new path is proven before it is used."""
    for seed in range(3):
        network, mover, stays = at(role, preset, seed)
        mover.add(port(CELL))
        network.pass_time(1.0)
        for target in (CELL, WLAN, CELL):
            moved = network.now
            mover.move(port(target))
            assert mover.selections[-1].proven
            network.pass_time(1.5)
            assert mover.agent.selected is not None
            assert mover.agent.selected.local.host == target
            if preset == "clean":
                assert gap(stays, moved, network.now) <= STEP + 0.010
                assert gap(mover, moved, network.now) <= STEP + 0.010
