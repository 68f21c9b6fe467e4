"""One conductor: serialises moves, coalesces events (design decision 7).

The phone feeds it facts and tells it how each move ended; it says which move is next. While a soft move is
under way further choices wait; a loss never waits: it supersedes whatever is under way, since a path that is
gone cannot finish anything.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from segue.base.machine import earliest
from segue.base.trace import NO_TRACE, Trace
from segue.mobility.movement import Lost, compare
from segue.mobility.observation import Attachment, Fact, Observation
from segue.mobility.policy import Decision, Kind, Policy


@dataclass(frozen=True)
class MoveWanted:
    """Calls and registration go to `decision.target`; answer with `moved` or `move_failed`."""

    decision: Decision
    origin: Attachment | None


@dataclass(frozen=True)
class Offline:
    """Nothing usable is left; what is up stays up and waits."""

    origin: Attachment


@dataclass(frozen=True)
class OriginLost:
    """A soft move has become a hard one: what it came from is gone before the new path was proven."""

    origin: Attachment


ConductorEvent = MoveWanted | Offline | OriginLost


class Conductor:
    """A machine: facts in, moves out."""

    def __init__(self, observation: Observation, policy: Policy, trace: Trace = NO_TRACE) -> None:
        self.observation = observation
        self.policy = policy
        self.active: Attachment | None = None
        self._under_way: Decision | None = None
        self._last: Attachment | None = None
        self._events: list[ConductorEvent] = []
        self._trace = trace

    def receive(self, fact: Fact, now: float) -> None:
        """Take one fact. Call `settle` once after a burst of them, so that the burst makes one decision."""
        self.observation.receive(fact, now)

    def settle(self, now: float) -> None:
        """Decide on the picture as it stands."""
        target = self._under_way.target if self._under_way else self.active
        movement = compare(self.observation, target, self.policy.preferences.thresholds)
        if self._under_way is not None and not isinstance(movement, Lost):
            self._watch_origin(self._under_way)
            return
        decision = self.policy.decide(movement, now)
        if decision is not None:
            self._begin(decision)
        elif isinstance(movement, Lost) and self.active is not None:
            self._go_offline(self.active)

    def moved(self, now: float) -> None:
        """The move under way has ended well."""
        if self._under_way is not None:
            self.active = target = self._under_way.target
            self._under_way = None
            self.policy.ended(target, True, now)
        self.settle(now)

    def move_failed(self, now: float) -> None:
        """The move under way did not work; what was active stays so (decision 6)."""
        if self._under_way is not None:
            self.policy.ended(self._under_way.target, False, now)
            self._under_way = None
        self.settle(now)

    @property
    def has_alternative(self) -> bool:
        """Whether something else could carry the call than what the move under way goes to."""
        target = self._under_way.target if self._under_way else None
        return any(attachment != target for attachment in self.observation.usable())

    def deadline(self) -> float | None:
        return earliest(self.observation.deadline(), self.policy.deadline())

    def expire(self, now: float) -> None:
        self.observation.expire(now)
        self.settle(now)

    def events(self) -> list[ConductorEvent]:
        events, self._events = self._events, []
        return events

    def _go_offline(self, lost: Attachment) -> None:
        """Whatever comes next is a move, be it back to the same address: servers and peer must hear of it."""
        self._last, self.active, self._under_way = lost, None, None
        self._events.append(Offline(lost))

    def _watch_origin(self, under_way: Decision) -> None:
        if under_way.kind is Kind.SOFT and self.active and not self.observation.holds(self.active):
            self._under_way = replace(under_way, kind=Kind.HARD)
            self._events.append(OriginLost(self.active))

    def _begin(self, decision: Decision) -> None:
        self._trace.note(
            "mobility", "move", to=decision.target, kind=decision.kind.value, why=decision.reason
        )
        self._events.append(MoveWanted(decision, self.active or self._last))
        self._under_way = decision
