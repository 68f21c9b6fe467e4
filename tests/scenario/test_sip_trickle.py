"""Trickle ICE over SIP (RFC 8840, RFC 6086): when candidates may follow an offer or answer, and how."""

from __future__ import annotations

from dataclasses import replace

import pytest

from segue.base.address import Address
from segue.protocols.sip import session_events as said
from segue.protocols.sip.message import Request
from segue.protocols.sip.session_core import SessionOptions
from segue.testing.sip_ends import Relay, SipEnd, SipWire

ALICE, BOB, PROXY = Address("192.0.2.1", 5060), Address("198.51.100.2", 5060), Address("203.0.113.1", 5060)
PLAIN = SessionOptions()
TRICKLES = replace(PLAIN, supported=(*PLAIN.supported, "trickle-ice"))
NETWORKS = [{}, {"loss": 0.2}, {"jitter": 0.3, "duplicate": 0.2}, {"transport": "TCP"}]
Trio = tuple[SipWire, SipEnd, SipEnd]


def trio(
    alice: SessionOptions = TRICKLES, bob: SessionOptions = TRICKLES, relayed: bool = False, **network: object
) -> Trio:
    wire = SipWire("trickle", **network)  # type: ignore[arg-type]
    relay = Relay(wire, PROXY) if relayed else None
    a = SipEnd(wire, "alice", ALICE, PROXY if relayed else BOB, relay=relay)
    b = SipEnd(wire, "bob", BOB, PROXY if relayed else ALICE, relay=relay)
    a.options, b.options = alice, bob
    return wire, a, b


def got(end: SipEnd) -> list[bytes]:
    return [event.body for event in end.of(said.CandidatesReceived)]  # type: ignore[attr-defined]


def infos(wire: SipWire, end: SipEnd) -> list[Request]:
    unique = {request.cseq.number: request for request in wire.sent("INFO", end)}
    return list(unique.values())


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("invited", ["ring", "ring reliably", "ring with answer", "accept"])
def test_candidates_go_both_ways_as_soon_as_both_have_the_dialog(
    invited: str, network: dict[str, object]
) -> None:
    """Also before the answer (section 4.3.3). The callee's wait for a request of the caller's in the dialog."""
    wire, alice, bob = trio(**network)
    alice.candidates, bob.candidates, bob.invited = b"alice 1", b"bob 1", invited
    alice.dial("bob")
    wire.run(20)
    assert got(bob)[-1] == b"alice 1" and got(alice)[-1] == b"bob 1"
    for number in range(2, 6):
        alice.call.send_candidates(b"alice %d" % number, wire.now)
        bob.call.send_candidates(b"bob %d" % number, wire.now)
        alice.drain()
        bob.drain()
    wire.run(30)
    assert got(bob)[-1] == b"alice 5" and got(alice)[-1] == b"bob 5"
    assert len(got(bob)) <= 3, "one at a time, and only the newest"
    for request in wire.sent("INFO"):
        assert request.headers.get("Info-Package") == "trickle-ice"
        assert request.headers.get("Content-Disposition") == "Info-Package"
        assert request.content_type == "application/trickle-ice-sdpfrag"


def test_within_two_round_trips() -> None:
    wire, alice, bob = trio()
    alice.candidates, bob.candidates = b"alice", b"bob"
    alice.dial("bob")
    start = wire.now
    wire.until(lambda: bool(got(alice)) and bool(got(bob)), 10)
    assert wire.now - start < 0.3


def test_what_says_who_can() -> None:
    wire, alice, bob = trio()
    alice.dial("bob")
    wire.run(1)
    bob.accept()
    wire.run(1)
    (invite,) = {r.cseq.number: r for r in wire.sent("INVITE", alice)}.values()
    assert "trickle-ice" in invite.supported and invite.headers.get("Recv-Info") == "trickle-ice"
    responses = [seen.message for seen in wire.seen if not isinstance(seen.message, Request)]
    answers = [r for r in responses if r.cseq.method == "INVITE" and r.status > 100]
    assert {r.status for r in answers} == {180, 200}
    assert all("trickle-ice" in r.supported and r.headers.get("Recv-Info") == "trickle-ice" for r in answers)


@pytest.mark.parametrize(("alice_can", "bob_can"), [(True, False), (False, True), (False, False)])
def test_a_peer_that_cannot_gets_none(alice_can: bool, bob_can: bool) -> None:
    wire, alice, bob = trio(TRICKLES if alice_can else PLAIN, TRICKLES if bob_can else PLAIN)
    alice.candidates, bob.candidates = b"alice", b"bob"
    alice.dial("bob")
    wire.run(2)
    bob.accept()
    wire.run(5)
    for end in (alice, bob):
        end.call.send_candidates(b"more", wire.now)
        end.drain()
    wire.run(5)
    assert not wire.sent("INFO") and alice.up and bob.up


def test_a_ringing_response_is_repeated_until_the_caller_is_heard() -> None:
    """Section 4.3.2: with the timers of RFC 3262; the caller has nothing to send here."""
    wire, alice, bob = trio()
    alice.dial("bob")
    wire.run(4)
    assert len([s for s in wire.answered("INVITE") if s == 180]) == 4, "at 0, 0.5, 1.5 and 3.5 s"
    alice.call.send_candidates(b"alice", wire.now)
    alice.drain()
    wire.run(60)
    assert len([s for s in wire.answered("INVITE") if s == 180]) <= 5
    assert got(bob) == [b"alice"]
    wire, alice, bob = trio(bob=PLAIN)
    alice.dial("bob")
    wire.run(20)
    assert wire.answered("INVITE").count(180) == 1, "nobody trickles"


def test_a_callee_waits_for_the_caller_before_it_sends() -> None:
    wire, alice, bob = trio()
    bob.candidates = b"bob"
    alice.dial("bob")
    wire.run(3)
    bob.call.send_candidates(b"bob", wire.now)
    bob.drain()
    wire.run(2)
    assert not wire.sent("INFO", bob), "alice may not have the dialog"
    bob.accept()
    wire.run(1)
    assert got(alice) == [b"bob"]


@pytest.mark.parametrize("mover", ["alice", "bob"])
@pytest.mark.parametrize("up", [True, False])
def test_candidates_of_who_moves_arrive(mover: str, up: bool) -> None:
    """They are under way when the old address goes."""
    wire, alice, bob = trio(relayed=True)
    alice.candidates, bob.candidates = b"alice", b"bob"
    alice.dial("bob")
    wire.run(2)
    if up:
        bob.accept()
        wire.run(2)
    end, other = (alice, bob) if mover == "alice" else (bob, alice)
    end.candidates = b"new"
    end.call.send_candidates(b"new", wire.now)
    end.move(Address("10.0.0.7", 5060))
    wire.run(10)
    assert got(other)[-1] == b"new"
    if not up:
        bob.accept()
    wire.run(10)
    assert alice.up and bob.up


@pytest.mark.parametrize(
    ("package", "content_type", "status"),
    [
        ("trickle-ice", "application/trickle-ice-sdpfrag", 200),
        ("trickle-ice", "application/sdp", 415),
        ("conference", "text/plain", 469),
        ("", "text/plain", 469),
    ],
)
def test_what_an_info_request_gets(package: str, content_type: str, status: int) -> None:
    wire, alice, bob = trio()
    alice.dial("bob")
    wire.run(1)
    bob.accept()
    wire.run(1)
    headers = {"Info-Package": package, "Content-Disposition": "Info-Package"}
    alice.call.send("INFO", wire.now, b"x", content_type=content_type, headers=headers)
    alice.drain()
    wire.run(1)
    (answer,) = alice.of(said.ResponseInDialog)
    assert answer.status == status and bool(got(bob)) is (status == 200)
    if status == 469:
        assert answer.response is not None and answer.response.headers.get("Recv-Info") == "trickle-ice"
    assert alice.up and bob.up


def test_an_info_of_the_old_kind_is_our_users() -> None:
    wire, alice, bob = trio()
    alice.dial("bob")
    wire.run(1)
    bob.accept()
    wire.run(1)
    alice.call.send("INFO", wire.now, b"Signal=1", content_type="application/dtmf-relay")
    alice.drain()
    wire.run(1)
    assert len(bob.of(said.MessageInDialog)) == 1 and not got(bob)


def test_a_peer_that_refuses_is_asked_no_more() -> None:
    wire, alice, bob = trio()
    alice.dial("bob")
    wire.run(1)
    bob.accept()
    wire.run(1)
    bob.call.options = replace(TRICKLES, methods=tuple(m for m in TRICKLES.methods if m != "INFO"))
    for number in range(3):
        alice.call.send_candidates(b"%d" % number, wire.now)
        alice.drain()
        wire.run(1)
    assert len(infos(wire, alice)) == 1 and alice.up and bob.up
