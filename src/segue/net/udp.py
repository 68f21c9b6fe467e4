"""Datagrams on raw sockets and the event loop's readiness: several times the rate of asyncio's own transport
(`benchmarks/udp_loopback.py`).

One wake-up takes at most `DRAIN` datagrams, then others have their turn; what is left wakes the loop again.
Nothing the network does raises here: a datagram that cannot leave is counted, traced and answered with False.
"""

from __future__ import annotations

import asyncio
import os
import socket
import struct
import time
from collections.abc import Callable, Iterable

from segue.base.address import Address
from segue.base.errors import LocalError
from segue.base.trace import NO_TRACE, Trace
from segue.net.sockets import (
    EXPEDITED_FORWARDING,
    SocketAddress,
    address_of,
    local_address,
    open_socket,
    socket_address,
    words,
)

DRAIN = 64  # datagrams a wake-up
LARGEST = 65535  # octets; a large buffer costs no more than a small one (measured)
_KNOWN = 512  # addresses whose forms are remembered
_SO_TIMESTAMPNS = 35  # SCM_TIMESTAMPNS is the same number
_ANCILLARY = socket.CMSG_SPACE(16)

OnDatagram = Callable[[bytes, Address, float], None]
"""Octets, where they came from, and when: seconds on the monotonic scale."""


class UdpSocket:
    """A bound UDP socket that is being read. `local` port 0 lets the kernel choose; `.local` says what it chose.

    `interface`: packets go and come through it only. `dscp`: mark of what is sent (`EXPEDITED_FORWARDING` for
    media). `kernel_time`: `now` of each datagram is when the kernel got it, not when we looked (0.6 µs more a
    datagram). `buffer`: octets that the kernel is to keep for us, 0 for its usual number. `failures` counts what
    could not be sent, by errno. Raises LocalError when it cannot be opened.
    """

    __slots__ = (
        "_closed",
        "_loop",
        "_on_datagram",
        "_read_one",
        "_socket",
        "_sources",
        "_targets",
        "_trace",
        "failures",
        "interface",
        "local",
    )

    def __init__(
        self,
        local: Address,
        interface: str = "",
        *,
        on_datagram: OnDatagram,
        dscp: int = 0,
        kernel_time: bool = False,
        buffer: int = 0,
        trace: Trace = NO_TRACE,
    ) -> None:
        self._on_datagram = on_datagram
        self._trace = trace
        self._socket = open_socket(socket.SOCK_DGRAM, local, interface, dscp)
        if buffer:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        self.interface = interface
        self.local = local_address(self._socket)
        self.failures: dict[int, int] = {}
        self._sources: dict[SocketAddress, Address] = {}
        self._targets: dict[Address, SocketAddress] = {}
        self._closed = False
        if kernel_time:
            self._socket.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._socket.fileno(), self._drain_timed if kernel_time else self._drain)

    def send(self, octets: bytes, remote: Address) -> bool:
        """Whether the kernel took it. False for an unreachable network, a full queue, a firewall's refusal, an
        address that is not of our family, a closed socket; never raises for them."""
        target = self._targets.get(remote)
        try:
            if target is None:
                target = self._target(remote)
            self._socket.sendto(octets, target)
        except OSError as error:
            self._failed(error, remote)
            return False
        return True

    def fileno(self) -> int:
        return self._socket.fileno()

    def close(self) -> None:
        """Nothing is received any more, not even what is queued. Harmless when closed already."""
        if not self._closed:
            self._closed = True
            self._loop.remove_reader(self._socket.fileno())
            self._socket.close()

    def _target(self, remote: Address) -> SocketAddress:
        target = socket_address(remote, self.interface)
        if len(self._targets) >= _KNOWN:
            self._targets.clear()
        self._targets[remote] = target
        return target

    def _failed(self, error: OSError, remote: Address) -> None:
        if self._closed:
            return
        code = error.errno or 0
        self.failures[code] = self.failures.get(code, 0) + 1
        self._trace.drop("udp", words(error), remote=remote, local=self.local)

    def _source(self, raw: SocketAddress) -> Address:
        source = address_of(raw)
        if len(self._sources) >= _KNOWN:
            self._sources.clear()
        self._sources[raw] = source
        return source

    def _drain(self) -> None:
        receive, known, deliver, now = (
            self._socket.recvfrom,
            self._sources.get,
            self._on_datagram,
            time.monotonic,
        )
        for _ in range(DRAIN):
            try:
                octets, raw = receive(LARGEST)
            except BlockingIOError:
                return
            except OSError as error:
                self._receive_failed(error)
                return
            deliver(octets, known(raw) or self._source(raw), now())
            if self._closed:
                return

    def _drain_timed(self) -> None:
        wall_offset = time.time_ns() - time.monotonic_ns()
        for _ in range(DRAIN):
            try:
                octets, ancillary, _flags, raw = self._socket.recvmsg(LARGEST, _ANCILLARY)
            except BlockingIOError:
                return
            except OSError as error:
                self._receive_failed(error)
                return
            now = time.monotonic()
            for level, kind, data in ancillary:
                if level == socket.SOL_SOCKET and kind == _SO_TIMESTAMPNS and len(data) == 16:
                    seconds, nanoseconds = struct.unpack("@qq", data)
                    now = min(now, (seconds * 1_000_000_000 + nanoseconds - wall_offset) / 1e9)
            self._on_datagram(octets, self._sources.get(raw) or self._source(raw), now)
            if self._closed:
                return

    def _receive_failed(self, error: OSError) -> None:
        """An error the kernel held for us (an interface that went, a refused port); reading it clears it."""
        self._trace.drop("udp", words(error), local=self.local)


def open_pair(
    host: str,
    interface: str = "",
    ports: Iterable[int] | None = None,
    *,
    on_rtp: OnDatagram,
    on_rtcp: OnDatagram,
    dscp: int = EXPEDITED_FORWARDING,
    kernel_time: bool = False,
    trace: Trace = NO_TRACE,
) -> tuple[UdpSocket, UdpSocket]:
    """Sockets for RTP (even port) and RTCP (the next), RFC 3550 section 11. `ports`: where to look, else the
    kernel's ephemeral range at random. Raises LocalError when no pair is free."""

    def pair(port: int) -> tuple[UdpSocket, UdpSocket]:
        rtp = UdpSocket(
            Address(host, port),
            interface,
            on_datagram=on_rtp,
            dscp=dscp,
            kernel_time=kernel_time,
            trace=trace,
        )
        try:
            rtcp = UdpSocket(Address(host, port + 1), interface, on_datagram=on_rtcp, dscp=dscp, trace=trace)
        except LocalError:
            rtp.close()
            raise
        return rtp, rtcp

    open_socket(
        socket.SOCK_DGRAM, Address(host, 0), interface
    ).close()  # what is wrong with host or interface
    for port in _even(ports) if ports is not None else _guesses(host):
        try:
            return pair(port)
        except LocalError:
            continue
    raise LocalError("no two adjacent UDP ports are free", "give a wider range of media ports")


def _even(ports: Iterable[int]) -> list[int]:
    """The even ones, from an unpredictable place on: ports that can be guessed invite injected packets."""
    even = [port for port in ports if port % 2 == 0 and 0 < port < 65535]
    start = int.from_bytes(os.urandom(4), "big") % len(even) if even else 0
    return even[start:] + even[:start]


def _guesses(host: str) -> Iterable[int]:
    for _ in range(64):
        probe = open_socket(socket.SOCK_DGRAM, Address(host, 0), "")
        port = local_address(probe).port & ~1
        probe.close()
        yield port
