"""How many octets may be spent on duplicates over networks that cost money (design decision 4). Pure.

A network without a meter has no limit. Of a metered one no hour, whenever it begins, sees more than `per_hour`
octets of duplicates, all calls together, and no call more than `per_call`.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from segue.base.errors import LocalError

HOUR = 3600.0  # seconds
GRAIN = 60.0  # seconds that are accounted for as one


@dataclass(frozen=True)
class DuplicationLimits:
    """Octets as they leave, with all headers that the caller counts. The defaults are three minutes of G.711 in a
    call and eight in an hour, one way."""

    per_call: int = 2_000_000
    per_hour: int = 5_000_000

    def __post_init__(self) -> None:
        if self.per_call < 0 or self.per_hour < 0:
            raise LocalError("a budget below zero", "give octets, 0 for no duplicates on metered networks")


class DuplicationBudget:
    """Of one phone. `metered` names interfaces."""

    def __init__(
        self, metered: frozenset[str] = frozenset(), limits: DuplicationLimits = DuplicationLimits()
    ) -> None:
        self.metered = metered
        self.limits = limits
        self._spent: deque[tuple[float, int]] = deque()  # the last moment of a grain, and octets in it
        self._total = 0  # of `_spent`

    def for_call(self) -> CallBudget:
        """The budget of one more call."""
        return CallBudget(self)

    def spend(self, octets: int, now: float) -> bool:
        """Account for these octets of this hour; False, and nothing is changed, when they are too many."""
        while self._spent and self._spent[0][0] + HOUR < now:
            self._total -= self._spent.popleft()[1]
        if self._total + octets > self.limits.per_hour:
            return False
        self._total += octets
        if self._spent and now < self._spent[-1][0]:
            end, before = self._spent.pop()
            self._spent.append((end, before + octets))
        else:
            self._spent.append((now + GRAIN, octets))
        return True


class CallBudget:
    """What one call may still duplicate. Ask before each duplicate."""

    def __init__(self, budget: DuplicationBudget) -> None:
        self._budget = budget
        self.spent = 0  # octets, on metered networks

    def allows(self, octets: int, now: float, interface: str) -> bool:
        """Whether a duplicate of so many octets may leave over `interface`; what is allowed is spent."""
        budget = self._budget
        if interface not in budget.metered:
            return True
        if self.spent + octets > budget.limits.per_call or not budget.spend(octets, now):
            return False
        self.spent += octets
        return True
