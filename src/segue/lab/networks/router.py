"""The access routers' address work, one process for all: `python -m segue.lab.networks.router CONFIGURATION`.

For each access network: router advertisements (periodic, on solicitation, and when the link process says that a
station has come, all at once), a DHCPv4 server, and learning of stations' link-layer addresses from unsolicited
neighbour advertisements (RFC 9131, written to the kernel's table, since not every kernel has accept_untracked_na)
and ARP announcements. Forwarding itself is the kernel's.
"""

from __future__ import annotations

import contextlib
import json
import selectors
import socket
import sys
import time
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Any

from segue.base.entropy import Entropy
from segue.base.errors import RemoteError
from segue.base.machine import earliest
from segue.lab.networks.link_process import take_priority
from segue.lab.networks.namespaces import Namespace
from segue.lab.networks.timer import Timer
from segue.net.packet_socket import ADDRESS_WORK, ETH_P_ARP, ETH_P_IP, ETH_P_IPV6, PacketSocket
from segue.net.rtnetlink_write import NUD_STALE, NetlinkError
from segue.protocols.dhcp.arp import parse_arp
from segue.protocols.dhcp.server import DhcpServer, SubnetConfig
from segue.protocols.nd.messages import (
    NeighbourAdvertisement,
    RouterAdvertisement,
    RouterSolicitation,
    parse_message,
)
from segue.protocols.nd.options import (
    PrefixInformation,
    RecursiveDnsServers,
    SourceLinkLayerAddress,
    TargetLinkLayerAddress,
)
from segue.protocols.nd.packet import ALL_NODES, multicast_link_address, write_frame
from segue.protocols.nd.proxy_advertisement import (
    EXPERIMENTAL_MOBILITY,
    NearbyRouter,
    ProxyAdvertisement,
    ProxySolicitation,
    parse_proxy_message,
    write_proxy_advertisement,
)
from segue.protocols.nd.router_advertisement import AdvertisingTimers, RouterAdvertiser
from segue.testing.entropy import SeededEntropy

MAX_NEIGHBOURS = 1024
ROUTER_LIFETIME = 1800  # seconds
PREFIX_LIFETIME = 7200
TIMERS = AdvertisingTimers(min_interval=3.0, max_interval=10.0, max_delay=0.0, min_between=0.0)


class AccessRouter:
    """One network's. `namespace` is an open descriptor of the router's namespace."""

    def __init__(self, given: dict[str, Any], entropy: Entropy, rapid_commit: bool) -> None:
        self.name: str = given["name"]
        namespace = Namespace(self.name, given["namespace"])
        self.socket = namespace.call(_open, given["interface"])
        self._tables = namespace.rtnetlink()
        link = self._tables.link(given["interface"])
        assert link is not None
        self._index = link.index
        self._link = link.link_address
        self._without_neighbours = link.without_neighbours
        self._prefix = IPv6Network(given["prefix"])
        self._network = IPv4Network(given["network"])
        self.neighbours: list[AccessRouter] = []  # routers of other networks, whose caches we can ask
        self._router6 = IPv6Address(given["router6"])
        self._learnt: dict[IPv6Address | IPv4Address, bytes] = {}
        servers = given["dns"]
        self._dhcp = DhcpServer(
            SubnetConfig(
                network=self._network,
                router=IPv4Address(given["router4"]),
                pool=tuple(map(IPv4Address, given["pool"])),
                dns_servers=tuple(IPv4Address(s) for s in servers if ":" not in s),
                rapid_commit=rapid_commit,
            ),
            self._link,
        )
        options = (
            SourceLinkLayerAddress(self._link),
            PrefixInformation(self._prefix, PREFIX_LIFETIME, PREFIX_LIFETIME),
            RecursiveDnsServers(tuple(IPv6Address(s) for s in servers if ":" in s), ROUTER_LIFETIME),
        )
        advertisement = RouterAdvertisement(ROUTER_LIFETIME, options)
        self._advertiser = RouterAdvertiser(advertisement, IPv6Address(given["router6"]), entropy, TIMERS)

    def start(self, now: float) -> None:
        self._advertiser.start(now)
        self._send()

    def station_attached(self, now: float) -> None:
        self._advertiser.station_attached(now)
        self._send()

    def readable(self, now: float) -> None:
        """Take what has come in."""
        while (frame := self.socket.receive()) is not None:
            self._receive(frame.octets, now)
        self._send()

    def deadline(self) -> float | None:
        return earliest(self._advertiser.deadline(), self._dhcp.deadline())

    def expire(self, now: float) -> None:
        self._advertiser.expire(now)
        self._send()

    def _receive(self, frame: bytes, now: float) -> None:
        kind = int.from_bytes(frame[12:14], "big")
        if kind == ETH_P_IPV6:
            self._receive_discovery(frame, now)
        elif kind == ETH_P_IP:
            self._dhcp.receive(frame, None, now)
        elif kind == ETH_P_ARP:
            with contextlib.suppress(RemoteError):
                packet = parse_arp(frame)
                if packet.is_announcement and packet.sender in self._network:
                    self._learn(packet.sender, packet.sender_link, override=True)

    def nearby(self, solicitation: ProxySolicitation) -> NearbyRouter:
        """What another router tells about us: of the addresses proposed here, those that nobody else has."""
        here = [address for address in solicitation.proposed if address in self._prefix]
        free = [a for a in here if self._learnt.get(a, solicitation.source_link) == solicitation.source_link]
        return NearbyRouter(self.name, self._link, self._router6, self._prefix, tuple(free))

    def _receive_proxy(self, frame: bytes) -> None:
        try:
            message, source = parse_proxy_message(frame[14:])
        except RemoteError:
            return
        if isinstance(message, ProxySolicitation):
            nearby = tuple(other.nearby(message) for other in self.neighbours)
            packet = write_proxy_advertisement(
                ProxyAdvertisement(message.identifier, nearby), self._router6, source
            )
            self.socket.send(write_frame(packet, self._link, frame[6:12]))

    def _receive_discovery(self, frame: bytes, now: float) -> None:
        if frame[54:55] == bytes([EXPERIMENTAL_MOBILITY]):
            self._receive_proxy(frame)
            return
        try:
            received = parse_message(frame[14:])
        except RemoteError:
            return
        message = received.message
        if isinstance(message, RouterSolicitation):
            self._advertiser.receive(received, None, now)
        elif isinstance(message, NeighbourAdvertisement) and message.target in self._prefix:
            option = message.option(TargetLinkLayerAddress)
            if option is not None and not message.solicited:
                self._learn(message.target, option.address, message.override)

    def _learn(self, address: IPv6Address | IPv4Address, link: bytes, override: bool) -> None:
        """Without `override` a claim makes an entry, but changes none (RFC 4429 section 3.3)."""
        if self._without_neighbours or (not override and self._learnt.get(address, link) != link):
            return
        if len(self._learnt) >= MAX_NEIGHBOURS:
            self._learnt.pop(next(iter(self._learnt)))
        self._learnt[address] = link
        with contextlib.suppress(NetlinkError):  # a nonsensical link-layer address
            self._tables.replace_neighbour(self._index, address, link, state=NUD_STALE)

    def _send(self) -> None:
        frames = self._dhcp.transmits()
        group = multicast_link_address(ALL_NODES)
        frames += [write_frame(packet, self._link, group) for packet in self._advertiser.transmits()]
        self._dhcp.events()
        for frame in frames:
            with contextlib.suppress(OSError):
                self.socket.send(frame)


def _open(interface: str) -> PacketSocket:
    return PacketSocket(interface, accepted=ADDRESS_WORK)


def main() -> None:
    given = json.loads(sys.argv[1])
    entropy = SeededEntropy(f"routers {given['seed']}")
    routers = [AccessRouter(network, entropy, given["rapid_commit"]) for network in given["networks"]]
    names = {router.name: router for router in routers}
    for router in routers:
        router.neighbours = [other for other in routers if other is not router]
    hints = socket.socket(fileno=given["hints"])
    hints.setblocking(False)
    timer = Timer()
    selector = selectors.DefaultSelector()
    for router in routers:
        selector.register(router.socket, selectors.EVENT_READ, router)
        router.start(time.monotonic())
    selector.register(hints, selectors.EVENT_READ)
    selector.register(timer, selectors.EVENT_READ)
    take_priority()
    print("ready", flush=True)
    while True:
        timer.set(earliest(*(router.deadline() for router in routers)))
        for key, _ in selector.select():
            now = time.monotonic()
            if isinstance(key.data, AccessRouter):
                key.data.readable(now)
            elif key.fileobj is timer:
                timer.clear()
                for router in routers:
                    router.expire(now)
            else:
                with contextlib.suppress(OSError):
                    came = names.get(hints.recv(256).decode())
                    if came is not None:
                        came.station_attached(now)


if __name__ == "__main__":
    main()
