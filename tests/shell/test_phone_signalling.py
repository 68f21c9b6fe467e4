"""The phone's signalling on real sockets, with a server on loopback that takes datagrams and perhaps streams."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from segue import Call, Phone
from segue.base.address import Address
from segue.server.authentication import hashes_of
from segue.server.config import Listen, ServerConfig
from segue.server.server import Server
from segue.server.store import Store

DOMAIN = "example.org"


def free_port() -> int:
    """Free for UDP and TCP."""
    while True:
        with socket.socket() as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
            tcp.bind(("127.0.0.1", 0))
            try:
                udp.bind(tcp.getsockname())
            except OSError:
                continue
            return int(tcp.getsockname()[1])


@asynccontextmanager
async def clear_office(folder: Path, *transports: str) -> AsyncIterator[tuple[Server, list[Phone]]]:
    """A server, and phones of alice and bob that are registered over UDP."""
    database = str(folder / "server.db")
    store = Store(database)
    store.put_users(DOMAIN, {name: hashes_of(name, DOMAIN, f"of {name}") for name in ("alice", "bob")})
    store.close()
    here = Address("127.0.0.1", free_port())
    listens = tuple(Listen(transport, here) for transport in transports)
    async with Server(ServerConfig(DOMAIN, listens, database)) as server:
        phones = [
            Phone(
                f"sip:{name}@{DOMAIN}",
                password=f"of {name}",
                registrar=str(here),
                transport="udp",
                keying="none",
                codec="PCMA",
                interfaces=("lo",),
                family=4,
                in_process=True,
            )
            for name in ("alice", "bob")
        ]
        async with phones[0], phones[1]:
            await asyncio.gather(*(phone.registered() for phone in phones))
            yield server, phones


async def call_with_a_large_invite(alice: Phone, bob: Phone) -> tuple[Call, Call]:
    """The address alone takes it over the limit."""
    placing = asyncio.create_task(alice.call(f"sip:bob@{DOMAIN};x={'x' * 1000}"))
    async with asyncio.timeout(10):
        async for ringing in bob.incoming():
            await ringing.answer()
            return await placing, ringing
    raise AssertionError("the phone was closed")


def streams(server: Server) -> int:
    return sum(listener.count for _, listener in server._listeners)


async def test_a_large_invite_goes_by_tcp(tmp_path):
    async with clear_office(tmp_path, "UDP", "TCP") as (server, (alice, bob)):
        assert streams(server) == 0
        placed, answered = await call_with_a_large_invite(alice, bob)
        assert streams(server) == 1
        assert placed.state == answered.state == "up"
        await answered.hang_up()
        await asyncio.wait_for(placed.ended(), 5)


@pytest.mark.parametrize("silent", [False, True], ids=["refused", "taken and closed"])
async def test_a_large_invite_goes_by_datagram_where_tcp_does_not_work(tmp_path, silent):
    async with clear_office(tmp_path, "UDP") as (server, (alice, bob)):
        if silent:
            here = server._sockets[0].local
            other = await asyncio.start_server(lambda _, writer: writer.close(), here.host, here.port)
        placed, _ = await call_with_a_large_invite(alice, bob)
        assert placed.state == "up"
        if silent:
            other.close()
