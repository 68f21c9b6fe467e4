"""Real time (`base.clock.Clock`)."""

from __future__ import annotations

import time


class MonotonicClock:
    """Both scales from the kernel: CLOCK_MONOTONIC, which is also the event loop's, and Unix time. Seconds."""

    def now(self) -> float:
        return time.monotonic()

    def wall(self) -> float:
        return time.time()
