"""Client transactions (RFC 3261 section 17.1 with RFC 6026)."""

from __future__ import annotations

from segue.protocols.sip.flow import Flow
from segue.protocols.sip.message import Headers, Request, Response
from segue.protocols.sip.timers import Timers
from segue.protocols.sip.transaction_events import Outbox, ResponseReceived, TimedOut
from segue.protocols.sip.transaction_states import (
    INVITE_CLIENT,
    NON_INVITE_CLIENT,
    State,
    Trigger,
    trigger_of,
)

PENDING = frozenset({State.CALLING, State.TRYING, State.PROCEEDING})


class ClientTransaction:
    """One request of ours and its responses. Made by `TransactionLayer.send_request`.

    `user` belongs to whoever sent the request: it comes back with every event.
    """

    __slots__ = (
        "_ack",
        "_ends_at",
        "_interval",
        "_limit",
        "_octets",
        "_outbox",
        "_resend_at",
        "_table",
        "_timers",
        "branch",
        "cancel",
        "deadline",
        "flow",
        "method",
        "queued",
        "request",
        "state",
        "user",
    )

    def __init__(self, request: Request, branch: str, flow: Flow, timers: Timers, outbox: Outbox) -> None:
        self.request = request
        self.method = request.method
        self.branch = branch
        self.flow = flow
        self.user: object | None = None
        self.cancel: Request | None = None  # waits for the first provisional response (RFC 3261 section 9.1)
        self.deadline: float | None = None
        self.queued: float | None = None
        self._table = INVITE_CLIENT if self.method == "INVITE" else NON_INVITE_CLIENT
        self.state = State.CALLING if self.method == "INVITE" else State.TRYING
        self._timers = timers
        self._outbox = outbox
        self._octets = b""
        self._ack = b""
        self._interval = timers.t1
        self._resend_at: float | None = None
        self._ends_at: float | None = None
        self._limit: float | None = None

    @property
    def pending(self) -> bool:
        """No final response yet."""
        return self.state in PENDING

    def start(self, octets: bytes, now: float) -> None:
        """Send the request; `octets` are what every retransmission repeats."""
        self._octets = octets
        self._outbox.send(self.flow, octets)
        if not self.flow.reliable:
            self._resend_at = now + self._interval  # timer A or E
        self._arm(now + self._timers.timeout)  # timer B or F

    def receive(self, response: Response, flow: Flow, now: float) -> bool:
        """Take a response that matched; False when the table does not know it here."""
        trigger = trigger_of(response.status)
        before = self.state
        following = self._table[before].get(trigger)
        if following is None:
            return False
        self.state = following
        if following is State.COMPLETED and self.method == "INVITE":
            self._acknowledge(response)
        if following is not before:
            self._enter(following, now)
        if before is not State.COMPLETED:
            self._outbox.tell(ResponseReceived(self, response, flow))
        return True

    def _enter(self, state: State, now: float) -> None:
        reliable = self.flow.reliable
        if state is State.PROCEEDING:
            if self.method == "INVITE":
                self._resend_at = None
                self._arm(self._limit)
            else:
                self._interval = self._timers.t2  # section 17.1.2.2: from now on every T2
        elif state is State.ACCEPTED:
            self._resend_at = None
            self._arm(now + self._timers.timeout)  # timer M
        elif state is State.COMPLETED:
            self._resend_at = None
            wait = (
                self._timers.completed(reliable) if self.method == "INVITE" else self._timers.linger(reliable)
            )
            if wait:
                self._arm(now + wait)  # timer D or K
            else:
                self.end()

    def expire(self, now: float) -> None:
        """Act on what is due."""
        if self._ends_at is not None and self._ends_at <= now:
            pending = self.pending
            self.state = self._table[self.state].get(Trigger.TIMEOUT, self.state)
            self._resend_at = None
            self._arm(None)
            if pending:
                self._outbox.tell(TimedOut(self))
        elif self._resend_at is not None and self._resend_at <= now:
            self._outbox.send(self.flow, self._octets)
            # Timer A doubles without bound, timer E up to T2.
            self._interval *= 2
            if self.method != "INVITE":
                self._interval = min(self._interval, self._timers.t2)
            self._resend_at = now + self._interval
            self._arm(self._ends_at)

    def limit(self, now: float) -> None:
        """Wait for a final response no longer than 64*T1 from now: what section 9.1 asks after a CANCEL."""
        if self.pending:
            self._limit = now + self._timers.timeout
            self._arm(self._limit if self._ends_at is None else min(self._limit, self._ends_at))

    def hush(self, now: float) -> None:
        """Send no more copies: the flow is not to be used any more. An answer that is on its way is still
        known, for 64*T1 at most."""
        if self.pending:
            self._resend_at = None
            self.limit(now)

    def fail(self) -> bool:
        """The flow is gone. True when nobody can answer any more."""
        pending = self.pending
        if Trigger.FLOW_FAILED in self._table.get(self.state, {}):
            self.end()
        return pending

    def end(self) -> None:
        self.state = State.TERMINATED
        self._resend_at = None
        self._arm(None)

    def _arm(self, ends_at: float | None) -> None:
        self._ends_at = ends_at
        resend_at = self._resend_at
        if resend_at is None or (ends_at is not None and ends_at < resend_at):
            self.deadline = ends_at
        else:
            self.deadline = resend_at

    def _acknowledge(self, response: Response) -> None:
        """ACK of a final response other than 2xx, by the way the INVITE took (section 17.1.1.3)."""
        if not self._ack:
            ack = derived(self.request, "ACK")
            ack.headers.set("To", response.headers.get("To") or "")
            self._ack = ack.to_bytes()
        self._outbox.send(self.flow, self._ack)


def derived(invite: Request, method: str) -> Request:
    """The ACK or CANCEL that goes the same way as this INVITE and matches it: its Request-URI, top Via, From,
    To, Call-ID, CSeq number and Routes (RFC 3261 sections 9.1 and 17.1.1.3)."""
    source = invite.headers
    headers = Headers()
    headers.add("Via", source.get_all("Via")[0])
    for name in ("From", "To", "Call-ID"):
        headers.add(name, source.get(name) or "")
    headers.add("CSeq", f"{invite.cseq.number} {method}")
    headers.add("Max-Forwards", source.get("Max-Forwards") or "70")
    for route in source.get_all("Route"):
        headers.add("Route", route)
    return Request(method, invite.uri, headers, b"")
