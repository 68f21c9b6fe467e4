"""Our own moves: the local end of a call is somewhere else, and the peer hears it by a check (docs/ice.md).

Between ends that agreed upon it. The first check leaves at once, to where the peer is; those to its other
addresses follow, paced. Each says by a count that it is our newest word: as the nomination of a controlling
end, or as "moved" of a controlled one. It is repeated until it is answered.
"""

from __future__ import annotations

from dataclasses import dataclass

from segue.base.address import LocalPort, Path
from segue.base.ice_description import CandidateType
from segue.base.machine import earliest
from segue.protocols.ice.candidate import may_pair
from segue.protocols.ice.check import Check
from segue.protocols.ice.conclusion import Conclusion
from segue.protocols.ice.known_path import KnownPath, Permission
from segue.protocols.ice.limits import PROBE_TIME, REPEAT, REPEATS, SLOW_REPEAT
from segue.protocols.ice.pair import PairState
from segue.protocols.ice.state import State


@dataclass(slots=True, eq=False)
class Move:
    """`targets`: paths that are tried, the selected one first. `answered`: the peer has our word. After that
    the check is still repeated while the peer saw us at an address we do not know: that is a NAT, or someone
    who relays checks, who must not keep the genuine path out when it works again."""

    port: LocalPort
    component: int
    targets: list[KnownPath]
    since: float
    repeat_at: float
    repeats: int = 0
    answered: bool = False


class Moves:
    """At most one for each component: a new one ends the one before."""

    def __init__(self, state: State, conclusion: Conclusion) -> None:
        self._state = state
        self._conclusion = conclusion
        self._moves: dict[int, Move] = {}
        self._homes: dict[int, LocalPort] = {}  # where our last move went to
        self._meetings: dict[int, KnownPath] = {}

    def watches(self, known: KnownPath) -> bool:
        """Whether what the peer sees of us on this path is still in doubt."""
        move = self._moves.get(known.component)
        return move is not None and known in move.targets

    def move(self, port: LocalPort, component: int, now: float) -> None:
        """The local end is at `port`: send from there, to wherever the peer is."""
        self._homes[component] = port
        targets = self._targets(port, component)
        if not targets:
            self._moves[component] = Move(port, component, [], now, now + SLOW_REPEAT)
            self._state.trace.note("ice", "no address of the peer's to move to", port=port)
            return
        self.tell(targets[0], now, targets[1:])

    def tell(self, known: KnownPath, now: float, others: list[KnownPath] | None = None) -> None:
        """Data leaves on this path, and the peer is to do the same."""
        state = self._state
        selection = state.selection(known.component)
        targets = [known, *(others or [])]
        self._count()
        self._forget(known.component)
        self._moves[known.component] = Move(known.port, known.component, targets, now, now + REPEAT)
        state.targets.update(targets)
        selection.moving = True
        selection.compete(known)
        self._permit(known, now)
        selection.select(known, now)
        self._conclusion.settle(known.component, now)
        state.start_check(known, now, once=True)
        state.wanted.extend(each for each in targets[1:] if each not in state.wanted)

    def meet(self, known: KnownPath, now: float) -> None:
        """The peer has moved and told a port that we have left: it does not know ours. When the path between
        both works it is the one; whichever end finds that first says so."""
        home = self._homes.get(known.component)
        if home is None or home == known.port or home not in self._state.local.bases:
            return
        path = Path(home.interface, home.address, known.path.remote)
        meeting = self._state.known(path) if may_pair(home.address, path.remote) else None
        if meeting is not None:
            self._meetings[known.component] = meeting
            self._state.want(meeting, now)

    def candidates_added(self, now: float) -> None:
        """The peer named addresses: they are tried at once by a move that nobody has answered."""
        for move in list(self._moves.values()):
            if move.answered:
                continue
            fresh = [each for each in self._targets(move.port, move.component) if each not in move.targets]
            if not fresh:
                continue
            if not move.targets:
                self.tell(fresh[0], now, fresh[1:])
                continue
            move.targets.extend(fresh)
            self._state.targets.update(fresh)
            self._state.want(fresh[0], now)
            self._state.wanted.extend(each for each in fresh[1:] if each not in self._state.wanted)

    def answered(self, check: Check, now: float) -> None:
        known, state = check.known, self._state
        if self._meetings.get(known.component) is known:
            del self._meetings[known.component]
            if known is not state.selection(known.component).current:
                self.tell(known, now)
            return
        move = self._moves.get(known.component)
        if move is None or known not in move.targets:
            return
        current = state.selection(known.component).current
        if known is not current:
            if not move.answered and (current is None or not current.proven):
                self.tell(known, now)  # another of the peer's addresses answered first
            return
        word = check.marks.nomination if state.controlling else check.marks.moved
        if word == (state.nomination if state.controlling else state.moved):
            move.answered = True
            selection = state.selection(known.component)
            selection.moving, selection.doubtful = False, not known.straight
            self._drop(move, known)
            if known.straight:
                self._forget(known.component)

    def leave_relay(self, known: KnownPath, now: float) -> None:
        """A direct path works, on the same interface as the selected one, which is relayed."""
        state = self._state
        selection, generation = state.selection(known.component), state.active()
        current = selection.current
        if not (state.migration and selection.nominated and current and generation) or known is current:
            return
        here, there = state.local.bases.get(current.port), state.local.bases.get(known.port)
        if (
            here is None
            or there is None
            or selection.moving
            or known.path.interface != current.path.interface
        ):
            return
        ours = here.candidate.type is CandidateType.RELAYED and there.candidate.type is CandidateType.HOST
        one, other = (generation.remotes.get(known.component, each.path.remote) for each in (current, known))
        theirs = (
            state.controlling
            and here is there
            and one is not None
            and other is not None
            and other.signalled
            and one.candidate.type is CandidateType.RELAYED
            and other.candidate.type is not CandidateType.RELAYED
        )
        if ours or theirs:
            self.tell(known, now)

    def ended(self, component: int) -> None:
        """The selected path is another one by now."""
        self._forget(component)

    def remove_port(self, port: LocalPort) -> None:
        for move in list(self._moves.values()):
            if move.port == port:
                self._forget(move.component)
        self._meetings = {key: known for key, known in self._meetings.items() if known.port != port}

    def deadline(self) -> float | None:
        return earliest(*(move.repeat_at for move in self._moves.values()))

    def expire(self, now: float) -> None:
        for move in list(self._moves.values()):
            if now < move.repeat_at:
                continue
            move.repeats += 1
            fast = move.repeats < REPEATS and not move.answered
            move.repeat_at = now + (REPEAT if fast else SLOW_REPEAT)
            current = self._state.selection(move.component).current
            if now >= move.since + PROBE_TIME or (move.targets and current not in move.targets):
                self._forget(move.component)
            elif current is not None and move.targets:
                self._state.start_check(current, now, once=True)

    def _drop(self, move: Move, found: KnownPath) -> None:
        """The peer's other addresses need not be tried any longer."""
        state, generation = self._state, self._state.active()
        state.targets.difference_update(move.targets)
        for known in move.targets:
            if known is found or known.proven:
                continue
            state.checks.forget(known)
            if known in state.wanted:
                state.wanted.remove(known)
            pair = generation.check_list.get(known.path) if generation is not None else None
            if pair is not None and pair.state in (PairState.WAITING, PairState.IN_PROGRESS):
                pair.enter(PairState.FAILED)
        move.targets = [found]

    def _targets(self, port: LocalPort, component: int) -> list[KnownPath]:
        """Where the peer may be, seen from this port: where it is now, then its other addresses, best first."""
        state = self._state
        generation = state.active()
        last = state.selection(component).last
        remotes = [last.path.remote] if last is not None else []
        if generation is not None:
            remotes += [each.address for each in generation.remotes.of(component, signalled=True)]
        paths = [
            Path(port.interface, port.address, remote)
            for remote in dict.fromkeys(remotes)
            if may_pair(port.address, remote)
        ]
        return [known for path in paths if (known := state.known(path)) is not None]

    def _permit(self, known: KnownPath, now: float) -> None:
        """The peer's address has consented to our data, if to another port of ours; else it has to answer first
        (RFC 7675 section 5.1)."""
        if known.permission is Permission.NONE and self._state.paths.consented(known, now):
            known.enter(Permission.BORROWED)

    def _count(self) -> None:
        if self._state.controlling:
            self._state.nomination += 1
        else:
            self._state.moved += 1

    def _forget(self, component: int) -> None:
        move = self._moves.pop(component, None)
        if move is not None:
            self._state.targets.difference_update(move.targets)
            selection = self._state.selection(component)
            selection.moving = selection.doubtful = False
