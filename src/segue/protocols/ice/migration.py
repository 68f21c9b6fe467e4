"""Our own moves: the local end of a call is somewhere else, and the peer hears it by a check (docs/ice.md).

Between ends that agreed upon it. The first check leaves at once, to where the peer is; those to its other
addresses follow, paced. Each says by a count that it is our newest word: as the nomination of a controlling
end, or as "moved" of a controlled one. It is repeated until it is answered.
"""

from __future__ import annotations

from dataclasses import dataclass

from segue.base.address import LocalPort, Path
from segue.base.machine import earliest
from segue.protocols.ice.candidate import may_pair
from segue.protocols.ice.check import Check
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

    def __init__(self, state: State) -> None:
        self._state = state
        self._moves: dict[int, Move] = {}

    def watches(self, known: KnownPath) -> bool:
        """Whether what the peer sees of us on this path is still in doubt."""
        move = self._moves.get(known.component)
        return move is not None and known in move.targets

    def move(self, port: LocalPort, component: int, now: float) -> None:
        """The local end is at `port`: send from there, to wherever the peer is."""
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
        self._permit(known)
        selection.select(known, now)
        state.start_check(known, now, once=True)
        state.wanted.extend(each for each in targets[1:] if each not in state.wanted)

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
            state.selection(known.component).moving = False
            self._drop(move, known)
            if known.straight:
                self._forget(known.component)

    def ended(self, component: int) -> None:
        """The selected path is another one by now."""
        self._forget(component)

    def remove_port(self, port: LocalPort) -> None:
        for move in list(self._moves.values()):
            if move.port == port:
                self._forget(move.component)

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
        current = state.selection(component).current
        remotes = [current.path.remote] if current is not None else []
        if generation is not None:
            remotes += [each.address for each in generation.remotes.of(component, signalled=True)]
        paths = [
            Path(port.interface, port.address, remote)
            for remote in dict.fromkeys(remotes)
            if may_pair(port.address, remote)
        ]
        return [known for path in paths if (known := state.known(path)) is not None]

    def _permit(self, known: KnownPath) -> None:
        """The peer's address has consented to our data, if to another port of ours; else it has to answer
        first, or to send (RFC 7675 section 5.1)."""
        if known.permission is not Permission.NONE:
            return
        same = [
            each
            for each in self._state.paths
            if each.component == known.component and each.path.remote == known.path.remote
        ]
        consented = any(each.permission in (Permission.CONSENT, Permission.BORROWED) for each in same)
        known.enter(Permission.BORROWED if consented else Permission.TRIAL)

    def _count(self) -> None:
        if self._state.controlling:
            self._state.nomination += 1
        else:
            self._state.moved += 1

    def _forget(self, component: int) -> None:
        move = self._moves.pop(component, None)
        if move is not None:
            self._state.targets.difference_update(move.targets)
            self._state.selection(component).moving = False
