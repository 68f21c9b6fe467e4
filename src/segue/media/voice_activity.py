"""Telling speech from silence by energy and zero crossings over an adaptive noise floor.

Enough to find the pauses in which playout may drop or insert time, and for the lab to say who speaks; not
enough to gate a microphone in a car.
"""

from __future__ import annotations

import numpy as np

from segue.base.frame import Samples
from segue.media.level import level_dbov

ALWAYS_SILENT = -65.0  # dBov: below this nothing is speech
START_FLOOR = -55.0  # dBov: the noise expected before any was heard
LOUDEST_FLOOR = -30.0
ABOVE_FLOOR = 9.0  # dB over the noise that speech has
FRICATIVE_ABOVE_FLOOR = 5.0  # dB; hissing sounds are weaker but cross zero often
FRICATIVE_CROSSINGS = 3000.0  # crossings a second
FLOOR_RISE = 2.0  # dB a second the noise floor may rise: slower than any word
FLOOR_FALL = 0.25  # of the way down to a quieter frame, at once
HANGOVER = 0.2  # seconds that speech goes on after its last loud frame


class VoiceActivity:
    """Judges the frames of one stream in order."""

    def __init__(self) -> None:
        self.floor = START_FLOOR
        self._hangover = 0.0

    def speech(self, samples: Samples, rate: int) -> bool:
        """Whether this frame (int16, `rate` Hz) belongs to speech."""
        duration = len(samples) / rate
        level = level_dbov(samples)
        loud = level > ALWAYS_SILENT and self._loud(level, samples, rate)
        if level < self.floor:
            self.floor += FLOOR_FALL * (level - self.floor)
        else:
            self.floor = min(level, LOUDEST_FLOOR, self.floor + FLOOR_RISE * duration)
        self.floor = max(self.floor, ALWAYS_SILENT - ABOVE_FLOOR)
        self._hangover = HANGOVER if loud else max(0.0, self._hangover - duration)
        return self._hangover > 0.0

    def _loud(self, level: float, samples: Samples, rate: int) -> bool:
        if level > self.floor + ABOVE_FLOOR:
            return True
        if level <= self.floor + FRICATIVE_ABOVE_FLOOR:
            return False
        return zero_crossings(samples) * rate / len(samples) > FRICATIVE_CROSSINGS


def zero_crossings(samples: Samples) -> int:
    """How often the signal changes its sign."""
    return int(np.count_nonzero(np.diff(np.signbit(samples))))
