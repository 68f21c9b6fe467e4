"""The timers of RFC 3261 table 4 with those of RFC 6026, and the heap that finds the next one due."""

from __future__ import annotations

from dataclasses import dataclass
from heapq import heappop, heappush
from typing import Generic, Protocol, TypeVar


@dataclass(frozen=True, slots=True)
class Timers:
    """Base times in seconds; every other timer is made of these (RFC 3261 section 17.1.1.1 and table 4)."""

    t1: float = 0.5  # estimate of the round trip; smaller only in closed networks
    t2: float = 4.0  # longest interval between two copies of a non-INVITE request or an INVITE's response
    t4: float = 5.0  # longest life of a message in the network
    trying: float = 0.2  # a 100 (Trying) goes out when the user has said nothing for so long (section 17.2.1)

    @property
    def timeout(self) -> float:
        """64*T1: timers B, F, H, L and M, and J over UDP."""
        return 64 * self.t1

    def completed(self, reliable: bool) -> float:
        """Timer D: at least 32 s over UDP, whatever our T1, because the server's T1 is not known."""
        return 0.0 if reliable else max(32.0, self.timeout)

    def linger(self, reliable: bool) -> float:
        """Timers I and K."""
        return 0.0 if reliable else self.t4

    def absorb(self, reliable: bool) -> float:
        """Timer J."""
        return 0.0 if reliable else self.timeout

    def until_slow(self) -> float:
        """When timer E reaches T2: before that no 100 answers a non-INVITE request, then one must
        (RFC 4320 section 4.1)."""
        interval, total = self.t1, 0.0
        while interval < self.t2:
            total += interval
            interval *= 2
        return total


class Timed(Protocol):
    """Something with one next deadline. `queued` belongs to the heap."""

    deadline: float | None
    queued: float | None


T = TypeVar("T", bound=Timed)


class DeadlineHeap(Generic[T]):
    """Finds what is due without looking at what is not. Each item has its soonest known time in the heap; a
    deadline that moved later or away costs nothing until that time comes."""

    __slots__ = ("_count", "_heap")

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, T]] = []
        self._count = 0

    def watch(self, item: T) -> None:
        """Take note of `item.deadline`; to be called after it changed (not needed when it moved later)."""
        when = item.deadline
        if when is None or (item.queued is not None and item.queued <= when):
            return
        item.queued = when
        self._count += 1
        heappush(self._heap, (when, self._count, item))

    def next(self) -> float | None:
        """The soonest deadline."""
        heap = self._heap
        while heap:
            when, _, item = heap[0]
            if item.queued == when and item.deadline == when:
                return when
            heappop(heap)
            if item.queued == when:
                item.queued = None
                self.watch(item)
        return None

    def due(self, now: float) -> T | None:
        """An item whose deadline has come, taken out; None when there is no more."""
        when = self.next()
        if when is None or when > now:
            return None
        item = heappop(self._heap)[2]
        item.queued = None
        return item

    def __len__(self) -> int:
        return len(self._heap)
