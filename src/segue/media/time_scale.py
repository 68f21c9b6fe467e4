"""Making speech shorter or longer by about a pitch period without changing its pitch.

The principle is overlap-add at the most alike distance (WSOLA, Verhelst and Roelands 1993): cut or repeat a
piece whose two ends look the same, and fade over the joint.
"""

from __future__ import annotations

import numpy as np

from segue.base.frame import Samples
from segue.media.splice import crossfade, most_alike

SHORTEST = 0.0025  # seconds that one splice takes out or puts in
LONGEST = 0.0150
FADE = 0.0050
COMPARED = 0.0075  # seconds of waveform in which the two ends must look alike


def shorten(samples: Samples, rate: int, most: float) -> tuple[Samples, float]:
    """Take 2.5 to 15 ms, at most `most` seconds, out of the beginning of `samples` (int16, 22.5 ms or more).

    Returns the shorter samples and how alike the joined pieces are (-1 to 1); all of them, and 0, when
    there are too few.
    """
    shortest, compared = int(SHORTEST * rate), int(COMPARED * rate)
    longest = min(int(min(LONGEST, most) * rate), len(samples) - compared)
    if longest < shortest:
        return samples, 0.0
    wave = samples[: longest + compared].astype(np.float32)
    offset, likeness = most_alike(wave[:compared], wave[shortest:], max(1, rate // 8000))
    cut, fade = shortest + offset, int(FADE * rate)
    joint = crossfade(wave[:fade], wave[cut : cut + fade])
    return np.concatenate((joint.astype(np.int16), samples[cut + fade :])), likeness


def lengthen(past: Samples, samples: Samples, rate: int, most: float) -> tuple[Samples, float]:
    """Play 2.5 to 15 ms, at most `most` seconds, of `past` again before going on with `samples`.

    `past` is what was played last, ending where `samples` begin (20 ms or more of int16). Returns the longer
    samples and how alike the joined pieces are; all unchanged, and 0, when there are too few.
    """
    shortest, compared = int(SHORTEST * rate), int(COMPARED * rate)
    longest = min(int(min(LONGEST, most) * rate), len(past))
    if longest < shortest or len(samples) < compared:
        return samples, 0.0
    both = np.concatenate((past[-longest:], samples))
    wave = both[: longest + compared].astype(np.float32)
    searched = wave[: longest - shortest + compared]
    offset, likeness = most_alike(wave[longest:], searched, max(1, rate // 8000))
    fade = int(FADE * rate)
    joint = crossfade(wave[longest : longest + fade], wave[offset : offset + fade])
    return np.concatenate((joint.astype(np.int16), both[offset + fade :])), likeness
