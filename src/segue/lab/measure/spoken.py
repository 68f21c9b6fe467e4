"""Which parts of recorded speech a listener's recording contains, and in which order.

The coded signal says of each 40 ms which it is; a human voice does not, so that each window of the recording is
looked for in what was spoken, by correlation, near where it should be. For links that are clean enough: what
concealment made up correlates with nothing.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from segue.base.frame import Samples
from segue.devices.open import open_source
from segue.lab.options import CODED

WINDOW, HOP = 0.08, 0.04  # seconds
ALIKE = 0.6  # normalised correlation from which a window counts as found
LOUD = 0.01  # root mean square, of full scale, below which a window says nothing
NEAR = 3.0  # seconds around the expected place that are searched
ASTRAY = 0.03  # seconds by which two windows side by side may be shifted; the playout shifts by less
AROUND = 30  # windows before and after one that say how late the speech is
BACK = 0.1  # seconds by which a window must be later than those around it to be a repetition

Signal = NDArray[np.float32]


class Place(NamedTuple):
    """A window of the recording, and where in the talker's speech it is from; seconds. `spoken` counts on when the
    speech begins anew."""

    heard_at: float
    spoken: float


def spoken_signal(text: str, rate: int) -> Samples:
    """What a phone with `--audio-in text` says, once."""
    source = open_source(f"{text}:once" if text == "speech" else text, rate)
    frames: list[Samples] = []
    while not source.finished and len(frames) < 50 * 600:
        frames.append(source.read().samples)
    source.close()
    return np.concatenate(frames) if frames else np.zeros(0, np.int16)


def human_speech(text: str, rate: int) -> Samples | None:
    """The same; None for the coded signal, which needs no comparing."""
    return None if text == CODED else spoken_signal(text, rate)


def places(recording: Samples, spoken: Samples, rate: int) -> list[Place]:
    """Every window of the recording that was found and lies as one beside it does, in the order of the recording:
    one alone may be of another vowel that sounds alike."""
    heard, said = _scaled(recording), _scaled(spoken)
    width, hop = int(WINDOW * rate), int(HOP * rate)
    found: list[Place] = []
    for start in range(0, len(heard) - width, hop):
        window = heard[start : start + width]
        if np.sqrt(np.mean(window**2)) < LOUD:
            continue
        at = start / rate
        expected = found[-1].spoken + at - found[-1].heard_at if found else None
        place = _search(window, said, rate, expected)
        if place is not None:
            found.append(Place(at, place))
    return [place for n, place in enumerate(found) if _confirmed(place, found[max(0, n - 1) : n + 2])]


def _confirmed(place: Place, around: list[Place]) -> bool:
    """Whether one of those before and after it is as late as it is."""
    return any(
        other is not place
        and abs(other.heard_at - place.heard_at) < 3 * HOP
        and abs((other.heard_at - other.spoken) - (place.heard_at - place.spoken)) < ASTRAY
        for other in around
    )


def unheard(found: list[Place], spoken: Samples, rate: int, until: float) -> list[tuple[float, float]]:
    """Stretches of the speech that were loud and not heard: when (in the recording) and how long; seconds. `until`:
    when in the recording the speech was to end; if nothing of it was found, it was to begin with the recording."""
    said = _scaled(spoken)
    length = len(said) / rate
    offset = float(np.median([place.heard_at - place.spoken for place in found])) if found else 0.0
    begin_at = found[0].spoken if found else 0.0
    end_at = max(until - offset, found[-1].spoken if found else 0.0)
    blocks = np.zeros(int((end_at + WINDOW) / HOP) + 3, dtype=bool)
    for place in found:
        first = round(place.spoken / HOP)
        blocks[first : first + round(WINDOW / HOP)] = True
    missing = []
    for block in range(round(begin_at / HOP), round(end_at / HOP)):
        begin = int((block * HOP % length) * rate)
        piece = said[begin : begin + int(HOP * rate)]
        if not blocks[block] and len(piece) and np.sqrt(np.mean(piece**2)) > 3 * LOUD:
            missing.append((block * HOP + offset, HOP))
    return missing


def repeated(found: list[Place]) -> int:
    """Windows that are from before what was said around them: more than BACK later than the middle of their
    neighbours, of which replays are the smaller part."""
    late = np.array([place.heard_at - place.spoken for place in found])
    usual = np.array([np.median(late[max(0, n - AROUND) : n + AROUND + 1]) for n in range(len(late))])
    return int(np.sum(late > usual + BACK))


def _scaled(samples: Samples) -> Signal:
    return np.asarray(samples, dtype=np.float32) / np.float32(32768)


def _search(window: Signal, said: Signal, rate: int, expected: float | None) -> float | None:
    """Where in the speech, counted on over its repetitions, this window is from."""
    length = len(said)
    if expected is None:
        place, likeness = best_place(window, said)
        return place / rate if likeness >= ALIKE else None
    middle = round(expected * rate)
    reach = round(NEAR * rate)
    region = said[np.arange(middle - reach, middle + reach) % length]
    place, likeness = best_place(window, region)
    return (middle - reach + place) / rate if likeness >= ALIKE else None


def best_place(window: Signal, region: Signal) -> tuple[int, float]:
    """The place with the highest normalised correlation."""
    size = 1 << (len(region) + len(window) - 1).bit_length()
    product = np.fft.rfft(region, size) * np.conj(np.fft.rfft(window, size))
    correlation = np.fft.irfft(product, size)[: len(region) - len(window)]
    energy = np.concatenate(([0.0], np.cumsum(region.astype(np.float64) ** 2)))
    local: NDArray[np.float64] = (
        energy[len(window) : len(window) + len(correlation)] - energy[: len(correlation)]
    )
    scale = np.sqrt(np.maximum(local, 1e-6) * float(np.sum(window**2)))
    normal: NDArray[np.float64] = correlation / scale
    place = int(np.argmax(normal))
    return place, float(normal[place])
