"""Server transactions (RFC 3261 section 17.2 with RFC 6026 and RFC 4320)."""

from __future__ import annotations

from segue.protocols.sip.flow import Flow
from segue.protocols.sip.message import Request, Response, response_to
from segue.protocols.sip.timers import Timers
from segue.protocols.sip.transaction_events import Outbox, TimedOut
from segue.protocols.sip.transaction_states import (
    INVITE_SERVER,
    NON_INVITE_SERVER,
    State,
    Trigger,
    trigger_of,
)

Key = tuple[str, ...]


class ServerTransaction:
    """One request of a peer and our responses. Made by the transaction layer for each new request; answered
    with `TransactionLayer.respond`.

    `flow` is where responses go. `user` belongs to whoever answers. `request` is there until a final response
    was sent to a non-INVITE request: tens of thousands may then wait for copies of it, and only the response's
    octets are needed for that.
    """

    __slots__ = (
        "_ends_at",
        "_interval",
        "_octets",
        "_outbox",
        "_resend_at",
        "_started",
        "_table",
        "_timers",
        "deadline",
        "flow",
        "key",
        "merge_key",
        "method",
        "queued",
        "request",
        "state",
        "status",
        "to_tag",
        "user",
    )

    def __init__(
        self, request: Request, key: Key, flow: Flow, timers: Timers, outbox: Outbox, now: float
    ) -> None:
        self.request: Request | None = request
        self.key = key
        self.merge_key: Key | None = None
        self.method = request.method
        self.flow = flow
        self.user: object | None = None
        self.status = 0  # of the last response sent
        self.to_tag = ""  # of the responses
        self.deadline: float | None
        self.queued: float | None = None
        self._timers = timers
        self._outbox = outbox
        self._octets = b""
        self._interval = timers.t1
        self._started = now
        self._ends_at: float | None
        self._resend_at: float | None
        if self.method == "INVITE":
            self._table, self.state = INVITE_SERVER, State.PROCEEDING
            self._ends_at, self._resend_at = None, now + timers.trying
        else:
            self._table, self.state = NON_INVITE_SERVER, State.TRYING
            self._ends_at, self._resend_at = now + timers.timeout, now + timers.until_slow()
        self.deadline = self._resend_at

    @property
    def pending(self) -> bool:
        """No final response yet."""
        return self.state is State.TRYING or self.state is State.PROCEEDING

    def respond(self, response: Response, now: float) -> bool:
        """Send a response of the user's; False when none of this kind may be sent any more."""
        status = response.status
        if self.method != "INVITE" and not self._allowed(status, now):
            return False
        before = self.state
        following = self._table.get(before, {}).get(trigger_of(status))
        if following is None:
            return False
        self.state = following
        self.status = status
        octets = response.to_bytes()
        self._octets = octets
        self._outbox.send(self.flow, octets)
        if following is not before or following is State.PROCEEDING:
            self._enter(following, now)
        return True

    def _allowed(self, status: int, now: float) -> bool:
        """RFC 4320 section 4: of provisional responses only 100 answers a request other than INVITE, and over
        UDP not before timer E has reached T2; and never a 408."""
        if status == 408:
            self.end()
            return False
        if status >= 200:
            return True
        slow = now >= self._started + self._timers.until_slow()
        return status == 100 and (self.flow.reliable or slow)

    def _enter(self, state: State, now: float) -> None:
        reliable = self.flow.reliable
        self._resend_at = None
        if state is State.COMPLETED and self.method == "INVITE":
            if not reliable:
                self._resend_at = now + self._interval  # timer G
            self._ends_at = now + self._timers.timeout  # timer H
        elif state is State.COMPLETED:
            self.request = None
            self._linger(self._timers.absorb(reliable), now)  # timer J
        elif state is State.CONFIRMED:
            self._linger(self._timers.linger(reliable), now)  # timer I
        elif state is State.ACCEPTED:
            self._ends_at = now + self._timers.timeout  # timer L
        self._arm()

    def _linger(self, seconds: float, now: float) -> None:
        if seconds:
            self._ends_at = now + seconds
        else:
            self.end()

    def receive_again(self) -> None:
        """A copy of the request: the last response goes out once more, except that the user itself repeats a
        2xx to INVITE (RFC 6026 section 7.1)."""
        if self._octets and self.state in (State.PROCEEDING, State.COMPLETED):
            self._outbox.send(self.flow, self._octets)

    def receive_ack(self, now: float) -> bool:
        """An ACK that matched. True when it is for the user (accepted), False when it ends here."""
        following = self._table.get(self.state, {}).get(Trigger.ACK)
        if following is not None and following is not self.state:
            self.state = following
            self._enter(following, now)
        return following is State.ACCEPTED

    def repeat(self) -> bool:
        """Send the last response's octets once more: what the user does with a 2xx or a reliable 1xx that
        nobody has acknowledged yet."""
        if self.state is State.TERMINATED or not self._octets:
            return False
        self._outbox.send(self.flow, self._octets)
        return True

    def expire(self, now: float) -> None:
        """Act on what is due."""
        if self._ends_at is not None and self._ends_at <= now:
            unacknowledged = self.state is State.COMPLETED and self.method == "INVITE"
            self.end()
            if unacknowledged:
                self._outbox.tell(TimedOut(self))
        elif self._resend_at is not None and self._resend_at <= now:
            if self.pending:
                self._resend_at = None
                self._try(now)
            else:
                self._outbox.send(self.flow, self._octets)
                self._interval = min(2 * self._interval, self._timers.t2)
                self._resend_at = now + self._interval
            self._arm()

    def _try(self, now: float) -> None:
        """The user is slow: tell the client that the request is here (section 17.2.1, RFC 4320 section 4.1).
        No To tag in it (section 8.2.6.2 leaves it out of a 100)."""
        if self.request is not None and not self._octets:
            self.respond(response_to(self.request, 100), now)

    def end(self) -> None:
        self.state = State.TERMINATED
        self._ends_at = self._resend_at = self.deadline = None

    def _arm(self) -> None:
        ends_at, resend_at = self._ends_at, self._resend_at
        if self.state is State.TERMINATED:
            self.deadline = None
        elif resend_at is None or (ends_at is not None and ends_at < resend_at):
            self.deadline = ends_at
        else:
            self.deadline = resend_at
