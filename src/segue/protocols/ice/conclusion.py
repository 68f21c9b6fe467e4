"""Nominating, concluding, failing (RFC 8445 section 8, RFC 8863)."""

from __future__ import annotations

from segue.base.machine import earliest
from segue.protocols.ice.events import Failed
from segue.protocols.ice.generation import Generation
from segue.protocols.ice.known_path import KnownPath
from segue.protocols.ice.limits import AFTERMATH, NOMINATION_PATIENCE
from segue.protocols.ice.pair import Pair, PairState
from segue.protocols.ice.state import State


class Conclusion:
    """`components`: how many we have; what the peer has may be less (section 6.1.2.2)."""

    def __init__(self, state: State, components: int) -> None:
        self._state = state
        self.count = components
        self._nominees: dict[int, Pair] = {}
        self._retire_at: float | None = None

    def components(self, generation: Generation) -> range:
        return range(1, min(self.count, generation.remotes.highest_component) + 1)

    def nominee(self, pair: Pair) -> bool:
        return self._nominees.get(pair.component) is pair

    def nominate(self, now: float) -> None:
        """The controlling end picks the best valid pair, when no better one may come, or has been waited for."""
        generation = self._state.active()
        if generation is None or not self._state.controlling:
            return
        for component in self.components(generation):
            if component in generation.complete or component in self._nominees:
                continue
            valid = generation.check_list.valid(component)
            if not valid:
                generation.nominating.pop(component, None)  # it begins anew with the next one
                continue
            since = generation.nominating.setdefault(component, now)
            if not generation.check_list.better_open(valid[0]) or now >= since + NOMINATION_PATIENCE:
                self._nominees[component] = valid[0]
                self._state.nomination += self._state.renomination
                generation.check_list.trigger(valid[0], first=True)

    def nominated(self, known: KnownPath, pair: Pair, generation: Generation, now: float) -> None:
        """A pair of the component has been checked and nominated, by us or by the peer (sections 7.2.5.3.4 and
        7.3.1.5)."""
        state, component = self._state, known.component
        selection = state.selection(component)
        first = component not in generation.complete
        former = [each for each in generation.check_list if each.nominated and each.component == component]
        if not first and state.migration and known is not selection.current:
            return  # the selection has gone on since
        if not first and not state.renomination and not self._replaces(generation, pair, former):
            return
        for each in former:
            each.nominated = False
        pair.nominated, selection.nominated = True, True
        self._nominees.pop(component, None)
        generation.complete.add(component)
        if state.controlling:
            selection.compete(known)
        selection.select(known, now)
        if first:
            self._conclude(generation, component, now)

    def settle(self, component: int, now: float) -> None:
        """The path of a component is decided by a move, perhaps before anything was nominated."""
        state, generation = self._state, self._state.active()
        state.selection(component).nominated = True
        self._nominees.pop(component, None)
        if generation is not None and component not in generation.complete:
            generation.complete.add(component)
            self._conclude(generation, component, now)

    def failed_check(self, pair: Pair, generation: Generation, now: float) -> None:
        """A nomination was not answered: section 7.2.5.3.4 ends the session there, unless both ends can
        nominate anew."""
        if self._nominees.pop(pair.component, None) is None:
            return
        generation.check_list.remove(lambda each: each is pair)
        if not self._state.renomination:
            self._fail(generation, "the nominated path stopped working")
        else:
            self.nominate(now)

    def role_switched(self) -> None:
        self._nominees.clear()

    def remove(self, gone: list[Pair]) -> None:
        for pair in gone:
            if self.nominee(pair):
                del self._nominees[pair.component]

    def deadline(self) -> float | None:
        generation = self._state.active()
        if generation is None:
            return self._retire_at
        components = () if generation.failed else self.components(generation)
        waiting = [
            since + NOMINATION_PATIENCE
            for component, since in generation.nominating.items()
            if component in components
            and component not in generation.complete
            and component not in self._nominees
            and generation.check_list.valid(component)
        ]
        patience = None if generation.failed or self.is_complete(generation) else generation.patience
        return earliest(self._retire_at, patience, *waiting)

    def expire(self, now: float) -> None:
        state = self._state
        if self._retire_at is not None and now >= self._retire_at:
            self._retire_at = None
            del state.generations[1:]
        self.nominate(now)
        generation = state.active()
        if generation is None or generation.patience is None or now < generation.patience:
            return
        generation.patience = None
        if self.is_complete(generation) or generation.failed:
            return
        components = self.components(generation)
        if any(
            generation.check_list.exhausted(each) for each in components if each not in generation.complete
        ):
            self._fail(generation, "no path to the other end works")
        else:
            generation.patience = now + 1.0  # checks are under way

    def _fail(self, generation: Generation, why: str) -> None:
        """The path before a restart is still there; checks that come are still answered."""
        generation.failed = True
        self._state.events.append(Failed(why))

    def is_complete(self, generation: Generation) -> bool:
        return all(component in generation.complete for component in self.components(generation))

    def _conclude(self, generation: Generation, component: int, now: float) -> None:
        """Section 8.1.2. Ends that migrate go on with their other ports, so that these are proven when they are
        needed."""
        state = self._state
        current = state.selection(component).current
        selected = current.port if current is not None else None
        kept = (PairState.SUCCEEDED,)
        done = [
            pair
            for pair in generation.check_list
            if pair.component == component
            and pair.state not in kept
            and (not state.migration or pair.base.port == selected)
        ]
        for pair in done:
            state.checks.cancel(pair)
        gone = set(done)
        generation.check_list.remove(gone.__contains__)
        if self.is_complete(generation) and len(state.generations) > 1 and generation is state.newest:
            self._retire_at = now + AFTERMATH

    def _replaces(self, generation: Generation, pair: Pair, former: list[Pair]) -> bool:
        """A peer of RFC 5245 may nominate several: the best counts (section 8.1.1). Others nominate once."""
        remote = generation.remote
        if remote is None or "ice2" in remote.options:
            return False
        rank = generation.check_list.rank
        return all(rank(pair) < rank(each) for each in former)
