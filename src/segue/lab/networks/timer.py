"""A timer as a file descriptor (timerfd; Python has it from 3.13), with microseconds where epoll's own timeout
has milliseconds. Times are those of CLOCK_MONOTONIC, `time.monotonic()`."""

from __future__ import annotations

import contextlib
import ctypes
import os
import time

_TFD_FLAGS = os.O_NONBLOCK | os.O_CLOEXEC
_TFD_TIMER_ABSTIME = 1

_libc = ctypes.CDLL(None, use_errno=True)


class _Itimerspec(ctypes.Structure):
    _fields_ = (
        ("interval_s", ctypes.c_long),
        ("interval_ns", ctypes.c_long),
        ("value_s", ctypes.c_long),
        ("value_ns", ctypes.c_long),
    )


class Timer:
    """Readable when the time it was set to has come."""

    def __init__(self) -> None:
        self._descriptor: int = _libc.timerfd_create(time.CLOCK_MONOTONIC, _TFD_FLAGS)
        if self._descriptor < 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code))
        self._value = _Itimerspec()
        self._set_to: float | None = None

    def fileno(self) -> int:
        return self._descriptor

    def set(self, when: float | None) -> None:
        """Fire at `when`, or never; a time in the past fires at once."""
        if when == self._set_to:
            return
        self._set_to = when
        ns = 0 if when is None else max(1, int(when * 1e9))
        self._value.value_s, self._value.value_ns = divmod(ns, 1_000_000_000)
        _libc.timerfd_settime(self._descriptor, _TFD_TIMER_ABSTIME, ctypes.byref(self._value), None)

    def clear(self) -> None:
        """Take note that it has fired."""
        self._set_to = None
        with contextlib.suppress(BlockingIOError):
            os.read(self._descriptor, 8)

    def close(self) -> None:
        os.close(self._descriptor)
