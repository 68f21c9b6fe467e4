"""Calls between two SIP ends over clean, lossy and reordering wires and over streams: set-up, end, changes.

Every octet is written and parsed; time is virtual. RFC 3261 sections 13 to 15, RFC 3262, RFC 3311, RFC 6337.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from segue.base.address import Address
from segue.base.errors import LocalError
from segue.protocols.sip import session_events as said
from segue.protocols.sip.flow import Flow
from segue.protocols.sip.message import Request, Response, response_to
from segue.protocols.sip.transaction_events import RequestReceived
from segue.testing.sip_ends import SipEnd, SipWire

ALICE, BOB = Address("192.0.2.1", 5060), Address("198.51.100.2", 5060)
NETWORKS: dict[str, Callable[[], SipWire]] = {
    "clean": SipWire,
    "lossy": lambda: SipWire("lossy", loss=0.2),
    "lossy too": lambda: SipWire("two", loss=0.2),
    "reordering": lambda: SipWire("late", jitter=0.6, duplicate=0.2),
    "stream": lambda: SipWire(transport="TCP"),
}
Pair = tuple[SipWire, SipEnd, SipEnd]


def pair_on(network: SipWire) -> Pair:
    return network, SipEnd(network, "alice", ALICE, BOB), SipEnd(network, "bob", BOB, ALICE)


@pytest.fixture(params=NETWORKS)
def pair(request: pytest.FixtureRequest) -> Pair:
    return pair_on(NETWORKS[request.param]())


@pytest.fixture
def clean() -> Pair:
    return pair_on(SipWire())


def connect(pair: Pair, *, offerless: bool = False) -> None:
    network, alice, bob = pair
    alice.dial("bob", offerless=offerless)
    network.until(lambda: bool(bob.calls), 40)
    network.run(1)
    bob.accept()
    network.until(lambda: alice.up and bob.up, 40)
    assert alice.agreed and alice.agreed == bob.agreed


def nothing_left(pair: Pair) -> None:
    network, alice, bob = pair
    network.run(200)
    for end in (alice, bob):
        assert end.ended and not end.sessions.all() and len(end.layer) == 0


def last_word(end: SipEnd) -> said.SessionEvent:
    words = [e for e in end.heard if isinstance(e, said.Ended | said.Refused | said.Redirected)]
    assert len(words) == 1, words
    return words[0]


# Set-up and end


@pytest.mark.parametrize("by", ["caller", "callee"])
@pytest.mark.parametrize("invited", ["ring", "ring reliably", "ring with answer", "accept", "ignore"])
def test_call_and_hang_up(pair, invited, by):
    network, alice, bob = pair
    bob.invited = invited
    if invited == "accept":
        alice.dial("bob")
        network.until(lambda: alice.up and bob.up, 40)
        assert alice.agreed == bob.agreed
    else:
        connect(pair)
    if invited == "ring reliably":
        assert alice.of(said.Ringing)
    assert alice.of(said.Established) and len(bob.of(said.Established)) == 1
    first, second = (alice, bob) if by == "caller" else (bob, alice)
    first.hang_up()
    nothing_left(pair)
    assert last_word(first) == said.Ended(said.By.US, 0, "")
    assert last_word(second) == said.Ended(said.By.PEER, 0, "")


def test_a_reliable_answer_is_heard_before_the_call_is_accepted(pair):
    network, alice, bob = pair
    bob.invited = "ring with answer"
    alice.dial("bob")
    network.until(lambda: bool(alice.agreed), 40)
    assert alice.agreed == bob.agreed and not alice.up
    bob.accept()
    network.until(lambda: alice.up and bob.up, 40)
    assert network.answered("PRACK")[0] == 200
    accepted = [
        s.message for s in network.seen if isinstance(s.message, Response) and s.message.status == 200
    ]
    assert all(not m.body for m in accepted if m.cseq.method == "INVITE")


def test_an_unreliable_answer_is_a_preview(clean):
    network, alice, bob = clean
    bob.invited = "ignore"
    alice.dial("bob")
    network.run(1)
    bob.ring(b"answer")
    network.run(1)
    assert alice.of(said.AnswerReceived)[0] == said.AnswerReceived(
        b"answer", "application/sdp", alice.of(said.Ringing)[0].dialog, final=False
    )
    bob.accept()
    network.run(1)
    assert alice.up and alice.agreed == bob.agreed


@pytest.mark.parametrize("invited", ["ring", "ring reliably"])
def test_a_call_without_offer_takes_the_callees(pair, invited):
    _, alice, bob = pair
    bob.invited = invited
    connect(pair, offerless=True)
    assert b"of alice" in bob.agreed and b"to offer" in bob.agreed  # alice answered bob's offer
    alice.hang_up()
    nothing_left(pair)


def test_an_early_offer_goes_into_the_prack_exchange(clean):
    """INVITE with offer, reliable 183 with answer, then UPDATE with a new offer before the call is answered."""
    network, alice, bob = clean
    bob.invited = "ring with answer"
    alice.dial("bob")
    network.run(1)
    alice.update()
    network.run(1)
    assert alice.of(said.Modified) == [said.Modified("UPDATE", False)]
    assert b"to offer 2 of alice" in bob.agreed and alice.agreed == bob.agreed
    bob.update()
    network.run(1)
    assert b"of bob" in alice.agreed.partition(b" to ")[2] and alice.agreed == bob.agreed
    bob.accept()
    network.run(1)
    assert alice.up and bob.up


def test_an_offer_in_a_prack_is_answered_in_its_200(clean):
    """RFC 3262 section 5: the caller may offer again in the PRACK. Our caller does not; another's may."""
    network, alice, bob = clean
    bob.invited = "ring with answer"
    send_prack = alice.layer.send_request

    def with_offer(request, *args, **kwargs):
        if request.method == "PRACK":
            request.body = b"offer in PRACK"
            request.headers.set("Content-Type", "application/sdp")
        return send_prack(request, *args, **kwargs)

    alice.layer.send_request = with_offer  # type: ignore[method-assign]
    alice.dial("bob")
    network.run(1)
    assert [e.method for e in bob.of(said.OfferReceived)] == ["INVITE", "PRACK"]
    answers = [
        s.message
        for s in network.seen
        if isinstance(s.message, Response) and s.message.cseq.method == "PRACK"
    ]
    assert b"to offer in PRACK" in answers[0].body
    bob.accept()
    network.run(1)
    assert alice.up and bob.up


def test_a_caller_that_requires_100rel_gets_reliable_ringing(clean):
    network, alice, _ = clean
    session_options = alice.options
    alice.options = session_options.__class__(headers=(("Require", "100rel"),))
    alice.dial("bob")
    network.run(1)
    assert network.answered("PRACK") == [200]


def test_a_reliable_ringing_that_gets_no_prack_ends_the_call(clean):
    network, alice, bob = clean
    bob.invited = "ring reliably"
    alice.dial("bob")
    network.until(lambda: bool(bob.calls))
    network.datagrams.cut(ALICE)
    network.run(100)
    assert last_word(bob) == said.Ended(said.By.NETWORK, 504, "no PRACK")


def test_ringing_is_refreshed_each_minute(clean):
    network, alice, _ = clean
    alice.dial("bob")
    network.run(200)
    assert network.answered("INVITE").count(180) == 4


# Cancel, refuse, redirect


@pytest.mark.parametrize("after", [0.0, 0.03, 0.3, 3.0])
@pytest.mark.parametrize("invited", ["ring", "ring reliably", "ignore"])
def test_cancel_at_any_time(pair, invited, after):
    network, alice, bob = pair
    bob.invited = invited
    alice.dial("bob")
    network.run(after)
    alice.hang_up()
    nothing_left(pair)
    assert last_word(alice) == said.Ended(said.By.US, 0, "")
    if bob.calls:
        assert last_word(bob).by is said.By.PEER


def test_cancel_that_crosses_the_answer_ends_the_call(pair):
    network, alice, bob = pair
    alice.dial("bob")
    network.until(lambda: bool(bob.calls), 40)
    bob.accept()
    alice.hang_up()
    nothing_left(pair)
    assert last_word(bob).by is said.By.PEER


@pytest.mark.parametrize("invited", ["ring", "ring reliably", "ring with answer"])
def test_reject(pair, invited):
    network, alice, bob = pair
    bob.invited = invited
    alice.dial("bob")
    network.until(lambda: bool(bob.calls), 40)
    bob.call.reject(486, network.now, "Lunch")
    nothing_left(pair)
    word = last_word(alice)
    assert (word.status, word.reason) == (486, "Lunch")
    assert network.sent("ACK", alice)


def test_redirect(clean):
    network, alice, bob = clean
    alice.dial("bob")
    network.run(1)
    bob.call.redirect(["<sip:bob@home.example.org>", "<sip:bob@cell.example.org>;q=0.5"], network.now)
    network.run(1)
    assert last_word(alice).contacts == ["sip:bob@home.example.org", "sip:bob@cell.example.org"]


def test_hang_up_while_it_rings_here(clean):
    network, alice, bob = clean
    alice.dial("bob")
    network.run(1)
    bob.hang_up()
    nothing_left(clean)
    assert last_word(alice).status == 487 and last_word(bob).by is said.By.US


def test_nobody_answers(clean):
    network, alice, _ = clean
    network.cut(BOB)
    alice.dial("bob")
    network.run(40)
    assert last_word(alice) == said.Refused(408, "no answer", None)
    nothing_left(clean)


def test_no_answer_on_a_broken_stream_but_another_flow_is_wanted():
    pair = network, alice, _ = pair_on(SipWire(transport="TCP"))
    network.cut(BOB)
    alice.dial("bob")
    network.run(1)
    assert alice.of(said.SignallingLost) == [said.SignallingLost("INVITE")]
    network.run(40)
    assert last_word(alice).status == 503
    nothing_left(pair)


def test_a_callee_hangs_up_before_the_ack(clean):
    """Section 15: its BYE waits for the ACK."""
    network, alice, bob = clean
    alice.dial("bob")
    network.run(1)
    bob.accept()
    bob.hang_up()
    assert not network.sent("BYE")
    nothing_left(clean)
    assert last_word(alice).by is said.By.PEER and len(network.sent("BYE")) == 1


def test_both_hang_up_at_once(pair):
    connect(pair)
    _, alice, bob = pair
    alice.hang_up()
    bob.hang_up()
    nothing_left(pair)
    assert last_word(alice).by is said.By.US and last_word(bob).by is said.By.US


def test_a_200_without_ack_ends_the_call(clean):
    network, alice, bob = clean
    alice.dial("bob")
    network.run(1)
    network.datagrams.cut(ALICE)
    bob.accept()
    network.run(100)
    assert last_word(bob) == said.Ended(said.By.NETWORK, 408, "no ACK")
    assert network.sent("BYE", bob)


def test_a_call_expires(clean):
    network, alice, bob = clean
    alice.options = alice.options.__class__(headers=(("Expires", "10"),))
    alice.dial("bob")
    network.run(11)
    assert last_word(bob) == said.Ended(said.By.PEER, 487, "expired")
    nothing_left(clean)


# Changes


@pytest.mark.parametrize("by", ["caller", "callee"])
@pytest.mark.parametrize("how", ["reinvite", "offerless reinvite", "update"])
def test_a_change_by_either(pair, how, by):
    network, alice, bob = pair
    connect(pair)
    first = alice if by == "caller" else bob
    for _ in range(3):
        before, changes = alice.agreed, len(first.of(said.Modified))
        if how == "update":
            first.update()
        else:
            first.reinvite(offerless=how == "offerless reinvite")
        network.until(lambda n=changes: len(first.of(said.Modified)) > n, 40)
        network.run(40)
        assert alice.agreed == bob.agreed != before
    assert alice.up and bob.up
    alice.hang_up()
    nothing_left(pair)


@pytest.mark.parametrize("how", ["reinvite", "update"])
@pytest.mark.parametrize("apart", [0.0, 0.01, 0.03])
def test_glare_ends_with_both_offers_done(pair, how, apart):
    """Section 14.1: both are refused with 491, wait differently long, and come again."""
    network, alice, bob = pair
    connect(pair)
    getattr(alice, how)()
    network.run(apart)
    getattr(bob, how)()
    network.until(lambda: all(end.of(said.Modified) for end in (alice, bob)), 120)
    network.run(40)
    assert alice.agreed == bob.agreed and alice.up and bob.up
    for end in (alice, bob):
        assert len(end.of(said.Modified)) == 1 and not end.of(said.ReofferRefused)


def test_the_owner_of_the_call_id_waits_longer_after_glare(clean):
    network, alice, bob = clean
    connect(clean)
    alice.reinvite()
    bob.reinvite()
    network.run(1)
    assert 2.1 <= alice.of(said.Glare)[0].wait <= 4 and 0 <= bob.of(said.Glare)[0].wait <= 2
    assert network.answered("INVITE").count(491) == 2


def test_a_reinvite_and_an_update_at_once(pair):
    network, alice, bob = pair
    connect(pair)
    alice.reinvite()
    bob.update()
    network.until(lambda: all(end.of(said.Modified) for end in (alice, bob)), 120)
    network.run(40)
    assert alice.agreed == bob.agreed and alice.up and bob.up


def test_a_refused_change_leaves_the_session_as_it_was(pair):
    network, alice, bob = pair
    connect(pair)
    before = alice.agreed
    bob.offers_answered = False
    for change in (alice.reinvite, alice.update):
        offers = len(bob.of(said.OfferReceived))
        change()
        network.until(lambda n=offers: len(bob.of(said.OfferReceived)) > n, 40)
        bob.call.refuse_offer(488, network.now)
        bob.drain()
        network.run(40)
    assert [(e.status, e.moved) for e in alice.of(said.ReofferRefused)] == [(488, False)] * 2
    assert alice.agreed == before and alice.up and bob.up


def test_a_user_that_does_not_answer_an_offer_is_answered_for(clean):
    network, alice, bob = clean
    connect(clean)
    bob.offers_answered = False
    alice.reinvite()
    network.run(30)
    assert [e.status for e in alice.of(said.ReofferRefused)] == [504] and alice.up and bob.up


def test_changes_wait_for_each_other(pair):
    network, alice, bob = pair
    connect(pair)
    alice.reinvite()
    alice.update()
    network.until(lambda: len(alice.of(said.Modified)) == 2, 80)
    network.run(40)
    assert alice.agreed == bob.agreed and b"to offer 3 of alice" in bob.agreed


def test_a_reinvite_that_nobody_answers_ends_the_call(clean):
    network, alice, _ = clean
    connect(clean)
    network.cut(BOB)
    alice.reinvite()
    network.run(100)
    assert last_word(alice) == said.Ended(said.By.NETWORK, 408, "no answer")


def test_a_peer_that_has_forgotten_the_call_ends_it(clean):
    network, alice, bob = clean
    connect(clean)
    bob.sessions = bob.sessions.__class__()
    alice.reinvite()
    network.run(1)
    word = last_word(alice)
    assert (word.by, word.status) == (said.By.PEER, 481)
    nothing_left((network, alice, alice))


def test_other_requests_in_the_dialog(pair):
    network, alice, bob = pair
    connect(pair)
    alice.call.send("OPTIONS", network.now)
    bob.call.send("INFO", network.now, b"1", content_type="application/dtmf")
    alice.drain()
    bob.drain()
    network.run(40)
    assert [e.status for e in alice.of(said.ResponseInDialog)] == [200]
    assert [e.status for e in bob.of(said.ResponseInDialog)] == [200]
    assert alice.of(said.MessageInDialog)[0].request.body == b"1"


def test_requests_we_do_not_know_are_refused(clean):
    network, alice, bob = clean
    connect(clean)
    for method, headers in (("PUBLISH", {}), ("INFO", {"Require": "x-teleport"})):
        alice.call.send(method, network.now, headers=headers)
    alice.drain()
    network.run(1)
    assert [e.status for e in alice.of(said.ResponseInDialog)] == [405, 420] and alice.up
    assert not bob.of(said.MessageInDialog)


def test_a_new_contact_becomes_the_target(pair):
    network, alice, bob = pair
    connect(pair)
    alice.call.reinvite(network.now, contact="<sip:alice@192.0.2.1:5060;x=new>")
    alice.drain()
    network.run(40)
    assert bob.call.leg is not None
    assert bob.call.leg.dialog.remote_target == "sip:alice@192.0.2.1:5060;x=new"
    bob.hang_up()
    nothing_left(pair)
    assert network.sent("BYE")[0].uri == "sip:alice@192.0.2.1:5060;x=new"


# A call that is challenged


def test_a_challenged_call_and_change_go_on_with_credentials(clean):
    network, alice, bob = clean
    take = bob._take

    def challenge(event):
        if not isinstance(event, RequestReceived) or "Proxy-Authorization" in event.request.headers:
            take(event)
        else:
            bob.layer.respond(event.transaction, said_407(event.request), network.now)

    bob._take = challenge  # type: ignore[method-assign]
    obey = alice._obey

    def authenticate(session, event):
        if isinstance(event, said.AuthenticationNeeded):
            session.retry_with(event, {"Proxy-Authorization": "Digest x"}, network.now)
        obey(session, event)

    alice._obey = authenticate  # type: ignore[method-assign]
    connect(clean)
    invites = network.sent("INVITE")
    assert [i.cseq.number - invites[0].cseq.number for i in invites] == [0, 1]
    assert {(i.call_id, i.from_.tag) for i in invites} == {(invites[0].call_id, invites[0].from_.tag)}
    assert "Proxy-Authorization" in network.sent("ACK")[-1].headers
    alice.reinvite()
    network.run(5)
    alice.update()
    network.run(5)
    assert [e.method for e in alice.of(said.Modified)] == ["INVITE", "UPDATE"]
    alice.hang_up()
    network.run(5)
    assert bob.ended


def said_407(request: Request) -> Response:
    response = response_to(request, 407, to_tag="p")
    response.headers.add("Proxy-Authenticate", 'Digest realm="x", nonce="y"')
    return response


def test_a_challenge_without_credentials_counts_as_a_refusal(clean):
    network, alice, bob = clean
    bob.invited = "ignore"
    alice.dial("bob")
    network.run(0.05)
    challenged = bob.call
    challenged.reject(407, network.now, headers={"Proxy-Authenticate": 'Digest realm="x", nonce="y"'})
    network.run(1)
    event = alice.of(said.AuthenticationNeeded)[0]
    alice.call.give_up(event, network.now)
    alice.drain()
    assert last_word(alice).status == 407


# Forks


class Fork:
    """Answers alice's INVITE as two callees behind one proxy would."""

    def __init__(self, network: SipWire, alice: SipEnd) -> None:
        self.network, self.alice = network, alice
        alice.dial("bob")
        self.invite = network.sent("INVITE")[0]

    def say(
        self, status: int, tag: str, body: bytes = b"", contact: str | None = "<sip:bob@198.51.100.9>"
    ) -> None:
        response = response_to(self.invite, status, to_tag=tag)
        if contact is not None:
            response.headers.set("Contact", contact)
        response.body = body

        self.alice.receive(response.to_bytes(), Flow("UDP", ALICE, BOB))


def test_the_second_answer_of_a_forked_call_gets_ack_and_bye(clean):
    network, alice, _ = clean
    fork = Fork(network, alice)
    fork.say(180, "one")
    fork.say(180, "two")
    assert len(alice.of(said.Ringing)) == 2
    fork.say(200, "two", b"answer")
    assert alice.up and alice.agreed == b"answer" and len(alice.of(said.EarlyDialogEnded)) == 1
    fork.say(200, "one", b"another")
    assert alice.up and alice.agreed == b"answer"
    assert [(r.method, r.to.tag) for r in network.sent("ACK")] == [("ACK", "two"), ("ACK", "one")]
    assert [r.to.tag for r in network.sent("BYE")] == ["one"]
    fork.say(200, "two", b"answer")  # the ACK was lost
    assert [r.to.tag for r in network.sent("ACK")] == ["two", "one", "two"]


def test_199_ends_one_branch(clean):
    network, alice, _ = clean
    fork = Fork(network, alice)
    fork.say(180, "one")
    fork.say(199, "one")
    assert len(alice.of(said.EarlyDialogEnded)) == 1
    fork.say(200, "two", b"answer")
    assert alice.up


def test_a_200_without_session_description_makes_no_call(clean):
    network, alice, _ = clean
    fork = Fork(network, alice)
    fork.say(200, "one")
    assert last_word(alice).status == 488 and network.sent("ACK") and network.sent("BYE")


@pytest.mark.parametrize("contact", [None, "<tel:+1555>", "<sip:"])
def test_a_200_without_good_contact_still_gets_its_ack(clean, contact):
    network, alice, _ = clean
    fork = Fork(network, alice)
    fork.say(200, "one", b"answer", contact=contact)
    assert alice.up and network.sent("ACK")[0].uri == fork.invite.uri


# Commands at the wrong time


def test_commands_that_do_not_fit_say_so(clean):
    network, alice, bob = clean
    alice.dial("bob")
    for command in (
        lambda: alice.call.accept(b"x", network.now),
        lambda: alice.call.ring(network.now),
        lambda: alice.call.reinvite(network.now),
        lambda: alice.call.update(network.now),
        lambda: alice.call.reject(486, network.now),
        lambda: alice.call.answer_offer(b"x", network.now),
        lambda: alice.call.send("INFO", network.now),
    ):
        with pytest.raises(LocalError):
            command()
    network.run(1)
    with pytest.raises(LocalError):
        bob.call.accept(b"", network.now)
    bob.accept()
    with pytest.raises(LocalError):
        bob.call.accept(b"x", network.now)


def test_a_reinvite_that_is_taken_and_never_answered_is_cancelled(clean):
    network, alice, bob = clean
    bob.options = bob.options.__class__(patience=1e9)
    connect(clean)
    bob.offers_answered = False
    alice.reinvite()
    network.run(179)
    assert not network.sent("CANCEL")
    network.run(5)
    assert [e.status for e in alice.of(said.ReofferRefused)] == [487] and bob.of(said.OfferWithdrawn)
    alice.update()
    bob.offers_answered = True
    network.run(40)
    assert alice.up and bob.up


@pytest.mark.parametrize("by", ["caller", "callee"])
def test_a_call_ends_amid_a_reinvite_that_waits_for_a_user(pair, by):
    network, alice, bob = pair
    connect(pair)
    bob.offers_answered = False
    alice.reinvite()
    network.run(3)
    (alice if by == "caller" else bob).hang_up()
    nothing_left(pair)
