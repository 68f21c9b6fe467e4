"""Checks that come, and answers to ours: what they change (RFC 8445 sections 7.2.5 and 7.3.1)."""

from __future__ import annotations

from segue.base.address import LocalPort, Path
from segue.protocols.ice.answering import Answering, Conflict, role_conflict
from segue.protocols.ice.check import Answered, Check, Outcome
from segue.protocols.ice.conclusion import Conclusion
from segue.protocols.ice.consent import Consent
from segue.protocols.ice.events import PathProven
from segue.protocols.ice.generation import Generation
from segue.protocols.ice.known_path import KnownPath, Permission
from segue.protocols.ice.limits import SILENT
from segue.protocols.ice.migration import Moves
from segue.protocols.ice.pair import Pair, PairState
from segue.protocols.ice.state import State
from segue.protocols.stun.attributes import MOVED, NOMINATION, PRIORITY, USE_CANDIDATE, USERNAME
from segue.protocols.stun.message import StunMessage


class Exchange:
    """Nothing of a path changes before the sender is authenticated."""

    def __init__(
        self, state: State, consent: Consent, moves: Moves, conclusion: Conclusion, now: float
    ) -> None:
        self._state = state
        self._trace = state.trace
        self._consent = consent
        self._moves = moves
        self._conclusion = conclusion
        self._answering = Answering(state.trace, now)

    def transmits(self) -> list[tuple[Path, bytes]]:
        return self._answering.transmits() + self._state.checks.transmits()

    def set_controlling(self, controlling: bool) -> None:
        if controlling is not self._state.controlling:
            self._conclusion.role_switched()
            self._state.switch_role(controlling)

    def request(self, request: StunMessage, path: Path, octets: int, now: float) -> None:
        state = self._state
        if LocalPort(path.interface, path.local) not in state.local.bases:
            self._trace.drop("ice", "no port of this call", port=str(path.local))
            return
        generation = self._answering.authenticate(request, path, state.generations, now)
        if generation is None:
            return
        conflict = role_conflict(request, state.controlling, state.tie_breaker)
        if conflict is Conflict.REFUSE:
            self._answering.error(request, path, generation, 487)
            return
        if conflict is Conflict.SWITCH:
            self.set_controlling(not state.controlling)
        sent = self._answering.success(request, path, generation)
        if generation.remote is None:
            generation.keep_early(request, path, octets)
            return
        if not generation.from_peer(request.get(USERNAME) or ""):
            self._trace.drop("ice", "another fork's check", source=str(path.remote))
            return
        known = state.known(path)
        if known is not None and not known.proven:
            known.sent += sent
        self.act_upon(request, path, octets, generation, now)

    def act_upon(
        self, request: StunMessage, path: Path, octets: int, generation: Generation, now: float
    ) -> None:
        """An authenticated check: RFC 8445 sections 7.3.1.3 to 7.3.1.5, or the peer's word that it has moved."""
        state = self._state
        known = state.known(path)
        if known is None:
            return
        known.heard = now
        known.received += octets
        pair = state.pair_of(known, generation, request.get(PRIORITY))
        nominates = not state.controlling and request.get(USE_CANDIDATE) is not None
        if self._follows(request, known, nominates, now) or pair is None:
            return
        current = state.selection(known.component).current
        if current is not None and current is not known and now - current.heard > SILENT:
            state.selection(known.component).heard(
                known, now
            )  # on hold there is no media to tell of a rebinding
        if state.migration and state.selection(known.component).current is not None:
            nominates = False  # only what was followed changes the path
        elif nominates and state.renomination:
            selection = state.selection(known.component)
            nominates = selection.nominated_by_peer(known, request.get(NOMINATION), now)
        if pair.state is PairState.SUCCEEDED:
            if nominates:
                self._conclusion.nominated(known, pair, generation, now)
            return
        pair.nominate = pair.nominate or nominates
        if generation is not state.active() or now - known.checked < state.pacing:
            return  # our own check has just left
        if pair.state is PairState.IN_PROGRESS:
            state.checks.cancel(pair)
        if pair.state is not PairState.WAITING:
            pair.enter(PairState.WAITING)
        generation.check_list.trigger(pair)

    def _follows(self, request: StunMessage, known: KnownPath, nominates: bool, now: float) -> bool:
        """Whether the request was one between ends that migrate, and has been dealt with."""
        state = self._state
        selection = state.selection(known.component)
        if not state.migration or selection.current is None:
            return False
        word, counter = (
            ("moved", request.get(MOVED)) if state.controlling else ("nomination", request.get(NOMINATION))
        )
        if counter is None or not (state.controlling or nominates):
            return False
        if selection.follow(known, word, counter, now):
            if not self._moves.watches(known):
                self._moves.ended(known.component)
            self._conclusion.settle(known.component, now)
            if state.controlling:
                state.nomination += 1  # our check is the nomination of the peer's new path
            if state.controlling or not known.proven:
                state.start_check(known, now, once=not known.proven)
            self._moves.meet(known, now)
            return True
        if selection.moving:
            self._moves.meet(known, now)
        return known is selection.current and known.proven

    def response(self, message: StunMessage, path: Path, now: float) -> None:
        answered = self._state.checks.receive(message, path)
        if answered is None:
            self._trace.drop("ice", "answers no check of ours", source=str(path.remote))
        elif answered.outcome is Outcome.SUCCESS:
            self._succeeded(answered, now)
        elif answered.outcome is Outcome.ROLE_CONFLICT:
            self._conflict(answered.check)
        elif answered.outcome is Outcome.REVOKED:
            self._state.paths.revoked(answered.check.known)
            self.lapse(answered.check.known, "the peer does not want it", now, revoked=True)
        else:
            self.unanswered(answered.check, now)

    def _succeeded(self, answered: Answered, now: float) -> None:
        """RFC 8445 section 7.2.5.3."""
        state, check = self._state, answered.check
        known, pair = check.known, check.pair
        assert answered.mapped is not None
        known.mapped = answered.mapped
        known.straight = state.local.knows(known.port, answered.mapped)
        if known.signalled and not known.straight and not self._moves.watches(known):
            state.local.learn(known.port, answered.mapped)
        if check.transaction.sent == 1:
            known.round_trip = now - check.began
        was_proven = known.proven
        state.paths.answered(known, check.began, now)
        self._consent.answered(known, now)
        if not was_proven:
            state.events.append(PathProven(known.path, known.component))
        state.selection(known.component).answered(known, check.began, now)
        if pair is not None:
            self._pair_succeeded(check, pair, now)
        self._moves.answered(check, now)
        self._moves.leave_relay(known, now)
        self._conclusion.nominate(now)

    def _pair_succeeded(self, check: Check, pair: Pair, now: float) -> None:
        state = self._state
        generation = next(
            (each for each in state.generations if each.check_list.get(pair.path) is pair), None
        )
        if generation is None:
            return
        generation.check_list.succeeded(pair)
        newest = check.marks.nomination is None or check.marks.nomination == state.nomination
        if (check.controlling and check.marks.use_candidate and newest) or pair.nominate:
            pair.nominate = False
            self._conclusion.nominated(check.known, pair, generation, now)

    def _conflict(self, check: Check) -> None:
        """RFC 8445 section 7.2.5.1."""
        if check.controlling is self._state.controlling:
            self.set_controlling(not self._state.controlling)
            self._state.draw_tie_breaker()
        generation = self._state.active()
        if check.pair is not None and generation is not None:
            if check.pair.state is PairState.IN_PROGRESS:
                check.pair.enter(PairState.WAITING)
            generation.check_list.trigger(check.pair)

    def unanswered(self, check: Check, now: float) -> None:
        """RFC 8445 section 7.2.5.2. What was given up for a newer check of the same pair says nothing."""
        pair = check.pair
        if pair is None or not check.again or self._state.checks.of(check.known):
            return
        if pair.state is PairState.IN_PROGRESS:
            pair.enter(PairState.FAILED)
        generation = self._state.active()
        if check.marks.use_candidate and generation is not None:
            self._conclusion.failed_check(pair, generation, now)

    def lapse(self, known: KnownPath, why: str, now: float, *, revoked: bool = False) -> None:
        """Consent is lost. RFC 7675 section 5.1: these credentials are not used on this path again; ends that migrate
        may ask again, but who has refused."""
        generation = self._state.active()
        self._state.checks.forget(known)
        if generation is not None and (revoked or not self._state.migration):
            known.lapsed = generation.credentials.ufrag
        self.lose(known, why, now)

    def lose(self, known: KnownPath, why: str, now: float) -> None:
        state = self._state
        if known.permission is not Permission.NONE:
            known.enter(Permission.NONE)
        instead = state.selection(known.component).lost(known, why, now)
        if instead is not None and state.migration:
            self._moves.tell(instead, now)
