"""A walk on a line past access points: where is the walker, and what is in reach there?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from segue.base.entropy import Entropy
from segue.base.errors import LocalError
from segue.emulator.radio import RadioConfig, RadioModel


@dataclass(frozen=True)
class AccessPoint:
    """A WLAN access point at `position` metres along the line."""

    network: str
    position: float


@dataclass(frozen=True)
class WalkConfig:
    """From `start` to `end` (metres) at `speed` (m/s), after standing still for `wait` seconds.

    The defaults are the demo's: out of the office (access point at 0 m), along the street, into the café
    (access point at 80 m). Without shadowing the office is lost 26.6 m and the café found 57.6 m along the
    line, so that there is a stretch with the cellular network only.
    """

    points: tuple[AccessPoint, ...] = (AccessPoint("office", 0.0), AccessPoint("cafe", 80.0))
    start: float = 4.0
    end: float = 78.0
    speed: float = 2.0
    wait: float = 4.0

    def __post_init__(self) -> None:
        if self.speed <= 0 or not self.points:
            raise LocalError("a walk that goes nowhere", "give a speed above zero and an access point")

    @property
    def duration(self) -> float:
        """Seconds until the walker has arrived."""
        return self.wait + abs(self.end - self.start) / self.speed


class WalkState(NamedTuple):
    """What is true at one time of a walk."""

    position: float  # metres
    signals: dict[str, float]  # dBm of each WLAN, in reach or not
    reachable: tuple[str, ...]  # WLANs above the level at which they are found, strongest first


class Association(NamedTuple):
    """From this time on the radio is associated to `network` ("": none in reach)."""

    at: float
    network: str


class Walk:
    """The walk with its radio. The same seed gives the same walk."""

    def __init__(self, config: WalkConfig, radio: RadioConfig, entropy: Entropy) -> None:
        self.config = config
        self.radio = radio
        self.models = {p.network: RadioModel(radio, p.position, entropy) for p in config.points}

    def position(self, time: float) -> float:
        """Metres along the line, `time` seconds after the start of the walk."""
        config = self.config
        way = min(max(0.0, time - config.wait) * config.speed, abs(config.end - config.start))
        return config.start + way if config.end >= config.start else config.start - way

    def at(self, time: float) -> WalkState:
        place = self.position(time)
        signals = {network: model.signal(place) for network, model in self.models.items()}
        reach = [network for network, dbm in signals.items() if dbm >= self.radio.found_dbm]
        return WalkState(place, signals, tuple(sorted(reach, key=lambda network: -signals[network])))

    def loss(self, network: str, dbm: float) -> float:
        """Share of packets that the radio loses at that signal."""
        return self.models[network].loss(dbm)

    def associations(self, step: float = 0.1) -> list[Association]:
        """Every change of association of one radio on the whole walk, sampled each `step` seconds.

        It stays with a network until that is lost, then takes the strongest that is found.
        """
        changes: list[Association] = []
        current = ""
        for tick in range(int(self.config.duration / step) + 2):
            state = self.at(tick * step)
            kept = current if current and state.signals[current] >= self.radio.lost_dbm else ""
            network = kept or (state.reachable[0] if state.reachable else "")
            if network != current or not changes:
                changes.append(Association(round(tick * step, 6), network))
                current = network
        return changes
