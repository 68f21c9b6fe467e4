"""Loss that comes in bursts (Gilbert 1960, Elliott 1963)."""

from __future__ import annotations

from dataclasses import dataclass

from segue.base.entropy import Entropy, fraction
from segue.base.errors import LocalError


@dataclass(frozen=True)
class BurstLoss:
    """`mean`: share of packets lost in the long run (0 to 1). `burst`: mean length of a burst in packets.

    Inside a burst every packet is lost, outside none: Gilbert's special case, whose two parameters can be
    read off any trace.
    """

    mean: float = 0.0
    burst: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.mean < 1 or self.burst < 1:
            raise LocalError(f"burst loss {self.mean}, {self.burst}", "0 <= mean < 1 and burst >= 1 packet")


class GilbertElliott:
    """The running state of a `BurstLoss`."""

    def __init__(self, loss: BurstLoss, entropy: Entropy) -> None:
        self._leave = 1 / loss.burst
        # The stationary share of the bad state is enter / (enter + leave); solved for `enter`.
        self._enter = min(1.0, loss.mean / (1 - loss.mean) * self._leave)
        self._entropy = entropy
        self._bad = False

    def loses(self) -> bool:
        """Whether the next packet is lost."""
        if not self._enter:
            return False
        chance = fraction(self._entropy)
        self._bad = chance >= self._leave if self._bad else chance < self._enter
        return self._bad
