"""Two ways at once (design decision 4). Pure.

When media begins to leave on another path while the one before still works, each packet goes on both, octet for
octet the same: the receiver's replay list drops the second copy (RFC 3711 section 3.3.2, the form of SMPTE ST
2022-7). Each end does so by itself, from its own proof of the new path until the mover lets go of the old one. And
while a link loses packets, everything goes by a spare path too, where there is one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from segue.base.address import LocalPort, Path
from segue.call.path import LINGER

ALIVE = 0.15  # seconds: seven packets; a path on which nothing has come for so long carries nothing
KNOWN = 16  # paths that media came by, at most: a peer has a few addresses

MayDuplicate = Callable[[int, float, str], bool]
"""Whether a copy of so many octets may leave now by this interface (`mobility.budget`)."""


class Duplication:
    """`allowed`: whether there are copies at all; `may` is asked for each. `received` is told of all authentic media,
    first copies only."""

    def __init__(self, allowed: bool, may: MayDuplicate | None = None) -> None:
        self._allowed = allowed
        self._may = may or (lambda _octets, _now, _interface: True)
        self._twin: Path | None = None  # of a handover
        self._until = 0.0
        self._spare: Path | None = None  # since the link is bad
        self._heard: dict[Path, float] = {}

    def received(self, path: Path, now: float) -> None:
        heard = self._heard
        if path not in heard and len(heard) >= KNOWN:
            del heard[min(heard, key=heard.__getitem__)]
        heard[path] = now

    def is_alive(self, path: Path, now: float) -> bool:
        """Whether media came by it just now."""
        return now - self._heard.get(path, float("-inf")) <= ALIVE

    def switched(self, old: Path, new: Path, now: float) -> None:
        """Media leaves on `new` from now on."""
        self._twin = None
        if self._allowed and old != new and self.is_alive(old, now):
            self._twin, self._until = old, now + LINGER

    def help(self, active: Path, proven: Iterable[Path]) -> None:
        """The link is bad: whichever of these proven paths is another way than `active` helps."""
        self.rest()
        if self._allowed:
            self._spare = next((path for path in proven if _is_other_way(path, active)), None)

    def rest(self) -> None:
        """No help is needed."""
        self._spare = None

    def forget(self, port: LocalPort) -> None:
        """That end of ours is gone."""
        self._twin = None if self._twin is not None and self._twin.port == port else self._twin
        self._spare = None if self._spare is not None and self._spare.port == port else self._spare

    def way(self, active: Path, octets: int, now: float) -> Path | None:
        """Where a copy of what leaves now on `active` goes."""
        if self._twin is not None and now >= self._until:
            self._twin = None
        way = self._twin or self._spare
        if way is None or way == active or not self._may(octets, now, way.interface):
            return None
        return way


def _is_other_way(path: Path, active: Path) -> bool:
    """Over another network at one end at least."""
    return path.port != active.port or path.remote.host != active.remote.host
