"""Token buckets for each source address, in a table that does not grow."""

from __future__ import annotations

from collections import OrderedDict


class RateLimit:
    """At most `rate` a second and `burst` at once for each key; `rate` 0 is no limit.

    The table holds `size` keys; the one used longest ago goes, and starts full when it comes back.
    """

    def __init__(self, rate: float, burst: float, size: int = 20_000) -> None:
        self.rate = rate
        self.burst = burst
        self._size = size
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, key: str, now: float) -> bool:
        """Use one token; False when there is none."""
        if not self.rate:
            return True
        level = self._level(key, now)
        allowed = level >= 1.0
        self._buckets[key] = (level - 1.0 if allowed else level, now)
        self._buckets.move_to_end(key)
        if len(self._buckets) > self._size:
            self._buckets.popitem(last=False)
        return allowed

    def empty(self, key: str, now: float) -> bool:
        """Whether `take` would refuse; uses nothing."""
        return bool(self.rate) and self._level(key, now) < 1.0

    def _level(self, key: str, now: float) -> float:
        known = self._buckets.get(key)
        if known is None:
            return self.burst
        level, at = known
        return min(self.burst, level + (now - at) * self.rate)

    def __len__(self) -> int:
        return len(self._buckets)
