"""Topologies fit together, and their names can be asked."""

from __future__ import annotations

import dns.flags
import dns.message
import dns.rcode
import pytest

from segue.base.errors import LocalError
from segue.lab.networks.name_server import NameServer, read_zone, zone_text
from segue.lab.networks.topology import (
    OFFICE_TO_CAFE,
    TOPOLOGIES,
    AccessNetwork,
    StationInterface,
    Topology,
    with_moving_correspondent,
)
from segue.lab.networks.wire import DeliveryError


def ask(name: str, kind: str) -> dns.message.Message:
    server = NameServer(read_zone(zone_text(OFFICE_TO_CAFE)))
    answer = server.answer(dns.message.make_query(name, kind).to_wire(), 512)
    assert answer is not None
    return dns.message.from_wire(answer)


def test_the_domain_leads_to_the_proxy() -> None:
    naptr = ask("example.org", "NAPTR")
    services = [r.service for r in sorted(naptr.answer[0], key=lambda r: r.order)]
    assert services == [b"SIPS+D2T", b"SIP+D2T", b"SIP+D2U"]
    (srv,) = ask("_SIPS._tcp.example.org", "SRV").answer[0]
    assert (srv.port, str(srv.target)) == (5061, "proxy.example.org.")
    assert str(ask("example.org", "A").answer[0][0]) == "198.18.17.2"


def test_what_is_not_there() -> None:
    assert ask("nobody.example.org", "A").rcode() == dns.rcode.NXDOMAIN
    empty = ask("_tcp.example.org", "A")
    assert empty.rcode() == dns.rcode.NOERROR and not empty.answer and empty.authority
    assert ask("example.com", "A").rcode() == dns.rcode.REFUSED


@pytest.mark.parametrize("octets", [b"", b"\0", bytes(12), b"\xff" * 40])
def test_garbage_is_not_answered(octets: bytes) -> None:
    assert NameServer(read_zone(zone_text(OFFICE_TO_CAFE))).answer(octets) is None


def test_subnets_of_a_topology_do_not_overlap() -> None:
    for topology in TOPOLOGIES.values():
        networks = [subnet.network for subnet in topology.subnets()]
        prefixes = [subnet.prefix for subnet in topology.subnets()]
        assert len(set(networks)) == len(networks) and len(set(prefixes)) == len(prefixes)


def test_names_that_do_not_fit_are_refused() -> None:
    with pytest.raises(LocalError, match="no such network"):
        Topology("x", (AccessNetwork("a", 1),), (StationInterface("mn", "wlan0", "b"),))
    with pytest.raises(LocalError, match="no access network"):
        OFFICE_TO_CAFE.network("moon")
    with pytest.raises(LocalError, match="too long"):
        Topology("x", (AccessNetwork("a", 1),), (StationInterface("a-long-host-name", "wlan0"),))


def test_a_moving_correspondent_has_no_static_address() -> None:
    assert not with_moving_correspondent(OFFICE_TO_CAFE).station("cn", "wlan0").static


def test_quantiles_of_the_delivery_error() -> None:
    error = DeliveryError()
    assert error.quantile(0.99) == 0.0
    for _ in range(98):
        error.add(0.0001)
    error.add(0.004)
    error.add(0.2)
    assert 0.0001 <= error.quantile(0.5) <= 0.00012
    assert 0.004 <= error.quantile(0.99) <= 0.00402
    assert error.quantile(1.0) == 0.2
