"""Whole phones in virtual time: calls as their users notice them, without moves."""

from __future__ import annotations

from typing import Any

import pytest

from segue.call import events as say
from segue.call.call import CallState
from segue.testing.phones import AUDIBLE, Street, TestPhone, phone_config

WAYS = [("TLS", "sdes", 4), ("TLS", "none", 6), ("UDP", "none", 4), ("TLS", "sdes", 6), ("UDP", "none", 6)]


def street(transport: str = "TLS", keying: str = "sdes", **options: Any) -> Street:
    return Street(
        phone_config("alice", keying=keying),
        phone_config("bob", keying=keying),
        transport=transport,
        **options,
    )


def ended(phone: TestPhone) -> say.Ended:
    """The one last word about the one call."""
    events = [event for event in phone.events if isinstance(event, say.Ended)]
    assert len(events) == 1
    return events[0]


def nothing_left(s: Street) -> bool:
    """No call, port or transaction outlives what has ended, once the standards' timers are over."""
    s.run(40)
    return all(not p.agent.calls and not p.ports.open_ports and not len(p.agent.layer) for p in s.phones)


@pytest.mark.parametrize(("transport", "keying", "family"), WAYS)
def test_both_hear_each_other_until_one_hangs_up(transport: str, keying: str, family: int) -> None:
    s = street(transport, keying)
    a, b = s.phones
    s.meet(family=family)
    assert a.is_up and b.is_up and a.hears() and b.hears()
    (up,) = a.said(say.Up)
    assert up.codec == "PCMA" and bool(up.suite) == (keying == "sdes")
    assert min(a.heard_between(s.now - 0.5, s.now)) > AUDIBLE
    a.agent.hang_up(a.call.id, s.now)
    s.run(1)
    assert (ended(a).by, ended(b).by) == ("us", "peer")
    assert nothing_left(s)


@pytest.mark.parametrize(("transport", "keying", "family"), WAYS[:3])
@pytest.mark.parametrize("seed", [1, 2])
def test_a_call_over_a_bad_network(transport: str, keying: str, family: int, seed: int) -> None:
    s = street(transport, keying, loss=0.15, jitter=0.04, seed=seed)
    a, b = s.phones
    s.meet(family=family, answer=False)
    s.run(8, until=lambda: bool(b.agent.calls))
    s.answer(settle=8)
    assert len(b.said(say.IncomingCall)) == 1
    assert a.is_up and b.is_up
    for phone in s.phones:
        assert phone.silence(s.now - 4, s.now) < 0.3
    b.agent.hang_up(b.call.id, s.now)
    s.run(35)
    assert (ended(a).by, ended(b).by) == ("peer", "us")


def test_hanging_up_while_it_rings_cancels() -> None:
    s = street()
    a, b = s.phones
    s.meet(answer=False)
    assert a.said(say.Ringing)
    a.agent.hang_up(a.call.id, s.now)
    s.run(1)
    assert ended(a).by == "us" and ended(b).by == "peer"
    assert nothing_left(s)


def test_hanging_up_before_the_network_has_said_anything() -> None:
    s = street(delay=0.1)
    a, b = s.phones
    for number, phone in enumerate(s.phones, 1):
        phone.join("wlan0", f"192.0.2.{number}")
    s.run(1)
    a.agent.call("bob", s.now)
    s.run(0.05)
    a.agent.hang_up(a.call.id, s.now)
    s.run(2)
    assert ended(a).by == "us" and ended(b).by == "peer"
    assert nothing_left(s)


def test_hanging_up_as_the_other_answers() -> None:
    s = street(delay=0.1)
    a, b = s.phones
    s.meet(answer=False)
    b.agent.answer(b.call.id, s.now)
    a.agent.hang_up(a.call.id, s.now)
    s.run(3)
    assert len(a.said(say.Ended)) == len(b.said(say.Ended)) == 1
    assert not a.agent.calls and not b.agent.calls


def test_both_hang_up_at_once() -> None:
    s = street(delay=0.1)
    a, b = s.phones
    s.meet()
    a.agent.hang_up(a.call.id, s.now)
    b.agent.hang_up(b.call.id, s.now)
    s.run(3)
    assert len(a.said(say.Ended)) == len(b.said(say.Ended)) == 1
    assert nothing_left(s)


@pytest.mark.parametrize(("status", "reason"), [(486, "busy"), (603, "declined"), (480, "not reachable now")])
def test_the_caller_hears_why_it_was_refused(status: int, reason: str) -> None:
    s = street()
    a, b = s.phones
    s.meet(answer=False)
    b.agent.reject(b.call.id, status, s.now)
    s.run(1)
    assert ended(a).by == "peer" and ended(a).status == status and reason in ended(a).reason
    assert ended(b).by == "us"
    assert nothing_left(s)


def test_no_common_codec_is_refused_without_ringing() -> None:
    s = Street(phone_config("alice", codecs=("G722",)), phone_config("bob", codecs=("PCMA",)))
    a, b = s.phones
    s.meet(answer=False)
    assert ended(a).by == "peer" and ended(a).status == 488
    assert "codec" in ended(a).reason and "\n" not in ended(a).reason
    assert not b.events
    assert nothing_left(s)


@pytest.mark.parametrize(("alice", "bob"), [("none", "sdes"), ("sdes", "none")])
def test_no_call_in_the_clear_with_a_phone_that_demands_encryption(alice: str, bob: str) -> None:
    s = Street(phone_config("alice", keying=alice), phone_config("bob", keying=bob))
    a, b = s.phones
    s.meet(answer=False)
    assert ended(a).status == 488 and "encryption" in ended(a).reason
    assert not b.events and not a.sent_media and not b.sent_media


def test_keys_never_leave_over_an_open_connection() -> None:
    s = street("UDP", "sdes")
    a, b = s.phones
    s.meet(answer=False)
    assert ended(a).by == "us" and "--keying none" in ended(a).reason
    assert not b.events and not s.messages


def test_a_call_with_keys_over_an_open_connection_is_refused() -> None:
    s = Street(phone_config("alice", keying="none"), phone_config("bob"), transport="UDP")
    a, b = s.phones
    s.meet(answer=False)
    assert ended(a).status == 488 and not b.events


def test_nothing_heard_for_30_s_ends_the_call_with_a_reason() -> None:
    s = street()
    a, b = s.phones
    s.meet()
    s.muted |= {"first", "second"}
    cut = s.now
    s.run(29)
    assert a.is_up and b.is_up
    s.run(3)
    assert {"network"} <= {ended(a).by, ended(b).by} <= {"network", "peer"}
    assert any("nothing was heard for 30 s" in ended(p).reason for p in s.phones)
    assert any(b"Reason: SIP;cause=408" in m.octets for m in s.messages if m.at > cut)
    assert nothing_left(s)


@pytest.mark.parametrize("holder", [0, 1])
def test_a_held_call_may_be_silent_for_as_long_as_it_likes(holder: int) -> None:
    s = street()
    holding, held = s.phones[holder], s.phones[1 - holder]
    s.meet()
    holding.agent.hold(holding.call.id, s.now)
    s.run(1)
    assert [e.held_by for e in holding.said(say.HoldChanged)] == ["us"]
    assert [e.held_by for e in held.said(say.HoldChanged)] == ["peer"]
    s.run(90)
    assert holding.is_up and held.is_up
    assert not holding.hears() and not held.hears(), "who holds does not hear the other, nor is he heard"
    holding.agent.resume(holding.call.id, s.now)
    s.run(3)
    assert holding.said(say.HoldChanged)[-1].held_by == held.said(say.HoldChanged)[-1].held_by == ""
    assert holding.hears() and held.hears()


def test_both_hold_and_resume() -> None:
    s = street()
    a, b = s.phones
    s.meet()
    a.agent.hold(a.call.id, s.now)
    s.run(1)
    b.agent.hold(b.call.id, s.now)
    s.run(1)
    assert a.said(say.HoldChanged)[-1].held_by == b.said(say.HoldChanged)[-1].held_by == "both"
    a.agent.resume(a.call.id, s.now)
    s.run(1)
    assert a.said(say.HoldChanged)[-1].held_by == "peer" and b.said(say.HoldChanged)[-1].held_by == "us"
    b.agent.resume(b.call.id, s.now)
    s.run(2)
    assert a.hears() and b.hears()


def test_both_hold_at_the_same_moment() -> None:
    s = street(delay=0.1)
    a, b = s.phones
    s.meet()
    a.agent.hold(a.call.id, s.now)
    b.agent.hold(b.call.id, s.now)
    s.run(12)
    assert a.is_up and b.is_up
    assert a.said(say.HoldChanged)[-1].held_by == b.said(say.HoldChanged)[-1].held_by == "both"


@pytest.mark.parametrize(("keying", "loss"), [("sdes", 0.0), ("none", 0.0), ("sdes", 0.2)])
def test_digits_arrive_once_and_in_order_both_ways(keying: str, loss: float) -> None:
    s = street(keying=keying, loss=loss)
    a, b = s.phones
    s.meet(answer=False)
    s.run(5, until=lambda: bool(b.agent.calls))
    s.answer()
    a.agent.press(a.call.id, "0112#")
    b.agent.press(b.call.id, "A*99")
    s.run(4)
    assert "".join(e.digit for e in b.said(say.Digit)) == "0112#"
    assert "".join(e.digit for e in a.said(say.Digit)) == "A*99"
    assert a.hears() and b.hears()


def test_a_phone_does_not_ring_for_ever() -> None:
    """The caller is gone and could not say so."""
    s = street()
    a, b = s.phones
    s.meet(answer=False)
    a.lose_interface("wlan0")
    a.agent.hang_up(a.call.id, s.now)
    s.run(170)
    assert not b.said(say.Ended)
    s.run(15)
    assert ended(b).status == 480
    assert nothing_left(s)


def test_a_second_caller_reaches_us_while_we_talk() -> None:
    """Two calls of one phone do not disturb each other."""
    s = street()
    a, b = s.phones
    s.meet()
    b.agent.call("alice", s.now)
    s.run(1)
    assert len(a.said(say.IncomingCall)) == 1
    (second,) = [c for c in a.agent.calls.values() if c.state is CallState.RINGING_IN]
    a.agent.reject(second.id, 486, s.now)
    s.run(1)
    assert a.is_up and b.is_up and a.hears() and b.hears()


def test_answering_twice_is_harmless() -> None:
    s = Street(phone_config("alice"), phone_config("bob"), transport="TLS")
    s.meet(answer=False)
    s.phones[0].lose_interface("wlan0")  # the 200 does not reach the caller yet
    bob = s.phones[1]
    for _ in range(2):
        bob.agent.answer(bob.call.id, s.now)
        s.run(0.2)
    s.phones[0].join("wwan0", "198.51.100.9")
    s.run(8)
    assert s.phones[0].is_up and bob.is_up and all(phone.hears() for phone in s.phones)


def test_who_asks_in_a_call_what_the_other_can_do_is_told() -> None:
    s = street()
    a, _ = s.phones
    s.meet()
    a.call.session.send("OPTIONS", s.now)
    s.drain()
    s.run(1)
    answer = next(
        m.octets for m in s.messages if b" OPTIONS\r\n" in m.octets and m.start.startswith("SIP/2.0 200")
    )
    for field in (b"Allow: INVITE", b"Accept: application/sdp", b"Supported: 100rel"):
        assert field in answer, "RFC 3261 section 11.2"
