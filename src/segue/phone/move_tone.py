"""Short tones that tell the listener of a move: mixed into what is heard, never into what is sent. Pure."""

from __future__ import annotations

import numpy as np

from segue.base.frame import Frame, Samples

LENGTH = 0.12  # seconds
LEVEL = 0.06  # of full scale: heard beside speech, and no fright
EDGE = 0.005  # seconds of rise and fall: no click
BEGUN = 660.0  # Hz
ENDED = 880.0
FAILED = 440.0


class MoveTone:
    """What is still to be played for one call."""

    def __init__(self) -> None:
        self._waiting: list[float] = []  # Hz
        self._position = 0.0  # seconds into the first

    def sound(self, pitch: float) -> None:
        """One tone of `pitch` Hz, after those that wait; a phone that moves again and again does not sing."""
        if len(self._waiting) < 3:
            self._waiting.append(pitch)

    def mix(self, frame: Frame) -> Frame:
        """The frame with what is due of the tones."""
        if not self._waiting:
            return frame
        count = len(frame.samples)
        tone = _tone(self._waiting[0], self._position, count, frame.rate)
        self._position += count / frame.rate
        if self._position >= LENGTH:
            self._position = 0.0
            self._waiting.pop(0)
        mixed = np.clip(frame.samples.astype(np.int32) + tone, -32768, 32767).astype(np.int16)
        return Frame(mixed, frame.rate, frame.time)


def _tone(pitch: float, begin: float, count: int, rate: int) -> Samples:
    times = begin + np.arange(count) / rate
    edges = np.minimum(times, np.maximum(LENGTH - times, 0.0)) / EDGE
    samples: Samples = (32767 * LEVEL * np.minimum(1.0, edges) * np.sin(2 * np.pi * pitch * times)).astype(
        np.int16
    )
    return samples
