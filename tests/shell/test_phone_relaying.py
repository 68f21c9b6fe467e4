"""The hands of relays where there is none: what is told, and how soon. With a relay: tests/interop/test_coturn.py."""

from __future__ import annotations

import asyncio

import pytest

from segue.base.address import Address, LocalPort, Path
from segue.base.secret import Secret
from segue.call.relays import RelayEvent, RelayFailed, RelayServer
from segue.net.dns import Resolver
from segue.net.entropy import SystemEntropy
from segue.net.tcp import StreamConnection, listen_tcp
from segue.net.tls import TlsClient
from segue.net.tls_context import TlsOptions
from segue.phone.relaying import Relaying

PORT = LocalPort("lo", Address("127.0.0.1", 40000))


def relaying(uri: str, told: asyncio.Queue[tuple[str, RelayEvent]]) -> Relaying:
    sent: list[tuple[Path, bytes]] = []
    resolver = Resolver([], hosts_file="/dev/null")
    return Relaying(
        [RelayServer(uri, "alice", Secret("sesame"))],
        SystemEntropy(),
        send=lambda path, octets: sent.append((path, octets)),
        is_here=lambda _: True,
        deliver=lambda *_: None,
        on_event=lambda call_id, event: told.put_nowait((call_id, event)),
        resolver=lambda _: resolver,
        tls=lambda: TlsClient(TlsOptions()),
    )


@pytest.mark.parametrize(
    ("uri", "why"),
    [
        ("turn:127.0.0.1:9?transport=tcp", "127.0.0.1:9 takes no connections"),
        ("turn:nowhere.example.org", "cannot look up nowhere.example.org: no name server is known"),
        ("turn:[::1]", "turn:[::1] has no IPv4 address"),
    ],
)
async def test_a_relay_that_is_not_there_is_told(uri: str, why: str) -> None:
    told: asyncio.Queue[tuple[str, RelayEvent]] = asyncio.Queue()
    hands = relaying(uri, told)
    hands.opened(PORT, "call")
    call_id, event = await asyncio.wait_for(told.get(), 5)
    assert call_id == "call" and isinstance(event, RelayFailed) and event.why == why
    hands.closed(PORT, gone=False)
    hands.close()


@pytest.mark.parametrize("says", [b"SSH-2.0-x\r\n", b""])
async def test_who_speaks_something_else_is_left(says: bytes) -> None:
    told: asyncio.Queue[tuple[str, RelayEvent]] = asyncio.Queue()

    def answer(stream: StreamConnection) -> None:
        def take(_octets: bytes, _now: float) -> None:
            stream.write(says)
            if not says:
                stream.close()

        stream.on_octets = take

    listener = listen_tcp(Address("127.0.0.1", 0), "", answer)
    hands = relaying(f"turn:127.0.0.1:{listener.local.port}?transport=tcp", told)
    hands.opened(PORT, "call")
    _, event = await asyncio.wait_for(told.get(), 5)
    assert isinstance(event, RelayFailed) and event.why.startswith("the connection to the relay broke")
    hands.close()
    listener.close()


async def test_a_port_that_closes_at_once_is_asked_nothing_for() -> None:
    told: asyncio.Queue[tuple[str, RelayEvent]] = asyncio.Queue()
    hands = relaying("turn:127.0.0.1", told)
    hands.opened(PORT, "call")
    hands.closed(PORT, gone=True)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert told.empty() and not hands.relays.bases
    hands.close()
