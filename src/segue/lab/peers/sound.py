"""What a peer speaks, as a file, and what of the coded signal a recording contains."""

from __future__ import annotations

import time
import wave
from pathlib import Path

import numpy as np

from segue.base.coded_signal import BLOCK, coded_signal
from segue.base.errors import LocalError
from segue.base.frame import Samples
from segue.devices.wav_format import HEADER
from segue.media.coded_signal import Heard, analyse

PATIENCE = 0.1  # seconds between two looks at a recording
LONGEST = 90.0  # seconds; the numbers of the coded signal repeat after 96


def write_coded(path: Path, rate: int, channels: int = 1, seconds: float = LONGEST) -> None:
    """The coded signal from its first block on: 16-bit PCM, the same in all channels."""
    with wave.open(str(path), "wb") as file:
        file.setparams((channels, 2, rate, 0, "NONE", ""))
        file.writeframes(coded_signal(0, round(seconds / BLOCK), rate).repeat(channels).tobytes())


class Recording:
    """A mono WAV file of 16 bits, also while it is being written; `rate` is for the time in which its header says
    nothing yet (linphonec writes that last)."""

    def __init__(self, path: Path, rate: int = 8000) -> None:
        self.path = path
        self._rate = rate

    def heard(self, since: int = 0) -> list[Heard]:
        """The blocks of the coded signal from this sample on; none when there is no recording."""
        return analyse(*self._samples(since))

    def await_sound(self, seconds: float = 1.0, timeout: float = 8.0) -> list[Heard]:
        """What is heard from now on, as soon as it is that much. LocalError when it does not come."""
        begin, end = self.length(), time.monotonic() + timeout
        wanted = round(seconds / BLOCK)
        while len(heard := self.heard(begin)) < wanted:
            if time.monotonic() > end:
                missing = wanted - len(heard)
                raise LocalError(f"{missing} blocks of {wanted} are not heard", f"see {self.path}")
            time.sleep(PATIENCE)
        return heard

    def length(self) -> int:
        """Samples so far."""
        return max(0, self.path.stat().st_size - HEADER) // 2 if self.path.exists() else 0

    def _samples(self, since: int) -> tuple[Samples, int]:
        if not self.path.exists():
            return np.zeros(0, np.int16), self._rate
        with open(self.path, "rb") as file:
            header = file.read(HEADER)
            file.seek(HEADER + 2 * since)
            sound = file.read()
        rate = int.from_bytes(header[24:28], "little") if header[:4] == b"RIFF" else self._rate
        return np.frombuffer(sound[: len(sound) // 2 * 2], np.int16), rate


def await_silence(*recordings: Recording, seconds: float = 1.0, timeout: float = 2.0) -> None:
    """Until for so long nothing was heard in any of them. LocalError when the sound goes on."""
    end = time.monotonic() + timeout
    while True:
        begins = [recording.length() for recording in recordings]
        time.sleep(seconds)
        loud = [r.path for r, begin in zip(recordings, begins, strict=True) if r.heard(begin)]
        if not loud:
            return
        if time.monotonic() > end:
            raise LocalError(f"there is sound in {', '.join(path.name for path in loud)}", f"see {loud[0]}")
