"""Whole phones in virtual time: moves of a call that nobody has answered yet."""

from __future__ import annotations

from typing import Any

import pytest

from segue.call import events as say
from segue.call.call import CallState
from segue.testing.phones import Street, TestPhone, phone_config

WAYS = [("TLS", "sdes"), ("UDP", "none")]


def street(transport: str, keying: str, **options: Any) -> Street:
    return Street(
        phone_config("alice", keying=keying),
        phone_config("bob", keying=keying),
        transport=transport,
        **options,
    )


def move(s: Street, phone: TestPhone, soft: bool, number: int = 1) -> None:
    if not soft:
        for interface in {a.interface for a in phone.agent.attachments()}:
            phone.leave(interface)
    phone.join(f"wwan{number}", f"198.51.100.{number}", 50 - number if soft else 200)
    s.drain()


def one_call(s: Street) -> None:
    """The callee saw one call, it is up with sound both ways, and hanging up ends it on both sides for good."""
    a, b = s.phones
    assert len(b.said(say.IncomingCall)) == 1
    assert len(a.agent.calls) == len(b.agent.calls) == 1
    since = s.now - 0.5
    for phone in s.phones:
        assert phone.is_up and phone.heard_between(since, s.now) and phone.silence(since, s.now) == 0
        assert len(phone.said(say.Up)) == 1
    b.agent.hang_up(b.call.id, s.now)
    s.run(40)
    for phone, by in ((a, "peer"), (b, "us")):
        assert [e.by for e in phone.said(say.Ended)] == [by]
        assert not phone.agent.calls and not phone.ports.open_ports and not len(phone.agent.layer)


@pytest.mark.parametrize(("transport", "keying"), WAYS)
@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("after", [0.0, 0.01, 0.03, 0.05, 0.15])
def test_the_caller_moves_while_dialling(transport: str, keying: str, soft: bool, after: float) -> None:
    s = street(transport, keying)
    a, b = s.phones
    for number, phone in enumerate(s.phones, 1):
        phone.join("wlan0", f"192.0.2.{number}")
    s.run(1)
    a.agent.call("bob", s.now)
    s.run(after)
    assert a.call.state is (CallState.DIALLING if after < 0.04 else CallState.RINGING_OUT)
    move(s, a, soft)
    s.run(3)
    assert not a.said(say.Ended) and not b.said(say.Ended)
    s.answer(settle=3)
    assert a.call.media.paths.sending.interface == "wwan1"
    one_call(s)


@pytest.mark.parametrize(("transport", "keying"), WAYS)
@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("moves", [1, 3])
def test_the_caller_moves_while_it_rings_there(transport: str, keying: str, soft: bool, moves: int) -> None:
    s = street(transport, keying)
    a = s.phones[0]
    s.meet(answer=False)
    for number in range(moves):
        move(s, a, soft, number + 1)
        s.run(3)
    s.answer(settle=3)
    assert a.call.media.paths.sending.interface == f"wwan{moves}"
    one_call(s)


@pytest.mark.parametrize(("transport", "keying"), WAYS)
@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("moves", [1, 3])
def test_the_callee_moves_while_it_rings(transport: str, keying: str, soft: bool, moves: int) -> None:
    s = street(transport, keying)
    b = s.phones[1]
    s.meet(answer=False)
    for number in range(moves):
        move(s, b, soft, number + 1)
        s.run(3)
    s.answer(settle=3)
    assert b.call.media.paths.sending.interface == f"wwan{moves}"
    one_call(s)


@pytest.mark.parametrize(("transport", "keying"), WAYS)
@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("mover", [0, 1], ids=["caller moves", "callee moves"])
@pytest.mark.parametrize("wait", [0.0, 0.01, 0.025, 0.045])
def test_a_move_just_as_the_call_is_answered(
    transport: str, keying: str, soft: bool, mover: int, wait: float
) -> None:
    s = street(transport, keying)
    b = s.phones[1]
    s.meet(answer=False)
    b.agent.answer(b.call.id, s.now)
    s.run(wait)
    move(s, s.phones[mover], soft)
    s.run(8)
    assert s.phones[mover].call.media.paths.sending.interface == "wwan1"
    one_call(s)


@pytest.mark.parametrize("wait", [0.0, 0.01, 0.05])
@pytest.mark.parametrize("soft", [False, True])
def test_answering_just_after_our_own_move_began(soft: bool, wait: float) -> None:
    s = street("TLS", "sdes")
    b = s.phones[1]
    s.meet(answer=False)
    move(s, b, soft)
    s.run(wait)
    s.answer(settle=8)
    one_call(s)


@pytest.mark.parametrize("mover", [0, 1], ids=["caller moves", "callee moves"])
def test_hanging_up_just_after_a_move_ends_both_sides(mover: int) -> None:
    for up in (False, True):
        for who in (0, 1):
            if (mover, who, up) == (1, 0, False):
                continue  # the CANCEL reaches nobody: it is the proxy's to send it again
            s = street("TLS", "sdes")
            s.meet(answer=up)
            move(s, s.phones[mover], soft=False)
            phone = s.phones[who]
            if who == 1 and not up:
                phone.agent.reject(phone.call.id, 603, s.now)
            else:
                phone.agent.hang_up(phone.call.id, s.now)
            s.run(45)
            for one in s.phones:
                assert len(one.said(say.Ended)) == 1, (up, who)
                assert not one.agent.calls and not one.ports.open_ports


def test_dialling_without_a_network_waits_for_one_and_then_says_so() -> None:
    s = street("TLS", "sdes")
    a, b = s.phones
    b.join("wlan0", "192.0.2.2")
    a.agent.call("bob", s.now)
    s.run(4)
    a.join("wlan0", "192.0.2.1")
    s.run(2)
    assert len(b.said(say.IncomingCall)) == 1
    a.agent.hang_up(a.call.id, s.now)
    s.run(2)
    a.lose_interface("wlan0")
    a.events.clear()
    a.agent.call("bob", s.now)
    s.run(12)
    (ended,) = a.said(say.Ended)
    assert ended.by == "network" and "no network" in ended.reason
