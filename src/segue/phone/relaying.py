"""The hands of relays: finds STUN and TURN servers, opens streams to them, and carries what `call.relays` says.

Datagrams to a server leave from the media port itself, whose NAT binding the relay then shares; streams are sockets
of their own on the same network.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Coroutine, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from segue.base.address import Address, LocalPort, Path
from segue.base.entropy import Entropy
from segue.base.errors import RemoteError, SegueError
from segue.base.trace import NO_TRACE, Trace
from segue.call.relays import (
    RelayedPort,
    RelayedPortMoved,
    RelayEvent,
    RelayFailed,
    Relays,
    RelayServer,
    StreamWanted,
)
from segue.net.sockets import EXPEDITED_FORWARDING
from segue.net.tcp import StreamConnection, connect_tcp
from segue.phone.traversal_servers import find_server
from segue.protocols.turn.channel_data import TurnStream

if TYPE_CHECKING:
    from segue.net.dns import Resolver
    from segue.net.tls import TlsClient, TlsConnection

    Connection = StreamConnection | TlsConnection

AT_ONCE = 0.001  # seconds: the soonest a deadline in the past is looked at again

Deliver = Callable[[str, Path, bytes, float], None]
"""The call's identifier, and a peer's datagram on the relayed path that it came by."""
OnEvent = Callable[[str, RelayEvent], None]
"""The call's identifier, and what happened."""


@dataclass
class _MediaPort:
    """Of a call; `bases`: the local ends of streams beside it; `stranded`: its network is gone and its socket closed,
    and what a server can move is kept."""

    call_id: str
    bases: list[LocalPort] = field(default_factory=list)
    tasks: set[asyncio.Task[None]] = field(default_factory=set)
    stranded: bool = False


class Relaying:
    """`send` sends a datagram from a media port, `is_here` tells whether a port's network is. `resolver` gives that
    of an interface. `on_event` is told of relayed ports, with the call that they belong to; `deliver` gets what peers
    send to those behind streams. `families`: of relayed addresses."""

    def __init__(
        self,
        servers: Iterable[RelayServer],
        entropy: Entropy,
        *,
        send: Callable[[Path, bytes], object],
        is_here: Callable[[LocalPort], bool],
        deliver: Deliver,
        on_event: OnEvent,
        resolver: Callable[[str], Resolver],
        tls: Callable[[], TlsClient],
        families: tuple[int, ...] = (4, 6),
        trace: Trace = NO_TRACE,
    ) -> None:
        self.relays = Relays(entropy, families=families, trace=trace)
        self._servers = tuple(servers)
        self._send = send
        self._is_here = is_here
        self._deliver = deliver
        self._on_event = on_event
        self._resolver = resolver
        self._tls = tls
        self._trace = trace
        self._loop = asyncio.get_running_loop()
        self._media: dict[LocalPort, _MediaPort] = {}
        self._streams: dict[LocalPort, Connection] = {}
        self._moving: dict[
            LocalPort, tuple[LocalPort, RelayServer]
        ] = {}  # streams that a relay is to follow to
        self._timer: asyncio.TimerHandle | None = None
        self._settling = False

    # Media ports

    def opened(self, port: LocalPort, call_id: str) -> None:
        """A call has a media port: each server is asked for a relayed address, over the port's network; or to keep
        the one that was reached over a network that is gone, when it can (RFC 8016)."""
        left = [
            old
            for old, media in self._media.items()
            if media.call_id == call_id and (media.stranded or not self._is_here(old))
        ]
        bases = [base for old in left for base in (old, *self._media[old].bases)]
        self._media[port] = _MediaPort(call_id)
        for server in self._servers:
            self._start(port, self._reach(port, server, bases))

    def closed(self, port: LocalPort, *, gone: bool) -> None:
        """A media port closes now, with its network when that is `gone`: then what can follow the call waits for its
        next port. All else that was relayed for it is given back."""
        media = self._media.get(port)
        if media is None:
            return
        for task in media.tasks:
            task.cancel()
        if gone and any(self.relays.follows(base) for base in (port, *media.bases)):
            media.stranded = True
        else:
            self._release(port, media)

    def calls_are(self, call_ids: Collection[str]) -> None:
        """What waits for the next port of a call that is no more is given up."""
        over = [port for port, each in self._media.items() if each.stranded and each.call_id not in call_ids]
        for port in over:
            self._release(port, self._media[port])

    def _release(self, port: LocalPort, media: _MediaPort) -> None:
        now = self._loop.time()
        media.stranded = False
        for base in (port, *media.bases):
            self._moving.pop(base, None)
            self.relays.close(base, now)
            self._settle()
            connection = self._streams.pop(base, None)
            if connection is not None:
                connection.close()
        del self._media[port]

    def close(self) -> None:
        for port in list(self._media):
            self.closed(port, gone=False)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # The packet path

    def send(self, path: Path, octets: bytes) -> None:
        """By a relayed path."""
        datagrams = self.relays.wrap(path, octets, self._loop.time())
        for outer, wrapped in datagrams:
            self._transmit(outer, wrapped)
        if len(datagrams) > 1:  # a request, which wants a timer
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
        tasks = self._media[port].tasks
        task = self._loop.create_task(work)
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    async def _reach(self, port: LocalPort, server: RelayServer, before: Sequence[LocalPort]) -> None:
        """Find the server and ask it. `before`: bases that were left."""
        try:
            resolver, place = self._resolver(port.interface), server.place
            found = await find_server(resolver, place, port.address.family)
            await self._ask(port, server, found[0], place.host, before=before)
        except SegueError as error:
            self._tell(RelayFailed(server, port, str(error)))

    async def _ask(
        self,
        port: LocalPort,
        server: RelayServer,
        address: Address,
        name: str,
        *,
        redirected: int = 0,
        before: Sequence[LocalPort] = (),
    ) -> None:
        base = port
        if server.transport != "udp":
            base = await self._connect(port, server, address, name)
        path, now = Path(*base, address), self._loop.time()
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
        self._media[port].bases.append(base)
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
            call_id = self._call_of(path.port)
            if found is not None and found[0] != path and call_id is not None:
                self._deliver(call_id, *found, now)
        self._settle()

    def _stream_lost(self, base: LocalPort, why: str) -> None:
        self._streams.pop(base, None)
        self.relays.lost(base, f"the connection to the relay broke: {why}")
        if (moving := self._moving.pop(base, None)) is not None:  # then not with the address it had
            port, server = moving
            self._start(port, self._reach(port, server, ()))
        self._settle()

    def _redirect(self, wanted: StreamWanted) -> None:
        port = self.media_port(wanted.base)
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
            self._tell(RelayFailed(wanted.server, port, str(error)))

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
                        self._tell(event)
                if not (transmits or events):
                    break
        finally:
            self._settling = False
        self._arm()

    def _tell(self, event: RelayEvent) -> None:
        if isinstance(event, RelayedPort | RelayedPortMoved):
            self._moving.pop(event.base, None)
        call_id = self._call_of(event.base)
        if call_id is not None:
            self._on_event(call_id, event)
            self._tidy(call_id)

    def _tidy(self, call_id: str) -> None:
        """What was stranded and has moved, or never will, is forgotten."""
        for port, media in list(self._media.items()):
            waits = any(self.relays.follows(base) for base in (port, *media.bases))
            if media.stranded and media.call_id == call_id and not waits:
                self._release(port, media)

    def media_port(self, base: LocalPort) -> LocalPort | None:
        """The one that a base is, or is a stream for."""
        return next((port for port, each in self._media.items() if base == port or base in each.bases), None)

    def _call_of(self, base: LocalPort) -> str | None:
        port = self.media_port(base)
        return None if port is None else self._media[port].call_id

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
