"""Whether to move, where to, and how. Facts in, decision out; acting is elsewhere."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from segue.mobility.movement import Better, Lost, Movement, Steady, Thresholds, Unanswered, Weak
from segue.mobility.observation import Attachment

PAUSE_FIRST = 5.0  # seconds without a chosen move after one that failed
PAUSE_LIMIT = 60.0
SHORT_STAY = 2.0  # seconds: a network that is lost sooner is flapping
FLAPPING_FIRST = 2.0  # seconds that it must last before a call goes there again by choice; doubled each time
FLIGHTS_FORGOTTEN = 60.0  # seconds after the pause of one that is forgotten


class Kind(Enum):
    """How a move is made (thesis section 2.3.2)."""

    HARD = "hard"  # break before make: the old attachment is gone
    SOFT = "soft"  # make before break: the old one works until the new one is proven


@dataclass(frozen=True)
class Preferences:
    """What the user wants of moves.

    `soft`: go to a better network while the old one still works; without it, only when that is lost. `dwell`:
    seconds that something better must last before a call goes there by choice, and much longer where it was lost soon
    before; `rest`: seconds after a chosen move in which no other is chosen (a forced one is never delayed).
    """

    thresholds: Thresholds = field(default_factory=Thresholds)
    soft: bool = True
    dwell: float = 0.1
    rest: float = 2.0


@dataclass(frozen=True)
class Decision:
    """Go to `target`."""

    target: Attachment
    kind: Kind
    reason: str


class Policy:
    """Turns movements into decisions; remembers only what hysteresis needs."""

    def __init__(self, preferences: Preferences = Preferences()) -> None:
        self.preferences = preferences
        self._better: tuple[Attachment, float] | None = None  # what is better, and since when
        self._rest_until = 0.0
        self._joined: tuple[str, float] | None = None  # the interface in use, and since when
        self._short_stays: dict[str, int] = {}  # in a row, by interface
        self._failures = 0
        self._flights = 0  # from networks where nobody answered, of late
        self._flee_after = 0.0
        self._failed_at: dict[Attachment, float] = {}  # where moves got nowhere, and when

    def decide(self, movement: Movement, now: float) -> Decision | None:
        """The move that `movement` calls for now, or None."""
        if not isinstance(movement, Better):
            self._better = None
        if isinstance(movement, Lost):
            self._note_loss(now)
        if isinstance(movement, Steady):
            return None
        if isinstance(movement, Lost):
            return Decision(self._best(movement.others), Kind.HARD, "lost") if movement.others else None
        if isinstance(movement, Unanswered):
            return self._flee(movement, now)
        if not self.preferences.soft or now < self._rest_until:
            return None
        if isinstance(movement, Weak):
            return self._choose(self._best(movement.others), f"signal {movement.signal_dbm:.0f} dBm", now)
        return self._consider(movement.candidate, now)

    def ended(self, target: Attachment, well: bool, now: float) -> None:
        """A move is over. After one that failed no other is chosen for a while, longer each time: a network that
        has a carrier and carries nothing must not be tried again and again. One that is forced goes elsewhere, if
        there is an elsewhere."""
        if well:
            self._failed_at.clear()
            self._joined = (target.interface, now)
        else:
            self._failed_at[target] = now
        self._failures = 0 if well else self._failures + 1
        if self._failures:
            pause = min(PAUSE_LIMIT, PAUSE_FIRST * 2 ** (self._failures - 1))
            self._rest_until = max(self._rest_until, now + pause)

    @property
    def considers(self) -> bool:
        """Whether something better is there, and has to last."""
        return self._better is not None

    def deadline(self) -> float | None:
        """When a decision put off is due."""
        if self._better is None:
            return None
        return max(self._better[1] + self._dwell(self._better[0]), self._rest_until)

    def _note_loss(self, now: float) -> None:
        """Where a call was is gone. A network that did not keep it for long is flapping."""
        if self._joined is None:
            return
        interface, since = self._joined
        self._joined = None
        if now - since >= SHORT_STAY:
            self._short_stays.pop(interface, None)
        else:
            self._short_stays[interface] = self._short_stays.get(interface, 0) + 1

    def _dwell(self, candidate: Attachment) -> float:
        """How long it must last: the longer, the more often it was lost soon after it was joined."""
        count = self._short_stays.get(candidate.interface, 0)
        flapping = min(PAUSE_LIMIT, FLAPPING_FIRST * 2 ** (count - 1)) if count else 0.0
        return max(self.preferences.dwell, flapping)

    def _flee(self, movement: Unanswered, now: float) -> Decision | None:
        """From a network that carries nothing, though its link is up: nothing is left there that could be lost. Where
        nobody answers anywhere the call does not run in circles."""
        if now < self._flee_after:
            return None
        self._flights = self._flights + 1 if now < self._flee_after + FLIGHTS_FORGOTTEN else 1
        pause = min(PAUSE_LIMIT, PAUSE_FIRST * 2 ** (self._flights - 1))
        self._flee_after = now + pause
        self._rest_until = max(self._rest_until, now + pause)  # and not back by choice before
        self._better = None
        return Decision(self._best(movement.others), Kind.HARD, "no answer")

    def _best(self, others: tuple[Attachment, ...]) -> Attachment:
        """The most preferred one that has not failed, else the one whose failure is the longest ago."""
        self._failed_at = {there: at for there, at in self._failed_at.items() if there in others}
        return min(others, key=lambda there: self._failed_at.get(there, float("-inf")))

    def _consider(self, candidate: Attachment, now: float) -> Decision | None:
        if self._better is None or self._better[0] != candidate:
            self._better = (candidate, now)
        if now < self._better[1] + self._dwell(candidate):
            return None
        return self._choose(candidate, "preferred network", now)

    def _choose(self, target: Attachment, reason: str, now: float) -> Decision:
        self._better = None
        self._rest_until = now + self.preferences.rest
        return Decision(target, Kind.SOFT, reason)
