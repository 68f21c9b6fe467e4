"""The netlink reader against a kernel: what is told, in which order, and what is concluded."""

from __future__ import annotations

import select
from ipaddress import IPv4Address, IPv6Address

import pytest

from segue.lab.networks.namespaces import Namespace, can_make_namespaces
from segue.net.netlink import AddressEvent, Event, LinkEvent, NeighbourEvent, NetlinkReader, RouteEvent
from segue.net.rtnetlink_write import IFA_F_NODAD, default_network

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(not can_make_namespaces(), reason="no permission to make network namespaces"),
]
ONE, TWO = IPv4Address("192.0.2.1"), IPv4Address("192.0.2.2")
OWN6, ROUTER6 = IPv6Address("2001:db8::1"), IPv6Address("fe80::2")


def receive_until(reader: NetlinkReader, last: Event) -> list[Event]:
    """What comes until this has. The kernel tells of an IPv6 address from a queue of its own, when it gets to it."""
    events: list[Event] = []
    while last not in events and select.select([reader.fileno()], [], [], 2.0)[0]:
        events += reader.receive()
    return events


def test_from_plugging_in_to_unplugging() -> None:
    with Namespace.create("host") as host, host.rtnetlink() as tables:
        tables.add_veth("v0", "v1", index=10, peer_index=20)
        tables.set_link(20, up=True)
        reader = host.call(NetlinkReader, True)
        try:
            assert link(reader.start(), "v0").carrier is False
            tables.set_link(10, up=True)
            assert link(reader.receive(), "v0").carrier is True
            tables.replace_address(10, ONE, 24)
            tables.replace_address(10, OWN6, 64, flags=IFA_F_NODAD)
            tables.replace_route(10, default_network(4), gateway=TWO, metric=7)
            tables.replace_route(10, default_network(6), gateway=ROUTER6, metric=8)
            tables.replace_neighbour(10, TWO, bytes(5) + b"\1")
            own6 = AddressEvent("v0", "2001:db8::1", 64, True, False, False, False)
            events = receive_until(reader, own6)
            assert AddressEvent("v0", "192.0.2.1", 24, True, False, False, False) in events
            assert own6 in events
            assert RouteEvent("v0", 4, "192.0.2.2", 7) in events
            assert RouteEvent("v0", 6, "fe80::2", 8) in events
            assert NeighbourEvent("v0", "192.0.2.2", bytes(5) + b"\1") in events
            tables.set_link(20, up=False)
            events = reader.receive()
            assert link(events, "v0").carrier is False
            assert not any(isinstance(event, AddressEvent | RouteEvent) for event in events)
            # The kernel says nothing of the IPv4 route when the interface itself goes down.
            tables.set_link(10, up=False)
            assert RouteEvent("v0", 4, "192.0.2.2", 7, present=False) in reader.receive()
            tables.delete_link(10)
            assert link(reader.receive(), "v0").present is False
        finally:
            reader.close()


def test_a_replaced_route_is_gone() -> None:
    with Namespace.create("host") as host, host.rtnetlink() as tables:
        tables.add_veth("v0", "v1", index=10, peer_index=20)
        for index in (10, 20):
            tables.set_link(index, up=True)
        reader = host.call(NetlinkReader)
        try:
            reader.start()
            for router in (TWO, IPv4Address("192.0.2.3")):
                tables.replace_route(10, default_network(4), gateway=router, on_link=True)
            events = [event for event in reader.receive() if isinstance(event, RouteEvent)]
            assert [(event.router, event.present) for event in events] == [
                ("192.0.2.2", True),
                ("192.0.2.2", False),
                ("192.0.2.3", True),
            ]
        finally:
            reader.close()


def test_after_an_overrun_the_state_is_read_anew() -> None:
    """More events than the socket holds: what is told in the end is what is there."""
    with Namespace.create("host") as host, host.rtnetlink() as tables:
        tables.add_veth("v0", "v1", index=10, peer_index=20)
        reader = host.call(NetlinkReader)
        try:
            present = {event.interface for event in reader.start() if isinstance(event, LinkEvent)}
            assert present == {"lo", "v0", "v1"}
            for _ in range(4000):
                tables.replace_address(10, ONE, 24)
                tables.delete_address(10, ONE, 24)
            tables.replace_address(10, TWO, 24)
            tables.add_veth("w0", "w1", index=30, peer_index=40)
            told: dict[tuple[str, str], bool] = {}
            links: set[str] = set()
            while events := reader.receive():
                for event in events:
                    if isinstance(event, AddressEvent):
                        told[event.interface, event.address] = event.present
                    elif isinstance(event, LinkEvent):
                        links.add(event.interface)
            assert told.get(("v0", "192.0.2.2")) is True
            assert told.get(("v0", "192.0.2.1")) is not True
            assert {"w0", "w1"} <= links
        finally:
            reader.close()


def link(events: list[Event], name: str) -> LinkEvent:
    return [event for event in events if isinstance(event, LinkEvent) and event.interface == name][-1]
