"""Randomness, as something that is handed in, so that vectors run through the real code."""

from __future__ import annotations

from typing import Protocol


class Entropy(Protocol):
    """A source of unpredictable octets (`net.entropy` in production, `testing.SeededEntropy` in tests)."""

    def octets(self, count: int) -> bytes:
        """`count` unpredictable octets."""


def token(entropy: Entropy, bits: int = 96) -> str:
    """A random token in lower-case hexadecimal: tags, branches, Call-IDs, nonces (RFC 3261 section 19.3)."""
    return entropy.octets((bits + 7) // 8).hex()


def number(entropy: Entropy, below: int) -> int:
    """A uniform integer in [0, below); the bias of 64 spare bits is under 2**-64."""
    width = (below.bit_length() + 7) // 8 + 8
    return int.from_bytes(entropy.octets(width), "big") % below


def fraction(entropy: Entropy) -> float:
    """A uniform number in [0, 1)."""
    return int.from_bytes(entropy.octets(7), "big") / (1 << 56)
