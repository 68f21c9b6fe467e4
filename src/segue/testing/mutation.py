"""Input that nobody means well with: random octets, and what is known to be fine with pieces cut, repeated, swapped
and spliced in. Repeats for the same dice."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from random import Random

SPLICES = (
    b"\r\n",
    b"\r\n\r\n",
    b"\0",
    b"9" * 400,
    b"-1",
    b"65536",
    b"4294967296",
    b"\xff\xfe",
    b"\xff\xff\xff\xff",
    "٣".encode(),
    b'"',
    b"\\",
    b"<",
    b";;",
    b"%",
    b" " * 200,
    b"[" * 100,
)


def mutations(seeds: Sequence[bytes], dice: Random, splices: Sequence[bytes] = SPLICES) -> Iterator[bytes]:
    """For ever. One in ten is random altogether."""
    while True:
        yield dice.randbytes(dice.randrange(200)) if not dice.randrange(10) else mutated(seeds, dice, splices)


def mutated(seeds: Sequence[bytes], dice: Random, splices: Sequence[bytes] = SPLICES) -> bytes:
    """One seed with up to five changes."""
    data = bytearray(dice.choice(seeds))
    for _ in range(dice.randrange(1, 6)):
        at, cut = dice.randrange(len(data) + 1), dice.randrange(30)
        kind = dice.randrange(6)
        if kind == 0:
            data[at : at + cut] = b""
        elif kind == 1:
            data[at:at] = dice.choice(splices)
        elif kind == 2:
            data[at : at + 1] = bytes([dice.randrange(256)])
        elif kind == 3:
            data[at:at] = data[at : at + cut * 10]
        elif kind == 4:
            data[at:] = b""
        else:
            other = dice.choice(seeds)
            start = dice.randrange(len(other) + 1)
            data[at : at + cut] = other[start : start + cut * 4]
    return bytes(data)
