"""What the kernel says about links, addresses, default routes and neighbours (rtnetlink), without a library.

`NetlinkReader` first tells the present state, then every change, as plain tuples. It remembers what it has told
(a few entries for each interface), so that it can say what has gone when the kernel does not: IPv4 routes vanish
without a word when their interface goes down, and after an overrun (ENOBUFS) the state is read anew. Where the kernel
tells no changes (some containers and phones forbid it) `hears_changes` is false, and `look` asks what they were.

Needs no privilege. Setting things is `net.rtnetlink_write`.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import struct
from collections.abc import Iterator
from ipaddress import ip_address
from typing import NamedTuple

from segue.net.rtnetlink_write import (
    IFA_F_DADFAILED,
    IFA_F_OPTIMISTIC,
    IFA_F_TENTATIVE,
    IFF_LOWER_UP,
    IFF_UP,
    TABLE_MAIN,
    NetlinkError,
    parse_attributes,
)

_NEWLINK, _DELLINK, _GETLINK = 16, 17, 18
_NEWADDR, _DELADDR, _GETADDR = 20, 21, 22
_NEWROUTE, _DELROUTE, _GETROUTE = 24, 25, 26
_NEWNEIGH, _DELNEIGH, _GETNEIGH = 28, 29, 30
_REMOVALS = frozenset({_DELLINK, _DELADDR, _DELROUTE, _DELNEIGH})
_ERROR, _DONE = 2, 3
_REQUEST_DUMP = 0x301
_REPLACE = 0x100
_LINK, _NEIGHBOUR, _ADDRESSES, _ROUTES = 0x1, 0x4, 0x10 | 0x100, 0x40 | 0x400
_RTM_F_CLONED = 0x200
_IFA_F_DEPRECATED = 0x20
_RTN_UNICAST = 1
_NUD_USABLE = 0x02 | 0x04 | 0x08 | 0x10 | 0x80  # reachable, stale, delay, probe, permanent


class LinkEvent(NamedTuple):
    """An interface. `present` false: it has gone."""

    interface: str
    up: bool  # brought up by whoever looks after it
    carrier: bool
    link_address: bytes
    number: int  # its index
    flags: int  # IFF_…
    present: bool = True


class AddressEvent(NamedTuple):
    """An address of an interface. `usable` is false while duplicate address detection holds it back and after
    it failed (`duplicate`); an optimistic address is usable (RFC 4429 section 3.3)."""

    interface: str
    address: str
    prefix_length: int
    usable: bool
    duplicate: bool
    deprecated: bool
    optimistic: bool
    present: bool = True


class RouteEvent(NamedTuple):
    """A default route of the main table. `router` is empty where there is none (point to point)."""

    interface: str
    family: int  # 4 or 6
    router: str
    metric: int
    present: bool = True


class NeighbourEvent(NamedTuple):
    """A neighbour whose link-layer address is known (`present`) or no longer known."""

    interface: str
    address: str
    link_address: bytes
    present: bool = True


Event = LinkEvent | AddressEvent | RouteEvent | NeighbourEvent
Key = tuple[object, ...]


class NetlinkReader:
    """A non-blocking socket of the network namespace in which it was made. Call `start`, then `receive`
    whenever `fileno` is readable."""

    def __init__(self, neighbours: bool = False) -> None:
        """`neighbours`: also tell about those, which may be many on a busy host."""
        self._neighbours = neighbours
        groups = _LINK | _ADDRESSES | _ROUTES | (_NEIGHBOUR if neighbours else 0)
        self._socket: socket.socket | None = None
        with contextlib.suppress(OSError):
            self._socket = _open(groups)
            self._socket.setblocking(False)
        self._asking = _open(0)
        self._asking.settimeout(5)
        self._sequence = 0
        self._names: dict[int, str] = {}
        self._known: dict[Key, Event] = {}

    @property
    def hears_changes(self) -> bool:
        return self._socket is not None

    def fileno(self) -> int:
        """Of what hears changes; -1 without it."""
        return self._socket.fileno() if self._socket is not None else -1

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
        self._asking.close()

    def start(self) -> list[Event]:
        """The state as it is now."""
        return self._read_state()

    def look(self) -> list[Event]:
        """What has changed since, by asking; that an address is still there confirms nothing."""
        return self._read_state(confirm=False)

    def receive(self) -> list[Event]:
        """What has changed, in the order in which it happened; empty when nothing is waiting."""
        events: list[Event] = []
        while self._socket is not None:
            try:
                data = self._socket.recv(65536)
            except BlockingIOError:
                return events
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                return events + self._read_state()
            events += self.read(data)
        return events

    def read(self, data: bytes) -> list[Event]:
        """The news in one datagram; messages that are malformed are passed over."""
        events: list[Event] = []
        for kind, flags, _, body in _messages(data):
            for event in self._parse(kind, flags, body):
                events += self._tell(event)
        return events

    # --- the state

    def _read_state(self, confirm: bool = True) -> list[Event]:
        """Tell all that is there, and what is gone. `confirm`: tell of addresses that have not changed, too."""
        before = dict(self._known)
        seen: set[Key] = set()
        events: list[Event] = []
        requests = [(_GETLINK, 16), (_GETADDR, 8), (_GETROUTE, 12)]
        for kind, length in requests + ([(_GETNEIGH, 12)] if self._neighbours else []):
            for answer, flags, body in self._dump(kind, length):
                for event in self._parse(answer, flags, body):
                    seen.add(_key(event))
                    events += self._tell(event, confirm)
        gone = [event for key, event in before.items() if key not in seen and key in self._known]
        for event in gone:
            events += self._tell(event._replace(present=False))
        return events

    def _dump(self, kind: int, length: int) -> Iterator[tuple[int, int, bytes]]:
        self._sequence += 1
        header = struct.pack("IHHII", 16 + length, kind, _REQUEST_DUMP, self._sequence, 0)
        self._asking.sendto(header + bytes(length), (0, 0))
        while True:
            for answer, flags, sequence, body in _messages(self._asking.recv(65536)):
                if sequence != self._sequence:
                    continue
                if answer == _DONE:
                    return
                if answer == _ERROR:
                    code = -int(struct.unpack_from("i", body)[0])
                    raise NetlinkError(code, os.strerror(code))
                yield answer, flags, body

    def _tell(self, event: Event, confirm: bool = True) -> list[Event]:
        """The event if it is news, with what the kernel leaves to be concluded from it."""
        key = _key(event)
        if not event.present:
            known = self._known.pop(key, None)
            return ([event] if known else []) + self._concluded(event)
        renewed = confirm and isinstance(
            event, AddressEvent
        )  # the same address again confirms it after a move
        if self._known.get(key) == event and not renewed:
            return []
        self._known[key] = event
        return [event, *self._concluded(event)]

    def _concluded(self, event: Event) -> list[Event]:
        """A link that is down has lost its IPv4 routes, one that is gone has lost everything."""
        if not isinstance(event, LinkEvent) or (event.present and event.up):
            return []
        lost = [
            known
            for known in self._known.values()
            if known.interface == event.interface
            and not isinstance(known, LinkEvent)
            and (not event.present or (isinstance(known, RouteEvent) and known.family == 4))
        ]
        for known in lost:
            del self._known[_key(known)]
        return [known._replace(present=False) for known in lost]

    # --- messages

    def _parse(self, kind: int, flags: int, body: bytes) -> list[Event]:
        try:
            return self._parse_whole(kind, flags, body)
        except (struct.error, ValueError):  # too short, or an address of no length that there is
            return []

    def _parse_whole(self, kind: int, flags: int, body: bytes) -> list[Event]:
        present = kind not in _REMOVALS
        if kind in (_NEWLINK, _DELLINK):
            return self._parse_link(body, present)
        if kind in (_NEWADDR, _DELADDR):
            return self._parse_address(body, present)
        if kind in (_NEWROUTE, _DELROUTE):
            return self._parse_route(body, present, bool(flags & _REPLACE))
        if kind in (_NEWNEIGH, _DELNEIGH) and self._neighbours:
            return self._parse_neighbour(body, present)
        return []

    def _parse_link(self, body: bytes, present: bool) -> list[Event]:
        family, _type, index, flags, _change = struct.unpack_from("BxHiII", body)
        if family != socket.AF_UNSPEC:
            return []  # a bridge's or IPv6's own view of the link
        found = parse_attributes(body[16:])
        name = found.get(3, b"").rstrip(b"\0").decode(errors="replace")
        previous = self._names.get(index)
        events: list[Event] = []
        if previous not in (None, name):
            events = [e._replace(present=False) for e in self._known.values() if e.interface == previous]
        self._names[index] = name
        up = bool(flags & IFF_UP)
        carrier = present and up and bool(flags & IFF_LOWER_UP)
        return [*events, LinkEvent(name, up, carrier, found.get(1, b""), index, flags, present)]

    def _parse_address(self, body: bytes, present: bool) -> list[Event]:
        _family, prefix_length, flags, _scope, index = struct.unpack_from("BBBBI", body)
        found = parse_attributes(body[8:])
        octets = found.get(2) or found.get(1)
        name = self._names.get(index)
        if octets is None or name is None:
            return []
        if 8 in found:
            flags = struct.unpack("I", found[8])[0]
        optimistic, duplicate = bool(flags & IFA_F_OPTIMISTIC), bool(flags & IFA_F_DADFAILED)
        usable = not duplicate and (optimistic or not flags & IFA_F_TENTATIVE)
        deprecated = bool(flags & _IFA_F_DEPRECATED)
        address = str(ip_address(octets))
        return [
            AddressEvent(name, address, prefix_length, usable, duplicate, deprecated, optimistic, present)
        ]

    def _parse_route(self, body: bytes, present: bool, replaces: bool) -> list[Event]:
        family, length, _, _, table, _, _, kind, flags = struct.unpack_from("BBBBBBBBI", body)
        if length or kind != _RTN_UNICAST or flags & _RTM_F_CLONED:
            return []
        found = parse_attributes(body[12:])
        if _number(found.get(15), table) != TABLE_MAIN:
            return []
        version = 6 if family == socket.AF_INET6 else 4
        metric = _number(found.get(6), 0)
        hops = [(_number(found.get(4), 0), found.get(5))] if 4 in found else _next_hops(found.get(9, b""))
        events: list[Event] = [
            RouteEvent(self._names[index], version, str(ip_address(via)) if via else "", metric, present)
            for index, via in hops
            if index in self._names
        ]
        if not (replaces and present):
            return events
        replaced = [
            event._replace(present=False)
            for event in self._known.values()
            if isinstance(event, RouteEvent)
            and (event.family, event.metric) == (version, metric)
            and event not in events
        ]
        return [*replaced, *events]

    def _parse_neighbour(self, body: bytes, present: bool) -> list[Event]:
        _family, index, state, _flags, _type = struct.unpack_from("BxxxiHBB", body)
        found = parse_attributes(body[12:])
        name = self._names.get(index)
        if name is None or len(found.get(1, b"")) not in (4, 16):
            return []
        known = present and bool(state & _NUD_USABLE) and 2 in found
        return [NeighbourEvent(name, str(ip_address(found[1])), found.get(2, b""), known)]


def _key(event: Event) -> Key:
    if isinstance(event, LinkEvent):
        return (LinkEvent, event.interface)
    if isinstance(event, RouteEvent):
        return (RouteEvent, event.interface, event.family, event.router, event.metric)
    return (type(event), event.interface, event.address)


def _open(groups: int) -> socket.socket:
    made = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 0)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
    made.bind((0, groups))
    return made


def _messages(data: bytes) -> Iterator[tuple[int, int, int, bytes]]:
    """Kind, flags, sequence number and body of each message of a datagram."""
    while len(data) >= 16:
        length, kind, flags, sequence, _ = struct.unpack_from("IHHII", data)
        if not 16 <= length <= len(data):
            return
        yield kind, flags, sequence, data[16:length]
        data = data[(length + 3) & ~3 :]


def _number(octets: bytes | None, default: int) -> int:
    return default if octets is None else int(struct.unpack("I", octets)[0])


def _next_hops(data: bytes) -> list[tuple[int, bytes | None]]:
    """Interface and gateway of each hop of a multipath route (RTA_MULTIPATH)."""
    hops: list[tuple[int, bytes | None]] = []
    while len(data) >= 8:
        length, _flags, _weight, index = struct.unpack_from("HBBi", data)
        if length < 8:
            break
        hops.append((index, parse_attributes(data[8:length]).get(5)))
        data = data[(length + 3) & ~3 :]
    return hops
