"""Real randomness (`base.entropy.Entropy`)."""

from __future__ import annotations

import os


class SystemEntropy:
    """The kernel's generator. A token costs 0.25 µs: a pool of our own would save nothing and could leak."""

    def octets(self, count: int) -> bytes:
        return os.urandom(count)
