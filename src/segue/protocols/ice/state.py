"""What all parts of one agent share, and the sending of checks, which all of them do."""

from __future__ import annotations

from collections import deque

from segue.base.address import Address, LocalPort, Path
from segue.base.entropy import Entropy
from segue.base.ice_description import Candidate
from segue.base.trace import Trace
from segue.protocols.ice.allowance import Allowance
from segue.protocols.ice.candidate import LocalCandidates
from segue.protocols.ice.check import ONCE, Check, Checks, Marks
from segue.protocols.ice.check_list import CheckList
from segue.protocols.ice.events import CandidateFound, IceEvent
from segue.protocols.ice.generation import Generation, IceCredentials
from segue.protocols.ice.known_path import KnownPath, KnownPaths, Permission
from segue.protocols.ice.limits import PACING, PAIRS, REPEAT, RTO, UNPACED_BURST, UNPACED_RATE
from segue.protocols.ice.pair import Pair, PairState
from segue.protocols.ice.selection import Selection
from segue.protocols.stun.transaction import Timers

TIE_BREAKER = 8  # octets
CHECK = 150  # octets, about


class State:
    """`generations`: the newest first; the second is what a restart began from. `nomination`, `moved`: our newest
    words of each kind, counted over the whole call. `targets`: paths that our own move tries."""

    def __init__(
        self, controlling: bool, entropy: Entropy, now: float, migration: bool, trace: Trace
    ) -> None:
        self.controlling = controlling
        self.entropy = entropy
        self.trace = trace
        self.migration = migration
        self.tie_breaker = 0
        self.draw_tie_breaker()
        self.local = LocalCandidates()
        self.paths = KnownPaths()
        self.checks = Checks(entropy)
        self.generations: list[Generation] = [self.new_generation()]
        self.selections: dict[int, Selection] = {}
        self.events: list[IceEvent] = []
        self.nomination = 0
        self.moved = 0
        self.targets: set[KnownPath] = set()
        self.pacing = PACING
        self.wanted: deque[KnownPath] = deque()  # that wait for Ta
        self._unpaced = Allowance(UNPACED_BURST, UNPACED_RATE, now)

    @property
    def newest(self) -> Generation:
        return self.generations[0]

    @property
    def renomination(self) -> bool:
        """Whether nominations are counted, and the newest holds."""
        remote = self.newest.remote
        return self.migration or (remote is not None and "renomination" in remote.options)

    def draw_tie_breaker(self) -> None:
        self.tie_breaker = int.from_bytes(self.entropy.octets(TIE_BREAKER), "big")

    def new_generation(self, credentials: IceCredentials | None = None) -> Generation:
        """With these credentials of ours, or others than before."""
        drawn = credentials or IceCredentials.draw(self.entropy)
        return Generation(drawn, CheckList(self.controlling, PAIRS))

    def switch_role(self, controlling: bool) -> None:
        """RFC 8445 section 7.3.1.1: priorities of pairs follow by themselves."""
        self.trace.note("ice", "role", controlling=controlling)
        self.controlling = controlling
        for generation in self.generations:
            generation.check_list.controlling = controlling
            generation.nominating.clear()

    def selection(self, component: int) -> Selection:
        if component not in self.selections:
            self.selections[component] = Selection(
                component, self.paths, self.events, self.want, self.say, self.trace
            )
        return self.selections[component]

    def known(self, path: Path) -> KnownPath | None:
        """A path from one of our ports, with what is known of it; None when we have no such port."""
        known = self.paths.get(path)
        if known is None:
            base = self.local.bases.get(LocalPort(path.interface, path.local))
            if base is None:
                return None
            remote = self.newest.remotes.get(base.component, path.remote)
            known = self.paths.of(path, base.component, signalled=remote is not None and remote.signalled)
        return known

    def found(self, candidate: Candidate) -> None:
        self.events.append(CandidateFound(candidate))

    def active(self) -> Generation | None:
        """The newest session that checks can be made for."""
        return next((each for each in self.generations if each.remote is not None), None)

    def pair_of(self, known: KnownPath, generation: Generation, priority: int | None = None) -> Pair | None:
        """The pair of a path; made when it is new (RFC 8445 section 7.3.1.4). None when there is no room."""
        pair = generation.check_list.get(known.path)
        base = self.local.bases.get(known.port)
        if pair is not None or base is None:
            return pair
        remote = generation.remotes.get(known.component, known.path.remote)
        if remote is None:
            remote = generation.remotes.learn(
                known.component,
                known.path.remote,
                base.reflexive if priority is None else priority,
                self._used(),
            )
        pair = Pair(base, remote)
        return pair if generation.check_list.insert(pair) else None

    def _used(self) -> frozenset[Address]:
        """Where the peer is, and was."""
        used = set()
        for selection in self.selections.values():
            used |= {each.path.remote for each in selection.history}
            if selection.current is not None:
                used.add(selection.current.path.remote)
        return frozenset(used)

    def marks(self, known: KnownPath, nominate: bool) -> Marks:
        """What a check on this path says: on the selected one, and on those a move tries, it repeats our newest
        word."""
        selection = self.selection(known.component)
        chosen = known in self.targets or (known is selection.current and selection.nominated)
        if self.controlling:
            nominate = nominate or (self.migration and chosen)
            return Marks(nominate, self.nomination if nominate and self.renomination else None)
        return Marks(moved=self.moved if self.migration and chosen and self.moved else None)

    def start_check(
        self,
        known: KnownPath,
        now: float,
        *,
        pair: Pair | None = None,
        nominate: bool = False,
        once: bool = False,
    ) -> Check | None:
        """Send one now; one to an address under proof is sent once, and only if the credit allows it."""
        generation, base = self.active(), self.local.bases.get(known.port)
        if generation is None or base is None:
            return None
        if pair is None:
            pair = self.pair_of(known, generation)
        if known.lapsed == generation.credentials.ufrag or not known.has_credit(CHECK):
            if pair is not None and pair.state is PairState.IN_PROGRESS:
                pair.enter(PairState.FAILED)
            return None
        once = once or known.permission is Permission.TRIAL
        if pair is not None and pair.state is not PairState.SUCCEEDED:
            pair.enter(PairState.IN_PROGRESS)
        # RFC 8445 section 14.3 multiplies by the number of pairs once more, which makes minutes of a hundred pairs.
        timers = ONCE if once else Timers(rto=max(RTO, self.pacing * generation.check_list.open))
        role = self.controlling, self.tie_breaker
        marks = self.marks(known, nominate)
        check = self.checks.start(
            known, pair, generation.outgoing(), marks, role, base.reflexive, now, timers
        )
        if not known.proven:
            known.sent += check.size
        return check

    def want(self, known: KnownPath, now: float) -> None:
        """A check that does not wait for Ta, when few have been of late; else with the others."""
        if now - known.checked >= REPEAT:
            self.say(known, now)

    def say(self, known: KnownPath, now: float) -> None:
        """The same, also when there has just been one: it repeats our newest word."""
        if self._unpaced.take(now):
            self.start_check(known, now)
        elif known not in self.wanted and len(self.wanted) < PAIRS:
            self.wanted.append(known)
