"""Our relays with coturn: over UDP, TCP and TLS, IPv4 and IPv6; and what it refuses."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path as File
from typing import Any

import pytest

from segue.base.address import Address, LocalPort, Path
from segue.base.secret import Secret
from segue.base.trace import MemoryTrace
from segue.call.relays import (
    RelayedPort,
    RelayedPortGone,
    RelayedPortMoved,
    RelayEvent,
    RelayFailed,
    RelayServer,
)
from segue.lab.networks.namespaces import Namespace
from segue.lab.peers.coturn import PASSWORD, USER, Coturn
from segue.net.dns import Resolver
from segue.net.entropy import SystemEntropy
from segue.net.tls import TlsClient
from segue.net.tls_context import TlsOptions
from segue.net.udp import UdpSocket
from segue.phone.relaying import Relaying
from segue.testing.certificates import make_ca, make_certificate

pytestmark = pytest.mark.peers("turnserver")
NAME = "turn.example.org"
V4, V6, OTHER, STRANGER = "127.0.0.1", "::1", "127.0.0.2", "127.0.0.9"
VOICE, CHECK = b"\x80 voice", b"\0\1 check"  # as RTP begins, and as STUN does
SOON = 5.0  # seconds for what takes milliseconds


class Bed:
    """A namespace with coturn in it; `run` runs a scenario there."""

    def __init__(self, stack: ExitStack, folder: File) -> None:
        self.host = stack.enter_context(Namespace.create("turn"))
        self.folder = folder
        self.authority = make_ca(folder)
        self._certificate = make_certificate(self.authority, names=[NAME])
        self._stack = stack
        self.hosts_file = folder / "hosts"
        self.hosts_file.write_text(f"{V4} {NAME}\n{V6} {NAME}\n")

    def coturn(self, *options: str, hosts: Sequence[str] = (V4, V6)) -> Coturn:
        folder = self.folder / hosts[0].replace(":", "_")
        folder.mkdir()
        server = Coturn(
            self.host,
            folder,
            hosts=hosts,
            certificate=self._certificate.certificate_file,
            key=self._certificate.key_file,
            options=["allow-loopback-peers", *options],
        )
        self._stack.callback(server.stop)
        server.start()
        return server

    def run(self, scenario: Callable[[Bed], Coroutine[Any, Any, None]]) -> None:
        self.host.call(lambda: asyncio.run(asyncio.wait_for(scenario(self), 60)))


@contextmanager
def bed(folder: File) -> Iterator[Bed]:
    with ExitStack() as stack:
        yield Bed(stack, folder)


class Phone:
    """A media port with relays behind it, as the voice process has it; `got` is what peers sent."""

    def __init__(
        self,
        bed: Bed,
        uri: str,
        host: str = V4,
        *,
        families: tuple[int, ...] = (4,),
        password: str = PASSWORD,
    ) -> None:
        self.trace = MemoryTrace()
        self.got: asyncio.Queue[tuple[Path, bytes]] = asyncio.Queue()
        self.events: asyncio.Queue[RelayEvent] = asyncio.Queue()
        self.sizes: list[int] = []  # of what came from the server
        self._sockets: dict[LocalPort, UdpSocket] = {}
        tls = TlsClient(TlsOptions(ca_file=bed.authority.file))
        resolver = Resolver([], hosts_file=str(bed.hosts_file))
        self.relaying = Relaying(
            [RelayServer(uri, USER, Secret(password))],
            SystemEntropy(),
            send=self.send,
            is_here=lambda port: port in self._sockets,
            deliver=lambda _, path, octets, __: self.got.put_nowait((path, octets)),
            on_event=lambda _, event: self.events.put_nowait(event),
            resolver=lambda _: resolver,
            tls=lambda: tls,
            families=families,
            trace=self.trace,
        )
        self.port = self.open(host)

    def open(self, host: str) -> LocalPort:
        def take(octets: bytes, source: Address, now: float) -> None:
            self.sizes.append(len(octets))
            found = self.relaying.receive(Path(*port, source), octets, now)
            if found is not None:
                self.got.put_nowait(found)

        socket = UdpSocket(Address(host, 0), "lo", on_datagram=take)
        port = LocalPort("lo", socket.local)
        self._sockets[port] = socket
        self.relaying.opened(port, "call")
        return port

    def send(self, path: Path, octets: bytes) -> None:
        socket = self._sockets.get(path.port)
        if socket is not None:
            socket.send(octets, path.remote)

    def close(self) -> None:
        self.relaying.close()
        for socket in self._sockets.values():
            socket.close()

    def lose(self, port: LocalPort) -> None:
        """Its network is gone."""
        self.relaying.closed(port, gone=True)
        self._sockets.pop(port).close()

    async def event(self, timeout: float = SOON) -> RelayEvent:
        return await asyncio.wait_for(self.events.get(), timeout)

    async def relayed(self) -> RelayedPort:
        event = await self.event()
        assert isinstance(event, RelayedPort), event
        return event

    async def gets(self, octets: bytes) -> Path:
        path, got = await asyncio.wait_for(self.got.get(), SOON)
        assert got == octets
        return path


class Peer:
    """Somebody at an address of its own."""

    def __init__(self, host: str) -> None:
        self.got: asyncio.Queue[tuple[Address, bytes]] = asyncio.Queue()
        self.socket = UdpSocket(
            Address(host, 0),
            "lo",
            on_datagram=lambda octets, source, _: self.got.put_nowait((source, octets)),
        )

    async def gets(self, octets: bytes) -> Address:
        source, got = await asyncio.wait_for(self.got.get(), SOON)
        assert got == octets
        return source

    async def gets_nothing(self, wait: float = 0.3) -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(self.got.get(), wait)


async def both_ways(phone: Phone, port: LocalPort, peer: Peer, octets: bytes) -> None:
    path = Path(*port, peer.socket.local)
    phone.relaying.send(path, octets)
    assert await peer.gets(octets) == port.address
    peer.socket.send(octets[::-1], port.address)
    assert await phone.gets(octets[::-1]) == path


def uri_of(transport: str, host: str = NAME) -> str:
    shown = f"[{host}]" if ":" in host else host
    return {"udp": f"turn:{shown}", "tcp": f"turn:{shown}?transport=tcp", "tls": f"turns:{shown}"}[transport]


@pytest.mark.parametrize("host", [V4, V6])
@pytest.mark.parametrize("transport", ["udp", "tcp", "tls"])
def test_data_there_and_back_and_strangers_kept_out(transport: str, host: str, tmp_path: File) -> None:
    async def scenario(bed: Bed) -> None:
        family = 6 if ":" in host else 4
        phone, peer, stranger = (
            Phone(bed, uri_of(transport), host, families=(family,)),
            Peer(host),
            Peer(STRANGER),
        )
        relayed = await phone.relayed()
        assert relayed.port.address.family == family
        assert (relayed.mapped == phone.port.address) if transport == "udp" else (relayed.mapped is None)
        await both_ways(phone, relayed.port, peer, CHECK)
        for _ in range(3):
            await both_ways(phone, relayed.port, peer, VOICE)
        if transport == "udp":
            assert phone.sizes[-1] == 4 + len(VOICE)  # on a channel
        if family == 4:
            stranger.socket.send(b"let me in", relayed.port.address)
            await both_ways(phone, relayed.port, peer, VOICE)  # and nothing before it
        phone.relaying.closed(phone.port, gone=False)
        await asyncio.sleep(0.2)  # for coturn to have taken it
        phone.close()

    with bed(tmp_path) as it:
        server = it.coturn()
        it.run(scenario)
        assert "lifetime=0" in server.program.printed()


def test_the_relayed_address_follows_a_move(tmp_path: File) -> None:
    """Of coturn 4.6.1's answer to a ticket only the last 24 octets leave it; it is asked again after 150 ms."""

    async def scenario(bed: Bed) -> None:
        phone, peer = Phone(bed, uri_of("udp")), Peer(V4)
        first = await phone.relayed()
        assert first.follows
        await both_ways(phone, first.port, peer, VOICE)
        for host in (OTHER, "127.0.0.3"):
            phone.lose(phone.port)
            phone.port = phone.open(host)
            moved = await phone.event()
            assert isinstance(moved, RelayedPortMoved) and moved.port == first.port
            assert moved.base.address.host == host
            phone.relaying.send(Path(*first.port, peer.socket.local), VOICE)
            assert await peer.gets(VOICE) == first.port.address
            await both_ways(phone, first.port, peer, VOICE)
        phone.close()

    with bed(tmp_path) as it:
        it.coturn("mobility")
        it.run(scenario)


def test_what_no_port_follows_is_given_back_with_the_call(tmp_path: File) -> None:
    async def scenario(bed: Bed) -> None:
        phone = Phone(bed, uri_of("udp"))
        await phone.relayed()
        phone.lose(phone.port)
        phone.relaying.calls_are(["call"])
        assert phone.relaying.relays.bases
        phone.relaying.calls_are([])
        assert not phone.relaying.relays.bases
        phone.close()

    with bed(tmp_path) as it:
        it.coturn("mobility")
        it.run(scenario)


@pytest.mark.parametrize("transport", ["tcp", "tls"])
def test_over_a_stream_a_move_gets_another_address(transport: str, tmp_path: File) -> None:
    """Where nothing is asked twice, the same 24 octets break the stream."""

    async def scenario(bed: Bed) -> None:
        phone, peer = Phone(bed, uri_of(transport)), Peer(V4)
        first = await phone.relayed()
        await both_ways(phone, first.port, peer, VOICE)
        phone.lose(phone.port)
        phone.open(OTHER)
        events = [await phone.event(), await phone.event()]  # in either order
        assert [event.port for event in events if isinstance(event, RelayedPortGone)] == [first.port]
        (second,) = [event for event in events if isinstance(event, RelayedPort)]
        assert second.base.address.host == OTHER
        await both_ways(phone, second.port, peer, VOICE)
        phone.close()

    with bed(tmp_path) as it:
        it.coturn("mobility")
        it.run(scenario)


def test_without_mobility_a_move_gets_another_address(tmp_path: File) -> None:
    async def scenario(bed: Bed) -> None:
        phone, peer = Phone(bed, uri_of("udp")), Peer(V4)
        first = await phone.relayed()
        assert not first.follows
        phone.lose(phone.port)
        assert isinstance(gone := await phone.event(), RelayedPortGone) and gone.port == first.port
        phone.open(OTHER)
        second = await phone.relayed()
        assert second.port != first.port and second.base.address.host == OTHER
        await both_ways(phone, second.port, peer, VOICE)
        phone.close()

    with bed(tmp_path) as it:
        it.coturn()
        it.run(scenario)


def test_a_stale_nonce_is_replaced(tmp_path: File) -> None:
    async def scenario(bed: Bed) -> None:
        phone, peer, later = Phone(bed, uri_of("udp")), Peer(V4), Peer(STRANGER)
        relayed = await phone.relayed()
        await both_ways(phone, relayed.port, peer, VOICE)
        await asyncio.sleep(2.5)
        phone.relaying.relays.permit([STRANGER], asyncio.get_running_loop().time())
        path = Path(*relayed.port, later.socket.local)
        phone.relaying.send(path, CHECK)
        while later.got.empty():  # a check is repeated, as ICE does; the first may be ahead of its permission
            await asyncio.sleep(0.1)
            phone.relaying.send(path, CHECK)
        assert await later.gets(CHECK) == relayed.port.address
        phone.close()

    with bed(tmp_path) as it:
        server = it.coturn("stale-nonce=1")
        it.run(scenario)
        assert "438" in server.program.printed()


def test_a_wrong_password_is_told(tmp_path: File) -> None:
    async def scenario(bed: Bed) -> None:
        phone = Phone(bed, uri_of("udp"), password="open")
        event = await phone.event()
        assert isinstance(event, RelayFailed) and event.code == 401
        assert event.why == "the relay refuses the name or password" and "open" not in repr(event)
        phone.close()

    with bed(tmp_path) as it:
        it.coturn()
        it.run(scenario)


def test_a_quota_and_a_forbidden_peer_are_told(tmp_path: File) -> None:
    async def scenario(bed: Bed) -> None:
        phone, peer, forbidden = Phone(bed, uri_of("udp")), Peer(V4), Peer(STRANGER)
        relayed = await phone.relayed()
        phone.relaying.send(Path(*relayed.port, forbidden.socket.local), VOICE)
        await forbidden.gets_nothing()
        await both_ways(phone, relayed.port, peer, VOICE)
        refused = [record.facts for record in phone.trace.records if record.what == "a peer is refused"]
        assert refused and refused[0]["host"] == STRANGER and refused[0]["code"] == 403
        phone.open(OTHER)
        event = await phone.event()
        assert isinstance(event, RelayFailed) and event.code == 486
        phone.close()

    with bed(tmp_path) as it:
        it.coturn("user-quota=1", f"denied-peer-ip={STRANGER}")
        it.run(scenario)


def test_a_server_that_does_not_answer_or_is_not_there(tmp_path: File) -> None:
    async def scenario(bed: Bed) -> None:
        silent = Peer(V4)
        phone = Phone(bed, f"turn:{V4}:{silent.socket.local.port}")
        event = await phone.event(9.0)
        assert isinstance(event, RelayFailed) and event.why == "the relay does not answer"
        for uri in (f"turn:{V4}:9?transport=tcp", f"turns:{NAME}:9"):
            event = await Phone(bed, uri).event()
            assert isinstance(event, RelayFailed) and "takes no connections" in event.why
        phone.close()

    with bed(tmp_path) as it:
        it.run(scenario)


def test_a_certificate_for_another_name_is_no_relay_of_ours(tmp_path: File) -> None:
    async def scenario(bed: Bed) -> None:
        bed.hosts_file.write_text(f"{V4} other.example.org\n")
        event = await Phone(bed, "turns:other.example.org").event()
        assert isinstance(event, RelayFailed) and "not other.example.org" in event.why

    with bed(tmp_path) as it:
        it.coturn()
        it.run(scenario)


def test_another_server_is_gone_to_over_tls_and_not_over_udp(tmp_path: File) -> None:
    """coturn redirects before it has authenticated: over UDP that could be anybody's word (RFC 8489 section 14.8)."""

    async def scenario(bed: Bed) -> None:
        phone, peer = Phone(bed, uri_of("tls")), Peer(V4)
        relayed = await phone.relayed()
        assert relayed.port.address.host == OTHER
        await both_ways(phone, relayed.port, peer, VOICE)
        event = await Phone(bed, uri_of("udp")).event()
        assert isinstance(event, RelayFailed) and event.code == 300
        phone.close()

    with bed(tmp_path) as it:
        it.coturn(f"tls-alternate-server={OTHER}:5349", f"alternate-server={OTHER}:3478", hosts=[V4])
        it.coturn(hosts=[OTHER])
        it.run(scenario)


def test_a_stream_that_breaks_takes_its_relayed_port_along(tmp_path: File) -> None:
    with bed(tmp_path) as it:
        server = it.coturn()

        async def scenario(bed: Bed) -> None:
            phone = Phone(bed, uri_of("tcp"))
            relayed = await phone.relayed()
            await asyncio.to_thread(server.stop)
            event = await phone.event()
            assert isinstance(event, RelayedPortGone) and event.port == relayed.port
            phone.close()

        it.run(scenario)
