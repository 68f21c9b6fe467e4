"""TLS 1.2 and 1.3 over our streams: OpenSSL between memory buffers (asyncio's own TLS cannot resume a session).

A client remembers sessions by the name it verified; neither they nor connections are ever used for another name
(CVE-2020-15260). Names are judged by `certificate_names` (RFC 5922), not by OpenSSL. There is no way to turn a check
off, no early data (replayable), no renegotiation, nothing older than TLS 1.2 (RFC 8996).
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Callable

from segue.base.address import Address
from segue.base.errors import LocalError, RemoteError, SegueError
from segue.base.trace import NO_TRACE, Trace
from segue.net.certificate_names import certificate_names, is_current, matches
from segue.net.tcp import (
    CONNECT_TIMEOUT,
    CONNECTIONS,
    Listener,
    OnClosed,
    OnOctets,
    StreamConnection,
    connect_tcp,
    listen_tcp,
    nothing,
)
from segue.net.tls_context import TlsOptions, refusal, tls_context

__all__ = ["TlsClient", "TlsConnection", "TlsOptions", "listen_tls"]

HANDSHAKE_TIMEOUT = 10.0  # seconds a client may take with its handshake
SESSIONS = 64  # names a client remembers sessions of
_READ = 1 << 16


class TlsConnection:
    """A stream whose handshake is done; has the face of `StreamConnection`.

    `name`: the domain verified (client) or empty (server). `peer_names`: SIP domain identities of the peer's
    certificate, empty when it gave none. `version`: "TLSv1.3". `resumed`: no certificates were exchanged.
    """

    def __init__(
        self, stream: StreamConnection, context: ssl.SSLContext, name: str, session: ssl.SSLSession | None
    ) -> None:
        self.name = name
        self.peer_names: list[str] = []
        self.version = ""
        self.resumed = False
        self.on_octets: OnOctets = nothing
        self.on_closed: OnClosed = nothing
        self._stream = stream
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._ssl = context.wrap_bio(
            self._incoming,
            self._outgoing,
            server_side=not name,
            server_hostname=name or None,
            session=session,
        )
        self._verified = False
        self._begun = False  # reading
        self._on_ready: Callable[[SegueError | None], object] = nothing
        self._on_session: Callable[[ssl.SSLSession], object] = nothing
        stream.on_octets = self._receive
        stream.on_closed = self._lost

    @property
    def local(self) -> Address:
        return self._stream.local

    @property
    def remote(self) -> Address:
        return self._stream.remote

    @property
    def interface(self) -> str:
        return self._stream.interface

    @property
    def is_open(self) -> bool:
        return self._verified and self._stream.is_open

    def write(self, octets: bytes) -> bool:
        """As `StreamConnection.write`."""
        if not self.is_open:
            return False
        try:
            self._ssl.write(octets)
        except ssl.SSLError as error:
            self._broken(error)
            return False
        return self._flush()

    def close(self) -> None:
        """Says goodbye to the peer (close_notify). Harmless when closed already."""
        if not self._stream.is_open:
            return
        if self._verified:
            try:
                self._ssl.unwrap()
            except ssl.SSLError:
                pass  # it wants the peer's goodbye, for which nobody waits
        self._flush()
        self._stream.close()
        self._forget()

    def _forget(self) -> None:
        """As `StreamConnection` does: who is called may hold us."""
        self.on_octets = self.on_closed = self._on_session = nothing

    def start(
        self, on_ready: Callable[[SegueError | None], object], on_session: Callable[[ssl.SSLSession], object]
    ) -> None:
        """Begin the handshake; `on_ready` gets None, or why there is no connection. For this module."""
        self._on_ready, self._on_session = on_ready, on_session
        self._shake()
        self._flush()

    def give_up(self, problem: SegueError) -> None:
        """The handshake ends without a connection."""
        on_ready, self._on_ready = self._on_ready, nothing
        self._flush()  # the alert that says why
        self._stream.close()
        self._forget()
        on_ready(problem)

    def _flush(self) -> bool:
        return not self._outgoing.pending or self._stream.write(self._outgoing.read())

    def _receive(self, octets: bytes, now: float) -> None:
        self._incoming.write(octets)
        if self._begun:
            self._read(now)
        elif self._verified:
            pass  # `_begin` comes and reads it
        elif self._shake():
            # Its owner's turn is next. What it writes at once leaves in one segment with the handshake's end.
            asyncio.get_running_loop().call_soon(self._begin, now)
        else:
            self._flush()

    def _begin(self, now: float) -> None:
        self._begun = True
        self._flush()
        self._read(now)

    def _shake(self) -> bool:
        """Whether the handshake is done and the peer is who it should be."""
        try:
            self._ssl.do_handshake()
        except ssl.SSLWantReadError:
            return False
        except ssl.SSLError as error:
            self.give_up(refusal(error, self.name or str(self.remote)))
            return False
        problem = self._identify()
        if problem is not None:
            self.give_up(problem)
            return False
        self._verified = True
        self.version = self._ssl.version() or ""
        self.resumed = bool(self._ssl.session_reused)
        on_ready, self._on_ready = self._on_ready, nothing
        on_ready(None)
        return True

    def _identify(self) -> SegueError | None:
        der = self._ssl.getpeercert(binary_form=True)
        self.peer_names = certificate_names(der) if der else []
        if der and not is_current(der, time.time()):
            return RemoteError(f"the certificate of {self.name or self.remote} is not valid at this time")
        if self.name and not matches(self.peer_names, self.name):
            others = ", ".join(self.peer_names[:4]) or "no SIP domain"
            return RemoteError(f"the server is not {self.name}: its certificate is for {others}")
        return None

    def _read(self, now: float) -> None:
        heard = False
        while self._stream.is_open:
            try:
                octets = self._ssl.read(_READ)
            except ssl.SSLWantReadError:
                break
            except ssl.SSLError as error:
                self._broken(error)
                return
            if not octets:
                self._over("the peer closed the connection")
                return
            heard = True
            self.on_octets(octets, now)
        if self._stream.is_open:
            if heard:
                self._tell_session()
            if self._outgoing.pending and self._incoming.pending == 0:
                self._flush()

    def _tell_session(self) -> None:
        """Once, with the first octets: the tickets of TLS 1.3 come before them. CPython 3.11 never gives back the
        6 kB of a session that was asked for, and a call asks with every answer to its keep-alives."""
        on_session, self._on_session = self._on_session, nothing
        if on_session is not nothing and (session := self._ssl.session) is not None:
            on_session(session)

    def _broken(self, error: ssl.SSLError) -> None:
        if isinstance(error, ssl.SSLZeroReturnError):
            self._over("the peer closed the connection")
        else:
            self._over(str(refusal(error, self.name or str(self.remote))))

    def _over(self, reason: str) -> None:
        self._flush()
        self._stream.close()
        asyncio.get_running_loop().call_soon(self._lost, reason)

    def _lost(self, reason: str) -> None:
        if self._verified:
            on_closed = self.on_closed
            self._forget()
            on_closed(reason)
        else:
            self.give_up(RemoteError(f"{self.remote} broke the handshake off: {reason}"))


class TlsClient:
    """Opens TLS connections and remembers their sessions. Raises LocalError when the options' files are unfit."""

    def __init__(self, options: TlsOptions) -> None:
        self._context = tls_context(ssl.PROTOCOL_TLS_CLIENT, options)
        self._context.verify_mode = ssl.CERT_REQUIRED
        self._sessions: dict[str, ssl.SSLSession] = {}  # least recently used first

    async def connect(
        self,
        remote: Address,
        name: str,
        local_host: str = "",
        interface: str = "",
        *,
        on_octets: OnOctets = nothing,
        on_closed: OnClosed = nothing,
        dscp: int = 0,
        timeout: float = CONNECT_TIMEOUT,
    ) -> TlsConnection:
        """A connection to `remote`, which has proven to be `name`. Raises LocalError, RemoteError.

        What is written before this coroutine's caller waits again leaves with the handshake's last message. In
        TLS 1.3 a server that misses a certificate of ours says so later, by `on_closed`.
        """
        name = name.rstrip(".").lower()
        if not name:
            raise LocalError("TLS needs the name of the server", "give its domain")
        loop = asyncio.get_running_loop()
        begin = loop.time()
        stream = await connect_tcp(remote, local_host, interface, dscp=dscp, timeout=timeout)
        ready: asyncio.Future[SegueError | None] = loop.create_future()
        try:
            connection = TlsConnection(stream, self._context, name, self._sessions.get(name))
        except (ValueError, UnicodeError):
            stream.close()
            raise LocalError(
                f"{name!r} is no domain that TLS could verify", "give the server's domain"
            ) from None
        connection.on_octets, connection.on_closed = on_octets, on_closed
        connection.start(_settle(ready), lambda session: self._remember(name, session))
        try:
            async with asyncio.timeout(max(0.0, begin + timeout - loop.time())):
                problem = await ready
        except TimeoutError:
            stream.close()
            raise RemoteError(f"{remote} does not finish the TLS handshake") from None
        except BaseException:
            stream.close()
            raise
        if problem is not None:
            self._sessions.pop(name, None)
            raise problem
        return connection

    def forget(self) -> None:
        """The next connection to each name is a whole handshake."""
        self._sessions.clear()

    def _remember(self, name: str, session: ssl.SSLSession) -> None:
        # Without a ticket a TLS 1.2 server may know the session by its number; in TLS 1.3 none is.
        if (session.has_ticket or session.id) and self._sessions.get(name) != session:
            self._sessions.pop(name, None)
            self._sessions[name] = session
            if len(self._sessions) > SESSIONS:
                del self._sessions[next(iter(self._sessions))]


def _settle(ready: asyncio.Future[SegueError | None]) -> Callable[[SegueError | None], None]:
    def settle(problem: SegueError | None) -> None:
        if not ready.done():
            ready.set_result(problem)

    return settle


def listen_tls(
    local: Address,
    interface: str,
    on_connection: Callable[[TlsConnection], object],
    options: TlsOptions,
    *,
    dscp: int = 0,
    limit: int = CONNECTIONS,
    limit_of_one: int = CONNECTIONS,
    trace: Trace = NO_TRACE,
) -> Listener:
    """As `listen_tcp`; `on_connection` gets those whose handshake is done, the limits count the others too. Raises
    LocalError."""
    if not options.certificate_file:
        raise LocalError("a TLS server needs a certificate", "give one with --cert and --key")
    context = tls_context(ssl.PROTOCOL_TLS_SERVER, options)
    context.verify_mode = {
        "none": ssl.CERT_NONE,
        "wanted": ssl.CERT_OPTIONAL,
        "required": ssl.CERT_REQUIRED,
    }[options.client_certificates]
    context.num_tickets = 1

    def take(stream: StreamConnection) -> None:
        connection = TlsConnection(stream, context, "", None)

        def ready(problem: SegueError | None) -> None:
            timer.cancel()
            if problem is None:
                on_connection(connection)
            else:
                trace.drop("tls", "handshake failed", remote=stream.remote, problem=str(problem))

        loop = asyncio.get_running_loop()
        timer = loop.call_later(
            HANDSHAKE_TIMEOUT, connection.give_up, RemoteError("the handshake took too long")
        )
        connection.start(ready, nothing)

    return listen_tcp(local, interface, take, dscp=dscp, limit=limit, limit_of_one=limit_of_one, trace=trace)
