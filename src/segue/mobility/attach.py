"""Getting an address at a network just reached: one interface's machine. Pure; `attach_agent` does what it says.

Link up: a router solicitation and a DHCPDISCOVER leave at once (a node that has just moved need not wait, RFC
4861 section 6.3.7). A router advertisement makes an address, a default route and, from the router's own option, its
link-layer address; a lease does the same for IPv4. Then the router is told where we are before it asks: an
unsolicited neighbour advertisement (RFC 9131), an ARP announcement (RFC 5227).

At a network seen before nothing is waited for. When the radio says its name, addresses, routers and lease are set at
once, and asked about beside. Without a name the routers of networks seen before are asked whether they are there, by
unicast and in parallel with the solicitation (RFC 6059 section 5.5, RFC 4436 section 2.1); whoever answers says where
we are. What an advertisement or a DHCP server says later is definitive (RFC 6059 section 5.7.3).

Link down changes nothing but that nothing more is sent: the link may come back where it was. When an
advertisement shows that it did not (none of our prefixes, another router), what belonged to the old network is
removed, after the new is in place.

Inputs are Ethernet frames and what the kernel says; outputs are Ethernet frames; events are what is to be set.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from segue.base.entropy import Entropy
from segue.base.errors import RemoteError
from segue.base.machine import earliest
from segue.base.secret import Secret
from segue.base.trace import NO_TRACE, Trace
from segue.mobility.known_networks import KnownNetwork, KnownNetworks, OwnAddress, test_node
from segue.mobility.neighbourhood import Neighbourhood
from segue.protocols.dhcp.address_conflict import AddressConflict, ConflictState
from segue.protocols.dhcp.arp import parse_arp, write_request
from segue.protocols.dhcp.client import Bound, DhcpClient, Lease
from segue.protocols.nd.duplicate_address_detection import DadMode
from segue.protocols.nd.interface_identifier import address_in, stable_opaque
from segue.protocols.nd.messages import (
    NeighbourAdvertisement,
    NeighbourSolicitation,
    Received,
    RouterAdvertisement,
    parse_message,
    write_message,
)
from segue.protocols.nd.options import (
    PrefixInformation,
    RecursiveDnsServers,
    SourceLinkLayerAddress,
    TargetLinkLayerAddress,
)
from segue.protocols.nd.packet import ALL_ROUTERS, multicast_link_address, write_frame
from segue.protocols.nd.proxy_advertisement import EXPERIMENTAL_MOBILITY
from segue.protocols.nd.router_solicitation import RouterDiscovery

IpAddress = IPv4Address | IPv6Address
IpNetwork = IPv4Network | IPv6Network

MAX_ADDRESSES = 16  # of one interface; an advertisement may carry more prefixes than anyone needs
MAX_ROUTERS = 16
MAX_DUPLICATES = 3  # RFC 7217 section 6: IDGEN_RETRIES
NEARBY_LIFETIME = (
    600.0  # seconds for which what was heard of a network nearby is kept; it will advertise itself
)
PROOF_LIFETIME = 60.0  # seconds for which its router's word counts that an address is nobody's
TWO_HOURS = 7200.0  # RFC 4862 section 5.5.3 e
_ARP, _IPV4, _IPV6 = 0x0806, 0x0800, 0x86DD


@dataclass(frozen=True)
class AttachConfig:
    """`families`: which of 4 and 6. `dad`: how IPv6 duplicates are found; IPv4 addresses are announced and used
    at once. `key` makes interface identifiers that are stable in a network and unlinkable between networks."""

    key: Secret
    families: tuple[int, ...] = (6, 4)
    dad: DadMode = DadMode.OPTIMISTIC
    rapid_commit: bool = True


@dataclass(frozen=True)
class SetAddress:
    """Give the interface this address; lifetimes in seconds. It may have it already. `proven`: nobody else has it,
    and nobody is to be asked."""

    address: IpAddress
    prefix_length: int
    valid: int
    preferred: int
    proven: bool = False


@dataclass(frozen=True)
class RemoveAddress:
    address: IpAddress
    prefix_length: int


@dataclass(frozen=True)
class SetRouter:
    """The default router, with its link-layer address where known and needed (else empty)."""

    router: IpAddress
    link_address: bytes


@dataclass(frozen=True)
class RemoveRouter:
    router: IpAddress


@dataclass(frozen=True)
class Resolvers:
    """The network's own name servers."""

    servers: tuple[IpAddress, ...]


AttachEvent = SetAddress | RemoveAddress | SetRouter | RemoveRouter | Resolvers


class InterfaceAttachment:
    """A machine for one interface. `point_to_point`: no neighbour discovery, hence no duplicates and nobody
    to tell."""

    def __init__(
        self,
        interface: str,
        link_address: bytes,
        config: AttachConfig,
        entropy: Entropy,
        point_to_point: bool = False,
        trace: Trace = NO_TRACE,
    ) -> None:
        self.interface = interface
        self.config = config
        self.up = False
        self._link = link_address
        self._point_to_point = point_to_point
        self._entropy = entropy
        self._trace = trace
        self._discovery = RouterDiscovery(entropy)
        self._dhcp = DhcpClient(link_address, entropy, config.rapid_commit, trace=trace)
        self._conflict: AddressConflict | None = None
        self._neighbourhood = Neighbourhood(link_address, entropy)
        self._known = KnownNetworks()
        self._here = KnownNetwork()  # where we are, as far as that is known
        self._name = ""  # of the network, by the radio
        self._link_local: IPv6Address | None = None
        self._probed: Lease | None = (
            None  # in use, or about to be, and not confirmed by anybody since link up
        )
        self._own: dict[IPv6Network, OwnAddress] = {}
        self._routers: dict[IPv6Address, float] = {}  # until when each is a default router
        self._heard: set[IPv6Address] = set()  # routers, since the carrier came
        self._links: dict[IPv6Address, bytes] = {}  # of routers
        self._lease: Lease | None = None
        self._asking = False  # for a lease
        self._transmits: list[bytes] = []
        self._events: list[AttachEvent] = []

    # --- what the kernel says

    def link_up(self, now: float) -> None:
        """The carrier has come; nothing when it was there."""
        if self.up:
            return
        self.up = True
        self._arrive(now)
        self._drain(now)

    def network_is(self, name: str, now: float) -> None:
        """The radio's driver says what it is associated with, again and again; empty: with nothing. It may say so
        before the carrier comes or after, and roam without a word of the carrier's."""
        if name == self._name:
            return
        self._name = name
        if name and self.up:
            self._arrive(now)
            self._drain(now)

    def link_local_is(self, address: IPv6Address, now: float) -> None:
        """The interface's own link-local address, which questions are sent from."""
        self._link_local = address
        self._ask_nearby(now)
        self._drain(now)

    def _ask_nearby(self, now: float) -> None:
        """The router that was heard here: about the others."""
        if self.config.dad is not DadMode.PROACTIVE or self._link_local is None or not self.up:
            return
        heard = [router for router in self._here.routers if router[0] in self._heard and router[1]]
        if heard:
            self._neighbourhood.start(self._link_local, heard[-1], now)

    def link_down(self, now: float) -> None:
        """The carrier has gone. Addresses and routes stay."""
        self.up = False
        self._name = ""
        self._probed = None
        self._neighbourhood.stop()
        self._discovery.stop()
        self._dhcp.stop()
        self._conflict = None
        self._drain(now)

    def address_proven(self, address: IpAddress, now: float) -> None:
        """The kernel has found no duplicate of an address (RFC 4862 section 5.4): tell the router, which a
        node may not override before (RFC 4429 section 3.3)."""
        mine = any(own.address == address for own in self._own.values())
        if mine and self.up and isinstance(address, IPv6Address) and self.config.dad is not DadMode.NONE:
            self._tell_router(address, override=True)
        self._drain(now)

    def address_duplicate(self, address: IpAddress, now: float) -> None:
        """Another host has it: the next identifier (RFC 7217 section 6), a few times."""
        found = next(((p, own) for p, own in self._own.items() if own.address == address), None)
        if found is None:
            return
        prefix, own = found
        self._events.append(RemoveAddress(own.address, prefix.prefixlen))
        own.duplicates += 1
        if own.duplicates > MAX_DUPLICATES:
            self._trace.note("attach", "every address is a duplicate", prefix=str(prefix))
            return
        own.address = self._address(prefix, own.duplicates)
        left = int(max(0.0, own.valid_until - now))
        self._events.append(SetAddress(own.address, prefix.prefixlen, left, left))

    # --- the machine's verbs

    def receive(self, frame: bytes, source: object, now: float) -> None:  # noqa: ARG002
        """An Ethernet frame that came in on the interface."""
        kind = int.from_bytes(frame[12:14], "big")
        if not self.up:
            self._trace.drop("attach", "link is down")
        elif kind == _IPV6 and 6 in self.config.families:
            self._receive_discovery(frame[14:], now)
        elif kind == _IPV4 and 4 in self.config.families:
            self._dhcp.receive(frame, None, now)
        elif kind == _ARP and 4 in self.config.families:
            self._receive_arp(frame, now)
        self._drain(now)

    def transmits(self) -> list[bytes]:
        """Ethernet frames."""
        transmits, self._transmits = self._transmits, []
        return transmits

    def deadline(self) -> float | None:
        conflict = self._conflict.deadline() if self._conflict else None
        routers = min(self._routers.values(), default=None)
        nearby = self._neighbourhood.deadline()
        return earliest(self._discovery.deadline(), self._dhcp.deadline(), conflict, routers, nearby)

    def expire(self, now: float) -> None:
        self._discovery.expire(now)
        self._dhcp.expire(now)
        self._neighbourhood.expire(now)
        if self._conflict is not None:
            self._conflict.expire(now)
        for router in [router for router, until in self._routers.items() if until <= now]:
            self._lose_router(router)
        self._drain(now)

    def events(self) -> list[AttachEvent]:
        """What is to be set, in this order."""
        events, self._events = self._events, []
        return events

    # --- arriving

    def _arrive(self, now: float) -> None:
        """At a network: which one may be known."""
        self._forget_confirmations()
        self._probed = None
        known = self._known.named(self._name)
        self._here = known or KnownNetwork(self._name)
        if known is not None:
            self._settle_in(known, now)
        elif not self._name:
            self._probe(now)
        if 6 in self.config.families:
            self._discovery.start(now)
        if 4 in self.config.families:
            self._ask_for_lease(now)

    def _settle_in(self, network: KnownNetwork, now: float) -> None:
        """Set what was set there before; what was set elsewhere is removed after it."""
        network.forget_expired(now)
        if 6 in self.config.families:
            self._settle_in_ipv6(network, now)
        if 4 in self.config.families and network.lease is not None:
            self._try_lease(network.lease, now)
        for servers in network.resolvers.values():
            self._events.append(Resolvers(servers))

    def _settle_in_ipv6(self, network: KnownNetwork, now: float) -> None:
        for (router, link), until in network.routers.items():
            self._routers[router], self._links[router] = until, link
            self._events.append(SetRouter(router, link if not self._point_to_point else b""))
        for prefix, own in network.own.items():
            self._own[prefix], own.confirmed = own, False
            if own.duplicates <= MAX_DUPLICATES:
                self._use(prefix, own, now)
        if not network.own:
            return
        for prefix in [prefix for prefix in self._own if prefix not in network.own]:
            self._events.append(RemoveAddress(self._own.pop(prefix).address, prefix.prefixlen))
        here = {router for router, _ in network.routers}
        for router in [router for router in self._routers if router not in here]:
            self._lose_router(router)

    def _probe(self, now: float) -> None:
        """Ask the routers of networks seen before whether they are there (RFC 6059 section 5.5.2)."""
        if self._point_to_point:
            return
        source = self._link_local
        if 6 in self.config.families and source is not None:
            for _, (router, link) in self._known.probes(now):
                question = NeighbourSolicitation(router, (SourceLinkLayerAddress(self._link),))
                packet = write_message(question, source, router)
                self._transmits.append(write_frame(packet, self._link, link))
        if 4 in self.config.families:
            for lease in self._known.leases(now):
                self._ask_router(lease)

    def _ask_router(self, lease: Lease) -> None:
        """RFC 4436 section 2.1.1: a unicast request, which disturbs nobody where we are not."""
        assert lease.router is not None
        question = write_request(self._link, lease.address, lease.router)
        self._transmits.append(test_node(lease) + question[6:])

    def _receive_probe_answer(self, received: Received, now: float) -> None:
        """RFC 6059 section 5.7.1: both addresses have to be the router's. What the radio or an advertisement has said
        is better."""
        message = received.message
        assert isinstance(message, NeighbourAdvertisement)
        option = message.option(TargetLinkLayerAddress)
        if option is None or self._name or self._heard:
            return
        known = self._known.of_router((message.target, option.address))
        if known is not None and known is not self._here:
            known.lease = self._here.lease or known.lease
            self._here = known
            self._settle_in_ipv6(known, now)

    def _receive_arp(self, frame: bytes, now: float) -> None:
        if self._conflict is not None:
            self._conflict.receive(frame, None, now)
        try:
            packet = parse_arp(frame)
        except RemoteError:
            return
        if packet.request or packet.target_link != self._link or not self._asking:
            return
        if self._conflict is not None:
            return  # announced: it needs no confirmation
        for lease in [self._probed] if self._probed else self._known.leases(now):
            answers = (packet.sender, packet.sender_link, packet.target)
            if answers == (lease.router, test_node(lease), lease.address):
                self._confirm(lease, now)
                return

    # --- IPv6

    def _receive_discovery(self, packet: bytes, now: float) -> None:
        if self.config.dad is DadMode.PROACTIVE and packet[40:41] == bytes([EXPERIMENTAL_MOBILITY]):
            self._receive_nearby(packet, now)
            return
        try:
            received = parse_message(packet)
        except RemoteError as error:
            self._trace.drop("attach", "malformed", problem=error.problem)
            return
        if isinstance(received.message, NeighbourAdvertisement) and received.message.solicited:
            self._receive_probe_answer(received, now)
        self._discovery.receive(received, None, now)
        for advertisement in self._discovery.events():
            self._receive_advertisement(advertisement, now)

    def _receive_advertisement(self, received: Received, now: float) -> None:
        message, router = received.message, received.source
        assert isinstance(message, RouterAdvertisement)
        prefixes = [option for option in message.all_options(PrefixInformation) if _usable(option)]
        self._note_namesake(message, router, {option.prefix for option in prefixes})
        foreign = self._left_behind({option.prefix for option in prefixes})
        self._recognise(message, router, {option.prefix for option in prefixes})
        for other in [r for r in self._routers if foreign and r != router and r not in self._heard]:
            self._lose_router(other)
        self._heard.add(router)
        if foreign and 4 in self.config.families and not self._asking:
            self._ask_for_lease(now)  # moved without the carrier's saying so, as some drivers roam
        for option in prefixes:
            self._receive_prefix(option, now)
        self._receive_router(message, router, now)
        for prefix in foreign:
            gone = self._own.pop(prefix)
            self._events.append(RemoveAddress(gone.address, prefix.prefixlen))
        servers = message.option(RecursiveDnsServers)
        if servers is not None and servers.lifetime:
            self._here.resolvers[6] = servers.servers
            self._events.append(Resolvers(servers.servers))
        self._known.visit(self._here)
        self._ask_nearby(now)

    def _receive_nearby(self, packet: bytes, now: float) -> None:
        """Networks nearby, by the router where we are: they are as good as seen before. What our address there would
        be is asked next, until each is known to be nobody's."""
        for near in self._neighbourhood.receive(packet, now):
            if near.prefix.prefixlen != 64 or near.prefix in self._here.own:
                continue
            known = self._known.named(near.access_point) or KnownNetwork(near.access_point)
            known.routers.setdefault((near.router, near.link), now + NEARBY_LIFETIME)
            lives = now + NEARBY_LIFETIME
            made = OwnAddress(self._address(near.prefix, 0), lives, lives)
            own = known.own.setdefault(near.prefix, made)
            if own.address in near.free:
                own.proven_until = now + PROOF_LIFETIME
            self._known.visit(known)
        self._known.visit(self._here)
        self._neighbourhood.propose(self._known.elsewhere(self._here), now)

    def _recognise(
        self, message: RouterAdvertisement, router: IPv6Address, prefixes: set[IPv6Network]
    ) -> None:
        """Where an advertisement says that we are. One that has nothing in common with what was known of a network of
        this name is right, and the name another network's too."""
        option = message.option(SourceLinkLayerAddress)
        link = option.address if option is not None else b""
        here = self._here
        if (router, link) in here.routers or prefixes & here.own.keys() or not (here.routers or here.own):
            if not here.name and not here.routers and (known := self._known.of_router((router, link))):
                known.lease = here.lease or known.lease
                self._here = known
        elif self._heard:
            pass  # one more router on the same link
        elif here.name:
            here.forget_ipv6()
        else:
            self._here = self._known.of_router((router, link)) or KnownNetwork(lease=here.lease)

    def _note_namesake(
        self, message: RouterAdvertisement, router: IPv6Address, prefixes: set[IPv6Network]
    ) -> None:
        """Many routers call themselves fe80::1. One with another link-layer address and other prefixes than
        before is another one, on another link: we have moved, whatever the carrier says."""
        option = message.option(SourceLinkLayerAddress)
        if option is None:
            return
        before = self._links.get(router)
        if len(self._links) >= MAX_ROUTERS:
            self._links.clear()
        self._links[router] = option.address
        if before not in (None, option.address) and not prefixes & self._own.keys():
            self._forget_confirmations()

    def _forget_confirmations(self) -> None:
        self._heard.clear()
        for own in self._own.values():
            own.confirmed = False

    def _left_behind(self, prefixes: set[IPv6Network]) -> list[IPv6Network]:
        """Our prefixes of another link: not advertised since the carrier came, while others are."""
        if not prefixes or any(prefix in self._own for prefix in prefixes):
            return []
        return [prefix for prefix, own in self._own.items() if not own.confirmed]

    def _receive_prefix(self, option: PrefixInformation, now: float) -> None:
        """RFC 4862 section 5.5.3."""
        own = self._own.get(option.prefix)
        if own is None:
            if not option.valid or len(self._own) >= MAX_ADDRESSES:
                return
            own = self._here.own.get(option.prefix) or OwnAddress(
                self._address(option.prefix, 0), now + option.valid, now + option.preferred
            )
            own.confirmed = True
            self._own[option.prefix] = own
        else:
            left = own.valid_until - now
            # Section 5.5.3 e: nobody may end an address at once by an unauthenticated advertisement.
            valid = option.valid if option.valid > min(TWO_HOURS, left) else min(TWO_HOURS, left)
            own.valid_until, own.confirmed = now + valid, True
            own.preferred_until = now + min(option.preferred, valid)
        self._here.own[option.prefix] = own
        if own.duplicates <= MAX_DUPLICATES:
            self._use(option.prefix, own, now)

    def _use(self, prefix: IPv6Network, own: OwnAddress, now: float) -> None:
        valid = int(own.valid_until - now)
        preferred = max(0, min(int(own.preferred_until - now), valid))
        proven = own.proven_until > now
        self._events.append(SetAddress(own.address, prefix.prefixlen, valid, preferred, proven))
        if proven or self.config.dad in (DadMode.NONE, DadMode.OPTIMISTIC):
            self._tell_router(own.address, override=proven or self.config.dad is DadMode.NONE)

    def _receive_router(self, message: RouterAdvertisement, router: IPv6Address, now: float) -> None:
        if not message.lifetime:
            if router in self._routers:
                self._lose_router(router)
            return
        option = message.option(SourceLinkLayerAddress)
        self._routers[router] = now + message.lifetime
        link = option.address if option is not None else b""
        self._here.routers[router, link] = now + message.lifetime
        self._events.append(SetRouter(router, link if not self._point_to_point else b""))

    def _lose_router(self, router: IPv6Address) -> None:
        del self._routers[router]
        self._events.append(RemoveRouter(router))

    def _address(self, prefix: IPv6Network, duplicates: int) -> IPv6Address:
        identifier = stable_opaque(prefix, self.interface, "", self.config.key, duplicates)
        return address_in(prefix, identifier)

    def _tell_router(self, address: IPv6Address, override: bool) -> None:
        """RFC 9131 section 6.1.2: an unsolicited advertisement to all routers, so that the first packet to
        us needs no address resolution there."""
        if self._point_to_point:
            return
        option = TargetLinkLayerAddress(self._link)
        message = NeighbourAdvertisement(address, (option,), override=override)
        packet = write_message(message, address, ALL_ROUTERS)
        self._transmits.append(write_frame(packet, self._link, multicast_link_address(ALL_ROUTERS)))

    # --- IPv4

    def _ask_for_lease(self, now: float) -> None:
        self._asking = True
        self._dhcp.start(now)

    def _drain(self, now: float) -> None:
        group = multicast_link_address(ALL_ROUTERS)
        self._transmits += self._neighbourhood.transmits()
        for packet in self._discovery.transmits():
            self._transmits.append(write_frame(packet, self._link, group))
        events = self._dhcp.events()
        bound = next((event for event in reversed(events) if isinstance(event, Bound)), None)
        if bound is not None:
            self._asking = False
            self._bind(bound.lease, bound.renewed, now)
        elif events and self._lease is not None:
            self._unbind(self._lease)
        self._drain_conflict(now)
        self._transmits += self._dhcp.transmits()

    def _try_lease(self, lease: Lease, now: float) -> None:
        """Ours when we were here last. It is used at once, and said aloud when its router or the DHCP server has
        confirmed it; with full duplicate detection it is used then, too (RFC 4436 section 2)."""
        self._dhcp.lease = lease
        self._probed = lease
        if not self._point_to_point and test_node(lease):
            self._ask_router(lease)
        if self.config.dad is not DadMode.FULL:
            self._set_lease(lease, now)

    def _confirm(self, lease: Lease, now: float) -> None:
        """Its router answers from where it was: we are where the lease is from."""
        self._dhcp.lease = lease
        self._probed = None
        if not self._here.name:
            self._here.lease = lease
        self._bind(lease, False, now)

    def _bind(self, lease: Lease, renewed: bool, now: float) -> None:
        self._probed = None
        self._here.lease = lease
        self._known.visit(self._here)
        self._set_lease(lease, now)
        if not self._point_to_point and (self._conflict is None or not renewed):
            self._conflict = AddressConflict(lease.address, self._link, False, self._entropy)
            self._conflict.start(now)

    def _set_lease(self, lease: Lease, now: float) -> None:
        previous, self._lease = self._lease, lease
        valid = int(lease.expires_at - now)
        if lease.router is not None and previous is not None and previous.router not in (None, lease.router):
            assert previous.router is not None
            self._events.append(RemoveRouter(previous.router))
        self._events.append(SetAddress(lease.address, lease.network.prefixlen, valid, valid))
        if lease.router is not None:
            is_router = lease.server_source == lease.router and not self._point_to_point
            self._events.append(SetRouter(lease.router, lease.server_link if is_router else b""))
        if previous is not None and previous.address != lease.address:
            self._events.append(RemoveAddress(previous.address, previous.network.prefixlen))
        if lease.dns_servers:
            self._here.resolvers[4] = lease.dns_servers
            self._events.append(Resolvers(lease.dns_servers))

    def _unbind(self, lease: Lease) -> None:
        self._lease = self._probed = None
        if self._here.lease is not None and self._here.lease.address == lease.address:
            self._here.lease = None
        self._conflict = None
        if lease.router is not None:
            self._events.append(RemoveRouter(lease.router))
        self._events.append(RemoveAddress(lease.address, lease.network.prefixlen))

    def _drain_conflict(self, now: float) -> None:
        if self._conflict is None:
            return
        self._transmits += self._conflict.transmits()
        lost = any(event.state is ConflictState.LOST for event in self._conflict.events())
        if lost and self._lease is not None:
            self._dhcp.decline(now)
            self._unbind(self._lease)


def _usable(option: PrefixInformation) -> bool:
    """RFC 4862 section 5.5.3 a to c, and an identifier of 64 bits must fit."""
    link_local = option.prefix.subnet_of(_LINK_LOCAL)
    return (
        option.autonomous
        and not link_local
        and option.prefix.prefixlen == 64
        and option.preferred <= option.valid
    )


_LINK_LOCAL = IPv6Network("fe80::/10")
