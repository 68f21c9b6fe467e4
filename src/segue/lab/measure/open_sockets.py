"""Which sockets a process has open, and which interface each is bound to: the kernel's own words (sock_diag(7))."""

from __future__ import annotations

import os
import socket
import struct
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import NamedTuple

_NETLINK_SOCK_DIAG, _SOCK_DIAG_BY_FAMILY = 4, 20
_REQUEST, _DUMP, _DONE, _ERROR = 0x1, 0x300, 3, 2
_HEADER = struct.Struct("=IHHII")
_ALL_STATES = 0xFFFFFFFF
_KINDS = {socket.IPPROTO_UDP: "udp", socket.IPPROTO_TCP: "tcp"}


class Bound(NamedTuple):
    """`interface` is empty for a socket that any interface serves."""

    kind: str  # "udp" or "tcp"
    address: str
    port: int
    interface: str


def bound_sockets(pid: int) -> list[Bound]:
    """Of a process and its children, in the network namespace of whoever asks."""
    inodes = _inodes(pid)
    return [bound for inode, bound in _everything() if inode in inodes]


def _inodes(pid: int) -> set[int]:
    found: set[int] = set()
    for task in _family(pid):
        for name in os.listdir(f"/proc/{task}/fd"):
            try:
                target = os.readlink(f"/proc/{task}/fd/{name}")
            except OSError:
                continue  # closed meanwhile
            if target.startswith("socket:["):
                found.add(int(target[8:-1]))
    return found


def _family(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(one for child in children for one in _family(int(child)))]


def _everything() -> list[tuple[int, Bound]]:
    """Every socket of the namespace with its inode number."""
    names = dict(socket.if_nameindex())
    found: list[tuple[int, Bound]] = []
    for family in (socket.AF_INET, socket.AF_INET6):
        for protocol in _KINDS:
            found += [_read(body, protocol, names) for body in _dump(family, protocol)]
    return found


def _dump(family: int, protocol: int) -> list[bytes]:
    body = struct.pack("=BBBBI48x", family, protocol, 0, 0, _ALL_STATES)
    bodies: list[bytes] = []
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_SOCK_DIAG) as asking:
        head = _HEADER.pack(_HEADER.size + len(body), _SOCK_DIAG_BY_FAMILY, _REQUEST | _DUMP, 1, 0)
        asking.sendall(head + body)
        while True:
            octets = asking.recv(1 << 17)
            while len(octets) >= _HEADER.size:
                length, kind, *_ = _HEADER.unpack_from(octets)
                if kind == _DONE:
                    return bodies
                if kind == _ERROR:
                    raise OSError(-struct.unpack_from("=i", octets, _HEADER.size)[0], "sock_diag")
                bodies.append(octets[_HEADER.size : length])
                octets = octets[(length + 3) & ~3 :]


def _read(body: bytes, protocol: int, names: dict[int, str]) -> tuple[int, Bound]:
    """A struct inet_diag_msg."""
    family = body[0]
    (port,) = struct.unpack_from("!H", body, 4)
    source = body[8:24]
    address = str(IPv4Address(source[:4]) if family == socket.AF_INET else IPv6Address(source))
    (index,) = struct.unpack_from("=I", body, 40)
    (inode,) = struct.unpack_from("=I", body, 68)
    return inode, Bound(_KINDS[protocol], address, port, names.get(index, ""))
