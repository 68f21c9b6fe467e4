"""The packet clock, the driver, the real clock and dice."""

from __future__ import annotations

import asyncio
import time

import pytest

from segue.net.clock import MonotonicClock
from segue.net.driver import Driver
from segue.net.entropy import SystemEntropy
from segue.net.packet_clock import PacketClock


async def test_ticks_come_in_time_and_do_not_drift() -> None:
    at: list[tuple[float, float]] = []
    done = asyncio.Event()

    def tick(expirations: int) -> None:
        at.append((time.monotonic(), clock.due))
        counted[0] += expirations
        if counted[0] >= 25:
            done.set()

    counted = [0]
    clock = PacketClock(0.004, tick)
    start = time.monotonic() + 0.01
    clock.start(start)
    await asyncio.wait_for(done.wait(), 5)
    clock.close()
    assert counted[0] == clock.ticks
    assert all(now >= due for now, due in at)
    assert at[-1][1] == pytest.approx(start + (clock.ticks - 1) * 0.004, abs=1e-6)


async def test_ticks_slept_through_are_counted() -> None:
    got: asyncio.Queue[int] = asyncio.Queue()
    clock = PacketClock(0.002, got.put_nowait)
    clock.start(time.monotonic())
    until = time.process_time() + 0.021
    while time.process_time() < until:
        pass  # the process is busy for ten periods
    first = await asyncio.wait_for(got.get(), 5)
    assert first >= 11
    assert clock.lost >= first - 1
    assert 10 <= clock.busy <= clock.lost  # it was we who worked
    clock.close()


async def test_ticks_that_the_machine_took_are_not_ours() -> None:
    got: asyncio.Queue[int] = asyncio.Queue()
    clock = PacketClock(0.01, got.put_nowait)
    clock.start(time.monotonic())
    time.sleep(0.06)  # noqa: ASYNC251 - the whole process is away, as it is when others have the processor
    assert await asyncio.wait_for(got.get(), 5) >= 6
    assert clock.lost >= 5
    assert clock.busy == 0
    clock.close()


async def test_stopped_clock_is_silent_and_starts_anew() -> None:
    got: asyncio.Queue[int] = asyncio.Queue()
    clock = PacketClock(0.001, got.put_nowait)
    clock.start()
    await asyncio.wait_for(got.get(), 5)
    clock.stop()
    while not got.empty():
        got.get_nowait()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(got.get(), 0.02)
    clock.start()
    assert await asyncio.wait_for(got.get(), 5) >= 1
    clock.close()
    clock.close()


class Echo:
    """A machine that says everything twice: at once, and 10 ms later; a deadline that never goes when `stuck`."""

    def __init__(self, stuck: bool = False) -> None:
        self.out: list[bytes] = []
        self.told: list[str] = []
        self.later: list[tuple[float, bytes]] = []
        self.expired: list[float] = []
        self.stuck = stuck

    def receive(self, data: bytes, source: str, now: float) -> None:
        self.out.append(data)
        self.told.append(source)
        self.later.append((now + 0.01, data))

    def transmits(self) -> list[bytes]:
        out, self.out = self.out, []
        return out

    def deadline(self) -> float | None:
        return 0.0 if self.stuck else min((at for at, _ in self.later), default=None)

    def expire(self, now: float) -> None:
        self.expired.append(now)
        self.out += [data for at, data in self.later if at <= now]
        self.later = [(at, data) for at, data in self.later if at > now]

    def events(self) -> list[str]:
        told, self.told = self.told, []
        return told


async def test_driver_sends_tells_and_keeps_time() -> None:
    sent: asyncio.Queue[bytes] = asyncio.Queue()
    told: list[str] = []
    machine = Echo()
    driver = Driver(machine, sent.put_nowait, told.append)
    driver.receive(b"a", "peer", driver.now())
    assert sent.get_nowait() == b"a"
    assert told == ["peer"]
    due = machine.deadline()
    assert due is not None
    assert await asyncio.wait_for(sent.get(), 5) == b"a"
    assert machine.expired[0] >= due
    assert len(machine.expired) == 1
    driver.close()


async def test_driver_goes_on_until_nothing_is_left() -> None:
    """What an event makes its owner do is carried out before `receive` returns."""
    sent: list[bytes] = []
    machine = Echo()

    def answer(event: str) -> None:
        if len(event) < 4:
            driver.receive(event.encode(), event + "!", driver.now())

    driver = Driver(machine, sent.append, answer)
    driver.receive(b"first", "a", driver.now())
    assert sent == [b"first", b"a", b"a!", b"a!!"]
    driver.close()


async def test_closed_driver_is_silent() -> None:
    sent: asyncio.Queue[bytes] = asyncio.Queue()
    machine = Echo()
    driver = Driver(machine, sent.put_nowait, lambda _event: None)
    driver.receive(b"a", "peer", driver.now())
    sent.get_nowait()
    driver.close()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(sent.get(), 0.03)


async def test_a_deadline_stuck_in_the_past_does_not_take_the_processor() -> None:
    machine = Echo(stuck=True)
    driver = Driver(machine, lambda _output: None, lambda _event: None)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(asyncio.Event().wait(), 0.02)
    driver.close()
    assert 1 <= len(machine.expired) <= 200


def test_clock_and_dice() -> None:
    clock = MonotonicClock()
    assert clock.now() <= clock.now()
    assert abs(clock.wall() - time.time()) < 1
    dice = SystemEntropy()
    assert len(dice.octets(12)) == 12
    assert len({dice.octets(8) for _ in range(100)}) == 100
