"""A phone asks the STUN servers that it is told of, and tells the other end where it seems to be."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from segue import Phone
from segue.base.address import Address
from segue.net.udp import UdpSocket
from segue.phone.voice_link import InnerLink
from segue.protocols.stun.attributes import XOR_MAPPED_ADDRESS
from segue.protocols.stun.message import parse_stun, success_response

MAPPED = Address("203.0.113.7", 40007)


async def test_where_we_seem_to_be_is_in_the_offer(office) -> None:
    asked: list[Address] = []

    def answer(octets: bytes, source: Address, _now: float) -> None:
        asked.append(source)
        server.send(success_response(parse_stun(octets)).add(XOR_MAPPED_ADDRESS, MAPPED).write(), source)

    server = UdpSocket(Address("127.0.0.1", 0), on_datagram=answer)
    config = office.phone("alice").config
    networks = replace(config.networks, stun=(f"stun:127.0.0.1:{server.local.port}",))
    async with (
        Phone(config=replace(config, networks=networks), in_process=True) as alice,
        office.phone("bob") as bob,
    ):
        await asyncio.gather(alice.registered(), bob.registered())
        placing = asyncio.create_task(alice.call("bob"))
        await (await anext(bob.incoming())).answer()
        call = await placing
        link = alice._link
        assert isinstance(link, InnerLink)
        (live,) = link._service._engine.agent.calls.values()
        port = live.media.paths.sending.address
        assert port in asked
        offer = live.media.offer(asyncio.get_running_loop().time()).decode()
        assert f"{MAPPED.host} {MAPPED.port} typ srflx raddr {port.host} rport {port.port}" in offer
        live.media.rollback()
        await call.hang_up()
    server.close()
