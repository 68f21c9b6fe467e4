"""What all sources and sinks have in common."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from segue.base.errors import LocalError
from segue.base.frame import Frame, Samples
from segue.base.resample import Resampler

FRAMES_A_SECOND = 50  # of 20 ms
LOWEST_RATE, HIGHEST_RATE = 4000, 384_000  # Hz


class Source(Protocol):
    """Sound for a call."""

    rate: int  # Hz
    finished: bool  # all there was has been read; silence follows

    def read(self) -> Frame:
        """The next 20 ms: exactly `rate // 50` samples, int16, mono. Never raises."""

    def close(self) -> None:
        """Give back file or device. May be called twice."""


class Sink(Protocol):
    """Where a call is heard."""

    rate: int  # Hz

    def write(self, frame: Frame) -> None:
        """Take the next piece of sound; another rate than `rate` is changed to it.

        Raises LocalError, once, when it can take no more (a full disk); what comes after is dropped silently.
        """

    def close(self) -> None:
        """Give back file or device. May be called twice."""


def frame_length(rate: int) -> int:
    """Samples in 20 ms. Raises LocalError for a rate that has no whole number of them."""
    if not LOWEST_RATE <= rate <= HIGHEST_RATE or rate % FRAMES_A_SECOND:
        raise LocalError(f"no sound at {rate} Hz", "use a codec's rate: 8000, 16000 or 48000 Hz")
    return rate // FRAMES_A_SECOND


class Matching:
    """Brings frames to the rate of a sink."""

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._resampler: Resampler | None = None

    def samples(self, frame: Frame) -> Samples:
        if frame.rate == self._rate:
            return frame.samples
        if self._resampler is None or self._resampler.source_rate != frame.rate:
            self._resampler = Resampler(frame.rate, self._rate)
        return self._resampler.push(frame.samples)


def silence(count: int) -> Samples:
    return np.zeros(count, dtype=np.int16)
