"""Calls whose ends move, in every state: straight between two hosts, and by a proxy that knows where they are."""

from __future__ import annotations

from itertools import count

import pytest

from segue.base.address import Address
from segue.protocols.sip import session_events as said
from segue.testing.sip_ends import Relay, SipEnd, SipWire

ALICE, BOB, PROXY = Address("192.0.2.1", 5060), Address("198.51.100.2", 5060), Address("203.0.113.1", 5060)
NETWORKS = {
    "clean": {},
    "lossy": {"loss": 0.2},
    "reordering": {"jitter": 0.3, "duplicate": 0.2},
    "stream": {"transport": "TCP"},
}
Trio = tuple[SipWire, SipEnd, SipEnd]
FRESH = count(10)


def fresh() -> Address:
    """An address nobody has had."""
    number = next(FRESH)
    return Address(f"10.0.{number // 200}.{number % 200}", 5060)


def make(kind: str, network: str, seed: int | str = 0) -> Trio:
    options = NETWORKS[network]
    wire = SipWire(f"{kind}/{network}/{seed}", **options)  # type: ignore[arg-type]
    if kind == "direct":
        return wire, SipEnd(wire, "alice", ALICE, BOB), SipEnd(wire, "bob", BOB, ALICE)
    relay = Relay(wire, PROXY)
    alice = SipEnd(wire, "alice", ALICE, PROXY, relay=relay)
    return wire, alice, SipEnd(wire, "bob", BOB, PROXY, relay=relay)


@pytest.fixture(params=[f"{kind} {network}" for kind in ("direct", "proxied") for network in NETWORKS])
def trio(request: pytest.FixtureRequest) -> Trio:
    kind, network = request.param.split()
    return make(kind, network)


@pytest.fixture(params=NETWORKS)
def proxied(request: pytest.FixtureRequest) -> Trio:
    return make("proxied", request.param)


@pytest.fixture
def clean() -> Trio:
    return make("direct", "clean")


def connect(trio: Trio, invited: str = "ring") -> None:
    network, alice, bob = trio
    bob.invited = invited
    alice.dial("bob")
    network.until(lambda: bool(bob.calls), 40)
    bob.accept()
    network.until(lambda: alice.up and bob.up, 40)


def agree(trio: Trio, *, moved: SipEnd | None = None) -> None:
    """After a while both are up, have the same last answer, and know where the other is."""
    network, alice, bob = trio
    network.run(60)
    for end in (alice, bob):
        assert end.up, (end.name, end.call.state, end.heard[-5:])
    assert alice.agreed == bob.agreed
    for end, other in ((alice, bob), (bob, alice)):
        assert end.call.leg is not None
        assert f"<{end.call.leg.dialog.remote_target}>" == other.contact
    if moved is not None:
        assert str(moved.address).encode() in alice.agreed


def hang_up(trio: Trio, first: SipEnd) -> None:
    """The peer's requests reach the mover and the mover's the peer; then nothing is left of the call."""
    network, alice, bob = trio
    for end in (alice, bob):
        before = len(end.of(said.ResponseInDialog))
        end.call.send("OPTIONS", network.now)
        end.drain()
        network.until(lambda e=end, n=before: len(e.of(said.ResponseInDialog)) > n, 40)
        assert end.of(said.ResponseInDialog)[-1].status == 200
    for end in (alice, bob):
        before = len(end.of(said.Modified))
        end.reinvite()
        network.until(lambda e=end, n=before: len(e.of(said.Modified)) > n, 60)
    first.hang_up()
    network.run(200)
    assert alice.ended and bob.ended
    for end in (alice, bob):
        words = [e for e in end.heard if isinstance(e, said.Ended | said.Refused)]
        assert words == [said.Ended(said.By.US if end is first else said.By.PEER, 0, "")]
        assert not end.sessions.all() and len(end.layer) == 0


# Dialling and ringing


@pytest.mark.parametrize("after", [0.0, 0.03, 0.05, 0.5, 2.0])
@pytest.mark.parametrize("invited", ["ignore", "ring", "ring reliably", "ring with answer"])
def test_the_caller_moves_before_the_call_is_answered(trio, invited, after):
    network, alice, bob = trio
    bob.invited = invited
    alice.dial("bob")
    network.run(after)
    alice.move(fresh())
    network.until(lambda: bool(bob.calls), 40)
    network.run(8)
    assert len(bob.calls) == 1  # one call, which never stopped ringing
    assert not [e for e in bob.heard if isinstance(e, said.Ended)]
    invites = network.sent("INVITE", alice)
    assert {(i.call_id, i.from_.tag) for i in invites} == {(invites[0].call_id, invites[0].from_.tag)}
    assert len({i.cseq.number for i in invites}) >= 2
    assert 482 not in network.answered("INVITE", bob)
    bob.accept()
    agree(trio)
    hang_up(trio, bob)


def test_a_call_placed_anew_has_the_next_number_and_cancels_the_first(clean):
    network, alice, bob = clean
    alice.dial("bob")
    network.run(1)
    alice.move(fresh())
    network.run(1)
    first, second = network.sent("INVITE")
    assert second.cseq.number == first.cseq.number + 1
    assert "segue;cause=1" in (network.sent("CANCEL")[0].headers.get("Reason") or "")
    assert network.sent("CANCEL")[0].via.branch == first.via.branch
    ringing = [s.message.status for s in network.seen if s.source == BOB and s.target == alice.address]
    assert 180 in ringing and [e.again for e in bob.of(said.OfferReceived)] == [False, True]


@pytest.mark.parametrize("invited", ["ignore", "ring", "ring reliably", "ring with answer"])
def test_the_callee_moves_while_it_rings(trio, invited):
    network, alice, bob = trio
    bob.invited = invited
    alice.dial("bob")
    network.until(lambda: bool(bob.calls), 40)
    network.run(1)
    bob.move(fresh())
    network.run(3)
    bob.accept()
    agree(trio)
    hang_up(trio, alice)


def test_the_caller_moves_softly_while_it_rings(trio):
    network, alice, bob = trio
    alice.dial("bob")
    network.until(lambda: bool(alice.of(said.Ringing)) or network.now > 1010, 40)
    alice.move(fresh(), soft=True)
    network.run(3)
    bob.accept()
    agree(trio)
    hang_up(trio, bob)


@pytest.mark.parametrize("after", [0.0, 0.01, 0.03, 0.05, 0.07])
@pytest.mark.parametrize("mover", ["alice", "bob"])
def test_a_move_while_the_call_is_being_answered(trio, mover, after):
    network, alice, bob = trio
    alice.dial("bob")
    network.until(lambda: bool(bob.calls), 40)
    network.run(1)
    bob.accept()
    network.run(after)
    (alice if mover == "alice" else bob).move(fresh())
    agree(trio)
    hang_up(trio, alice)


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_call_that_is_refused_while_its_caller_moves_does_not_ring_again(trio, when):
    network, alice, bob = trio
    alice.dial("bob")
    network.until(lambda: bool(bob.calls), 40)
    network.run(1)
    alice.leave()
    if when == "before":
        bob.call.reject(486, network.now)
        bob.drain()
        network.run(0.1)
    alice.arrive(fresh())
    alice.tell_move()
    if when == "after":
        network.until(lambda: len(bob.of(said.OfferReceived)) == 2, 40)
        bob.call.reject(486, network.now)
        bob.drain()
    network.run(100)
    assert alice.ended and bob.ended and len(bob.calls) == 1
    words = [e for e in alice.heard if isinstance(e, said.Refused)]
    assert [w.status for w in words] == [486]


def test_hang_up_right_after_a_move_while_dialling(trio):
    network, alice, bob = trio
    alice.dial("bob")
    network.run(1)
    alice.move(fresh())
    alice.hang_up()
    network.run(200)
    assert alice.ended and bob.ended and not bob.sessions.all() and not alice.sessions.all()


# Up


@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("mover", ["alice", "bob"])
def test_a_move_of_an_established_call(trio, mover, soft):
    network, alice, bob = trio
    connect(trio)
    network.run(5)
    end = alice if mover == "alice" else bob
    end.move(fresh(), soft=soft)
    agree(trio, moved=end)
    assert end.of(said.Modified) == [said.Modified("INVITE", True)]
    hang_up(trio, alice if mover == "bob" else bob)


@pytest.mark.parametrize("mover", ["alice", "bob"])
def test_ten_moves_in_a_row(trio, mover):
    network, alice, bob = trio
    connect(trio)
    end = alice if mover == "alice" else bob
    for pause in (5, 0.01, 3, 0.03, 0.05, 8, 0.0, 0.1, 1, 0.5):
        end.move(fresh())
        network.run(pause)
    agree(trio, moved=end)
    hang_up(trio, bob)


@pytest.mark.parametrize("apart", [0.0, 0.03, 0.3])
@pytest.mark.parametrize("who", ["mover", "peer"])
@pytest.mark.parametrize("how", ["reinvite", "update", "offerless"])
@pytest.mark.parametrize("mover", ["alice", "bob"])
def test_a_move_amid_a_change(trio, mover, how, who, apart):
    network, alice, bob = trio
    connect(trio)
    network.run(5)
    end, other = (alice, bob) if mover == "alice" else (bob, alice)
    changing = end if who == "mover" else other
    if how == "update":
        changing.update()
    else:
        changing.reinvite(offerless=how == "offerless")
    network.run(apart)
    end.move(fresh())
    agree(trio)
    hang_up(trio, other)


@pytest.mark.parametrize("apart", [0.0, 0.03, 0.2, 1.0])
def test_both_move_at_once(proxied, apart):
    network, alice, bob = proxied
    connect(proxied)
    network.run(5)
    for _ in range(3):
        alice.move(fresh())
        network.run(apart)
        bob.move(fresh())
        agree(proxied)
    hang_up(proxied, alice)


@pytest.mark.parametrize("kind", ["direct", "proxied"])
@pytest.mark.parametrize("apart", [0.0, 0.01, 0.02, 0.05])
def test_two_that_move_at_once_do_not_wait_for_each_other(kind, apart):
    """Bob, who did not make the Call-ID, gives way: both have agreed within three round trips."""
    trio = network, alice, bob = make(kind, "clean")
    connect(trio)
    network.run(5)
    alice.move(fresh(), soft=True)
    network.run(apart)
    bob.move(fresh(), soft=True)
    start = network.now
    network.until(lambda: all(end.of(said.Modified) for end in (alice, bob)), 5)
    hops = 1 if kind == "direct" else 2
    assert network.now - start < 0.3 * hops
    assert network.answered("INVITE").count(491) <= hops
    agree(trio)


def test_an_offer_that_is_refused_for_now_is_told(clean):
    """Alice, who made the Call-ID, lets hers go on and hears where Bob is."""
    network, alice, bob = clean
    connect(clean)
    network.run(5)
    alice.reinvite()
    bob.move(fresh(), soft=True)
    network.until(lambda: bool(alice.of(said.OfferCrossed)), 5)
    (crossed,) = alice.of(said.OfferCrossed)
    assert str(bob.address).encode() in crossed.body and crossed.dialog is alice.call.leg.dialog
    assert not bob.of(said.OfferCrossed), "it gave way"
    agree(clean, moved=bob)


@pytest.mark.parametrize("away", [0.05, 1.0, 8.0])
def test_both_are_away_for_a_while(proxied, away):
    network, alice, bob = proxied
    connect(proxied)
    network.run(5)
    alice.leave()
    bob.leave()
    network.run(away)
    alice.arrive(fresh())
    alice.tell_move()
    network.run(away)
    bob.arrive(fresh())
    bob.tell_move()
    agree(proxied)
    hang_up(proxied, bob)


@pytest.mark.parametrize("mover", ["alice", "bob"])
def test_a_change_of_the_peer_while_the_mover_is_away(trio, mover):
    network, alice, bob = trio
    connect(trio)
    network.run(5)
    end, other = (alice, bob) if mover == "alice" else (bob, alice)
    end.leave()
    other.reinvite()
    network.run(2)
    end.arrive(fresh())
    end.tell_move()
    agree(trio)
    assert other.of(said.Modified)
    hang_up(trio, other)


def test_the_first_new_try_after_a_move_meets_no_wait(clean):
    """A move is told within two round trips, even when it meets a change of the peer's."""
    network, alice, bob = clean
    connect(clean)
    network.run(5)
    bob.reinvite()
    alice.move(fresh())
    start = network.now
    network.until(lambda: said.Modified("INVITE", True) in alice.of(said.Modified), 5)
    assert network.now - start < 0.4


def test_a_peer_that_moves_and_hangs_up_while_we_are_away(proxied):
    network, alice, bob = proxied
    connect(proxied)
    alice.leave()
    network.run(1)
    bob.move(fresh())
    bob.hang_up()
    network.run(1)
    alice.arrive(fresh())
    alice.tell_move()
    network.run(100)
    assert alice.ended and bob.ended


def test_only_signalling_goes_another_way(trio):
    """A new connection to the same proxy: no offer, and what was under way is sent again."""
    network, alice, bob = trio
    connect(trio)
    network.run(5)
    before = alice.agreed
    alice.leave()
    alice.call.send("INFO", network.now, b"1", content_type="application/dtmf")
    alice.drain()
    alice.arrive(fresh())
    alice.call.change_flow(alice.flow, alice.contact, network.now)
    alice.drain()
    network.run(40)
    assert [e.status for e in alice.of(said.ResponseInDialog)] == [200]
    assert len(bob.of(said.MessageInDialog)) == 1 and alice.agreed == before and alice.up and bob.up


def test_a_refused_move_does_not_end_the_call(clean):
    network, alice, bob = clean
    connect(clean)
    bob.offers_answered = False
    alice.move(fresh())
    network.run(0.1)
    bob.call.refuse_offer(488, network.now)
    bob.drain()
    network.run(5)
    assert [(e.status, e.moved) for e in alice.of(said.ReofferRefused)] == [(488, True)]
    assert alice.up and bob.up


def test_a_move_that_nobody_hears_does_not_end_the_call_and_the_next_one_heals_it(clean):
    network, alice, _ = clean
    connect(clean)
    network.run(5)
    alice.move(fresh())
    network.cut(alice.address)
    network.run(100)
    assert [(e.status, e.moved) for e in alice.of(said.ReofferRefused)] == [(408, True)] and alice.up
    alice.arrive(fresh())
    alice.tell_move()
    agree(clean, moved=alice)


def test_a_change_that_takes_the_place_of_a_waiting_move_tells_of_the_move(clean):
    """One offer says all that is wanted by then, and is made when it can leave."""
    network, alice, bob = clean
    connect(clean)
    alice.offers_answered = False
    bob.reinvite()
    network.until(lambda: alice.offered)
    alice.tell_move(soft=True)
    alice.reinvite()
    assert not alice.of(said.OfferWanted), "the peer's offer is in the way"
    alice.call.answer_offer(alice.answer(alice.offered), network.now)
    network.run(5)
    assert len(alice.of(said.OfferWanted)) == 1
    assert alice.of(said.Modified) == [said.Modified("INVITE", True)]
    assert alice.agreed == bob.agreed


def test_a_change_too_large_for_a_datagram_goes_by_the_stream(clean):
    network, alice, bob = clean
    connect(clean)
    alice.layer._streams = True
    alice.offer = lambda: b"x" * 1400
    alice.tell_move(soft=True)
    network.run(5)
    assert {i.via.transport for i in network.sent("INVITE", alice)} == {"UDP", "TCP"}
    assert alice.of(said.Modified) == [said.Modified("INVITE", True)] and bob.up
    assert {a.via.transport for a in network.sent("ACK", alice)} == {"UDP"}


def test_a_hang_up_on_a_dead_flow_goes_by_the_next(trio):
    network, alice, bob = trio
    connect(trio)
    network.run(5)
    alice.leave()
    alice.hang_up()
    network.run(2)
    assert bob.up
    alice.arrive(fresh())
    alice.tell_move()
    network.run(200)
    assert bob.ended and not alice.sessions.all() and not bob.sessions.all()
    assert not [i for i in network.sent("INVITE", alice) if i.to.tag]


@pytest.mark.parametrize("mover", ["alice", "bob"])
def test_a_move_while_the_peers_offer_waits_for_our_user(trio, mover):
    """What was offered stays offered: its answer goes out from the new address, then comes the move's offer."""
    network, alice, bob = trio
    connect(trio)
    network.run(5)
    end, other = (alice, bob) if mover == "alice" else (bob, alice)
    end.offers_answered = False
    other.reinvite()
    network.until(lambda: bool(end.offered), 40)
    end.move(fresh())
    network.run(1)
    end.offers_answered = True
    end.call.answer_offer(end.answer(end.offered), network.now)
    end.drain()
    agree(trio, moved=end)
    assert end.of(said.Modified) == [said.Modified("INVITE", True)] and len(other.of(said.Modified)) == 1
    hang_up(trio, other)


def test_an_answer_that_crosses_the_cancel_of_a_caller_that_moves_ends_in_a_bye():
    trio = network, alice, bob = make("proxied", "clean")
    alice.dial("bob")
    network.run(3)
    alice.move(fresh(), soft=True)
    network.run(3)
    alice.hang_up()
    network.run(0.03)
    alice.move(fresh())
    bob.accept()
    network.run(200)
    assert alice.ended and bob.ended, trio
    assert network.sent("BYE", alice)
