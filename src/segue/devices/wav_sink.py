"""A WAV file of what is heard, whole at any time."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

from segue.base.errors import LocalError
from segue.base.frame import Frame
from segue.devices.shape import Matching, frame_length
from segue.devices.wav_format import HEADER, SIZES_AT, header

_LITTLE = sys.byteorder == "little"


class WavSink:
    """16-bit mono at `rate` Hz, written five times a second, its header set right once a second and at the end.

    A process that is killed leaves all but the last 0.2 s; the header then misses a second at most, and players
    that trust it play all but that. What is no regular file (a pipe) gets every frame at once. An existing file is
    replaced.
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
        regular = stat.S_ISREG(os.fstat(self._file.fileno()).st_mode)
        self._most = (
            self._second // 5 if regular else 1
        )  # octets that may wait: writing costs more than all else here
        self._waiting: list[bytes] = []
        self._waits = 0
        self._put(header(rate, 0))

    def write(self, frame: Frame) -> None:
        if not self._open:
            return
        samples = self._matching.samples(frame)
        content = (samples if _LITTLE else samples.astype("<i2")).tobytes()
        self._waiting.append(content)
        self._waits += len(content)
        if self._waits >= self._most:
            self._write_waiting()
            if self._octets - self._noted >= self._second:
                self._note()

    def close(self) -> None:
        if self._open:
            try:
                self._write_waiting()
                self._note()
            except LocalError:  # the disk is full, and nobody can do anything about it here
                return
            self._open = False
            self._file.close()

    def _write_waiting(self) -> None:
        content = b"".join(self._waiting)
        self._waiting.clear()
        self._waits = 0
        self._put(content)
        self._octets += len(content)

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
