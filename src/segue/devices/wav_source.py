"""A WAV file as what is said."""

from __future__ import annotations

from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from segue.base.errors import LocalError
from segue.base.frame import Frame, Samples
from segue.base.resample import Resampler
from segue.devices.shape import frame_length, silence
from segue.devices.wav_format import read_format

CHUNK = 0.1  # seconds read from the file at once


class WavSource:
    """The channels of a file mixed to one, at `rate` Hz; once, or again and again.

    At the file's own rate mono samples are passed on untouched. Another rate delays them by 3 ms at most.
    """

    def __init__(self, file: BinaryIO, name: str, rate: int, loop: bool = False) -> None:
        self.rate = rate
        self._file = file
        self._count = frame_length(rate)
        self._format = read_format(file, name)
        if not self._format.frames:
            raise LocalError(f"{name} has no sound in it", "give a longer file")
        file.seek(self._format.begin)
        self._loop = loop
        self._left = self._format.frames
        self._resampler = Resampler(self._format.rate, rate)
        self._ready = silence(0)
        self._ended = False  # nothing comes from the file any more
        self.finished = False

    def read(self) -> Frame:
        count = self._count
        while len(self._ready) < count and not self._ended:
            self._ready = np.concatenate((self._ready, self._more()))
        samples, self._ready = self._ready[:count], self._ready[count:]
        if len(samples) < count:
            samples = np.concatenate((samples, silence(count - len(samples))))
        self.finished = self._ended and not len(self._ready)
        return Frame(samples, self.rate)

    def close(self) -> None:
        self._ended = self.finished = True
        self._ready = silence(0)
        self._file.close()

    def _more(self) -> Samples:
        """Some more of the file, at `rate`."""
        channels = self._format.channels
        wanted = min(self._left, max(1, int(CHUNK * self._format.rate)))
        try:
            content = self._file.read(wanted * 2 * channels)
        except OSError:  # the medium is gone: as if the file ended here
            content = b""
        frames = len(content) // (2 * channels)
        self._left -= frames
        if frames < wanted:  # the file was cut while it was read
            self._left = 0
        mixed = _mono(np.frombuffer(content, dtype="<i2", count=frames * channels), channels)
        if not self._left:
            if self._loop and (frames or self._format.frames > wanted):
                self._left = self._format.frames
                self._file.seek(self._format.begin)
            else:
                self._ended = True
                mixed = np.concatenate((mixed, silence(self._tail())))
        return self._resampler.push(mixed)

    def _tail(self) -> int:
        """How much silence pushes the last of the sound through the resampler."""
        source = self._format.rate
        return 0 if source == self.rate else int(0.004 * source * max(1.0, 8000 / self.rate)) + 64


def _mono(samples: Samples, channels: int) -> Samples:
    if channels == 1:
        return samples.astype(np.int16, copy=False)
    mixed: NDArray[np.int32] = samples.reshape(-1, channels).astype(np.int32).sum(axis=1)
    mean: Samples = (mixed // channels).astype(np.int16)
    return mean
