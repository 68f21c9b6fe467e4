"""The time of one piece of work, for the benchmarks beside it."""

from __future__ import annotations

from collections.abc import Callable
from time import process_time

ROUNDS = 7


def cost(count: int, work: Callable[[], object]) -> float:
    """Microseconds of one, in the fastest round of `count` each."""
    fastest = float("inf")
    for _ in range(ROUNDS):
        begin = process_time()
        for _ in range(count):
            work()
        fastest = min(fastest, process_time() - begin)
    return fastest / count * 1e6
