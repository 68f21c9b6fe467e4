"""Dice that repeat."""

from __future__ import annotations

import hashlib


class SeededEntropy:
    """The same octets for the same seed (SHA-256 in counter mode). Never for production: predictable."""

    def __init__(self, seed: int | str = 0) -> None:
        self._seed = str(seed).encode()
        self._counter = 0
        self._pool = b""

    def octets(self, count: int) -> bytes:
        while len(self._pool) < count:
            block = hashlib.sha256(self._seed + b"/" + str(self._counter).encode()).digest()
            self._counter += 1
            self._pool += block
        octets, self._pool = self._pool[:count], self._pool[count:]
        return octets
