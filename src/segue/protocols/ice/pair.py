"""A candidate pair and its states (RFC 8445 sections 6.1.2.2 and 6.1.2.6)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from segue.base.address import Path
from segue.protocols.ice.candidate import Base, RemoteCandidate, pair_priority


class PairState(Enum):
    FROZEN = "frozen"
    WAITING = "waiting"
    IN_PROGRESS = "in progress"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


_F, _W, _P, _S, _X = PairState
# RFC 8445 figure 6, with what sections 7.2.5.1 (role conflict), 7.2.5.3.3 (a valid pair that was not checked
# itself) and 7.3.1.4 (triggered checks) add. A pair that has succeeded is checked again when it is nominated,
# and stays so.
TRANSITIONS: dict[PairState, frozenset[PairState]] = {
    _F: frozenset({_W, _P, _S}),
    _W: frozenset({_P, _S, _X}),
    _P: frozenset({_S, _X, _W}),
    _S: frozenset({_X}),
    _X: frozenset({_W, _P, _S}),
}


@dataclass(slots=True, eq=False)
class Pair:
    """A base of ours and an address of the peer's. A reflexive local candidate is replaced by its base (section
    6.1.2.4), so a pair is a path.

    `nominate`: the peer nominated it before it had succeeded (section 7.3.1.5). `nominated`: it is the component's.
    """

    base: Base
    remote: RemoteCandidate
    state: PairState = PairState.FROZEN
    nominate: bool = False
    nominated: bool = False

    @property
    def path(self) -> Path:
        return Path(self.base.port.interface, self.base.port.address, self.remote.address)

    @property
    def component(self) -> int:
        return self.base.component

    @property
    def foundation(self) -> tuple[str, str]:
        return self.base.candidate.foundation, self.remote.candidate.foundation

    def priority(self, controlling: bool) -> int:
        ours, theirs = self.base.candidate.priority, self.remote.candidate.priority
        return pair_priority(ours, theirs) if controlling else pair_priority(theirs, ours)

    def enter(self, state: PairState) -> None:
        """No change is none; a change that the table does not have is our own mistake."""
        if state is not self.state:
            assert state in TRANSITIONS[self.state], f"{self.state} to {state}"
            self.state = state
