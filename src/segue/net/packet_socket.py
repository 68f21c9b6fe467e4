"""Whole frames in and out of one interface (AF_PACKET), with the kernel's time of arrival.

Needs CAP_NET_RAW in the network namespace of the socket. Times are CLOCK_REALTIME, which is what the kernel
stamps packets with.
"""

from __future__ import annotations

import fcntl
import socket
import struct
from typing import NamedTuple

ETH_P_ALL = 0x0003
ETH_P_IP = 0x0800
ETH_P_ARP = 0x0806
ETH_P_IPV6 = 0x86DD
PACKET_OUTGOING = 4  # sockaddr_ll.sll_pkttype: a frame that this host sends

_SOL_PACKET = 263
_PACKET_IGNORE_OUTGOING = 23
_SO_TIMESTAMPNS = 35
_SO_RCVBUFFORCE = 33
_SO_SNDBUFFORCE = 32
_SIOCETHTOOL = 0x8946
# ethtool commands that set one feature: transmit checksums, TCP segmentation, generic segmentation, receive
# coalescing.
_OFFLOADS = (0x17, 0x1F, 0x24, 0x2C)
_TIMESPEC = struct.Struct("qq")
_ANCILLARY = socket.CMSG_SPACE(_TIMESPEC.size)


class Frame(NamedTuple):
    """A frame with the Unix time at which the kernel saw it, in nanoseconds."""

    octets: bytes
    time_ns: int
    outgoing: bool


class PacketSocket:
    """A non-blocking socket bound to one interface. OSError when that is not there or not permitted."""

    def __init__(
        self,
        interface: str,
        protocol: int = ETH_P_ALL,
        *,
        outgoing: bool = False,
        buffer: int = 0,
        accepted: bytes = b"",
    ) -> None:
        """`outgoing`: also read what this host sends, for captures. `buffer`: octets of kernel memory.
        `accepted`: a classic BPF program, such as `ADDRESS_WORK`."""
        self.interface = interface
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 0)
        try:
            self._socket.setblocking(False)
            if not outgoing:
                self._socket.setsockopt(_SOL_PACKET, _PACKET_IGNORE_OUTGOING, 1)
            self._socket.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
            if accepted:
                _attach_filter(self._socket, accepted)
            if buffer:
                _grow(self._socket, buffer)
            self._socket.bind((interface, protocol))
        except OSError:
            self._socket.close()
            raise

    def fileno(self) -> int:
        return self._socket.fileno()

    def close(self) -> None:
        self._socket.close()

    @property
    def link_address(self) -> bytes:
        """The interface's own, as it was when the socket was bound."""
        address: bytes = self._socket.getsockname()[4]
        return address

    def receive(self) -> Frame | None:
        """The next frame, None when there is none. An interface that goes down raises OSError once."""
        try:
            octets, ancillary, _flags, source = self._socket.recvmsg(65536, _ANCILLARY)
        except BlockingIOError:
            return None
        time_ns = 0
        for level, kind, data in ancillary:
            if level == socket.SOL_SOCKET and kind == _SO_TIMESTAMPNS:
                seconds, nanoseconds = _TIMESPEC.unpack(data[: _TIMESPEC.size])
                time_ns = seconds * 1_000_000_000 + nanoseconds
        return Frame(octets, time_ns, source[2] == PACKET_OUTGOING)

    def send(self, frame: bytes) -> None:
        """OSError when the interface is down; a full queue loses the frame, as a wire would."""
        try:
            self._socket.send(frame)
        except BlockingIOError:
            pass

    def lost(self) -> int:
        """Frames the kernel dropped for want of buffer since the last call (PACKET_STATISTICS)."""
        return int(struct.unpack("II", self._socket.getsockopt(_SOL_PACKET, 6, 8))[1])


def _instruction(code: int, true: int, false: int, value: int) -> bytes:
    return struct.pack("HBBI", code, true, false, value)


# ARP; Neighbour Discovery and its proxies (ICMPv6 133 to 137 and 150, without extension headers); DHCP (UDP to
# port 67 or 68).
ADDRESS_WORK = b"".join(
    (
        _instruction(0x28, 0, 0, 12),  # 0: A = EtherType
        _instruction(0x15, 14, 0, ETH_P_ARP),  # 1: ARP: accept
        _instruction(0x15, 0, 6, ETH_P_IPV6),  # 2: not IPv6: 9
        _instruction(0x30, 0, 0, 20),  # 3: A = next header
        _instruction(0x15, 0, 10, 58),  # 4: not ICMPv6: reject
        _instruction(0x30, 0, 0, 54),  # 5: A = type
        _instruction(0x15, 9, 0, 150),  # 6: accept
        _instruction(0x35, 0, 7, 133),  # 7: below: reject
        _instruction(0x25, 6, 7, 137),  # 8: above: reject, else accept
        _instruction(0x15, 0, 5, ETH_P_IP),  # 9: not IPv4: reject
        _instruction(0x30, 0, 0, 23),  # 10: A = protocol
        _instruction(0x15, 0, 3, 17),  # 11: not UDP: reject
        _instruction(0xB1, 0, 0, 14),  # 12: X = length of the IPv4 header
        _instruction(0x48, 0, 0, 16),  # 13: A = destination port
        _instruction(0x15, 1, 2, 67),  # 14: accept; else 17
        _instruction(0x06, 0, 0, 0),  # 15: reject
        _instruction(0x06, 0, 0, 65535),  # 16: accept
        _instruction(0x15, 0, 1, 68),  # 17
        _instruction(0x06, 0, 0, 65535),  # 18: accept
        _instruction(0x06, 0, 0, 0),  # 19: reject
    )
)


def _attach_filter(made: socket.socket, program: bytes) -> None:
    import ctypes

    octets = ctypes.create_string_buffer(program, len(program))
    count = len(program) // 8
    made.setsockopt(socket.SOL_SOCKET, 26, struct.pack("HxxxxxxP", count, ctypes.addressof(octets)))


def _grow(made: socket.socket, buffer: int) -> None:
    for forced, plain in ((_SO_RCVBUFFORCE, socket.SO_RCVBUF), (_SO_SNDBUFFORCE, socket.SO_SNDBUF)):
        try:
            made.setsockopt(socket.SOL_SOCKET, forced, buffer)
        except PermissionError:
            made.setsockopt(socket.SOL_SOCKET, plain, buffer)


def switch_off_offloads(interface: str) -> None:
    """Make the kernel finish its packets (checksums, segments) before they leave through `interface`, since
    what AF_PACKET reads from the other end of a virtual link would otherwise lack them. Must be called in
    the interface's namespace; features that the interface does not have are passed over."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        for command in _OFFLOADS:
            value = bytearray(struct.pack("II", command, 0))
            request = _ifreq(interface, value)
            try:
                fcntl.ioctl(control, _SIOCETHTOOL, request)
            except OSError:
                continue


def _ifreq(interface: str, value: bytearray) -> bytes:
    """struct ifreq with a pointer to the command."""
    import ctypes

    pointer = ctypes.addressof((ctypes.c_char * len(value)).from_buffer(value))
    return struct.pack("16sP16x", interface.encode(), pointer)
