"""Runs one machine on the event loop, and obeys the drain rule of `base.machine` so that nobody else must."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Generic

from segue.base.machine import Event, Input_contra, Machine, Output, Source_contra

_AT_ONCE = 0.001  # seconds: the soonest a deadline that `expire` left in the past is looked at again


class Driver(Generic[Input_contra, Source_contra, Output, Event]):
    """A machine with hands: `on_transmit` sends, `on_event` tells; both may call `receive`, `do` and `settle`.

    Deadlines and `now` are the loop's time. Each wish of the machine is carried out before the next input.
    """

    __slots__ = (
        "_closed",
        "_deadline",
        "_loop",
        "_on_event",
        "_on_transmit",
        "_settling",
        "_timer",
        "machine",
    )

    def __init__(
        self,
        machine: Machine[Input_contra, Source_contra, Output, Event],
        on_transmit: Callable[[Output], object],
        on_event: Callable[[Event], object],
    ) -> None:
        self.machine = machine
        self._on_transmit = on_transmit
        self._on_event = on_event
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._deadline = 0.0  # when the timer fires
        self._settling = False
        self._closed = False
        self.settle()

    def receive(self, data: Input_contra, source: Source_contra, now: float) -> None:
        """Hand in what came; has the shape of a socket's `on_datagram`."""
        self.machine.receive(data, source, now)
        self.settle()

    def now(self) -> float:
        """The time that commands of the machine want."""
        return self._loop.time()

    def settle(self) -> None:
        """To be called after each command given to the machine."""
        if self._settling or self._closed:
            return  # the call further out goes on until there is nothing left
        self._settling = True
        machine = self.machine
        try:
            while True:
                transmits = machine.transmits()
                for output in transmits:
                    self._on_transmit(output)
                events = machine.events()
                for event in events:
                    self._on_event(event)
                if not (transmits or events):
                    break
        finally:
            self._settling = False
        self._arm(machine.deadline())

    def close(self) -> None:
        """No timer fires and nothing is sent any more."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _arm(self, deadline: float | None) -> None:
        """One timer. A deadline that moved away leaves it: it fires, finds nothing due, and is set anew. That is
        cheaper than to cancel it with every packet."""
        if deadline is None or self._closed:
            return
        if self._timer is not None:
            if self._deadline <= deadline:
                return
            self._timer.cancel()
        self._deadline = deadline
        self._timer = self._loop.call_at(deadline, self._fire)

    def _fire(self) -> None:
        self._timer = None
        now = max(self._loop.time(), self._deadline)  # the loop may be early by its clock's resolution
        due = self.machine.deadline()
        if due is not None and due <= now:
            self.machine.expire(now)
            self.settle()
            self._spare(now)
        else:
            self._arm(due)

    def _spare(self, now: float) -> None:
        """A machine whose deadline stays in the past must not take the whole processor."""
        if self._timer is not None and self._deadline <= now:
            self._timer.cancel()
            self._deadline = now + _AT_ONCE
            self._timer = self._loop.call_at(self._deadline, self._fire)
