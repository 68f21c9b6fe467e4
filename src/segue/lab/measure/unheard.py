"""What of a talker's signal a listener's recording does not contain, and what it contains twice.

The coded signal says of each 40 ms which it is; recorded speech is looked for by correlation (`spoken`), where a
quiet moment that is missing does not show.
"""

from __future__ import annotations

import wave
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from segue.base.errors import LocalError
from segue.base.frame import Samples
from segue.base.resample import resample
from segue.lab.measure import measures, spoken
from segue.lab.options import CODED
from segue.media.coded_signal import BLOCK, Heard, analyse, outages, repeated_ms

RATE = 8000  # Hz, at which speech is compared
BEFORE = 1.0  # seconds before a move in which what is missing counts as its
UNDER_WAY = 1.0  # seconds at a recording's end that may lack the signal: the call was over


@dataclass
class Listened:
    """`missing`: when (Unix time) and how much (ms) was not heard. `repeated_ms`: what was heard again. `pieces`:
    all that was found of the coded signal, with Unix times."""

    missing: list[tuple[float, float]] = field(default_factory=list)
    repeated_ms: float = 0.0
    pieces: list[tuple[float, Heard]] = field(default_factory=list)

    @property
    def total_ms(self) -> float:
        return round(sum(each for _, each in self.missing), 1)

    def around_ms(self, began: float, ended: float) -> float:
        """What was not heard because of a move, from `began` to `ended`."""
        inside = [ms for at, ms in self.missing if began - BEFORE <= at <= ended + measures.AFTER]
        return round(sum(inside), 1)

    def between_ms(self, began: float, ended: float) -> float:
        """What was not heard from `began` to `ended` (Unix times)."""
        inside = (min(ended, at + ms / 1000) - max(began, at) for at, ms in self.missing)
        return round(sum(seconds * 1000 for seconds in inside if seconds > 0), 1)


def listen(recording: Path, speech: str, begin: float) -> Listened:
    """`speech`: what the talker was told to say (`devices.open`). `begin`: Unix time of the recording's first sample.
    LocalError when there is no recording: then nothing is known of what was heard."""
    if not recording.exists():
        raise LocalError(
            f"there is no recording {recording}", "keep what the phones leave in the folder of the run"
        )
    with wave.open(str(recording)) as file:
        samples = np.frombuffer(file.readframes(file.getnframes()), dtype=np.int16)
        rate = file.getframerate()
    return _coded(samples, rate, begin) if speech == CODED else _spoken(samples, rate, speech, begin)


def _coded(samples: Samples, rate: int, begin: float) -> Listened:
    pieces = analyse(samples, rate)
    missing = [(begin + at, count * BLOCK * 1000) for at, count in outages(pieces)]
    last = pieces[-1].position if pieces else 0.0
    rest = len(samples) / rate - last
    if rest > UNDER_WAY:  # nothing came back after an outage
        missing.append((begin + last, rest * 1000))
    return Listened(missing, repeated_ms(pieces), [(begin + piece.position, piece) for piece in pieces])


def _spoken(samples: Samples, rate: int, speech: str, begin: float) -> Listened:
    said = spoken.spoken_signal(speech, RATE)
    found = spoken.places(resample(samples, rate, RATE), said, RATE)
    until = len(samples) / rate - UNDER_WAY
    missing = [(begin + at, length * 1000) for at, length in spoken.unheard(found, said, RATE, until)]
    return Listened(missing, spoken.repeated(found) * spoken.HOP * 1000)
