"""Which signalling flows exist (RFC 5626), and which should: one to our server over each attachment.

`net` opens what is asked for and says what became of it. Servers are tried in the order that RFC 3263 gave
for that network, the last one that worked at once and first, while DNS is asked beside (design decision 9).
A flow that fails is opened again, with capped back-off (RFC 5626 section 4.5); no call ends with it.

A stream has worked when it is there, a datagram flow when something has come on it. It is kept alive by double CRLFs;
by STUN, which also notices a silent server and a NAT that has forgotten us, once the registrar has said that the
server supports it (RFC 5626 sections 4.4.2 and 8).
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
SILENT = 32.0  # seconds without a message after which a datagram flow may be dead: a transaction's time
LASTING = 5.0  # seconds after which a flow counts as having worked
PONG_WITHIN = 10.0  # section 4.4.1
PROBE_WITHIN = 0.5  # seconds at most: a long round trip of a network that carries voice, and a lost packet
PROBE_LOSS = 0.2  # seconds that a lost packet may take of it (the shortest retransmission timeout of TCP)
PROBE_TRIPS = 3  # known round trips that it may take beside
PROBE_AGAIN = 0.15  # seconds between copies of a datagram probe
WOKEN_WITHIN = 2.0  # seconds that a flow has to answer after the machine has slept
# Seconds after each copy of a request (RFC 8489 section 6.2.1).
STUN_WAITS = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 8.0)


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
    """Send a keep-alive on the flow; `pong` when it is answered. With a `transaction` it is a STUN request; `bound`
    when that is answered."""

    flow: Flow
    transaction: bytes = b""


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


@dataclass(frozen=True)
class Probed:
    """What became of a `probe`: whether the server has answered in time."""

    origin: Origin
    answered: bool


FlowEvent = LocateWanted | OpenWanted | CloseWanted | PingWanted | FlowUp | FlowDown | Probed


@dataclass
class _Attempt:
    """What is known of the flow over one origin."""

    servers: list[Server] = field(default_factory=list)
    trying: Server | None = None
    server: Server | None = None  # that of `flow`
    flow: Flow | None = None
    failures: int = 0
    retry_at: float | None = None
    ping_at: float | None = None
    pong_by: float | None = None
    opened_at: float = 0.0
    heard_at: float | None = None  # when something came on `flow`
    interval: float | None = None  # seconds between keep-alives, as the registrar said
    stun: bool = False
    transaction: bytes = b""  # of the STUN request under way
    copies: int = 0  # of it
    mapped: Address | None = None  # where the server sees us
    answers: bool = False  # the server is known to answer keep-alives on `flow`
    probe_by: float | None = None  # when a probe that nobody has answered has failed
    probe_again_at: float | None = None
    asked_at: float | None = None  # when the keep-alive that is not answered yet was sent first
    round_trip: float | None = None  # of the last one, s


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
            self._try_next(origin, attempt, now, "DNS knows no such server")

    def opened(self, origin: Origin, flow: Flow, now: float) -> None:
        attempt = self._attempts.get(origin)
        if attempt is None or attempt.flow is not None:
            self._events.append(CloseWanted(flow))
            return
        attempt.server, attempt.trying = attempt.trying or attempt.server, None
        attempt.flow, attempt.retry_at, attempt.opened_at, attempt.heard_at = flow, None, now, None
        attempt.interval, attempt.stun, attempt.transaction, attempt.mapped = None, False, b"", None
        attempt.answers, attempt.asked_at, attempt.round_trip = False, None, None
        attempt.ping_at = now + self._keepalive(attempt, flow)
        if flow.reliable and attempt.server is not None:
            self._last_good[origin.family] = attempt.server
        self._events.append(FlowUp(origin, flow))

    def heard(self, flow: Flow, now: float) -> None:
        """Something came on the flow."""
        for origin, attempt in self._attempts.items():
            if attempt.flow == flow:
                attempt.heard_at = now
                self._probed(origin, attempt, True)
                if attempt.server is not None:
                    self._last_good[origin.family] = attempt.server

    def supports_outbound(self, flow: Flow, timer: int | None, now: float) -> None:
        """The registrar has said so; `timer` is its Flow-Timer in seconds, if it gave one."""
        for attempt in self._attempts.values():
            if attempt.flow == flow:
                attempt.stun = not flow.reliable
                # Section 4.4.1: the server may call the flow dead when nothing came for so long.
                attempt.interval = 0.8 * timer if timer else None
                attempt.ping_at = now + self._keepalive(attempt, flow)
                if flow.reliable and not attempt.answers:
                    self._ping(
                        attempt, flow, now
                    )  # so that a later probe which is not answered means something

    def probe(self, origin: Origin, now: float) -> None:
        """Find out whether the server can be reached over `origin` now; it also wakes a radio that sleeps. The answer
        is a `Probed`, but none when the server is silent and never answered keep-alives there."""
        attempt = self._attempts.get(origin)
        if attempt is None or attempt.probe_by is not None:
            return
        trip = attempt.round_trip
        within = PROBE_WITHIN if trip is None else min(PROBE_WITHIN, PROBE_LOSS + PROBE_TRIPS * trip)
        attempt.probe_by = now + within
        self._probe(attempt, now)

    def wake(self, now: float) -> None:
        """The machine has slept: a flow that does not answer soon is opened anew."""
        for attempt in self._attempts.values():
            if attempt.flow is not None and (attempt.answers or attempt.stun):
                self._ping(attempt, attempt.flow, now)
                attempt.pong_by, attempt.copies = now + WOKEN_WITHIN, len(STUN_WAITS)

    def _probe(self, attempt: _Attempt, now: float) -> None:
        flow = attempt.flow
        attempt.probe_again_at = now + PROBE_AGAIN if flow is not None and not flow.reliable else None
        if flow is None:
            return
        if attempt.stun and not attempt.transaction:
            attempt.transaction, attempt.copies = self._entropy.octets(12), 0
            self._ask(attempt, flow, now)
        else:
            attempt.asked_at = now if attempt.asked_at is None else attempt.asked_at
            self._events.append(PingWanted(flow, attempt.transaction))

    def _answered(self, origin: Origin, attempt: _Attempt, now: float) -> None:
        """A keep-alive was."""
        if attempt.asked_at is not None:
            attempt.round_trip, attempt.asked_at = now - attempt.asked_at, None
        attempt.pong_by, attempt.answers = None, True
        self._probed(origin, attempt, True)

    def _probed(self, origin: Origin, attempt: _Attempt, answered: bool) -> None:
        if attempt.probe_by is None:
            return
        attempt.probe_by = attempt.probe_again_at = None
        if answered or attempt.answers or attempt.flow is None:
            self._events.append(Probed(origin, answered))

    def failed(
        self, origin: Origin, flow: Flow | None, problem: str, now: float, *, silent: bool = False
    ) -> None:
        """The flow could not be opened (`flow` None) or broke. The next server is tried, then a pause."""
        attempt = self._attempts.get(origin)
        if attempt is None or (flow is not None and flow != attempt.flow):
            return
        self._trace.note("flows", "failed", origin=origin, problem=problem)
        if attempt.flow is not None:
            lost, attempt.flow, attempt.pong_by, attempt.ping_at = attempt.flow, None, None, None
            self._after(origin, attempt, lost, silent, now)
            self._events.append(FlowDown(origin, lost, problem, 0.0))
        elif attempt.trying in attempt.servers:
            attempt.servers.remove(attempt.trying)
            attempt.trying = None
        self._try_next(origin, attempt, now, problem)

    def give_up(self, flow: Flow, problem: str, now: float) -> None:
        """The server at the other end does not do its work (RFC 3263 section 4.3): the next one is tried. A stream is
        kept when there is no other, and a datagram flow on which something else has come lately."""
        for origin, attempt in self._attempts.items():
            if attempt.flow == flow:
                others = [server for server in self._order(origin) if server != attempt.server]
                heard = attempt.heard_at is not None and now - attempt.heard_at < SILENT
                if others or not (flow.reliable or heard):
                    self._close(origin, flow, problem, now)
                return

    def _close(self, origin: Origin, flow: Flow, problem: str, now: float) -> None:
        """The flow is there, and its server silent: another one is wanted first."""
        self._events.append(CloseWanted(flow))
        self.failed(origin, flow, problem, now, silent=True)

    def _after(self, origin: Origin, attempt: _Attempt, lost: Flow, silent: bool, now: float) -> None:
        """Which servers come after a flow that is gone. The server of a stream that worked is tried again at once,
        that of any other when the others have been. One that never worked, or that its server closes as soon as it
        hears us, would go the same way again."""
        gone, worked = attempt.server, attempt.heard_at is not None
        if lost.reliable:
            worked = now - attempt.opened_at >= LASTING
        attempt.trying = None
        if not worked:
            attempt.servers = [server for server in attempt.servers if server != gone]
            return
        attempt.failures = 0
        attempt.servers = self._order(origin)
        if silent or not lost.reliable:
            attempt.servers.sort(key=lambda server: server == gone)

    def pong(self, flow: Flow, now: float) -> None:
        """The flow lives."""
        for origin, attempt in self._attempts.items():
            if attempt.flow == flow:
                self._answered(origin, attempt, now)

    def bound(self, flow: Flow, transaction: bytes, mapped: Address | None, now: float) -> None:
        """A STUN response came on the flow; `mapped` is None in an error. Where the server sees us elsewhere than
        before, its NAT has forgotten us, and what it sends does not arrive (RFC 5626 section 4.4.2)."""
        for origin, attempt in list(self._attempts.items()):
            if attempt.flow != flow or not transaction or transaction != attempt.transaction:
                continue
            attempt.transaction, attempt.heard_at = b"", now
            self._answered(origin, attempt, now)
            before, attempt.mapped = attempt.mapped, mapped
            if mapped is None:
                self._close(origin, flow, "the server refuses keep-alives", now)
            elif before not in (None, mapped):
                self.failed(origin, flow, f"the server sees us at {mapped} now", now)

    def flow(self, origin: Origin) -> Flow | None:
        """The flow over `origin` when it is up."""
        attempt = self._attempts.get(origin)
        return attempt.flow if attempt else None

    def has_worked(self, origin: Origin) -> bool:
        """Whether the flow over `origin` is up and its server is known to be at the other end."""
        attempt = self._attempts.get(origin)
        if attempt is None or attempt.flow is None:
            return False
        return attempt.flow.reliable or attempt.heard_at is not None

    def leads_to_server(self, flow: Flow) -> bool:
        """Whether at its other end is a host that is one of our servers, as DNS said for any network."""
        servers = [*self._last_good.values(), *(server for known in self._known.values() for server in known)]
        servers += [attempt.server for attempt in self._attempts.values() if attempt.server is not None]
        return any(server.address.host == flow.remote.host for server in servers)

    def origins(self) -> list[Origin]:
        return list(self._attempts)

    def deadline(self) -> float | None:
        return earliest(
            *(
                t
                for a in self._attempts.values()
                for t in (a.retry_at, a.pong_by if a.pong_by else a.ping_at)
            ),
            *(t for a in self._attempts.values() for t in (a.probe_by, a.probe_again_at)),
        )

    def expire(self, now: float) -> None:
        for origin, attempt in list(self._attempts.items()):
            if attempt.probe_by is not None and attempt.probe_by <= now:
                self._probed(origin, attempt, False)
            elif attempt.probe_again_at is not None and attempt.probe_again_at <= now:
                self._probe(attempt, now)
            if attempt.retry_at is not None and attempt.retry_at <= now:
                attempt.retry_at = None
                attempt.servers = self._order(origin)
                self._events.append(LocateWanted(origin))
                self._try_next(origin, attempt, now)
            elif attempt.flow is not None and attempt.pong_by is not None:
                if attempt.pong_by <= now:
                    self._unanswered(origin, attempt, attempt.flow, now)
            elif attempt.flow is not None and attempt.ping_at is not None and attempt.ping_at <= now:
                self._ping(attempt, attempt.flow, now)

    def events(self) -> list[FlowEvent]:
        events, self._events = self._events, []
        return events

    def _ping(self, attempt: _Attempt, flow: Flow, now: float) -> None:
        attempt.ping_at = now + self._keepalive(attempt, flow)
        if attempt.stun:
            attempt.transaction, attempt.copies = self._entropy.octets(12), 0
            self._ask(attempt, flow, now)
            return
        if flow.reliable:
            attempt.pong_by = now + PONG_WITHIN
            attempt.asked_at = now
        self._events.append(PingWanted(flow))

    def _ask(self, attempt: _Attempt, flow: Flow, now: float) -> None:
        """One copy of a STUN request."""
        attempt.pong_by = now + STUN_WAITS[attempt.copies]
        attempt.asked_at = now if attempt.copies == 0 else attempt.asked_at
        attempt.copies += 1
        self._events.append(PingWanted(flow, attempt.transaction))

    def _unanswered(self, origin: Origin, attempt: _Attempt, flow: Flow, now: float) -> None:
        if attempt.transaction and attempt.copies < len(STUN_WAITS):
            self._ask(attempt, flow, now)
        else:
            self._close(origin, flow, "the server does not answer keep-alives", now)

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

    def _keepalive(self, attempt: _Attempt, flow: Flow) -> float:
        base = attempt.interval or (KEEPALIVE_STREAM if flow.reliable else KEEPALIVE_DATAGRAM)
        return base * (1 + 0.2 * fraction(self._entropy))
