"""What a recording contains of the lab's coded signal (`segue.base.coded_signal`), each 40 ms by its number.

What a recording does not contain was not heard, whatever the counters of a phone say.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from segue.base.coded_signal import BANDS, BASE, BLOCK, OVERLOAD, PERIOD, coded_signal, digits, frequencies
from segue.base.frame import Samples
from segue.base.resample import resample

__all__ = [
    "BLOCK",
    "PERIOD",
    "Heard",
    "analyse",
    "coded_signal",
    "heard_long_after",
    "outages",
    "repeated_ms",
    "unheard_ms",
]

ANALYSIS_RATE = 8000  # Hz
WINDOW = 200  # samples: 25 ms, so that several windows lie inside one block
HOP = 0.005  # seconds
SILENT = -60.0  # dBov
TONAL = 0.4  # of all power, at least, that the six strongest tones have
CLEAR = 3.0  # of 6.0: the sum over the bands of the share of power that a word's tones have
MARGIN = 0.6  # by which the best word must be better than the second
LEAST_RUN = 2  # windows in a row that must agree
LONGEST_BREAK = 2  # windows within a block that may be spoilt
BELIEVABLE = (
    1.0  # blocks by which a run may be off the pace of the recording: where in its block it was heard
)
DRIFT_COST = 0.5  # windows a block beyond that: a changed delay pays it once, an accident there and back
JUMP_COST = 25.0  # windows, at most: what must be won by believing that the talker is elsewhere in his signal
REACH = 24  # runs back that a run may follow on
RECENT = 100  # blocks: what was heard so long ago and is heard again is a repetition, and no accident

LONG_AFTER = 3.0  # seconds: neither concealment nor a longer delay
LEAST_ROW = 3  # blocks; one may be an accident


class Heard(NamedTuple):
    """One block found in a recording."""

    block: int  # continued over the repetitions of the numbers; the first is less than PERIOD
    position: float  # seconds from the recording's beginning to the middle of what was heard of it
    duration: float  # seconds that it could be recognised in, about 20 ms less than it sounded


def analyse(recording: Samples, rate: int) -> list[Heard]:
    """Which blocks a recording (int16, mono) contains, and where, in the order of the recording."""
    numbers = _recognise(resample(recording, rate, ANALYSIS_RATE))
    return _continued(_runs(numbers))


def heard_long_after(recording: Samples, rate: int) -> int:
    """Blocks that a recording has again more than LONG_AFTER seconds later, LEAST_ROW in a row at least. `analyse`
    does not follow on such. What comes about a period later is the talker's own repetition."""
    runs = _runs(_recognise(resample(recording, rate, ANALYSIS_RATE)))
    first: dict[int, float] = {}
    count, row, before = 0, 0, -2
    for number, begin, last in runs:
        position = (begin + last) / 2 * HOP
        later = (position - first.setdefault(number, position)) % (PERIOD * BLOCK)
        if LONG_AFTER < later < PERIOD * BLOCK - LONG_AFTER and number != before:
            row = row + 1 if number == (before + 1) % PERIOD else 1
            count += LEAST_ROW if row == LEAST_ROW else row > LEAST_ROW
        elif number != before:
            row = 0
        before = number
    return count


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


class _Run(NamedTuple):
    """Windows in a row with one number."""

    number: int
    position: float  # blocks from the recording's beginning to its middle
    windows: int


def _continued(runs: list[tuple[int, int, int]]) -> list[Heard]:
    """Runs with numbers continued over the period, without accidents.

    A recording runs as fast as the talker's signal, so a run proves where the talker is only together with others:
    kept are those runs that together have the most windows, less what it costs to leave the recording's pace. An
    accident would have to leave it and come back. Of the others those are kept that repeat what was just heard.
    """
    placed = [
        _Run(number, ((first + last) / 2 * HOP + WINDOW / 2 / ANALYSIS_RATE) / BLOCK, last - first + 1)
        for number, first, last in runs
    ]
    believed = set(_most_believable(placed))
    heard: list[Heard] = []
    found: set[int] = set()
    latest: tuple[_Run, int] | None = None  # that was believed, and its block
    for index, run in enumerate(placed):
        if index in believed:
            block = run.number if latest is None else latest[1] + _step(latest[0], run)
            latest = run, block
        elif latest is None:
            continue
        else:
            behind = (latest[1] - run.number) % PERIOD
            block = latest[1] - behind
            if behind > RECENT or block not in found:
                continue
        found.add(block)
        heard.append(Heard(block, run.position * BLOCK, run.windows * HOP))
    return heard


def _most_believable(runs: list[_Run]) -> list[int]:
    """Indices of the longest chain of runs, in windows less costs; by dynamic programming over the last REACH runs
    and the end of the best chain so far."""
    worth: list[float] = []
    follows: list[int] = []
    best = -1
    for index, run in enumerate(runs):
        most, chosen = 0.0, -1
        candidates = range(max(0, index - REACH), index)
        for other in (*candidates, best) if 0 <= best < index - REACH else candidates:
            value = worth[other] - _cost(runs[other], run)
            if value > most:
                most, chosen = value, other
        worth.append(most + run.windows)
        follows.append(chosen)
        if best < 0 or worth[index] > worth[best]:
            best = index
    chain = []
    while best >= 0:
        chain.append(best)
        best = follows[best]
    return chain


def _cost(before: _Run, run: _Run) -> float:
    """Of one run following on another, in windows."""
    off = abs(_step(before, run) - (run.position - before.position))
    return min(JUMP_COST, DRIFT_COST * max(0.0, off - BELIEVABLE))


def _step(before: _Run, run: _Run) -> int:
    """Blocks from one run to another: of those with its number the one that the time between them suggests."""
    passed = round(run.position - before.position)
    return (run.number - before.number - passed + PERIOD // 2) % PERIOD - PERIOD // 2 + passed


def outages(heard: Iterable[Heard]) -> list[tuple[float, int]]:
    """Blocks that were not heard, between the first that was and the last: the position of what was heard before
    them, in seconds, and how many they are."""
    pieces = list(heard)
    found = {piece.block for piece in pieces}
    missing = []
    for newest, piece in pairwise(_onwards(pieces)):
        count = sum(block not in found for block in range(newest.block + 1, piece.block))
        if count:
            missing.append((newest.position, count))
    return missing


def _onwards(pieces: list[Heard]) -> list[Heard]:
    """Without those that repeat what came before, and each block where it was heard first."""
    onwards: list[Heard] = []
    for piece in pieces:
        if not onwards or piece.block > onwards[-1].block:
            onwards.append(piece)
    return onwards


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
