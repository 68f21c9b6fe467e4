"""Networks where an interface has been before, and what was set there (RFC 6059, RFC 4436). Pure.

A network is known by the name that the radio gives it (SSID, operator), and by its routers' identifiers: link-local
and link-layer address together (RFC 6059 section 3). Times are of the clock that the attachment machines are given.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address, IPv6Network

from segue.protocols.dhcp.client import Lease

MAX_NETWORKS = 32  # of one interface
MAX_PROBES = 6  # RFC 6059 section 5.5.3

Router = tuple[IPv6Address, bytes]
"""A router's identifier."""


@dataclass
class OwnAddress:
    """An address made from a prefix. `confirmed`: advertised since the carrier came. Until `proven_until` it needs no
    detection of duplicates: its router has said that it is nobody's."""

    address: IPv6Address
    valid_until: float
    preferred_until: float
    duplicates: int = 0
    confirmed: bool = True
    proven_until: float = 0.0


@dataclass
class KnownNetwork:
    """What the machine has learnt of one network; `name` empty where no radio says one."""

    name: str = ""
    own: dict[IPv6Network, OwnAddress] = field(default_factory=dict)
    routers: dict[Router, float] = field(default_factory=dict)  # until when each is a default router
    resolvers: dict[int, tuple[IPv4Address | IPv6Address, ...]] = field(default_factory=dict)  # by family
    lease: Lease | None = None

    def forget_expired(self, now: float) -> None:
        self.own = {prefix: own for prefix, own in self.own.items() if own.valid_until > now + 1}
        self.routers = {router: until for router, until in self.routers.items() if until > now}
        if self.lease is not None and self.lease.expires_at <= now + 1:
            self.lease = None

    def forget_ipv6(self) -> None:
        """Its routers say otherwise now, or its name is another network's too."""
        self.own.clear()
        self.routers.clear()
        self.resolvers.pop(6, None)


class KnownNetworks:
    """Of one interface, the one visited last at the end."""

    def __init__(self) -> None:
        self._networks: list[KnownNetwork] = []

    def visit(self, network: KnownNetwork) -> KnownNetwork:
        """It is where we are; kept from now on, as long as there is room."""
        self._networks = [known for known in self._networks if known is not network][1 - MAX_NETWORKS :]
        self._networks.append(network)
        return network

    def named(self, name: str) -> KnownNetwork | None:
        return next((known for known in self._networks if name and known.name == name), None)

    def elsewhere(self, here: KnownNetwork) -> list[IPv6Address]:
        """Our addresses in all the others, the latest visited first."""
        others = [known for known in reversed(self._networks) if known is not here]
        return [own.address for known in others for own in known.own.values()]

    def of_router(self, router: Router) -> KnownNetwork | None:
        return next((known for known in reversed(self._networks) if router in known.routers), None)

    def probes(self, now: float) -> list[tuple[KnownNetwork, Router]]:
        """The routers to be asked whether they are there: of networks where an address is still valid."""
        found: list[tuple[KnownNetwork, Router]] = []
        for network in reversed(self._networks):
            network.forget_expired(now)
            if network.own:
                found += [(network, router) for router in network.routers if router[1]]
        return found[:MAX_PROBES]

    def leases(self, now: float) -> list[Lease]:
        """Those that run on, with a router whose link-layer address is known (RFC 4436 section 2)."""
        for network in self._networks:
            network.forget_expired(now)
        leases = [known.lease for known in reversed(self._networks) if known.lease is not None]
        return [lease for lease in leases if test_node(lease)][:MAX_PROBES]


def test_node(lease: Lease) -> bytes:
    """The link-layer address of the lease's router; empty when it is not known."""
    return lease.server_link if lease.router is not None and lease.server_source == lease.router else b""
