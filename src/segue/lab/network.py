"""Builds a topology, and is the one thing a scenario holds: hosts, moves, figures, end.

    with Network(OFFICE_TO_CAFE, preset("clean"), seed=1) as network:
        network.start_attachment_agent("mn")
        network.attach("mn", "wlan0", "office")
        phone = network.hosts["mn"].popen(["segue", "call", …])
        network.move("mn", "wlan0", "cafe", link_time=0.05)

Every host, access router and the core is a network namespace; `wire` is another one, in which the far ends of
all virtual pairs are, and in which the link process moves frames between them. The lab touches the far ends only;
addresses, routes and rules of a station are its own business or its attachment agent's.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Any, TextIO

from segue.base.errors import LocalError
from segue.emulator.links import Preset, preset
from segue.lab.links import Links, link_json, python_command
from segue.lab.namespaces import Namespace
from segue.lab.topology import (
    CORE_ROUTER,
    OFFICE_TO_CAFE,
    ROUTER_LINK_LOCAL,
    STATIC_HOST,
    UPLINK_LINK_LOCAL,
    AccessNetwork,
    Server,
    StationInterface,
    Subnet,
    Topology,
    half,
)
from segue.net.packet_socket import switch_off_offloads
from segue.net.rtnetlink_write import IFA_F_NODAD, TABLE_MAIN, Rtnetlink, default_network

LINK_TIME = 0.05  # seconds between leaving an access point and being associated with the next
ACCESS_SIDE, CORE_SIDE = "access", "uplink"  # interfaces of an access router
_ROUTER_SETTINGS = {"ipv6/conf/all/forwarding": 1, "ipv4/ip_forward": 1}
# No interface gets an address, or asks for one, without somebody wanting it to.
_QUIET = {
    "ipv6/conf/default/accept_ra": 0,
    "ipv6/conf/default/autoconf": 0,
    "ipv6/conf/default/router_solicitations": 0,
    "ipv6/conf/default/accept_dad": 0,
    "ipv6/conf/default/dad_transmits": 0,
}
_NO_LINK_LOCAL = {"ipv6/conf/default/addr_gen_mode": 1}


class Network:
    """A running topology. A context manager: everything is gone when it ends."""

    def __init__(
        self,
        topology: Topology = OFFICE_TO_CAFE,
        links: Preset | None = None,
        seed: int = 0,
        folder: Path | None = None,
        rapid_commit: bool = True,
        attachment_hints: bool = True,
    ) -> None:
        """`folder` takes logs and captures and stays; without one they are thrown away. `rapid_commit`:
        whether the DHCP servers know RFC 4039. `attachment_hints`: whether access points tell their router
        of a station that comes, which then advertises unasked (RFC 4957). Nothing is built before the
        `with`."""
        self.topology = topology
        self.preset = links or preset("clean")
        self.seed = seed
        self.folder = folder or Path(tempfile.mkdtemp(prefix="segue-lab-"))
        self.hosts: dict[str, Namespace] = {}
        self.routers: dict[str, Namespace] = {}
        self._keep = folder is not None
        self._rapid_commit = rapid_commit
        self._hints = attachment_hints
        self._links: Links | None = None
        self._wire: Namespace | None = None
        self._number = 100
        self._ends = contextlib.ExitStack()

    def __enter__(self) -> Network:
        try:
            self._build()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End every process of the lab, and with them its namespaces."""
        self._ends.close()
        if not self._keep:
            shutil.rmtree(self.folder, ignore_errors=True)

    # --- using it

    @property
    def links(self) -> Links:
        """The link process."""
        if self._links is None:
            raise LocalError("the network is not built", "use it in a with statement")
        return self._links

    @property
    def wire(self) -> Namespace:
        """Where the far ends are: captures look here, nobody else runs here."""
        if self._wire is None:
            raise LocalError("the network is not built", "use it in a with statement")
        return self._wire

    def attach(self, host: str, interface: str, network: str, at: float | None = None) -> None:
        """Associate, now or at `at` on the monotonic scale; the station's carrier comes up."""
        station = self.topology.station(host, interface)
        self.topology.network(network)
        self.links.attach(station.name, network, at)

    def detach(self, host: str, interface: str, how: str = "carrier", at: float | None = None) -> None:
        """Leave the network; `how` is one of `station_break.BREAKS`."""
        self.links.detach(self.topology.station(host, interface).name, how, at)

    def move(
        self,
        host: str,
        interface: str,
        network: str,
        *,
        link_time: float = LINK_TIME,
        how: str = "carrier",
        at: float | None = None,
    ) -> float:
        """Leave the network where the interface is, and be attached to `network` `link_time` seconds later. The
        time of leaving, on the monotonic scale; the far end of the interface stays the same. Returns at
        once when `at` is given, else when the link process has both in its plan."""
        when = time.monotonic() + 0.01 if at is None else at
        self.detach(host, interface, how, when)
        self.attach(host, interface, network, when + link_time)
        return when

    def address(self, host: str, family: int) -> IPv6Address | IPv4Address:
        """The static address of a server or of a station that has one."""
        servers = [server for server in self.topology.servers if server.name == host]
        stations = [s for s in self.topology.stations if s.host == host and s.static]
        if not servers and not stations:
            raise LocalError(f"{host} has no static address", "ask its own namespace")
        subnet: Subnet = servers[0] if servers else self.topology.network(stations[0].attached)
        number = 2 if servers else STATIC_HOST
        return subnet.host6(number) if family == 6 else subnet.host4(number)

    def far_end(self, host: str, interface: str) -> str:
        """The name of an interface's far end in the wire."""
        return self.topology.station(host, interface).name

    def start_attachment_agent(
        self, host: str, interfaces: tuple[str, ...] = (), **options: str
    ) -> subprocess.Popen[Any]:
        """`segue attach` for the host's interfaces; `options` as of `mobility.attach_agent.run_attach`."""
        names = interfaces or tuple(s.interface for s in self.topology.stations if s.host == host)
        arguments = [f"{key}={value}" for key, value in {"seed": str(self.seed), **options}.items()]
        command = python_command("segue.lab.attachment", ",".join(names), *arguments)
        return self._start_ready(self.hosts[host], command, f"attach-{host}")

    def start_address_monitor(self, host: str) -> Path:
        """The file in which the host's kernel is quoted: `address_monitor.read_monitor` reads it."""
        path = self.folder / f"addresses-{host}.jsonl"
        command = python_command("segue.lab.address_monitor", path)
        self._start_ready(self.hosts[host], command, f"addresses-{host}")
        return path

    # --- building it

    def _build(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self._wire = self._namespace("wire", {"ipv6/conf/default/disable_ipv6": 1})
        core = self._router(CORE_ROUTER)
        always: dict[str, Any] = {}
        for network in self.topology.networks:
            self._access_router(network, core, always)
        for server in self.topology.servers:
            self._server(server, core, always)
        for station in self.topology.stations:
            self._station(station)
        self._start_processes(always)
        for station in self.topology.stations:
            if station.attached:
                self.attach(station.host, station.interface, station.attached)

    def _namespace(self, name: str, settings: dict[str, int]) -> Namespace:
        made = Namespace.create(name)
        self._ends.callback(made.close)
        for key, value in settings.items():
            made.sysctl(key, value)
        return made

    def _router(self, name: str) -> Namespace:
        made = self._namespace(name, {**_ROUTER_SETTINGS, **_QUIET, **_NO_LINK_LOCAL})
        self.routers[name] = made
        return made

    def _host(self, name: str) -> Namespace:
        made = self.hosts.get(name)
        if made is None:
            made = self.hosts[name] = self._namespace(name, _QUIET)
            made.resolver = self.folder / "resolv.conf"
            if not made.resolver.exists():
                made.resolver.write_text(self._resolver())
        return made

    def _resolver(self) -> str:
        subnet = self.topology.server("dns")
        return f"nameserver {subnet.host6(2)}\nnameserver {subnet.host4(2)}\noptions timeout:1\n"

    def _plug(
        self, host: Namespace, interface: str, far: str, link_address: bytes = b"", up: bool = True
    ) -> int:
        """A virtual pair from a host to the wire; the index of the host's end.

        Indexes are given so that the two ends never have the same number: the kernel tells of a carrier
        change at once only when they differ, else up to a second later.
        """
        inner, outer = self._number, self._number + 1
        self._number += 2
        own = link_address or b"\x02\0\x5e\0" + inner.to_bytes(2, "big")
        with self.wire.rtnetlink() as tables:
            tables.add_veth(
                far,
                interface,
                index=outer,
                peer_index=inner,
                peer_namespace=host.descriptor,
                link_address=b"\x02\0\x5e\0" + outer.to_bytes(2, "big"),
                peer_link_address=own,
            )
            tables.set_link(outer, up=up)
        self.wire.call(switch_off_offloads, far)
        host.call(switch_off_offloads, interface)
        return inner

    def _access_router(self, network: AccessNetwork, core: Namespace, always: dict[str, Any]) -> None:
        router = self._router(network.name)
        point_to_point = _shared_link_address(network) if network.point_to_point else b""
        access = self._plug(router, ACCESS_SIDE, f"ar-{network.name}", point_to_point)
        uplink = self._to_core(network, router, CORE_SIDE, core, always)
        with router.rtnetlink() as tables:
            tables.set_link(access, up=True, arp=not network.point_to_point)
            tables.replace_address(access, ROUTER_LINK_LOCAL, 64, flags=IFA_F_NODAD)
            for address in network.interfaces(1):
                tables.replace_address(access, address.ip, address.network.prefixlen, flags=IFA_F_NODAD)
            tables.replace_address(uplink, UPLINK_LINK_LOCAL, 64, flags=IFA_F_NODAD)
            tables.replace_address(uplink, _core_link(network, 2), 30)
            tables.replace_route(uplink, default_network(6), gateway=ROUTER_LINK_LOCAL)
            tables.replace_route(uplink, default_network(4), gateway=_core_link(network, 1))
            # Foreign sources do not pass (RFC 2827): an address of another network is worth nothing here.
            # Two rules, since an inverted one would invert the interface too.
            for own in (network.prefix, network.network):
                tables.add_rule(own, 1, table=TABLE_MAIN, in_interface=ACCESS_SIDE)
                tables.add_rule(default_network(own.version), 2, in_interface=ACCESS_SIDE)
        with core.rtnetlink() as tables:
            self._route_in_core(tables, network, UPLINK_LINK_LOCAL, _core_link(network, 2))

    def _server(self, server: Server, core: Namespace, always: dict[str, Any]) -> None:
        host = self._host(server.name)
        index = self._to_core(server, host, "eth0", core, always)
        with core.rtnetlink() as tables:
            link = tables.link(server.name)
            assert link is not None
            for address in server.interfaces(1):
                tables.replace_address(link.index, address.ip, address.network.prefixlen, flags=IFA_F_NODAD)
        with host.rtnetlink() as tables:
            for address in server.interfaces(2):
                tables.replace_address(index, address.ip, address.network.prefixlen, flags=IFA_F_NODAD)
            tables.replace_route(index, default_network(6), gateway=server.host6(1))
            tables.replace_route(index, default_network(4), gateway=server.host4(1))

    def _to_core(
        self, subnet: Subnet, host: Namespace, interface: str, core: Namespace, always: dict[str, Any]
    ) -> int:
        """A link to the core router, where the interface has the subnet's name."""
        near, far = f"up-{subnet.name}", f"core-{subnet.name}"
        index = self._plug(host, interface, near)
        in_core = self._plug(core, subnet.name, far)
        config = half(self.preset.link("core"), f"{subnet.name}-core")
        always[config.name] = link_json(near, far, config)
        with core.rtnetlink() as tables:
            tables.set_link(in_core, up=True)
            tables.replace_address(in_core, ROUTER_LINK_LOCAL, 64, flags=IFA_F_NODAD)
            if isinstance(subnet, AccessNetwork):
                tables.replace_address(in_core, _core_link(subnet, 1), 30)
        with host.rtnetlink() as tables:
            tables.set_link(index, up=True)
        return index

    @staticmethod
    def _route_in_core(tables: Rtnetlink, subnet: Subnet, via6: IPv6Address, via4: IPv4Address) -> None:
        link = tables.link(subnet.name)
        assert link is not None
        tables.replace_route(link.index, subnet.prefix, gateway=via6)
        tables.replace_route(link.index, subnet.network, gateway=via4)

    def _station(self, station: StationInterface) -> None:
        host = self._host(station.host)
        networks = self.topology.networks
        cellular = station.interface.startswith("wwan")
        shared = (
            next((_shared_link_address(n) for n in networks if n.point_to_point), b"") if cellular else b""
        )
        index = self._plug(host, station.interface, station.name, shared, up=False)
        with host.rtnetlink() as tables:
            tables.set_link(index, up=True, arp=not cellular)
            if not station.static:
                return
            network = self.topology.network(station.attached)
            for address in network.interfaces(STATIC_HOST):
                tables.replace_address(index, address.ip, address.network.prefixlen, flags=IFA_F_NODAD)
            tables.replace_route(index, default_network(6), gateway=ROUTER_LINK_LOCAL)
            tables.replace_route(index, default_network(4), gateway=network.host4(1))

    # --- its processes

    def _start_processes(self, always: dict[str, Any]) -> None:
        told, tells = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        stations = {station.name: station for station in self.topology.stations}
        descriptors = {self.hosts[s.host].descriptor for s in stations.values()}
        with told, tells:
            self._start_routers(told)
            links = Links(self.wire, self.folder / "links.jsonl", (tells.fileno(), *descriptors))
            self._ends.callback(links.close)
            links.configure(
                seed=self.seed,
                log=str(links.log),
                hints=tells.fileno() if self._hints else None,
                networks={
                    network.name: {
                        "interface": f"ar-{network.name}",
                        "config": _config(self.preset, network),
                    }
                    for network in self.topology.networks
                },
                stations={
                    name: {
                        "interface": name,
                        "inside": station.interface,
                        "namespace": self.hosts[station.host].descriptor,
                    }
                    for name, station in stations.items()
                },
                links=always,
            )
        self._links = links

    def _start_routers(self, hints: socket.socket) -> None:
        """One process for all access routers; returns when they listen."""
        dns = self.topology.server("dns")
        networks = [
            {
                "name": network.name,
                "namespace": self.routers[network.name].descriptor,
                "interface": ACCESS_SIDE,
                "prefix": str(network.prefix),
                "router6": str(ROUTER_LINK_LOCAL),
                "network": str(network.network),
                "router4": str(network.host4(1)),
                "pool": [str(address) for address in network.pool],
                "dns": [str(dns.host6(2)), str(dns.host4(2))],
            }
            for network in self.topology.networks
        ]
        configuration = {
            "hints": hints.fileno(),
            "seed": self.seed,
            "rapid_commit": self._rapid_commit,
            "networks": networks,
        }
        descriptors = [self.routers[network.name].descriptor for network in self.topology.networks]
        self._start_ready(
            self.routers[CORE_ROUTER],
            python_command("segue.lab.router", json.dumps(configuration)),
            "routers",
            (hints.fileno(), *descriptors),
        )

    def _start_ready(
        self, host: Namespace, command: list[str], name: str, inherited: tuple[int, ...] = ()
    ) -> subprocess.Popen[Any]:
        """Start a process of the lab and wait for the line with which it says that it is ready."""
        process = host.popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self._log(name),
            pass_fds=inherited,
        )
        assert process.stdout is not None
        if not process.stdout.readline():
            words = (self.folder / f"{name}.log").read_text().strip().splitlines()[-1:]
            raise LocalError(f"{name} did not start: {' '.join(words)}", f"see {self.folder}/{name}.log")
        return process

    def _log(self, name: str) -> TextIO:
        file = open(self.folder / f"{name}.log", "a")  # noqa: SIM115
        self._ends.callback(file.close)
        return file


def wait_for(condition: Callable[[], bool], timeout: float = 5.0, what: str = "it") -> float:
    """Seconds until the condition held. LocalError when it does not in time."""
    start = time.monotonic()
    while not condition():
        if time.monotonic() - start > timeout:
            raise LocalError(f"waited {timeout} s for {what}", "see the logs of the lab")
        time.sleep(0.005)
    return time.monotonic() - start


def _core_link(network: Subnet, end: int) -> IPv4Address:
    return IPv4Address(f"198.19.{network.number}.{end}")


def _shared_link_address(network: Subnet) -> bytes:
    """Both ends of a link without neighbour discovery have the same: the kernel addresses frames there to
    its own."""
    return b"\x02\0\x5e\x01\0" + bytes([network.number])


def _config(chosen: Preset, network: AccessNetwork) -> dict[str, Any]:
    from segue.lab.link_process import config_to_json

    return config_to_json(chosen.link(network.kind, network.name))
