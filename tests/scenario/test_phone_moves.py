"""Whole phones in virtual time: moves of a call that is up, as their users notice them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from segue.call import events as say
from segue.mobility.observation import AddressFact, LinkFact
from segue.protocols.rtp.packet import parse_rtp
from segue.testing.phones import PERIOD, Street, TestPhone, phone_config

WAYS = [("TLS", "sdes", 4), ("UDP", "none", 4), ("TLS", "sdes", 6), ("UDP", "none", 6)]
RTT = 0.04  # of the street, unless a test says otherwise
PLAYOUT = 0.2  # what the playout may add to a gap when it waits for what is late, with room

# The three ways in which a network goes away.
BREAKS: list[Callable[[TestPhone, str], None]] = [
    TestPhone.leave,
    TestPhone.lose_address,
    TestPhone.lose_interface,
]


def street(transport: str = "TLS", keying: str = "sdes", **options: Any) -> Street:
    return Street(
        phone_config("alice", keying=keying),
        phone_config("bob", keying=keying),
        transport=transport,
        **options,
    )


def new_address(family: int, number: int = 1) -> str:
    return f"198.51.100.{number}" if family == 4 else f"2001:db8:1::{number}"


def keys(phone: TestPhone) -> object:
    return phone.call.media.session.exchanged_keys


def well(s: Street, seconds: float = 1.0) -> bool:
    """Both are up and hear every frame of the last `seconds`."""
    since = s.now - seconds
    return all(p.is_up and p.heard_between(since, s.now) and p.silence(since, s.now) == 0 for p in s.phones)


def sent_from(phone: TestPhone, interface: str, since: float) -> list[float]:
    return [m.at for m in phone.sent_media if m.at >= since and m.port.interface == interface]


@pytest.mark.parametrize("mover", [0, 1], ids=["caller moves", "callee moves"])
@pytest.mark.parametrize("cut", BREAKS)
@pytest.mark.parametrize(("transport", "keying", "family"), WAYS)
def test_hard_move(
    mover: int, cut: Callable[[TestPhone, str], None], transport: str, keying: str, family: int
) -> None:
    s = street(transport, keying)
    s.meet(family=family)
    mn, cn = s.phones[mover], s.phones[1 - mover]
    before = keys(mn), keys(cn)
    lost_at = s.now
    cut(mn, "wlan0")
    s.run(0.05)
    back_at = s.now
    mn.join("wwan0", new_address(family), 200)
    s.run(3)
    # Uplink: no round trip is waited for.
    assert sent_from(mn, "wwan0", back_at)[0] <= back_at + PERIOD
    assert cn.silence(lost_at, s.now) <= 0.05 + PLAYOUT
    # Downlink: the connection, then the peer hears where to send.
    connect = 4 * 0.02 if transport == "TLS" else 0.0
    assert mn.silence(lost_at, s.now) <= 0.05 + connect + RTT + PLAYOUT
    (ended,) = mn.said(say.MoveEnded)
    assert ended.ok and ended.took == pytest.approx(connect + RTT, abs=0.005)
    assert [e.address.rpartition(":")[0].strip("[]") for e in cn.said(say.PeerMoved)] == [new_address(family)]
    assert (keys(mn), keys(cn)) == before
    assert well(s)
    s.run(6)
    assert [p.interface for p in mn.ports.open_ports] == ["wwan0"], "the old port is closed"


@pytest.mark.parametrize("mover", [0, 1], ids=["caller moves", "callee moves"])
@pytest.mark.parametrize("why", ["preferred", "weak"])
@pytest.mark.parametrize(("transport", "keying", "family"), WAYS)
def test_soft_move_is_not_heard(mover: int, why: str, transport: str, keying: str, family: int) -> None:
    s = street(transport, keying)
    s.meet(family=family)
    mn, cn = s.phones[mover], s.phones[1 - mover]
    before = keys(mn), keys(cn)
    begun = s.now
    mn.join("wwan0", new_address(family), 50 if why == "preferred" else 200)
    if why == "weak":
        s.run(1)
        assert not mn.said(say.MoveBegun), "a network that is no better is no reason to move"
        mn.signal("wlan0", -80)
    s.run(2)
    (ended,) = mn.said(say.MoveEnded)
    assert ended.ok and mn.said(say.MoveBegun)[0].kind == "soft"
    assert mn.silence(begun, s.now) == cn.silence(begun, s.now) == 0
    mn.leave("wlan0")
    s.run(2)
    assert len(mn.said(say.MoveBegun)) == 1
    assert mn.silence(begun, s.now) == cn.silence(begun, s.now) == 0
    assert (keys(mn), keys(cn)) == before
    assert well(s)


@pytest.mark.parametrize("mover", [0, 1], ids=["caller moves", "callee moves"])
@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize(("loss", "jitter"), [(0.05, 0.02), (0.2, 0.06)])
@pytest.mark.parametrize(("transport", "keying"), [("TLS", "sdes"), ("UDP", "none")])
def test_moves_over_bad_networks(
    mover: int, soft: bool, loss: float, jitter: float, transport: str, keying: str
) -> None:
    s = street(transport, keying, loss=loss, jitter=jitter, seed=mover + 3)
    s.meet(answer=False)
    s.run(8, until=lambda: bool(s.phones[1].agent.calls))
    s.answer(settle=8)
    mn, cn = s.phones[mover], s.phones[1 - mover]
    for turn in range(3):
        if soft:
            mn.join(f"wwan{turn}", f"198.51.100.{turn + 1}", 50 - turn)
            s.run(3)
        else:
            mn.lose_interface("wlan0" if turn == 0 else f"wwan{turn - 1}")
            s.run(0.05)
            mn.join(f"wwan{turn}", f"198.51.100.{turn + 1}", 200)
            s.run(5)
    s.run(5)
    assert [e.ok for e in mn.said(say.MoveEnded)] == [True] * 3
    assert len(cn.said(say.PeerMoved)) == 3
    # Of five packets one is lost, and of the requests for them: no word is left out, and some are waited for.
    longest = 0.5 if loss < 0.1 else 1.0
    assert all(p.is_up and p.silence(s.now - 3, s.now) < longest for p in s.phones)


@pytest.mark.parametrize("mover", [0, 1], ids=["caller moves", "callee moves"])
@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("holder", [0, 1])
def test_a_held_call_stays_held(mover: int, soft: bool, holder: int) -> None:
    s = street()
    s.meet()
    mn, holding, held = s.phones[mover], s.phones[holder], s.phones[1 - holder]
    holding.agent.hold(holding.call.id, s.now)
    s.run(1)
    for phone in s.phones:
        phone.events.clear()
    if not soft:
        mn.leave("wlan0")
        s.run(0.05)
    mn.join("wwan0", "198.51.100.1", 50 if soft else 200)
    s.run(3)
    assert mn.said(say.MoveEnded)[0].ok
    assert not holding.said(say.HoldChanged) and not held.said(say.HoldChanged)
    assert not holding.hears() and not held.hears(), "who holds is not heard, and hears nothing"
    holding.agent.resume(holding.call.id, s.now)
    s.run(3)
    assert well(s)


@pytest.mark.parametrize("mover", [0, 1], ids=["caller moves", "callee moves"])
@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("wait", [0.0, 0.01, 0.025, 0.045])
@pytest.mark.parametrize("holder", [0, 1])
def test_a_move_while_a_hold_is_under_way(mover: int, soft: bool, wait: float, holder: int) -> None:
    """At any moment of the re-INVITE of either end: both wishes come true."""
    s = street()
    s.meet()
    mn, holding, held = s.phones[mover], s.phones[holder], s.phones[1 - holder]
    if soft:
        mn.join("wwan0", "198.51.100.1", 50)
        s.run(0.1 + 0.08 - wait)
    holding.agent.hold(holding.call.id, s.now)
    s.run(wait)
    if not soft:
        mn.leave("wlan0")
        mn.join("wwan0", "198.51.100.1", 200)
    s.run(14)
    assert mn.said(say.MoveEnded)[-1].ok
    assert holding.is_up and held.is_up
    assert holding.said(say.HoldChanged)[-1].held_by == "us"
    assert held.said(say.HoldChanged)[-1].held_by == "peer"
    assert not held.hears() and s.now - held.call.media.session.heard_at < 0.2, "silence still arrives"
    holding.agent.resume(holding.call.id, s.now)
    s.run(3)
    assert well(s)


@pytest.mark.parametrize("mover", [0, 1], ids=["caller moves", "callee moves"])
@pytest.mark.parametrize(("transport", "keying"), [("TLS", "sdes"), ("UDP", "none")])
@pytest.mark.parametrize("soft", [False, True])
def test_thirty_moves_in_a_row_leave_nothing_behind(
    mover: int, transport: str, keying: str, soft: bool
) -> None:
    """Keys, sequence numbers and rollover counters go on through the wrap; nothing grows."""
    s = Street(
        phone_config("alice", keying=keying, sequence=65000),
        phone_config("bob", keying=keying, sequence=65000),
        transport=transport,
    )
    s.meet()
    mn, cn = s.phones[mover], s.phones[1 - mover]
    before = keys(mn), keys(cn)
    here = "wlan0"
    for turn in range(30):
        there = f"net{turn}"
        began = s.now
        if not soft:
            mn.lose_interface(here)
            s.run(0.05)
        mn.join(there, f"198.51.100.{turn + 1}", 90 - turn if soft else 200)
        s.run(2.6)
        if soft:
            assert mn.silence(began, s.now) == cn.silence(began, s.now) == 0
            mn.lose_interface(here)
        s.run(0.4)
        here = there
        assert len(mn.ports.open_ports) <= 2 and len(cn.ports.open_ports) == 1, turn
        assert len(mn.flows) <= 2 and len(mn.agent.flows.origins()) == 1
        assert len(mn.agent.layer) <= 24 and len(cn.agent.layer) <= 24
        assert len(mn.call.media.paths.ports) <= 2
    assert [e.ok for e in mn.said(say.MoveEnded)] == [True] * 30
    assert well(s)
    assert (keys(mn), keys(cn)) == before
    for phone in s.phones:
        first_copies = dict.fromkeys(m.packet for m in phone.sent_media)
        numbers = [parse_rtp(packet).sequence for packet in first_copies]
        # What an outage held up leaves after it.
        assert sorted((number - 65000) % 65536 for number in numbers) == list(range(len(numbers)))
        assert len(numbers) > 1000, "past the wrap"
        assert len({parse_rtp(m.packet).ssrc for m in phone.sent_media}) == 1
    s.run(40)
    assert len(mn.ports.open_ports) == 1
    assert len(mn.agent.layer) == len(cn.agent.layer) == 0


@pytest.mark.parametrize("mover", [0, 1], ids=["caller moves", "callee moves"])
@pytest.mark.parametrize(("transport", "keying"), [("TLS", "sdes"), ("UDP", "none")])
@pytest.mark.parametrize("pause", [0.025, 0.035, 0.06, 0.11])
def test_ten_moves_faster_than_the_answers(mover: int, transport: str, keying: str, pause: float) -> None:
    """The peer hears of each move, and its 200 goes to where we are no more: no ACK of ours ever comes for it."""
    s = street(transport, keying)
    s.meet()
    mn, cn = s.phones[mover], s.phones[1 - mover]
    for turn in range(10):
        mn.lose_interface("wlan0" if turn == 0 else f"wwan{turn - 1}")
        mn.join(f"wwan{turn}", f"198.51.100.{turn + 1}", 200)
        s.run(pause)
    s.run(1.5)
    assert mn.said(say.MoveEnded)[-1].ok and mn.said(say.MoveEnded)[-1].target.startswith("wwan9 ")
    assert well(s, 0.5)
    assert [p.interface for p in mn.ports.open_ports][-1] == "wwan9"
    s.run(40)
    assert well(s)
    assert len(mn.agent.layer) == len(cn.agent.layer) == 0


def test_ipv4_to_ipv6_and_back_in_one_call() -> None:
    for mover in (0, 1):
        s = street()
        s.meet()
        mn, cn = s.phones[mover], s.phones[1 - mover]
        before = keys(mn), keys(cn)
        cn.fact(AddressFact("wlan0", f"2001:db8::{2 - mover}", True))
        cn.join("wlan0", f"2001:db8::{2 - mover}", 300)
        for address in ("2001:db8:1::7", "198.51.100.7"):
            lost = s.now
            mn.lose_address("wlan0")
            s.run(0.05)
            mn.join("wlan0", address, 100)
            s.run(3)
            assert mn.said(say.MoveEnded)[-1].ok
            assert cn.said(say.PeerMoved)[-1].address.strip("[").startswith(address)
            assert max(mn.silence(lost, s.now), cn.silence(lost, s.now)) <= 0.05 + 0.08 + 2 * RTT + PLAYOUT
            assert well(s)
        assert (keys(mn), keys(cn)) == before


@pytest.mark.parametrize("away", [0.05, 0.9, 5.0])
@pytest.mark.parametrize("mover", [0, 1], ids=["caller moves", "callee moves"])
def test_the_cable_pulled_and_plugged_in_again(away: float, mover: int) -> None:
    """Same interface, same address: the doubt of a second passes, and all is as before."""
    s = street()
    s.meet()
    mn = s.phones[mover]
    before = keys(mn)
    mn.leave("wlan0")
    s.run(away)
    mn.fact(LinkFact("wlan0", True))
    s.run(4)
    assert well(s)
    assert keys(mn) == before
    assert mn.said(say.MoveEnded)[-1].ok
    s.run(6)
    assert len(mn.ports.open_ports) == 1


@pytest.mark.parametrize("mover", [0, 1], ids=["caller moves", "callee moves"])
def test_offline_for_ten_seconds(mover: int) -> None:
    s = street()
    s.meet()
    mn = s.phones[mover]
    mn.lose_interface("wlan0")
    s.run(10)
    assert all(p.is_up for p in s.phones)
    back = s.now
    mn.join("wlan0", "198.51.100.9")
    s.run(4)
    assert sent_from(mn, "wlan0", back)[0] <= back + PERIOD
    assert well(s)


@pytest.mark.parametrize(("transport", "keying"), [("TLS", "sdes"), ("UDP", "none")])
@pytest.mark.parametrize("soft", [(False, False), (True, True), (True, False), (False, True)])
@pytest.mark.parametrize("apart", [0.0, 0.03, 0.1, 0.15])
def test_both_ends_move_at_once(transport: str, keying: str, soft: tuple[bool, bool], apart: float) -> None:
    s = street(transport, keying)
    s.meet()
    began = s.now
    for number, (phone, softly) in enumerate(zip(s.phones, soft, strict=True)):
        s.run(apart * number)
        if not softly:
            phone.leave("wlan0")
        phone.join("wwan0", f"198.51.100.{number + 1}", 50 if softly else 200)
    later = s.now
    s.run(20)
    for phone in s.phones:
        assert phone.silence(began, later + 1) <= (0.3 if not all(soft) else 0)
        assert phone.silence(later + 0.4, s.now) == 0
    assert all(p.said(say.MoveEnded)[-1].ok for p in s.phones)
    assert well(s)
    for number, phone in enumerate(s.phones):
        other = s.other(phone)
        assert other.call.media.paths.active is not None
        assert other.call.media.paths.active.remote.host == f"198.51.100.{number + 1}"


@pytest.mark.parametrize("mover", [0, 1], ids=["caller moves", "callee moves"])
@pytest.mark.parametrize("soft", [False, True])
def test_what_the_peer_does_after_the_move_reaches_us(mover: int, soft: bool) -> None:
    s = street()
    s.meet()
    mn, cn = s.phones[mover], s.phones[1 - mover]
    if not soft:
        mn.leave("wlan0")
    mn.join("wwan0", "198.51.100.1", 50 if soft else 200)
    s.run(2)
    cn.agent.hold(cn.call.id, s.now)
    s.run(1)
    assert mn.said(say.HoldChanged)[-1].held_by == "peer"
    cn.agent.resume(cn.call.id, s.now)
    s.run(1)
    assert mn.said(say.HoldChanged)[-1].held_by == ""
    assert well(s, 0.4)
    cn.agent.hang_up(cn.call.id, s.now)
    s.run(1)
    assert mn.said(say.Ended)[-1].by == "peer"
    s.run(40)
    assert all(not p.agent.calls and not p.ports.open_ports for p in s.phones)


@pytest.mark.parametrize("mover", [0, 1], ids=["caller moves", "callee moves"])
@pytest.mark.parametrize("transport", ["TLS", "UDP"])
@pytest.mark.parametrize("soft", [False, True])
def test_phones_that_register_tell_the_peer_before_the_server(mover: int, transport: str, soft: bool) -> None:
    keying = "sdes" if transport == "TLS" else "none"
    s = Street(
        phone_config("alice", keying=keying, register=True),
        phone_config("bob", keying=keying, register=True),
        transport=transport,
    )
    s.meet()
    mn, cn = s.phones[mover], s.phones[1 - mover]
    for turn in range(3):
        began = s.now
        if not soft:
            mn.lose_interface("wlan0" if turn == 0 else f"wwan{turn - 1}")
        mn.join(f"wwan{turn}", f"198.51.100.{turn + 1}", 90 - turn if soft else 200)
        s.run(3)
        sent = [m.start.split()[0] for m in s.messages if m.at >= began and m.sender == mn.name]
        if not soft:  # a soft move has registered before it is decided
            assert sent.index("INVITE") < sent.index("REGISTER")
        assert "REGISTER" in sent
        assert mn.said(say.MoveEnded)[-1].ok and mn.said(say.Registered)[-1].interface == f"wwan{turn}"
        assert well(s)
    invites = [m.octets for m in s.messages if m.start.startswith("INVITE") and m.sender == mn.name]
    assert all(b";gr=" in octets.partition(b"Contact:")[2].partition(b"\r\n")[0] for octets in invites)
    cn.agent.hang_up(cn.call.id, s.now)
    s.run(1)
    assert mn.said(say.Ended)[-1].by == "peer"


@pytest.mark.parametrize("mover", [0, 1], ids=["caller moves", "callee moves"])
@pytest.mark.parametrize("holder", [0, 1])
def test_moves_of_a_held_call_close_their_ports_although_nothing_flows(mover: int, holder: int) -> None:
    s = street()
    s.meet()
    mn = s.phones[mover]
    for phone in (s.phones[holder], s.other(s.phones[holder])):
        phone.agent.hold(phone.call.id, s.now)
        s.run(1)
    for turn in range(10):
        mn.lose_interface("wlan0" if turn == 0 else f"wwan{turn - 1}")
        mn.join(f"wwan{turn}", f"198.51.100.{turn + 1}", 200)
        s.run(1.5)
        assert len(mn.ports.open_ports) <= 4
    s.run(12)
    assert [p.interface for p in mn.ports.open_ports] == ["wwan9"]
    for phone in s.phones:
        phone.agent.resume(phone.call.id, s.now)
        s.run(3)
    assert well(s)


@pytest.mark.parametrize("mover", [0, 1], ids=["caller moves", "callee moves"])
def test_digits_pressed_during_a_move_arrive(mover: int) -> None:
    s = street()
    s.meet()
    mn, cn = s.phones[mover], s.phones[1 - mover]
    mn.agent.press(mn.call.id, "12345")
    cn.agent.press(cn.call.id, "67890")
    s.run(0.2)
    mn.join("wwan0", "198.51.100.1", 50)
    s.run(3)
    assert "".join(e.digit for e in cn.said(say.Digit)) == "12345"
    assert "".join(e.digit for e in mn.said(say.Digit)) == "67890"
