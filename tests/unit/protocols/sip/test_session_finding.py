"""Whose an event is, and which call is to be replaced (RFC 3891)."""

from __future__ import annotations

import pytest

from segue.base.address import Address
from segue.base.errors import RemoteError
from segue.protocols.sip.invite_sessions import Replaces, parse_replaces, write_replaces
from segue.testing.sip_ends import SipEnd, SipWire

ALICE, BOB = Address("192.0.2.1", 5060), Address("198.51.100.2", 5060)


@pytest.fixture
def pair():
    network = SipWire()
    alice, bob = SipEnd(network, "alice", ALICE, BOB), SipEnd(network, "bob", BOB, ALICE)
    alice.dial("bob")
    network.run(1)
    return network, alice, bob


def refusal(end: SipEnd, replaces: Replaces) -> int | None:
    with pytest.raises(RemoteError) as refused:
        end.sessions.replaced(replaces)
    return refused.value.status


def test_a_call_is_replaced_by_what_the_other_end_writes(pair):
    network, alice, bob = pair
    bob.accept()
    network.run(1)
    value = write_replaces(alice.call)
    replaces = parse_replaces(value)
    assert bob.sessions.replaced(replaces) is bob.call
    assert refusal(bob, replaces._replace(remote_tag="x")) == 481
    assert refusal(bob, replaces._replace(call_id="x")) == 481
    assert refusal(bob, parse_replaces(write_replaces(alice.call, early_only=True))) == 486
    alice.hang_up()
    network.run(0.1)
    assert refusal(bob, replaces) in (481, 603)


def test_only_the_caller_of_an_early_call_has_it_replaced(pair):
    _, alice, bob = pair
    value = write_replaces(bob.call, early_only=True)
    assert alice.sessions.replaced(parse_replaces(value)) is alice.call
    with pytest.raises(RemoteError):
        write_replaces(alice.call)
    tags = bob.call.leg.dialog.id
    assert refusal(bob, Replaces(tags.call_id, tags.local_tag, tags.remote_tag, False)) == 481


@pytest.mark.parametrize("value", ["", "call", "call;to-tag=x", "call;from-tag=x", ";to-tag=x;from-tag=y"])
def test_a_bad_replaces_is_refused(value):
    with pytest.raises(RemoteError) as refused:
        parse_replaces(value)
    assert refused.value.status == 400


def test_a_finished_call_is_forgotten(pair):
    network, alice, bob = pair
    assert len(alice.sessions) == len(bob.sessions) == 1
    alice.hang_up()
    network.run(100)
    assert len(alice.sessions) == len(bob.sessions) == 0


def test_a_request_with_other_tags_is_not_the_calls(pair):
    network, alice, bob = pair
    bob.accept()
    network.run(1)
    leg = alice.call.leg
    leg.dialog.remote = leg.dialog.remote.replace("tag=", "tag=x")
    alice.call.send("INFO", network.now)
    alice.drain()
    network.run(1)
    assert bob.up and network.answered("INFO") == [481]


def test_a_dialog_on_tls_takes_nothing_from_an_insecure_flow():
    network = SipWire(transport="TLS")
    alice, bob = SipEnd(network, "alice", ALICE, BOB), SipEnd(network, "bob", BOB, ALICE)
    bob.invited = "accept"
    alice.dial("bob")
    network.run(1)
    assert alice.up and bob.up
    mallory = alice.call.build(alice.call.leg, "BYE")
    mallory.headers.prepend("Via", "SIP/2.0/UDP 192.0.2.66:5060;rport;branch=z9hG4bKevil")
    bob.receive(mallory.to_bytes(), alice.flow._replace(transport="UDP", local=BOB, remote=ALICE))
    assert bob.up and network.answered("BYE") == [481]
