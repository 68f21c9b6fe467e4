"""A clock that moves only when told."""

from __future__ import annotations


class ManualClock:
    """Both scales of `base.clock.Clock`, advanced together."""

    def __init__(self, now: float = 1000.0, wall: float = 1_800_000_000.0) -> None:
        self._now = now
        self._wall = wall

    def now(self) -> float:
        return self._now

    def wall(self) -> float:
        return self._wall

    def advance(self, seconds: float) -> float:
        """Move on by `seconds`; returns the new `now`."""
        self._now += seconds
        self._wall += seconds
        return self._now
