"""The hands of a phone's signalling: finds servers, opens flows, and carries SIP messages on them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segue.base.address import Address
from segue.base.entropy import Entropy
from segue.base.errors import LocalError, RemoteError, SegueError
from segue.base.trace import NO_TRACE, Trace
from segue.call.flows import CloseWanted, FlowEvent, LocateWanted, OpenWanted, Origin, PingWanted, Server
from segue.net.sockets import CLASS_SELECTOR_5
from segue.net.tcp import StreamConnection, connect_tcp
from segue.net.udp import UdpSocket
from segue.phone.config import Account, Networks
from segue.protocols.sip.flow import Flow
from segue.protocols.sip.framing import PING, PONG, Ping, Pong, StreamReader
from segue.protocols.sip.locate import Answer, Location, Naptr, Question, Srv
from segue.protocols.sip.message import Request, Response
from segue.protocols.sip.parser import MalformedMessage, parse_message
from segue.protocols.sip.uri import SipUri
from segue.protocols.stun.binding import binding_request, is_binding_response, mapped_address
from segue.protocols.stun.message import is_stun, parse_stun

if TYPE_CHECKING:
    from segue.net.dns import Record, Resolver
    from segue.net.tls import TlsClient, TlsConnection
    from segue.phone.user_agent import UserAgent

    Connection = StreamConnection | TlsConnection

BESIDE_PING = 20.0  # seconds between keep-alives on a stream beside datagrams

Watch = Callable[[str, Flow, Request | Response], None]
"""Told "sent" or "received" with each message, for whoever draws the sequence."""


class Signalling:
    """Carries out what `agent.flow_wishes()` asks for and what `agent.transmits()` gives; `settled` is called when
    something came in, so that the owner drains the agent."""

    def __init__(
        self,
        agent: UserAgent,
        account: Account,
        networks: Networks,
        entropy: Entropy,
        settled: Callable[[], None],
        *,
        local_port: int = 0,
        watch: Watch | None = None,
        trace: Trace = NO_TRACE,
    ) -> None:
        self._agent = agent
        self._account = account
        self._networks = networks
        self._entropy = entropy
        self._settled = settled
        self._local_port = local_port
        self._watch = watch
        self._trace = trace
        self._loop = asyncio.get_running_loop()
        self._target = _server_uri(account)
        self._serial = 0
        self._udp: dict[Origin, UdpSocket] = {}
        self._streams: dict[Flow, Connection] = {}
        self._waiting: dict[Flow, list[bytes]] = {}  # octets for streams that are being opened
        self._resolvers: dict[str, Resolver] = {}
        self._tls: TlsClient | None = None
        if account.transport == "tls":
            self._tls_client()  # what is wrong with its files is said at once
        self._tasks: set[asyncio.Task[None]] = set()
        self.problems: dict[
            str, SegueError
        ] = {}  # the latest that kept a flow from being opened, by interface

    def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        for connection in self._streams.values():
            connection.close()
        for socket in self._udp.values():
            socket.close()
        for resolver in self._resolvers.values():
            resolver.close()

    # What the agent wants

    def carry_out(self, wish: FlowEvent) -> None:
        if isinstance(wish, LocateWanted):
            self._locate(wish.origin)
        elif isinstance(wish, OpenWanted):
            self._open(wish.origin, wish.server)
        elif isinstance(wish, PingWanted):
            self.send(wish.flow, binding_request(wish.transaction).write() if wish.transaction else PING)
        elif isinstance(wish, CloseWanted):
            self._close(wish.flow)

    def send(self, flow: Flow, octets: bytes) -> None:
        if self._watch is not None and octets[:2] != b"\r\n" and not is_stun(octets):
            self._watch("sent", flow, parse_message(octets))
        connection = self._streams.get(flow)
        socket = self._udp.get(Origin(flow.interface, flow.local.host))
        if connection is not None:
            connection.write(octets)
        elif flow.reliable and socket is not None:
            self._send_beside(flow, octets)
        elif not flow.reliable and socket is not None:
            socket.send(octets, flow.remote)

    def _close(self, flow: Flow) -> None:
        connection = self._streams.pop(flow, None)
        if connection is not None:
            connection.close()
        if not flow.reliable:
            origin = Origin(flow.interface, flow.local.host)
            if (socket := self._udp.pop(origin, None)) is not None:
                socket.close()
            self._waiting.pop(flow.stream, None)
            self._close(flow.stream)

    # Servers (RFC 3263)

    def _locate(self, origin: Origin) -> None:
        transports = (self._account.transport.upper(),)
        search = Location(self._target, self._entropy, transports=transports, families=(origin.family,))
        self._search(origin, search)

    def _search(self, origin: Origin, search: Location) -> None:
        if search.places is not None:
            # RFC 5922 section 4: the server must prove the domain we asked for. An address proves nothing.
            name = self._account.domain if self._target.is_numeric else self._target.host
            servers = [Server(place.transport, place.address, name) for place in search.places]
            self._loop.call_soon(self._located, origin, servers)
            return
        for question in search.questions():
            self._ask(origin, search, question)

    def _ask(self, origin: Origin, search: Location, question: Question) -> None:
        resolver = self.resolver(origin.interface)

        def answered(records: list[Record], _problem: str) -> None:
            if search.places is None:
                search.receive(question, [_answer(record) for record in records])
                self._search(origin, search)

        resolver.ask(question.name, question.kind, answered)

    def _located(self, origin: Origin, servers: list[Server]) -> None:
        self._agent.located(origin, servers, self._loop.time())
        self._settled()

    def resolver(self, interface: str) -> Resolver:
        """That of a network, with its own name servers."""
        if interface not in self._resolvers:
            from segue.net.dns import Resolver, system_servers

            folder = self._networks.resolver_dir
            own = Path(folder) / f"{interface}.conf" if folder else None
            path = str(own) if own is not None and own.exists() else "/etc/resolv.conf"
            self._resolvers[interface] = Resolver(system_servers(path), interface)
        return self._resolvers[interface]

    # Flows

    def _open(self, origin: Origin, server: Server) -> None:
        if server.transport == "UDP":
            self._open_udp(origin, server)
            return
        self._start(self._open_stream(origin, server))

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _open_udp(self, origin: Origin, server: Server) -> None:
        try:
            socket = self._udp.get(origin) or self._bind(origin)
        except SegueError as error:
            self._loop.call_soon(self._failed, origin, None, str(error))
            return
        self._udp[origin] = socket
        self._serial += 1
        flow = Flow("UDP", socket.local, server.address, origin.interface, self._serial, server.name)
        self._loop.call_soon(self._opened, origin, flow)

    def _bind(self, origin: Origin) -> UdpSocket:
        return UdpSocket(
            Address(origin.host, self._local_port),
            origin.interface,
            on_datagram=lambda octets, source, now: self._receive_datagram(origin, octets, source, now),
            dscp=CLASS_SELECTOR_5,
            trace=self._trace,
        )

    async def _open_stream(self, origin: Origin, server: Server) -> None:
        try:
            connection: Connection
            if server.transport == "TLS":
                connection = await self._tls_client().connect(
                    server.address, server.name, origin.host, origin.interface, dscp=CLASS_SELECTOR_5
                )
            else:
                connection = await connect_tcp(
                    server.address, origin.host, origin.interface, dscp=CLASS_SELECTOR_5
                )
        except SegueError as error:
            self.problems[origin.interface] = error
            self._failed(origin, None, str(error))
            return
        except OSError as error:
            self._failed(origin, None, str(error))
            return
        self.problems.pop(origin.interface, None)
        self._serial += 1
        flow = Flow(
            server.transport, connection.local, server.address, origin.interface, self._serial, server.name
        )
        self._streams[flow] = connection
        reader = StreamReader()
        connection.on_octets = lambda octets, now: self._receive_octets(flow, reader, octets, now)
        connection.on_closed = lambda reason: self._lost(origin, flow, reason)
        self._opened(origin, flow)

    # The stream beside a datagram flow (RFC 3261 section 18.1.1): opened with the first octets for it

    def _send_beside(self, flow: Flow, octets: bytes) -> None:
        waiting = self._waiting.setdefault(flow, [])
        waiting.append(octets)
        if len(waiting) == 1:
            self._start(self._open_beside(flow))

    async def _open_beside(self, flow: Flow) -> None:
        try:
            connection = await connect_tcp(
                flow.remote, flow.local.host, flow.interface, dscp=CLASS_SELECTOR_5
            )
        except (SegueError, OSError) as error:
            self._trace.note("signalling", "no stream", flow=flow, problem=str(error))
            if self._waiting.pop(flow, None) is not None:
                self._beside_lost(flow)
            return
        waiting = self._waiting.pop(flow, None)
        if waiting is None:  # the flow has been closed meanwhile
            connection.close()
            return
        self._streams[flow] = connection
        reader = StreamReader()
        connection.on_octets = lambda octets, now: self._receive_octets(flow, reader, octets, now)
        connection.on_closed = lambda _: self._beside_lost(flow)
        for octets in waiting:
            connection.write(octets)
        self._keep_beside(flow, connection)

    def _keep_beside(self, flow: Flow, connection: StreamConnection) -> None:
        """A server closes connections on which nobody speaks, and a call may ring for minutes."""
        if self._streams.get(flow) is connection and connection.is_open:
            connection.write(PING)
            self._loop.call_later(BESIDE_PING, self._keep_beside, flow, connection)

    def _beside_lost(self, flow: Flow) -> None:
        self._streams.pop(flow, None)
        self._agent.stream_failed(flow, self._loop.time())
        self._settled()

    def _tls_client(self) -> TlsClient:
        """Sessions are resumed as long as the phone runs."""
        if self._tls is None:
            from segue.net.tls import TlsClient, TlsOptions

            account = self._account
            self._tls = TlsClient(TlsOptions(account.ca, account.certificate, account.key))
        return self._tls

    def _opened(self, origin: Origin, flow: Flow) -> None:
        self._agent.opened(origin, flow, self._loop.time())
        self._settled()

    def _failed(self, origin: Origin, flow: Flow | None, problem: str) -> None:
        self._agent.failed(origin, flow, problem, self._loop.time())
        self._settled()

    def _lost(self, origin: Origin, flow: Flow, reason: str) -> None:
        if self._streams.pop(flow, None) is not None:
            self._failed(origin, flow, reason)

    # What comes

    def _receive_datagram(self, origin: Origin, octets: bytes, source: Address, now: float) -> None:
        socket = self._udp[origin]
        if octets == PING:
            socket.send(PONG, source)
            return
        flow = self._agent.flows.flow(origin)
        if flow is None or flow.remote != source:
            flow = Flow("UDP", socket.local, source, origin.interface)
        if octets.strip(b"\r\n") == b"":
            self._agent.pong(flow, now)
            self._settled()
            return
        if is_stun(octets):
            self._receive_stun(octets, flow, now)
            return
        try:
            message = parse_message(octets)
        except MalformedMessage as fault:
            self._trace.drop("signalling", "malformed", problem=fault.problem, source=source)
            self._agent.receive_malformed(fault, flow)
            self._settled()
            return
        self._take(message, flow, now)

    def _receive_stun(self, octets: bytes, flow: Flow, now: float) -> None:
        try:
            message = parse_stun(octets)
            mapped = mapped_address(message) if is_binding_response(message) else None
        except RemoteError as error:
            self._trace.drop("signalling", "malformed STUN", problem=error.problem, source=flow.remote)
            return
        if is_binding_response(message):
            self._agent.bound(flow, message.transaction, mapped, now)
            self._settled()

    def _receive_octets(self, flow: Flow, reader: StreamReader, octets: bytes, now: float) -> None:
        for piece in reader.receive(octets):
            if isinstance(piece, Ping):
                self.send(flow, PONG)
            elif isinstance(piece, Pong):
                self._agent.pong(flow, now)
                self._settled()
            else:
                self._take(piece, flow, now)
        connection = self._streams.get(flow)
        if reader.fault is not None and connection is not None:
            self._trace.drop("signalling", "malformed", problem=reader.fault.problem, source=flow.remote)
            self._agent.receive_malformed(reader.fault, flow)
            self._settled()
            connection.close()
            connection.on_closed("the server sent what is no SIP")

    def _take(self, message: Request | Response, flow: Flow, now: float) -> None:
        if self._watch is not None:
            self._watch("received", flow, message)
        self._agent.receive(message, flow, now)
        self._settled()


def _server_uri(account: Account) -> SipUri:
    """Where our requests go: the registrar as configured, else the domain of the address of record."""
    text = account.registrar or account.domain
    try:
        return SipUri.parse(text if text.startswith(("sip:", "sips:")) else f"sip:{text}")
    except RemoteError:
        raise LocalError(
            f"{text!r} names no server", "give --registrar HOST, HOST:PORT or a SIP URI"
        ) from None


def _answer(record: Record) -> Answer:
    """A record in the words of RFC 3263's core."""
    if isinstance(record, str):
        return record
    return Naptr(*record) if len(record) == 5 else Srv(*record)
