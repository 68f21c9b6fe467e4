"""Streams over real loopback sockets."""

from __future__ import annotations

import asyncio
import socket
import struct

import pytest

from segue.base.address import Address
from segue.base.errors import LocalError, RemoteError
from segue.base.trace import MemoryTrace
from segue.net import tcp
from segue.net.tcp import StreamConnection, connect_tcp, listen_tcp


class End:
    """One end of a stream: what came, and why it closed."""

    def __init__(self) -> None:
        self.octets = bytearray()
        self.closed: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._more = asyncio.Event()

    def on_octets(self, octets: bytes, _now: float) -> None:
        self.octets += octets
        self._more.set()

    def attach(self, connection: StreamConnection) -> None:
        connection.on_octets = self.on_octets
        connection.on_closed = self.closed.set_result

    async def wait(self, count: int) -> bytes:
        async with asyncio.timeout(5):
            while len(self.octets) < count:
                self._more.clear()
                await self._more.wait()
        return bytes(self.octets)


class Server:
    """Takes connections and keeps them."""

    def __init__(self, host: str = "127.0.0.1", interface: str = "", **options: int) -> None:
        self.taken: asyncio.Queue[tuple[StreamConnection, End]] = asyncio.Queue()
        self.trace = MemoryTrace()
        self.listener = listen_tcp(Address(host, 0), interface, self._take, trace=self.trace, **options)

    def _take(self, connection: StreamConnection) -> None:
        end = End()
        end.attach(connection)
        self.taken.put_nowait((connection, end))

    async def next(self) -> tuple[StreamConnection, End]:
        return await asyncio.wait_for(self.taken.get(), 5)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
@pytest.mark.parametrize("interface", ["", "lo"])
async def test_octets_both_ways_and_an_end(host: str, interface: str) -> None:
    server = Server(host, interface)
    mine = End()
    client = await connect_tcp(
        server.listener.local, host, interface, on_octets=mine.on_octets, on_closed=mine.closed.set_result
    )
    taken, theirs = await server.next()
    assert (taken.remote, taken.local) == (client.local, client.remote)
    assert client.write(b"ping")
    assert await theirs.wait(4) == b"ping"
    assert taken.write(b"pong")
    assert await mine.wait(4) == b"pong"
    taken.close()
    assert await asyncio.wait_for(mine.closed, 5) == "the peer closed the connection"
    assert not client.write(b"more")
    assert not theirs.closed.done()  # who closes is not told
    assert server.listener.count == 0
    server.listener.close()


async def test_much_is_delivered_whole_to_a_slow_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tcp, "WRITE_LIMIT", 1 << 26)
    server = Server()
    client = await connect_tcp(server.listener.local)
    _, theirs = await server.next()
    blob = bytes(range(256)) * (1 << 15)  # 8 MiB: more than the kernel holds
    assert client.write(blob)
    assert client.write(b"end")
    assert await theirs.wait(len(blob) + 3) == blob + b"end"
    client.close()
    server.listener.close()


async def test_a_peer_that_does_not_read_costs_bounded_memory() -> None:
    deaf = socket.socket()
    deaf.bind(("127.0.0.1", 0))
    deaf.listen()
    mine = End()
    client = await connect_tcp(Address(*deaf.getsockname()), on_closed=mine.closed.set_result)
    written = 0
    while client.write(bytes(65536)):
        written += 65536
        assert written < 64 << 20
    assert await asyncio.wait_for(mine.closed, 5) == "the peer does not read what is sent to it"
    deaf.close()


async def test_reset_is_told_once_with_its_reason() -> None:
    server = Server()
    client = await connect_tcp(server.listener.local)
    mine = End()
    mine.attach(client)
    taken, _ = await server.next()
    taken._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    taken.close()
    assert await asyncio.wait_for(mine.closed, 5) == "connection reset by peer"
    client.close()
    server.listener.close()


async def test_nobody_there() -> None:
    server = Server()
    gone = server.listener.local
    server.listener.close()
    with pytest.raises(RemoteError, match=f"{gone} takes no connections"):
        await connect_tcp(gone)
    full = socket.socket()
    full.bind(("127.0.0.1", 0))
    full.listen(0)
    place = Address(*full.getsockname())
    first = await connect_tcp(place)  # fills the queue, so that later ones get no answer
    with pytest.raises(RemoteError, match="does not answer"):
        while True:
            (await connect_tcp(place, timeout=0.1)).close()
    first.close()
    full.close()


async def test_no_way_there() -> None:
    with pytest.raises(LocalError, match=r"there is no way to|cannot connect to"):
        await connect_tcp(Address("192.0.2.1", 5060), "127.0.0.1", timeout=2)
    with pytest.raises(LocalError, match="there is no interface"):
        await connect_tcp(Address("192.0.2.1", 5060), "", "wlan77")


async def test_no_more_connections_than_allowed() -> None:
    server = Server(limit=2)
    one = await connect_tcp(server.listener.local)
    await server.next()
    two = await connect_tcp(server.listener.local)
    await server.next()
    third = End()
    await connect_tcp(server.listener.local, on_closed=third.closed.set_result)
    await asyncio.wait_for(third.closed, 5)
    assert server.trace.drops == {("tcp", "too many connections"): 1}
    one.close()
    two.close()
    server.listener.close()


async def test_one_source_gets_no_more_than_its_share() -> None:
    server = Server(limit_of_one=2)
    one, two = [await connect_tcp(server.listener.local) for _ in range(2)]
    _, theirs = await server.next()
    await server.next()
    third = End()
    await connect_tcp(server.listener.local, on_closed=third.closed.set_result)
    await asyncio.wait_for(third.closed, 5)
    assert server.trace.drops == {("tcp", "too many connections from one source"): 1}
    other = await connect_tcp(server.listener.local, "127.0.0.2")
    assert (await server.next())[0].remote == other.local
    one.close()
    await asyncio.wait_for(theirs.closed, 5)
    another = await connect_tcp(server.listener.local)
    assert (await server.next())[0].remote == another.local
    for connection in (two, other, another):
        connection.close()
    server.listener.close()


async def test_who_says_nothing_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tcp, "SILENT_LIMIT", 0.02)
    server = Server()
    silent, talker = End(), End()
    one = await connect_tcp(server.listener.local)
    silent.attach(one)
    two = await connect_tcp(server.listener.local)
    talker.attach(two)
    two.write(b"hello")
    assert await asyncio.wait_for(silent.closed, 5) == "the peer closed the connection"
    assert two.is_open
    two.close()
    server.listener.close()


async def test_port_in_use() -> None:
    server = Server()
    with pytest.raises(LocalError, match="is in use"):
        Server().listener.close()
        listen_tcp(server.listener.local, "", StreamConnection.close)
    server.listener.close()
