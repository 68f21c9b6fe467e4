"""The server on real sockets: UDP, TCP and TLS on loopback."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from segue.base.address import Address
from segue.base.secret import Secret
from segue.net.entropy import SystemEntropy
from segue.net.tcp import connect_tcp
from segue.net.tls import TlsClient
from segue.net.tls_context import TlsOptions
from segue.net.udp import UdpSocket
from segue.protocols.sip.digest import DigestClient
from segue.protocols.sip.framing import Pong, StreamReader
from segue.protocols.sip.message import Headers, Request, Response, response_to
from segue.protocols.sip.parser import parse_message
from segue.protocols.stun.binding import binding_request, mapped_address
from segue.protocols.stun.message import parse_stun
from segue.server import server as server_module
from segue.server.authentication import hashes_of
from segue.server.config import Listen, Policy, ServerConfig
from segue.server.server import Server
from segue.server.store import Store
from segue.testing.certificates import Authority, Certificate, make_ca, make_certificate

DOMAIN = "example.org"
LOOPBACK = Address("127.0.0.1", 0)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return make_ca(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def certificate(authority: Authority) -> Certificate:
    return make_certificate(authority, names=[DOMAIN])


@pytest.fixture
def config(tmp_path: Path, certificate: Certificate) -> ServerConfig:
    database = str(tmp_path / "server.db")
    store = Store(database)
    store.put_users(DOMAIN, {name: hashes_of(name, DOMAIN, f"of {name}") for name in ("alice", "bob")})
    store.close()
    return ServerConfig(
        DOMAIN,
        tuple(Listen(transport, LOOPBACK) for transport in ("UDP", "TCP", "TLS")),
        database,
        certificate=certificate.certificate_file,
        key=certificate.key_file,
        policy=Policy(reunion=0.5),
    )


class SocketPhone:
    """A phone on one real socket."""

    def __init__(self, name: str, transport: str) -> None:
        self.name = name
        self.transport = transport
        self.inbox: asyncio.Queue[Request | Response | Pong] = asyncio.Queue()
        self.entropy = SystemEntropy()
        self.digest = DigestClient(name, Secret(f"of {name}"), self.entropy)
        self.sequence = 0
        self._reader = StreamReader()

    async def connect(self, server: Server, authority: Authority) -> SocketPhone:
        remote = Address("127.0.0.1", server.port(self.transport))
        if self.transport == "UDP":
            socket = UdpSocket(
                LOOPBACK, on_datagram=lambda octets, _, __: self.inbox.put_nowait(parse_message(octets))
            )
            self.local, self.write, self.close = (
                socket.local,
                lambda octets: socket.send(octets, remote),
                socket.close,
            )
            return self
        if self.transport == "TCP":
            stream = await connect_tcp(remote, on_octets=self._take)
        else:
            client = TlsClient(TlsOptions(ca_file=authority.file))
            stream = await client.connect(remote, DOMAIN, on_octets=self._take)
        self.local, self.write, self.close = stream.local, stream.write, stream.close
        return self

    def _take(self, octets: bytes, _: float) -> None:
        for piece in self._reader.receive(octets):
            self.inbox.put_nowait(piece)

    async def next(self):
        return await asyncio.wait_for(self.inbox.get(), 5)

    async def final(self) -> Response:
        while not (isinstance(message := await self.next(), Response) and message.status >= 200):
            pass
        return message

    def request(self, method: str, uri: str, to: str, **fields: str) -> Request:
        self.sequence += 1
        via = f"SIP/2.0/{self.transport} {self.local};rport;branch=z9hG4bK{self.entropy.octets(6).hex()}"
        fields = {"Contact": f"<sip:{self.name}@{self.local};transport={self.transport.lower()}>", **fields}
        headers = Headers(
            [
                ("Via", via),
                ("Max-Forwards", "70"),
                ("From", f"<sip:{self.name}@{DOMAIN}>;tag={self.name}"),
                ("To", to),
                ("Call-ID", f"{method}-{self.name}-{self.local.port}"),
                ("CSeq", f"{self.sequence} {method}"),
                *fields.items(),
            ]
        )
        return Request(method, uri, headers)

    async def ask(self, method: str, uri: str, to: str, **fields: str) -> Response:
        request = self.request(method, uri, to, **fields)
        self.write(request.to_bytes())
        challenge = await self.final()
        again = self.request(method, uri, to, **fields)
        assert self.digest.accept(again, challenge), challenge
        self.digest.prepare(again)
        self.write(again.to_bytes())
        return await self.final()

    async def register(self) -> Response:
        return await self.ask("REGISTER", f"sip:{DOMAIN}", f"<sip:{self.name}@{DOMAIN}>")


@pytest.mark.parametrize("transport", ["UDP", "TCP", "TLS"])
async def test_a_phone_registers_and_keeps_its_flow_alive(config, authority, transport):
    async with Server(config) as server:
        phone = await SocketPhone("bob", transport).connect(server, authority)
        assert (await phone.register()).status == 200
        if transport != "UDP":
            phone.write(b"\r\n\r\n")
            assert isinstance(await phone.next(), Pong)
        phone.close()


async def test_a_call_from_tls_to_tls_is_answered_and_one_to_udp_is_not_let_out(config, authority):
    async with Server(config) as server:
        alice = await SocketPhone("alice", "TLS").connect(server, authority)
        bob = await SocketPhone("bob", "TLS").connect(server, authority)
        await alice.register()
        await bob.register()
        calling = asyncio.create_task(alice.ask("INVITE", f"sip:bob@{DOMAIN}", f"<sip:bob@{DOMAIN}>"))
        invite = await bob.next()
        assert (
            f"<sip:{DOMAIN}:{server.port('TLS')};transport=tls;lr>"
            in invite.headers.get_all("Record-Route")[0]
        )
        bob.write(response_to(invite, 200, to_tag="b").to_bytes())
        assert (await calling).status == 200
        bob.close()
        clear = await SocketPhone("bob", "UDP").connect(server, authority)
        await clear.register()
        assert (await alice.ask("INVITE", f"sip:bob@{DOMAIN}", f"<sip:bob@{DOMAIN}>")).status == 480
        assert clear.inbox.empty()
        alice.close()
        clear.close()


async def test_a_closed_connection_unregisters(config, authority):
    async with Server(config) as server:
        bob = await SocketPhone("bob", "TCP").connect(server, authority)
        await bob.register()
        bob.close()
        other = await SocketPhone("bob", "UDP").connect(server, authority)
        for _ in range(50):
            contacts = (await other.register()).contacts
            if len(contacts) == 1:
                break
        assert [contact.uri.port for contact in contacts] == [other.local.port]
        other.close()


async def test_a_user_added_while_it_runs_can_register(config, authority):
    async with Server(config) as server:
        phone = await SocketPhone("carol", "UDP").connect(server, authority)
        assert (await phone.register()).status == 401
        store = Store(config.database)
        store.put_users(DOMAIN, {"carol": hashes_of("carol", DOMAIN, "of carol")})
        store.close()
        await server.reload()
        phone.digest = DigestClient("carol", Secret("of carol"), SystemEntropy())
        assert (await phone.register()).status == 200
        phone.close()


async def test_one_host_cannot_take_every_place_with_handshakes_that_it_does_not_finish(
    config, authority, monkeypatch
):
    monkeypatch.setattr(server_module, "CONNECTIONS", 8)
    monkeypatch.setattr(server_module, "CONNECTIONS_OF_ONE", 4)
    async with Server(config) as server:
        at = Address("127.0.0.1", server.port("TLS"))
        unfinished = [await connect_tcp(at, "127.0.0.66") for _ in range(12)]
        phone = await SocketPhone("bob", "TLS").connect(server, authority)
        assert (await phone.register()).status == 200
        phone.close()
        for stream in unfinished:
            stream.close()


async def test_stun_beside_sip_tells_where_a_phone_is_seen(config):
    """RFC 5626 section 8: on the same port."""
    heard: asyncio.Queue[bytes] = asyncio.Queue()
    async with Server(config) as server:
        socket = UdpSocket(LOOPBACK, on_datagram=lambda octets, _, __: heard.put_nowait(octets))
        remote = Address("127.0.0.1", server.port("UDP"))
        request = binding_request(b"twelve bytes").write()
        for octets in (b"\0\1" + bytes(18), request[:19], request):
            socket.send(octets, remote)
        answer = parse_stun(await asyncio.wait_for(heard.get(), 5))
        assert answer.transaction == b"twelve bytes" and mapped_address(answer) == socket.local
        socket.close()


async def test_a_stun_port_tells_where_one_is_seen_and_nothing_else(config):
    heard: asyncio.Queue[bytes] = asyncio.Queue()
    stun = replace(config, listens=(*config.listens, Listen.parse("stun:127.0.0.1:0")))
    async with Server(stun) as server:
        assert f"listening on stun:127.0.0.1:{server.port('STUN')}" in server.places()
        socket = UdpSocket(LOOPBACK, on_datagram=lambda octets, _, __: heard.put_nowait(octets))
        remote = Address("127.0.0.1", server.port("STUN"))
        request = binding_request(b"twelve bytes").write()
        sip = f"OPTIONS sip:{DOMAIN} SIP/2.0\r\nVia: SIP/2.0/UDP x;branch=z9hG4bKx\r\n\r\n".encode()
        for octets in (sip, b"\r\n\r\n", request):
            socket.send(octets, remote)
        octets = await asyncio.wait_for(heard.get(), 5)
        assert mapped_address(parse_stun(octets)) == socket.local
        assert len(octets) == len(request) + 12 and heard.empty()
        socket.close()
