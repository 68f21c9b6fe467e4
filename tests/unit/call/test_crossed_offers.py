"""Offers that met ours and were refused with 491: where they say that the peer is counts, and nothing else."""

from __future__ import annotations

import pytest

from segue.base.address import Address, LocalPort
from segue.call.agreement import LocalMedia
from segue.call.call_media import CallMedia
from segue.call.config import MediaConfig
from segue.call.keying import Keying
from segue.call.negotiation import Negotiation
from segue.testing import SeededEntropy

HOME, AWAY = LocalMedia(Address("192.0.2.1", 40000)), LocalMedia(Address("198.51.100.7", 40000))
AWAY6 = LocalMedia(Address("2001:db8:1::7", 40000))
OFFICE, CAFE = LocalMedia(Address("203.0.113.2", 50000)), LocalMedia(Address("203.0.113.99", 50002))


class Ports:
    def __init__(self) -> None:
        self.opened: list[str] = []

    def open(self, interface: str, host: str) -> LocalPort:
        self.opened.append(f"{interface} {host}")
        return LocalPort(interface, Address(host, 9))

    def close(self, port: LocalPort) -> None: ...

    def hosts(self) -> list[tuple[str, str]]:
        return [("wwan0", "2001:db8::1"), ("wwan0", "192.0.2.9")]

    def stun_servers(self) -> tuple[Address, ...]:
        return ()


def negotiation(name: str) -> Negotiation:
    config, entropy = MediaConfig(), SeededEntropy(name)
    return Negotiation(config, Keying(config, entropy).to_offer(True), entropy)


def connected() -> tuple[Negotiation, Negotiation]:
    alice, bob = negotiation("alice"), negotiation("bob")
    alice.receive_answer(bob.receive_offer(alice.make_offer(HOME, 0.0), OFFICE, 0.0), 0.0)
    return alice, bob


def test_it_says_where_the_peer_is_and_leaves_our_offer_open() -> None:
    alice, bob = connected()
    before = alice.agreement
    assert before is not None
    bob.hold()
    ours, theirs = alice.make_offer(AWAY, 0.0), bob.make_offer(CAFE, 0.0)
    media = alice.receive_crossed(theirs)
    assert media is not None and media.rtp == CAFE.rtp
    assert alice.agreement is not None and alice.offer_is_open
    assert (alice.agreement.remote, alice.agreement.remote_rtcp) == (CAFE.rtp, CAFE.rtp)
    assert alice.agreement.direction is before.direction, "its hold is no more than offered"
    bob.rollback()
    alice.receive_answer(bob.receive_offer(ours, CAFE, 0.0), 0.0)
    assert alice.agreement.remote == CAFE.rtp


def test_an_answer_from_before_it_does_not_put_the_old_address_back() -> None:
    """The peer answers our hold, moves, and its new offer overtakes that answer."""
    alice, bob = connected()
    alice.hold()
    answer = bob.receive_offer(alice.make_offer(HOME, 0.0), OFFICE, 0.0)
    alice.receive_crossed(bob.make_offer(CAFE, 0.0))
    agreement = alice.receive_answer(answer, 0.0)
    assert agreement.remote == CAFE.rtp and agreement.held_locally
    bob.rollback()
    back = bob.make_offer(OFFICE, 0.0)
    alice.receive_offer(back, HOME, 0.0)
    assert alice.agreement is not None and alice.agreement.remote == OFFICE.rtp, "a new offer may go back"


def test_an_answer_from_after_it_counts() -> None:
    alice, bob = connected()
    ours = alice.make_offer(AWAY, 0.0)
    alice.receive_crossed(bob.make_offer(CAFE, 0.0))
    bob.rollback()
    assert alice.receive_answer(bob.receive_offer(ours, OFFICE, 0.0), 0.0).remote == OFFICE.rtp


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"m=audio", b"m=video"),
        (b"m=audio 50002", b"m=audio 0"),
        (b"c=IN IP4 203.0.113.99", b"c=IN IP4 0.0.0.0"),
        (b"c=IN IP4 203.0.113.99", b"c=IN IP4 evil.example"),
        (b"v=0", b"v=x"),
        (b"o=- ", b"o=somebody "),
    ],
)
def test_what_is_malformed_refused_on_hold_or_of_another_end_changes_nothing(old: bytes, new: bytes) -> None:
    alice, bob = connected()
    alice.make_offer(AWAY, 0.0)
    body, before = bob.make_offer(CAFE, 0.0), alice.agreement
    assert old in body
    assert alice.receive_crossed(body.replace(old, new)) is None
    assert alice.receive_crossed(b"") is None
    assert alice.agreement == before


def test_nothing_is_taken_before_anything_is_agreed() -> None:
    assert negotiation("alice").receive_crossed(negotiation("bob").make_offer(CAFE, 0.0)) is None


def test_media_goes_there_at_once_unless_it_is_of_another_family() -> None:
    config, entropy, ports = MediaConfig(ice=False), SeededEntropy("carol"), Ports()
    keying, local = Keying(config, entropy).to_offer(True), LocalPort("wlan0", HOME.rtp)
    alice, (_, bob) = CallMedia(config, keying, ports, local, entropy, 0.0), connected()
    alice.take_answer(bob.receive_offer(alice.offer(0.0), OFFICE, 0.0), 0.0)
    assert not alice.take_crossed(bob.make_offer(OFFICE, 0.0), 0.0), "no news"
    bob.rollback()
    alice.offer(0.0)
    assert alice.take_crossed(bob.make_offer(CAFE, 0.0), 0.0)
    assert alice.paths.active is not None and alice.paths.active.remote == CAFE.rtp
    bob.rollback()
    alice.take_crossed(bob.make_offer(AWAY6, 0.0), 0.0)
    assert alice.paths.active is not None and alice.paths.active.remote == CAFE.rtp
    assert not ports.opened
