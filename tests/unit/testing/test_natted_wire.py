"""Datagrams through NATs on a wire in virtual time."""

import pytest

from segue.base.address import Address
from segue.emulator.nat import KINDS
from segue.testing.natted_wire import Datagram, NattedWire

PHONE, NEIGHBOUR = Address("192.168.1.100", 20000), Address("192.168.1.101", 20000)
OTHER = Address("192.168.2.100", 30000)
SERVER = Address("198.51.100.7", 3478)


def carried(wire: NattedWire, source: Address, target: Address, now: float) -> Datagram | None:
    wire.send(source, target, b"datagram", now)
    arrived = wire.arrivals(now + 1)
    assert len(arrived) <= 1
    return arrived[0] if arrived else None


def test_an_answer_comes_back_through_the_nat_and_a_stranger_does_not() -> None:
    wire = NattedWire(delay=0.02)
    wire.put_behind("port-restricted", "203.0.113.1", PHONE.host)
    there = carried(wire, PHONE, SERVER, 0.0)
    assert there is not None and there.source.host == "203.0.113.1" and there.at == 0.02
    back = carried(wire, SERVER, there.source, 1.0)
    assert back is not None and back.target == PHONE and back.source == SERVER
    assert carried(wire, Address("198.51.100.8", 3478), there.source, 2.0) is None
    assert carried(wire, SERVER, PHONE, 3.0) is None  # nobody can send to a private address
    assert wire.dropped == 2


@pytest.mark.parametrize("theirs", KINDS)
@pytest.mark.parametrize("ours", KINDS)
def test_which_pairs_of_nats_let_two_phones_meet_by_their_reflexive_endpoints(ours: str, theirs: str) -> None:
    """RFC 5128 section 3.3: hole punching fails exactly where a symmetric NAT meets one that looks at ports."""
    wire = NattedWire()
    wire.put_behind(ours, "203.0.113.1", PHONE.host)
    wire.put_behind(theirs, "203.0.113.2", OTHER.host)
    first, second = carried(wire, PHONE, SERVER, 0.0), carried(wire, OTHER, SERVER, 0.0)
    assert first is not None and second is not None
    met = False
    aims = {PHONE: second.source, OTHER: first.source}
    for round_ in range(3):
        for source, other in ((PHONE, OTHER), (OTHER, PHONE)):
            datagram = carried(wire, source, aims[source], 1.0 + round_)
            if datagram is not None:
                aims[other] = datagram.source  # peer-reflexive
                met = met or round_ > 0
    looks_at_ports = {"port-restricted", "symmetric"}
    assert met == (not ("symmetric" in (ours, theirs) and {ours, theirs} <= looks_at_ports))


def test_neighbours_meet_by_their_own_addresses_and_by_hairpinning() -> None:
    wire = NattedWire()
    wire.put_behind("full-cone", "203.0.113.1", PHONE.host, NEIGHBOUR.host)
    assert carried(wire, PHONE, NEIGHBOUR, 0.0) == Datagram(0.02, PHONE, NEIGHBOUR, b"datagram")
    outside = carried(wire, NEIGHBOUR, SERVER, 1.0)
    assert outside is not None
    hairpinned = carried(wire, PHONE, outside.source, 2.0)
    assert hairpinned is not None and hairpinned.target == NEIGHBOUR
    assert hairpinned.source.host == "203.0.113.1"


def test_a_firewall_keeps_the_addresses() -> None:
    wire = NattedWire()
    phone, peer = Address("2001:db8:1::100", 20000), Address("2001:db8:4::100", 30000)
    wire.put_behind("port-restricted", None, phone.host)
    assert carried(wire, peer, phone, 0.0) is None
    assert carried(wire, phone, peer, 1.0) == Datagram(1.02, phone, peer, b"datagram")
    assert carried(wire, peer, phone, 2.0) is not None


def test_a_rebinding_is_seen_by_the_other_end_as_another_source() -> None:
    wire = NattedWire()
    box = wire.put_behind("full-cone", "203.0.113.1", PHONE.host)
    before = carried(wire, PHONE, SERVER, 0.0)
    box.rebind()
    assert before is not None and carried(wire, SERVER, before.source, 1.0) is None
    after = carried(wire, PHONE, SERVER, 2.0)
    assert after is not None and after.source != before.source


def test_a_cut_host_has_no_mapping_made_and_gets_nothing() -> None:
    wire = NattedWire()
    box = wire.put_behind("full-cone", "203.0.113.1", PHONE.host)
    there = carried(wire, PHONE, SERVER, 0.0)
    wire.cut(PHONE.host)
    assert there is not None and carried(wire, SERVER, there.source, 1.0) is None
    box.rebind()
    assert carried(wire, PHONE, SERVER, 2.0) is None and box.size == 0
    wire.mend(PHONE.host)
    assert carried(wire, PHONE, SERVER, 3.0) is not None
