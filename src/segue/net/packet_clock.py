"""The clock that voice packets leave by: a timerfd in the event loop. It does not drift, and counts what the
process slept through. asyncio's own timers are rounded up to a millisecond of `epoll` and shift with each wait."""

from __future__ import annotations

import asyncio
import ctypes
import os
import time
from collections.abc import Callable

from segue.base.errors import LocalError

_NANO = 1_000_000_000
_ABSOLUTE = 1  # TFD_TIMER_ABSTIME


class _Timespec(ctypes.Structure):
    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


class _Itimerspec(ctypes.Structure):
    _fields_ = (("interval", _Timespec), ("value", _Timespec))


class PacketClock:
    """Calls `on_tick(expirations)` every `period` seconds: 1 when in time, more when ticks were slept through.

    `due` is when the latest tick should have come (seconds, monotonic), `ticks` counts all, `lost` those that
    came together with a later one, `busy` those of them in whose time this process itself was at work: the others
    the machine kept from it. Raises LocalError when the kernel has no timerfd.
    """

    def __init__(self, period: float, on_tick: Callable[[int], None]) -> None:
        self._period = round(period * _NANO)
        assert self._period > 0
        self._on_tick = on_tick
        self._loop = asyncio.get_running_loop()
        self._library = ctypes.CDLL(None, use_errno=True)
        self._fd = self._library.timerfd_create(time.CLOCK_MONOTONIC, os.O_NONBLOCK | os.O_CLOEXEC)
        if self._fd < 0:
            raise LocalError("the kernel gave no timer", os.strerror(ctypes.get_errno()).lower())
        self._loop.add_reader(self._fd, self._expired)
        self._start = 0
        self._worked = 0.0  # seconds of processor time when the latest tick came
        self.ticks = 0
        self.lost = 0
        self.busy = 0

    @property
    def due(self) -> float:
        """When the latest tick was due, seconds."""
        return (self._start + (self.ticks - 1) * self._period) / _NANO

    def start(self, at: float | None = None) -> None:
        """First tick at `at` (seconds, monotonic; a time gone by counts its ticks at once), else one period from
        now. Counting begins anew."""
        self._start = time.monotonic_ns() + self._period if at is None else max(1, round(at * _NANO))
        self.ticks = self.lost = self.busy = 0
        self._worked = time.process_time()
        self._set(self._start, self._period)

    def stop(self) -> None:
        """No tick until `start`."""
        self._set(0, 0)

    def close(self) -> None:
        """Harmless when closed already."""
        if self._fd >= 0:
            self._loop.remove_reader(self._fd)
            os.close(self._fd)
            self._fd = -1

    def _set(self, value: int, interval: int) -> None:
        if self._fd < 0:
            return
        spec = _Itimerspec(_Timespec(*divmod(interval, _NANO)), _Timespec(*divmod(value, _NANO)))
        if self._library.timerfd_settime(self._fd, _ABSOLUTE, ctypes.byref(spec), None):
            raise OSError(ctypes.get_errno(), "timerfd_settime")

    def _expired(self) -> None:
        try:
            expirations = int.from_bytes(os.read(self._fd, 8), "little")
        except BlockingIOError:
            return  # stopped or set anew since it became readable
        self.ticks += expirations
        worked, self._worked = self._worked, time.process_time()
        if expirations > 1:
            self.lost += expirations - 1
            self.busy += min(expirations - 1, int((self._worked - worked) * _NANO / self._period))
        self._on_tick(expirations)


def become_realtime(priority: int = 10) -> bool:
    """SCHED_FIFO for this process when the user may (root, CAP_SYS_NICE, or `rtprio` in limits.conf); children
    do not inherit it. Says whether it worked; nothing depends on it but lateness under load."""
    try:
        policy = os.SCHED_FIFO | os.SCHED_RESET_ON_FORK
        os.sched_setscheduler(0, policy, os.sched_param(priority))
    except OSError:
        return False
    return True
