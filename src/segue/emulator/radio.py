"""Signal by distance, and what a weak signal does to packets."""

from __future__ import annotations

import math
from dataclasses import dataclass

from segue.base.entropy import Entropy, fraction

_CELL = 1.0  # metres between two samples of the shadowing
_CELLS = 4096  # a line of some kilometres before it repeats


@dataclass(frozen=True)
class RadioConfig:
    """Log-distance path loss: dBm = transmit - loss_at_1m - 10 * exponent * log10(metres) + shadowing.

    The defaults (17 dBm, 2.4 GHz, walls) give a range of 27 m at the `lost_dbm` of -80. A station
    associates above `found_dbm` only, so that it does not flap at the edge. `shadowing_db` is the standard
    deviation of slow fading, correlated over `correlation_m` (Gudmundson 1991).
    """

    transmit_dbm: float = 17.0
    loss_at_1m_db: float = 40.0
    exponent: float = 4.0
    shadowing_db: float = 0.0
    correlation_m: float = 8.0
    found_dbm: float = -77.0
    lost_dbm: float = -80.0
    noise_edge_dbm: float = -78.0  # half of the packets are lost here on a link that fades
    noise_slope_db: float = 1.2

    def distance(self, dbm: float) -> float:
        """Metres at which the signal without shadowing has fallen to `dbm`."""
        return math.pow(10, (self.transmit_dbm - self.loss_at_1m_db - dbm) / (10 * self.exponent))


class RadioModel:
    """One access point's signal along the walker's line. The same place always has the same shadowing."""

    def __init__(self, config: RadioConfig, position: float, entropy: Entropy) -> None:
        self.config = config
        self.position = position
        self._shadowing = _shadowing(config, entropy)

    def signal(self, place: float) -> float:
        """dBm at `place`, metres along the line."""
        config = self.config
        metres = max(1.0, abs(place - self.position))
        path_loss = config.loss_at_1m_db + 10 * config.exponent * math.log10(metres)
        return config.transmit_dbm - path_loss + self._shadow(place)

    def loss(self, dbm: float) -> float:
        """Share of packets lost at that signal: a logistic curve around `noise_edge_dbm`."""
        steepness = (dbm - self.config.noise_edge_dbm) / self.config.noise_slope_db
        return 1 / (1 + math.exp(max(-40.0, min(40.0, steepness))))

    def _shadow(self, place: float) -> float:
        if not self._shadowing:
            return 0.0
        index = place / _CELL
        low = math.floor(index)
        share = index - low
        here = self._shadowing[low % _CELLS]
        return here + (self._shadowing[(low + 1) % _CELLS] - here) * share


def _shadowing(config: RadioConfig, entropy: Entropy) -> list[float]:
    if not config.shadowing_db:
        return []
    keep = math.exp(-_CELL / config.correlation_m)
    step = math.sqrt(1 - keep * keep)
    level, line = _gaussian(entropy), []
    for _ in range(_CELLS):
        line.append(level * config.shadowing_db)
        level = keep * level + step * _gaussian(entropy)
    return line


def _gaussian(entropy: Entropy) -> float:
    """A standard normal number (Box and Muller)."""
    radius = math.sqrt(-2 * math.log(1 - fraction(entropy)))
    return radius * math.cos(2 * math.pi * fraction(entropy))
