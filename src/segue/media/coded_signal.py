"""The lab's coded signal: speech-like in level and band, and each 40 ms of it says which 40 ms it is.

A block is a chord of six tones, one of seven in each of six bands between 300 and 2555 Hz: six digits to the
base of 7. Four are the block's number, two are checks, so that a chord which is cut together from two blocks
is no third one, and a tone that a codec spoilt is made good. The numbers repeat after 2401 blocks, 96 s; an
outage is shorter than half of that, so that numbers can be continued over it. Successive numbers differ in
all four digits.

What a recording does not contain was not heard, whatever the counters of a phone say.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from segue.base.frame import Samples
from segue.base.resample import resample
from segue.media.level import OVERLOAD

BLOCK = 0.040  # seconds
BASE = 7
BANDS = 6
PERIOD = BASE**4  # blocks
LOWEST, SPACING = 300.0, 55.0  # Hz; higher tones do not survive Opus at 24 kbit/s
LEVEL = -20.0  # dBov
EDGE = 0.002  # seconds of fading at a block's ends
STRIDE = 1158  # to the base of 7: 3 2 4 3; adding it changes every digit, carry or not

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


def _digits(blocks: NDArray[np.int64]) -> NDArray[np.int64]:
    """Tone of each band for block numbers; shape (blocks, BANDS)."""
    scrambled = blocks * STRIDE % PERIOD
    data = np.stack([scrambled // BASE**place % BASE for place in range(4)], axis=1)
    return np.concatenate((data, _checks(data)), axis=1)


def _checks(data: NDArray[np.int64]) -> NDArray[np.int64]:
    """Two check digits: any two words differ in three digits at least (a Reed-Solomon code over GF(7))."""
    return np.stack((data.sum(axis=1), data @ np.arange(1, 5)), axis=1) % BASE


def _frequencies() -> NDArray[np.float64]:
    return LOWEST + SPACING * np.arange(BANDS * BASE, dtype=np.float64)


@lru_cache(maxsize=8)
def _tones(rate: int) -> NDArray[np.float32]:
    """Each tone over one block, faded at its ends; shape (BANDS * BASE, samples)."""
    count = round(BLOCK * rate)
    times = np.arange(count) / rate
    band = np.arange(BANDS * BASE) // BASE
    phases = np.pi * band**2 / BANDS  # spread, so that the chord has no high peaks
    waves = np.sin(2 * np.pi * _frequencies()[:, None] * times + phases[:, None])
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
    digits = _digits(np.arange(first, first + count, dtype=np.int64)) + BASE * np.arange(BANDS)
    wave = np.zeros((count, tones.shape[1]), dtype=np.float32)
    for band in range(BANDS):
        wave += tones[digits[:, band]]
    return np.rint(wave.ravel()).astype(np.int16)


# --- the analyser


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
    waves = np.exp(-2j * np.pi * times[:, None] * _frequencies()[None, :])
    analysis: NDArray[np.complex64] = (_window()[:, None] * waves).astype(np.complex64)
    return analysis


def _window() -> NDArray[np.float64]:
    return np.hamming(WINDOW)


@lru_cache(maxsize=1)
def _words() -> NDArray[np.float32]:
    """For each block number a 1 at each of its tones; shape (BANDS * BASE, PERIOD)."""
    digits = _digits(np.arange(PERIOD, dtype=np.int64)) + BASE * np.arange(BANDS)
    words = np.zeros((PERIOD, BANDS * BASE), dtype=np.float32)
    np.put_along_axis(words, digits, 1.0, axis=1)
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
    """Milliseconds of the blocks sent (their numbers as `Heard.block` counts) that were not heard at all."""
    found = {piece.block for piece in heard}
    return 1000.0 * BLOCK * sum(block not in found for block in sent)


def repeated_ms(heard: Iterable[Heard]) -> float:
    """Milliseconds of blocks that were heard again after a later one was."""
    repeated, newest = 0, None
    for piece in heard:
        if newest is not None and piece.block < newest:
            repeated += 1
        newest = piece.block if newest is None else max(newest, piece.block)
    return 1000.0 * BLOCK * repeated
