"""Which hosts, access networks and links there are, and every address in them. Data only; `network` builds it.

        mn ))) office ---+              +--- home ((( cn
           ))) cafe   ---+--- core -----+--- proxy
           === umts   ---+              +--- dns

Each name in the middle column is an access router, with its subnet on the side of the stations: `)))` is a WLAN,
`===` is 3G, point to point and without neighbour discovery. Addresses are of the blocks that are set aside for
documentation and benchmarks (RFC 3849, RFC 2544): network number n is 2001:db8:n::/64 and 198.18.n.0/24, the
router in it has 1; links to the core are 198.19.n.0/30 and link-local. Behind a NAT the subnet is 192.168.n.0/24 in
place of 198.18.n.0/24, of which the NAT has 254.

From one access router to another, or to the proxy, is one crossing of the core: two links of half its delay.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network

from segue.base.errors import LocalError
from segue.emulator.link_model import LinkConfig

CORE_ROUTER = "core"
ROUTER_LINK_LOCAL = IPv6Address("fe80::1")
UPLINK_LINK_LOCAL = IPv6Address("fe80::2")
DOMAIN = "example.org"


@dataclass(frozen=True)
class Subnet:
    """A network's addresses by its number (1 to 250)."""

    name: str
    number: int

    @property
    def prefix(self) -> IPv6Network:
        return IPv6Network(f"2001:db8:{self.number}::/64")

    @property
    def network(self) -> IPv4Network:
        return IPv4Network(f"198.18.{self.number}.0/24")

    def host6(self, host: int) -> IPv6Address:
        return IPv6Address(f"2001:db8:{self.number}::{host}")

    def host4(self, host: int) -> IPv4Address:
        return self.network.network_address + host

    def interfaces(self, host: int) -> tuple[IPv6Interface, IPv4Interface]:
        """The host's addresses with their prefix lengths."""
        return IPv6Interface(f"{self.host6(host)}/64"), IPv4Interface(f"{self.host4(host)}/24")


@dataclass(frozen=True)
class AccessNetwork(Subnet):
    """A subnet with an access router of the same name. `kind` is a link's name in the preset. `side`: whose network
    it is, "mn" or "cn". `nat`: the kind of NAT (IPv4) and firewall (IPv6) between router and core; "": none."""

    kind: str = "wlan"
    side: str = "mn"
    nat: str = ""

    @property
    def network(self) -> IPv4Network:
        return IPv4Network(f"192.168.{self.number}.0/24") if self.nat else self.public

    @property
    def public(self) -> IPv4Network:
        """What the core knows it by."""
        return super().network

    @property
    def outside4(self) -> IPv4Address:
        """The NAT's address."""
        return self.public.network_address + NAT_HOST

    @property
    def point_to_point(self) -> bool:
        """No neighbour discovery, no ARP: every frame can only be for the other end."""
        return self.kind == "3g"

    @property
    def pool(self) -> tuple[IPv4Address, ...]:
        """What the DHCP server gives out."""
        return tuple(self.host4(host) for host in range(100, 200))


@dataclass(frozen=True)
class Server(Subnet):
    """A host with a link of its own to the core: address 2 of its subnet."""


@dataclass(frozen=True)
class StationInterface:
    """An interface that attaches to access networks, at first to `attached` ("": to none).

    With `static` it has address 10 of that network, and routes, from the start; without, an attachment agent
    (or the phone's own system) is to do that.
    """

    host: str
    interface: str
    attached: str = ""
    static: bool = False

    @property
    def name(self) -> str:
        return f"{self.host}-{self.interface}"


STATIC_HOST = 10
NAT_HOST = 254


@dataclass(frozen=True)
class Topology:
    """All names. Raises LocalError when they do not fit together."""

    name: str
    networks: tuple[AccessNetwork, ...]
    stations: tuple[StationInterface, ...]
    servers: tuple[Server, ...] = (Server("proxy", 17), Server("dns", 18))

    def __post_init__(self) -> None:
        known = {network.name for network in self.networks}
        for station in self.stations:
            if station.attached and station.attached not in known:
                raise LocalError(f"{station.name} is attached to {station.attached}", "no such network")
            if station.static and not station.attached:
                raise LocalError(f"{station.name} has static addresses of no network", "attach it to one")
            if len(station.name) > 15:
                raise LocalError(f"{station.name} is too long for an interface", "15 characters at most")

    def network(self, name: str) -> AccessNetwork:
        found = next((network for network in self.networks if network.name == name), None)
        if found is None:
            names = ", ".join(network.name for network in self.networks)
            raise LocalError(f"no access network is called {name!r}", f"choose one of {names}")
        return found

    def station(self, host: str, interface: str) -> StationInterface:
        found = next((s for s in self.stations if (s.host, s.interface) == (host, interface)), None)
        if found is None:
            raise LocalError(f"host {host!r} has no interface {interface!r}", f"see {self.name}")
        return found

    def server(self, name: str) -> Server:
        found = next((server for server in self.servers if server.name == name), None)
        if found is None:
            raise LocalError(f"no server is called {name!r}", f"see {self.name}")
        return found

    def hosts(self) -> list[str]:
        """Every host that is no router."""
        return list(dict.fromkeys([s.host for s in self.stations] + [server.name for server in self.servers]))

    def subnets(self) -> list[Subnet]:
        return [*self.networks, *self.servers]

    def picture(self) -> str:
        """ASCII, for the start of a report."""
        lines = [f"topology {self.name}:"]
        for network in self.networks:
            sign = "===" if network.point_to_point else ")))"
            users = [s.name for s in self.stations if s.attached == network.name]
            stations = " ".join(users) or "-"
            way = f"({network.nat} {network.outside4}) --- core" if network.nat else "--- core"
            lines.append(f"  {stations:24} {sign} {network.name:8} {network.prefix} {network.network} {way}")
        for server in self.servers:
            lines.append(f"  {'':24}     {server.name:8} {server.prefix} {server.network} --- core")
        return "\n".join(lines)


_HOME = AccessNetwork("home", 4, side="cn")
_HOTEL = AccessNetwork("hotel", 7, side="cn")
_CORRESPONDENT = StationInterface("cn", "wlan0", "home", static=True)

OFFICE_TO_CAFE = Topology(
    "office-umts-cafe",
    (AccessNetwork("office", 1), AccessNetwork("umts", 2, "3g"), AccessNetwork("cafe", 3), _HOME),
    (StationInterface("mn", "wlan0"), StationInterface("mn", "wwan0"), _CORRESPONDENT),
)
TWO_SUBNETS = Topology(
    "two-subnets",
    (AccessNetwork("a", 5), AccessNetwork("b", 6), _HOME),
    (StationInterface("mn", "wlan0"), _CORRESPONDENT),
)
TOPOLOGIES = {topology.name: topology for topology in (OFFICE_TO_CAFE, TWO_SUBNETS)}


def with_moving_correspondent(topology: Topology) -> Topology:
    """The same, where the correspondent gets its addresses as the mobile node does, and may move too."""
    stations = tuple(replace(s, static=False) if s.host == "cn" else s for s in topology.stations)
    return replace(topology, stations=stations)


def with_a_place_to_go(topology: Topology) -> Topology:
    """The same, where the correspondent moves, and has another network to go to."""
    moving = with_moving_correspondent(topology)
    return replace(moving, networks=(*moving.networks, _HOTEL))


def with_second_radio(topology: Topology, hosts: tuple[str, ...]) -> Topology:
    """The same, where these hosts have `wlan1` beside `wlan0`."""
    more = tuple(StationInterface(host, "wlan1") for host in hosts)
    return replace(topology, stations=(*topology.stations, *more))


def with_nats(topology: Topology, kinds: dict[str, str]) -> Topology:
    """The same, where every access network of a side ("mn", "cn") has a NAT of that kind, each its own."""
    networks = tuple(replace(n, nat=kinds.get(n.side, n.nat)) for n in topology.networks)
    return replace(topology, networks=networks)


def half(config: LinkConfig, name: str) -> LinkConfig:
    """One of the two links that make a crossing of the core."""
    return replace(
        config, name=name, one_way_delay_ms=config.one_way_delay_ms / 2, jitter_ms=config.jitter_ms / 2
    )
