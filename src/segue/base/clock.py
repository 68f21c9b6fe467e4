"""Time, as something that is handed in."""

from __future__ import annotations

from typing import Protocol


class Clock(Protocol):
    """Both scales a core may need. Pure code gets numbers; only shells and composers hold a clock."""

    def now(self) -> float:
        """Monotonic seconds; the scale of every `now` argument."""

    def wall(self) -> float:
        """Unix time in seconds, for certificates, NTP timestamps and Date headers."""
