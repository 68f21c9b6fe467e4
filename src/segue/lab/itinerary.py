"""When a mobile node joins and leaves networks during a scenario. Pure; times in seconds from the call being up."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from segue.base.entropy import Entropy
from segue.emulator.links import Preset
from segue.emulator.walk import Walk, WalkConfig
from segue.lab.options import RunOptions

SETTLED = 6.0  # seconds that the call goes on after the last move: the window of a move ends 5 s after it
INTERVAL = 8.0  # seconds between two moves of `two-subnets`
FIRST = 6.0  # seconds of calm before the first move
BRISK = 4.0  # m/s on walks that are repeated
JOIN_DBM = -70.0  # above this a phone goes to a WLAN by choice (mobility.movement.Thresholds)
CELLULAR, WLAN = "wwan0", "wlan0"


class Step(NamedTuple):
    """Join (`network`) or leave ("") with an interface."""

    at: float
    interface: str
    network: str


class PlannedMove(NamedTuple):
    """One handover: when the old network goes, when the new one comes, and between which."""

    detach_at: float
    attach_at: float
    origin: str
    target: str
    interface: str  # that attaches

    @property
    def kind(self) -> str:
        return "hard" if self.attach_at >= self.detach_at else "soft"


@dataclass
class Itinerary:
    """`start`: what is joined before the call begins. `duration`: seconds from the call being up to hanging up."""

    start: list[tuple[str, str]]
    steps: list[Step] = field(default_factory=list)
    moves: list[PlannedMove] = field(default_factory=list)
    walks: list[tuple[float, Walk]] = field(default_factory=list)
    duration: float = SETTLED

    def walk_at(self, time: float) -> tuple[Walk, float] | None:
        """The walk that is under way, and the time within it."""
        begun = [(start, walk) for start, walk in self.walks if start <= time]
        return (begun[-1][1], time - begun[-1][0]) if begun else None


def itinerary(options: RunOptions, preset: Preset, entropy: Entropy) -> Itinerary:
    """The scenario's, as the options want it."""
    if options.scenario == "two-subnets":
        return _two_subnets(options)
    return _walks(options, preset, entropy)


def _two_subnets(options: RunOptions) -> Itinerary:
    plan = Itinerary([(WLAN, "a")])
    here, there = "a", "b"
    for number in range(options.rounds):
        at = FIRST + number * INTERVAL
        back = at + options.link_time / 1000
        plan.steps += [Step(at, WLAN, ""), Step(back, WLAN, there)]
        plan.moves.append(PlannedMove(at, back, here, there, WLAN))
        here, there = there, here
        plan.duration = back + SETTLED
    return plan


def _walks(options: RunOptions, preset: Preset, entropy: Entropy) -> Itinerary:
    plan = Itinerary([(WLAN, "office")])
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
        begin = (
            max(begin + walk.config.duration, plan.moves[-1].detach_at, plan.moves[-1].attach_at) + SETTLED
        )
    plan.steps.sort(key=lambda step: step.at)
    plan.duration = begin
    return plan


def _moves(walk: Walk, options: RunOptions) -> Iterator[PlannedMove]:
    soft, link_time, overlap = options.mode == "soft", options.link_time / 1000, options.overlap / 1000
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
