"""Where STUN and TURN servers are found: a name server on loopback."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from segue.base.address import Address
from segue.base.errors import RemoteError
from segue.base.trace import MemoryTrace
from segue.lab.networks.name_server import NameServer, read_zone
from segue.net.dns import Resolver
from segue.net.udp import UdpSocket
from segue.phone.traversal_servers import StunServers, find_server
from segue.protocols.turn.uri import parse_server_uri

ZONE = """
$ORIGIN example.org.
$TTL 60
@ IN SOA dns hostmaster 1 3600 600 86400 60
@ IN NS dns
_stun._udp IN SRV 10 1 3500 two
_stun._udp IN SRV 5 1 3478 one
_turns._tcp IN SRV 5 1 443 one
_turn._tcp.off IN SRV 0 0 0 .
off IN A 192.0.2.9
one IN A 192.0.2.1
one IN AAAA 2001:db8::1
two IN A 192.0.2.2
"""


@pytest.fixture
async def resolver() -> AsyncIterator[Resolver]:
    names = NameServer(read_zone(ZONE))

    def take(octets: bytes, source: Address, _now: float) -> None:
        answer = names.answer(octets, 512)
        assert answer is not None
        socket.send(answer, source)

    socket = UdpSocket(Address("127.0.0.1", 0), on_datagram=take)
    asking = Resolver([socket.local], hosts_file="/dev/null")
    yield asking
    asking.close()
    socket.close()


@pytest.mark.parametrize(
    ("uri", "family", "found"),
    [
        ("stun:example.org", 4, ["192.0.2.1:3478", "192.0.2.2:3500"]),
        ("stun:example.org", 6, ["[2001:db8::1]:3478"]),
        ("turns:example.org", 4, ["192.0.2.1:443"]),
        ("turn:one.example.org", 4, ["192.0.2.1:3478"]),  # a host without SRV
        ("turn:one.example.org:5000", 6, ["[2001:db8::1]:5000"]),
        ("turn:off.example.org?transport=tcp", 4, ["192.0.2.9:3478"]),
        ("turn:192.0.2.7", 4, ["192.0.2.7:3478"]),
        ("turn:[2001:db8::7]:99", 6, ["[2001:db8::7]:99"]),
    ],
)
async def test_where_a_server_is(resolver: Resolver, uri: str, family: int, found: list[str]) -> None:
    addresses = await asyncio.wait_for(find_server(resolver, parse_server_uri(uri), family), 5)
    assert [str(address) for address in addresses] == found


@pytest.mark.parametrize(
    ("uri", "family"), [("stun:two.example.org", 6), ("stun:none.example.org", 4), ("turn:192.0.2.7", 6)]
)
async def test_where_there_is_none(resolver: Resolver, uri: str, family: int) -> None:
    with pytest.raises(RemoteError):
        await asyncio.wait_for(find_server(resolver, parse_server_uri(uri), family), 5)


async def test_servers_are_known_before_they_are_needed(resolver: Resolver) -> None:
    """Those over TCP and TLS tell no address of use."""
    trace = MemoryTrace()
    servers = StunServers(
        ["stun:example.org", "turn:192.0.2.7", "turns:example.org", "stun:none.example.org"],
        lambda _: resolver,
        trace=trace,
    )
    assert servers.addresses == ()
    networks = [("wlan0", 4), ("wlan0", 6)]
    servers.look_up(networks)
    servers.look_up(networks)
    expected = {Address("192.0.2.1", 3478), Address("2001:db8::1", 3478), Address("192.0.2.7", 3478)}
    await asyncio.wait_for(asyncio.gather(*servers._tasks), 5)
    assert set(servers.addresses) == expected
    assert len(trace.records) == 3  # one name has none at all, and one address is of the other family
    servers.close()
