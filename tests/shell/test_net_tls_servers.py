"""Our TLS client against OpenSSL's own server: round trips until the first words leave, and how long a handshake
keeps the process from its voice."""

from __future__ import annotations

import asyncio
import re
import subprocess
import time
from collections.abc import Iterator

import pytest

from segue.base.address import Address
from segue.net import tls
from segue.net.tls import TlsClient, TlsConnection, TlsOptions
from segue.testing.certificates import Authority, Certificate, make_ca, make_certificate

pytestmark = pytest.mark.peers("openssl")
TICK = 0.02  # seconds: a voice packet


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return make_ca(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def example(ca: Authority) -> Certificate:
    return make_certificate(ca, uris=["sip:example.com"])


@pytest.fixture
def server(request: pytest.FixtureRequest, example: Certificate) -> Iterator[Address]:
    """`openssl s_server`, which sends each line back reversed."""
    command = ["openssl", "s_server", "-accept", "127.0.0.1:0", "-rev", *request.param.split()]
    command += ["-cert", example.certificate_file, "-key", example.key_file]
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        assert process.stdout is not None
        for line in process.stdout:
            if found := re.match(r"ACCEPT 127\.0\.0\.1:(\d+)", line):
                break
        yield Address("127.0.0.1", int(found[1]) if found else 0)
    finally:
        process.kill()
        process.wait()


class Segments:
    """What the client wrote, up to its first words and with them."""

    def __init__(self, patch: pytest.MonkeyPatch, at: Address) -> None:
        self.count = 0
        self.longest = 0.0  # seconds of this thread's own work in one step of a handshake
        write, shake = tls.StreamConnection.write, TlsConnection._shake

        def counted(stream: tls.StreamConnection, octets: bytes) -> bool:
            self.count += stream.remote == at
            return write(stream, octets)

        def timed(connection: TlsConnection) -> bool:
            begin = time.thread_time()
            done = shake(connection)
            self.longest = max(self.longest, time.thread_time() - begin)
            return done

        patch.setattr(tls.StreamConnection, "write", counted)
        patch.setattr(TlsConnection, "_shake", timed)

    @property
    def round_trips(self) -> int:
        """Each segment but the first waited for the server's."""
        return self.count - 1


async def speak(client: TlsClient, at: Address) -> TlsConnection:
    heard: asyncio.Queue[bytes] = asyncio.Queue()
    connection = await client.connect(
        at, "example.com", on_octets=lambda octets, _now: heard.put_nowait(octets)
    )
    connection.write(b"REGISTER\n")
    assert await asyncio.wait_for(heard.get(), 5) == b"RETSIGER\n"
    return connection


@pytest.mark.parametrize(
    ("server", "version", "whole", "resumed"),
    [
        ("-tls1_3", "TLSv1.3", 1, 1),
        ("-tls1_2", "TLSv1.2", 2, 1),
        ("-tls1_2 -no_ticket", "TLSv1.2", 2, 1),  # known by the session's number
    ],
    indirect=["server"],
)
async def test_round_trips(
    ca: Authority,
    server: Address,
    version: str,
    whole: int,
    resumed: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    client = TlsClient(TlsOptions(ca.file))
    for turn, wanted in enumerate((whole, resumed, resumed)):
        with monkeypatch.context() as patch:
            segments = Segments(patch, server)
            connection = await speak(client, server)
            assert (connection.version, connection.resumed) == (version, turn > 0)
            assert segments.round_trips == wanted
        connection.close()


@pytest.mark.parametrize("server", ["-tls1_3", "-tls1_2"], indirect=True)
async def test_no_step_of_a_handshake_takes_a_voice_packets_time(
    ca: Authority, server: Address, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The handshake runs in the loop that the packet clock ticks in, in steps between which a tick is served."""
    longest = []
    for _ in range(10):
        with monkeypatch.context() as patch:
            segments = Segments(patch, server)
            (await speak(TlsClient(TlsOptions(ca.file)), server)).close()
            longest.append(segments.longest)
    assert min(longest) > 0 and sorted(longest)[-2] < TICK / 4, longest
    print("longest step", [round(s * 1000, 2) for s in longest])
