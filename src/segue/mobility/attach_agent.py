"""The attachment agent (`segue attach`): does to the kernel what `attach` says. Needs CAP_NET_ADMIN and
CAP_NET_RAW; the phone itself needs neither.

For each interface it looks after: the kernel's own autoconfiguration is switched off, the interface is brought
up, and its addresses get a routing table of their own (1000 + interface index) with a rule for each address, so
that sockets bound to one interface's address leave through it while several are up. In the main table the
default routes stand side by side with a metric for each interface, in the order in which they were named.

Duplicate address detection is the kernel's own (RFC 4862, RFC 4429), by the address' flags.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_interface
from pathlib import Path

from segue.base.entropy import Entropy
from segue.base.errors import LocalError
from segue.base.machine import earliest
from segue.base.secret import Secret
from segue.mobility.attach import (
    AttachConfig,
    AttachEvent,
    InterfaceAttachment,
    IpAddress,
    IpNetwork,
    RemoveAddress,
    RemoveRouter,
    Resolvers,
    SetAddress,
    SetRouter,
)
from segue.mobility.service import close_radio, open_radio, receive_radio
from segue.net.entropy import SystemEntropy
from segue.net.netlink import AddressEvent, Event, LinkEvent, NetlinkReader
from segue.net.packet_socket import ADDRESS_WORK, PacketSocket
from segue.net.rtnetlink_write import (
    IFA_F_NODAD,
    IFA_F_NOPREFIXROUTE,
    IFA_F_OPTIMISTIC,
    IFF_NOARP,
    NUD_STALE,
    TABLE_MAIN,
    NetlinkError,
    Rtnetlink,
    default_network,
)
from segue.protocols.nd.duplicate_address_detection import DadMode

METRIC = 100  # of the first interface's default routes; each further one has as much again
TABLES = 1000
RULE_PRIORITY = 1000
_LONGEST_WAIT = 1.0  # seconds between two looks at `stop`
_SETTINGS = {"accept_ra": 0, "autoconf": 0, "router_solicitations": 0, "ndisc_notify": 0}
_DAD_SETTINGS = {
    DadMode.FULL: {"accept_dad": 1, "dad_transmits": 1, "optimistic_dad": 0, "router_solicitation_delay": 0},
    DadMode.PROACTIVE: {
        "accept_dad": 1,
        "dad_transmits": 1,
        "optimistic_dad": 0,
        "router_solicitation_delay": 0,
    },
    DadMode.OPTIMISTIC: {
        "accept_dad": 1,
        "dad_transmits": 1,
        "optimistic_dad": 1,
        "use_optimistic": 1,
        "router_solicitation_delay": 0,
    },
    DadMode.NONE: {"accept_dad": 0, "dad_transmits": 0, "optimistic_dad": 0},
}


@dataclass
class _Interface:
    """An interface that is there now."""

    name: str
    index: int
    metric: int
    point_to_point: bool
    socket: PacketSocket
    machine: InterfaceAttachment
    settings: dict[Path, str]  # the kernel's, as they were before we came
    routers: dict[int, IpAddress] = field(default_factory=dict)  # by family
    rules: set[IpAddress] = field(default_factory=set)
    proven: set[IpAddress] = field(default_factory=set)  # no duplicate was found, and the router told


class AttachmentAgent:
    """The shell around the machines: one netlink reader, a packet socket for each interface."""

    def __init__(
        self,
        interfaces: Sequence[str],
        config: AttachConfig,
        entropy: Entropy,
        resolver_folder: Path | None = None,
        radio: str = "",
    ) -> None:
        """`resolver_folder` gets a file INTERFACE.conf in the form of resolv.conf for each network. `radio`: path of
        a socket at which drivers say what they are associated with, as of `mobility.service`."""
        self._wanted = list(dict.fromkeys(interfaces))
        self._config = config
        self._entropy = entropy
        self._resolvers = resolver_folder
        self._interfaces: dict[str, _Interface] = {}
        self._tables = Rtnetlink()
        self._reader = NetlinkReader()
        if not self._reader.hears_changes:
            raise LocalError("the kernel does not tell when links change", "allow netlink sockets")
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._reader, selectors.EVENT_READ)
        self._radio = open_radio(radio) if radio else None
        if self._radio is not None:
            self._selector.register(self._radio, selectors.EVENT_READ)

    def start(self) -> None:
        """Take over the interfaces that are there. LocalError when that is not permitted."""
        for event in self._reader.start():
            self._receive_kernel(event)

    def run_once(self, longest: float = _LONGEST_WAIT) -> None:
        """Wait for something and do it."""
        deadline = earliest(*(i.machine.deadline() for i in self._interfaces.values()))
        wait = longest if deadline is None else min(longest, max(0.0, deadline - _now()))
        ready = self._selector.select(wait)
        # The kernel's events first: a frame may be the first one of a link that has just come up.
        for event in self._reader.receive():
            self._receive_kernel(event)
        self._receive_radio()
        for key, _ in ready:
            if isinstance(key.data, _Interface):
                self._receive_frames(key.data)
        now = _now()
        for interface in list(self._interfaces.values()):
            interface.machine.expire(now)
            self._drain(interface)

    def close(self) -> None:
        """Leave addresses and default routes as they are, which calls may use; the kernel sees to them again."""
        for interface in list(self._interfaces.values()):
            for path, value in interface.settings.items():
                with contextlib.suppress(OSError):
                    path.write_text(value)
            self._forget(interface)
        self._selector.close()
        self._reader.close()
        if self._radio is not None:
            close_radio(self._radio)
        self._tables.close()

    # --- what happens

    def _receive_kernel(self, event: Event) -> None:
        if isinstance(event, LinkEvent) and event.interface in self._wanted:
            self._receive_link(event)
        elif isinstance(event, AddressEvent) and event.interface in self._interfaces:
            interface = self._interfaces[event.interface]
            address = ip_address(event.address)
            now = _now()
            if event.present and isinstance(address, IPv6Address) and address.is_link_local:
                interface.machine.link_local_is(address, now)
            if event.present and event.duplicate:
                interface.machine.address_duplicate(address, now)
            elif event.present and event.usable and not event.optimistic and address.version == 6:
                self._address_proven(interface, address, now)
            self._drain(interface)

    def _address_proven(self, interface: _Interface, address: IpAddress, now: float) -> None:
        """Only the first time: each later advertisement makes the kernel speak of the address again."""
        if address not in interface.proven:
            interface.proven.add(address)
            interface.machine.address_proven(address, now)

    def _receive_link(self, event: LinkEvent) -> None:
        interface = self._interfaces.get(event.interface)
        if not event.present:
            if interface is not None:
                self._forget(interface)
            return
        if interface is None:
            interface = self._take_over(event)
            if interface is None:
                return
        now = _now()
        if event.carrier:
            interface.machine.link_up(now)
        else:
            interface.machine.link_down(now)
        self._drain(interface)

    def _receive_radio(self) -> None:
        while self._radio is not None and (fact := receive_radio(self._radio)) is not None:
            interface = self._interfaces.get(fact.interface)
            if interface is not None:
                interface.machine.network_is(fact.network, _now())
                self._drain(interface)

    def _receive_frames(self, interface: _Interface) -> None:
        with contextlib.suppress(OSError):  # the interface has just gone down
            while (frame := interface.socket.receive()) is not None:
                interface.machine.receive(frame.octets, None, _now())
                self._drain(interface)

    # --- interfaces come and go

    def _take_over(self, event: LinkEvent) -> _Interface | None:
        name = event.interface
        config = self._config
        point_to_point = bool(event.flags & IFF_NOARP)
        try:
            settings = _configure(name, DadMode.NONE if point_to_point else config.dad)
            socket = PacketSocket(name, accepted=ADDRESS_WORK)
            if not event.up:
                self._tables.set_link(event.number, up=True)
        except PermissionError as error:
            raise LocalError(
                f"may not look after {name} ({error.strerror})", "run segue attach as root"
            ) from None
        except OSError:
            return None  # it has gone again
        machine = InterfaceAttachment(name, event.link_address, config, self._entropy, point_to_point)
        metric = METRIC * (1 + self._wanted.index(name))
        interface = _Interface(name, event.number, metric, point_to_point, socket, machine, settings)
        self._interfaces[name] = interface
        self._selector.register(socket, selectors.EVENT_READ, interface)
        return interface

    def _forget(self, interface: _Interface) -> None:
        """Rules are ours to remove; addresses and routes the kernel has removed with an interface that is gone."""
        for address in interface.rules:
            with contextlib.suppress(NetlinkError):
                self._tables.delete_rule(_only(address), RULE_PRIORITY, table=TABLES + interface.index)
        self._selector.unregister(interface.socket)
        interface.socket.close()
        del self._interfaces[interface.name]

    # --- what is to be done

    def _drain(self, interface: _Interface) -> None:
        for event in interface.machine.events():
            with contextlib.suppress(NetlinkError):  # the interface has gone; its event is on the way
                self._apply(interface, event)
        for frame in interface.machine.transmits():
            with contextlib.suppress(OSError):
                interface.socket.send(frame)

    def _apply(self, interface: _Interface, event: AttachEvent) -> None:
        match event:
            case SetAddress(address, length, valid, preferred, proven):
                flags = self._address_flags(interface, proven) if address.version == 6 else 0
                self._tables.replace_address(
                    interface.index, address, length, flags=flags, valid=valid, preferred=preferred
                )
                # Ours and not the kernel's, which would outlive the address by its lifetime.
                if address.version == 6:
                    for table in (TABLE_MAIN, TABLES + interface.index):
                        self._tables.replace_route(interface.index, _around(address, length), table=table)
                if address not in interface.rules:
                    interface.rules.add(address)
                    self._tables.add_rule(_only(address), RULE_PRIORITY, table=TABLES + interface.index)
            case RemoveAddress(address, length):
                interface.rules.discard(address)
                interface.proven.discard(address)
                self._tables.delete_rule(_only(address), RULE_PRIORITY, table=TABLES + interface.index)
                self._tables.delete_address(interface.index, address, length)
                if address.version == 6:
                    for table in (TABLE_MAIN, TABLES + interface.index):
                        self._tables.delete_route(interface.index, _around(address, length), table=table)
            case SetRouter(router, link_address):
                self._set_router(interface, router, link_address)
            case RemoveRouter(router):
                self._remove_router(interface, router)
            case Resolvers(servers):
                self._write_resolvers(interface, servers)

    def _set_router(self, interface: _Interface, router: IpAddress, link_address: bytes) -> None:
        index = interface.index
        if link_address:
            self._tables.replace_neighbour(index, router, link_address, state=NUD_STALE, router=True)
        everything = default_network(router.version)
        on_link = router.version == 4
        for table, metric in ((TABLE_MAIN, interface.metric), (TABLES + index, 0)):
            self._tables.replace_route(
                index, everything, gateway=router, metric=metric, on_link=on_link, table=table
            )
        interface.routers[router.version] = router

    def _remove_router(self, interface: _Interface, router: IpAddress) -> None:
        everything = default_network(router.version)
        index = interface.index
        self._tables.delete_route(index, everything, gateway=router, metric=interface.metric)
        self._tables.delete_route(index, everything, gateway=router, table=TABLES + index)
        interface.routers.pop(router.version, None)

    def _address_flags(self, interface: _Interface, proven: bool) -> int:
        if proven or interface.point_to_point or self._config.dad is DadMode.NONE:
            return IFA_F_NOPREFIXROUTE | IFA_F_NODAD
        return IFA_F_NOPREFIXROUTE | (IFA_F_OPTIMISTIC if self._config.dad is DadMode.OPTIMISTIC else 0)

    def _write_resolvers(self, interface: _Interface, servers: tuple[IpAddress, ...]) -> None:
        """One file for both families, replaced as a whole."""
        if self._resolvers is None:
            return
        path = self._resolvers / f"{interface.name}.conf"
        lines = path.read_text().splitlines() if path.exists() else []
        version = servers[0].version
        kept = [line for line in lines if (":" in line) != (version == 6)]
        text = "\n".join([*(f"nameserver {server}" for server in servers), *kept]) + "\n"
        fresh = path.with_suffix(".new")
        fresh.write_text(text)
        os.replace(fresh, path)


def _now() -> float:
    """Seconds that go on while the machine sleeps, as lifetimes do."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def _configure(interface: str, dad: DadMode) -> dict[Path, str]:
    """Switch the kernel's own autoconfiguration off. What it was before; settings a kernel does not have are passed
    over."""
    before: dict[Path, str] = {}
    for key, value in {**_SETTINGS, **_DAD_SETTINGS[dad]}.items():
        path = Path(f"/proc/sys/net/ipv6/conf/{interface}/{key}")
        with contextlib.suppress(FileNotFoundError):
            before[path] = path.read_text()
            path.write_text(str(value))
    return before


def _only(address: IpAddress) -> IpNetwork:
    """The network of one address."""
    if address.version == 6:
        return IPv6Network((address, 128))
    return IPv4Network((address, 32))


def _around(address: IpAddress, length: int) -> IpNetwork:
    return ip_interface(f"{address}/{length}").network


def run_attach(
    interfaces: Sequence[str],
    families: Sequence[int] = (6, 4),
    dad: DadMode | str = DadMode.OPTIMISTIC,
    *,
    rapid_commit: bool = True,
    key: Secret | None = None,
    entropy: Entropy | None = None,
    resolver_folder: Path | None = None,
    radio: str = "",
    ready: Callable[[], None] = lambda: None,
    stop: Callable[[], bool] = lambda: False,
) -> None:
    """Look after the interfaces until `stop` says so (asked once a second); `ready` is called when all that
    are there have been taken over. Interfaces that appear later are taken over then.

    `key` makes interface identifiers (RFC 7217); without one they are stable only while this runs. `radio`: where
    drivers say what they are associated with; at a network seen before everything is set at once then.
    Raises LocalError when it is not permitted, or for a family or mode that does not exist.
    """
    if not interfaces or not families or not set(families) <= {4, 6}:
        raise LocalError("nothing to look after", "name an interface, and 4 or 6 or both as families")
    try:
        mode = DadMode(dad)
    except ValueError:
        names = ", ".join(mode.value for mode in DadMode)
        raise LocalError(f"no duplicate address detection {dad!r}", f"choose one of {names}") from None
    dice = entropy or SystemEntropy()
    config = AttachConfig(key or Secret(dice.octets(32)), tuple(families), mode, rapid_commit)
    agent = AttachmentAgent(interfaces, config, dice, resolver_folder, radio)
    try:
        agent.start()
        ready()
        while not stop():
            agent.run_once()
    finally:
        agent.close()
