"""Which path one component's data leaves on, and what makes that change (RFC 8445 section 8; beyond it:
docs/ice.md).

A path is changed by: the first one that works, a nomination, the peer's word that it has moved, our own move,
and media that comes from somewhere else while the selected path answers no more. All of it is authenticated;
none of it is believed for longer than `PROOF_TIME` without an answer to our own check.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from segue.base.machine import earliest
from segue.base.trace import Trace
from segue.protocols.ice.events import IceEvent, PathLost, PathSelected
from segue.protocols.ice.known_path import NEVER, History, KnownPath, KnownPaths, Permission
from segue.protocols.ice.limits import (
    CONSENT,
    DISMISSED,
    INSIST,
    PROBE,
    PROBE_TIME,
    PROOF_TIME,
    QUIET,
    REBIND_GRACE,
    REMEMBERED,
    SEARCH,
    SEARCH_TIME,
)

_FIRST_DISMISSAL = 0.1  # doubled up to DISMISSED: a late packet must not keep a genuine change waiting


@dataclass(slots=True)
class Suspicion:
    """Authenticated media came by `path`, and not by the selected one: both are being checked. `rival`: the
    peer may be there, for its newest word came by this path, or nothing came by it before that."""

    path: KnownPath
    since: float
    rival: bool
    proven_at: float | None = None

    def decision(self, current: KnownPath | None) -> float:
        """When it is time to decide: the selected path, which may be the longer one, has had its time to answer."""
        if self.proven_at is None:
            return self.since + DISMISSED
        round_trip = current.round_trip if current is not None else None
        return max(self.proven_at, self.since + (round_trip or 0.0)) + REBIND_GRACE


class Selection:
    """`want(path, now)` asks for a check at once, unless there has just been one; `say(path, now)` for one in
    any case."""

    def __init__(
        self,
        component: int,
        paths: KnownPaths,
        events: list[IceEvent],
        want: Callable[[KnownPath, float], None],
        say: Callable[[KnownPath, float], None],
        trace: Trace,
    ) -> None:
        self.component = component
        self.current: KnownPath | None = None
        self.last: KnownPath | None = None  # that was the current one, also when there is none now
        self.nominated = False
        self.moving = False  # our own move is not answered yet
        self.doubtful = False  # it is, but the peer saw us where we do not know that we are
        self.history = History()
        self._paths = paths
        self._events = events
        self._want = want
        self._say = say
        self._trace = trace
        self._newest = {"nomination": 0, "moved": 0}
        self._rivals: list[KnownPath] = []
        self._since = 0.0  # when the selected path became that
        self._proof_at: float | None = None  # when its proof is looked after next
        self._suspicion: Suspicion | None = None
        self._dismissal = 0.0
        self._dismissed_until = 0.0
        self._probe_until = 0.0
        self._probe_at: float | None = None
        self._search_at = 0.0
        self._search_until = 0.0

    @property
    def suspect(self) -> KnownPath | None:
        """Where the peer seems to be rather than on the selected path, and has answered."""
        suspicion = self._suspicion
        return suspicion.path if suspicion is not None and suspicion.proven_at is not None else None

    def select(self, known: KnownPath, now: float) -> None:
        """Data leaves on this one; the one before is remembered."""
        before = self.current
        self._proof_at = None if known.proven else now + INSIST
        if known is before:
            return
        self._since = now
        if before is not None:
            self.history.add(before)
        self.history.remove(known)
        self.current = self.last = known
        self._suspicion, self._dismissal = None, 0.0
        self._probe_until, self._probe_at = now + PROBE_TIME, now + PROBE
        self._trace.note("ice", "selected", path=known.path, proven=known.proven, component=self.component)
        self._events.append(PathSelected(known.path, known.proven, self.component))

    def compete(self, *paths: KnownPath) -> None:
        """These, and no others, are where the peer may be, as its newest word or our own move says."""
        self._rivals = list(paths)

    def join(self, known: KnownPath, now: float) -> None:
        """One more that the newest word came by."""
        if known not in self._rivals and len(self._rivals) < REMEMBERED:
            self._rivals.append(known)
            if self._probe_at is None and now < self._probe_until:
                self._probe_at = now + PROBE

    def follow(self, known: KnownPath, word: str, counter: int, now: float) -> bool:
        """The peer says, by an authenticated check on this path, that it is reached here. Whether that was new.

        A word that is older than the newest changes nothing. The newest by another path makes that a rival: perhaps
        someone relays the peer's checks.
        """
        newest = self._newest[word]
        if counter < newest:
            self._trace.drop("ice", "older nomination", counter=counter, newest=newest)
            return False
        if counter == newest:
            if known is not self.current and known not in self._rivals:
                self.join(known, now)
                self._want(known, now)
            return False
        self._newest[word] = counter
        if known is self.current:
            self.compete(known)
            return True
        if (self.moving or self.doubtful) and not known.signalled:
            # Our own check is under way to an address that was signalled: this one has to show more than a copy
            # would.
            self.join(known, now)
            self._want(known, now)
            return False
        self.compete(known)
        if known.permission is Permission.NONE:
            known.enter(Permission.TRIAL)
        self.select(known, now)
        return True

    def nominated_by_peer(self, known: KnownPath, counter: int | None, now: float) -> bool:
        """Whether a nomination holds where nominations are counted, when nothing is nominated yet or the peer
        cannot migrate. The same one by another path makes that a rival, as in `follow`."""
        newest = self._newest["nomination"]
        if counter is None:
            return not self.nominated
        if counter > newest:
            self._newest["nomination"] = counter
            self.compete(known)
            return True
        if counter == newest:
            self.join(known, now)
            return known is self._rivals[0]
        self._trace.drop("ice", "older nomination", counter=counter, newest=newest)
        return False

    def answered(self, known: KnownPath, sent_at: float, now: float) -> None:
        """The peer answered a check that left at `sent_at`."""
        current, suspicion = self.current, self._suspicion
        if known is current:
            self._proof_at = None
            return
        if current is None:
            self.select(known, now)
        elif not self.nominated:
            return  # the first one that works is good enough until there is a nominated one
        elif suspicion is not None and suspicion.path is known and sent_at >= suspicion.since:
            self._suspect_answered(suspicion, current, now)
        elif known in self._rivals:
            if self._unproven(current) or known.standing > current.standing:
                self._change_to(known, now)
        elif current.permission is Permission.NONE:
            self.select(known, now)

    def heard(self, known: KnownPath, now: float) -> bool:
        """Authenticated media came, by another path than the selected one. Whether that has led to a check."""
        current = self.current
        if current is None:
            unasked = not known.proven and now - known.checked > QUIET
            if unasked:
                self._want(known, now)
            return unasked
        if self.moving or self._suspicion is not None or now < self._dismissed_until:
            return False
        rival = known in self._rivals or known.answered == NEVER
        if not rival and (now - max(current.heard, self._since) < QUIET or not current.proven):
            return False  # what was on its way when the path changed, or a peer that sends on two paths
        self._suspicion = Suspicion(known, now, rival)
        self._want(known, now)
        self._want(current, now)
        return True

    def lost(self, known: KnownPath, why: str, now: float) -> KnownPath | None:
        """Nothing may be sent there any more. The path that takes its place, if it was the selected one."""
        self.history.remove(known)
        self._rivals = [each for each in self._rivals if each is not known]
        if self._suspicion is not None and self._suspicion.path is known:
            self._suspicion = None
        self._events.append(PathLost(known.path, why, self.component))
        if known is not self.current:
            return None
        self.current, self._proof_at = None, None
        self._search_at, self._search_until = now + SEARCH, now + SEARCH_TIME
        instead = self.fallback()
        if instead is not None:
            self.select(instead, now)
        return instead

    def fallback(self) -> KnownPath | None:
        """A proven path that was selected before, the newest first; else any proven one, the last heard first."""
        for known in self.history:
            if known.proven:
                return known
        others = [known for known in self._paths.proven(self.component) if known is not self.current]
        return max(others, key=lambda known: known.heard, default=None)

    def deadline(self) -> float | None:
        suspicion = self._suspicion
        decision = None
        if suspicion is not None:
            decision = suspicion.decision(self.current)
        search = self._search_at if self.current is None and self._search_at < self._search_until else None
        return earliest(self._proof_at, decision, self._probe_at, search)

    def expire(self, now: float) -> KnownPath | None:
        """A path that is given up for want of proof, when there is a better one; who owns this calls `lost`."""
        if self._suspicion is not None:
            self._decide(self._suspicion, now)
        if self._probe_at is not None and now >= self._probe_at:
            self._probe(now)
        current = self.current
        if current is None and self._search_at <= now < self._search_until:
            self._search_at = now + SEARCH
            for known in dict.fromkeys([each for each in (self.last, *self.history) if each is not None][:3]):
                self._want(known, now)
        if self._proof_at is None or now < self._proof_at or current is None:
            return None
        if current.proven:
            self._proof_at = None
            return None
        self._proof_at = now + INSIST
        if self._given_up(now):
            return current
        if not self.moving:  # who moves repeats its check by itself
            self._want(current, now)
        return None

    def _given_up(self, now: float) -> bool:
        """Whether the path under proof has had its time. One that worked before has to show that it does now."""
        before, tried = self.fallback(), now - self._since
        if tried >= CONSENT:
            return True
        if before is None or tried < PROOF_TIME - PROBE:
            return False
        if before.answered >= self._since or before.heard > max(self._since + QUIET, now - PROBE):
            return tried >= PROOF_TIME
        self._want(before, now)
        return False

    def _suspect_answered(self, suspicion: Suspicion, current: KnownPath, now: float) -> None:
        suspect = suspicion.path
        if suspicion.rival and (suspect.standing > current.standing or self._unproven(current)):
            self._change_to(suspect, now)
        else:
            suspicion.proven_at = now

    def _decide(self, suspicion: Suspicion, now: float) -> None:
        current, suspect = self.current, suspicion.path
        if current is None:
            self._suspicion = None
        elif now < suspicion.decision(current):
            return
        elif suspicion.proven_at is None:
            self._dismiss(now)
        else:
            alive = current.answered >= suspicion.since or current.heard > suspicion.since
            # Of two that the same word came by and that nothing else tells apart, the peer's media decides.
            preferred = suspicion.rival and suspect.standing == current.standing
            if not alive or (preferred and current.media <= suspicion.since < suspect.media):
                self._change_to(suspect, now)
            else:
                self._dismiss(now)

    def _change_to(self, suspect: KnownPath, now: float) -> None:
        """And repeat our own newest word there, for the peer may have it from elsewhere."""
        current = self.current
        self.select(suspect, now)
        self.join(suspect, now)
        if current is not None:
            self.join(current, now)
        self._say(suspect, now)

    def _dismiss(self, now: float) -> None:
        self._suspicion = None
        self._dismissal = min(DISMISSED, max(_FIRST_DISMISSAL, 2 * self._dismissal))
        self._dismissed_until = now + self._dismissal

    def _probe(self, now: float) -> None:
        """Ask whether a path that would be gone back to works again."""
        current = self.current
        better = [
            known
            for known in self._rivals
            if current is not None and known is not current and (known.signalled, True) > current.standing
        ]
        self._probe_at = now + PROBE if better and now < self._probe_until else None
        if self._probe_at is not None:
            for known in better[:2]:
                self._want(known, now)

    @staticmethod
    def _unproven(known: KnownPath) -> bool:
        return known.permission in (Permission.NONE, Permission.TRIAL)
