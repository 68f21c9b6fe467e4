"""A path as an object with a life: what came over it, and what we may send on it (RFC 7675; RFC 9000 section 8).

A path outlives ICE restarts; pairs of a check list do not.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum

from segue.base.address import Address, LocalPort, Path
from segue.protocols.ice.limits import AMPLIFICATION, CONSENT, PATHS, REMEMBERED


class Permission(Enum):
    """Whether data may leave on a path."""

    NONE = "nothing but checks"
    TRIAL = "under proof: three times the authenticated octets that came from there"
    BORROWED = "the peer's address has consented, to another port of ours"
    CONSENT = "the peer has answered a check"


_N, _T, _B, _C = Permission
TRANSITIONS: dict[Permission, frozenset[Permission]] = {
    _N: frozenset({_T, _B, _C}),
    _T: frozenset({_N, _B, _C}),
    _B: frozenset({_N, _T, _C}),
    _C: frozenset({_N}),  # after 30 s without an answer, or revoked
}
NEVER = float("-inf")


@dataclass(slots=True, eq=False)
class KnownPath:
    """Times in seconds, `received` and `sent` in octets while the path is under proof.

    `signalled`: protected signalling named the peer's address. `mapped`: where the peer saw our check come
    from; `straight`: that is an address under which we were known before. A check that someone relays comes
    from the relay's own address (its answer goes where it came from), so a relayed path is never straight; one
    behind a NAT that maps each destination anew is not straight either.
    """

    path: Path
    component: int
    signalled: bool = False
    permission: Permission = Permission.NONE
    received: int = 0
    sent: int = 0
    heard: float = NEVER  # anything authenticated
    media: float = NEVER  # authenticated media
    checked: float = NEVER  # our last check left
    answered: float = NEVER  # the last check that was answered, by the time it left
    consent_until: float = NEVER
    consent_check: float | None = None  # when the next one is due
    round_trip: float | None = None
    mapped: Address | None = None
    straight: bool = False
    lapsed: str = ""  # our fragment, with whose session consent was lost for good (RFC 7675 section 5.1)

    @property
    def proven(self) -> bool:
        return self.permission is Permission.CONSENT

    @property
    def port(self) -> LocalPort:
        return LocalPort(self.path.interface, self.path.local)

    @property
    def standing(self) -> tuple[bool, bool]:
        """Of two paths that the same nomination came by, the greater is the genuine one."""
        return self.signalled, self.straight

    def enter(self, permission: Permission) -> None:
        if permission is self.permission:
            return
        assert permission in TRANSITIONS[self.permission], f"{self.permission} to {permission}"
        if self.permission is Permission.CONSENT:
            self.received = self.sent = 0
            self.consent_check = None
        self.permission = permission

    def answer(self, sent_at: float, now: float) -> None:
        """The peer answered a check that left at `sent_at`."""
        self.enter(Permission.CONSENT)
        self.consent_until = now + CONSENT
        self.answered = max(self.answered, sent_at)
        self.heard = now

    def has_credit(self, octets: int) -> bool:
        """Also for our own checks: what we send to an address under proof is three times what came from it at
        most."""
        return self.permission is not Permission.TRIAL or self.sent + octets <= AMPLIFICATION * self.received

    def may_send(self, octets: int) -> bool:
        """And counts it, while the path is under proof."""
        permission = self.permission
        if permission is Permission.CONSENT or permission is Permission.BORROWED:
            return True
        if permission is Permission.NONE or self.sent + octets > AMPLIFICATION * self.received:
            return False
        self.sent += octets
        return True


@dataclass(slots=True)
class KnownPaths:
    """By path; at most `PATHS`, the longest silent one that nothing depends on goes. `consents`: until when an
    address of the peer's has consented, whichever port of ours asked; that outlives the port."""

    table: dict[Path, KnownPath] = field(default_factory=dict)
    consents: dict[tuple[int, Address], float] = field(default_factory=dict)

    def __iter__(self) -> Iterator[KnownPath]:
        return iter(self.table.values())

    def get(self, path: Path) -> KnownPath | None:
        return self.table.get(path)

    def of(self, path: Path, component: int, *, signalled: bool) -> KnownPath:
        known = self.table.get(path)
        if known is None:
            if len(self.table) >= PATHS:
                self._make_room()
            known = self.table[path] = KnownPath(path, component)
        known.signalled = known.signalled or signalled
        return known

    def answered(self, known: KnownPath, sent_at: float, now: float) -> None:
        known.answer(sent_at, now)
        self.consents[known.component, known.path.remote] = known.consent_until
        if len(self.consents) > PATHS:
            del self.consents[min(self.consents, key=self.consents.__getitem__)]

    def revoked(self, known: KnownPath) -> None:
        self.consents.pop((known.component, known.path.remote), None)

    def consented(self, known: KnownPath, now: float) -> bool:
        return self.consents.get((known.component, known.path.remote), NEVER) > now

    def proven(self, component: int) -> list[KnownPath]:
        return [known for known in self if known.component == component and known.proven]

    def remove_port(self, port: LocalPort) -> list[KnownPath]:
        gone = [known for known in self if known.port == port]
        for known in gone:
            del self.table[known.path]
        return gone

    def _make_room(self) -> None:
        spare = [known for known in self if known.permission is Permission.NONE] or list(self)
        oldest = min(spare, key=lambda known: max(known.heard, known.answered, known.checked))
        del self.table[oldest.path]


class History:
    """Paths that were selected, the newest last; each once."""

    def __init__(self) -> None:
        self._paths: list[KnownPath] = []

    def __iter__(self) -> Iterator[KnownPath]:
        return reversed(self._paths)

    def add(self, known: KnownPath) -> None:
        self.remove(known)
        self._paths.append(known)
        del self._paths[:-REMEMBERED]

    def remove(self, known: KnownPath) -> None:
        if known in self._paths:
            self._paths.remove(known)
