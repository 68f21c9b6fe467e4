"""The server on asyncio: listening sockets, connections, the database (the shell around `core`)."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import ssl
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import cast

from segue.base.address import Address
from segue.base.errors import LocalError
from segue.base.secret import Secret
from segue.base.trace import NO_TRACE, Trace
from segue.net.clock import MonotonicClock
from segue.net.driver import Driver
from segue.net.entropy import SystemEntropy
from segue.net.udp import UdpSocket
from segue.protocols.sip.flow import Flow
from segue.server.authentication import Hashes
from segue.server.certificate import tls_context
from segue.server.config import Listen, ServerConfig
from segue.server.core import CloseFlow, ServerCore
from segue.server.store import Store, changes_of

CONNECTIONS = 5000  # at once
CONNECTIONS_OF_ONE = 200  # from one address
UNSENT = 1 << 20  # octets that wait for a slow reader before its connection is closed
RELOAD = 2.0  # seconds between looks whether users were added


class Server:
    """`async with Server(config) as server:` runs it; `server.port("UDP")` is where. Raises LocalError for what
    the user must change."""

    def __init__(self, config: ServerConfig, *, trace: Trace = NO_TRACE) -> None:
        self.config = config
        self.store = Store(config.database)
        self._trace = trace
        self._users: dict[str, Hashes] = self.store.users(config.domain.lower())
        self._writer = ThreadPoolExecutor(1, "segue-store")
        self._sockets: list[UdpSocket] = []
        self._udp: dict[Address, UdpSocket] = {}
        self._listeners: list[tuple[str, asyncio.Server]] = []
        self._connections: dict[Flow, _Connection] = {}
        self._sources: dict[str, int] = {}
        self._serial = 0
        self._saving: asyncio.Task[None] | None = None
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Server:
        try:
            await self._start()
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def port(self, transport: str) -> int:
        """The port of the first listener of this transport."""
        if transport.upper() == "UDP":
            return self._sockets[0].local.port
        server = next(server for name, server in self._listeners if name == transport.upper())
        return int(server.sockets[0].getsockname()[1])

    def places(self) -> list[str]:
        """Where it listens, a line for each socket."""
        lines = [f"udp:{socket.local}" for socket in self._sockets]
        for name, server in self._listeners:
            lines += [f"{name.lower()}:{Address(*one.getsockname()[:2])}" for one in server.sockets]
        return [f"listening on {line}" for line in lines]

    async def _start(self) -> None:
        clock, entropy = MonotonicClock(), SystemEntropy()
        self._offset = clock.wall() - clock.now()
        context = tls_context(self.config) if any(x.transport == "TLS" for x in self.config.listens) else None
        key = Secret(self.store.fact("flow token key", entropy.octets(32)))
        self.core = ServerCore(self.config, self._users, key, entropy, trace=self._trace)
        self.core.restore(self.store.bindings(clock.wall(), self._offset), clock.now())
        self._driver: Driver[bytes, Flow, tuple[Flow, bytes], CloseFlow]
        self._driver = Driver(self.core, self._transmit, self._close_flow)
        for listen in self.config.listens:
            if listen.transport == "UDP":
                self._listen_udp(listen)
            else:
                await self._listen_stream(listen, context if listen.transport == "TLS" else None)
        self._tasks.append(asyncio.create_task(self._reload()))

    # UDP

    def _listen_udp(self, listen: Listen) -> None:
        def receive(octets: bytes, source: Address, now: float) -> None:
            self.core.receive(octets, Flow("UDP", local, source), now)
            self._driver.settle()
            self._save()

        socket = UdpSocket(listen.address, on_datagram=receive)
        local = socket.local
        self._sockets.append(socket)
        self._udp[local] = socket
        self.core.proxy.names.learn(local)

    def _socket_for(self, flow: Flow) -> UdpSocket | None:
        """The socket of a flow; of one from before a restart, that of the same address family."""
        socket = self._udp.get(flow.local)
        if socket is None:
            family = flow.remote.family
            socket = next((one for one in self._sockets if one.local.family == family), None)
        return socket

    # Streams

    async def _listen_stream(self, listen: Listen, context: ssl.SSLContext | None) -> None:
        loop = asyncio.get_running_loop()
        try:
            server = await loop.create_server(
                lambda: _Connection(self, listen.transport),
                listen.address.host,
                listen.address.port,
                ssl=context,
                ssl_handshake_timeout=20 if context else None,
                backlog=256,
            )
        except OSError as error:
            raise LocalError(
                f"cannot listen on {listen.transport.lower()}:{listen.address} ({error.strerror})",
                "is another server running, or the port below 1024? give --listen another address",
            ) from None
        self._listeners.append((listen.transport, server))

    def connected(self, connection: _Connection, local: Address, remote: Address) -> Flow | None:
        """A connection's flow; None when there are too many."""
        of_one = self._sources.get(remote.host, 0)
        if len(self._connections) >= CONNECTIONS or of_one >= CONNECTIONS_OF_ONE:
            self._trace.drop("server", "too many connections")
            return None
        self._sources[remote.host] = of_one + 1
        self._serial += 1
        flow = Flow(connection.kind, local, remote, serial=self._serial)
        self._connections[flow] = connection
        self.core.opened(flow, self._driver.now())
        self._driver.settle()
        return flow

    def received(self, octets: bytes, flow: Flow) -> None:
        self.core.receive(octets, flow, self._driver.now())
        self._driver.settle()
        self._save()

    def disconnected(self, flow: Flow) -> None:
        if self._connections.pop(flow, None) is None:
            return
        left = self._sources[flow.remote.host] - 1
        if left:
            self._sources[flow.remote.host] = left
        else:
            del self._sources[flow.remote.host]
        self.core.closed(flow, self._driver.now())
        self._driver.settle()
        self._save()

    # The machine's wishes

    def _transmit(self, output: tuple[Flow, bytes]) -> None:
        flow, octets = output
        if flow.reliable:
            connection = self._connections.get(flow)
            if connection is not None:
                connection.send(octets)
            return
        socket = self._socket_for(flow)
        if socket is not None:
            socket.send(octets, flow.remote)

    def _close_flow(self, event: CloseFlow) -> None:
        connection = self._connections.get(event.flow)
        if connection is not None:
            connection.close()

    # The database

    def _save(self) -> None:
        """Save what changed, unless a commit is under way: what comes meanwhile is saved together, next."""
        if self._saving is None and (self.core.location.dirty or self.core.answers_wait):
            self._saving = asyncio.create_task(self._write())

    async def _write(self) -> None:
        loop = asyncio.get_running_loop()
        while (batch := self.core.take_batch()) is not None:
            changes = changes_of(batch.dirty, self._offset)
            saved = True
            try:
                await loop.run_in_executor(self._writer, self.store.write, changes)
            except LocalError as error:
                self._trace.note("server", "not saved", problem=str(error))
                saved = False
            self.core.committed(batch, saved, self._driver.now())
            self._driver.settle()
        self._saving = None

    async def _reload(self) -> None:
        """Users added by `segue server user add` while we run."""
        loop = asyncio.get_running_loop()
        domain = self.config.domain.lower()
        version = await loop.run_in_executor(self._writer, self.store.users_version)
        while True:
            await asyncio.sleep(RELOAD)
            self._save()  # expiry alone makes changes too
            found = await loop.run_in_executor(self._writer, self.store.users_version)
            if found != version:
                version = found
                users = await loop.run_in_executor(self._writer, self.store.users, domain)
                self._users.clear()
                self._users.update(users)

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        for _, server in self._listeners:
            server.close()
        for connection in list(self._connections.values()):
            connection.abandon()
        if self._saving is not None:
            with contextlib.suppress(asyncio.CancelledError):
                await self._saving
        for socket in self._sockets:
            socket.close()
        if hasattr(self, "_driver"):
            self._driver.close()
        self._writer.shutdown()
        self.store.close()


class _Connection(asyncio.Protocol):
    """One TCP or TLS connection."""

    def __init__(self, server: Server, kind: str) -> None:
        self.kind = kind
        self._server = server
        self._flow: Flow | None = None
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(UNSENT)
        local, remote = transport.get_extra_info("sockname"), transport.get_extra_info("peername")
        if local is None or remote is None:
            self._transport.abort()
            return
        self._flow = self._server.connected(self, Address(*local[:2]), Address(*remote[:2]))
        if self._flow is None:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        if self._flow is not None:
            self._server.received(data, self._flow)

    def pause_writing(self) -> None:
        """A reader so slow has gone."""
        self.abandon()

    def connection_lost(self, _: Exception | None) -> None:
        if self._flow is not None:
            flow, self._flow = self._flow, None
            self._server.disconnected(flow)

    def send(self, octets: bytes) -> None:
        if self._transport is not None:
            self._transport.write(octets)

    def close(self) -> None:
        """After what is to be sent."""
        if self._transport is not None:
            self._transport.close()

    def abandon(self) -> None:
        if self._transport is not None:
            self._transport.abort()


async def run_server(
    config: ServerConfig,
    *,
    trace: Trace = NO_TRACE,
    on_ready: Callable[[list[str]], object] | None = None,
) -> None:
    """Run until SIGINT or SIGTERM. `on_ready` gets lines that say where it listens."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with Server(config, trace=trace) as server:
        if on_ready is not None:
            on_ready(server.places())
        await stop.wait()
