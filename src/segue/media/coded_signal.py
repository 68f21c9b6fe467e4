"""What a recording contains of the lab's coded signal (`segue.base.coded_signal`), each 40 ms by its number.

What a recording does not contain was not heard, whatever the counters of a phone say.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from segue.base.coded_signal import BANDS, BASE, BLOCK, OVERLOAD, PERIOD, coded_signal, digits, frequencies
from segue.base.frame import Samples
from segue.base.resample import resample

__all__ = ["BLOCK", "PERIOD", "Heard", "analyse", "coded_signal", "repeated_ms", "unheard_ms"]

ANALYSIS_RATE = 8000  # Hz
WINDOW = 200  # samples: 25 ms, so that several windows lie inside one block
HOP = 0.005  # seconds
SILENT = -60.0  # dBov
TONAL = 0.4  # of all power, at least, that the six strongest tones have
CLEAR = 3.0  # of 6.0: the sum over the bands of the share of power that a word's tones have
MARGIN = 0.6  # by which the best word must be better than the second
LEAST_RUN = 2  # windows in a row that must agree
LONGEST_BREAK = 2  # windows within a block that may be spoilt
FALSE_RUN = 4  # a shorter run that fits neither neighbour is an accident
FITTING = 25  # blocks: a second


class Heard(NamedTuple):
    """One block found in a recording."""

    block: int  # continued over the repetitions of the numbers; the first is less than PERIOD
    position: float  # seconds from the recording's beginning to the middle of what was heard of it
    duration: float  # seconds that it could be recognised in, about 20 ms less than it sounded


def analyse(recording: Samples, rate: int) -> list[Heard]:
    """Which blocks a recording (int16, mono) contains, and where, in the order of the recording."""
    numbers = _recognise(resample(recording, rate, ANALYSIS_RATE))
    return _continued(_runs(numbers))


def _recognise(samples: Samples) -> NDArray[np.int64]:
    """The block number in each window, WINDOW samples at steps of HOP; -1 where there is none."""
    hop = int(HOP * ANALYSIS_RATE)
    count = max(0, (len(samples) - WINDOW) // hop + 1)
    numbers = np.full(count, -1, dtype=np.int64)
    for begin in range(0, count, 4096):  # some 20 s at a time: two hours need no gigabytes
        part = samples[begin * hop : (min(begin + 4096, count) - 1) * hop + WINDOW].astype(np.float32)
        windows = np.lib.stride_tricks.sliding_window_view(part, WINDOW)[::hop]
        numbers[begin : begin + len(windows)] = _numbers(windows)
    return numbers


@lru_cache(maxsize=1)
def _analysis() -> NDArray[np.complex64]:
    times = np.arange(WINDOW) / ANALYSIS_RATE
    waves = np.exp(-2j * np.pi * times[:, None] * frequencies()[None, :])
    analysis: NDArray[np.complex64] = (_window()[:, None] * waves).astype(np.complex64)
    return analysis


def _window() -> NDArray[np.float64]:
    return np.hamming(WINDOW)


@lru_cache(maxsize=1)
def _words() -> NDArray[np.float32]:
    """For each block number a 1 at each of its tones; shape (BANDS * BASE, PERIOD)."""
    chosen = digits(np.arange(PERIOD, dtype=np.int64)) + BASE * np.arange(BANDS)
    words = np.zeros((PERIOD, BANDS * BASE), dtype=np.float32)
    np.put_along_axis(words, chosen, 1.0, axis=1)
    return words.T.copy()


def _numbers(windows: NDArray[np.float32]) -> NDArray[np.int64]:
    power = np.abs(windows @ _analysis()) ** 2
    bands = power.reshape(-1, BANDS, BASE)
    energy = (windows**2).mean(axis=1)
    # A tone of amplitude a has a power of a**2 / 2, and here of (a * sum(window) / 2)**2.
    tonal = 2 * bands.max(axis=2).sum(axis=1) / float(_window().sum()) ** 2
    good = (energy > OVERLOAD**2 * 10 ** (SILENT / 10)) & (tonal > TONAL * energy)
    numbers = np.full(len(windows), -1, dtype=np.int64)
    chosen = np.flatnonzero(good)
    if len(chosen):
        shares = bands[chosen] / bands[chosen].sum(axis=2, keepdims=True)
        numbers[chosen] = _nearest_words(shares.reshape(-1, BANDS * BASE).astype(np.float32))
    return numbers


def _nearest_words(shares: NDArray[np.float32]) -> NDArray[np.int64]:
    """The word that has most of the power in each band, where no other has nearly as much; else -1."""
    scores = shares @ _words()
    best = scores.argmax(axis=1)
    rows = np.arange(len(scores))
    highest = scores[rows, best].copy()
    scores[rows, best] = 0.0
    clear = (highest > CLEAR) & (highest - scores.max(axis=1) > MARGIN)
    return np.where(clear, best, -1)


def _runs(numbers: NDArray[np.int64]) -> list[tuple[int, int, int]]:
    """Windows in a row with one number: (number, first window, last window)."""
    runs: list[tuple[int, int, int, int]] = []
    for window in np.flatnonzero(numbers >= 0).tolist():
        number = int(numbers[window])
        if runs and runs[-1][0] == number and window - runs[-1][2] <= LONGEST_BREAK + 1:
            runs[-1] = (number, runs[-1][1], window, runs[-1][3] + 1)
        else:
            runs.append((number, window, window, 1))
    return [(number, first, last) for number, first, last, found in runs if found >= LEAST_RUN]


def _continued(runs: list[tuple[int, int, int]]) -> list[Heard]:
    """Runs with numbers continued over the period, without accidents."""
    heard: list[Heard] = []
    for index, (number, first, last) in enumerate(runs):
        if last - first + 1 < FALSE_RUN and _is_accident(runs, index):
            continue
        block = heard[-1].block + _step(heard[-1].block, number) if heard else number
        middle = (first + last) / 2 * HOP + WINDOW / 2 / ANALYSIS_RATE
        heard.append(Heard(block, middle, (last - first + 1) * HOP))
    return heard


def _is_accident(runs: list[tuple[int, int, int]], index: int) -> bool:
    """Whether this run is far from both of its neighbours."""
    neighbours = [runs[other][0] for other in (index - 1, index + 1) if 0 <= other < len(runs)]
    return bool(neighbours) and all(abs(_step(other, runs[index][0])) > FITTING for other in neighbours)


def _step(block: int, number: int) -> int:
    """From one block to the nearest with this number, forwards or backwards."""
    return (number - block + PERIOD // 2) % PERIOD - PERIOD // 2


def unheard_ms(sent: Iterable[int], heard: Iterable[Heard]) -> float:
    """Milliseconds of the blocks sent (their numbers as `Heard.block` counts) that were not heard at all.

    A block of which half was heard was heard: an outage is measured to 40 ms, and single lost packets that
    concealment bridges hardly show. Those are for the counters, and for `quality`.
    """
    found = {piece.block for piece in heard}
    return 1000.0 * BLOCK * sum(block not in found for block in sent)


def repeated_ms(heard: Iterable[Heard]) -> float:
    """Milliseconds of blocks that were heard again after a later one was."""
    repeated, newest, before = 0, -PERIOD, -PERIOD
    for piece in heard:
        if piece.block <= newest and piece.block != before:  # the same in a row is one block in two pieces
            repeated += 1
        before = piece.block
        newest = max(newest, before)
    return 1000.0 * BLOCK * repeated
