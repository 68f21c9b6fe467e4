"""What is played instead of a lost packet, for codecs without a concealment of their own.

The principle is that of ITU-T G.711 Appendix I: speech is nearly periodic over some 10 ms, so the last pitch
period is repeated, from 10 ms on the last two, from 20 ms on the last three (a single one would buzz); it
fades from 10 ms on and is silent at 60 ms. When packets return, the repetition goes on a little beneath them
and fades out. Unlike the appendix this delays nothing: the first joint is smoothed forwards only.
"""

from __future__ import annotations

from collections import deque
from functools import lru_cache

import numpy as np

from segue.base.frame import Samples
from segue.media.splice import Wave, crossfade, most_alike, rising

SHORTEST_PERIOD = 0.005  # seconds: 200 Hz; higher voices are repeated by a multiple of their period
LONGEST_PERIOD = 0.015  # 66 Hz
COMPARED = 0.020  # seconds of speech the period is measured on
FADE_FROM = 0.010  # seconds of loss
SILENT_AT = 0.060
PERIODS = 3
PARTS = 6  # decoded pieces kept: 60 ms when they are as short as 10 ms


class Concealment:
    """Hears all that is played of one stream at `rate` Hz, and invents what is missing. int16, mono.

    `silent_at`: seconds into the loss. `periods`: how many are repeated at most; a single one says nothing again
    that a listener could take for a word.
    """

    def __init__(self, rate: int, silent_at: float = SILENT_AT, periods: int = PERIODS) -> None:
        self._rate = rate
        self._periods = periods
        self._gain = _gain(rate, silent_at)
        self._parts: deque[Samples] = deque(maxlen=PARTS)
        self.remember = self._parts.append  # `heard` for who knows that nothing was missing
        self._invented: Wave | None = None  # the whole repetition, from the beginning of the loss to silence
        self._position = 0  # samples invented so far in this loss

    def heard(self, samples: Samples) -> Samples:
        """Take what was decoded; returns what to play: the same, but for the joint after a loss."""
        if self._invented is not None:
            samples = self._rejoin(samples)
        self._parts.append(samples)
        return samples

    def conceal(self, count: int) -> Samples:
        """`count` samples that continue what was heard last, and fade to silence."""
        if self._invented is None:
            self._invented = self._invent()
            self._position = 0
        output = self._piece(count).astype(np.int16)
        self._position += count
        self._parts.append(output)
        return output

    def _piece(self, count: int) -> Wave:
        """The next `count` samples of the repetition, with zeros behind its end."""
        invented = self._invented
        assert invented is not None
        piece = np.zeros(count, dtype=np.float32)
        ready = invented[self._position : self._position + count]
        piece[: len(ready)] = ready
        return piece

    def _rejoin(self, samples: Samples) -> Samples:
        """4 ms of fading, and 4 ms more for each 10 ms that was lost, up to 10 ms (G.711 Appendix I.2.7)."""
        lost = self._position / self._rate
        overlap = min(len(samples), int(self._rate * min(0.010, 0.004 + 0.4 * max(0.0, lost - 0.010))))
        joined = samples.copy()
        joined[:overlap] = crossfade(self._piece(overlap), samples[:overlap].astype(np.float32))
        self._invented = None
        return joined

    def _invent(self) -> Wave:
        rate = self._rate
        longest, compared = int(LONGEST_PERIOD * rate), int(COMPARED * rate)
        past = self._past(3 * longest + longest // 4)
        searched = past[len(past) - compared - longest : len(past) - int(SHORTEST_PERIOD * rate)]
        offset, _ = most_alike(past[-compared:], searched, max(1, rate // 8000))
        period = longest - offset
        wave = self._repeat(past, period)
        # The repetition begins where the period began, not where the speech broke off: lead over gently.
        lead = rate // 400
        wave[:lead] += (past[-1] - past[-1 - period]) * rising(lead)[::-1]
        return wave.clip(-32768, 32767) * self._gain

    def _past(self, count: int) -> Wave:
        past = np.concatenate((np.zeros(count, dtype=np.int16), *self._parts))
        return past[-count:].astype(np.float32)

    def _repeat(self, past: Wave, period: int) -> Wave:
        """One period for 10 ms, two for the next 10 ms, then three, each change faded over a quarter."""
        ten, quarter = self._rate // 100, period // 4
        positions = np.arange(len(self._gain))
        wave = _loop(past, period, quarter).take(positions, mode="wrap")
        for periods, begin in ((2, ten), (3, 2 * ten))[: self._periods - 1]:
            # Begin the longer loop where the shorter one is in its period.
            onward = positions[: len(wave) - begin] + begin % period
            longer = _loop(past, periods * period, quarter).take(onward, mode="wrap")
            joint = crossfade(wave[begin : begin + quarter], longer[:quarter])
            wave[begin:] = longer
            wave[begin : begin + quarter] = joint
        return wave


def _loop(past: Wave, length: int, quarter: int) -> Wave:
    """The last `length` samples, their end led over to what precedes them, so that they can be repeated."""
    loop = past[-length:].copy()
    if quarter:
        loop[-quarter:] = crossfade(loop[-quarter:], past[-length - quarter : -length])
    return loop


@lru_cache(maxsize=8)
def _gain(rate: int, silent_at: float) -> Wave:
    times = np.arange(int(silent_at * rate), dtype=np.float32) / rate
    return np.clip((silent_at - times) / (silent_at - FADE_FROM), 0.0, 1.0)
