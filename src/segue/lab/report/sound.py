"""Recordings: their shape for the time line, and the sound itself inside the page."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from segue.base.errors import LocalError
from segue.base.frame import Samples
from segue.devices.wav_format import read_format

EMBED_LIMIT = 4_000_000  # octets of a WAV file that still goes into the page


class Recording(NamedTuple):
    """16-bit samples of one channel at `rate` Hz."""

    path: Path
    rate: int
    samples: Samples

    @property
    def seconds(self) -> float:
        return len(self.samples) / self.rate


def read_recording(path: Path) -> Recording | None:
    """None when there is none, or none that the lab could have written (16-bit linear PCM)."""
    try:
        with open(path, "rb") as file:
            described = read_format(file, str(path))
            file.seek(described.begin)
            content = file.read(described.frames * described.channels * 2)
    except (OSError, LocalError):
        return None
    samples = np.frombuffer(content[: len(content) // 2 * 2], dtype="<i2")
    return Recording(path, described.rate, samples[:: described.channels])


def envelope(recording: Recording, columns: int) -> Iterator[tuple[float, float, float]]:
    """For each of `columns` stretches: its begin in seconds, and its lowest and highest sample (-1 to 1)."""
    count = len(recording.samples)
    columns = max(1, min(columns, count))
    for column in range(columns):
        first, last = column * count // columns, (column + 1) * count // columns
        part = recording.samples[first:last]
        if len(part):
            yield first / recording.rate, int(part.min()) / 32768, int(part.max()) / 32768


def data_uri(path: Path) -> str:
    """Empty when the file is too large for the page."""
    if path.stat().st_size >= EMBED_LIMIT:
        return ""
    return "data:audio/wav;base64," + base64.b64encode(path.read_bytes()).decode()
