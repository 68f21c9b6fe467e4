"""One conductor: serialises moves, coalesces events (design decision 7).

The phone feeds it facts and tells it how each move ended; it says which move is next. While a soft move is
under way further choices wait; a loss never waits: it supersedes whatever is under way, since a path that is
gone cannot finish anything.

A move by choice is announced before it begins, so that the listener's playout and the user are ready, and waits for a
moment of silence (thesis section 6.4.3), if somebody speaks, for `PAUSE_WAIT` at most, and not while the signal falls
so fast that the network would not last so long. When the signal weakens the networks that could take over are warmed
up.

When nothing comes though the peer is known to send, the path is checked. Nobody moves for a silence alone: the peer
may be the one that moves, or the core may be broken. Only when our own network answers nothing either, and another is
there, the call goes there.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from segue.base.machine import earliest
from segue.base.trace import NO_TRACE, Trace
from segue.mobility.movement import Better, Lost, Movement, Weak, compare
from segue.mobility.observation import (
    AnswerFact,
    Attachment,
    Fact,
    MediaFact,
    Observation,
    SleepFact,
    SpeechFact,
)
from segue.mobility.policy import Decision, Kind, Policy

PAUSE_WAIT = 0.2  # seconds that a move by choice waits for a pause: an overlap of 0.5 s still has room for it
BLIND_WAIT = 0.1  # the same where no radio says how long the network in use may last
CHECK_AGAIN = 1.0  # seconds between two checks while nothing comes
WARM_AGAIN = 3.0  # seconds between two packets that keep a radio awake while another weakens


@dataclass(frozen=True)
class MoveWanted:
    """Calls and registration go to `decision.target`; answer with `moved` or `move_failed`."""

    decision: Decision
    origin: Attachment | None


@dataclass(frozen=True)
class MoveExpected:
    """A move by choice is about to be wanted, in `PAUSE_WAIT` at the latest, unless something comes between."""

    decision: Decision
    origin: Attachment


@dataclass(frozen=True)
class WarmUp:
    """Calls may go there soon: wake its radio, have a way to the server over it."""

    attachment: Attachment


@dataclass(frozen=True)
class CheckWanted:
    """Nothing comes over it: ask the server and the peer whether they answer, and tell with an `AnswerFact`."""

    attachment: Attachment


@dataclass(frozen=True)
class Offline:
    """Nothing usable is left; what is up stays up and waits."""

    origin: Attachment


@dataclass(frozen=True)
class OriginLost:
    """A soft move has become a hard one: what it came from is gone before the new path was proven."""

    origin: Attachment


ConductorEvent = MoveWanted | MoveExpected | WarmUp | CheckWanted | Offline | OriginLost


class Conductor:
    """A machine: facts in, moves out."""

    def __init__(self, observation: Observation, policy: Policy, trace: Trace = NO_TRACE) -> None:
        self.observation = observation
        self.policy = policy
        self.active: Attachment | None = None
        self._under_way: Decision | None = None
        self._last: Attachment | None = None
        self._expected: Decision | None = None  # waits for a pause
        self._expected_by = 0.0  # when it waits no longer
        self._speaks = False
        self._silent = False  # nothing comes over `active`, though it should
        self._unanswered = False  # nor does anybody answer there
        self._check_at: float | None = None
        self._warmed: dict[Attachment, float] = {}  # and when
        self._events: list[ConductorEvent] = []
        self._trace = trace

    def receive(self, fact: Fact, now: float) -> None:
        """Take one fact. Call `settle` once after a burst of them, so that the burst makes one decision."""
        if isinstance(fact, SpeechFact):
            self._speaks = fact.speaks
        elif isinstance(fact, MediaFact):
            self._receive_media(fact, now)
        elif isinstance(fact, AnswerFact):
            active = self.active
            if active is not None and (fact.interface, fact.address) == (active.interface, active.address):
                self._unanswered = self._silent and not fact.answered
        elif not isinstance(fact, SleepFact):
            self.observation.receive(fact, now)

    def settle(self, now: float) -> None:
        """Decide on the picture as it stands."""
        target = self._under_way.target if self._under_way else self.active
        thresholds = self.policy.preferences.thresholds
        unanswered = self._unanswered and self._under_way is None
        movement = compare(self.observation, target, thresholds, unanswered=unanswered)
        if self._under_way is not None and not isinstance(movement, Lost):
            self._watch_origin(self._under_way)
            return
        self._warm_up(now)
        if self._expected is not None and self._still_wanted(self._expected, movement):
            if not self._waits(now):
                self._begin(self._expected)
            return
        self._expected = None
        decision = self.policy.decide(movement, now)
        if decision is not None:
            self._take(decision, now)
        elif isinstance(movement, Lost) and self.active is not None:
            self._go_offline(self.active)

    def moved(self, now: float) -> None:
        """The move under way has ended well."""
        if self._under_way is not None:
            self.active = target = self._under_way.target
            self._under_way = None
            self._end_silence()
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

    @property
    def heeds_speech(self) -> bool:
        """Whether it matters now if somebody speaks: a move is expected, or may be soon."""
        return self._expected is not None or bool(self._warmed) or self.policy.considers

    def deadline(self) -> float | None:
        expected = self._expected_by if self._expected is not None else None
        warms = bool(self._warmed) and self._under_way is None
        warm = min(self._warmed.values()) + WARM_AGAIN if warms else None
        return earliest(self.observation.deadline(), self.policy.deadline(), expected, self._check_at, warm)

    def expire(self, now: float) -> None:
        self.observation.expire(now)
        if self._check_at is not None and self._check_at <= now:
            self._check(now)
        self.settle(now)

    def events(self) -> list[ConductorEvent]:
        events, self._events = self._events, []
        return events

    # --- silence

    def _receive_media(self, fact: MediaFact, now: float) -> None:
        if not fact.silent:
            self._end_silence()
        elif self.active is not None and fact.interface == self.active.interface:
            self._silent = True
            self._check(now)

    def _end_silence(self) -> None:
        self._silent = self._unanswered = False
        self._check_at = None

    def _check(self, now: float) -> None:
        self._check_at = now + CHECK_AGAIN
        if self.active is not None and self._under_way is None:
            self._events.append(CheckWanted(self.active))

    # --- what is about to be

    def _warm_up(self, now: float) -> None:
        """While the signal in use is weak, the others are kept awake."""
        active, thresholds = self.active, self.policy.preferences.thresholds
        dbm = None if active is None else self.observation.signal(active.interface)
        if active is None or dbm is None or dbm >= thresholds.warm:
            self._warmed.clear()
            return
        others = [a for a in self.observation.usable() if a.interface != active.interface]
        self._warmed = {a: at for a, at in self._warmed.items() if a in others}
        for attachment in others:
            if self._warmed.get(attachment, float("-inf")) + WARM_AGAIN <= now:
                self._warmed[attachment] = now
                self._events.append(WarmUp(attachment))

    def _take(self, decision: Decision, now: float) -> None:
        """A decision that was just made: begin, or announce it and wait for a pause."""
        if decision.kind is Kind.HARD or self.active is None:
            self._begin(decision)
            return
        blind = self.observation.signal(self.active.interface) is None
        self._expected, self._expected_by = decision, now + (BLIND_WAIT if blind else PAUSE_WAIT)
        self._events.append(MoveExpected(decision, self.active))
        if not self._waits(now):
            self._begin(decision)

    def _waits(self, now: float) -> bool:
        """Whether a pause is worth waiting for: not when the network may be gone before it comes."""
        if not self._speaks or now >= self._expected_by or self.active is None:
            return False
        interface = self.active.interface
        dbm = self.observation.signal(interface)
        if dbm is None:
            return True
        ahead = self._expected_by - now
        return dbm + self.observation.trend(interface) * ahead > self.policy.preferences.thresholds.end

    def _still_wanted(self, decision: Decision, movement: Movement) -> bool:
        return isinstance(movement, Weak | Better) and decision.target in self.observation.usable()

    def _go_offline(self, lost: Attachment) -> None:
        """Whatever comes next is a move, be it back to the same address: servers and peer must hear of it."""
        self._last, self.active, self._under_way = lost, None, None
        self._end_silence()
        self._events.append(Offline(lost))

    def _watch_origin(self, under_way: Decision) -> None:
        if under_way.kind is Kind.SOFT and self.active and not self.observation.holds(self.active):
            self._under_way = replace(under_way, kind=Kind.HARD)
            self._events.append(OriginLost(self.active))

    def _begin(self, decision: Decision) -> None:
        self._expected = None
        self._trace.note(
            "mobility", "move", to=decision.target, kind=decision.kind.value, why=decision.reason
        )
        self._events.append(MoveWanted(decision, self.active or self._last))
        self._under_way = decision
