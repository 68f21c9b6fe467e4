"""How loud a piece of PCM is."""

from __future__ import annotations

import math

import numpy as np

from segue.base.frame import Samples

OVERLOAD = 32768.0  # of int16; a square wave of this amplitude has 0 dBov (RFC 6464 section 3)
QUIETEST = -127.0  # dBov: what RFC 6464 calls digital silence


def level_dbov(samples: Samples) -> float:
    """The RMS level of int16 samples in dBov, from -127.0 (silence, or no samples) to 0.0."""
    if not len(samples):
        return QUIETEST
    wave = samples.astype(np.float32)
    power = float(wave @ wave) / len(wave)
    if power <= 0.0:
        return QUIETEST
    return max(QUIETEST, min(0.0, 10.0 * math.log10(power) - 20.0 * math.log10(OVERLOAD)))


def peak(samples: Samples) -> float:
    """The largest magnitude as a fraction of full scale, 0.0 to 1.0."""
    if not len(samples):
        return 0.0
    return max(int(samples.max()), -int(samples.min())) / OVERLOAD
