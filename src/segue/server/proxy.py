"""The proxy: checks a request, decides who sent it and where it goes, and hands it to a fork (RFC 3261 section 16).

Our users authenticate at the beginning of a dialog; within it the flow they authenticated on is enough.
"""

from __future__ import annotations

from segue.base.entropy import Entropy, token
from segue.base.errors import RemoteError
from segue.base.secret import Secret
from segue.base.trace import Trace
from segue.protocols.sip.flow import Flow
from segue.protocols.sip.message import Request, Response, response_to
from segue.protocols.sip.timers import DeadlineHeap
from segue.protocols.sip.transaction_client import ClientTransaction
from segue.protocols.sip.transaction_layer import Transaction, TransactionLayer
from segue.protocols.sip.transaction_server import ServerTransaction
from segue.protocols.sip.uri import SipUri
from segue.server import session_timers
from segue.server.authentication import SILENT, Authentication, Refusal
from segue.server.config import ServerConfig
from segue.server.forking import Branch, Fork, Services
from segue.server.location import Location
from segue.server.record_route import Names, RecordRoute
from segue.server.routing import Router, has_looped, loop_mark, ways

ALLOW = "INVITE, ACK, CANCEL, BYE, OPTIONS, REGISTER, MESSAGE, SUBSCRIBE, NOTIFY, REFER, INFO, UPDATE, PRACK"
DEFAULT_FORWARDS = 70


class Proxy:
    """Beside `core`, which hands it the events of the transaction layer. A machine as to time."""

    def __init__(
        self,
        config: ServerConfig,
        layer: TransactionLayer,
        location: Location,
        authentication: Authentication,
        flow_key: Secret,
        entropy: Entropy,
        trace: Trace,
    ) -> None:
        self.names = Names(config)
        self._policy = config.policy
        self._layer = layer
        self._location = location
        self._authentication = authentication
        self._entropy = entropy
        self._trace = trace
        self._open: set[Flow] = set()
        record_route = RecordRoute(self.names, location, flow_key)
        self._router = Router(self.names, location, record_route, authentication.users, self._open)
        self._services = Services(layer, location, record_route, config.policy, entropy, trace, self._watch)
        self._heap: DeadlineHeap[Fork] = DeadlineHeap()
        self._pending: dict[tuple[str, str], set[Fork]] = {}

    # Flows

    def opened(self, flow: Flow) -> None:
        self._open.add(flow)
        self.names.learn(flow.local)

    def closed(self, flow: Flow) -> None:
        self._open.discard(flow)

    def moved(self, aor: str, name: str, now: float) -> None:
        """A phone has registered a flow."""
        for fork in list(self._pending.get((aor, name), ())):
            fork.moved(now)

    # Requests

    def is_for_us(self, request: Request) -> bool:
        """Whether a REGISTER is for our domain; takes our Routes off it."""
        try:
            self._router.strip_routes(request)
            return self._router.is_for_server(request)
        except RemoteError:
            return False

    def receive_request(
        self,
        transaction: ServerTransaction,
        request: Request,
        flow: Flow,
        merged: ServerTransaction | None,
        now: float,
    ) -> None:
        try:
            self._route(transaction, request, flow, merged, now)
        except RemoteError as error:
            self._trace.drop("proxy", "refused", problem=error.problem, status=error.status)
            self._answer(transaction, request, error.status or 400, now)

    def _route(
        self,
        transaction: ServerTransaction,
        request: Request,
        flow: Flow,
        merged: ServerTransaction | None,
        now: float,
    ) -> None:
        mark = loop_mark(request)
        received_uri = request.uri
        token_flow = self._router.strip_routes(request)
        if self._router.is_for_server(request):
            self._for_server(transaction, request, now)
            return
        forwards = request.max_forwards
        if forwards == 0:
            raise RemoteError("too many hops", 483)
        unsupported = request.headers.words("Proxy-Require")
        if unsupported:
            extra = (("Unsupported", ", ".join(unsupported)),)
            self._answer(transaction, request, 420, now, headers=extra)
            return
        if has_looped(request, mark, self.names):
            raise RemoteError("loop", 482)
        refusal = self._authenticate(request, received_uri, flow, now)
        if refusal is not None:
            if refusal.status == SILENT:
                self._layer.forget(transaction)
            else:
                self._answer(transaction, request, refusal.status, now, headers=refusal.headers)
            return
        if merged is not None and self._adopt(transaction, request, merged, flow, now):
            return
        targets = self._router.targets(request, token_flow, now, self._policy.reunion)
        timer = session_timers.ask(request, self._policy)
        if isinstance(timer, int):
            self._answer(transaction, request, 422, now, headers=(("Min-SE", str(timer)),))
            return
        self._prepare(request, forwards)
        secure = self._only_secure(request, flow)
        fork = Fork(self._services, transaction, request, flow, secure=secure, mark=mark, timer=timer)
        transaction.user = fork
        fork.start(targets, now)
        if not fork.finished:
            for target in targets:
                if target.aor:
                    self._pending.setdefault((target.aor, target.name), set()).add(fork)

    def receive_ack(self, request: Request, flow: Flow, now: float) -> None:
        """The ACK of a 2xx is routed as any request of its dialog, and has no transaction (section 16.11)."""
        try:
            token_flow = self._router.strip_routes(request)
            forwards = request.max_forwards
            if forwards == 0 or request.to.tag is None or self._router.is_for_server(request):
                raise RemoteError("an ACK for nobody")
            target = self._router.targets(request, token_flow, now, 0.0)[0]
        except RemoteError as error:
            self._trace.drop("proxy", "ACK", problem=error.problem)
            return
        self._prepare(request, forwards)
        secure = self._only_secure(request, flow)
        found = ways(self._location, target, request.uri, secure, True)
        if not found:
            self._trace.drop("proxy", "ACK without a flow")
            return
        way = found[0]
        request.uri = way.uri
        self._layer.send(request, way.flow, sent_by=self.names.sent_by(way.flow))

    def receive_response(
        self, transaction: ClientTransaction, response: Response, flow: Flow, now: float
    ) -> None:
        branch = transaction.user
        if isinstance(branch, Branch):
            branch.fork.receive(transaction, branch, response, flow, now)

    def receive_cancel(self, transaction: ServerTransaction, request: Request, now: float) -> None:
        """Its Reason goes on with it (RFC 3326 section 2)."""
        if isinstance(transaction.user, Fork):
            transaction.user.cancel(now, request.headers.get("Reason") or "")

    def failed(self, transaction: Transaction, now: float) -> None:
        """Timeout or a lost flow."""
        user = transaction.user
        if isinstance(transaction, ClientTransaction) and isinstance(user, Branch):
            user.fork.failed(transaction, user, now)
        elif isinstance(user, Fork) and user.server is transaction:
            user.orphan(now)

    def deadline(self) -> float | None:
        return self._heap.next()

    def expire(self, now: float) -> None:
        while (fork := self._heap.due(now)) is not None:
            fork.expire(now)

    def __len__(self) -> int:
        """Forks that wait for a phone of ours."""
        return len({fork for forks in self._pending.values() for fork in forks})

    # Steps

    def _for_server(self, transaction: ServerTransaction, request: Request, now: float) -> None:
        status = 200 if request.method == "OPTIONS" else 405
        extra = [("Allow", ALLOW)]
        if status == 200:
            extra += [("Accept", "*/*"), ("Supported", "outbound, gruu")]
        self._answer(transaction, request, status, now, headers=tuple(extra))

    def _authenticate(self, request: Request, received_uri: str, flow: Flow, now: float) -> Refusal | None:
        uri = request.from_.uri
        user = self.names.user_of(uri) if isinstance(uri, SipUri) else None
        if user is None:
            # A stranger may call our users, and nobody through us.
            ours = self.names.user_of(SipUri.parse(request.uri)) is not None
            return None if self._policy.strangers and (ours or request.to.tag is not None) else Refusal(403)
        if request.to.tag is not None and self._is_known_on(flow, user):
            return None
        sent, request.uri = request.uri, received_uri
        found = self._authentication.verify(request, flow, now, proxy=True)
        request.uri = sent
        if isinstance(found, Refusal):
            return found
        return None if found == user else Refusal(403)

    def _is_known_on(self, flow: Flow, user: str) -> bool:
        if self._authentication.knows_flow(flow, user):
            return True
        aor = f"sip:{user}@{self.names.domain}"
        return any(binding.aor == aor for binding in self._location.on_flow(flow))

    def _adopt(
        self,
        transaction: ServerTransaction,
        request: Request,
        merged: ServerTransaction,
        flow: Flow,
        now: float,
    ) -> bool:
        """The caller moved and sent the same INVITE on its new flow: it goes on, and rings nobody twice."""
        fork = merged.user
        if not isinstance(fork, Fork) or fork.original_uri != request.uri or fork.cancelled:
            return False
        if len(request.headers.get_all("Via")) > 1:
            return False
        fork.adopt(transaction, request, flow, now)
        return True

    def _prepare(self, request: Request, forwards: int | None) -> None:
        """What every copy has in common (section 16.6)."""
        headers = request.headers
        headers.set("Max-Forwards", str(DEFAULT_FORWARDS if forwards is None else forwards - 1))
        values = headers.get_all("Proxy-Authorization")
        if values:
            realm = f'realm="{self.names.domain}"'
            headers.remove("Proxy-Authorization")
            for value in values:
                if realm not in value:
                    headers.add("Proxy-Authorization", value)
        # Nobody here is trusted to assert an identity (RFC 3325 section 5); From is what we have checked.
        headers.remove("P-Asserted-Identity")

    def _only_secure(self, request: Request, flow: Flow) -> bool:
        """Whether a copy may go over TLS only: a sips URI, or what came over TLS and may hold media keys."""
        if request.uri[:5].lower() == "sips:":
            if not flow.secure:
                raise RemoteError("a sips URI over a connection without TLS", 403)
            return True
        holds = bool(request.body) or request.method == "INVITE"
        return flow.secure and holds and not self._policy.allow_clear_leg

    def _answer(
        self,
        transaction: ServerTransaction,
        request: Request,
        status: int,
        now: float,
        *,
        headers: tuple[tuple[str, str], ...] = (),
    ) -> None:
        response = response_to(request, status, to_tag=token(self._entropy, 64))
        for name, value in headers:
            response.headers.add(name, value)
        self._layer.respond(transaction, response, now)

    def _watch(self, fork: Fork) -> None:
        self._heap.watch(fork)
        if fork.finished:
            for branch in fork.branches:
                key = (branch.target.aor, branch.target.name)
                forks = self._pending.get(key)
                if forks is not None:
                    forks.discard(fork)
                    if not forks:
                        del self._pending[key]
