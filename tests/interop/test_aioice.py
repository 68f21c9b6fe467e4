"""aioice, an independent ICE agent (RFC 8445, without trickling or restart), as the other end: real sockets on
loopback."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from time import monotonic

import aioice
import pytest

from segue.base.address import Address, LocalPort, Path
from segue.base.ice_description import IceDescription
from segue.base.secret import Secret
from segue.net.entropy import SystemEntropy
from segue.protocols.ice.agent import IceAgent
from segue.protocols.ice.events import IceEvent, PathProven
from segue.protocols.sdp import parse_candidate, write_candidate
from segue.protocols.stun.message import is_stun

HOSTS = {4: "127.0.0.1", 6: "::1"}
ROLES = ("controlling", "controlled")


class Ours:
    """An agent with UDP sockets on the loopback interface, and no more."""

    def __init__(self, *, controlling: bool, components: int = 1, migration: bool = False) -> None:
        self.agent = IceAgent(
            controlling=controlling,
            entropy=SystemEntropy(),
            now=monotonic(),
            components=components,
            migration=migration,
        )
        self.events: list[IceEvent] = []
        self.received: list[tuple[Path, bytes]] = []
        self._sockets: dict[Address, socket.socket] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._changed = asyncio.Event()

    def open(self, family: int, component: int = 1) -> LocalPort:
        kind = socket.AF_INET if family == 4 else socket.AF_INET6
        opened = socket.socket(kind, socket.SOCK_DGRAM)
        opened.setblocking(False)
        opened.bind((HOSTS[family], 0))
        port = LocalPort("lo", Address(*opened.getsockname()[:2]))
        self._sockets[port.address] = opened
        asyncio.get_running_loop().add_reader(opened, self._read, port, opened)
        self.agent.add_port(port, monotonic(), component=component)
        self._drain()
        return port

    def learn(self, description: IceDescription) -> None:
        self.agent.set_remote(description, monotonic())
        self._drain()

    def send(self, payload: bytes, component: int = 1) -> None:
        path = self.agent.selected_of(component)
        assert path is not None
        assert self.agent.may_send(path, len(payload))
        self._sockets[path.local].sendto(payload, tuple(path.remote))

    async def until(self, true: Callable[[], bool]) -> None:
        async with asyncio.timeout(30):
            while not true():
                self._changed.clear()
                await self._changed.wait()

    async def until_selected(self, component: int = 1) -> Path:
        await self.until(lambda: self.agent.completed)
        path = self.agent.selected_of(component)
        assert path is not None
        return path

    async def receive(self) -> bytes:
        await self.until(lambda: bool(self.received))
        return self.received.pop(0)[1]

    def forget(self, port: LocalPort) -> None:
        asyncio.get_running_loop().remove_reader(self._sockets[port.address])
        self._sockets.pop(port.address).close()
        self.agent.remove_port(port, monotonic())
        self._drain()

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        for opened in self._sockets.values():
            asyncio.get_running_loop().remove_reader(opened)
            opened.close()

    def _read(self, port: LocalPort, opened: socket.socket) -> None:
        octets, source = opened.recvfrom(2048)
        path = Path(port.interface, port.address, Address(*source[:2]))
        if is_stun(octets):
            self.agent.receive(octets, path, monotonic())
        else:
            self.received.append((path, octets))
            self.agent.received_media(path, len(octets), monotonic())
        self._drain()

    def _drain(self) -> None:
        for path, octets in self.agent.transmits():
            with contextlib.suppress(OSError):
                self._sockets[path.local].sendto(octets, tuple(path.remote))
        self.events += self.agent.events()
        self._changed.set()
        if self._timer is not None:
            self._timer.cancel()
        due = self.agent.deadline()
        if due is not None:
            self._timer = asyncio.get_running_loop().call_later(max(0.0, due - monotonic()), self._expire)

    def _expire(self) -> None:
        self.agent.expire(monotonic())
        self._drain()


@pytest.fixture(params=[4, 6], ids=["ipv4", "ipv6"])
def family(request: pytest.FixtureRequest) -> int:
    return int(request.param)


@pytest.fixture
async def theirs(
    family: int, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[aioice.Connection]:
    """aioice leaves the loopback interface out by itself."""
    monkeypatch.setattr(aioice.ice, "get_host_addresses", lambda **_: [HOSTS[family]])
    role, components = request.param
    connection = aioice.Connection(ice_controlling=role == "controlled", components=components)
    await connection.gather_candidates()
    yield connection
    await connection.close()


def description_of(connection: aioice.Connection) -> IceDescription:
    """What it would say in SDP, read as we read SDP."""
    candidates = tuple(parse_candidate(each.to_sdp()) for each in connection.local_candidates)
    assert None not in candidates
    return IceDescription(
        connection.local_username,
        Secret(connection.local_password),
        candidates=tuple(each for each in candidates if each is not None),
        ended=True,
    )


async def tell(connection: aioice.Connection, ours: IceAgent) -> None:
    connection.remote_username = ours.credentials.ufrag
    connection.remote_password = ours.credentials.password.reveal().decode()
    for candidate in ours.candidates:
        await connection.add_remote_candidate(aioice.Candidate.from_sdp(write_candidate(candidate)))
    await connection.add_remote_candidate(None)


BOTH_ROLES = pytest.mark.parametrize("theirs", [(role, 1) for role in ROLES], indirect=True, ids=ROLES)


def ours_for(theirs: aioice.Connection, components: int = 1) -> Ours:
    return Ours(controlling=not theirs.ice_controlling, components=components)


@BOTH_ROLES
async def test_both_hear_each_other(theirs: aioice.Connection, family: int) -> None:
    ours = ours_for(theirs)
    try:
        ours.open(family)
        await tell(theirs, ours.agent)
        ours.learn(description_of(theirs))
        async with asyncio.timeout(30):
            await theirs.connect()
        path = await ours.until_selected()
        assert path.remote.host == HOSTS[family]
        ours.send(b"\x80 from us")
        assert await theirs.recv() == b"\x80 from us"
        await theirs.send(b"\x80 from them")
        assert await ours.receive() == b"\x80 from them"
        assert ours.agent.controlling is not theirs.ice_controlling
    finally:
        ours.close()


@pytest.mark.parametrize("theirs", [(role, 2) for role in ROLES], indirect=True, ids=ROLES)
async def test_two_components(theirs: aioice.Connection, family: int) -> None:
    ours = ours_for(theirs, components=2)
    try:
        ours.open(family)
        ours.open(family, component=2)
        await tell(theirs, ours.agent)
        ours.learn(description_of(theirs))
        async with asyncio.timeout(30):
            await theirs.connect()
        await ours.until_selected(1)
        await ours.until_selected(2)
        ours.send(b"\x80 control", component=2)
        assert await theirs.recvfrom() == (b"\x80 control", 2)
    finally:
        ours.close()


@pytest.mark.parametrize(
    "theirs",
    [("controlling", 1), ("controlled", 1)],
    indirect=True,
    ids=["both controlled", "both controlling"],
)
async def test_a_conflict_of_roles_is_settled(theirs: aioice.Connection, family: int) -> None:
    """Both begin with the same one."""
    ours = Ours(controlling=theirs.ice_controlling)
    try:
        ours.open(family)
        await tell(theirs, ours.agent)
        ours.learn(description_of(theirs))
        async with asyncio.timeout(30):
            await theirs.connect()
        await ours.until_selected()
        assert ours.agent.controlling is not theirs.ice_controlling
    finally:
        ours.close()


@BOTH_ROLES
async def test_a_wrong_password_leads_nowhere(theirs: aioice.Connection, family: int) -> None:
    ours = ours_for(theirs)
    try:
        ours.open(family)
        await tell(theirs, ours.agent)
        ours.learn(replace(description_of(theirs), password=Secret("B" * 22)))
        with contextlib.suppress(ConnectionError, TimeoutError):
            async with asyncio.timeout(1.0):
                await theirs.connect()
        assert ours.agent.selected is None
        assert not any(isinstance(event, PathProven) for event in ours.events)
    finally:
        ours.close()


@BOTH_ROLES
async def test_a_new_source_of_ours_is_answered(theirs: aioice.Connection, family: int) -> None:
    """aioice cannot move a connection: it answers a check from a port it was never told of, so that the path is
    proven, and goes on sending to the one that was nominated. A call with such a peer moves by an ICE restart,
    which aioice has not, or by a re-INVITE."""
    ours = ours_for(theirs)
    try:
        ours.open(family)
        await tell(theirs, ours.agent)
        ours.learn(description_of(theirs))
        async with asyncio.timeout(30):
            await theirs.connect()
        path = await ours.until_selected()
        new = ours.open(family)
        assert not ours.agent.move(new, monotonic())
        fresh = Path("lo", new.address, path.remote)
        ours.agent.check(fresh, monotonic())
        ours._drain()
        await ours.until(lambda: ours.agent.proven(fresh))
        assert ours.agent.selected == path
        await theirs.send(b"\x80 still there")
        assert await ours.receive() == b"\x80 still there"
    finally:
        ours.close()
