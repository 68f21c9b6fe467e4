"""The hands of relays: finds STUN and TURN servers, opens streams to them, and carries what `call.relays` says.

Datagrams to a server leave from the media port itself, whose NAT binding the relay then shares; streams are sockets
of their own on the same network.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from typing import TYPE_CHECKING, Any

from segue.base.address import Address, LocalPort, Path
from segue.base.entropy import Entropy
from segue.base.errors import RemoteError, SegueError
from segue.base.trace import NO_TRACE, Trace
from segue.call.relays import RelayedPort, RelayEvent, RelayFailed, Relays, RelayServer, StreamWanted
from segue.net.sockets import EXPEDITED_FORWARDING
from segue.net.tcp import StreamConnection, connect_tcp
from segue.phone.traversal_servers import find_server
from segue.protocols.turn.channel_data import TurnStream

if TYPE_CHECKING:
    from segue.net.dns import Resolver
    from segue.net.tls import TlsClient, TlsConnection

    Connection = StreamConnection | TlsConnection

AT_ONCE = 0.001  # seconds: the soonest a deadline in the past is looked at again

Deliver = Callable[[Path, bytes, float], None]
"""A peer's datagram, on the relayed path that it came by."""


class Relaying:
    """`send` sends a datagram from a media port. `resolver` gives that of an interface. `on_event` is told of relayed
    ports; `deliver` gets what peers send to them. `families`: of relayed addresses."""

    def __init__(
        self,
        servers: Iterable[RelayServer],
        entropy: Entropy,
        *,
        send: Callable[[Path, bytes], object],
        deliver: Deliver,
        on_event: Callable[[RelayEvent], None],
        resolver: Callable[[str], Resolver],
        tls: Callable[[], TlsClient],
        families: tuple[int, ...] = (4, 6),
        trace: Trace = NO_TRACE,
    ) -> None:
        self.relays = Relays(entropy, families=families, trace=trace)
        self._servers = tuple(servers)
        self._send = send
        self._deliver = deliver
        self._on_event = on_event
        self._resolver = resolver
        self._tls = tls
        self._trace = trace
        self._loop = asyncio.get_running_loop()
        self._streams: dict[LocalPort, Connection] = {}
        self._streams_of: dict[LocalPort, list[LocalPort]] = {}  # by the media port they are for
        self._moving: dict[
            LocalPort, tuple[LocalPort, RelayServer]
        ] = {}  # streams that a relay is to follow to
        self._tasks: dict[LocalPort, set[asyncio.Task[None]]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._settling = False

    # Media ports

    def opened(self, port: LocalPort, instead_of: LocalPort | None = None) -> None:
        """A media port is there: each server is asked for a relayed address, over the port's network; or to keep
        the one it gave to the port before, when it can (RFC 8016)."""
        for server in self._servers:
            self._start(port, self._reach(port, server, instead_of))

    def closed(self, port: LocalPort) -> None:
        """A media port closes now: what was relayed for it is given back."""
        now = self._loop.time()
        for task in self._tasks.pop(port, ()):
            task.cancel()
        for base in (port, *self._streams_of.pop(port, ())):
            self._moving.pop(base, None)
            self.relays.close(base, now)
            self._settle()
            connection = self._streams.pop(base, None)
            if connection is not None:
                connection.close()

    def close(self) -> None:
        for port in {*self._tasks, *self._streams_of, *self.relays.bases}:
            self.closed(port)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # The packet path

    def send(self, path: Path, octets: bytes) -> None:
        """By a relayed path."""
        for outer, wrapped in self.relays.wrap(path, octets, self._loop.time()):
            self._transmit(outer, wrapped)
        self._arm()

    def receive(self, path: Path, octets: bytes, now: float) -> tuple[Path, bytes] | None:
        """What came to a media port from a relay server, as `Relays.unwrap`."""
        found = self.relays.unwrap(path, octets, now)
        if found is None:
            self._settle()
        return found

    def _transmit(self, path: Path, octets: bytes) -> None:
        connection = self._streams.get(path.port)
        if connection is not None:
            connection.write(octets)
        else:
            self._send(path, octets)

    # Servers

    def _start(self, port: LocalPort, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.setdefault(port, set()).add(task)
        task.add_done_callback(lambda done: self._tasks.get(port, set()).discard(done))

    async def _reach(self, port: LocalPort, server: RelayServer, instead_of: LocalPort | None) -> None:
        """Find the server and ask it."""
        try:
            resolver, place = self._resolver(port.interface), server.place
            found = await find_server(resolver, place, port.address.family)
            await self._ask(port, server, found[0], place.host, instead_of=instead_of)
        except SegueError as error:
            self._on_event(RelayFailed(server, port, str(error)))

    async def _ask(
        self,
        port: LocalPort,
        server: RelayServer,
        address: Address,
        name: str,
        *,
        redirected: int = 0,
        instead_of: LocalPort | None = None,
    ) -> None:
        base = port
        if server.transport != "udp":
            base = await self._connect(port, server, address, name)
        path, now = Path(*base, address), self._loop.time()
        before = () if instead_of is None else (instead_of, *self._streams_of.get(instead_of, ()))
        if not any(self.relays.move(each, path, server, now) for each in before):
            self.relays.allocate(path, server, now, redirected=redirected)
        elif base != port:
            self._moving[base] = port, server
        self._settle()

    async def _connect(self, port: LocalPort, server: RelayServer, address: Address, name: str) -> LocalPort:
        """A stream beside `port`. Raises SegueError."""
        connection: Connection
        host, interface = port.address.host, port.interface
        if server.transport == "tls":
            connection = await self._tls().connect(address, name, host, interface, dscp=EXPEDITED_FORWARDING)
        else:
            connection = await connect_tcp(address, host, interface, dscp=EXPEDITED_FORWARDING)
        base = LocalPort(interface, connection.local)
        self._streams[base] = connection
        self._streams_of.setdefault(port, []).append(base)
        path, stream = Path(*base, address), TurnStream()
        connection.on_octets = lambda octets, now: self._receive_stream(path, stream, octets, now)
        connection.on_closed = lambda why: self._stream_lost(base, why)
        return base

    def _receive_stream(self, path: Path, stream: TurnStream, octets: bytes, now: float) -> None:
        try:
            messages = stream.receive(octets)
        except RemoteError as error:
            self._streams[path.port].close()
            self._stream_lost(path.port, error.problem)
            return
        for message in messages:
            found = self.relays.unwrap(path, message, now)
            if found is not None and found[0] != path:
                self._deliver(*found, now)
        self._settle()

    def _stream_lost(self, base: LocalPort, why: str) -> None:
        self._streams.pop(base, None)
        self.relays.lost(base, f"the connection to the relay broke: {why}")
        if (moving := self._moving.pop(base, None)) is not None:  # then not with the address it had
            port, server = moving
            self._start(port, self._reach(port, server, None))
        self._settle()

    def _redirect(self, wanted: StreamWanted) -> None:
        port = next((port for port, bases in self._streams_of.items() if wanted.base in bases), None)
        connection = self._streams.pop(wanted.base, None)
        if connection is not None:
            connection.close()
        if port is not None:
            self._start(port, self._follow(port, wanted))

    async def _follow(self, port: LocalPort, wanted: StreamWanted) -> None:
        name = wanted.name or wanted.server.place.host
        try:
            await self._ask(port, wanted.server, wanted.address, name, redirected=wanted.redirected)
        except SegueError as error:
            self._on_event(RelayFailed(wanted.server, port, str(error)))

    # The machine

    def _settle(self) -> None:
        """The drain rule of `base.machine`."""
        if self._settling:
            return
        self._settling = True
        try:
            while True:
                transmits, events = self.relays.transmits(), self.relays.events()
                for path, octets in transmits:
                    self._transmit(path, octets)
                for event in events:
                    if isinstance(event, StreamWanted):
                        self._redirect(event)
                    else:
                        if isinstance(event, RelayedPort):
                            self._moving.pop(event.base, None)
                        self._on_event(event)
                if not (transmits or events):
                    break
        finally:
            self._settling = False
        self._arm()

    def _arm(self) -> None:
        due = self.relays.deadline()
        if due is None:
            return
        if self._timer is not None:
            if self._timer.when() <= due:
                return
            self._timer.cancel()
        self._timer = self._loop.call_at(max(due, self._loop.time() + AT_ONCE), self._fire)

    def _fire(self) -> None:
        self._timer = None
        self.relays.expire(self._loop.time())
        self._settle()
