"""Connectivity checks: the client's side of Binding requests with short-term credentials (RFC 8445 section 7.2)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from segue.base.address import Address, Path
from segue.base.entropy import Entropy
from segue.base.machine import earliest
from segue.base.secret import Secret
from segue.protocols.ice.known_path import KnownPath
from segue.protocols.ice.limits import CHECKS, RTO
from segue.protocols.ice.pair import Pair
from segue.protocols.stun.attributes import (
    ICE_CONTROLLED,
    ICE_CONTROLLING,
    MOVED,
    NOMINATION,
    PRIORITY,
    USE_CANDIDATE,
    USERNAME,
    XOR_MAPPED_ADDRESS,
)
from segue.protocols.stun.message import TRANSACTION, Class, Method, StunMessage
from segue.protocols.stun.transaction import ClientTransaction, Timers

ONCE = Timers(rto=RTO, requests=1, patience=16)  # RFC 7675 section 5.1: consent is asked for once


class Outcome(Enum):
    """Of a check (sections 7.2.5.1 to 7.2.5.3). A response whose integrity is wrong is none: it may be forged."""

    SUCCESS = "success"
    ROLE_CONFLICT = "role conflict"
    REVOKED = "revoked"  # RFC 7675 section 5.2
    FAILURE = "failure"


@dataclass(frozen=True, slots=True)
class Marks:
    """What a check says beside who sends it. `use_candidate`: we nominate. `nomination`, `moved`: which one it
    is of those this call has seen."""

    use_candidate: bool = False
    nomination: int | None = None
    moved: int | None = None


@dataclass(slots=True, eq=False)
class Check:
    """One that is under way. `again`: it is sent again when nobody answers."""

    known: KnownPath
    pair: Pair | None
    username: str
    password: Secret  # the peer's: of its response, too
    marks: Marks
    controlling: bool
    began: float
    transaction: ClientTransaction
    size: int  # octets of the request
    again: bool = True


@dataclass(frozen=True, slots=True)
class Answered:
    check: Check
    outcome: Outcome
    mapped: Address | None = None


class Checks:
    """All checks that are under way, by transaction."""

    def __init__(self, entropy: Entropy) -> None:
        self._entropy = entropy
        self._under_way: dict[bytes, Check] = {}
        self._due = False  # something is to be sent

    def __len__(self) -> int:
        return len(self._under_way)

    def start(
        self,
        known: KnownPath,
        pair: Pair | None,
        credentials: tuple[str, Secret],
        marks: Marks,
        role: tuple[bool, int],
        priority: int,
        now: float,
        timers: Timers,
    ) -> Check:
        """`credentials`: user name and password (section 7.2.2); `role`: whether we control, and the
        tie-breaker."""
        controlling, tie_breaker = role
        username, password = credentials
        identifier = self._entropy.octets(TRANSACTION)
        request = StunMessage(Class.REQUEST, Method.BINDING, identifier)
        request.add(USERNAME, username).add(PRIORITY, priority)
        request.add(ICE_CONTROLLING if controlling else ICE_CONTROLLED, tie_breaker)
        if marks.use_candidate:
            request.add(USE_CANDIDATE, True)
        if marks.nomination is not None:
            request.add(NOMINATION, marks.nomination)
        if marks.moved is not None:
            request.add(MOVED, marks.moved)
        octets = request.write(password, fingerprint=True)
        transaction = ClientTransaction(identifier, octets, now, timers)
        check = Check(known, pair, username, password, marks, controlling, now, transaction, len(octets))
        if len(self._under_way) >= CHECKS:
            self._make_room()
        self._under_way[identifier] = check
        self._due = True
        known.checked = now
        return check

    def _make_room(self) -> None:
        """The oldest goes, of those whose path is not proven if there is one."""
        oldest = next((key for key, check in self._under_way.items() if not check.known.proven), None)
        del self._under_way[oldest if oldest is not None else next(iter(self._under_way))]

    def of(self, known: KnownPath) -> list[Check]:
        return [check for check in self._under_way.values() if check.known is known]

    def cancel(self, pair: Pair) -> None:
        """It is not sent again, and its failure means nothing; an answer still counts (section 7.3.1.4)."""
        for check in self._under_way.values():
            if check.pair is pair:
                check.again = False

    def forget(self, known: KnownPath) -> None:
        for identifier in [key for key, check in self._under_way.items() if check.known is known]:
            del self._under_way[identifier]

    def receive(self, message: StunMessage, path: Path) -> Answered | None:
        """A response; None for one that answers nothing, or is not the peer's, or comes from elsewhere than the
        request went.

        RFC 8445 section 7.2.5.2.1 has the check fail for that last reason at once. Then who copies an answer
        and is faster with it than the peer could take any path from a call; so the check goes on, and fails
        when nobody else answers.
        """
        check = self._under_way.get(message.transaction)
        if check is None or path != check.known.path or not message.verify(check.password):
            return None
        del self._under_way[message.transaction]
        mapped = message.get(XOR_MAPPED_ADDRESS)
        if message.kind is Class.SUCCESS and mapped is not None and not message.unknown:
            return Answered(check, Outcome.SUCCESS, mapped)
        code = message.error.code if message.error is not None else 0
        outcomes = {487: Outcome.ROLE_CONFLICT, 403: Outcome.REVOKED}
        return Answered(check, outcomes.get(code, Outcome.FAILURE))

    def transmits(self) -> list[tuple[Path, bytes]]:
        if not self._due:
            return []
        self._due = False
        return [
            (check.known.path, octets)
            for check in self._under_way.values()
            for octets in check.transaction.transmits()
            if check.again
        ]

    def deadline(self) -> float | None:
        return earliest(*(check.transaction.deadline() for check in self._under_way.values()))

    def expire(self, now: float) -> list[Check]:
        """Those that nobody has answered."""
        failed = []
        self._due = True
        for identifier, check in list(self._under_way.items()):
            check.transaction.expire(now)
            if check.transaction.failed:
                del self._under_way[identifier]
                failed.append(check)
        return failed
