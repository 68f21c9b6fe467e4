"""RFC 4068 section 6.1 and 6.4: messages about routers nearby."""

from __future__ import annotations

from ipaddress import IPv6Address, IPv6Network

import pytest

from segue.base.errors import RemoteError
from segue.protocols.nd.packet import write_packet
from segue.protocols.nd.proxy_advertisement import (
    MAX_NEARBY,
    NearbyRouter,
    ProxyAdvertisement,
    ProxySolicitation,
    parse_proxy_message,
    write_proxy_advertisement,
    write_proxy_solicitation,
)

HOST, ROUTER = IPv6Address("fe80::7"), IPv6Address("fe80::1")
LINK = bytes.fromhex("02005e000001")
CAFE = IPv6Network("2001:db8:3::/64")


def test_a_solicitation_asks_for_all_and_proposes_addresses() -> None:
    wanted = ProxySolicitation(0x1234, LINK, (CAFE[7], CAFE[9]))
    packet = write_proxy_solicitation(wanted, HOST, ROUTER)
    assert (
        packet[6:8] == b"\x3a\xff" and packet[40:42] == b"\x96\x00" and packet[44:48] == b"\x02\x00\x12\x34"
    )
    # The source's link-layer address (19, code 4), then the wildcard (19, code 0).
    assert packet[48:66] == b"\x13\x02\x04" + LINK + bytes(7) + b"\x13\x02"
    assert parse_proxy_message(packet) == (wanted, HOST)


@pytest.mark.parametrize("free", [(), (CAFE[7],)])
def test_an_advertisement_tells_of_each_router(free: tuple[IPv6Address, ...]) -> None:
    umts = NearbyRouter("umts", LINK[:5] + b"\x09", ROUTER, IPv6Network("2001:db8:2::/64"))
    told = ProxyAdvertisement(7, (NearbyRouter("café, 1st floor", LINK, ROUTER, CAFE, free), umts))
    assert parse_proxy_message(write_proxy_advertisement(told, ROUTER, HOST)) == (told, ROUTER)


def test_what_lacks_a_part_is_passed_over_and_foreign_addresses_are_not_free_there() -> None:
    global_router = NearbyRouter("a", LINK, IPv6Address("2001:db8::1"), CAFE)
    nameless = NearbyRouter("", LINK, ROUTER, CAFE)
    foreign = NearbyRouter("b", LINK, ROUTER, CAFE, (IPv6Address("2001:db8:4::1"),))
    packet = write_proxy_advertisement(
        ProxyAdvertisement(1, (global_router, nameless, foreign)), ROUTER, HOST
    )
    message, _ = parse_proxy_message(packet)
    assert isinstance(message, ProxyAdvertisement)
    assert [(near.access_point, near.free) for near in message.nearby] == [("b", ())]


def test_thousands_make_no_more_than_a_few() -> None:
    near = [NearbyRouter(f"n{i}", LINK, ROUTER, CAFE) for i in range(100)]
    message, _ = parse_proxy_message(
        write_proxy_advertisement(ProxyAdvertisement(1, tuple(near)), ROUTER, HOST)
    )
    assert isinstance(message, ProxyAdvertisement) and len(message.nearby) <= MAX_NEARBY
    many = ProxySolicitation(1, LINK, tuple(CAFE[i] for i in range(500)))
    parsed, _ = parse_proxy_message(write_proxy_solicitation(many, HOST, ROUTER))
    assert isinstance(parsed, ProxySolicitation) and len(parsed.proposed) == MAX_NEARBY


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"\x96\0\0\0",
        b"\x96\0\0\0\2\0\0\1\x13\0",
        b"\x96\0\0\0\2\0\0\1\x13\2\4",
        b"\x96\0\0\0\2\0\0\1\x11\1\2\0\0\0\0\0",
        b"\x96\7\0\0\3\0\0\1",
        b"\x96\0\0\0\4\0\0\1",
        b"\x86\0\0\0\2\0\0\1",
    ],
)
def test_what_is_none_is_refused(message: bytes) -> None:
    with pytest.raises(RemoteError):
        parse_proxy_message(write_packet(message.ljust(4, b"\0") if message else b"\0" * 4, ROUTER, HOST))


def test_one_from_beyond_the_link_is_refused() -> None:
    with pytest.raises(RemoteError):
        parse_proxy_message(write_packet(b"\x96\0\0\0\2\0\0\1", HOST, ROUTER, hop_limit=64))
