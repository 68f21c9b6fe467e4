"""The server on asyncio: listening sockets, connections, the database (the shell around `core`)."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from segue.base.address import Address
from segue.base.errors import LocalError
from segue.base.secret import Secret
from segue.base.trace import NO_TRACE, Trace
from segue.net.clock import MonotonicClock
from segue.net.driver import Driver
from segue.net.entropy import SystemEntropy
from segue.net.sockets import CLASS_SELECTOR_5
from segue.net.tcp import Listener, StreamConnection, listen_tcp
from segue.net.tls import TlsConnection, listen_tls
from segue.net.tls_context import TlsOptions
from segue.net.udp import UdpSocket
from segue.protocols.sip.flow import Flow
from segue.server.authentication import Hashes
from segue.server.certificate import check_certificate
from segue.server.config import Listen, ServerConfig
from segue.server.core import CloseFlow, ServerCore
from segue.server.store import Store, changes_of

CONNECTIONS = 5000  # at once of each listener, handshakes under way included
BUFFER = (
    4 << 20
)  # octets that may come by UDP while a commit is on its way to the disk; the kernel may give less
CONNECTIONS_OF_ONE = 200  # of those from one source
RELOAD = 2.0  # seconds between looks whether users were added

Connection = StreamConnection | TlsConnection


class Server:
    """`async with Server(config) as server:` runs it; `server.port("UDP")` is where. Raises LocalError for what
    the user must change; `on_problem` gets what turns out while it runs."""

    def __init__(
        self,
        config: ServerConfig,
        *,
        trace: Trace = NO_TRACE,
        on_problem: Callable[[LocalError], object] = lambda _: None,
    ) -> None:
        self.config = config
        self._on_problem = on_problem
        self.store = Store(config.database)
        self._trace = trace
        self._users: dict[str, Hashes] = self.store.users(config.domain.lower())
        self._writer = ThreadPoolExecutor(1, "segue-store")
        self._sockets: list[UdpSocket] = []
        self._udp: dict[Address, UdpSocket] = {}
        self._stun: list[UdpSocket] = []
        self._listeners: list[tuple[str, Listener]] = []
        self._connections: dict[Flow, Connection] = {}
        self._serial = 0
        self._users_version = self.store.users_version()
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
        if transport.upper() in ("UDP", "STUN"):
            return (self._sockets if transport.upper() == "UDP" else self._stun)[0].local.port
        return next(one.local.port for name, one in self._listeners if name == transport.upper())

    def places(self) -> list[str]:
        """Where it listens, a line for each socket."""
        places = [f"udp:{socket.local}" for socket in self._sockets]
        places += [f"{name.lower()}:{listener.local}" for name, listener in self._listeners]
        places += [f"stun:{socket.local}" for socket in self._stun]
        return [f"listening on {place}" for place in places]

    async def _start(self) -> None:
        clock, entropy = MonotonicClock(), SystemEntropy()
        self._offset = clock.wall() - clock.now()
        if any(listen.transport == "TLS" for listen in self.config.listens):
            check_certificate(self.config, clock.wall())
        key = Secret(self.store.fact("flow token key", entropy.octets(32)))
        self.core = ServerCore(self.config, self._users, key, entropy, trace=self._trace)
        self.core.restore(self.store.bindings(clock.wall(), self._offset), clock.now())
        self._driver: Driver[bytes, Flow, tuple[Flow, bytes], CloseFlow]
        self._driver = Driver(self.core, self._transmit, self._close_flow)
        for listen in self.config.listens:
            self._listen(listen)
        self._tasks.append(asyncio.create_task(self._watch()))

    def _listen(self, listen: Listen) -> None:
        try:
            if listen.transport == "UDP":
                self._listen_udp(listen)
            elif listen.transport == "STUN":
                self._listen_stun(listen)
            else:
                self._listen_stream(listen)
        except LocalError as error:
            others = any(x.transport == listen.transport and x != listen for x in self.config.listens)
            if others and listen.address.family == 6 and "has no IPv6" in error.problem:
                self._trace.note("server", "no IPv6 here")
                return
            place = f"{listen.transport.lower()}:{listen.address}"
            raise LocalError(f"cannot listen on {place}, {error.problem}", "see --listen") from None

    # UDP

    def _listen_udp(self, listen: Listen) -> None:
        def receive(octets: bytes, source: Address, now: float) -> None:
            self._receive(octets, Flow("UDP", local, source), now)

        socket = UdpSocket(
            listen.address, on_datagram=receive, dscp=CLASS_SELECTOR_5, buffer=BUFFER, trace=self._trace
        )
        local = socket.local
        self._sockets.append(socket)
        self._udp[local] = socket
        self.core.proxy.names.learn(local)

    def _listen_stun(self, listen: Listen) -> None:
        def receive(octets: bytes, source: Address, now: float) -> None:
            answer = self.core.stun.answer(octets, source, now)
            if answer is not None:
                socket.send(answer, source)

        socket = UdpSocket(listen.address, on_datagram=receive, buffer=BUFFER, trace=self._trace)
        self._stun.append(socket)

    def _socket_for(self, flow: Flow) -> UdpSocket | None:
        """The socket of a flow; of one from before a restart, that of the same address family."""
        socket = self._udp.get(flow.local)
        if socket is None:
            family = flow.remote.family
            socket = next((one for one in self._sockets if one.local.family == family), None)
        return socket

    # Streams

    def _listen_stream(self, listen: Listen) -> None:
        def take(connection: Connection) -> None:
            self._connected(listen.transport, connection)

        if listen.transport == "TLS":
            options = TlsOptions(certificate_file=self.config.certificate, key_file=self.config.key)
            open_listener = partial(listen_tls, listen.address, "", take, options)
        else:
            open_listener = partial(listen_tcp, listen.address, "", take)
        listener = open_listener(
            dscp=CLASS_SELECTOR_5, limit=CONNECTIONS, limit_of_one=CONNECTIONS_OF_ONE, trace=self._trace
        )
        self._listeners.append((listen.transport, listener))
        self.core.proxy.names.learn(listener.local)

    def _connected(self, transport: str, connection: Connection) -> None:
        self._serial += 1
        flow = Flow(transport, connection.local, connection.remote, serial=self._serial)
        self._connections[flow] = connection
        connection.on_octets = lambda octets, now: self._receive(octets, flow, now)
        connection.on_closed = lambda _: self._disconnected(flow)
        self.core.opened(flow, self._driver.now())
        self._driver.settle()

    def _disconnected(self, flow: Flow) -> None:
        if self._connections.pop(flow, None) is None:
            return
        self.core.closed(flow, self._driver.now())
        self._driver.settle()
        self._save()

    def _receive(self, octets: bytes, flow: Flow, now: float) -> None:
        self.core.receive(octets, flow, now)
        self._driver.settle()
        self._save()

    # The machine's wishes

    def _transmit(self, output: tuple[Flow, bytes]) -> None:
        flow, octets = output
        if flow.reliable:
            connection = self._connections.get(flow)
            if connection is not None:
                connection.write(octets)
            return
        socket = self._socket_for(flow)
        if socket is not None:
            socket.send(octets, flow.remote)

    def _close_flow(self, event: CloseFlow) -> None:
        connection = self._connections.get(event.flow)
        if connection is not None:
            connection.close()
            self._disconnected(event.flow)

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
                saved = False
                self._on_problem(error)
            self.core.committed(batch, saved, self._driver.now())
            self._driver.settle()
        self._saving = None

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(RELOAD)
            self._save()  # expiry alone makes changes too
            await self.reload()

    async def reload(self) -> None:
        """Learn of users added or removed by `segue server user` since."""
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(self._writer, self.store.users_version)
        if found != self._users_version:
            self._users_version = found
            users = await loop.run_in_executor(self._writer, self.store.users, self.config.domain.lower())
            self.core.set_users(users)
            self._save()

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        for _, listener in self._listeners:
            listener.close()
        for connection in self._connections.values():
            connection.close()
        if self._saving is not None:
            with contextlib.suppress(asyncio.CancelledError):
                await self._saving
        for socket in (*self._sockets, *self._stun):
            socket.close()
        if hasattr(self, "_driver"):
            self._driver.close()
        self._writer.shutdown()
        self.store.close()


async def run_server(
    config: ServerConfig,
    *,
    trace: Trace = NO_TRACE,
    on_ready: Callable[[list[str]], object] = lambda _: None,
    on_problem: Callable[[LocalError], object] = lambda _: None,
) -> None:
    """Run until SIGINT or SIGTERM. `on_ready` gets lines that say where it listens; see `Server` for
    `on_problem`."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with Server(config, trace=trace, on_problem=on_problem) as server:
        on_ready(server.places())
        await stop.wait()
