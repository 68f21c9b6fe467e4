"""The sound card, through miniaudio: its thread on one side of a `Ring`, the packet clock on the other."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np

from segue.base.errors import LocalError
from segue.base.frame import Frame
from segue.devices.ring import Ring
from segue.devices.shape import Matching, frame_length

PERIOD_MS = 20  # of the card's own buffer
TARGET = 0.040  # seconds that the ring should hold: what two clocks and a busy machine need
MOST = 0.120
REMEDY = {
    "playback": "use --audio-out null or a WAV file",
    "capture": "use --audio-in silence, speech or a WAV file",
}


class SoundCardSource:
    """The default microphone."""

    finished = False

    def __init__(self, rate: int, backends: list[Any] | None = None) -> None:
        self.rate = rate
        self._count = frame_length(rate)
        self.ring = Ring(int(TARGET * rate), int(MOST * rate), rate)
        self._device = _opened("capture", rate, backends)
        _started(self._device, self._heard(), "capture")

    def read(self) -> Frame:
        return Frame(self.ring.pull(self._count), self.rate)

    def close(self) -> None:
        with suppress(Exception):  # the card may have been pulled out
            self._device.close()

    def _heard(self) -> Generator[None, Any, None]:
        while True:
            content = yield
            self.ring.push(np.frombuffer(content, dtype=np.int16))


class SoundCardSink:
    """The default loudspeaker or headset."""

    def __init__(self, rate: int, backends: list[Any] | None = None) -> None:
        frame_length(rate)
        self.rate = rate
        self._matching = Matching(rate)
        self.ring = Ring(int(TARGET * rate), int(MOST * rate), rate)
        self._device = _opened("playback", rate, backends)
        _started(self._device, self._wanted(), "playback")

    def write(self, frame: Frame) -> None:
        self.ring.push(self._matching.samples(frame))

    def close(self) -> None:
        with suppress(Exception):
            self._device.close()

    def _wanted(self) -> Generator[bytes, int, None]:
        content = b""
        while True:
            count = yield content
            content = self.ring.pull(count).tobytes()


def _opened(direction: str, rate: int, backends: list[Any] | None) -> Any:
    try:
        import miniaudio
    except ImportError:
        raise LocalError("no sound card support on this machine", REMEDY[direction]) from None
    kinds = {"playback": miniaudio.PlaybackDevice, "capture": miniaudio.CaptureDevice}
    try:
        with _quiet():
            return kinds[direction](
                nchannels=1, sample_rate=rate, buffersize_msec=PERIOD_MS, backends=backends, app_name="Segue"
            )
    except miniaudio.MiniaudioError:
        raise LocalError(f"no sound card for {direction}", REMEDY[direction]) from None


def _started(device: Any, generator: Generator[Any, Any, None], direction: str) -> None:
    import miniaudio

    next(generator)
    try:
        device.start(generator)
    except miniaudio.MiniaudioError:
        device.close()
        raise LocalError(f"the sound card does not start for {direction}", REMEDY[direction]) from None


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what ALSA's library prints on stderr for each card that is not there."""
    try:
        saved = os.dup(2)
        nowhere = os.open(os.devnull, os.O_WRONLY)
    except OSError:
        yield
        return
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(nowhere)
