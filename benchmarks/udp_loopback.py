"""Voice-sized datagrams over loopback: our socket against asyncio's DatagramProtocol, in one run.

    python benchmarks/udp_loopback.py

Both ends are in this process. "receive" is the processor time from a full socket to the callback's return, "send"
that of one send call; "echo" lets each datagram come back, one at a time, which is what a call looks like.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from time import perf_counter, process_time

from segue.base.address import Address
from segue.net.udp import UdpSocket

PACKET = bytes(172)
BATCH = 64
ROUNDS = 150
HERE = Address("127.0.0.1", 0)


class Counter(asyncio.DatagramProtocol):
    def __init__(self) -> None:
        self.left = 0
        self.done = asyncio.Event()
        self.answer: Callable[[bytes, Address], object] | None = None

    def expect(self, count: int) -> None:
        self.left = count
        self.done.clear()

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.took(data, Address(*addr), 0.0)

    def took(self, octets: bytes, source: Address, _now: float) -> None:
        self.left -= 1
        if self.answer is not None and self.left > 0:
            self.answer(octets, source)
        if self.left <= 0:
            self.done.set()


async def receive(counter: Counter, target: Address) -> float:
    """Microseconds of processor a datagram, best round."""
    feeder = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    best = float("inf")
    for _ in range(ROUNDS):
        for _ in range(BATCH):
            feeder.sendto(PACKET, target)
        counter.expect(BATCH)
        start = process_time()
        await counter.done.wait()
        best = min(best, process_time() - start)
    feeder.close()
    return best / BATCH * 1e6


def send(one: Callable[[bytes, Address], object]) -> float:
    sink = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sink.bind(HERE)
    target = Address(*sink.getsockname())
    best = float("inf")
    for _ in range(ROUNDS):
        start = process_time()
        for _ in range(BATCH):
            one(PACKET, target)
        best = min(best, process_time() - start)
        for _ in range(BATCH):
            sink.recv(2048)
    sink.close()
    return best / BATCH * 1e6


async def echo(counter: Counter, one: Callable[[bytes, Address], object], itself: Address) -> float:
    """Microseconds for a datagram to ourselves that causes the next."""
    counter.answer = one
    best = float("inf")
    for _ in range(10):
        counter.expect(1000)
        start = perf_counter()
        one(PACKET, itself)
        await counter.done.wait()
        best = min(best, perf_counter() - start)
    counter.answer = None
    return best / 1000 * 1e6


async def main() -> None:
    ours = Counter()
    udp = UdpSocket(HERE, on_datagram=ours.took)
    timed_counter = Counter()
    timed = UdpSocket(HERE, on_datagram=timed_counter.took, kernel_time=True)
    theirs = Counter()
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(lambda: theirs, local_addr=HERE)
    local = Address(*transport.get_extra_info("sockname"))
    print(f"{'':22}{'receive':>10}{'send':>10}{'echo':>10}   µs a datagram of {len(PACKET)} octets")
    for name, counter, one, address in (
        ("segue.net.udp", ours, udp.send, udp.local),
        ("  with kernel time", timed_counter, timed.send, timed.local),
        ("asyncio", theirs, transport.sendto, local),
    ):
        got, sent, back = await receive(counter, address), send(one), await echo(counter, one, address)
        rate = 1e6 / (got + sent)
        print(f"{name:22}{got:10.2f}{sent:10.2f}{back:10.2f}   {rate:,.0f} through a second")
    udp.close()
    timed.close()
    transport.close()


if __name__ == "__main__":
    asyncio.run(main())
