"""Makes the namespaces of a topology, the virtual pairs from each to the wire, addresses, routes and filters.

Nothing runs yet when this is done: `network` starts the processes.
"""

from __future__ import annotations

import contextlib
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Any

from segue.emulator.links import Preset
from segue.lab.networks.link_process import core_link
from segue.lab.networks.links import link_json
from segue.lab.networks.namespaces import Namespace
from segue.lab.networks.topology import (
    CORE_ROUTER,
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
from segue.net.rtnetlink_write import IFA_F_NODAD, NUD_PERMANENT, TABLE_MAIN, Rtnetlink, default_network

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


class Builder:
    """`hosts` and `routers` by name, the `wire`, and the `links` that always are (for `Links.configure`)."""

    def __init__(self, topology: Topology, preset: Preset, folder: Path, ends: contextlib.ExitStack) -> None:
        """`ends` closes every namespace."""
        self.topology = topology
        self.preset = preset
        self.folder = folder
        self.hosts: dict[str, Namespace] = {}
        self.routers: dict[str, Namespace] = {}
        self.links: dict[str, Any] = {}
        self._number = 100
        self._ends = ends
        self.wire = self._namespace("wire", {"ipv6/conf/default/disable_ipv6": 1})

    def build(self) -> None:
        core = self._router(CORE_ROUTER)
        for network in self.topology.networks:
            self._access_router(network, core)
        for server in self.topology.servers:
            self._server(server, core)
        for station in self.topology.stations:
            self._station(station)

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

    def _access_router(self, network: AccessNetwork, core: Namespace) -> None:
        router = self._router(network.name)
        point_to_point = _shared_link_address(network) if network.point_to_point else b""
        access = self._plug(router, ACCESS_SIDE, f"ar-{network.name}", point_to_point)
        uplink = self._to_core(network, router, CORE_SIDE, core)
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
        near_side = (UPLINK_LINK_LOCAL, _core_link(network, 2))
        _introduce(
            core, network.name, (ROUTER_LINK_LOCAL, _core_link(network, 1)), router, CORE_SIDE, near_side
        )

    def _server(self, server: Server, core: Namespace) -> None:
        host = self._host(server.name)
        index = self._to_core(server, host, "eth0", core)
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
        core_side = (server.host6(1), server.host4(1))
        own_side = (server.host6(2), server.host4(2))
        _introduce(core, server.name, core_side, host, "eth0", own_side)

    def _to_core(self, subnet: Subnet, host: Namespace, interface: str, core: Namespace) -> int:
        """A link to the core router, where the interface has the subnet's name."""
        near, far = f"up-{subnet.name}", f"core-{subnet.name}"
        index = self._plug(host, interface, near)
        in_core = self._plug(core, subnet.name, far)
        config = half(self.preset.link("core"), core_link(subnet.name))
        self.links[config.name] = link_json(near, far, config) | {"nat": _nat_json(subnet)}
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
        public = subnet.public if isinstance(subnet, AccessNetwork) else subnet.network
        tables.replace_route(link.index, public, gateway=via4)

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


def _introduce(
    first: Namespace,
    first_interface: str,
    first_addresses: tuple[IPv6Address, IPv4Address],
    second: Namespace,
    second_interface: str,
    second_addresses: tuple[IPv6Address, IPv4Address],
) -> None:
    """Make the two ends of a core link know each other for good: address resolution there would only disturb
    what is measured at the edge."""
    with first.rtnetlink() as near, second.rtnetlink() as far:
        one, other = near.link(first_interface), far.link(second_interface)
        assert one is not None and other is not None
        for tables, here, there, addresses in (
            (near, one, other, second_addresses),
            (far, other, one, first_addresses),
        ):
            for address in addresses:
                tables.replace_neighbour(here.index, address, there.link_address, state=NUD_PERMANENT)


def _nat_json(subnet: Subnet) -> dict[str, str] | None:
    """For `nat_box.nat_box`."""
    if not isinstance(subnet, AccessNetwork) or not subnet.nat:
        return None
    return {
        "kind": subnet.nat,
        "inside4": str(subnet.network),
        "outside4": str(subnet.outside4),
        "inside6": str(subnet.prefix),
    }


def _core_link(network: Subnet, end: int) -> IPv4Address:
    return IPv4Address(f"198.19.{network.number}.{end}")


def _shared_link_address(network: Subnet) -> bytes:
    """Both ends of a link without neighbour discovery have the same: the kernel addresses frames there to
    its own."""
    return b"\x02\0\x5e\x01\0" + bytes([network.number])
