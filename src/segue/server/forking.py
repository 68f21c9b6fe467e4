"""One request on its way through the proxy: its branches, and what goes back (RFC 3261 sections 16.6 to 16.10).

A branch stands for one instance of a phone, not for a flow. Which flow carries it is looked up at each attempt;
when that flow fails, or the phone registers another, the request is sent again on the newest one, and the answer
may still come from either (RFC 5626 section 7, and design: a call must reach a phone that moves while it rings).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from segue.base.entropy import Entropy, token
from segue.base.machine import earliest
from segue.base.trace import Trace
from segue.protocols.sip.flow import Flow
from segue.protocols.sip.message import Request, Response, response_to
from segue.protocols.sip.transaction_client import ClientTransaction
from segue.protocols.sip.transaction_layer import TransactionLayer
from segue.protocols.sip.transaction_server import ServerTransaction
from segue.protocols.sip.transaction_states import State
from segue.server import session_timers
from segue.server.best_response import best_response
from segue.server.config import Policy
from segue.server.location import Location
from segue.server.record_route import RecordRoute
from segue.server.routing import Target, Way, ways
from segue.server.session_timers import Asked

ELSEWHERE = 'SIP;cause=200;text="Call completed elsewhere"'  # RFC 3326 section 3.1
ATTEMPTS = 12  # flows one branch may be sent on
ORPHANED = 32.0  # seconds (64*T1) that phones ring on when the caller's connection has broken


class Services(NamedTuple):
    """What every fork uses. `watch` notes that a fork's deadline or branches have changed."""

    layer: TransactionLayer
    location: Location
    record_route: RecordRoute
    policy: Policy
    entropy: Entropy
    trace: Trace
    watch: Callable[[Fork], None]


class Branch:
    """`transaction` is the live attempt; `given_up` are those before, whose 2xx is still welcome."""

    __slots__ = (
        "attempts",
        "breadth",
        "cancel_reason",
        "expired",
        "failed",
        "flow",
        "fork",
        "given_up",
        "parked_until",
        "record_routes",
        "response",
        "rings_until",
        "target",
        "transaction",
    )

    def __init__(self, fork: Fork, target: Target, breadth: int) -> None:
        self.fork = fork
        self.target = target
        self.breadth = breadth
        self.transaction: ClientTransaction | None = None
        self.given_up: list[ClientTransaction] = []
        self.flow: Flow | None = None
        self.failed: set[Flow] = set()
        self.attempts = 0
        self.expired = False  # timer C fired
        self.record_routes: tuple[str, ...] = ()
        self.response: Response | None = None  # the final one
        self.rings_until: float | None = None  # timer C
        self.parked_until: float | None = None  # waits for its phone to come back
        self.cancel_reason: str | None = None  # why, when it is to be cancelled as soon as its phone is back

    @property
    def done(self) -> bool:
        return self.response is not None

    @property
    def over(self) -> bool:
        """Done, and no phone that comes back still rings for it."""
        return self.done and self.cancel_reason is None


class Fork:
    """The response context. `request` is as it goes on, but for what each branch changes; `secure`: only over
    TLS; `mark`: the loop mark of the received request; `timer`: the session timer that it asks for."""

    def __init__(
        self,
        services: Services,
        server: ServerTransaction,
        request: Request,
        came: Flow,
        *,
        secure: bool,
        mark: str,
        timer: Asked | None = None,
    ) -> None:
        self.services = services
        self.server = server
        self.request = request
        self.original_uri = request.uri
        self.came = came
        self.branches: list[Branch] = []
        self.cancelled = False
        self._reason = ""  # for that
        self.answered = False  # a final response went back
        self.deadline: float | None = None
        self.queued: float | None = None
        self._secure = secure
        self._mark = mark
        self._timer = timer
        self._vias = request.headers.get_all("Via")
        self._last: Response | None = None
        self._orphaned_until: float | None = None

    @property
    def is_invite(self) -> bool:
        return self.request.method == "INVITE"

    @property
    def finished(self) -> bool:
        return all(branch.over for branch in self.branches)

    def start(self, targets: list[Target], now: float) -> None:
        """Send to all; 440 when there are more than the request's Max-Breadth (RFC 5393 section 5.3.3)."""
        limit = self.services.policy.max_breadth
        text = self.request.headers.get("Max-Breadth") or ""
        breadth = min(int(text), limit) if text.isascii() and text.isdigit() and len(text) < 6 else limit
        if len(targets) > breadth:
            self._send_back(self._own(440), now)
            return
        share, more = divmod(breadth, len(targets))
        for position, target in enumerate(targets):
            self.branches.append(Branch(self, target, share + (position < more)))
        for branch in self.branches:
            self._attempt(branch, now)
        self._settle(now)

    # What comes back

    def receive(
        self, transaction: ClientTransaction, branch: Branch, response: Response, flow: Flow, now: float
    ) -> None:
        status = response.status
        if transaction.method == "CANCEL" or status == 100:
            return
        if status < 200:
            if branch.rings_until is not None:
                branch.rings_until = now + self.services.policy.timer_c
            self._forward(response, branch, flow, now)
        elif status < 300:
            self._succeed(branch, response, flow, now)
        elif transaction is branch.transaction and not branch.done:
            self._fail(branch, response, now)
        self._settle(now)

    def failed(self, transaction: ClientTransaction, branch: Branch, now: float) -> None:
        """No answer came: timeout, or the flow is gone."""
        if transaction is not branch.transaction or branch.done or transaction.method == "CANCEL":
            return
        if branch.flow is not None:
            branch.failed.add(branch.flow)
        if self.cancelled or branch.expired:
            branch.response = self._own(487 if self.cancelled else 408)
        else:
            self._again(branch, self._own(408), now)
        self._settle(now)

    def moved(self, now: float) -> None:
        """A phone of ours has registered: what is pending goes to its newest flow."""
        for branch in self.branches:
            newest = next(iter(self._ways(branch)), None)
            if newest is not None and branch.cancel_reason is not None:
                self._cancel_late(branch, newest.flow, now)
            if (
                branch.done
                or branch.expired
                or newest is None
                or newest.flow in (branch.flow, branch.target.flow)
            ):
                continue
            if not self.cancelled:
                branch.failed.discard(newest.flow)
                self._give_up(branch, now)
                self._attempt(branch, now)
            elif branch.transaction is not None:
                layer = self.services.layer
                layer.cancel(branch.transaction, now, flow=newest.flow, reason=self._reason, at_once=True)
        self._settle(now)

    def adopt(self, server: ServerTransaction, request: Request, came: Flow, now: float) -> None:
        """The caller sent the same request again by another way: answers go there from now on."""
        old, self.server, self.came = self.server, server, came
        self._orphaned_until = None
        self._vias = request.headers.get_all("Via")
        server.user = self
        if old.pending:
            self.services.layer.forget(old)
        if self._last is not None:
            self._send_back(self._last, now)

    def orphan(self, now: float) -> None:
        """The caller's connection broke. It may come back by another way, with the same request or a CANCEL."""
        if not self.answered:
            self._orphaned_until = now + ORPHANED
            self._settle(now)

    # What goes out

    def cancel(self, now: float, reason: str = "") -> None:
        """The caller does not want an answer any more; `reason` is a Reason header field value."""
        self.cancelled, self._reason = True, reason
        self._cancel_others(None, now, reason)
        self._settle(now)

    def expire(self, now: float) -> None:
        """Timer C, and the end of waiting for a phone that does not come back."""
        if self._orphaned_until is not None and self._orphaned_until <= now:
            self._orphaned_until = None
            self.cancel(now)
        for branch in self.branches:
            if branch.parked_until is not None and branch.parked_until <= now:
                branch.parked_until = branch.cancel_reason = None
                branch.response = branch.response or self._own(480)
            elif branch.done:
                continue
            elif branch.rings_until is not None and branch.rings_until <= now:
                branch.rings_until, branch.expired = None, True
                transaction = branch.transaction
                if transaction is not None and transaction.state is State.PROCEEDING:
                    self.services.layer.cancel(transaction, now)
                else:
                    branch.response = self._own(408)
        self._settle(now)

    def _attempt(self, branch: Branch, now: float) -> None:
        """Send on the best flow there is; without one, wait for the phone or give up."""
        way = self._next_way(branch)
        if way is None or branch.attempts >= ATTEMPTS:
            self._no_way(branch, now)
            return
        flow = way.flow
        services = self.services
        request = self.request.copy()
        request.uri = way.uri
        request.headers.set("Max-Breadth", str(branch.breadth))
        branch.record_routes = services.record_route.add(request, self.came, flow)
        sent_by = services.record_route.names.sent_by(flow)
        transaction = services.layer.send_request(
            request, flow, now, sent_by=sent_by, branch_suffix=self._mark
        )
        transaction.user = branch
        branch.transaction, branch.flow, branch.parked_until = transaction, flow, None
        branch.attempts += 1
        branch.rings_until = now + services.policy.timer_c if self.is_invite else None

    def _next_way(self, branch: Branch) -> Way | None:
        """The newest flow of the branch's phone that has not failed and is safe enough."""
        for way in self._ways(branch):
            if way.flow not in branch.failed:
                return way
        return None

    def _ways(self, branch: Branch) -> list[Way]:
        preferred = not branch.attempts
        return ways(self.services.location, branch.target, self.request.uri, self._secure, preferred)

    def _no_way(self, branch: Branch, now: float) -> None:
        target, location = branch.target, self.services.location
        if self._secure and ways(location, target, "", False, False):
            branch.response = self._own(480)
            self._warn(branch.response, "only reachable without TLS, which would show the media keys")
            return
        for binding in location.of_instance(target.aor, target.name):
            if binding.flow is None:  # a connection of before a restart (430)
                location.remove(binding)
        wait = self.services.policy.reunion
        if target.aor and wait and location.lately_lost(target.aor, target.name, now, wait):
            self._park(branch, now)
        else:
            branch.response = self._own(430 if target.flow is not None else 480)

    def _again(self, branch: Branch, response: Response, now: float) -> None:
        """The flow failed (430) or stayed silent (408): the next flow of the same phone, or wait for one."""
        target = branch.target
        if self._next_way(branch) is not None:
            self._give_up(branch, now)
            self._attempt(branch, now)
        elif target.aor and self.services.location.lately_lost(
            target.aor, target.name, now, self.services.policy.reunion
        ):
            self._park(branch, now)
        else:
            branch.response = response

    def _park(self, branch: Branch, now: float) -> None:
        if branch.transaction is not None:
            branch.given_up.append(branch.transaction)
        branch.transaction, branch.flow, branch.rings_until = None, None, None
        branch.parked_until = now + self.services.policy.reunion

    def _give_up(self, branch: Branch, now: float) -> None:
        """The attempt before is not waited for any more, but a 2xx of it counts."""
        transaction = branch.transaction
        if transaction is None:
            return
        branch.given_up.append(transaction)
        if transaction.state in (State.CALLING, State.TRYING) or not self.is_invite:
            self.services.layer.hush(transaction, now)

    def _succeed(self, branch: Branch, response: Response, flow: Flow, now: float) -> None:
        branch.response = response
        if self.is_invite or not self.answered:
            self._forward(response, branch, flow, now)
        self.answered = True
        if self.is_invite:
            self._cancel_others(branch, now, ELSEWHERE)
        self._hush_given_up(branch, now)

    def _fail(self, branch: Branch, response: Response, now: float) -> None:
        status = response.status
        if branch.expired and status == 487:
            response, status = self._own(408), 408  # it was timer C that cancelled, not the caller
        elif branch.flow is not None and status in (408, 430):
            branch.failed.add(branch.flow)
            if not self.cancelled:
                self._again(branch, response, now)
                return
        if status == 482 and branch.given_up and branch.given_up[-1].state is State.PROCEEDING:
            # The phone knows the call by its first copy, and answers that one.
            branch.transaction = branch.given_up.pop()
            branch.flow = branch.transaction.flow
            return
        branch.response = response
        self._hush_given_up(branch, now)
        if status >= 600 and self.is_invite:
            self._cancel_others(branch, now, "")

    def _cancel_others(self, winner: Branch | None, now: float, reason: str) -> None:
        layer = self.services.layer
        for branch in self.branches:
            if branch is winner or branch.done:
                continue
            if branch.parked_until is not None:
                branch.response = self._own(487)
                if branch.given_up and self.is_invite:
                    branch.cancel_reason = reason  # it rings, wherever it is
                else:
                    branch.parked_until = None
            elif branch.transaction is not None and self.is_invite:
                layer.cancel(branch.transaction, now, reason=reason)
                branch.rings_until = None
            self._hush_given_up(branch, now)

    def _cancel_late(self, branch: Branch, flow: Flow, now: float) -> None:
        """Its phone had lost its flow when the call was given up or answered elsewhere."""
        reason, branch.cancel_reason, branch.parked_until = branch.cancel_reason or "", None, None
        layer = self.services.layer
        layer.cancel(branch.given_up[-1], now, flow=flow, reason=reason, at_once=True)

    def _hush_given_up(self, branch: Branch, now: float) -> None:
        for transaction in branch.given_up:
            self.services.layer.hush(transaction, now)

    # What goes back

    def _settle(self, now: float) -> None:
        """The best response when all branches are done."""
        if not self.answered and self.branches and all(branch.done for branch in self.branches):
            responses = [branch.response for branch in self.branches if branch.response is not None]
            best = best_response(responses)
            assert best is not None
            if self.branches[0].target.flow is not None and responses[0].status == 430:
                best = responses[0]  # RFC 5626 section 5.3.1: the caller's Route names a flow that is gone
            if self.cancelled and best.status in (408, 480):
                best = self._own(487)
            self._send_back(best, now)
        times = [time for b in self.branches if not b.over for time in (b.rings_until, b.parked_until)]
        self.deadline = earliest(*times, None if self.answered else self._orphaned_until)
        self.services.watch(self)

    def _forward(self, response: Response, branch: Branch, flow: Flow, now: float) -> None:
        if self.answered and response.status < 200:
            return
        copy = response.copy()
        self.services.record_route.rewrite(copy, branch.record_routes, flow)
        session_timers.complete(copy, self._timer)
        self._send_back(copy, now)

    def _send_back(self, response: Response, now: float) -> None:
        """Every response goes with the Vias the request came with, whatever the phone made of them."""
        headers = response.headers
        headers.remove("Via")
        for value in reversed(self._vias):
            headers.prepend("Via", value)
        self._last = response
        if response.status >= 200:
            self.answered = True
        self.services.layer.respond(self.server, response, now)

    def _warn(self, response: Response, text: str) -> None:
        response.headers.set("Warning", f'399 {self.services.record_route.names.domain} "{text}"')

    def _own(self, status: int) -> Response:
        return response_to(self.request, status, to_tag=token(self.services.entropy, 64))
