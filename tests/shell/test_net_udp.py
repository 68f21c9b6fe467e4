"""Datagrams over real loopback sockets."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import time

import pytest

from segue.base.address import Address
from segue.base.errors import LocalError
from segue.base.trace import MemoryTrace
from segue.net.udp import DRAIN, UdpSocket, open_pair


class Inbox:
    """Datagrams as they come; `wait(count)` until that many are there."""

    def __init__(self) -> None:
        self.got: list[tuple[bytes, Address, float]] = []
        self._more = asyncio.Event()

    def __call__(self, octets: bytes, source: Address, now: float) -> None:
        self.got.append((octets, source, now))
        self._more.set()

    async def wait(self, count: int) -> list[bytes]:
        async with asyncio.timeout(5):
            while len(self.got) < count:
                self._more.clear()
                await self._more.wait()
        return [octets for octets, _, _ in self.got]


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
@pytest.mark.parametrize("kernel_time", [False, True])
async def test_a_datagram_arrives_with_its_source_and_time(host: str, kernel_time: bool) -> None:
    inbox = Inbox()
    a = UdpSocket(Address(host, 0), on_datagram=Inbox())
    b = UdpSocket(Address(host, 0), on_datagram=inbox, kernel_time=kernel_time)
    before = time.monotonic()
    assert a.send(b"hello", b.local)
    await inbox.wait(1)
    octets, source, now = inbox.got[0]
    assert (octets, source) == (b"hello", a.local)
    assert before - 0.001 <= now <= time.monotonic()
    a.close()
    b.close()


async def test_kernel_time_is_when_it_came_and_not_when_we_looked() -> None:
    inbox = Inbox()
    a = UdpSocket(Address("127.0.0.1", 0), on_datagram=Inbox())
    b = UdpSocket(Address("127.0.0.1", 0), on_datagram=inbox, kernel_time=True)
    await asyncio.sleep(
        0.05
    )  # the first socket that wants stamps has the kernel switch them on, on a work queue
    a.send(b"x", b.local)
    sent = time.monotonic()
    while time.monotonic() < sent + 0.02:
        pass  # the process is busy
    await inbox.wait(1)
    assert inbox.got[0][2] < sent + 0.01
    a.close()
    b.close()


async def test_bound_to_an_interface() -> None:
    inbox = Inbox()
    a = UdpSocket(Address("127.0.0.1", 0), "lo", on_datagram=Inbox())
    b = UdpSocket(Address("127.0.0.1", 0), "lo", on_datagram=inbox)
    assert a.send(b"over lo", b.local)
    assert await inbox.wait(1) == [b"over lo"]
    a.close()
    b.close()


async def test_what_cannot_leave_is_false_counted_and_traced() -> None:
    trace = MemoryTrace()
    a = UdpSocket(Address("127.0.0.1", 0), "lo", on_datagram=Inbox(), trace=trace)
    assert not a.send(b"x", Address("::1", 9))  # other family
    assert not a.send(b"x", Address("sip.example.net", 9))  # never looked up here
    assert not a.send(bytes(70_000), Address("127.0.0.1", 9))
    assert sum(a.failures.values()) == 3
    assert a.failures[errno.EMSGSIZE] == 1
    assert trace.drops["udp", "message too long"] == 1
    a.close()
    assert not a.send(b"x", Address("127.0.0.1", 9))


async def test_a_port_nobody_listens_on_does_not_disturb() -> None:
    inbox = Inbox()
    probe = UdpSocket(Address("127.0.0.1", 0), on_datagram=Inbox())
    closed = probe.local
    probe.close()
    a = UdpSocket(Address("127.0.0.1", 0), on_datagram=inbox)
    for _ in range(3):
        a.send(b"to nobody", closed)
    a.send(b"to myself", a.local)
    assert await inbox.wait(1) == [b"to myself"]
    a.close()


async def test_errors_of_the_user_are_one_line() -> None:
    a = UdpSocket(Address("127.0.0.1", 0), on_datagram=Inbox())
    with pytest.raises(LocalError, match=f"port {a.local.port} is in use: choose another with --local-port"):
        UdpSocket(a.local, on_datagram=Inbox())
    with pytest.raises(LocalError, match=r"no interface has the address 192\.0\.2\.77"):
        UdpSocket(Address("192.0.2.77", 0), on_datagram=Inbox())
    with pytest.raises(LocalError, match="there is no interface 'wlan77'"):
        UdpSocket(Address("127.0.0.1", 0), "wlan77", on_datagram=Inbox())
    a.close()


async def test_a_flood_leaves_turns_for_others() -> None:
    inbox = Inbox()
    a = UdpSocket(Address("127.0.0.1", 0), on_datagram=Inbox())
    b = UdpSocket(Address("127.0.0.1", 0), on_datagram=inbox)
    for number in range(DRAIN + 10):
        a.send(number.to_bytes(2, "big"), b.local)
    seen: list[int] = []
    asyncio.get_running_loop().call_later(0, lambda: seen.append(len(inbox.got)))
    everything = await inbox.wait(DRAIN + 10)
    assert seen and seen[0] <= DRAIN
    assert everything == [number.to_bytes(2, "big") for number in range(DRAIN + 10)]
    a.close()
    b.close()


async def test_closing_in_the_callback_drops_what_is_queued() -> None:
    got: list[bytes] = []

    def once(octets: bytes, _source: Address, _now: float) -> None:
        got.append(octets)
        b.close()
        done.set()

    done = asyncio.Event()
    a = UdpSocket(Address("127.0.0.1", 0), on_datagram=Inbox())
    b = UdpSocket(Address("127.0.0.1", 0), on_datagram=once)
    a.send(b"1", b.local)
    a.send(b"2", b.local)
    await asyncio.wait_for(done.wait(), 5)
    await asyncio.sleep(0)
    assert got == [b"1"]
    b.close()
    a.close()


async def test_ipv6_socket_takes_no_ipv4() -> None:
    b = UdpSocket(Address("::", 0), on_datagram=Inbox())
    probe = UdpSocket(Address("0.0.0.0", b.local.port), on_datagram=Inbox())  # would be in use otherwise
    probe.close()
    b.close()


async def test_media_is_marked() -> None:
    a, b = open_pair("127.0.0.1", on_rtp=Inbox(), on_rtcp=Inbox())
    copy = socket.socket(fileno=os.dup(a.fileno()))
    assert copy.getsockopt(socket.IPPROTO_IP, socket.IP_TOS) == 46 << 2
    copy.close()
    a.close()
    b.close()


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_pairs_are_even_and_odd(host: str) -> None:
    pairs = [open_pair(host, on_rtp=Inbox(), on_rtcp=Inbox()) for _ in range(10)]
    for rtp, rtcp in pairs:
        assert rtp.local.port % 2 == 0
        assert rtcp.local.port == rtp.local.port + 1
        rtp.close()
        rtcp.close()


async def test_pair_in_a_range_and_none_left() -> None:
    rtp, rtcp = open_pair("127.0.0.1", on_rtp=Inbox(), on_rtcp=Inbox())
    taken = range(rtp.local.port, rtp.local.port + 2)
    with pytest.raises(LocalError, match="no two adjacent UDP ports"):
        open_pair("127.0.0.1", ports=taken, on_rtp=Inbox(), on_rtcp=Inbox())
    rtp.close()
    rtcp.close()
    rtp, rtcp = open_pair("127.0.0.1", ports=taken, on_rtp=Inbox(), on_rtcp=Inbox())
    assert rtp.local.port == taken[0]
    rtp.close()
    rtcp.close()
