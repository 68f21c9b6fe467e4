"""A network that changes what it carries: no exception leaves a machine, memory stays bounded, and a call can be
made when it is over."""

from __future__ import annotations

import pytest

from segue.base.address import Address
from segue.base.entropy import number
from segue.base.errors import LocalError
from segue.protocols.sip.message import response_to
from segue.protocols.sip.parser import parse_message
from segue.protocols.sip.session_core import MEMORY
from segue.testing.entropy import SeededEntropy
from segue.testing.sip_ends import SipEnd, SipWire

ALICE, BOB = Address("192.0.2.1", 5060), Address("198.51.100.2", 5060)
JUNK = (
    "",
    "x",
    "0",
    "4294967296",
    "<sip:",
    "<tel:1>",
    "sip:x@[::",
    '"',
    ";tag=",
    "*",
    "100rel",
    "é\udcff",
    "1 2 INVITE",
    ",,",
)
NAMES = (
    *(
        "Via",
        "From",
        "To",
        "Call-ID",
        "CSeq",
        "Contact",
        "Record-Route",
        "Require",
        "RSeq",
        "RAck",
        "Expires",
    ),
    *("Max-Forwards", "Retry-After", "Allow", "Supported", "Content-Type", "Reason", "Replaces", "Route"),
)


class Mangler:
    """Changes one header field, the method, the status or the body of every third message or so."""

    def __init__(self, seed: int) -> None:
        self.entropy = SeededEntropy(f"mangle/{seed}")

    def __call__(self, octets: bytes) -> bytes:
        if number(self.entropy, 3):
            return octets
        message = parse_message(octets)
        what = number(self.entropy, 6)
        name = NAMES[number(self.entropy, len(NAMES))]
        junk = JUNK[number(self.entropy, len(JUNK))]
        if what == 0:
            message.headers.remove(name)
        elif what == 1:
            message.headers.add(name, junk)
        elif what == 2:
            message.body = b"" if message.body else b"offer of nobody"
        elif what == 3 and b"SIP/2.0 " in octets[:8]:
            status = (101, 180, 183, 199, 200, 202, 302, 401, 407, 408, 481, 482, 491, 500, 503, 699)
            return b"SIP/2.0 %d" % status[number(self.entropy, 16)] + octets[11:]
        else:
            message.headers.set(name, junk)
        return message.to_bytes()


@pytest.mark.parametrize("seed", range(60))
def test_a_call_through_a_network_that_changes_messages(seed):
    network = SipWire(seed, transport="TCP" if seed % 3 == 0 else "UDP")
    alice, bob = SipEnd(network, "alice", ALICE, BOB), SipEnd(network, "bob", BOB, ALICE)
    bob.invited = ("accept", "ring reliably", "ring with answer", "ring")[seed % 4]
    network.mangle = Mangler(seed)
    for _ in range(5):
        alice.peer = BOB
        alice.dial("bob", offerless=seed % 5 == 0)
        for end, command in (
            (bob, "accept"),
            (alice, "reinvite"),
            (bob, "update"),
            (bob, "reinvite"),
            (alice, "hang_up"),
        ):
            network.run(2)
            try:
                if end.calls:
                    getattr(end, command)()
            except LocalError:
                pass
    network.run(10)
    network.mangle = None
    for end in (alice, bob):
        for session in end.sessions.all():
            session.hang_up(network.now)
        end.drain()
    network.run(400)
    for end in (alice, bob):
        end.drain()
        assert not end.sessions.all() and len(end.layer) == 0, [s.state for s in end.sessions.all()]
    alice.peer, bob.peer, bob.invited = BOB, ALICE, "accept"
    alice.dial("bob")
    network.run(5)
    assert alice.up and bob.up and alice.agreed == bob.agreed


def test_replies_to_everything_seen_do_no_harm():
    """Every message of a call again, to whom it was for."""
    network = SipWire()
    alice, bob = SipEnd(network, "alice", ALICE, BOB), SipEnd(network, "bob", BOB, ALICE)
    bob.invited = "ring with answer"
    alice.dial("bob")
    network.run(1)
    bob.accept()
    network.run(1)
    alice.reinvite()
    network.run(1)
    seen = list(network.seen)
    for end, flow in ((alice, alice.flow), (bob, bob.flow)):
        for one in seen:
            if one.target == end.address:
                end.receive(one.message.to_bytes(), flow)
    network.run(5)
    assert alice.up and bob.up and len(bob.calls) == 1
    bob.hang_up()
    network.run(60)
    assert alice.ended and bob.ended


def test_a_callee_that_answers_no_prack_costs_bounded_memory_and_no_more():
    """Reliable provisional responses without end: the call goes on, and is answered."""
    network = SipWire()
    alice, bob = SipEnd(network, "alice", ALICE, BOB), SipEnd(network, "bob", BOB, ALICE)
    bob.invited = "ignore"
    alice.dial("bob")
    network.run(1)
    invite, to_bob = network.sent("INVITE")[0], alice.flow

    def answer(status: int, **fields: str) -> None:
        response = response_to(invite, status, to_tag="mute")
        fields = {"Contact": "<sip:mute@203.0.113.9>", **fields}
        for name, value in fields.items():
            response.headers.set(name, value)
        alice.receive(response.to_bytes(), to_bob)

    for count in range(1, 101):
        answer(183, Require="100rel", RSeq=str(count))
    assert len({request.cseq.number for request in network.sent("PRACK")}) == MEMORY - 1
    response = response_to(invite, 200, to_tag="mute")
    response.headers.set("Contact", "<sip:mute@203.0.113.9>")
    response.body = b"answer"
    alice.receive(response.to_bytes(), to_bob)
    assert alice.up
    alice.reinvite()  # waits for its turn
    network.run(40)
    assert network.sent("INVITE")[-1].cseq.number > invite.cseq.number
    alice.hang_up()
    network.run(1)
    assert network.sent("BYE")


def test_many_moves_while_the_peer_is_away_do_not_end_the_call():
    """More in half a minute than requests that one call remembers; nothing is heard of any."""
    network = SipWire()
    alice, bob = SipEnd(network, "alice", ALICE, BOB), SipEnd(network, "bob", BOB, ALICE)
    bob.invited = "accept"
    alice.dial("bob")
    network.run(1)
    network.datagrams.cut(BOB)
    for count in range(50):
        alice.move(Address("192.0.2.1", 6000 + count))
        network.run(0.2)
    network.datagrams.mend(BOB)
    network.run(10)
    assert alice.up and bob.up and alice.agreed == bob.agreed and b"6049" in alice.agreed
