"""Sound between a device and a codec."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.int16]


class Frame(NamedTuple):
    """Linear PCM: `samples` has shape (n,), int16, mono; `rate` in Hz; `time` is when its first sample
    belongs, in seconds of the machine's monotonic scale."""

    samples: Samples
    rate: int
    time: float = 0.0

    @property
    def duration(self) -> float:
        """Seconds."""
        return len(self.samples) / self.rate
