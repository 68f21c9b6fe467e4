"""The transaction layer: finds the transaction of each message, and makes new ones (RFC 3261 section 17).

A machine (`base.machine`): messages in, octets per flow out. What happened is in `transaction_events`. Phone
and server both use it: the phone through `invite_session`, the server for everything.
"""

from __future__ import annotations

from segue.base.entropy import Entropy, number, token
from segue.base.errors import RemoteError
from segue.base.trace import NO_TRACE, Trace
from segue.protocols.sip.flow import Flow
from segue.protocols.sip.message import Request, Response, response_to
from segue.protocols.sip.response_route import reply_flow, sent_by_of, stamp_via
from segue.protocols.sip.timers import DeadlineHeap, Timers
from segue.protocols.sip.transaction_client import ClientTransaction, derived
from segue.protocols.sip.transaction_events import (
    AckReceived,
    CancelReceived,
    FlowFailed,
    LayerEvent,
    Outbox,
    RequestReceived,
    StrayResponse,
)
from segue.protocols.sip.transaction_server import Key, ServerTransaction
from segue.protocols.sip.transaction_states import State

COOKIE = "z9hG4bK"
VIA_ROOM = 120  # octets that our Via adds at most
DATAGRAM_LIMIT = 1300  # octets; a larger request goes by a stream when there is one (RFC 3261 section 18.1.1)

Transaction = ClientTransaction | ServerTransaction


class TransactionLayer:
    """All transactions of one element.

    `limit` bounds the server transactions: what comes beyond is answered 503 with Retry-After and forgotten.
    Client transactions are as many as their user makes. `streams`: what is at the other end of a datagram flow takes
    streams too, and a request that is too large for a datagram goes by one (`Flow.stream`).
    """

    def __init__(
        self,
        entropy: Entropy,
        timers: Timers | None = None,
        trace: Trace = NO_TRACE,
        limit: int = 200_000,
        streams: bool = False,
    ) -> None:
        self.timers = timers or Timers()
        self.entropy = entropy
        self._trace = trace
        self._limit = limit
        self._streams = streams
        self._streamless: set[Flow] = set()  # datagram flows whose stream did not work
        self._clients: dict[tuple[str, str], ClientTransaction] = {}
        self._servers: dict[Key, ServerTransaction] = {}
        self._merging: dict[Key, ServerTransaction] = {}
        self._on_flow: dict[Flow, set[Transaction]] = {}
        self._heap: DeadlineHeap[Transaction] = DeadlineHeap()
        self._outbox = Outbox()

    # Commands

    def send_request(
        self, request: Request, flow: Flow, now: float, *, sent_by: str = "", branch_suffix: str = ""
    ) -> ClientTransaction:
        """Send `request` on `flow` (or its stream) and see to its retransmission. Adds the Via: `sent_by` (default:
        the flow's local address), rport (RFC 3581) and a new branch, which ends in `branch_suffix` (a proxy puts its
        loop detection there, RFC 5393). The request is the transaction's from now on."""
        flow = self.way(request, flow)
        branch = self._add_via(request, flow, sent_by, branch_suffix)
        transaction = ClientTransaction(request, branch, flow, self.timers, self._outbox)
        self._keep(transaction)
        transaction.start(write(request, flow), now)
        self._heap.watch(transaction)
        return transaction

    def resend(self, transaction: ClientTransaction, flow: Flow, now: float) -> ClientTransaction:
        """Send the same request anew on another flow, as a new transaction with a new branch. Of the old one no
        more copies go out; should it be answered all the same, its user hears of it."""
        self.hush(transaction, now)
        anew = self.send_request(without_via(transaction.request), flow, now)
        anew.user = transaction.user
        return anew

    def hush(self, transaction: ClientTransaction, now: float) -> None:
        """No more copies of this request; an answer is still taken for 64*T1."""
        transaction.hush(now)
        self._settle(transaction)

    def forget(self, transaction: Transaction) -> None:
        """End a transaction at once and silently; what still comes for it is stray or new."""
        transaction.end()
        self._settle(transaction)

    def cancel(
        self,
        transaction: ClientTransaction,
        now: float,
        *,
        flow: Flow | None = None,
        reason: str = "",
        at_once: bool = False,
    ) -> None:
        """CANCEL an INVITE (RFC 3261 section 9.1): as soon as a provisional response is there, never after a
        final one, and give the INVITE up 64*T1 later. `reason` becomes a Reason header field (RFC 3326).

        With `flow` the CANCEL goes another way than the INVITE did, whose flow is gone; `at_once` then does not
        wait for a provisional response that cannot come any more, and cancels even a transaction that ended when
        its flow failed.
        """
        answered = transaction.state in (State.COMPLETED, State.ACCEPTED)
        if transaction.method != "INVITE" or answered or not (transaction.pending or at_once):
            return
        request = derived(transaction.request, "CANCEL")
        if reason:
            request.headers.set("Reason", reason)
        if transaction.state is State.PROCEEDING or at_once:
            self._send_cancel(transaction, request, flow or transaction.flow, now)
        else:
            transaction.cancel = request

    def send(self, message: Request | Response, flow: Flow, *, sent_by: str = "") -> bytes:
        """Send once, without a transaction: the ACK of a 2xx (which gets its Via here), a stateless response.
        Returns the octets, for `send_octets`."""
        if isinstance(message, Request):
            flow = self.way(message, flow)
            self._add_via(message, flow, sent_by, "")
        octets = write(message, flow)
        self._outbox.send(flow, octets)
        return octets

    def way(self, request: Request, flow: Flow) -> Flow:
        """`flow`, or its stream for a request without Via that passes the datagram limit even in compact form
        (section 18.1.1)."""
        if flow.reliable or not self._streams or flow in self._streamless:
            return flow
        large = len(request.to_bytes(compact=True)) + VIA_ROOM > DATAGRAM_LIMIT
        return flow.stream if large else flow

    def streamless(self, flow: Flow) -> bool:
        """Whether the stream of this datagram flow has failed, and the flow itself has not."""
        return flow in self._streamless

    def send_octets(self, octets: bytes, flow: Flow) -> None:
        """Send once more what `send` sent."""
        self._outbox.send(flow, octets)

    def respond(self, transaction: ServerTransaction, response: Response, now: float) -> bool:
        """Answer a request. False, and nothing sent, when the transaction allows no such response any more."""
        if transaction.method == "INVITE":
            transaction.to_tag = response.to.tag or transaction.to_tag
        sent = transaction.respond(response, now)
        if not sent:
            self._trace.drop("transaction", "response not allowed now", status=response.status)
        self._settle(transaction)
        return sent

    def repeat(self, transaction: ServerTransaction) -> bool:
        """Send the last response's octets again; False when the transaction has ended."""
        return transaction.repeat()

    def move(self, transaction: ServerTransaction, flow: Flow) -> None:
        """From now on responses go out on this flow: the host has moved, and whoever sent the request finds its
        transaction by the branch (RFC 3261 section 17.1.3)."""
        self._unindex(transaction)
        transaction.flow = flow
        if transaction.state is not State.TERMINATED:
            self._index(transaction)

    # The five verbs

    def receive(self, message: Request | Response, flow: Flow, now: float) -> None:
        """Take a message that came on `flow`. What is not even good for a transaction is dropped."""
        try:
            if isinstance(message, Response):
                self._receive_response(message, flow, now)
            elif message.method == "ACK":
                self._receive_ack(message, flow, now)
            elif message.method == "CANCEL":
                self._receive_cancel(message, flow, now)
            else:
                self._receive_request(message, flow, now)
        except RemoteError as error:
            self._trace.drop("transaction", "malformed", problem=error.problem)

    def transmits(self) -> list[tuple[Flow, bytes]]:
        datagrams = self._outbox.datagrams
        self._outbox.datagrams = []
        return datagrams

    def deadline(self) -> float | None:
        return self._heap.next()

    def expire(self, now: float) -> None:
        while (transaction := self._heap.due(now)) is not None:
            transaction.expire(now)
            self._settle(transaction)

    def events(self) -> list[LayerEvent]:
        events = self._outbox.events
        self._outbox.events = []
        return events

    def flow_failed(self, flow: Flow, now: float) -> None:
        """A connection broke, or the interface of a flow is gone: all that waits on it hears of it now."""
        for transaction in self._of_flow(flow):
            failed = isinstance(transaction, ServerTransaction)
            if isinstance(transaction, ClientTransaction):
                failed = transaction.fail()
            elif transaction.method != "INVITE" and not transaction.pending:
                failed = False
            self._settle(transaction)
            if failed:
                self._outbox.tell(FlowFailed(transaction))
        self._streamless.discard(flow)
        self._trace.note("transaction", "flow failed", flow=flow, now=now)

    def stream_failed(self, stream: Flow, now: float) -> None:
        """The stream of a datagram flow did not come about, or broke. What waits on it goes by datagrams then, as
        does everything later on that flow (section 18.1.1)."""
        if self._of_flow(stream):
            self._streamless.add(stream._replace(transport="UDP"))
        self.flow_failed(stream, now)

    def __len__(self) -> int:
        """How many transactions there are."""
        return len(self._clients) + len(self._servers)

    # Receiving

    def _receive_response(self, response: Response, flow: Flow, now: float) -> None:
        via = response.via
        transaction = self._clients.get((via.branch or "", response.cseq.method))
        # Section 18.1.2: the sent-by must be the one we put there.
        if transaction is None or sent_by_of(transaction.request.via) != sent_by_of(via):
            self._trace.drop("transaction", "stray response", status=response.status)
            self._outbox.tell(StrayResponse(response, flow))
            return
        if not transaction.receive(response, flow, now):
            self._trace.drop("transaction", "response not expected", status=response.status)
        cancel, transaction.cancel = transaction.cancel, None
        if cancel is not None and transaction.pending:
            self._send_cancel(transaction, cancel, transaction.flow, now)
        self._settle(transaction)

    def _receive_request(self, request: Request, flow: Flow, now: float) -> None:
        via = stamp_via(request, flow)
        key = _key(request, via.branch or "", sent_by_of(via))
        known = self._servers.get(key)
        if known is not None:
            known.receive_again()
            return
        answers = reply_flow(via, flow)
        try:
            merge_key = _merge_key(request)
        except RemoteError as error:
            self._refuse(request, answers, error.status or 400)
            return
        if len(self._servers) >= self._limit:
            self._refuse(request, answers, 503)
            return
        transaction = ServerTransaction(request, key, answers, self.timers, self._outbox, now)
        self._keep(transaction)
        self._heap.watch(transaction)
        merged = self._merge(transaction, merge_key) if merge_key is not None else None
        self._outbox.tell(RequestReceived(transaction, request, flow, merged))

    def _receive_ack(self, request: Request, flow: Flow, now: float) -> None:
        via = stamp_via(request, flow)
        known = self._servers.get(_key(request, via.branch or "", sent_by_of(via), method="INVITE"))
        if known is None and not _compliant(via.branch):
            # An RFC 2543 client's ACK has the To tag of our response where its INVITE had none.
            known = self._servers.get(_key(request, "", "", method="INVITE", to_tag=""))
            if known is not None and known.to_tag != (request.to.tag or ""):
                known = None
        if known is None or known.receive_ack(now):
            self._outbox.tell(AckReceived(request, flow))
        if known is not None:
            self._settle(known)

    def _receive_cancel(self, request: Request, flow: Flow, now: float) -> None:
        """Section 9.2. It is answered here, hop by hop, by phones and stateful proxies alike."""
        via = stamp_via(request, flow)
        branch, sent_by = via.branch or "", sent_by_of(via)
        key = _key(request, branch, sent_by)
        known = self._servers.get(key)
        if known is not None:
            known.receive_again()
            return
        answers = reply_flow(via, flow)
        try:
            _merge_key(request)
        except RemoteError as error:
            self._refuse(request, answers, error.status or 400)
            return
        if len(self._servers) >= self._limit:
            self._refuse(request, answers, 503)
            return
        invite = self._servers.get(_key(request, branch, sent_by, method="INVITE"))
        transaction = ServerTransaction(request, key, answers, self.timers, self._outbox, now)
        self._keep(transaction)
        if invite is not None and not invite.to_tag:
            invite.to_tag = token(self.entropy, 64)
        tag = invite.to_tag if invite is not None else token(self.entropy, 64)
        status = 481 if invite is None else 200
        self.respond(transaction, response_to(request, status, to_tag=tag), now)
        if invite is not None and invite.pending:
            self._outbox.tell(CancelReceived(invite, request))

    def _refuse(self, request: Request, answers: Flow, status: int) -> None:
        """Answer without keeping anything."""
        self._trace.drop("transaction", "refused statelessly", method=request.method, status=status)
        response = response_to(request, status)
        if status == 503:
            response.headers.set("Retry-After", str(5 + number(self.entropy, 10)))
        self._outbox.send(answers, write(response, answers))

    # Keeping

    def _merge(self, transaction: ServerTransaction, key: Key) -> ServerTransaction | None:
        before = self._merging.get(key)
        self._merging[key] = transaction
        transaction.merge_key = key
        return before

    def _add_via(self, request: Request, flow: Flow, sent_by: str, suffix: str) -> str:
        branch = COOKIE + token(self.entropy)
        if suffix:
            branch = f"{branch}-{suffix}"
        request.headers.prepend(
            "Via", f"SIP/2.0/{flow.transport} {sent_by or flow.local};rport;branch={branch}"
        )
        return branch

    def _send_cancel(self, invite: ClientTransaction, request: Request, flow: Flow, now: float) -> None:
        transaction = ClientTransaction(request, invite.branch, flow, self.timers, self._outbox)
        transaction.user = invite.user
        self._keep(transaction)
        transaction.start(write(request, flow), now)
        self._heap.watch(transaction)
        invite.limit(now)
        self._settle(invite)

    def _keep(self, transaction: Transaction) -> None:
        if isinstance(transaction, ClientTransaction):
            self._clients[transaction.branch, transaction.method] = transaction
        else:
            self._servers[transaction.key] = transaction
        self._index(transaction)

    def _settle(self, transaction: Transaction) -> None:
        """After anything that may have ended a transaction or moved its deadline."""
        if transaction.state is not State.TERMINATED:
            self._heap.watch(transaction)
            return
        self._unindex(transaction)
        if isinstance(transaction, ClientTransaction):
            self._clients.pop((transaction.branch, transaction.method), None)
            return
        self._servers.pop(transaction.key, None)
        key = transaction.merge_key
        if key is not None and self._merging.get(key) is transaction:
            del self._merging[key]

    def _index(self, transaction: Transaction) -> None:
        """Connections break often and have few transactions each; a datagram socket is the other way round."""
        if transaction.flow.reliable:
            self._on_flow.setdefault(transaction.flow, set()).add(transaction)

    def _unindex(self, transaction: Transaction) -> None:
        if transaction.flow.reliable:
            there = self._on_flow.get(transaction.flow)
            if there is not None:
                there.discard(transaction)
                if not there:
                    del self._on_flow[transaction.flow]

    def _of_flow(self, flow: Flow) -> list[Transaction]:
        if flow.reliable:
            return list(self._on_flow.get(flow, ()))
        everything: list[Transaction] = [*self._clients.values(), *self._servers.values()]
        flows = (flow, flow.stream) if self._streams else (flow,)
        return [transaction for transaction in everything if transaction.flow in flows]


def write(message: Request | Response, flow: Flow) -> bytes:
    """The octets for this flow: in compact form when the long one passes the datagram limit."""
    octets = message.to_bytes()
    if not flow.reliable and len(octets) > DATAGRAM_LIMIT:
        return message.to_bytes(compact=True)
    return octets


def _compliant(branch: str | None) -> bool:
    """Whether a branch is unique as section 8.1.1.7 says; one that is the cookie alone says nothing (RFC 4475
    section 3.2.1)."""
    return branch is not None and branch.startswith(COOKIE) and branch != COOKIE


def _key(request: Request, branch: str, sent_by: str, *, method: str = "", to_tag: str | None = None) -> Key:
    """What identifies a server transaction (section 17.2.3); `method` in place of the request's own finds the
    INVITE of an ACK or CANCEL."""
    method = method or request.method
    if _compliant(branch):
        return (branch, sent_by, method)
    if to_tag is None:
        to_tag = request.to.tag or ""
    headers = request.headers
    return (
        method,
        request.uri,
        request.from_.tag or "",
        to_tag,
        request.call_id,
        str(request.cseq.number),
        headers.get_all("Via")[0],
    )


def _merge_key(request: Request) -> Key | None:
    """From tag, Call-ID and CSeq of a request that is not in a dialog (section 8.2.2.2). A REGISTER has none:
    the registrar orders those by Call-ID and CSeq itself (section 10.3).

    Raises RemoteError(400) when a field that it is made of is missing or malformed."""
    method = request.method
    key = (request.call_id, request.from_.tag or "", str(request.cseq.number), method)
    in_dialog = bool(request.to.tag)
    if request.cseq.method != method:
        raise RemoteError("CSeq names another method", 400)
    return None if in_dialog or method == "REGISTER" else key


def without_via(request: Request) -> Request:
    """A copy without the top Via, to be sent anew."""
    request = request.copy()
    below = request.headers.get_all("Via")[1:]
    request.headers.remove("Via")
    for via in reversed(below):
        request.headers.prepend("Via", via)
    return request
