"""One INVITE of the peer's, first or not, from its arrival to its ACK (RFC 3261 section 13.3, RFC 3262).

Sees to what the transaction leaves to its user: reliable provisional responses, the 2xx that waits for a PRACK,
the 2xx that is repeated until its ACK comes, and an INVITE that comes again by another way.
"""

from __future__ import annotations

from enum import Enum

from segue.base.machine import earliest
from segue.protocols.sip.message import Request, Response, response_to
from segue.protocols.sip.reliable import Rack, ReliableSender
from segue.protocols.sip.transaction_layer import TransactionLayer
from segue.protocols.sip.transaction_server import ServerTransaction

REFRESH = 60.0  # seconds between provisional responses that keep proxies waiting (section 13.3.1.1)


class Overdue(Enum):
    PRACK = "a reliable provisional response was not acknowledged"
    ACK = "the 2xx was not acknowledged"


class InviteServer:
    """`again`: not the first INVITE of its call, though it came without To tag (its caller has moved)."""

    __slots__ = (
        "_echo_at",
        "_echo_interval",
        "_ends_at",
        "_interval",
        "_layer",
        "_provisional",
        "_refresh_at",
        "_repeat_at",
        "_withheld",
        "accepted",
        "again",
        "moved",
        "offers",
        "request",
        "sender",
        "sequence",
        "transaction",
    )

    def __init__(self, layer: TransactionLayer, transaction: ServerTransaction, request: Request) -> None:
        self._layer = layer
        self.transaction = transaction
        self.request = request
        self.sequence = request.cseq.number
        self.sender = ReliableSender(layer.entropy, layer.timers)
        self.accepted: Response | None = None  # the 2xx that went out and has no ACK yet
        self.again = False
        self.moved = False  # it told of a new Contact
        self.offers = False  # that 2xx has our offer, and the ACK will have the answer
        self._provisional: Response | None = None
        self._withheld: Response | None = None
        self._interval = 0.0
        self._repeat_at: float | None = None
        self._ends_at: float | None = None
        self._refresh_at: float | None = None
        self._echo_at: float | None = None
        self._echo_interval = 0.0

    @property
    def pending(self) -> bool:
        """No final response went out yet."""
        return self.transaction.pending

    @property
    def decided(self) -> bool:
        """A final response is chosen, though it may have to wait for a PRACK."""
        return not self.pending or self._withheld is not None

    def provisional(
        self, response: Response, reliable: bool, now: float, *, until_heard: bool = False
    ) -> None:
        """Send 101-199. A reliable one may have to wait for the PRACK of the one before it. `until_heard`: another is
        repeated like a reliable one, until `heard` (RFC 8840 section 4.3.2)."""
        self._provisional = response
        self.heard()
        if until_heard and not reliable:
            self._echo_interval = self._layer.timers.t1
            self._echo_at = now + self._echo_interval
        self._refresh_at = now + REFRESH
        if reliable:
            numbered = self.sender.send(response, now)
            if numbered is not None:
                self._layer.respond(self.transaction, numbered, now)
        else:
            self._layer.respond(self.transaction, response, now)

    def heard(self) -> None:
        """The caller has the dialog: a request of its came in it."""
        self._echo_at = None

    def accept(self, response: Response, now: float) -> None:
        """Send the 2xx, at once or after the PRACK of a provisional response that has a session description
        (RFC 3262 section 5)."""
        if self.sender.body_waiting:
            self._withheld = response
        else:
            self._send_accepted(response, now)

    def refuse(self, response: Response, now: float) -> None:
        """Send 300-699; its ACK ends in the transaction."""
        self._settle()
        self._layer.respond(self.transaction, response, now)

    def acknowledges(self, rack: Rack) -> bool:
        return self.sender.acknowledges(rack, self.sequence)

    def receive_prack(self, now: float) -> None:
        """The PRACK of the outstanding response: the next one goes out, or the 2xx."""
        following = self.sender.acknowledge(now)
        if following is not None:
            self._layer.respond(self.transaction, following, now)
        if self._withheld is not None and not self.sender.body_waiting:
            self._send_accepted(self._withheld, now)

    def receive_ack(self) -> None:
        self.accepted = None
        self._repeat_at = self._ends_at = None

    def _send_accepted(self, response: Response, now: float) -> None:
        self._settle()
        self.accepted = response
        self._interval = self._layer.timers.t1
        self._repeat_at = now + self._interval
        self._ends_at = now + self._layer.timers.timeout
        self._layer.respond(self.transaction, response, now)

    def _settle(self) -> None:
        self.heard()
        self._withheld = None
        self._provisional = None
        self._refresh_at = None
        self.sender.stop()

    def adopt(self, transaction: ServerTransaction, request: Request, now: float) -> None:
        """The same INVITE by another branch: a proxy sent it again on our new flow. It is answered there with
        what was last said, and the other branch gets 482, as one of two must (RFC 3261 section 8.2.2.2)."""
        before, self.transaction = self.transaction, transaction
        transaction.user = before.user
        if before.pending:
            tag = before.to_tag or None
            self._layer.respond(before, response_to(self.request, 482, to_tag=tag), now)
        self.request = request
        for response in (self.accepted, self._provisional):
            if response is not None:
                _route_like(response, request)
        for response in self.sender.unacknowledged():
            _route_like(response, request)
        if self._withheld is not None:
            _route_like(self._withheld, request)
        self.repeat(now)

    def repeat(self, now: float) -> None:
        """Say again at once what was last said, by the present way: after a move."""
        if self.accepted is not None:
            ends_at = self._ends_at
            self._send_accepted(self.accepted, now)
            self._ends_at = ends_at
        elif self.pending:
            unacknowledged = self.sender.repeated(now)
            last = unacknowledged or self._provisional
            # A reliable one that has its PRACK is known to have come.
            if last is not None and (last is unacknowledged or "RSeq" not in last.headers):
                self._layer.respond(self.transaction, last, now)

    def refresh_contact(self, contact: str) -> None:
        """Our Contact has changed: a 2xx without ACK says so, as no request can yet (RFC 6141 section 4.8)."""
        for response in (self.accepted, self._withheld, self._provisional, *self.sender.unacknowledged()):
            if response is not None:
                response.headers.set("Contact", contact)

    def deadline(self) -> float | None:
        return earliest(
            self._repeat_at, self._ends_at, self._refresh_at, self._echo_at, self.sender.deadline()
        )

    def expire(self, now: float) -> Overdue | None:
        """Repeat what is due; says what never got its acknowledgement."""
        if self._ends_at is not None and self._ends_at <= now:
            self.receive_ack()
            return Overdue.ACK
        if self._repeat_at is not None and self._repeat_at <= now:
            # Over every transport, as the way to the caller may have datagram hops (section 13.3.1.4).
            self._layer.repeat(self.transaction)
            self._interval = min(2 * self._interval, self._layer.timers.t2)
            self._repeat_at = now + self._interval
        if self.sender.overdue(now):
            self.sender.stop()
            return Overdue.PRACK
        again = self.sender.expire(now)
        if again is not None:
            self._layer.respond(self.transaction, again, now)
        if self._refresh_at is not None and self._refresh_at <= now:
            self._refresh(now)
        if self._echo_at is not None and self._echo_at <= now:
            self._echo(now)
        return None

    def _echo(self, now: float) -> None:
        if self._provisional is not None:
            self._layer.respond(self.transaction, self._provisional, now)
        self._echo_interval *= 2
        again = self._echo_interval < self._layer.timers.timeout
        self._echo_at = now + self._echo_interval if again else None

    def _refresh(self, now: float) -> None:
        self._refresh_at = now + REFRESH
        last = self._provisional
        if last is None or self.sender.waiting:
            return
        plain = last.copy()
        plain.body = b""
        for name in ("RSeq", "Require", "Content-Type", "Content-Disposition"):
            plain.headers.remove(name)
        self.provisional(plain, "RSeq" in last.headers, now)


def _route_like(response: Response, request: Request) -> None:
    """Give a response the way back of another copy of its request."""
    response.headers.remove("Via")
    for via in reversed(request.headers.get_all("Via")):
        response.headers.prepend("Via", via)
