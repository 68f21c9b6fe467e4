"""What a run may be told, and when who moves where."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

import pytest

from segue.base.errors import LocalError
from segue.emulator.links import preset
from segue.lab.itinerary import TOGETHER, Itinerary, itinerary, topology_of
from segue.lab.modes import MODES
from segue.lab.options import RunOptions
from segue.testing.entropy import SeededEntropy

HARD, SOFT = "migrate", "soft+duplicate"


def plan_of(**options: Any) -> Itinerary:
    chosen = RunOptions(**options)
    return itinerary(chosen, preset(chosen.links), SeededEntropy(chosen.seed))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("options", [{}, {"mover": "both", "scenario": "two-subnets"}, {"mover": "both"}])
def test_every_network_that_is_joined_is_there_and_every_radio_has_one_network(
    mode: str, options: dict[str, Any]
) -> None:
    plan = plan_of(mode=mode, rounds=3, **options)
    topology = topology_of(RunOptions(mode=mode, rounds=3, **options))
    joined = {(step.host, step.interface): step.network for step in plan.start}
    for step in plan.steps:
        topology.station(step.host, step.interface)
        if step.network:
            topology.network(step.network)
            assert not joined.get((step.host, step.interface))
        joined[step.host, step.interface] = step.network
    for host in {step.host for step in plan.steps}:
        assert plan.joined(host, plan.duration)
    assert {move.kind for move in plan.moves} == {"soft" if MODES[mode].soft else "hard"}
    assert plan.duration >= max(move.ends_at for move in plan.moves) + 5  # the window of a move


@pytest.mark.parametrize("mode", [HARD, SOFT])
@pytest.mark.parametrize("scenario", ["both-move", "walk"])
def test_both_move_within_a_tenth_of_a_second(scenario: str, mode: str) -> None:
    plan = plan_of(scenario=scenario, mover="both", mode=mode, rounds=4)
    walker = [move.begins_at for move in plan.moves if move.host == "mn"]
    other = [move.begins_at for move in plan.moves if move.host == "cn"]
    assert len(walker) == len(other) >= 4
    apart = [b - a for a, b in zip(walker, other, strict=True)]
    assert max(map(abs, apart)) <= TOGETHER and min(apart) < 0 < max(apart)


def test_a_host_with_one_radio_is_nowhere_between_two_networks() -> None:
    plan = plan_of(scenario="two-subnets", mode=HARD, mover="cn")
    (move,) = plan.moves
    assert (move.host, move.origin, move.target) == ("cn", "home", "hotel")
    assert plan.joined("cn", move.detach_at) == {}
    assert plan.joined("cn", move.attach_at) == {"wlan0": "hotel"}


def test_with_two_radios_it_is_in_both_meanwhile_and_they_take_turns() -> None:
    plan = plan_of(scenario="two-subnets", mode=SOFT, rounds=2, overlap=500)
    first, second = plan.moves
    assert list(plan.joined("mn", first.attach_at).items()) == [("wlan0", "a"), ("wlan1", "b")]
    assert first.detach_at - first.attach_at == pytest.approx(0.5)
    assert list(plan.joined("mn", second.attach_at).items()) == [("wlan1", "b"), ("wlan0", "a")]


def test_a_rebinding_moves_nobody() -> None:
    plan = plan_of(scenario="nat-rebind", rounds=3)
    assert not plan.steps and [move.kind for move in plan.moves] == ["rebind"] * 3
    options = RunOptions(scenario="nat-rebind")
    assert options.nats == {"mn": "port-restricted"} and options.family == 4


def test_nats_stand_before_the_networks_of_their_side() -> None:
    options = RunOptions(nat="mn:symmetric,cn:full-cone")
    kinds = {network.name: network.nat for network in topology_of(options).networks}
    assert kinds == {"office": "symmetric", "umts": "symmetric", "cafe": "symmetric", "home": "full-cone"}
    office = topology_of(options).network("office")
    assert str(office.network) == "192.168.1.0/24" and str(office.outside4) == "198.18.1.254"
    assert "(symmetric 198.18.1.254)" in topology_of(options).picture()
    assert set(RunOptions(nat="both:symmetric").nats) == {"mn", "cn"}


@pytest.mark.parametrize(
    "wrong",
    [
        {"mode": "hard"},
        {"nat": "mn"},
        {"nat": "mn:cone"},
        {"nat": "proxy:symmetric"},
        {"mover": "dns"},
        {"mover": "cn"},
        {"scenario": "both-move", "mover": "mn"},
        {"scenario": "nat-rebind", "nat": "cn:symmetric"},
        {"scenario": "nat-rebind", "mover": "cn"},
        {"speech": "fast"},
        {"rounds": 0},
        {"overlap": -1},
        {"family": 5},
    ],
)
def test_what_makes_no_sense_is_refused_with_a_remedy(wrong: dict[str, Any]) -> None:
    with pytest.raises(LocalError) as refused:
        RunOptions(**wrong)
    assert refused.value.remedy


@pytest.mark.parametrize(
    ("options", "command"),
    [
        ({}, "segue lab run walk"),
        ({"mode": SOFT, "nat": "both:symmetric"}, f"segue lab run walk --mode {SOFT} --nat both:symmetric"),
        ({"nat": "cn:full-cone", "family": 6}, "segue lab run walk --family 6 --nat cn:full-cone"),
        ({"scenario": "nat-rebind"}, "segue lab run nat-rebind"),
        ({"scenario": "two-subnets", "mover": "cn"}, "segue lab run two-subnets --mover cn"),
    ],
)
def test_the_command_that_does_a_run_again(options: dict[str, Any], command: str) -> None:
    assert RunOptions(**options).command() == command


def test_options_survive_their_file_and_an_older_one_has_fewer() -> None:
    options = RunOptions(scenario="two-subnets", break_="address", nat="mn:symmetric", mover="both")
    assert RunOptions.from_json(options.as_json()) == options
    older = {
        name: value
        for name, value in RunOptions().as_json().items()
        if name not in ("nat", "mover", "speech")
    }
    assert RunOptions.from_json(older) == RunOptions()
    assert asdict(replace(options, seed=2))["seed"] == 2
