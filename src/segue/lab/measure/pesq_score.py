"""How the seconds around a moment of a recording sound next to the talk itself: PESQ (ITU-T P.862, P.862.2).

The library `pesq` is compiled when it is installed, which wants a C compiler and Python's headers: an extra of the
package, `pip install 'segue[pesq]'`. PESQ judges speech; of the coded signal it would say nothing.

A score alone says little: it depends on what was said, and on the codec. So the same stretch of the talk is judged
without a network, coded and decoded, and the drop is what the network took.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import NamedTuple

import numpy as np

from segue.base.errors import LocalError
from segue.base.frame import Samples
from segue.base.resample import resample
from segue.lab.measure import spoken
from segue.media.codecs import codec_for

SECONDS = 4.0  # around the moment
COMPARED = 0.5  # of them, at each end, tell where in the talk it is
ALIKE = 0.3  # normalised correlation from which it is found; Opus keeps no waveform
SPOKEN_RATE = 8000  # Hz, at which the places are looked for
NARROWBAND, WIDEBAND = 8000, 16000  # Hz: the only rates of P.862 and P.862.2
REMEDY = "pip install 'segue[pesq]'; it needs a C compiler (apt install gcc libc6-dev)"


class PesqScore(NamedTuple):
    """Mean opinion scores, 1.0 to 4.6: of what was heard, and of the same words coded and decoded only."""

    heard: float
    undisturbed: float

    @property
    def drop(self) -> float:
        return round(self.undisturbed - self.heard, 3)


def pesq_available() -> bool:
    return find_spec("pesq") is not None


def pesq_around(
    recording: Samples, talk: Samples, rate: int, codec: str, at: float, seconds: float = SECONDS
) -> PesqScore | None:
    """Of the `seconds` around `at` (seconds from the recording's beginning). `talk`: what was said, once; both have
    `rate` Hz. `codec`: by which it was said, its name in SDP. None when the talk is not found there. LocalError
    without the library."""
    if not pesq_available():
        raise LocalError("PESQ is not installed", REMEDY)
    begin, end = at - seconds / 2, at + seconds / 2
    if begin < 0 or end > len(recording) / rate:
        return None
    heard = recording[int(begin * rate) : int(end * rate)]
    first, last = _ends(resample(heard, rate, SPOKEN_RATE), resample(talk, rate, SPOKEN_RATE), seconds)
    if first is None or last is None or not 0.5 * seconds < last - first < 1.5 * seconds:
        return None
    said = talk[np.arange(round(first * rate), round(last * rate)) % len(talk)]
    return PesqScore(_score(said, heard, rate, codec), _score(said, _coded(said, rate, codec), rate, codec))


def _ends(heard: Samples, talk: Samples, seconds: float) -> tuple[float | None, float | None]:
    """Where in the talk, in seconds counted on over its end, what was heard begins and ends: each end is looked for
    by itself, since between them speech may have been late."""
    width = round(COMPARED * seconds * SPOKEN_RATE)
    twice = np.concatenate((talk, talk[: round(2 * seconds * SPOKEN_RATE)]))
    first = _place(heard[:width], twice)
    last = _place(heard[-width:], twice)
    if last is not None:
        last += width / SPOKEN_RATE
    if first is not None and last is not None and last < first:
        last += len(talk) / SPOKEN_RATE
    return first, last


def _place(piece: Samples, talk: Samples) -> float | None:
    place, likeness = spoken.best_place(piece.astype(np.float32), talk.astype(np.float32))
    return place / SPOKEN_RATE if likeness >= ALIKE else None


def _coded(said: Samples, rate: int, name: str) -> Samples:
    """Through the codec and back."""
    sender, receiver = codec_for(name), codec_for(name)
    samples = resample(said, rate, sender.sample_rate)
    whole = len(samples) // sender.frame_samples * sender.frame_samples
    frames = samples[:whole].reshape(-1, sender.frame_samples)
    decoded = np.concatenate([receiver.decode(sender.encode(frame)) for frame in frames])
    return resample(decoded, sender.sample_rate, rate)


def _score(said: Samples, heard: Samples, rate: int, codec: str) -> float:
    """Narrow-band for codecs of 8 kHz, wide-band for others."""
    from pesq import PesqError, pesq

    wide = codec_for(codec).sample_rate > NARROWBAND
    judged = WIDEBAND if wide else NARROWBAND
    value = pesq(
        judged,
        resample(said, rate, judged),
        resample(heard, rate, judged),
        "wb" if wide else "nb",
        on_error=PesqError.RETURN_VALUES,
    )
    return round(max(1.0, float(value)), 3)
