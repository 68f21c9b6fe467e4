"""Relayed addresses of our media ports: each is a local port to the rest of a call, which need not know that a TURN
server stands behind it (RFC 8656). Pure; `phone.relaying` has the sockets.

A relayed port has the server's address, and the interface of its base (the port that speaks with the server) at the
time; when the base moves (RFC 8016) the port stays as it is. `wrap` makes of a datagram on a relayed path one to the
server, `unwrap` the other way round.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from segue.base.address import Address, LocalPort, Path
from segue.base.entropy import Entropy
from segue.base.errors import LocalError
from segue.base.machine import earliest
from segue.base.secret import Secret
from segue.base.trace import NO_TRACE, Trace
from segue.protocols.stun.credentials import LongTermCredentials, prepare
from segue.protocols.stun.transaction import Timers
from segue.protocols.turn.client import TurnClient
from segue.protocols.turn.events import (
    Allocated,
    AllocationFailed,
    Moved,
    MoveFailed,
    PeerRefused,
    Redirected,
    TurnEvent,
)
from segue.protocols.turn.uri import ServerUri, parse_server_uri

# Calls do not wait for relays, and users want to hear of one that is dead: 7.5 s instead of 39.5 (RFC 8489 section
# 6.2.1 lets both be chosen). What is up already is asked for again until it expires.
TIMERS = Timers(requests=4, patience=8, timeout=7.5)
REDIRECTIONS = 3  # that are followed from one server
_BINDING = (b"\0\1", b"\1\1", b"\1\x11", b"\0\x11")  # how such messages begin (RFC 8489 section 5)


@dataclass(frozen=True)
class RelayServer:
    """`uri` as RFC 7065 has it. Raises LocalError for what is none, and for names and passwords that STUN forbids."""

    uri: str
    username: str = ""
    password: Secret = field(default_factory=lambda: Secret(""))

    def __post_init__(self) -> None:
        if not self.place.relay:
            raise LocalError(f"{self.uri!r} is no TURN server", "write turn:host or turns:host")
        if self.place.numeric and self.place.transport == "tls":
            raise LocalError(f"{self.uri!r}: no certificate proves an address", "give the server's name")
        prepare(self.username)
        prepare(self.password.reveal().decode())

    @property
    def place(self) -> ServerUri:
        return parse_server_uri(self.uri)

    @property
    def transport(self) -> str:
        """ "udp", "tcp" or "tls"."""
        return self.place.transport


@dataclass(frozen=True)
class RelayedPort:
    """`port` is ours from now on; what comes to it arrives at `base`. `mapped`: where `base` seems to be, for the
    server; None where that is the address of a stream. `follows`: the relayed address survives a move of its base."""

    port: LocalPort
    base: LocalPort
    mapped: Address | None
    follows: bool


@dataclass(frozen=True)
class RelayedPortMoved:
    """`port` is as it was, and reached by another base."""

    port: LocalPort
    base: LocalPort


@dataclass(frozen=True)
class RelayedPortGone:
    """`base`: the last it had."""

    port: LocalPort
    base: LocalPort
    why: str


@dataclass(frozen=True)
class RelayFailed:
    """There is no relayed address through this server from `base`. `code`: the server's, 0 when it said nothing."""

    server: RelayServer
    base: LocalPort
    why: str
    code: int = 0


@dataclass(frozen=True)
class StreamWanted:
    """A server on a stream wants us to ask another (RFC 8489 section 10): connect to `address`, whose certificate is
    for `name` (empty: as before), then `allocate` with `redirected`. `base` is of no use any more."""

    server: RelayServer
    base: LocalPort
    address: Address
    name: str
    redirected: int


RelayEvent = RelayedPort | RelayedPortMoved | RelayedPortGone | RelayFailed | StreamWanted


@dataclass(slots=True, eq=False)
class _Allocation:
    server: RelayServer
    client: TurnClient
    redirected: int = 0
    ports: tuple[LocalPort, ...] = ()
    follows: bool = False
    moving: bool = False

    @property
    def base(self) -> LocalPort:
        return self.client.path.port


class Relays:
    """`families`: of the relayed addresses that are wanted."""

    def __init__(
        self, entropy: Entropy, *, families: tuple[int, ...] = (4, 6), trace: Trace = NO_TRACE
    ) -> None:
        self._entropy = entropy
        self._families = families
        self._trace = trace
        self._allocations: dict[
            Path, _Allocation
        ] = {}  # by base and server: two of one that moves or has moved
        self._by_port: dict[LocalPort, _Allocation] = {}
        self._out: list[tuple[Path, bytes]] = []  # of allocations that are given back
        self._events: list[RelayEvent] = []

    # Commands

    def allocate(self, path: Path, server: RelayServer, now: float, *, redirected: int = 0) -> None:
        """Ask for relayed addresses: from our port, to the server's address. `RelayedPort` or `RelayFailed` follows.
        Harmless when asked before."""
        if path in self._allocations:
            return
        reliable = server.transport != "udp"
        client = TurnClient(
            path,
            LongTermCredentials(server.username, server.password),
            self._entropy,
            now,
            reliable=reliable,
            secure=server.transport == "tls",
            families=self._families,
            timers=TIMERS,
            trace=self._trace,
        )
        self._allocations[path] = _Allocation(server, client, redirected)

    def permit(self, hosts: Iterable[str], now: float) -> None:
        """The peer may be at any of these, and is to be let through to every relayed address."""
        hosts = tuple(hosts)
        for allocation in self._each():
            allocation.client.permit(hosts, now)

    def move(self, base: LocalPort, path: Path, server: RelayServer, now: float) -> bool:
        """The network of `base` is gone, and what this server relays behind it is to be reached by `path`, by its
        ticket (RFC 8016); False when it has given none. `RelayedPortMoved` follows; or, when the server would not,
        `RelayedPortGone`, and `RelayedPort` with another address."""
        for allocation in self._behind(base):
            if allocation.server == server and allocation.follows and path not in self._allocations:
                self._allocations[path] = allocation
                allocation.moving = True
                allocation.client.move(path, now, reliable=server.transport != "udp")
                self._take_events(now)
                return True
        return False

    def close(self, base: LocalPort, now: float) -> None:
        """Give back what is behind `base`; `transmits` is to be sent before its socket closes."""
        for allocation in self._behind(base):
            allocation.client.close(now)
            self._out += allocation.client.transmits()
            self._forget(allocation)
            self._events += [RelayedPortGone(port, base, "given back") for port in allocation.ports]
        self._forget_base(base)

    def lost(self, base: LocalPort, why: str) -> None:
        """Nothing comes or goes at `base` any more: a stream that broke. What is on its way elsewhere stays; what
        was on its way to here goes too."""
        behind = self._behind(base)
        arriving = [each for path, each in self._allocations.items() if path.port == base]
        self._forget_base(base)
        for allocation in behind:
            if allocation not in self._allocations.values():
                self._end(allocation, why)
        for allocation in arriving:
            if allocation not in behind and allocation.moving:
                self._end(allocation, why)

    # The packet path

    @property
    def ports(self) -> Iterable[LocalPort]:
        """Those that are relayed."""
        return self._by_port.keys()

    @property
    def bases(self) -> set[LocalPort]:
        """Ports that speak with a server."""
        return {path.port for path in self._allocations}

    def follows(self, base: LocalPort) -> bool:
        """Whether something behind this base survives its end, if it gets another one."""
        return any(allocation.follows for allocation in self._behind(base))

    def wrap(self, path: Path, octets: bytes, now: float) -> list[tuple[Path, bytes]]:
        """What leaves for the server when `octets` leave by a relayed path; the first may be a request that has to
        come before."""
        allocation = self._by_port.get(path.port)
        if allocation is None:
            self._trace.drop("relays", "no such relayed port", port=path.port)
            return []
        allocation.client.send(path.remote, octets, now)
        return allocation.client.transmits()

    def unwrap(self, path: Path, octets: bytes, now: float) -> tuple[Path, bytes] | None:
        """What came from a server: a peer's datagram on the relayed path that it came by, or None when it was for us.
        What a server says as a STUN server (Binding) comes out as it is, as does what comes from elsewhere."""
        allocation = self._allocations.get(path)
        if allocation is None or octets[:2] in _BINDING:
            return path, octets
        client = allocation.client
        found = client.unwrap(octets)
        if found is not None:
            peer, data = found
            for port in allocation.ports:
                if port.address.family == peer.family:
                    return Path(*port, peer), data
            return None
        client.receive(octets, path, now)
        self._take_events(now)
        return None

    # The other verbs

    def transmits(self) -> list[tuple[Path, bytes]]:
        out, self._out = self._out, []
        for allocation in self._each():
            out += allocation.client.transmits()
        return out

    def deadline(self) -> float | None:
        return earliest(*(allocation.client.deadline() for allocation in self._each()))

    def expire(self, now: float) -> None:
        for allocation in self._each():
            allocation.client.expire(now)
        self._take_events(now)

    def events(self) -> list[RelayEvent]:
        events, self._events = self._events, []
        return events

    # Allocations

    def _each(self) -> list[_Allocation]:
        return list({id(each): each for each in self._allocations.values()}.values())

    def _behind(self, base: LocalPort) -> list[_Allocation]:
        return [each for each in self._each() if each.base == base]

    def _forget(self, allocation: _Allocation) -> None:
        for path in [path for path, each in self._allocations.items() if each is allocation]:
            del self._allocations[path]
        for port in allocation.ports:
            self._by_port.pop(port, None)

    def _forget_base(self, base: LocalPort) -> None:
        for path in [path for path in self._allocations if path.port == base]:
            del self._allocations[path]

    def _end(self, allocation: _Allocation, why: str, code: int = 0) -> None:
        self._forget(allocation)
        if not allocation.ports:
            self._events.append(RelayFailed(allocation.server, allocation.base, why, code))
        self._events += [RelayedPortGone(port, allocation.base, why) for port in allocation.ports]

    def _take_events(self, now: float) -> None:
        for allocation in self._each():
            for event in allocation.client.events():
                self._take(allocation, event, now)

    def _take(self, allocation: _Allocation, event: TurnEvent, now: float) -> None:
        if isinstance(event, Allocated):
            allocation.follows = event.mobile
            self._show(allocation, event.mapped if allocation.server.transport == "udp" else None)
        elif isinstance(event, Redirected):
            self._redirect(allocation, event, now)
        elif isinstance(event, AllocationFailed):
            self._end(allocation, event.why, event.code)
            if event.code == 437 and allocation.ports:  # the server has started anew
                self.allocate(allocation.client.path, allocation.server, now)
        elif isinstance(event, Moved):
            base, allocation.moving = allocation.base, False
            self._events += [RelayedPortMoved(port, base) for port in allocation.ports]
        elif isinstance(event, MoveFailed):
            self._start_anew(allocation, event, now)
        elif isinstance(event, PeerRefused):
            self._trace.note("relays", "a peer is refused", host=event.host, code=event.code)

    def _show(self, allocation: _Allocation, mapped: Address | None) -> None:
        base = allocation.base
        ports = [LocalPort(base.interface, address) for address in allocation.client.relayed.values()]
        allocation.ports = tuple(ports)
        for port in ports:
            self._by_port[port] = allocation
            self._events.append(RelayedPort(port, base, mapped, allocation.follows))

    def _redirect(self, allocation: _Allocation, event: Redirected, now: float) -> None:
        server, path = allocation.server, allocation.client.path
        again = allocation.redirected + 1
        self._forget(allocation)
        if again > REDIRECTIONS or event.server.family != path.remote.family:
            self._events.append(RelayFailed(server, allocation.base, "the relay sends us elsewhere", 300))
        elif server.transport == "udp":
            self.allocate(path._replace(remote=event.server), server, now, redirected=again)
        else:
            self._events.append(StreamWanted(server, allocation.base, event.server, event.domain, again))

    def _start_anew(self, allocation: _Allocation, event: MoveFailed, now: float) -> None:
        """The new place gets an address of its own."""
        self._end(allocation, event.why, event.code)
        self.allocate(event.path, allocation.server, now)
