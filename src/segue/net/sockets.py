"""What all our sockets share: opening, binding to an address and an interface, and errors in words."""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
from typing import Any

from segue.base.address import Address
from segue.base.errors import LocalError

EXPEDITED_FORWARDING = 46
"""DSCP of voice (RFC 4594 section 4.1)."""
CLASS_SELECTOR_5 = 40
"""DSCP of telephony signalling (RFC 4594 section 4.2)."""

SocketAddress = tuple[Any, ...]


def open_socket(
    kind: int, local: Address, interface: str, dscp: int = 0, *, reuse: bool = False
) -> socket.socket:
    """A non-blocking socket of `kind` (SOCK_DGRAM, SOCK_STREAM), bound. Raises LocalError.

    An address alone does not choose the interface packets leave by; SO_BINDTODEVICE does, and needs no privilege
    since Linux 5.7 (design decision 8). IPv6 sockets take IPv6 only: an IPv4 peer never appears as ::ffff:….
    """
    family = socket.AF_INET6 if local.family == 6 else socket.AF_INET
    try:
        opened = socket.socket(family, kind | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    except OSError as error:
        raise explain(error, local, interface) from None
    try:
        if family == socket.AF_INET6:
            opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if dscp:
            _mark(opened, family, dscp)
        if reuse:
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if interface:
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode() + b"\0")
        opened.bind(socket_address(local, interface))
    except OSError as error:
        opened.close()
        raise explain(error, local, interface) from None
    return opened


def _mark(opened: socket.socket, family: int, dscp: int) -> None:
    if family == socket.AF_INET6:
        opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_TCLASS, dscp << 2)
    else:
        opened.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, dscp << 2)


def socket_address(address: Address, interface: str) -> SocketAddress:
    """As the kernel wants it. Raises OSError when `address` is not numeric (nothing here may wait for a resolver),
    has no usable port, or is link-local on an interface that is gone."""
    try:
        numeric = ipaddress.ip_address(address.host)
    except ValueError:
        raise OSError(errno.EINVAL, "not a numeric address") from None
    if not 0 <= address.port <= 65535:
        raise OSError(errno.EINVAL, "no such port")
    if numeric.version == 6 and numeric.is_link_local and interface:
        return (address.host, address.port, 0, socket.if_nametoindex(interface))
    return (address.host, address.port)


def address_of(raw: SocketAddress) -> Address:
    """From the kernel's form; the zone of a link-local address is the socket's interface and is left out."""
    return Address(raw[0].partition("%")[0], raw[1])


def local_address(opened: socket.socket) -> Address:
    return address_of(opened.getsockname())


def words(error: OSError) -> str:
    """A fixed lower-case phrase."""
    return os.strerror(error.errno).lower() if error.errno else "failed"


def explain(error: OSError, local: Address, interface: str) -> LocalError:
    """Why a socket could not be opened, and what to do."""
    if error.errno == errno.EADDRINUSE:
        return LocalError(f"port {local.port} is in use", "choose another with --local-port")
    if error.errno == errno.EADDRNOTAVAIL:
        return LocalError(
            f"no interface has the address {local.host}", "see `ip address` for those there are"
        )
    if error.errno == errno.ENODEV:
        return LocalError(f"there is no interface {interface!r}", "see `ip link` for those there are")
    if error.errno == errno.EPERM and interface:
        return LocalError(
            f"this user may not bind to the interface {interface}", "use Linux 5.7 or newer, or run as root"
        )
    if error.errno == errno.EACCES:
        return LocalError(f"port {local.port} is for root only", "choose one above 1023")
    if error.errno == errno.EAFNOSUPPORT:
        return LocalError(f"this machine has no IPv{local.family}", "use an address of the other family")
    if error.errno in (errno.EMFILE, errno.ENFILE):
        return LocalError("too many open files", "raise the limit: ulimit -n")
    return LocalError(f"cannot open a socket on {local}", words(error))
