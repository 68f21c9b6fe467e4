"""Two ways at once during a soft handover (design decision 4). Pure.

When media begins to leave on another path while the one before still works, each packet goes on both, octet for
octet the same: the receiver's replay list drops the second copy (RFC 3711 section 3.3.2, the form of SMPTE ST
2022-7). Each end does so by itself, from its own proof of the new path until the mover lets go of the old one.
"""

from __future__ import annotations

from segue.base.address import LocalPort, Path
from segue.call.path import LINGER

ALIVE = 0.15  # seconds: seven packets; a path on which nothing has come for so long carries nothing
KNOWN = 16  # paths that media came by, at most: a peer has a few addresses


class Duplication:
    """`twin` is the second path, or None. `received` is told of all authentic media, first copies only."""

    def __init__(self) -> None:
        self.twin: Path | None = None
        self._heard: dict[Path, float] = {}
        self._until = 0.0

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
        if self.is_alive(old, now) and old != new:
            self.twin, self._until = old, now + LINGER
        else:
            self.twin = None

    def forget(self, port: LocalPort) -> None:
        """That end of ours is gone."""
        if self.twin is not None and self.twin.port == port:
            self.twin = None

    def way(self, now: float) -> Path | None:
        """Where a copy of what leaves now goes."""
        if self.twin is not None and now >= self._until:
            self.twin = None
        return self.twin
