"""Sources that need no file or card, and the sink that keeps nothing."""

from __future__ import annotations

import numpy as np

from segue.base.coded_signal import coded_signal
from segue.base.errors import LocalError
from segue.base.frame import Frame
from segue.devices.shape import frame_length, silence

FULL_SCALE = 32767.0
TONE_LEVEL = -20.0  # dBov of RMS, as loud as speech
LOUDEST_TONE = -3.0103  # dBov: a sine at full scale has 3 dB less than a square wave


class Silence:
    """Nothing, for ever."""

    finished = False

    def __init__(self, rate: int) -> None:
        self.rate = rate
        self._frame = Frame(silence(frame_length(rate)), rate)

    def read(self) -> Frame:
        return self._frame

    def close(self) -> None:
        pass


class Tone:
    """A sine of `hertz` at `level` dBov (RFC 6464's scale: -3 is the loudest), without a joint, for ever."""

    finished = False

    def __init__(self, rate: int, hertz: float = 440.0, level: float = TONE_LEVEL) -> None:
        if not 0.0 < hertz < rate / 2:
            raise LocalError(f"no tone of {hertz:g} Hz at {rate} Hz", f"use 1 to {rate // 2 - 1} Hz")
        if not -90.0 <= level <= -3.0:
            raise LocalError(f"no tone of {level:g} dBov", "use -90 to -3")
        self.rate = rate
        count = frame_length(rate)
        amplitude = FULL_SCALE * 10 ** ((level - LOUDEST_TONE) / 20)
        self._amplitude = min(FULL_SCALE, amplitude)
        self._step = hertz / rate  # periods a sample
        self._ahead = np.arange(count) * self._step
        self._phase = 0.0  # periods

    def read(self) -> Frame:
        wave = self._amplitude * np.sin(2 * np.pi * (self._ahead + self._phase))
        self._phase = (self._phase + len(self._ahead) * self._step) % 1.0
        return Frame(np.rint(wave).astype(np.int16), self.rate)

    def close(self) -> None:
        pass


class Coded:
    """The coded signal, block after block from number 0, for ever."""

    finished = False

    def __init__(self, rate: int) -> None:
        self.rate = rate
        self._count = frame_length(rate)
        self._block = 0
        self._rest = coded_signal(0, 0, rate)

    def read(self) -> Frame:
        if not len(self._rest):
            self._rest = coded_signal(self._block, 1, self.rate)
            self._block += 1
        samples, self._rest = self._rest[: self._count], self._rest[self._count :]
        return Frame(samples, self.rate)

    def close(self) -> None:
        pass


class Null:
    """Hears nothing; counts what came."""

    def __init__(self, rate: int) -> None:
        frame_length(rate)
        self.rate = rate
        self.seconds = 0.0

    def write(self, frame: Frame) -> None:
        self.seconds += frame.duration

    def close(self) -> None:
        pass
