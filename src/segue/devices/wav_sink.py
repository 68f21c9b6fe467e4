"""A WAV file of what is heard, whole at any time."""

from __future__ import annotations

import os
from pathlib import Path

from segue.base.errors import LocalError
from segue.base.frame import Frame
from segue.devices.shape import Matching, frame_length
from segue.devices.wav_format import HEADER, SIZES_AT, header


class WavSink:
    """16-bit mono at `rate` Hz, written as it comes, its header set right once a second and at the end.

    A process that is killed leaves all that was written; the header then misses a second at most, and
    players that trust it play all but that. An existing file is replaced.
    """

    def __init__(self, path: str, rate: int) -> None:
        self.rate = rate
        frame_length(rate)
        self._second = 2 * rate  # octets
        self._path = path
        self._matching = Matching(rate)
        self._octets = 0
        self._noted = 0  # octets that the header says
        try:
            self._file = Path(path).open("wb", buffering=0)  # noqa: SIM115
        except OSError as error:
            raise LocalError(
                f"cannot write {path} ({error.strerror})", "give another file, or --audio-out null"
            ) from None
        self._open = True
        self._put(header(rate, 0))

    def write(self, frame: Frame) -> None:
        if not self._open:
            return
        content = self._matching.samples(frame).astype("<i2", copy=False).tobytes()
        self._put(content)
        self._octets += len(content)
        if self._octets - self._noted >= self._second:
            self._note()

    def close(self) -> None:
        if self._open:
            self._note()
            self._open = False
            self._file.close()

    def _put(self, content: bytes) -> None:
        try:
            written = self._file.write(content)
            if written != len(content):
                raise OSError(28, os.strerror(28))
        except OSError as error:
            self._open = False
            self._file.close()
            raise LocalError(
                f"cannot write {self._path} ({error.strerror})", "make room and call again"
            ) from None

    def _note(self) -> None:
        """Bring the two lengths of the header up to date."""
        self._noted = self._octets
        fresh = header(self.rate, self._octets)
        for at in SIZES_AT:
            try:
                os.pwrite(self._file.fileno(), fresh[at : at + 4], at)
            except OSError:  # a pipe or a device has no header to go back to
                return


assert SIZES_AT[-1] + 4 == HEADER
