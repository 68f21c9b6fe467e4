"""Session timers (RFC 4028) of calls in virtual time: refreshed in either role, ended when not, and met by moves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from segue.base.address import Address
from segue.call import events as say
from segue.protocols.sip import session_events as said
from segue.protocols.sip.parser import parse_message
from segue.protocols.sip.session_core import SessionOptions
from segue.testing.phones import Street, TestPhone, phone_config
from segue.testing.sip_ends import Relay, SipEnd, SipWire

ALICE, BOB, PROXY = Address("192.0.2.1", 5060), Address("198.51.100.2", 5060), Address("203.0.113.1", 5060)
PLAIN = SessionOptions()
Trio = tuple[SipWire, SipEnd, SipEnd]


def knows(interval: int = 1800, **more: Any) -> SessionOptions:
    return replace(PLAIN, supported=(*PLAIN.supported, "timer"), session_interval=interval, **more)


def without_update(options: SessionOptions) -> SessionOptions:
    return replace(options, methods=tuple(m for m in options.methods if m != "UPDATE"))


def up(
    caller: SessionOptions, callee: SessionOptions, *, relayed: bool = False, transport: str = "TCP"
) -> Trio:
    wire = SipWire("timers", transport=transport)
    relay = Relay(wire, PROXY) if relayed else None
    alice = SipEnd(wire, "alice", ALICE, PROXY if relayed else BOB, relay=relay)
    bob = SipEnd(wire, "bob", BOB, PROXY if relayed else ALICE, relay=relay)
    alice.options, bob.options = caller, callee
    bob.invited = "accept"
    alice.dial("bob")
    wire.until(lambda: alice.up and bob.up, 10)
    return wire, alice, bob


def sent(wire: SipWire, end: SipEnd, method: str) -> int:
    return len({r.cseq.number for r in wire.sent(method, end) if r.to.tag})


@pytest.mark.parametrize(
    ("caller", "callee", "refresher"),
    [(knows(), knows(), "bob"), (knows(), PLAIN, "alice"), (knows(0), knows(), "bob"), (PLAIN, knows(), "")],
    ids=["both know", "callee does not", "caller asks for none", "caller does not"],
)
def test_who_refreshes_and_how_often(caller: SessionOptions, callee: SessionOptions, refresher: str) -> None:
    wire, alice, bob = up(caller, callee)
    wire.run(3650)
    counts = {end.name: sent(wire, end, "UPDATE") for end in (alice, bob)}
    assert counts == {name: 4 if name == refresher else 0 for name in ("alice", "bob")}
    assert alice.up and bob.up and not wire.sent("BYE")


@pytest.mark.parametrize("who", ["alice", "bob"])
def test_a_peer_that_takes_no_update_is_refreshed_by_a_reinvite_with_an_offer(who: str) -> None:
    options = {"alice": knows(0), "bob": knows(0), who: knows()}
    wire, alice, bob = up(*(without_update(o) for o in options.values()))
    wire.run(1000)
    assert sum(sent(wire, end, "INVITE") for end in (alice, bob)) == 1 and not wire.sent("UPDATE")
    assert all(r.body for r in wire.sent("INVITE") if r.to.tag)
    assert alice.agreed == bob.agreed and alice.up and bob.up


def test_any_change_refreshes() -> None:
    wire, alice, bob = up(knows(), knows())
    for _ in range(5):
        wire.run(800)
        alice.reinvite()
    wire.run(10)
    assert sent(wire, bob, "UPDATE") == 0 and alice.up and bob.up
    assert all(
        r.headers.get("Session-Expires") == "1800;refresher=uas" for r in wire.sent("INVITE", alice)[1:]
    )


@pytest.mark.parametrize(("refresher", "after"), [("gone", 1768.0), ("here", 900.0)])
def test_a_session_that_is_not_refreshed_ends_with_a_reason(refresher: str, after: float) -> None:
    """Bob refreshes. Whoever is left hears nothing more of the other, and says BYE in time, or when its refresh
    gets no answer."""
    wire, alice, bob = up(knows(), knows(), transport="UDP")
    begun, gone, left = wire.now, *((bob, alice) if refresher == "gone" else (alice, bob))
    gone.leave()
    wire.until(lambda: left.ended, 4000)
    assert after - 1 < wire.now - begun < after + 40
    (ended,) = left.of(said.Ended)
    assert ended.status == 408 and ended.by is said.By.NETWORK
    bye = wire.sent("BYE", left)[0]
    if refresher == "gone":
        assert bye.headers.get("Reason") == 'SIP;cause=408;text="Session timer expired"'


def test_an_interval_that_is_too_short_is_asked_for_again() -> None:
    wire, alice, bob = up(knows(60), knows())
    assert bob.up and 422 not in wire.answered("INVITE"), "we never ask for less than 90 s"
    wire, alice, bob = up(replace(knows(), session_interval=0), knows())
    request = wire.sent("INVITE", alice)[0]
    request.headers.set("Session-Expires", "30")
    assert alice.up and bob.call.timer.objection(request) == 90


@pytest.mark.parametrize("apart", [0.0, 0.01, 0.03])
@pytest.mark.parametrize("mover", ["alice", "bob"])
@pytest.mark.parametrize("soft", [True, False])
@pytest.mark.parametrize("update", [True, False], ids=["UPDATE", "re-INVITE"])
def test_a_refresh_that_crosses_a_move(apart: float, mover: str, soft: bool, update: bool) -> None:
    """Whoever moves just before or after a refresh: both agree on where it is now, without waiting."""
    options = knows() if update else without_update(knows())
    wire, alice, bob = up(options, options, relayed=True)
    end = alice if mover == "alice" else bob
    keeper = bob if update else alice
    due = keeper.call.timer.refresh_at
    assert due is not None
    for number, early in enumerate((True, False)):
        wire.run(due - wire.now - (apart if early else -apart))
        end.move(Address(f"10.0.0.{number + 2}", 5060), soft=soft)
        start = wire.now
        wire.until(
            lambda end=end, n=number: len(end.of(said.Modified)) > n and alice.agreed == bob.agreed, 10
        )
        assert wire.now - start < 1.0
        wire.run(5)
        assert alice.up and bob.up and alice.agreed == bob.agreed
        assert str(end.address).encode() in alice.agreed
        due = keeper.call.timer.refresh_at
        assert due is not None, "it still refreshes"
    wire.run(4000)
    assert alice.up and bob.up and not wire.sent("BYE")


def street(
    alter: Callable[[str, bytes], bytes] | None = None, interval: int = 90, ice: bool = True
) -> Street:
    configs = [phone_config(name, ice=ice) for name in ("alice", "bob")]
    first, second = (replace(c, account=replace(c.account, session_interval=interval)) for c in configs)
    s = Street(first, second)
    s.alter = alter
    s.meet()
    return s


def no_update(_: str, octets: bytes) -> bytes:
    """Neither phone hears that the other takes UPDATE."""
    return octets.replace(b"PRACK, UPDATE", b"PRACK")


def versions(s: Street, phone: TestPhone) -> list[bytes]:
    """The `o=` lines it has sent."""
    bodies = [parse_message(m.octets).body for m in s.messages if m.sender == phone.name]
    return [line for body in bodies for line in body.split(b"\r\n") if line.startswith(b"o=")]


def test_phones_of_ours_refresh_and_talk_on() -> None:
    s = street()
    s.run(100)
    updates = [m for m in s.messages if m.start.startswith("UPDATE")]
    assert len(updates) == 2 and all(m.sender == "second" for m in updates)
    assert all(not parse_message(m.octets).body for m in updates)
    assert all(p.is_up and p.silence(s.now - 95, s.now) == 0 for p in s.phones)


def test_a_refresh_by_reinvite_is_not_heard_and_says_that_nothing_has_changed() -> None:
    s = street(no_update, ice=False)  # with it the offer names the path that has been selected since
    s.run(50)
    invites = [m for m in s.messages if m.start.startswith("INVITE")]
    assert len(invites) == 2 and all(m.sender == "first" for m in invites)
    for phone in s.phones:
        assert len(set(versions(s, phone))) == 1 and phone.silence(s.now - 45, s.now) == 0
        assert not phone.said(say.PeerMoved) and not phone.said(say.HoldChanged)


@pytest.mark.parametrize("mover", [0, 1])
@pytest.mark.parametrize("soft", [True, False])
@pytest.mark.parametrize("offset", [-0.03, 0.02])
@pytest.mark.parametrize("update", [True, False], ids=["UPDATE", "re-INVITE"])
def test_a_refresh_at_the_moment_of_a_move_never_puts_the_old_address_back(
    mover: int, soft: bool, offset: float, update: bool
) -> None:
    s = street(None if update else no_update)
    refreshing = s.phones[1 if update else 0].call.session
    assert refreshing.timer.refresh_at is not None
    mn, cn = s.phones[mover], s.phones[1 - mover]
    s.run(refreshing.timer.refresh_at + offset - s.now)
    began = s.now
    if not soft:
        mn.leave("wlan0")
    mn.join("wwan0", "198.51.100.1", 50 if soft else 200)
    s.run(3)
    assert mn.said(say.MoveEnded)[-1].ok
    assert [e.address.partition(":")[0] for e in cn.said(say.PeerMoved)] == ["198.51.100.1"], "once"
    after = [m.remote.host for m in cn.sent_media if m.at > began + 1.5]  # soft: both ways for a while
    assert set(after) == {"198.51.100.1"}
    assert all(p.is_up and p.silence(began + 0.6, s.now) == 0 for p in s.phones)
    assert all(p.call.session.timer.interval == 90 for p in s.phones)
