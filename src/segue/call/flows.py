"""Which signalling flows exist (RFC 5626), and which should: one to our server over each attachment.

`net` opens what is asked for and says what became of it. Servers are tried in the order that RFC 3263 gave
for that network, the last one that worked at once and first, while DNS is asked beside (design decision 9).
A flow that fails is opened again, with capped back-off (RFC 5626 section 4.5); no call ends with it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from segue.base.address import Address
from segue.base.entropy import Entropy, fraction
from segue.base.machine import earliest
from segue.base.trace import NO_TRACE, Trace
from segue.protocols.sip.flow import Flow

BACKOFF_FIRST = 0.5  # seconds; RFC 5626 suggests 30 s base, which a call in progress cannot wait for
BACKOFF_LIMIT = 30.0
KEEPALIVE_STREAM = 95.0  # seconds between pings, RFC 5626 section 4.4.1: 95 to 120
KEEPALIVE_DATAGRAM = 24.0  # section 4.4.2: 24 to 29
LASTING = 5.0  # seconds after which a flow counts as having worked
PONG_WITHIN = 10.0  # section 4.4.1


class Server(NamedTuple):
    """One place a server can be reached at, as RFC 3263 located it; `name` is what TLS verifies."""

    transport: str
    address: Address
    name: str


class Origin(NamedTuple):
    """Where a flow starts: an interface and our address on it."""

    interface: str
    host: str

    @property
    def family(self) -> int:
        return 6 if ":" in self.host else 4


@dataclass(frozen=True)
class LocateWanted:
    """Ask DNS for the server's places as this network sees them; answer with `located`."""

    origin: Origin


@dataclass(frozen=True)
class OpenWanted:
    """Open a flow; answer with `opened` or `failed`."""

    origin: Origin
    server: Server


@dataclass(frozen=True)
class CloseWanted:
    flow: Flow


@dataclass(frozen=True)
class PingWanted:
    """Send a keep-alive on the flow; `pong` when it is answered."""

    flow: Flow


@dataclass(frozen=True)
class FlowUp:
    origin: Origin
    flow: Flow


@dataclass(frozen=True)
class FlowDown:
    """The flow is gone; `retry_in` seconds until it is tried again, None when it is not wanted any more."""

    origin: Origin
    flow: Flow | None
    problem: str
    retry_in: float | None


FlowEvent = LocateWanted | OpenWanted | CloseWanted | PingWanted | FlowUp | FlowDown


@dataclass
class _Attempt:
    """What is known of the flow over one origin."""

    servers: list[Server] = field(default_factory=list)
    trying: Server | None = None
    flow: Flow | None = None
    failures: int = 0
    retry_at: float | None = None
    ping_at: float | None = None
    pong_by: float | None = None
    opened_at: float = 0.0


class Flows:
    """A machine: origins wanted in, flows out."""

    def __init__(self, entropy: Entropy, trace: Trace = NO_TRACE) -> None:
        self._entropy = entropy
        self._trace = trace
        self._attempts: dict[Origin, _Attempt] = {}
        self._known: dict[int, list[Server]] = {}  # by family: the last list any network gave
        self._last_good: dict[int, Server] = {}
        self._events: list[FlowEvent] = []

    def want(self, origin: Origin, now: float) -> None:
        """There should be a flow over `origin`. Nothing happens when there is, or one is being opened."""
        if origin in self._attempts:
            return
        attempt = self._attempts[origin] = _Attempt(servers=list(self._known.get(origin.family, [])))
        good = self._last_good.get(origin.family)
        if good is not None:
            attempt.servers = [good, *(server for server in attempt.servers if server != good)]
        self._events.append(LocateWanted(origin))
        self._try_next(origin, attempt, now)

    def drop(self, origin: Origin) -> None:
        """The origin is gone or not needed; its flow is closed."""
        attempt = self._attempts.pop(origin, None)
        if attempt is not None and attempt.flow is not None:
            self._events.append(CloseWanted(attempt.flow))

    def located(self, origin: Origin, servers: list[Server], now: float) -> None:
        """What DNS said, in the order to try; empty when it said nothing."""
        usable = [server for server in servers if server.address.family == origin.family]
        if usable:
            self._known[origin.family] = usable
        attempt = self._attempts.get(origin)
        if attempt is None:
            return
        attempt.servers += [server for server in usable if server not in attempt.servers]
        if attempt.flow is None and attempt.trying is None:
            self._try_next(origin, attempt, now, "DNS knows no server for it")

    def opened(self, origin: Origin, flow: Flow, now: float) -> None:
        attempt = self._attempts.get(origin)
        if attempt is None or attempt.flow is not None:
            self._events.append(CloseWanted(flow))
            return
        if attempt.trying is not None:
            self._last_good[origin.family] = attempt.trying
        attempt.flow, attempt.trying, attempt.retry_at, attempt.opened_at = flow, None, None, now
        attempt.ping_at = now + self._keepalive(flow)
        self._events.append(FlowUp(origin, flow))

    def failed(self, origin: Origin, flow: Flow | None, problem: str, now: float) -> None:
        """The flow could not be opened (`flow` None) or broke. The next server is tried, then a pause."""
        attempt = self._attempts.get(origin)
        if attempt is None or (flow is not None and flow != attempt.flow):
            return
        self._trace.note("flows", "failed", origin=origin, problem=problem)
        if attempt.flow is not None:
            lost, attempt.flow, attempt.pong_by, attempt.ping_at = attempt.flow, None, None, None
            attempt.trying = None
            # A connection that lasted is opened again at once. One that the server closes as soon as it hears us
            # would be closed again.
            lasted = now - attempt.opened_at >= LASTING
            attempt.servers = self._order(origin) if lasted else []
            attempt.failures = 0 if lasted else attempt.failures
            self._events.append(FlowDown(origin, lost, problem, 0.0))
        elif attempt.trying in attempt.servers:
            attempt.servers.remove(attempt.trying)
            attempt.trying = None
        self._try_next(origin, attempt, now, problem)

    def pong(self, flow: Flow) -> None:
        """The flow lives."""
        for attempt in self._attempts.values():
            if attempt.flow == flow:
                attempt.pong_by = None

    def flow(self, origin: Origin) -> Flow | None:
        """The flow over `origin` when it is up."""
        attempt = self._attempts.get(origin)
        return attempt.flow if attempt else None

    def origins(self) -> list[Origin]:
        return list(self._attempts)

    def deadline(self) -> float | None:
        return earliest(
            *(t for a in self._attempts.values() for t in (a.retry_at, a.pong_by if a.pong_by else a.ping_at))
        )

    def expire(self, now: float) -> None:
        for origin, attempt in list(self._attempts.items()):
            if attempt.retry_at is not None and attempt.retry_at <= now:
                attempt.retry_at = None
                attempt.servers = self._order(origin)
                self._events.append(LocateWanted(origin))
                self._try_next(origin, attempt, now)
            elif attempt.flow is not None and attempt.pong_by is not None and attempt.pong_by <= now:
                self.failed(origin, attempt.flow, "the server does not answer keep-alives", now)
            elif attempt.flow is not None and attempt.ping_at is not None and attempt.ping_at <= now:
                self._ping(attempt, attempt.flow, now)

    def events(self) -> list[FlowEvent]:
        events, self._events = self._events, []
        return events

    def _ping(self, attempt: _Attempt, flow: Flow, now: float) -> None:
        attempt.ping_at = now + self._keepalive(flow)
        if flow.reliable:
            attempt.pong_by = now + PONG_WITHIN
        self._events.append(PingWanted(flow))

    def _order(self, origin: Origin) -> list[Server]:
        good = self._last_good.get(origin.family)
        known = self._known.get(origin.family, [])
        return [*([good] if good else []), *(server for server in known if server != good)]

    def _try_next(self, origin: Origin, attempt: _Attempt, now: float, problem: str = "") -> None:
        if attempt.flow is not None or attempt.trying is not None:
            return
        if attempt.servers:
            attempt.trying = attempt.servers[0]
            self._events.append(OpenWanted(origin, attempt.trying))
        elif problem:
            attempt.failures += 1
            pause = min(BACKOFF_LIMIT, BACKOFF_FIRST * 2 ** (attempt.failures - 1))
            pause *= 0.5 + 0.5 * fraction(self._entropy)  # RFC 5626 section 4.5: 50 % to 100 % of it
            attempt.retry_at = now + pause
            self._events.append(FlowDown(origin, None, problem, pause))

    def _keepalive(self, flow: Flow) -> float:
        base = KEEPALIVE_STREAM if flow.reliable else KEEPALIVE_DATAGRAM
        return base * (1 + 0.2 * fraction(self._entropy))
