"""A wire between machines that delays, loses, doubles and reorders, the same way for the same seed.

It knows neither clock nor sockets: what is sent at a time comes out of `arrivals` at a later one. Addresses are
whatever its user names its ends by. For links with rates, queues and radio there is `segue.emulator`.
"""

from __future__ import annotations

import heapq
from collections.abc import Hashable
from typing import Generic, NamedTuple, TypeVar

from segue.base.entropy import fraction
from segue.testing.entropy import SeededEntropy

Load = TypeVar("Load")


class Arrival(NamedTuple, Generic[Load]):
    at: float
    source: Hashable
    target: Hashable
    load: Load


class Wire(Generic[Load]):
    """`delay` in seconds, one way; `jitter`: up to so many seconds more, drawn for each datagram, so that one may
    overtake another; `loss` and `duplicate`: probabilities. All may be changed at any time.

    `cut` takes an end off the wire: nothing leaves it and nothing reaches it, not even what is on its way.
    """

    def __init__(
        self,
        seed: int | str = 0,
        *,
        delay: float = 0.02,
        jitter: float = 0.0,
        loss: float = 0.0,
        duplicate: float = 0.0,
    ) -> None:
        self.delay = delay
        self.jitter = jitter
        self.loss = loss
        self.duplicate = duplicate
        self.carried = 0
        self.lost = 0
        self._entropy = SeededEntropy(f"wire/{seed}")
        self._under_way: list[tuple[float, int, Arrival[Load]]] = []
        self._count = 0
        self._cut: set[Hashable] = set()

    @property
    def cut_ends(self) -> frozenset[Hashable]:
        return frozenset(self._cut)

    def cut(self, end: Hashable) -> None:
        self._cut.add(end)

    def mend(self, end: Hashable) -> None:
        self._cut.discard(end)

    def send(self, source: Hashable, target: Hashable, load: Load, now: float) -> None:
        """Put something on the wire."""
        if source in self._cut or fraction(self._entropy) < self.loss:
            self.lost += 1
            return
        copies = 2 if fraction(self._entropy) < self.duplicate else 1
        for _ in range(copies):
            at = now + self.delay + self.jitter * fraction(self._entropy)
            self._count += 1
            heapq.heappush(self._under_way, (at, self._count, Arrival(at, source, target, load)))

    def deadline(self) -> float | None:
        """When the next arrival is."""
        return self._under_way[0][0] if self._under_way else None

    def arrivals(self, now: float) -> list[Arrival[Load]]:
        """What has arrived until now, in the order of arrival."""
        arrived = []
        while self._under_way and self._under_way[0][0] <= now:
            arrival = heapq.heappop(self._under_way)[2]
            if arrival.target in self._cut:
                self.lost += 1
            else:
                self.carried += 1
                arrived.append(arrival)
        return arrived
