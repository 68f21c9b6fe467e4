"""Server-reflexive candidates: where our ports seem to be, asked of STUN servers (RFC 8445 section 5.1.1.2)."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from segue.base.address import Address, LocalPort, Path
from segue.base.entropy import Entropy
from segue.base.errors import RemoteError
from segue.base.machine import earliest
from segue.protocols.ice.limits import RTO, SERVERS
from segue.protocols.stun.binding import binding_request, is_binding_response, mapped_address
from segue.protocols.stun.message import TRANSACTION, StunMessage
from segue.protocols.stun.transaction import ClientTransaction, Timers

TIMERS = Timers(rto=RTO, requests=4, patience=4)  # 5.5 s: who waits for candidates waits no longer
REFRESH = 15.0  # a mapping is kept until a path is selected (section 5.1.1.4)


@dataclass(frozen=True, slots=True)
class Reflexive:
    port: LocalPort
    mapped: Address
    server: Address
    order: int  # of the server among those that were asked


@dataclass(slots=True)
class _Question:
    port: LocalPort
    server: Address
    order: int
    transaction: ClientTransaction | None = None
    refresh_at: float | None = None

    @property
    def path(self) -> Path:
        return Path(self.port.interface, self.port.address, self.server)


class Gatherer:
    """One question for each host port and server of its family; whoever paces says when the next may leave."""

    def __init__(self, servers: tuple[Address, ...], entropy: Entropy) -> None:
        self._servers = servers[:SERVERS]
        self._entropy = entropy
        self._waiting: deque[_Question] = deque()
        self._asked: list[_Question] = []
        self._keep = True

    def add(self, port: LocalPort) -> None:
        for order, server in enumerate(self._servers):
            if server.family == port.address.family:
                self._waiting.append(_Question(port, server, order))

    def remove(self, port: LocalPort) -> None:
        self._waiting = deque(each for each in self._waiting if each.port != port)
        self._asked = [each for each in self._asked if each.port != port]

    @property
    def done(self) -> bool:
        return not self._waiting and all(each.transaction is None for each in self._asked)

    @property
    def has_next(self) -> bool:
        return bool(self._waiting)

    def ask_next(self, now: float) -> None:
        if self._waiting:
            question = self._waiting.popleft()
            self._ask(question, now)
            self._asked.append(question)

    def rest(self) -> None:
        """A path is selected: mappings of the others need not be kept."""
        self._keep = False
        for each in self._asked:
            each.refresh_at = None

    def receive(self, message: StunMessage, path: Path, now: float) -> Reflexive | None:
        """A response from a server, whether or not it is one; nothing authenticates it but its transaction
        identifier and its source."""
        for each in self._asked:
            transaction = each.transaction
            if transaction is None or transaction.transaction != message.transaction or each.path != path:
                continue
            if not is_binding_response(message):
                return None
            each.transaction = None
            each.refresh_at = now + REFRESH if self._keep else None
            try:
                mapped = mapped_address(message)
            except RemoteError:
                return None
            if mapped is None or mapped.family != each.port.address.family or not mapped.port:
                return None
            return Reflexive(each.port, mapped, each.server, each.order)
        return None

    def transmits(self) -> list[tuple[Path, bytes]]:
        return [
            (each.path, octets)
            for each in self._asked
            if each.transaction is not None
            for octets in each.transaction.transmits()
        ]

    def deadline(self) -> float | None:
        return earliest(
            *(each.transaction.deadline() for each in self._asked if each.transaction is not None),
            *(each.refresh_at for each in self._asked),
        )

    def expire(self, now: float) -> None:
        for each in self._asked:
            if each.transaction is not None:
                each.transaction.expire(now)
                if each.transaction.failed:
                    each.transaction = None
            elif each.refresh_at is not None and now >= each.refresh_at:
                self._ask(each, now)

    def _ask(self, question: _Question, now: float) -> None:
        identifier = self._entropy.octets(TRANSACTION)
        octets = binding_request(identifier).write(fingerprint=True)
        question.transaction = ClientTransaction(identifier, octets, now, TIMERS)
        question.refresh_at = None
