"""Streams on raw sockets and the event loop's readiness.

A connection that cannot deliver for `USER_TIMEOUT` is dead (TCP_USER_TIMEOUT); one whose peer does not read is dead
when `WRITE_LIMIT` octets wait. There is no TCP keep-alive: SIP has its own (RFC 5626 section 3.5.1).
"""

from __future__ import annotations

import asyncio
import errno
import socket
import time
from collections import Counter
from collections.abc import Callable
from functools import partial

from segue.base.address import Address, source_key
from segue.base.errors import LocalError, RemoteError, SegueError
from segue.base.trace import NO_TRACE, Trace
from segue.net.sockets import address_of, explain, local_address, open_socket, socket_address, words

USER_TIMEOUT = 10.0  # seconds that sent data may stay unacknowledged
CONNECT_TIMEOUT = 5.0
WRITE_LIMIT = 1 << 18  # octets that wait to be sent
SILENT_LIMIT = 32.0  # seconds: who connects to us and says nothing that long goes (64*T1 of RFC 3261)
CONNECTIONS = 4096  # of one listener
_READ = 1 << 16
_ACCEPTS = 64  # a wake-up
_PAUSE = 0.2  # seconds without accepting when file descriptors have run out

OnOctets = Callable[[bytes, float], None]
"""Octets as they came, and when: seconds on the monotonic scale."""
OnClosed = Callable[[str], None]
"""Why: one line. Called once, and not when we closed it ourselves."""


def nothing(*_: object) -> None:
    """The callback of who does not care."""


class StreamConnection:
    """A connected TCP socket that is being read. `connect_tcp` and `listen_tcp` make them.

    `on_octets` and `on_closed` may be set anew at any time; neither is ever called from within `write` or `close`.
    """

    __slots__ = (
        "_closed",
        "_loop",
        "_silence",
        "_socket",
        "_waiting",
        "interface",
        "local",
        "on_closed",
        "on_ended",
        "on_octets",
        "remote",
    )

    def __init__(self, connected: socket.socket, remote: Address, interface: str) -> None:
        """Takes over `connected`; reading begins with the loop's next turn, so that callbacks can be set."""
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(USER_TIMEOUT * 1000))
        self._socket = connected
        self.local = local_address(connected)
        self.remote = remote
        self.interface = interface
        self.on_octets: OnOctets = nothing
        self.on_closed: OnClosed = nothing
        self.on_ended: Callable[[], object] = nothing  # for the listener's books: closed by whomever
        self._waiting = bytearray()
        self._closed = False
        self._silence: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(connected.fileno(), self._readable)

    @property
    def is_open(self) -> bool:
        return not self._closed

    def write(self, octets: bytes) -> bool:
        """Send now, or when the peer has read more. False when the connection is closed, or with this write failed
        (`on_closed` follows)."""
        if self._closed:
            return False
        if not self._waiting:
            try:
                sent = self._socket.send(octets)
            except BlockingIOError:
                sent = 0
            except OSError as error:
                self._fail(words(error))
                return False
            if sent == len(octets):
                return True
            octets = octets[sent:]
            self._loop.add_writer(self._socket.fileno(), self._writable)
        self._waiting += octets
        if len(self._waiting) > WRITE_LIMIT:
            self._fail("the peer does not read what is sent to it")
            return False
        return True

    def close(self) -> None:
        """The kernel delivers what it has taken; what still waits here is lost. Harmless when closed already."""
        if not self._closed:
            self._shut()
            self.on_closed = nothing

    def _shut(self) -> None:
        self._closed = True
        # Whose callback it is may hold us: the two are to go now, and not when garbage is collected, which during
        # a call it hardly is.
        self.on_octets = nothing
        if self._silence is not None:
            self._silence.cancel()
        self._loop.remove_reader(self._socket.fileno())
        if self._waiting:
            self._loop.remove_writer(self._socket.fileno())
            self._waiting.clear()
        self._socket.close()
        on_ended, self.on_ended = self.on_ended, nothing
        on_ended()

    def limit_silence(self, seconds: float) -> None:
        """Close when nothing at all has come within `seconds`."""
        self._silence = self._loop.call_later(seconds, self._silent)

    def _silent(self) -> None:
        self._fail("the peer said nothing")

    def _fail(self, reason: str) -> None:
        if not self._closed:
            self._shut()
            self._loop.call_soon(self._tell_closed, reason)

    def _tell_closed(self, reason: str) -> None:
        on_closed, self.on_closed = self.on_closed, nothing
        on_closed(reason)

    def _readable(self) -> None:
        try:
            octets = self._socket.recv(_READ)
        except BlockingIOError:
            return
        except OSError as error:
            self._fail(words(error))
            return
        if not octets:
            self._fail("the peer closed the connection")
            return
        if self._silence is not None:
            self._silence.cancel()
            self._silence = None
        self.on_octets(octets, time.monotonic())

    def _writable(self) -> None:
        try:
            sent = self._socket.send(self._waiting)
        except BlockingIOError:
            return
        except OSError as error:
            self._fail(words(error))
            return
        del self._waiting[:sent]
        if not self._waiting:
            self._loop.remove_writer(self._socket.fileno())


async def connect_tcp(
    remote: Address,
    local_host: str = "",
    interface: str = "",
    *,
    on_octets: OnOctets = nothing,
    on_closed: OnClosed = nothing,
    dscp: int = 0,
    timeout: float = CONNECT_TIMEOUT,
) -> StreamConnection:
    """Raises LocalError when nothing could be sent from here, RemoteError when nobody takes the connection."""
    local = Address(local_host or ("::" if remote.family == 6 else "0.0.0.0"), 0)
    opened = open_socket(socket.SOCK_STREAM, local, interface, dscp)
    try:
        async with asyncio.timeout(timeout):
            await asyncio.get_running_loop().sock_connect(opened, socket_address(remote, interface))
        connection = StreamConnection(opened, remote, interface)
    except OSError as error:  # TimeoutError is one
        opened.close()
        raise _unconnected(error, remote, interface) from None
    except BaseException:
        opened.close()
        raise
    connection.on_octets, connection.on_closed = on_octets, on_closed
    return connection


def _unconnected(error: OSError, remote: Address, interface: str) -> SegueError:
    if isinstance(error, TimeoutError) or error.errno == errno.ETIMEDOUT:
        return RemoteError(f"{remote} does not answer")
    if error.errno == errno.ECONNREFUSED:
        return RemoteError(f"{remote} takes no connections")
    if error.errno == errno.ECONNRESET:
        return RemoteError(f"{remote} broke the connection off")
    way = f" over {interface}" if interface else ""
    if error.errno in (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN):
        return LocalError(
            f"there is no way to {remote}{way}", "see `ip route`, and whether the network is up"
        )
    return LocalError(f"cannot connect to {remote}{way}", words(error))


class Listener:
    """Takes connections until closed; those taken stay open. `.local` says which port it is."""

    def __init__(
        self,
        local: Address,
        interface: str,
        on_connection: Callable[[StreamConnection], object],
        *,
        dscp: int = 0,
        limit: int = CONNECTIONS,
        limit_of_one: int = CONNECTIONS,
        trace: Trace = NO_TRACE,
    ) -> None:
        self._socket = open_socket(socket.SOCK_STREAM, local, interface, dscp, reuse=True)
        self._on_connection = on_connection
        self._limit = limit
        self._limit_of_one = limit_of_one
        self._by_source: Counter[str] = Counter()  # of `count`
        self._trace = trace
        self._loop = asyncio.get_running_loop()
        self._closed = False
        self.interface = interface
        self.count = 0  # connections that are open
        try:
            self._socket.listen(128)
        except OSError as error:
            self._socket.close()
            raise explain(error, local, interface) from None
        self.local = local_address(self._socket)
        self._watch()

    def close(self) -> None:
        """Harmless when closed already."""
        if not self._closed:
            self._closed = True
            self._loop.remove_reader(self._socket.fileno())
            self._socket.close()

    def _watch(self) -> None:
        if not self._closed:
            self._loop.add_reader(self._socket.fileno(), self._acceptable)

    def _acceptable(self) -> None:
        for _ in range(_ACCEPTS):
            try:
                connected, raw = self._socket.accept()
            except BlockingIOError:
                return
            except OSError as error:
                self._trace.drop("tcp", words(error), local=self.local)
                if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
                    self._loop.remove_reader(self._socket.fileno())
                    self._loop.call_later(_PAUSE, self._watch)
                    return
                continue
            self._take(connected, address_of(raw))
            if self._closed:
                return

    def _take(self, connected: socket.socket, remote: Address) -> None:
        source = source_key(remote.host)
        crowded = self._by_source[source] >= self._limit_of_one
        if crowded or self.count >= self._limit:
            reason = "too many connections from one source" if crowded else "too many connections"
            self._trace.drop("tcp", reason, remote=remote, local=self.local)
            connected.close()
            return
        connected.setblocking(False)
        try:
            connection = StreamConnection(connected, remote, self.interface)
        except OSError as error:  # gone again already
            self._trace.drop("tcp", words(error), remote=remote, local=self.local)
            connected.close()
            return
        self.count += 1
        self._by_source[source] += 1
        connection.on_ended = partial(self._ended, source)
        connection.limit_silence(SILENT_LIMIT)
        self._on_connection(connection)

    def _ended(self, source: str) -> None:
        self.count -= 1
        self._by_source[source] -= 1
        if not self._by_source[source]:
            del self._by_source[source]


def listen_tcp(
    local: Address,
    interface: str,
    on_connection: Callable[[StreamConnection], object],
    *,
    dscp: int = 0,
    limit: int = CONNECTIONS,
    limit_of_one: int = CONNECTIONS,
    trace: Trace = NO_TRACE,
) -> Listener:
    """Give each new connection to `on_connection`, which sets its callbacks. Beyond `limit` open ones, and
    `limit_of_one` from one source (`base.address.source_key`), new ones are closed at once. Raises LocalError when it
    cannot listen."""
    return Listener(
        local, interface, on_connection, dscp=dscp, limit=limit, limit_of_one=limit_of_one, trace=trace
    )
