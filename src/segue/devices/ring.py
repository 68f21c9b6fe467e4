"""Between a sound card's thread and the packet clock: two clocks that never agree."""

from __future__ import annotations

from threading import Lock

import numpy as np

from segue.base.frame import Samples

FADE = 0.002  # seconds over which a joint is smoothed


class Ring:
    """A queue of int16 samples, held around `target` and never longer than `most` samples.

    When it ran empty, silence comes out until `target` is there again. When it is too long, the oldest
    samples over `target` are dropped. Both joints are faded: no click.
    """

    def __init__(self, target: int, most: int, rate: int) -> None:
        self.dropped = 0  # samples
        self.empty = 0  # samples of silence that were given for want of sound
        self._target = target
        self._most = most
        self._fade = np.linspace(0.0, 1.0, max(1, int(FADE * rate)), dtype=np.float32)
        self._lock = Lock()
        self._held: Samples = np.zeros(0, dtype=np.int16)
        self._waiting = True  # until `target` is there

    def __len__(self) -> int:
        return len(self._held)

    def push(self, samples: Samples) -> None:
        with self._lock:
            held = np.concatenate((self._held, samples))
            if len(held) > self._most:
                self.dropped += len(held) - self._target
                held = self._joined(held[: len(self._fade)], held[len(held) - self._target :])
            self._held = held

    def pull(self, count: int) -> Samples:
        """Exactly `count` samples."""
        with self._lock:
            self._most = max(self._most, 2 * count)  # a card that takes much at once must find it
            if self._waiting and len(self._held) >= max(count, self._target):
                self._waiting = False
                self._held = self._joined(np.zeros(len(self._fade), dtype=np.int16), self._held)
            if self._waiting:
                self.empty += count
                return np.zeros(count, dtype=np.int16)
            samples, self._held = self._held[:count], self._held[count:]
        if len(samples) == count:
            return samples
        self._waiting = True
        self.empty += count - len(samples)
        last = samples[-len(self._fade) :]
        faded = (last * self._fade[::-1][: len(last)]).astype(np.int16)
        rest = np.zeros(count - len(samples), dtype=np.int16)
        return np.concatenate((samples[: len(samples) - len(last)], faded, rest))

    def _joined(self, leaving: Samples, entering: Samples) -> Samples:
        """`entering`, its beginning faded over from `leaving`."""
        count = min(len(leaving), len(entering), len(self._fade))
        fade = self._fade[:count]
        joint = leaving[:count] * (1.0 - fade) + entering[:count] * fade
        return np.concatenate((joint.astype(np.int16), entering[count:]))
