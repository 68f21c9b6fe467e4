"""The kernel's reports as facts, on the event loop: netlink always, the radio's signal where a socket reports it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import time
from collections.abc import Callable
from pathlib import Path

from segue.base.errors import LocalError
from segue.mobility.observation import AddressFact, Fact, LinkFact, RouteFact, SignalFact, SleepFact
from segue.net.netlink import AddressEvent, Event, LinkEvent, NetlinkReader, RouteEvent

LOOK_EVERY = 1.0  # seconds of waking between two looks at the clocks
ASK_EVERY = 0.2  # seconds between two questions to a kernel that tells no changes: 1 ms each
SHORTEST_SLEEP = 0.5  # seconds: less is the time between two readings
REPORT_LIMIT = 4096  # octets of one report of the radio


class MobilityService:
    """Calls `on_facts` with each burst of facts, the first one of which is the present state.

    `radio`: path of a datagram socket to listen on, where a line of JSON reports the signal:
    `{"interface": "wlan0", "dbm": -61, "network": "office"}`, `dbm` null when not associated. Raises LocalError
    when it cannot be opened.
    """

    def __init__(
        self,
        on_facts: Callable[[list[Fact], float], None],
        *,
        radio: str = "",
        on_problem: Callable[[LocalError], None] | None = None,
    ) -> None:
        """`on_problem` is told what this machine lacks; all goes on without it."""
        self._on_facts = on_facts
        self._on_problem = on_problem
        self._loop = asyncio.get_running_loop()
        self._netlink = NetlinkReader()
        self._radio = open_radio(radio) if radio else None
        self._sleep = SleepWatch(sleep_so_far())
        self._look: asyncio.TimerHandle | None = None

    def start(self) -> None:
        if self._netlink.hears_changes:
            self._loop.add_reader(self._netlink.fileno(), self._readable)
        elif self._on_problem is not None:
            self._on_problem(
                LocalError(
                    "the kernel does not tell when networks change",
                    f"moves begin up to {ASK_EVERY:g} s late; allow netlink sockets to avoid that",
                )
            )
        if self._radio is not None:
            self._loop.add_reader(self._radio.fileno(), self._radio_readable)
        self._tell(self._netlink.start())
        self._look_around()

    def close(self) -> None:
        if self._look is not None:
            self._look.cancel()
        if self._netlink.hears_changes:
            self._loop.remove_reader(self._netlink.fileno())
        self._netlink.close()
        if self._radio is not None:
            self._loop.remove_reader(self._radio.fileno())
            close_radio(self._radio)

    def _readable(self) -> None:
        self._tell(self._netlink.receive())

    def _look_around(self) -> None:
        """While the machine slept anything may have happened to its networks, and what the kernel said of it may have
        been too much for its buffer. Where it says nothing, it is asked all the time."""
        slept = self._sleep.slept(sleep_so_far())
        if slept or not self._netlink.hears_changes:
            self._tell(self._netlink.look())
        if slept:
            self._on_facts([SleepFact()], self._loop.time())
        wait = LOOK_EVERY if self._netlink.hears_changes else ASK_EVERY
        self._look = self._loop.call_later(wait, self._look_around)

    def _tell(self, events: list[Event]) -> None:
        facts = [fact for fact in map(fact_of, events) if fact is not None]
        if facts:
            self._on_facts(facts, self._loop.time())

    def _radio_readable(self) -> None:
        assert self._radio is not None
        fact = receive_radio(self._radio)
        if fact is not None:
            self._on_facts([fact], self._loop.time())


class SleepWatch:
    """Notices that the machine has slept, by what CLOCK_BOOTTIME has more than CLOCK_MONOTONIC, in seconds. Pure."""

    def __init__(self, so_far: float) -> None:
        self._so_far = so_far

    def slept(self, so_far: float) -> bool:
        """Whether it has since this was asked last."""
        before, self._so_far = self._so_far, so_far
        return so_far - before >= SHORTEST_SLEEP


def sleep_so_far() -> float:
    """Seconds that this machine has slept since it was started."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) - time.clock_gettime(time.CLOCK_MONOTONIC)


def fact_of(event: Event) -> Fact | None:
    """What mobility wants to know of a report of the kernel's."""
    if isinstance(event, LinkEvent):
        return LinkFact(event.interface, event.carrier, event.present)
    if isinstance(event, AddressEvent):
        return AddressFact(event.interface, event.address, event.usable, event.present, event.deprecated)
    if isinstance(event, RouteEvent):
        return RouteFact(event.interface, event.family, event.router, event.metric, event.present)
    return None


def signal_of(report: bytes) -> SignalFact | None:
    """A report of the radio's; None for one that is none."""
    try:
        said = json.loads(report)
        dbm = said["dbm"]
        return SignalFact(
            str(said["interface"]), None if dbm is None else float(dbm), str(said.get("network", ""))
        )
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError):
        return None


def receive_radio(radio: socket.socket) -> SignalFact | None:
    """The next report that is one; None when nothing is waiting."""
    while True:
        try:
            report = radio.recv(REPORT_LIMIT)
        except BlockingIOError:
            return None
        fact = signal_of(report)
        if fact is not None:
            return fact


def close_radio(radio: socket.socket) -> None:
    with contextlib.suppress(OSError):
        Path(radio.getsockname()).unlink()
    radio.close()


def open_radio(path: str) -> socket.socket:
    """A datagram socket for reports. LocalError when it cannot be."""
    opened = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    opened.setblocking(False)
    try:
        if _is_left_behind(path):
            Path(path).unlink()
        opened.bind(path)
    except OSError as error:
        opened.close()
        raise LocalError(f"cannot listen at {path}: {error.strerror}", "give another --radio") from None
    return opened


def _is_left_behind(path: str) -> bool:
    """Whether this is the socket of a phone that was killed: nobody listens there."""
    if not Path(path).is_socket():
        return False
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            return True
    return False
