"""Joining pieces of waveform so that the joint is not heard: find where two pieces are alike, and fade."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Wave = NDArray[np.float32]


@lru_cache(maxsize=64)
def rising(count: int) -> Wave:
    """A straight line from just above 0 to just below 1, `count` long."""
    ramp = (np.arange(1, count + 1) / (count + 1)).astype(np.float32)
    ramp.flags.writeable = False
    return ramp


def crossfade(leaving: Wave, entering: Wave) -> Wave:
    """From one piece to another of the same length."""
    return leaving + (entering - leaving) * rising(len(leaving))


def most_alike(template: Wave, signal: Wave, step: int = 1) -> tuple[int, float]:
    """Where in `signal` the template fits best: its offset, and the likeness there from -1 to 1.

    Likeness is the normalised cross-correlation. With `step` > 1 only each step-th sample and offset is
    looked at first, then all offsets near the best.
    """
    offset, likeness = _search(template[::step], signal[::step])
    if step == 1:
        return offset, likeness
    first = max(0, offset * step - step)
    last = min(len(signal) - len(template), offset * step + step)
    fine, likeness = _search(template, signal[first : last + len(template)])
    return first + fine, likeness


def _search(template: Wave, signal: Wave) -> tuple[int, float]:
    squares = np.concatenate((np.zeros(1), np.cumsum(signal.astype(np.float64) ** 2)))
    energy = squares[len(template) :] - squares[: -len(template)]
    scale = np.sqrt(np.maximum(energy, 1.0) * max(float(template @ template), 1.0))
    likeness = np.correlate(signal, template, "valid") / scale
    best = int(np.argmax(likeness))
    return best, float(likeness[best])
