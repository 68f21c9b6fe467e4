"""Why a packet was dropped, as data.

Cores say `trace.drop("srtp", "replayed", ssrc=…)` and `trace.note("path", "active", …)`. The default does
nothing and costs one call. Tests, the lab's report and `segue call --events` read the same trace. Secrets
have no place in it: `base.secret.Secret` prints as stars.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol


class Trace(Protocol):
    def drop(self, room: str, reason: str, **facts: Any) -> None:
        """A packet or message from the network had no effect; `reason` is a fixed lower-case phrase."""

    def note(self, room: str, what: str, **facts: Any) -> None:
        """Something happened that explains later behaviour."""


class NoTrace:
    """Says nothing."""

    def drop(self, room: str, reason: str, **facts: Any) -> None:
        pass

    def note(self, room: str, what: str, **facts: Any) -> None:
        pass


class Record(NamedTuple):
    kind: str  # "drop" or "note"
    room: str
    what: str
    facts: dict[str, Any]


class MemoryTrace:
    """Keeps what was said, at most `limit` records (the oldest go), and counts drops by room and reason."""

    def __init__(self, limit: int = 10_000) -> None:
        self.records: list[Record] = []
        self.drops: dict[tuple[str, str], int] = {}
        self._limit = limit

    def drop(self, room: str, reason: str, **facts: Any) -> None:
        self.drops[room, reason] = self.drops.get((room, reason), 0) + 1
        self._keep(Record("drop", room, reason, facts))

    def note(self, room: str, what: str, **facts: Any) -> None:
        self._keep(Record("note", room, what, facts))

    def _keep(self, record: Record) -> None:
        self.records.append(record)
        if len(self.records) > self._limit:
            del self.records[: self._limit // 10]


NO_TRACE: Trace = NoTrace()
