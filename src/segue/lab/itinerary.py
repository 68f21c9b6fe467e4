"""When hosts join and leave networks during a scenario. Pure; times in seconds from the call being up."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from segue.base.entropy import Entropy, fraction
from segue.emulator.links import Preset
from segue.emulator.walk import Walk, WalkConfig
from segue.lab.networks.topology import (
    TOPOLOGIES,
    Topology,
    with_a_place_to_go,
    with_nats,
    with_second_radio,
)
from segue.lab.options import RunOptions

SETTLED = 6.0  # seconds that the call goes on after the last move: the window of a move ends 5 s after it
INTERVAL = 8.0  # seconds between two moves of a host that goes to and fro
FIRST = 6.0  # seconds of calm before the first move
TOGETHER = 0.1  # seconds by which two hosts that move together are apart, at most
BRISK = 4.0  # m/s on walks that are repeated
JOIN_DBM = -70.0  # above this a phone goes to a WLAN by choice (mobility.movement.Thresholds)
CELLULAR, WLAN, SECOND_WLAN = "wwan0", "wlan0", "wlan1"
PLACES = {"mn": ("a", "b"), "cn": ("home", "hotel")}  # between which a host goes to and fro


class Step(NamedTuple):
    """Join (`network`) or leave ("") with an interface."""

    at: float
    interface: str
    network: str
    host: str = "mn"


class PlannedMove(NamedTuple):
    """One handover: when the old network goes, when the new one comes, and between which. When both are one, nobody
    moves: the network's NAT is rebound."""

    detach_at: float
    attach_at: float
    origin: str
    target: str
    interface: str  # that attaches
    host: str = "mn"

    @property
    def kind(self) -> str:
        if self.origin == self.target:
            return "rebind"
        return "hard" if self.attach_at >= self.detach_at else "soft"

    @property
    def begins_at(self) -> float:
        return min(self.detach_at, self.attach_at)

    @property
    def ends_at(self) -> float:
        return max(self.detach_at, self.attach_at)


@dataclass
class Itinerary:
    """`start`: what is joined before the call begins. `duration`: seconds from the call being up to hanging up."""

    start: list[Step]
    steps: list[Step] = field(default_factory=list)
    moves: list[PlannedMove] = field(default_factory=list)
    walks: list[tuple[float, Walk]] = field(default_factory=list)
    duration: float = SETTLED

    def walk_at(self, time: float) -> tuple[Walk, float] | None:
        """The walk that is under way, and the time within it."""
        begun = [(start, walk) for start, walk in self.walks if start <= time]
        return (begun[-1][1], time - begun[-1][0]) if begun else None

    def joined(self, host: str, time: float) -> dict[str, str]:
        """The network of each of the host's interfaces that has one, the one joined last at the end."""
        found: dict[str, str] = {}
        for step in (*self.start, *self.steps):
            if step.host == host and step.at <= time:
                found.pop(step.interface, None)
                if step.network:
                    found[step.interface] = step.network
        return found


def topology_of(options: RunOptions) -> Topology:
    """Where the scenario happens, as the options want it."""
    topology = TOPOLOGIES["office-umts-cafe" if options.scenario == "walk" else "two-subnets"]
    if "cn" in options.movers:
        topology = with_a_place_to_go(topology)
    if options.soft:
        two_radios = options.movers if options.scenario != "walk" else options.movers[1:]
        topology = with_second_radio(topology, two_radios)
    return with_nats(topology, options.nats)


def itinerary(options: RunOptions, preset: Preset, entropy: Entropy) -> Itinerary:
    """The scenario's, as the options want it."""
    if options.scenario == "nat-rebind":
        return _rebinds(options)
    if options.scenario == "walk":
        return _walks(options, preset, entropy)
    return _to_and_fro(options, entropy)


def _rebinds(options: RunOptions) -> Itinerary:
    plan = Itinerary([Step(0.0, WLAN, "a")])
    for number in range(options.rounds):
        at = FIRST + number * INTERVAL
        plan.moves.append(PlannedMove(at, at, "a", "a", WLAN))
        plan.duration = at + SETTLED
    return plan


def _to_and_fro(options: RunOptions, entropy: Entropy) -> Itinerary:
    plan = Itinerary([Step(0.0, WLAN, "a")])
    if "cn" in options.movers:
        plan.start.append(Step(0.0, WLAN, "home", "cn"))
    interval = INTERVAL + max(0.0, (options.overlap if options.soft else options.link_time) / 1000 - 2.0)
    for number in range(options.rounds):
        at = FIRST + number * interval
        for host in options.movers:
            began = at if host == options.movers[0] else at + TOGETHER * (2 * fraction(entropy) - 1)
            _move_on(plan, options, host, number, began)
    _finish(plan)
    return plan


def _move_on(plan: Itinerary, options: RunOptions, host: str, number: int, at: float) -> None:
    """The `number`-th move of a host between its two places, which begins at `at`. With two radios it takes turns."""
    places = PLACES[host]
    here, there = places[number % 2], places[(number + 1) % 2]
    if options.soft:
        radios = (WLAN, SECOND_WLAN)
        leaving, joining = radios[number % 2], radios[(number + 1) % 2]
        move = PlannedMove(at + options.overlap / 1000, at, here, there, joining, host)
    else:
        leaving = joining = WLAN
        move = PlannedMove(at, at + options.link_time / 1000, here, there, WLAN, host)
    plan.moves.append(move)
    plan.steps += [
        Step(move.detach_at, leaving, "", host),
        Step(move.attach_at, joining, there, host),
    ]


def _finish(plan: Itinerary) -> None:
    plan.steps.sort(key=lambda step: step.at)
    plan.moves.sort(key=lambda move: move.begins_at)
    plan.duration = max(plan.duration, max((move.ends_at for move in plan.moves), default=0.0) + SETTLED)


def _walks(options: RunOptions, preset: Preset, entropy: Entropy) -> Itinerary:
    plan = Itinerary([Step(0.0, WLAN, "office")])
    speed = options.speed or (BRISK if options.rounds > 1 else WalkConfig.speed)
    config = WalkConfig(speed=speed, wait=FIRST)
    forward = Walk(config, preset.radio, entropy)
    back = Walk(replace(config, start=config.end, end=config.start), preset.radio, entropy)
    back.models = forward.models  # the same street
    begin = 0.0
    for number in range(options.rounds):
        walk = forward if number % 2 == 0 else back
        plan.walks.append((begin, walk))
        for move in _moves(walk, options):
            shifted = move._replace(detach_at=begin + move.detach_at, attach_at=begin + move.attach_at)
            plan.moves.append(shifted)
            leaving = CELLULAR if shifted.origin == "umts" else WLAN
            plan.steps += [
                Step(shifted.detach_at, leaving, ""),
                Step(shifted.attach_at, shifted.interface, shifted.target),
            ]
        begin = max(begin + walk.config.duration, plan.moves[-1].ends_at) + SETTLED
    if "cn" in options.movers:
        _go_along(plan, options, entropy)
    plan.duration = begin
    _finish(plan)
    return plan


def _go_along(plan: Itinerary, options: RunOptions, entropy: Entropy) -> None:
    """The correspondent moves whenever the walker does."""
    plan.start.append(Step(0.0, WLAN, "home", "cn"))
    for number, move in enumerate(list(plan.moves)):
        at = move.begins_at + TOGETHER * (2 * fraction(entropy) - 1)
        _move_on(plan, options, "cn", number, at)


def _moves(walk: Walk, options: RunOptions) -> Iterator[PlannedMove]:
    soft, link_time, overlap = options.soft, options.link_time / 1000, options.overlap / 1000
    here = ""
    for at, network in walk.associations():
        if network and not here:
            if at > 0:
                attach = _welcome(walk, network, at) if soft else at + link_time
                yield PlannedMove(attach + overlap if soft else at, attach, "umts", network, WLAN)
            here = network
        elif here and not network:
            attach = at - overlap if soft else at + link_time
            yield PlannedMove(at, attach, here, "umts", CELLULAR)
            here = ""


def _welcome(walk: Walk, network: str, since: float) -> float:
    """When a WLAN that is in reach is good enough to go there by choice."""
    at = since
    while walk.at(at).signals[network] < JOIN_DBM and at < walk.config.duration:
        at += 0.1
    return at
