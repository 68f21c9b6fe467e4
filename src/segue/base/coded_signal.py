"""The lab's coded signal: speech-like in level and band, and each 40 ms of it says which 40 ms it is.

A block is a chord of six tones, one of seven in each of six bands between 300 and 2555 Hz: six digits to the
base of 7. Four are the block's number, two are checks, so that a chord which is cut together from two blocks
is no third one, and a tone that a codec spoilt is made good. The numbers repeat after 2401 blocks, 96 s; an
outage is shorter than half of that, so that numbers can be continued over it. Successive numbers differ in
all four digits.

Here and not in `media`, because a source of it is a device; what finds it again is `segue.media.coded_signal`.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from segue.base.frame import Samples

BLOCK = 0.040  # seconds
BASE = 7
BANDS = 6
PERIOD = BASE**4  # blocks
LOWEST, SPACING = 300.0, 55.0  # Hz; higher tones do not survive Opus at 24 kbit/s
LEVEL = -20.0  # dBov
EDGE = 0.002  # seconds of fading at a block's ends
STRIDE = 1158  # to the base of 7: 3 2 4 3; adding it changes every digit, carry or not
OVERLOAD = 32768.0  # of int16: 0 dBov


def digits(blocks: NDArray[np.int64]) -> NDArray[np.int64]:
    """Tone of each band for block numbers; shape (blocks, BANDS)."""
    scrambled = blocks * STRIDE % PERIOD
    data = np.stack([scrambled // BASE**place % BASE for place in range(4)], axis=1)
    return np.concatenate((data, _checks(data)), axis=1)


def _checks(data: NDArray[np.int64]) -> NDArray[np.int64]:
    """Two check digits: any two words differ in three digits at least (a Reed-Solomon code over GF(7))."""
    return np.stack((data.sum(axis=1), data @ np.arange(1, 5)), axis=1) % BASE


def frequencies() -> NDArray[np.float64]:
    return LOWEST + SPACING * np.arange(BANDS * BASE, dtype=np.float64)


@lru_cache(maxsize=8)
def _tones(rate: int) -> NDArray[np.float32]:
    """Each tone over one block, faded at its ends; shape (BANDS * BASE, samples)."""
    count = round(BLOCK * rate)
    times = np.arange(count) / rate
    band = np.arange(BANDS * BASE) // BASE
    phases = np.pi * band**2 / BANDS  # spread, so that the chord has no high peaks
    waves = np.sin(2 * np.pi * frequencies()[:, None] * times + phases[:, None])
    edge = np.clip((np.minimum(times, times[::-1]) + 0.5 / rate) / EDGE, 0.0, 1.0)
    amplitude = OVERLOAD * 10 ** (LEVEL / 20) * np.sqrt(2 / BANDS)
    tones: NDArray[np.float32] = (amplitude * np.sin(np.pi / 2 * edge) * waves).astype(np.float32)
    return tones


def coded_signal(first: int, count: int, rate: int) -> Samples:
    """Blocks `first` to `first + count - 1` as int16 mono at `rate` Hz, 40 ms each.

    The rate must divide by 25, as all usual ones do.
    """
    if round(BLOCK * rate) != BLOCK * rate:
        raise ValueError(f"a block of 40 ms is no whole number of samples at {rate} Hz")
    tones = _tones(rate)
    chosen = digits(np.arange(first, first + count, dtype=np.int64)) + BASE * np.arange(BANDS)
    wave = np.zeros((count, tones.shape[1]), dtype=np.float32)
    for band in range(BANDS):
        wave += tones[chosen[:, band]]
    return np.rint(wave.ravel()).astype(np.int16)
