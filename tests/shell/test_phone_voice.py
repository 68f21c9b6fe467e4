"""The process that carries voice: its heap during a call, and the sockets of its reports."""

from __future__ import annotations

import asyncio
import gc
import socket
import weakref
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from segue import Call, Frame, Phone
from segue.base.address import Address
from segue.base.errors import RemoteError
from segue.call.media_session import MediaSession
from segue.call.path import rtcp_port
from segue.phone import voice
from segue.phone.engine import Engine
from segue.phone.voice_link import InnerLink
from segue.protocols.demux import Kind, sort


class Knot:
    """Garbage that only a collector finds."""

    def __init__(self) -> None:
        self.self = self


async def test_during_a_call_garbage_is_swept_up_between_ticks_and_at_no_other_time(
    office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(voice, "SWEEP", 10)
    async with office.phone("alice") as alice, office.phone("bob") as bob:
        call, _ = await talk(alice, bob)
        assert not gc.isenabled()
        gone = asyncio.Event()
        weakref.finalize(Knot(), gone.set)
        await asyncio.wait_for(gone.wait(), 5)
        assert not gc.isenabled()
        await call.hang_up()
    assert gc.isenabled()


class Wire:
    """The socket that an INVITE of alice's names, in our hands, while bob's phone rings."""

    def __init__(self, bob: Phone, ringing: Call, placing: asyncio.Task[Call], named: socket.socket) -> None:
        self.ringing = ringing
        self.placing = placing
        self._engine = engine_of(bob)
        self._named = named

    def let_report_fall_due(self, seconds: float, *, settle: bool = True) -> None:
        (call,) = self._engine.agent.calls.values()
        call.media.session.expire(asyncio.get_running_loop().time() + seconds)
        if settle:
            self._engine.settle()

    def reports(self) -> int:
        """How many RTCP datagrams have come since the last look."""
        count = 0
        while True:
            try:
                count += sort(self._named.recv(2048)) is Kind.RTCP
            except BlockingIOError:
                return count


def engine_of(phone: Phone) -> Engine:
    link = phone._link
    assert isinstance(link, InnerLink)
    return link._service._engine


@asynccontextmanager
async def ringing(office: Any) -> AsyncIterator[Wire]:
    async with office.phone("alice") as alice, office.phone("bob") as bob:
        await asyncio.gather(alice.registered(), bob.registered())
        placing = asyncio.create_task(alice.call("bob"))
        call = await anext(bob.incoming())
        engine = engine_of(alice)
        (placed,) = engine.agent.calls.values()
        (port,) = placed.media.paths.ports
        engine.voice.close(port)
        with socket.socket(type=socket.SOCK_DGRAM) as named:
            named.bind((port.address.host, port.address.port))
            named.setblocking(False)
            yield Wire(bob, call, placing, named)


async def test_a_phone_that_rings_sends_nothing_to_the_address_that_an_invite_names(office) -> None:
    async with ringing(office) as wire:
        wire.let_report_fall_due(60)
        assert wire.reports() == 0, "the user has not accepted"
        await wire.ringing.answer()
        call = await wire.placing
        assert wire.reports() == 0, "nor is what fell due before sent afterwards"
        wire.let_report_fall_due(120)
        assert wire.reports() == 1
        await call.hang_up()


async def test_a_call_that_was_not_accepted_ends_without_a_report(office) -> None:
    async with ringing(office) as wire:
        wire.let_report_fall_due(60, settle=False)
        wire.ringing.reject(486)
        with pytest.raises(RemoteError):
            await wire.placing
        assert wire.reports() == 0


@pytest.mark.parametrize("mux", [True, False], ids=["one port", "two ports"])
@pytest.mark.parametrize("leaver", [0, 1])
async def test_the_goodbye_of_rtcp_comes_by_the_port_that_was_agreed(office, mux: bool, leaver: int) -> None:
    """SRTCP over real sockets: by the media's port (RFC 5761), or by the one above with a peer that cannot."""
    configs = [office.phone(name).config for name in ("alice", "bob")]
    configs[1] = replace(configs[1], media=replace(configs[1].media, rtcp_mux=mux))
    async with (
        Phone(config=configs[0], in_process=True) as alice,
        Phone(config=configs[1], in_process=True) as bob,
    ):
        call, answered = await talk(alice, bob)
        stays, above = ends_of((bob, alice)[leaver])
        assert stays.agreement is not None
        assert stays.agreement.rtcp_mux is mux
        assert not stays.peer_left
        await (call, answered)[leaver].hang_up()
        await (answered, call)[leaver].ended()
        assert stays.peer_left
        assert bool(above) is not mux


def ends_of(phone: Phone) -> tuple[MediaSession, list[bytes]]:
    """The session of its one call, and what comes to the port above the media's from now on."""
    engine = engine_of(phone)
    (live,) = engine.agent.calls.values()
    rtcp = engine.voice._sockets[rtcp_port(live.media.paths.sending)]
    came: list[bytes] = []
    take = rtcp._on_datagram

    def note(octets: bytes, source: Address, now: float) -> None:
        came.append(octets)
        take(octets, source, now)

    rtcp._on_datagram = note
    return live.media.session, came


async def talk(alice: Phone, bob: Phone) -> tuple[Call, Call]:
    await asyncio.gather(alice.registered(), bob.registered())
    placing = asyncio.create_task(alice.call("bob"))
    answered = await anext(bob.incoming())
    await answered.answer()
    assert len([frame async for frame in up_to(answered.listen(), 5)]) == 5
    return await placing, answered


async def up_to(frames: AsyncIterator[Frame], count: int) -> AsyncIterator[Frame]:
    async for frame in frames:
        yield frame
        count -= 1
        if not count:
            return
