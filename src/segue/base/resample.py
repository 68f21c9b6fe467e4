"""Changing the sample rate of PCM as it streams: a polyphase FIR as one small matrix product per block.

Here and not in `media`, because sound devices need it as much as codecs do, and those two rooms do not see
each other.
"""

from __future__ import annotations

from functools import lru_cache
from math import gcd

import numpy as np
from numpy.typing import NDArray

from segue.base.frame import Samples

HALF_LENGTH = 24  # zero crossings of the low-pass on each side: 3 ms of delay at 8 kHz
KAISER_BETA = 5.65  # 60 dB of stop band
CUTOFF = 0.925  # of the lower rate's Nyquist frequency: flat to 0.85, silent from 1.0


class _Plan:
    """What a pair of rates needs: `up` outputs come from every `down` inputs, through `matrix`."""

    __slots__ = ("down", "matrix", "reach", "up")

    def __init__(self, source_rate: int, target_rate: int) -> None:
        common = gcd(source_rate, target_rate)
        self.up, self.down = target_rate // common, source_rate // common
        half = HALF_LENGTH * max(1.0, self.down / self.up)  # of the low-pass, in input samples
        self.reach = 2 * int(np.ceil(half))  # input samples an output looks back at
        taps = np.arange(self.reach + self.down)[:, None]
        outputs = np.arange(self.up)[None, :] * (self.down / self.up)
        distance = outputs + self.reach // 2 - taps
        bandwidth = CUTOFF * min(1.0, self.up / self.down)
        window = np.i0(KAISER_BETA * np.sqrt(np.clip(1.0 - (distance / half) ** 2, 0.0, None)))
        kernel = np.where(np.abs(distance) <= half, np.sinc(bandwidth * distance) * window, 0.0)
        self.matrix: NDArray[np.float32] = (kernel / kernel.sum(axis=0)).astype(np.float32)


@lru_cache(maxsize=16)
def _plan(source_rate: int, target_rate: int) -> _Plan:
    return _Plan(source_rate, target_rate)


class Resampler:
    """A stream of int16 mono PCM from `source_rate` to `target_rate`, both in Hz.

    Frames of 20 ms at 8, 16, 24, 32, 44.1 and 48 kHz give frames of exactly 20 ms. The output is delayed by
    24 samples of the lower rate. Equal rates pass samples through untouched.
    """

    def __init__(self, source_rate: int, target_rate: int) -> None:
        if source_rate <= 0 or target_rate <= 0:
            raise ValueError(f"no sample rate: {source_rate} Hz, {target_rate} Hz")
        self.source_rate = source_rate
        self.target_rate = target_rate
        self._plan = None if source_rate == target_rate else _plan(source_rate, target_rate)
        self._held: NDArray[np.float32] = np.zeros(self._plan.reach if self._plan else 0, dtype=np.float32)

    def push(self, samples: Samples) -> Samples:
        """Take samples of the source; returns what is ready of the target."""
        plan = self._plan
        if plan is None:
            return samples
        held: NDArray[np.float32] = np.concatenate((self._held, samples), dtype=np.float32)
        blocks = (len(held) - plan.reach) // plan.down
        used = blocks * plan.down
        self._held = held[used:]
        if not blocks:
            return np.zeros(0, dtype=np.int16)
        # Overlapping rows over one buffer; numpy's own functions for that cost as much as the product.
        width, item = plan.reach + plan.down, held.itemsize
        windows = np.ndarray((blocks, width), np.float32, held, 0, (plan.down * item, item))
        output: NDArray[np.float32] = np.rint(windows @ plan.matrix)
        return output.ravel().clip(-32768, 32767).astype(np.int16)

    def wanted(self, count: int) -> int:
        """How many samples of the source `push` needs now to return at least `count` of the target."""
        plan = self._plan
        if plan is None:
            return count
        blocks = -(-count // plan.up)
        return max(0, blocks * plan.down - (len(self._held) - plan.reach))


def resample(samples: Samples, source_rate: int, target_rate: int) -> Samples:
    """A whole recording at another rate, its delay taken away, its duration kept."""
    if source_rate == target_rate:
        return samples
    plan = _plan(source_rate, target_rate)
    lead = -(plan.reach // 2) % plan.down  # makes the delay a whole number of outputs
    before = np.zeros(lead, dtype=np.int16)
    behind = np.zeros(plan.reach + 2 * plan.down, dtype=np.int16)
    output = Resampler(source_rate, target_rate).push(np.concatenate((before, samples, behind)))
    delay = (plan.reach // 2 + lead) * plan.up // plan.down
    return output[delay : delay + round(len(samples) * target_rate / source_rate)]
