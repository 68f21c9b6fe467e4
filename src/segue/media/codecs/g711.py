"""G.711 by table (ITU-T G.711, tables 1a/1b for A-law and 2a/2b for mu-law)."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from segue.base.frame import Samples
from segue.media.concealment import Concealment

Encoding = NDArray[np.uint8]  # code of each sample, indexed by the sample's two octets as an unsigned number
Decoding = NDArray[np.int16]  # sample of each code

MU_LAW_BIAS = 33  # moves the segment borders of mu-law to powers of two, in 14-bit units
MU_LAW_CLIP = 8158  # the largest 14-bit magnitude that has a code: the last decision value is 8159


def _magnitudes(shift: int) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Magnitude in units of 2**shift, and sign, of every sample in the order of its unsigned octets.

    The magnitude of a negative number is its ones' complement: ITU-T's own software (G.191) does it so,
    and a sample exactly on a decision value then falls to the quieter side on both signs' tables.
    """
    samples = np.arange(65536, dtype=np.uint16).view(np.int16).astype(np.int64)
    negative = samples < 0
    return np.where(negative, ~samples, samples) >> shift, negative


@lru_cache(maxsize=1)
def mu_law_tables() -> tuple[Encoding, Decoding]:
    """Encoding and decoding table of mu-law."""
    magnitude, negative = _magnitudes(2)
    biased = np.minimum(magnitude, MU_LAW_CLIP) + MU_LAW_BIAS
    segment = np.floor(np.log2(biased)).astype(np.int64) - 5
    code = (segment << 4) | ((biased >> (segment + 1)) & 0x0F)
    encoding = np.where(negative, 0x7F, 0xFF) ^ code  # all bits but the sign are sent inverted
    received = ~np.arange(256) & 0xFF
    segment, step = (received >> 4) & 7, received & 0x0F
    value = (((step << 1) + MU_LAW_BIAS) << segment) - MU_LAW_BIAS
    decoding = np.where(received & 0x80, -value, value) * 4
    return encoding.astype(np.uint8), decoding.astype(np.int16)


@lru_cache(maxsize=1)
def a_law_tables() -> tuple[Encoding, Decoding]:
    """Encoding and decoding table of A-law."""
    magnitude, negative = _magnitudes(4)  # 12 bits with sign: 11 bits of magnitude in units of 16
    segment = np.maximum(np.floor(np.log2(np.maximum(magnitude, 1))).astype(np.int64) - 3, 0)
    code = (segment << 4) | ((magnitude >> np.maximum(segment - 1, 0)) & 0x0F)
    encoding = np.where(negative, 0x00, 0x80) ^ code ^ 0x55  # even bits are sent inverted
    received = np.arange(256) ^ 0x55
    segment, step = (received >> 4) & 7, received & 0x0F
    value = np.where(segment == 0, 2 * step + 1, (2 * step + 33) << np.maximum(segment - 1, 0))
    decoding = np.where(received & 0x80, value, -value) * 8
    return encoding.astype(np.uint8), decoding.astype(np.int16)


class _G711:
    """One octet a sample, 8 kHz; the Codec shape over a pair of tables."""

    name = ""
    sample_rate = 8000
    clock_rate = 8000
    frame_samples = 160
    frame_ticks = 160
    redundant = False

    def __init__(self, tables: tuple[Encoding, Decoding]) -> None:
        self._encoding, self._decoding = tables
        self._concealment = Concealment(self.sample_rate)

    def encode(self, samples: Samples) -> bytes:
        return self._encoding.take(samples.view(np.uint16)).tobytes()

    def decode(self, payload: bytes) -> Samples:
        return self._concealment.heard(self._decoding.take(np.frombuffer(payload, dtype=np.uint8)))

    def ticks(self, payload: bytes) -> int:
        return len(payload)

    def conceal(self, count: int) -> Samples:
        return self._concealment.conceal(count)

    def recover(self, _count: int, _next_payload: bytes, /) -> Samples | None:
        return None


class MuLaw(_G711):
    """PCMU."""

    name = "PCMU"

    def __init__(self) -> None:
        super().__init__(mu_law_tables())


class ALaw(_G711):
    """PCMA."""

    name = "PCMA"

    def __init__(self) -> None:
        super().__init__(a_law_tables())
