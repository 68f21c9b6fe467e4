"""The check list of one audio stream, and in which order its pairs are checked (RFC 8445 sections 6.1.2 and 6.1.4).

There is one stream, so the check list set is this list; its components are told apart where the RFC does.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator

from segue.base.address import Path
from segue.protocols.ice.candidate import Base, RemoteCandidate, may_pair
from segue.protocols.ice.limits import PAIRS
from segue.protocols.ice.pair import Pair, PairState

_OPEN = (PairState.FROZEN, PairState.WAITING, PairState.IN_PROGRESS)


class CheckList:
    """`limit`: pairs, at any time (section 6.1.2.5). Pairs are found by their path."""

    def __init__(self, controlling: bool, limit: int = PAIRS) -> None:
        self.controlling = controlling
        self._limit = limit
        self._pairs: dict[Path, Pair] = {}
        self._triggered: deque[Pair] = deque()

    def __len__(self) -> int:
        return len(self._pairs)

    def __iter__(self) -> Iterator[Pair]:
        return iter(self._pairs.values())

    def get(self, path: Path) -> Pair | None:
        return self._pairs.get(path)

    def rank(self, pair: Pair) -> tuple[int, int]:
        """Better is smaller: by priority, then by component."""
        return -pair.priority(self.controlling), pair.component

    def form(self, bases: list[Base], remotes: list[RemoteCandidate]) -> None:
        """Pair whatever is of one component and family and is not paired yet (section 6.1.2.2, RFC 8838
        sections 10 to 12). The best come first, so that they are not the ones for which there is no room."""
        fresh = [
            pair
            for base in bases
            for remote in remotes
            if base.component == remote.candidate.component
            and may_pair(base.port.address, remote.address)
            and (pair := Pair(base, remote)).path not in self._pairs
        ]
        for pair in sorted(fresh, key=self.rank):
            self.insert(pair)

    def insert(self, pair: Pair) -> bool:
        """RFC 8838 sections 11 and 12; False when there is no room for it."""
        if len(self._pairs) >= self._limit and not self._make_room(pair):
            return False
        column = [each for each in self if each.foundation == pair.foundation]
        self._pairs[pair.path] = pair
        first = all((pair.component, self.rank(pair)) < (each.component, self.rank(each)) for each in column)
        if first or any(each.state is PairState.SUCCEEDED for each in column):
            pair.enter(PairState.WAITING)
        return True

    def trigger(self, pair: Pair, *, first: bool = False) -> None:
        """Enqueue a check (section 6.1.4.1), unless it is in the queue."""
        if pair in self._triggered:
            return
        if first:
            self._triggered.appendleft(pair)
        else:
            self._triggered.append(pair)

    def next(self) -> Pair | None:
        """Whose check is sent now (section 6.1.4.2); it leaves the queue, and is in progress."""
        while self._triggered:
            pair = self._triggered.popleft()
            if self._pairs.get(pair.path) is pair:
                if pair.state is not PairState.SUCCEEDED:
                    pair.enter(PairState.IN_PROGRESS)
                return pair
        if not any(pair.state is PairState.WAITING for pair in self):
            self._thaw()
        waiting = [pair for pair in self if pair.state is PairState.WAITING]
        if not waiting:
            return None
        pair = min(waiting, key=self.rank)
        pair.enter(PairState.IN_PROGRESS)
        return pair

    @property
    def has_next(self) -> bool:
        busy = {pair.foundation for pair in self if pair.state in (PairState.WAITING, PairState.IN_PROGRESS)}
        return bool(self._triggered) or any(
            pair.state is PairState.WAITING
            or (pair.state is PairState.FROZEN and pair.foundation not in busy)
            for pair in self
        )

    def succeeded(self, pair: Pair) -> None:
        """Section 7.2.5.3.3: all of its foundation may be checked now."""
        pair.enter(PairState.SUCCEEDED)
        for each in self:
            if each.state is PairState.FROZEN and each.foundation == pair.foundation:
                each.enter(PairState.WAITING)

    def valid(self, component: int) -> list[Pair]:
        """Best first."""
        found = [pair for pair in self if pair.component == component and pair.state is PairState.SUCCEEDED]
        return sorted(found, key=self.rank)

    def better_open(self, pair: Pair) -> bool:
        """Whether a pair that has not been decided yet would be better than this one."""
        rank = self.rank(pair)
        return any(
            each.component == pair.component and each.state in _OPEN and self.rank(each) < rank
            for each in self
        )

    def exhausted(self, component: int) -> bool:
        """Nothing is left to try, and nothing has worked (section 7.2.5.4)."""
        states = {pair.state for pair in self if pair.component == component}
        return states <= {PairState.FAILED}

    @property
    def open(self) -> int:
        """Waiting or in progress: how much is under way."""
        return sum(pair.state in (PairState.WAITING, PairState.IN_PROGRESS) for pair in self)

    def remove(self, where: Callable[[Pair], bool]) -> list[Pair]:
        gone = [pair for pair in self if where(pair)]
        for pair in gone:
            del self._pairs[pair.path]
        self._triggered = deque(pair for pair in self._triggered if not where(pair))
        return gone

    def _thaw(self) -> None:
        """Section 6.1.4.2, step 2."""
        busy = {pair.foundation for pair in self if pair.state is PairState.IN_PROGRESS}
        for pair in sorted(self, key=lambda each: (each.component, self.rank(each))):
            if pair.state is PairState.FROZEN and pair.foundation not in busy:
                pair.enter(PairState.WAITING)
                busy.add(pair.foundation)

    def _make_room(self, pair: Pair) -> bool:
        """Section 6.1.2.5 and RFC 8838 section 11: a pair that has failed goes, else the worst, if it is worse than
        this one. What works is not given up for what may."""
        spare = [each for each in self if each.state is PairState.FAILED and not each.nominated]
        if not spare:
            spare = [
                each
                for each in self
                if each.state in (PairState.FROZEN, PairState.WAITING, PairState.IN_PROGRESS)
            ]
            if not spare or self.rank(max(spare, key=self.rank)) <= self.rank(pair):
                return False
        worst = max(spare, key=self.rank)
        self.remove(lambda each: each is worst)
        return True
