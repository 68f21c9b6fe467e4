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
from segue.lab.measure.capture import Capture
from segue.lab.networks.build import ACCESS_SIDE, CORE_SIDE, Builder
from segue.lab.networks.links import Links, python_command
from segue.lab.networks.name_server import zone_text
from segue.lab.networks.namespaces import Namespace
from segue.lab.networks.topology import (
    CORE_ROUTER,
    OFFICE_TO_CAFE,
    ROUTER_LINK_LOCAL,
    STATIC_HOST,
    AccessNetwork,
    Subnet,
    Topology,
)

LINK_TIME = 0.05  # seconds between leaving an access point and being associated with the next


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
        radio_names: bool = True,
    ) -> None:
        """`folder` takes logs and captures and stays; without one they are thrown away. `rapid_commit`:
        whether the DHCP servers know RFC 4039. `attachment_hints`: whether access points tell their router
        of a station that comes, which then advertises unasked (RFC 4957). `radio_names`: whether the stations'
        drivers say the name of the network that they are associated with, as those of radios do. Nothing is built
        before the `with`."""
        self.topology = topology
        self.preset = links or preset("clean")
        self.seed = seed
        self.folder = folder or Path(tempfile.mkdtemp(prefix="segue-lab-"))
        self.hosts: dict[str, Namespace] = {}
        self.routers: dict[str, Namespace] = {}
        self._keep = folder is not None
        self._rapid_commit = rapid_commit
        self._hints = attachment_hints
        self._named = radio_names
        self._radios = Path(tempfile.mkdtemp(prefix="segue-radio-"))  # the path of a socket has to be short
        self._links: Links | None = None
        self._built: Builder | None = None
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
        shutil.rmtree(self._radios, ignore_errors=True)
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
        if self._built is None:
            raise LocalError("the network is not built", "use it in a with statement")
        return self._built.wire

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

    def rebind(self, network: str, at: float | None = None) -> None:
        """Its NAT forgets every mapping, as after a restart: what its hosts send next comes from other ports."""
        self.topology.network(network)
        self.links.rebind(network, at)

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
        radio = str(self._radios / "-".join((host, *names))) if self._named else ""
        given = {"seed": str(self.seed), "radio": radio, **options}
        arguments = [f"{key}={value}" for key, value in given.items()]
        command = python_command("segue.lab.networks.attachment", ",".join(names), *arguments)
        return self._start_ready(self.hosts[host], command, f"attach-{host}")

    def start_address_monitor(self, host: str) -> Path:
        """The file in which the host's kernel is quoted: `address_monitor.read_monitor` reads it."""
        path = self.folder / f"addresses-{host}.jsonl"
        command = python_command("segue.lab.measure.address_monitor", path)
        self._start_ready(self.hosts[host], command, f"addresses-{host}")
        return path

    def places(self) -> dict[str, str]:
        """Every interface of a host that is no router: its far end, and "HOST INTERFACE"."""
        stations = {s.name: f"{s.host} {s.interface}" for s in self.topology.stations}
        return stations | {f"up-{server.name}": f"{server.name} eth0" for server in self.topology.servers}

    def start_capture(
        self, folder: Path | None = None, hosts: tuple[str, ...] = (), everywhere: bool = False
    ) -> Capture:
        """Capture every interface of the hosts (of all hosts when none is named), each to a file of its own;
        with `everywhere` both ends of every link, the routers' too: what an eavesdropper could hear."""
        places = {
            far: place for far, place in self.places().items() if not hosts or place.split()[0] in hosts
        }
        if everywhere:
            places = self.places()
            for network in self.topology.networks:
                places[f"ar-{network.name}"] = f"{network.name} {ACCESS_SIDE}"
                places[f"up-{network.name}"] = f"{network.name} {CORE_SIDE}"
            places |= {f"core-{subnet.name}": f"core {subnet.name}" for subnet in self.topology.subnets()}
        return Capture(self.wire, folder or self.folder / "captures", places)

    # --- building it

    def _build(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self._built = builder = Builder(self.topology, self.preset, self.folder, self._ends)
        self.hosts, self.routers = builder.hosts, builder.routers
        builder.build()
        self._start_processes(builder.links)
        for station in self.topology.stations:
            if station.attached:
                self.attach(station.host, station.interface, station.attached)
        self._start_name_server()

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
                        "relays": not network.point_to_point,
                    }
                    for network in self.topology.networks
                },
                stations={
                    name: {
                        "interface": name,
                        "inside": station.interface,
                        "namespace": self.hosts[station.host].descriptor,
                        "radios": str(self._radios / station.host),
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
            python_command("segue.lab.networks.router", json.dumps(configuration)),
            "routers",
            (hints.fileno(), *descriptors),
        )

    def _start_name_server(self) -> None:
        if not any(server.name == "dns" for server in self.topology.servers):
            return
        zone = self.folder / "zone"
        zone.write_text(zone_text(self.topology))
        self._start_ready(self.hosts["dns"], python_command("segue.lab.networks.name_server", zone), "dns")

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


def _config(chosen: Preset, network: AccessNetwork) -> dict[str, Any]:
    from segue.lab.networks.link_process import config_to_json

    return config_to_json(chosen.link(network.kind, network.name))
