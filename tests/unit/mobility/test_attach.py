"""The attachment machine, against the real router and DHCP server machines over a wire without delay."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

import pytest

from segue.base.secret import Secret
from segue.mobility.attach import (
    AttachConfig,
    AttachEvent,
    InterfaceAttachment,
    RemoveAddress,
    RemoveRouter,
    Resolvers,
    SetAddress,
    SetRouter,
)
from segue.protocols.dhcp.arp import ArpPacket, parse_arp, write_arp
from segue.protocols.dhcp.server import DhcpServer, SubnetConfig
from segue.protocols.nd.duplicate_address_detection import DadMode
from segue.protocols.nd.messages import (
    NeighbourAdvertisement,
    NeighbourSolicitation,
    RouterAdvertisement,
    RouterSolicitation,
    parse_message,
    write_message,
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
from segue.testing.entropy import SeededEntropy

OWN = bytes.fromhex("02005e000001")
KEY = Secret(bytes(32))
ROUTER = IPv6Address("fe80::1")
LINK_LOCAL = IPv6Address("fe80::5eff:fe00:1")


class Place:
    """An access network: advertises its prefix, leases its addresses."""

    def __init__(self, number: int, rapid_commit: bool = True, router: IPv6Address = ROUTER) -> None:
        self.router6 = router
        self.link = bytes.fromhex("02005e0001") + bytes([number])
        self.prefix = IPv6Network(f"2001:db8:{number}::/64")
        self.router4 = IPv4Address(f"198.18.{number}.1")
        pool = (IPv4Address(f"198.18.{number}.100"), IPv4Address(f"198.18.{number}.101"))
        config = SubnetConfig(
            IPv4Network(f"198.18.{number}.0/24"),
            self.router4,
            pool,
            (IPv4Address("198.18.18.2"),),
            rapid_commit=rapid_commit,
        )
        self.dhcp = DhcpServer(config, self.link)

    def advertisement(self, lifetime: int = 1800, valid: int = 7200) -> bytes:
        options = (
            SourceLinkLayerAddress(self.link),
            PrefixInformation(self.prefix, valid, valid),
            RecursiveDnsServers((IPv6Address("2001:db8:18::2"),), 1800),
        )
        packet = write_message(RouterAdvertisement(lifetime, options), self.router6, ALL_NODES)
        return write_frame(packet, self.link, multicast_link_address(ALL_NODES))

    def answer(self, machine: InterfaceAttachment, now: float) -> list[bytes]:
        """Exchange frames until nobody has anything to say; all that the machine sent."""
        sent: list[bytes] = []
        while frames := machine.transmits():
            sent += frames
            for frame in frames:
                self.dhcp.receive(frame, None, now)
                if frame[12:14] == b"\x86\xdd":
                    message = parse_message(frame[14:]).message
                    if isinstance(message, RouterSolicitation):
                        machine.receive(self.advertisement(), None, now)
            for frame in self.dhcp.transmits():
                machine.receive(frame, None, now)
        return sent


def made(dad: DadMode = DadMode.OPTIMISTIC, point_to_point: bool = False) -> InterfaceAttachment:
    return InterfaceAttachment(
        "wlan0", OWN, AttachConfig(KEY, dad=dad), SeededEntropy(1), point_to_point=point_to_point
    )


def addresses(events: list[AttachEvent]) -> set[str]:
    return {str(event.address) for event in events if isinstance(event, SetAddress)}


def advertisements(frames: list[bytes]) -> list[NeighbourAdvertisement]:
    messages = [parse_message(f[14:]).message for f in frames if f[12:14] == b"\x86\xdd"]
    return [message for message in messages if isinstance(message, NeighbourAdvertisement)]


def test_everything_a_host_needs_comes_in_the_first_round_trip() -> None:
    machine, office = made(), Place(1)
    machine.link_up(10.0)
    sent = office.answer(machine, 10.0)
    events = machine.events()
    own6 = next(a for a in addresses(events) if ":" in a)
    assert IPv6Address(own6) in office.prefix
    assert addresses(events) == {own6, "198.18.1.100"}
    assert SetRouter(ROUTER, office.link) in events
    assert SetRouter(office.router4, office.link) in events
    assert Resolvers((IPv6Address("2001:db8:18::2"),)) in events
    # The router is told before it asks: without claiming what is not proven yet (RFC 4429 section 3.3).
    (told,) = advertisements(sent)
    assert (str(told.target), told.override, told.solicited) == (own6, False, False)
    assert told.options == (TargetLinkLayerAddress(OWN),)
    announced = [parse_arp(frame) for frame in sent if frame[12:14] == b"\x08\x06"]
    assert announced[0].is_announcement and str(announced[0].sender) == "198.18.1.100"


def test_a_server_without_rapid_commit() -> None:
    machine, office = made(), Place(1, rapid_commit=False)
    machine.link_up(10.0)
    office.answer(machine, 10.0)
    assert "198.18.1.100" in addresses(machine.events())


def test_moving_leaves_the_old_network_behind_after_the_new_is_in_place() -> None:
    machine, office, cafe = made(), Place(1), Place(3)
    machine.link_up(10.0)
    office.answer(machine, 10.0)
    before = machine.events()
    machine.link_down(20.0)
    assert machine.events() == [] and machine.transmits() == []
    machine.link_up(20.1)
    cafe.answer(machine, 20.1)
    events = machine.events()
    assert {a.rpartition(":")[0] for a in addresses(events)} != {
        a.rpartition(":")[0] for a in addresses(before)
    }
    removed = [str(event.address) for event in events if isinstance(event, RemoveAddress)]
    assert set(removed) == addresses(before)
    for family in (4, 6):
        new = next(
            i for i, e in enumerate(events) if isinstance(e, SetAddress) and e.address.version == family
        )
        old = next(
            i for i, e in enumerate(events) if isinstance(e, RemoveAddress) and e.address.version == family
        )
        assert new < old
    assert RemoveRouter(office.router4) in events


def test_coming_back_to_the_same_network_keeps_the_addresses() -> None:
    machine, office = made(), Place(1)
    machine.link_up(10.0)
    office.answer(machine, 10.0)
    before = addresses(machine.events())
    machine.link_down(20.0)
    machine.link_up(20.1)
    office.answer(machine, 20.1)
    events = machine.events()
    assert addresses(events) == before
    assert not any(isinstance(event, RemoveAddress | RemoveRouter) for event in events)


def test_roaming_that_the_driver_does_not_tell() -> None:
    """No carrier event at all: the next network's advertisement is enough, for IPv4 too."""
    machine, office, cafe = made(), Place(1), Place(3)
    machine.link_up(10.0)
    office.answer(machine, 10.0)
    before = addresses(machine.events())
    machine.receive(cafe.advertisement(), None, 20.0)
    cafe.answer(machine, 20.0)
    events = machine.events()
    assert "198.18.3.100" in addresses(events) and len(addresses(events)) == 2
    assert {str(event.address) for event in events if isinstance(event, RemoveAddress)} == before


def test_a_second_router_on_the_link_takes_nothing_away() -> None:
    """Two routers that each advertise their own prefix, both heard since the carrier came."""
    machine, first, second = made(), Place(1), Place(2, router=IPv6Address("fe80::2"))
    machine.link_up(10.0)
    machine.receive(first.advertisement(), None, 10.0)
    machine.receive(second.advertisement(), None, 10.1)
    machine.receive(first.advertisement(), None, 10.2)
    events = machine.events()
    assert len(addresses(events)) == 2
    assert not any(isinstance(event, RemoveAddress) for event in events)


def test_a_duplicate_gets_another_identifier_a_few_times() -> None:
    machine, office = made(DadMode.FULL), Place(1)
    machine.link_up(10.0)
    machine.receive(office.advertisement(), None, 10.0)
    seen = [next(iter(addresses(machine.events())))]
    for _ in range(3):
        machine.address_duplicate(IPv6Address(seen[-1]), 11.0)
        events = machine.events()
        assert isinstance(events[0], RemoveAddress) and str(events[0].address) == seen[-1]
        seen.append(next(iter(addresses(events))))
    assert len(set(seen)) == 4
    machine.address_duplicate(IPv6Address(seen[-1]), 11.0)
    assert addresses(machine.events()) == set()


def test_full_detection_tells_the_router_only_of_what_is_proven() -> None:
    machine, office = made(DadMode.FULL), Place(1)
    machine.link_up(10.0)
    machine.receive(office.advertisement(), None, 10.0)
    own = IPv6Address(next(iter(addresses(machine.events()))))
    assert advertisements(machine.transmits()) == []
    machine.address_proven(own, 11.0)
    (told,) = advertisements(machine.transmits())
    assert told.target == own and told.override


def test_point_to_point_has_nobody_to_tell() -> None:
    machine, umts = made(point_to_point=True), Place(2)
    machine.link_up(10.0)
    sent = umts.answer(machine, 10.0)
    assert SetRouter(ROUTER, b"") in machine.events()
    assert advertisements(sent) == []
    assert all(frame[12:14] != b"\x08\x06" for frame in sent)


def test_a_router_that_says_nothing_more_is_given_up() -> None:
    machine, office = made(), Place(1)
    machine.link_up(10.0)
    machine.receive(office.advertisement(lifetime=30), None, 10.0)
    machine.events()
    machine.expire(39.0)
    assert RemoveRouter(ROUTER) not in machine.events()
    deadline = machine.deadline()
    assert deadline is not None and deadline <= 40.0
    machine.expire(40.0)
    assert RemoveRouter(ROUTER) in machine.events()


def test_nobody_ends_an_address_at_once() -> None:
    """RFC 4862 section 5.5.3 e: a short lifetime is believed down to two hours only."""
    machine, office = made(), Place(1)
    machine.link_up(10.0)
    machine.receive(office.advertisement(valid=86400), None, 10.0)
    machine.events()
    machine.receive(office.advertisement(valid=1), None, 11.0)
    (renewed,) = [event for event in machine.events() if isinstance(event, SetAddress)]
    assert renewed.valid == 7200 and renewed.preferred == 1


@pytest.mark.parametrize(
    "octets", [b"", b"\0" * 60, b"\xff" * 14 + b"\x60", bytes(12) + b"\x86\xdd" + bytes(80)]
)
def test_garbage_changes_nothing(octets: bytes) -> None:
    machine = made()
    machine.link_up(10.0)
    machine.receive(octets, None, 10.0)
    assert machine.events() == []


def test_frames_of_a_link_that_is_down_change_nothing() -> None:
    machine, office = made(), Place(1)
    machine.receive(office.advertisement(), None, 10.0)
    assert machine.events() == []


# Networks seen before


def visit(machine: InterfaceAttachment, place: Place, name: str, now: float) -> set[str]:
    """Arrive, get everything, leave again."""
    machine.network_is(name, now)
    machine.link_up(now)
    place.answer(machine, now)
    set_there = addresses(machine.events())
    machine.link_down(now + 5)
    machine.transmits()
    return set_there


def solicitations(frames: list[bytes]) -> list[tuple[bytes, NeighbourSolicitation]]:
    """With the link-layer address that each was sent to."""
    found = []
    for frame in frames:
        if frame[12:14] == b"\x86\xdd":
            message = parse_message(frame[14:]).message
            if isinstance(message, NeighbourSolicitation):
                found.append((frame[:6], message))
    return found


def requests(frames: list[bytes]) -> list[tuple[bytes, ArpPacket]]:
    return [(frame[:6], parse_arp(frame)) for frame in frames if frame[12:14] == b"\x08\x06"]


def test_a_network_with_a_name_is_set_before_anybody_has_answered() -> None:
    machine, office, cafe = made(), Place(1), Place(3)
    there = visit(machine, office, "office", 10.0)
    elsewhere = visit(machine, cafe, "cafe", 20.0)
    machine.network_is("office", 30.0)
    machine.link_up(30.0)
    events = machine.events()
    assert addresses(events) == there
    assert SetRouter(ROUTER, office.link) in events and SetRouter(office.router4, office.link) in events
    assert {str(e.address) for e in events if isinstance(e, RemoveAddress)} == elsewhere
    assert RemoveRouter(cafe.router4) in events
    sent = machine.transmits()
    # What is left of the lifetimes, not what was granted.
    (own,) = [e for e in events if isinstance(e, SetAddress) and e.address.version == 6]
    assert own.valid == 7180
    # The router hears of the IPv6 address without being overridden; the lease is asked about, not announced.
    (told,) = advertisements(sent)
    assert not told.override
    ((to, question),) = requests(sent)
    assert to == office.link and not question.is_announcement and question.target == office.router4


def test_the_name_may_come_after_the_carrier_or_without_it() -> None:
    machine, office, cafe = made(), Place(1), Place(3)
    there = visit(machine, office, "office", 10.0)
    machine.link_up(20.0)
    machine.events()
    machine.network_is("office", 20.001)
    assert addresses(machine.events()) == there
    machine.network_is("cafe", 30.0)  # roamed; never seen before
    cafe.answer(machine, 30.0)
    machine.events()
    machine.network_is("office", 40.0)
    assert addresses(machine.events()) == there


def test_a_confirmed_lease_is_announced_once() -> None:
    machine, office = made(), Place(1)
    visit(machine, office, "office", 10.0)
    machine.network_is("office", 20.0)
    machine.link_up(20.0)
    machine.transmits()
    lease = next(e.address for e in machine.events() if isinstance(e, SetAddress) and e.address.version == 4)
    answer = write_arp(ArpPacket(False, office.link, office.router4, OWN, lease))
    machine.receive(answer, None, 20.01)
    (announced,) = requests(machine.transmits())
    assert announced[1].is_announcement and announced[1].sender == lease
    machine.receive(answer, None, 20.02)
    assert requests(machine.transmits()) == []


def test_an_answer_of_somebody_else_confirms_no_lease() -> None:
    machine, office = made(DadMode.FULL), Place(1)
    visit(machine, office, "office", 10.0)
    machine.network_is("office", 20.0)
    machine.link_up(20.0)
    machine.events()
    lease = next(iter(machine._known.leases(20.0))).address
    other = bytes.fromhex("02005e0009ff")
    machine.receive(write_arp(ArpPacket(False, other, office.router4, OWN, lease)), None, 20.01)
    assert not addresses(machine.events())
    machine.receive(write_arp(ArpPacket(False, office.link, office.router4, OWN, lease)), None, 20.02)
    assert addresses(machine.events()) == {str(lease)}, "with full detection it is used when confirmed"


def test_another_network_of_the_same_name_is_believed_not_the_name() -> None:
    """Two networks that call themselves alike: what the advertisement and the server say is right."""
    machine, home, stranger = made(), Place(1), Place(7)
    before = visit(machine, home, "default", 10.0)
    machine.network_is("default", 20.0)
    machine.link_up(20.0)
    stranger.answer(machine, 20.0)
    events = machine.events()
    settled = [e for e in events if isinstance(e, SetAddress)]
    assert str(settled[-1].address).startswith("198.18.7.")
    assert {str(e.address) for e in events if isinstance(e, RemoveAddress)} == before
    machine.link_down(25.0)
    machine.network_is("default", 30.0)
    machine.link_up(30.0)
    assert all(a.startswith(("2001:db8:7:", "198.18.7.")) for a in addresses(machine.events()))


def test_without_a_name_the_routers_of_known_networks_are_asked_by_unicast() -> None:
    machine, office, cafe = made(), Place(1), Place(3)
    machine.link_local_is(LINK_LOCAL, 9.0)
    there = visit(machine, office, "", 10.0)
    visit(machine, cafe, "", 20.0)
    machine.link_up(30.0)
    sent = machine.transmits()
    asked = solicitations(sent)
    assert {to for to, _ in asked} == {office.link, cafe.link}
    assert all(q.target == ROUTER and q.option(SourceLinkLayerAddress) for _, q in asked)
    assert {to for to, _ in requests(sent)} == {office.link, cafe.link}
    # The office's router answers, before any advertisement.
    reply = NeighbourAdvertisement(
        ROUTER, (TargetLinkLayerAddress(office.link),), router=True, solicited=True
    )
    machine.receive(write_frame(write_message(reply, ROUTER, LINK_LOCAL), office.link, OWN), None, 30.01)
    events = machine.events()
    assert addresses(events) == {a for a in there if ":" in a}
    assert SetRouter(ROUTER, office.link) in events
    # The café's prefix is not this link's.
    assert [e.address in cafe.prefix for e in events if isinstance(e, RemoveAddress)] == [True]
    # The advertisement agrees: nothing is taken away.
    machine.receive(office.advertisement(), None, 30.02)
    assert not any(isinstance(e, RemoveAddress) for e in machine.events())


def test_a_router_with_another_link_layer_address_is_not_the_one_that_was_asked() -> None:
    machine, office = made(), Place(1)
    machine.link_local_is(LINK_LOCAL, 9.0)
    visit(machine, office, "", 10.0)
    machine.link_up(20.0)
    reply = NeighbourAdvertisement(ROUTER, (TargetLinkLayerAddress(OWN[:5] + b"\x77"),), True, True)
    machine.receive(write_frame(write_message(reply, ROUTER, LINK_LOCAL), OWN, OWN), None, 20.01)
    assert not addresses(machine.events())


def test_what_has_expired_is_not_used() -> None:
    machine, office = made(), Place(1)
    machine.network_is("office", 10.0)
    machine.link_up(10.0)
    machine.receive(office.advertisement(valid=60), None, 10.0)
    machine.events()
    machine.link_down(20.0)
    machine.network_is("office", 80.0)
    machine.link_up(80.0)
    assert not addresses(machine.events())


def test_full_detection_sets_the_address_but_tells_nobody() -> None:
    machine, office = made(DadMode.FULL), Place(1)
    visit(machine, office, "office", 10.0)
    machine.network_is("office", 20.0)
    machine.link_up(20.0)
    assert len([a for a in addresses(machine.events()) if ":" in a]) == 1
    assert advertisements(machine.transmits()) == []


# The new router asked over the old link


class Nearby:
    """The router of `here`, which knows that of `there`; `taken` are addresses that somebody has there."""

    def __init__(self, here: Place, there: Place, name: str) -> None:
        self.here, self.there, self.name = here, there, name
        self.taken: set[IPv6Address] = set()

    def answer(self, machine: InterfaceAttachment, now: float) -> int:
        """Exchange until nothing is asked any more; how often it was asked."""
        asked = 0
        while questions := [f for f in machine.transmits() if f[54:55] == bytes([EXPERIMENTAL_MOBILITY])]:
            for frame in questions:
                asked += 1
                message, source = parse_proxy_message(frame[14:])
                assert isinstance(message, ProxySolicitation) and source == LINK_LOCAL
                free = tuple(a for a in message.proposed if a in self.there.prefix and a not in self.taken)
                near = NearbyRouter(self.name, self.there.link, ROUTER, self.there.prefix, free)
                reply = ProxyAdvertisement(message.identifier, (near,))
                packet = write_proxy_advertisement(reply, ROUTER, source)
                machine.receive(write_frame(packet, self.here.link, OWN), None, now)
        return asked


def proactive_at(office: Place) -> InterfaceAttachment:
    machine = made(DadMode.PROACTIVE)
    machine.link_up(10.0)
    machine.receive(office.advertisement(), None, 10.0)
    machine.events()
    machine.link_local_is(LINK_LOCAL, 11.0)  # proven a second later, as the kernel does it
    return machine


def test_a_network_never_visited_is_set_at_once_and_its_address_proven() -> None:
    office, cafe = Place(1), Place(3)
    machine = proactive_at(office)
    assert Nearby(office, cafe, "cafe").answer(machine, 11.0) == 2, "who is there, and is the address free"
    assert machine.events() == [], "nothing is set before we are there"
    machine.link_down(20.0)
    machine.network_is("cafe", 20.05)
    machine.link_up(20.05)
    events = machine.events()
    (own,) = [e for e in events if isinstance(e, SetAddress)]
    assert own.address in cafe.prefix and own.proven
    assert SetRouter(ROUTER, cafe.link) in events
    (told,) = advertisements(machine.transmits())
    assert told.target == own.address and told.override


def test_an_address_that_somebody_has_there_is_looked_for_in_full() -> None:
    office, cafe = Place(1), Place(3)
    machine = proactive_at(office)
    nearby = Nearby(office, cafe, "cafe")
    nearby.taken = {machine._address(cafe.prefix, 0)}
    nearby.answer(machine, 11.0)
    machine.link_down(20.0)
    machine.network_is("cafe", 20.05)
    machine.link_up(20.05)
    (own,) = [e for e in machine.events() if isinstance(e, SetAddress)]
    assert not own.proven
    assert advertisements(machine.transmits()) == []


def test_the_routers_word_does_not_count_for_ever_and_is_asked_for_again() -> None:
    office, cafe = Place(1), Place(3)
    machine, nearby = proactive_at(office), Nearby(office, cafe, "cafe")
    nearby.answer(machine, 11.0)
    machine.expire(31.0)
    assert nearby.answer(machine, 31.0) >= 1
    machine.link_down(32.0)
    machine.network_is("cafe", 92.0)
    machine.link_up(92.0)
    (own,) = [e for e in machine.events() if isinstance(e, SetAddress)]
    assert not own.proven


def test_only_the_router_that_was_asked_is_believed_and_only_its_answer() -> None:
    office, cafe = Place(1), Place(3)
    machine = proactive_at(office)
    (question,) = [f for f in machine.transmits() if f[54:55] == bytes([EXPERIMENTAL_MOBILITY])]
    message, _ = parse_proxy_message(question[14:])
    near = NearbyRouter("cafe", cafe.link, ROUTER, cafe.prefix)
    for identifier, router in (
        (message.identifier ^ 1, ROUTER),
        (message.identifier, IPv6Address("fe80::66")),
    ):
        packet = write_proxy_advertisement(ProxyAdvertisement(identifier, (near,)), router, LINK_LOCAL)
        machine.receive(write_frame(packet, office.link, OWN), None, 11.1)
    assert machine._known.named("cafe") is None
    other = made(DadMode.OPTIMISTIC)
    other.link_local_is(LINK_LOCAL, 9.0)
    other.link_up(10.0)
    other.receive(office.advertisement(), None, 10.0)
    assert not [f for f in other.transmits() if f[54:55] == bytes([EXPERIMENTAL_MOBILITY])], (
        "only when wanted"
    )


def test_a_router_that_knows_nobody_is_asked_a_few_times_and_then_seldom() -> None:
    machine = proactive_at(Place(1))
    asked = 0
    for _ in range(100):
        asked += sum(f[54:55] == bytes([EXPERIMENTAL_MOBILITY]) for f in machine.transmits())
        deadline = machine.deadline()
        if deadline is None or deadline > 60.0:
            break
        machine.expire(deadline)
        machine.events()
    assert 4 <= asked <= 14
