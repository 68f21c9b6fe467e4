"""A NAT by RFC 4787: who is let in, under which endpoint, and for how long."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segue.base.address import Address
from segue.base.errors import LocalError
from segue.emulator.nat import (
    FIRST_PORT,
    KINDS,
    MAX_MAPPINGS,
    MAX_REMOTES,
    TCP,
    UDP,
    Behaviour,
    Nat,
    NatConfig,
    nat_kind,
)
from segue.testing.entropy import SeededEntropy

OUTSIDE = "203.0.113.1"
PHONE = Address("192.168.1.100", 20000)
PEER = Address("198.51.100.7", 30000)
SAME_HOST = Address("198.51.100.7", 30002)
STRANGER = Address("198.51.100.8", 30000)
ENTERS = {  # which of these is let in after the phone has sent to PEER
    "full-cone": {PEER, SAME_HOST, STRANGER},
    "address-restricted": {PEER, SAME_HOST},
    "port-restricted": {PEER},
    "symmetric": {PEER},
}


def nat(
    kind: str = "port-restricted", seed: int = 1, outside: str | None = OUTSIDE, **changed: object
) -> Nat:
    given_config = KINDS[kind].__dict__ | changed
    return Nat(NatConfig(**given_config), SeededEntropy(seed), outside)


def mapped(box: Nat, target: Address = PEER, source: Address = PHONE, now: float = 0.0) -> Address:
    sent = box.outbound(UDP, source, target, now)
    assert sent is not None and sent.target == target
    return sent.source


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_let_in_is_what_the_kind_says(kind: str) -> None:
    box = nat(kind)
    outside = mapped(box)
    assert outside.host == OUTSIDE and outside.port >= FIRST_PORT
    for source in (PEER, SAME_HOST, STRANGER):
        received = box.inbound(UDP, source, outside, 0.1)
        assert (received is not None) == (source in ENTERS[kind])
        if received is not None:
            assert received.target == PHONE and received.source == source
    assert box.refused == 3 - len(ENTERS[kind])


@pytest.mark.parametrize("kind", KINDS)
def test_a_symmetric_one_alone_maps_anew_for_each_remote_endpoint(kind: str) -> None:
    box = nat(kind)
    seen = {mapped(box, target) for target in (PEER, SAME_HOST, STRANGER)}
    assert len(seen) == (3 if kind == "symmetric" else 1)


@pytest.mark.parametrize("kind", KINDS)
def test_the_filter_of_ipv6_translates_nothing_and_lets_in_the_same(kind: str) -> None:
    phone, peer = Address("2001:db8:1::100", 20000), Address("2001:db8:4::100", 30000)
    same_host, stranger = Address(peer.host, 30002), Address("2001:db8:9::1", 30000)
    box = nat(kind, outside=None)
    assert box.inbound(UDP, peer, phone, 0.0) is None
    assert mapped(box, peer, phone) == phone
    entered = {source for source in (peer, same_host, stranger) if box.inbound(UDP, source, phone, 0.1)}
    expected = {PEER: peer, SAME_HOST: same_host, STRANGER: stranger}
    assert entered == {expected[source] for source in ENTERS[kind]}


def test_nothing_comes_in_before_something_has_gone_out() -> None:
    box = nat("full-cone")
    assert box.inbound(UDP, PEER, Address(OUTSIDE, 20000), 0.0) is None


def test_a_mapping_ends_after_30_seconds_without_a_packet_from_inside() -> None:
    box = nat()
    outside = mapped(box)
    assert mapped(box, now=20.0) == outside
    assert box.inbound(UDP, PEER, outside, 49.9) is not None
    assert box.inbound(UDP, PEER, outside, 50.0) is None  # what came in has kept nothing


def test_with_inbound_refresh_what_comes_in_keeps_it() -> None:
    box = nat(inbound_refresh=True)
    outside = mapped(box)
    assert box.inbound(UDP, PEER, outside, 29.0) and box.inbound(UDP, PEER, outside, 58.0)


def test_the_filter_forgets_a_remote_that_was_not_sent_to_though_the_mapping_lives() -> None:
    box = nat()
    outside = mapped(box)
    mapped(box, STRANGER, now=20.0)
    assert box.inbound(UDP, PEER, outside, 31.0) is None
    assert box.inbound(UDP, STRANGER, outside, 31.0) is not None


def test_tcp_is_kept_for_hours() -> None:
    box = nat()
    sent = box.outbound(TCP, PHONE, PEER, 0.0)
    assert sent and box.inbound(TCP, PEER, sent.source, 7000.0)
    assert not box.inbound(UDP, PEER, sent.source, 7000.0)


def test_two_inside_endpoints_never_share_an_outside_one() -> None:
    box = nat()
    ports = {mapped(box, source=Address("192.168.1.100", 2 * n + 1024)) for n in range(4096)}
    assert len(ports) == 4096
    assert {port.port % 2 for port in ports} == {0}  # as the inside ones are


def test_a_full_table_refuses_what_is_new_and_keeps_what_is_there() -> None:
    box = nat(max_mappings=2)
    first = mapped(box)
    mapped(box, source=Address("192.168.1.101", 20000))
    assert box.outbound(UDP, Address("192.168.1.102", 20000), PEER, 1.0) is None
    assert box.full == 1 and mapped(box, now=20.0) == first
    mapped(box, source=Address("192.168.1.102", 20000), now=31.0)  # the second has expired
    assert box.size == 2


def test_the_remotes_of_a_mapping_are_bounded() -> None:
    box = nat()
    for n in range(MAX_REMOTES + 10):
        outside = mapped(box, Address(PEER.host, 1024 + n))
    assert box.inbound(UDP, Address(PEER.host, 1024), outside, 0.1) is None
    assert box.inbound(UDP, Address(PEER.host, 1024 + MAX_REMOTES + 9), outside, 0.1) is not None


def test_hairpinning_reaches_a_neighbour_from_ones_outside_endpoint() -> None:
    box = nat("full-cone")
    neighbour = Address("192.168.1.101", 20000)
    theirs = mapped(box, source=neighbour)
    sent = box.outbound(UDP, PHONE, theirs, 0.1)
    assert sent is not None and sent.hairpinned and sent.target == neighbour
    assert sent.source.host == OUTSIDE and sent.source == mapped(box, now=0.2)
    assert nat("full-cone", hairpinning=False).outbound(UDP, PHONE, theirs, 0.1) is None


def test_hairpinning_passes_the_neighbours_filter() -> None:
    box = nat("port-restricted")
    neighbour = Address("192.168.1.101", 20000)
    theirs, ours = mapped(box, source=neighbour), mapped(box)
    assert box.outbound(UDP, PHONE, theirs, 0.1) is None
    box.outbound(UDP, neighbour, ours, 0.2)
    assert box.outbound(UDP, PHONE, theirs, 0.3) is not None


def test_after_a_rebinding_every_mapping_is_another_one() -> None:
    box = nat("full-cone")
    sources = [Address("192.168.1.100", 20000 + n) for n in range(50)]
    before = [mapped(box, source=source) for source in sources]
    box.rebind()
    assert all(box.inbound(UDP, PEER, outside, 0.1) is None for outside in before)
    after = [mapped(box, source=source) for source in sources]
    assert all(old != new for old, new in zip(before, after, strict=True))
    assert all(box.inbound(UDP, PEER, outside, 0.1) for outside in after)


def test_a_filter_that_rebinds_lets_nothing_in_until_something_went_out() -> None:
    box = nat(outside=None)
    mapped(box)
    box.rebind()
    assert box.inbound(UDP, PEER, PHONE, 0.1) is None
    mapped(box, now=0.2)
    assert box.inbound(UDP, PEER, PHONE, 0.3) is not None


def test_who_an_icmp_error_is_about_is_found_without_a_filter() -> None:
    box = nat("symmetric")
    outside = mapped(box)
    assert box.inside_of(UDP, outside, 1.0) == PHONE
    assert box.outside_of(UDP, PHONE, PEER, 1.0) == outside
    assert box.outside_of(UDP, PHONE, STRANGER, 1.0) is None
    assert box.inside_of(UDP, outside, 30.0) is None


def test_the_same_seed_gives_the_same_ports() -> None:
    assert mapped(nat(seed=7)) == mapped(nat(seed=7)) != mapped(nat(seed=8))


@pytest.mark.parametrize("changed", [{"timeout": 0}, {"tcp_timeout": -1}, {"max_mappings": MAX_MAPPINGS + 1}])
def test_a_configuration_that_cannot_work_is_refused(changed: dict[str, float]) -> None:
    with pytest.raises(LocalError):
        nat(**changed)


def test_an_unknown_kind_is_refused_with_those_there_are() -> None:
    with pytest.raises(LocalError, match="symmetric"):
        nat_kind("cone")


ENDPOINTS = st.builds(Address, st.sampled_from(["192.168.1.2", "192.168.1.3"]), st.integers(1024, 1028))
REMOTES = st.builds(Address, st.sampled_from(["198.51.100.1", "198.51.100.2"]), st.integers(5000, 5002))
STEPS = st.lists(
    st.tuples(st.sampled_from(["out", "in", "rebind", "wait"]), ENDPOINTS, REMOTES), min_size=1, max_size=60
)


@given(st.sampled_from(sorted(KINDS)), STEPS)
def test_whatever_happens_a_packet_comes_in_only_to_who_asked_for_it(kind: str, steps: list[tuple]) -> None:
    """Against a model that remembers every packet: an outside endpoint belongs to one inside endpoint at a time, and
    who is let in was sent to from there within the timeout, as far as the filter looks."""
    box, now = nat(kind), 0.0
    owner: dict[Address, Address] = {}
    sent: dict[tuple[Address, Address | None], float] = {}  # outside endpoint and what the filter sees: when
    for what, inside, remote in steps:
        if what == "out":
            outside = mapped(box, remote, inside, now)
            alive = [at for (seen, _), at in sent.items() if seen == outside and now - at < 30]
            assert not alive or owner[outside] == inside
            owner[outside] = inside
            sent[outside, KINDS[kind].filtering.part(remote)] = now
        elif what == "in":
            for outside, who in owner.items():
                at = sent.get((outside, KINDS[kind].filtering.part(remote)))
                received = box.inbound(UDP, remote, outside, now)
                assert (received is not None) == (at is not None and now - at < 30)
                assert received is None or received.target == who
        elif what == "rebind":
            box.rebind()
            sent.clear()
        else:
            now += 7.0
        assert box.size <= box.config.max_mappings


def test_behaviours_see_what_their_names_say() -> None:
    assert Behaviour.ENDPOINT_INDEPENDENT.part(PEER) == Behaviour.ENDPOINT_INDEPENDENT.part(STRANGER)
    assert Behaviour.ADDRESS_DEPENDENT.part(PEER) == Behaviour.ADDRESS_DEPENDENT.part(SAME_HOST)
    assert Behaviour.ADDRESS_AND_PORT_DEPENDENT.part(PEER) == PEER
