"""G.722 at 64 kbit/s (ITU-T G.722), by the package G722."""

from __future__ import annotations

import numpy as np

from segue.base.errors import LocalError
from segue.base.frame import Samples
from segue.media.concealment import Concealment

BITRATE = 64000


class G722:
    """16 kHz PCM; two samples an octet; the RTP clock counts at 8 kHz (RFC 3551 section 4.5.2)."""

    name = "G722"
    sample_rate = 16000
    clock_rate = 8000
    frame_samples = 320
    frame_ticks = 160
    redundant = False

    def __init__(self) -> None:
        try:
            from G722 import G722 as Library  # noqa: N811
        except ImportError as missing:
            raise LocalError(
                f"G.722 is not usable here ({missing})", "pip install G722, or choose another codec"
            ) from None
        self._encoder = Library(self.sample_rate, BITRATE)
        self._decoder = Library(self.sample_rate, BITRATE)
        self._concealment = Concealment(self.sample_rate)

    def encode(self, samples: Samples) -> bytes:
        # The library reads the buffer as it lies in memory; it misreads `bytes`.
        return bytes(self._encoder.encode(np.ascontiguousarray(samples)))

    def decode(self, payload: bytes) -> Samples:
        if not payload:
            return np.zeros(0, dtype=np.int16)
        return self._concealment.heard(np.frombuffer(self._decoder.decode(payload), dtype=np.int16))

    def ticks(self, payload: bytes) -> int:
        return len(payload)

    def conceal(self, count: int) -> Samples:
        return self._concealment.conceal(count)

    def recover(self, _count: int, _next_payload: bytes, /) -> Samples | None:
        return None
