"""How much of speech may be taken out or put in now: so much in any second, and evenly.

A splice takes out a pitch period at once, so that an average over the whole would allow more in a single second.
"""

from __future__ import annotations

from collections import deque

from segue.media.time_scale import LONGEST

WINDOW = 1.0  # seconds
SAVED = 0.1  # seconds for which a splice that was due may be late without delaying the next


class Pace:
    """`at` is when, in seconds of played time."""

    def __init__(self) -> None:
        self._due_at = 0.0
        self._changes: deque[tuple[float, float]] = deque()  # of the last WINDOW: when, how much
        self._sum = 0.0  # of these

    def due(self, at: float, most: float) -> bool:
        """Whether another splice may be made, so that no more than `most` of any second is changed."""
        if at < self._due_at:
            return False
        changes = self._changes
        while changes and changes[0][0] <= at - WINDOW:
            self._sum -= changes.popleft()[1]
        return self._sum + LONGEST <= most * WINDOW

    def changed(self, at: float, seconds: float, most: float) -> None:
        self._due_at = max(self._due_at, at - SAVED) + seconds / most
        self._changes.append((at, seconds))
        self._sum += seconds
