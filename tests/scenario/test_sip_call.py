"""Calls between two SIP ends over a wire: every octet is written and parsed."""

from __future__ import annotations

from segue.base.address import Address
from segue.protocols.sip import session_events as said
from segue.testing.sip_ends import SipEnd, SipWire

ALICE, BOB = Address("192.0.2.1", 5060), Address("198.51.100.2", 5060)


def pair(network: SipWire) -> tuple[SipEnd, SipEnd]:
    return SipEnd(network, "alice", ALICE, BOB), SipEnd(network, "bob", BOB, ALICE)


def test_a_simple_call():
    network = SipWire()
    alice, bob = pair(network)
    alice.dial("bob")
    network.run(1)
    assert alice.of(said.Ringing)
    bob.accept()
    network.run(1)
    assert alice.up and bob.up and alice.agreed == bob.agreed
    alice.hang_up()
    network.run(40)
    assert bob.of(said.Ended) == [said.Ended(said.By.PEER, 0, "")]
    assert not alice.sessions.all() and not bob.sessions.all()
    assert len(alice.layer) == 0 and len(bob.layer) == 0
