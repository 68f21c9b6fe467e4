"""TLS over real loopback sockets, with certificates made for each test."""

from __future__ import annotations

import asyncio
import gc
import mmap
import ssl
import stat
import weakref
from pathlib import Path

import pytest

from segue.base.address import Address
from segue.base.errors import LocalError, RemoteError
from segue.base.trace import MemoryTrace
from segue.net import tls
from segue.net.tcp import connect_tcp, listen_tcp
from segue.net.tls import TlsClient, TlsConnection, TlsOptions, listen_tls
from segue.testing.certificates import Authority, Certificate, make_ca, make_certificate

HERE = Address("127.0.0.1", 0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("certificates")


@pytest.fixture(scope="module")
def ca(folder: Path) -> Authority:
    return make_ca(folder)


@pytest.fixture(scope="module")
def example(ca: Authority) -> Certificate:
    return make_certificate(ca, uris=["sip:example.com"])


def server_options(ca: Authority, certificate: Certificate, clients: str = "none") -> TlsOptions:
    return TlsOptions(ca.file, certificate.certificate_file, certificate.key_file, clients)


class Server:
    """Answers each piece with itself in upper case."""

    def __init__(self, options: TlsOptions) -> None:
        self.taken: asyncio.Queue[TlsConnection] = asyncio.Queue()
        self.ended: asyncio.Queue[str] = asyncio.Queue()
        self.trace = MemoryTrace()
        self.listener = listen_tls(HERE, "", self._take, options, trace=self.trace)
        self.at = self.listener.local

    def _take(self, connection: TlsConnection) -> None:
        connection.on_octets = lambda octets, _now: (connection.write(octets.upper()), None)[1]
        connection.on_closed = self.ended.put_nowait
        self.taken.put_nowait(connection)


class Client:
    """One connection that was asked to shout."""

    def __init__(self) -> None:
        self.heard: asyncio.Queue[bytes] = asyncio.Queue()
        self.ended: asyncio.Queue[str] = asyncio.Queue()

    async def open(self, tls_client: TlsClient, at: Address, name: str = "example.com") -> TlsConnection:
        return await tls_client.connect(
            at,
            name,
            on_octets=lambda octets, _now: self.heard.put_nowait(octets),
            on_closed=self.ended.put_nowait,
        )


async def shout(tls_client: TlsClient, at: Address, name: str = "example.com") -> TlsConnection:
    client = Client()
    connection = await client.open(tls_client, at, name)
    assert connection.write(b"hello")
    assert await asyncio.wait_for(client.heard.get(), 5) == b"HELLO"
    return connection


async def test_both_ways_and_goodbye(ca: Authority, example: Certificate) -> None:
    server = Server(server_options(ca, example))
    connection = await shout(TlsClient(TlsOptions(ca.file)), server.at)
    assert (connection.version, connection.resumed) == ("TLSv1.3", False)
    assert connection.peer_names == ["example.com"]
    taken = await server.taken.get()
    assert taken.peer_names == []
    connection.close()
    assert await asyncio.wait_for(server.ended.get(), 5) == "the peer closed the connection"
    assert not connection.write(b"more")
    server.listener.close()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_second_connection_resumes(
    ca: Authority, example: Certificate, version: ssl.TLSVersion
) -> None:
    server = Server(server_options(ca, example))
    client = TlsClient(TlsOptions(ca.file))
    client._context.maximum_version = version
    first = await shout(client, server.at)
    assert not first.resumed
    first.close()
    for _ in range(3):
        again = await shout(client, server.at)
        assert again.resumed
        assert again.peer_names == ["example.com"]
        again.close()
    server.listener.close()


async def test_a_session_is_not_used_for_another_name(ca: Authority) -> None:
    both = make_certificate(ca, uris=["sip:example.com", "sip:example.org"])
    server = Server(server_options(ca, both))
    client = TlsClient(TlsOptions(ca.file))
    (await shout(client, server.at, "example.com")).close()
    other = await shout(client, server.at, "example.org")
    assert not other.resumed
    other.close()
    assert (await shout(client, server.at, "EXAMPLE.com.")).resumed
    server.listener.close()


async def test_mutual_tls_tells_who_called(ca: Authority, example: Certificate) -> None:
    alice = make_certificate(ca, names=["phone.example.com"])
    server = Server(server_options(ca, example, "required"))
    client = TlsClient(TlsOptions(ca.file, alice.certificate_file, alice.key_file))
    for resumed in (False, True):
        connection = await shout(client, server.at)
        assert connection.resumed is resumed
        assert (await server.taken.get()).peer_names == ["phone.example.com"]
        connection.close()
    server.listener.close()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_server_wants_a_certificate(
    ca: Authority, example: Certificate, version: ssl.TLSVersion
) -> None:
    server = Server(server_options(ca, example, "required"))
    tls_client = TlsClient(TlsOptions(ca.file))
    tls_client._context.maximum_version = version
    client = Client()
    remedy = "example.com wants a certificate of ours: give one with --cert and --key"
    if version is ssl.TLSVersion.TLSv1_3:
        await client.open(tls_client, server.at)
        assert await asyncio.wait_for(client.ended.get(), 5) == remedy
    else:
        with pytest.raises((LocalError, RemoteError)):
            await client.open(tls_client, server.at)
    assert server.taken.empty()
    assert server.trace.drops == {("tls", "handshake failed"): 1}
    server.listener.close()


async def test_untrusted_authority(ca: Authority, example: Certificate, tmp_path: Path) -> None:
    server = Server(server_options(ca, example))
    stranger = TlsClient(TlsOptions(make_ca(tmp_path, "Other CA").file))
    with pytest.raises(LocalError) as caught:
        await shout(stranger, server.at)
    assert str(caught.value) == (
        "the certificate of example.com is signed by an authority that is not trusted here: "
        "give the authority's certificate with --ca"
    )
    server.listener.close()


async def test_the_servers_view_of_an_untrusted_client(
    ca: Authority, example: Certificate, tmp_path: Path
) -> None:
    mallory = make_certificate(make_ca(tmp_path, "Other CA"), names=["phone.example.com"])
    server = Server(server_options(ca, example, "wanted"))
    client = Client()
    await client.open(TlsClient(TlsOptions(ca.file, mallory.certificate_file, mallory.key_file)), server.at)
    reason = await asyncio.wait_for(client.ended.get(), 5)
    assert reason.startswith("example.com does not know the authority of our certificate: ")
    assert server.taken.empty()
    server.listener.close()


async def test_expired_certificate(ca: Authority) -> None:
    server = Server(server_options(ca, make_certificate(ca, uris=["sip:example.com"], expired=True)))
    with pytest.raises(RemoteError, match=r"the certificate of example\.com has expired"):
        await shout(TlsClient(TlsOptions(ca.file)), server.at)
    server.listener.close()


async def test_expired_while_its_session_lives(
    ca: Authority, example: Certificate, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = Server(server_options(ca, example))
    client = TlsClient(TlsOptions(ca.file))
    (await shout(client, server.at)).close()
    monkeypatch.setattr(tls.time, "time", lambda: 4e9)
    with pytest.raises(RemoteError, match="is not valid at this time"):
        await shout(client, server.at)
    server.listener.close()


@pytest.mark.parametrize("claimed", ["example.org", "sub.example.com", "com"])
async def test_wrong_name(ca: Authority, claimed: str) -> None:
    server = Server(server_options(ca, make_certificate(ca, names=["example.com", "*.example.com"])))
    client = TlsClient(TlsOptions(ca.file))
    with pytest.raises(RemoteError) as caught:
        await shout(client, server.at, claimed)
    assert str(caught.value) == (
        f"the server is not {claimed}: its certificate is for example.com, *.example.com"
    )
    with pytest.raises(RemoteError):  # and no session of it is kept
        await shout(client, server.at, claimed)
    server.listener.close()


async def test_not_tls_at_all(ca: Authority) -> None:
    plain = listen_tcp(HERE, "", lambda stream: (stream.write(b"SIP/2.0 400 Bad Request\r\n\r\n"), None)[1])
    with pytest.raises(RemoteError, match=r"example\.com does not speak TLS 1\.2 or 1\.3"):
        await shout(TlsClient(TlsOptions(ca.file)), plain.local)
    plain.close()
    hangs_up = listen_tcp(HERE, "", tls.StreamConnection.close)
    with pytest.raises(RemoteError, match="broke the handshake off"):
        await shout(TlsClient(TlsOptions(ca.file)), hangs_up.local)
    hangs_up.close()
    mute = listen_tcp(HERE, "", lambda _stream: None)
    with pytest.raises(RemoteError, match="does not finish the TLS handshake"):
        await TlsClient(TlsOptions(ca.file)).connect(mute.local, "example.com", timeout=0.05)
    mute.close()


async def test_what_is_not_tls_costs_the_server_nothing(ca: Authority, example: Certificate) -> None:
    server = Server(server_options(ca, example))
    for octets in (
        b"INVITE sip:bob@example.com SIP/2.0\r\n\r\n",
        b"\x16\x03\x01\xff\xff" + bytes(100),
        bytes(50),
    ):
        ended: asyncio.Queue[str] = asyncio.Queue()
        stream = await connect_tcp(server.at, on_closed=ended.put_nowait)
        stream.write(octets)
        await asyncio.wait_for(ended.get(), 5)
    assert server.listener.count == 0
    assert server.trace.drops == {("tls", "handshake failed"): 3}
    (await shout(TlsClient(TlsOptions(ca.file)), server.at)).close()
    server.listener.close()


async def test_an_unfinished_handshake_is_not_waited_for(
    ca: Authority, example: Certificate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tls, "HANDSHAKE_TIMEOUT", 0.02)
    server = Server(server_options(ca, example))
    ended: asyncio.Queue[str] = asyncio.Queue()
    stream = await connect_tcp(server.at, on_closed=ended.put_nowait)
    stream.write(b"\x16\x03\x01")
    assert await asyncio.wait_for(ended.get(), 5)
    assert server.listener.count == 0
    server.listener.close()


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
async def test_old_versions_are_refused(ca: Authority, example: Certificate) -> None:
    server = Server(server_options(ca, example))
    client = TlsClient(TlsOptions(ca.file))
    client._context.minimum_version = ssl.TLSVersion.TLSv1
    client._context.maximum_version = ssl.TLSVersion.TLSv1_1
    client._context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.raises(RemoteError, match=r"does not speak TLS 1|protocol version"):
        await shout(client, server.at)
    assert server.trace.drops == {("tls", "handshake failed"): 1}
    server.listener.close()


async def test_a_closed_connection_is_gone_without_the_collector(ca: Authority, example: Certificate) -> None:
    """During a call nothing collects garbage, and each connection holds some 100 kB of OpenSSL's."""
    server = Server(server_options(ca, example))
    client = TlsClient(TlsOptions(ca.file))
    gone = [asyncio.Event() for _ in range(4)]
    gc.collect()
    gc.disable()
    try:
        closed_by_us = await shout(client, server.at)
        taken = await server.taken.get()
        weakref.finalize(closed_by_us, gone[0].set)
        weakref.finalize(taken, gone[1].set)
        closed_by_us.close()
        del closed_by_us, taken
        closed_by_them = await shout(client, server.at)
        taken = await server.taken.get()
        weakref.finalize(closed_by_them, gone[2].set)
        weakref.finalize(taken, gone[3].set)
        taken.close()
        del closed_by_them, taken
        async with asyncio.timeout(5):
            for event in gone:
                await event.wait()
    finally:
        gc.enable()
        server.listener.close()


async def test_keep_alives_cost_no_memory(ca: Authority, example: Certificate) -> None:
    """Two hours of a call are some 80 of them; 12 kB each were never given back."""
    server = Server(server_options(ca, example))
    client = Client()
    connection = await client.open(TlsClient(TlsOptions(ca.file)), server.at)

    async def live(count: int) -> None:
        for _ in range(count):
            connection.write(b"ping")
            assert await asyncio.wait_for(client.heard.get(), 5) == b"PING"

    await live(50)
    before = resident()
    await live(400)
    assert resident() - before < 1 << 20
    connection.close()
    server.listener.close()


def resident() -> int:
    """Octets of this process in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * mmap.PAGESIZE


async def test_much_goes_through(ca: Authority, example: Certificate) -> None:
    server = Server(server_options(ca, example))
    client = Client()
    connection = await client.open(TlsClient(TlsOptions(ca.file)), server.at)
    blob = bytes(range(97, 123)) * 4000
    assert connection.write(blob)
    heard = b""
    async with asyncio.timeout(5):
        while len(heard) < len(blob):
            heard += await client.heard.get()
    assert heard == blob.upper()
    connection.close()
    server.listener.close()


async def test_altered_octets_end_the_connection(ca: Authority, example: Certificate) -> None:
    server = Server(server_options(ca, example))
    client = Client()
    connection = await client.open(TlsClient(TlsOptions(ca.file)), server.at)
    taken = await asyncio.wait_for(server.taken.get(), 5)
    taken._stream.write(b"\x17\x03\x03\x00\x20" + bytes(32))
    reason = await asyncio.wait_for(client.ended.get(), 5)
    assert reason.startswith("TLS with example.com failed: ")
    assert client.heard.empty()
    assert not connection.is_open
    assert not connection.write(b"x")
    connection.close()
    server.listener.close()


async def test_first_words_leave_with_the_end_of_the_handshake(ca: Authority, example: Certificate) -> None:
    """One round trip less work for the network: three segments from a client that speaks at once."""
    server = Server(server_options(ca, example))
    pieces: list[int] = []
    client = Client()
    plain_write = tls.StreamConnection.write

    def counted(stream: tls.StreamConnection, octets: bytes) -> bool:
        if stream.remote == server.at:
            pieces.append(len(octets))
        return plain_write(stream, octets)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tls.StreamConnection, "write", counted)
        connection = await client.open(TlsClient(TlsOptions(ca.file)), server.at)
        connection.write(b"register")
        assert await asyncio.wait_for(client.heard.get(), 5) == b"REGISTER"
    assert len(pieces) == 2
    connection.close()
    server.listener.close()


def test_unfit_files_are_the_users(ca: Authority, example: Certificate, tmp_path: Path) -> None:
    other = make_certificate(ca, names=["other.example"])
    with pytest.raises(LocalError, match="is not that of the certificate"):
        TlsClient(TlsOptions(ca.file, example.certificate_file, other.key_file))
    with pytest.raises(LocalError, match="cannot read"):
        TlsClient(TlsOptions(ca.file, str(tmp_path / "none.pem"), other.key_file))
    with pytest.raises(LocalError, match="are no certificate and key"):
        TlsClient(TlsOptions(ca.file, example.key_file, example.key_file))
    with pytest.raises(LocalError, match="holds no CA certificates"):
        TlsClient(TlsOptions(str(tmp_path / "none.pem")))
    with pytest.raises(LocalError, match="belong together"):
        TlsOptions(ca.file, example.certificate_file)
    assert stat.S_IMODE(Path(example.key_file).stat().st_mode) == 0o600


async def test_server_needs_a_certificate(ca: Authority) -> None:
    with pytest.raises(LocalError, match="a TLS server needs a certificate"):
        listen_tls(HERE, "", lambda _connection: None, TlsOptions(ca.file))
