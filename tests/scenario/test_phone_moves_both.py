"""Whole phones and our server in virtual time: either end, or both within 100 ms, moves in each state of a call."""

from __future__ import annotations

import pytest

from segue.call import events as say
from segue.phone.config import PhoneConfig
from segue.testing.phones import TestPhone
from segue.testing.served_street import ServedStreet, registered_phone

WHO = pytest.mark.parametrize("who", [(0,), (1,), (0, 1)], ids=["caller", "callee", "both"])
HOW = pytest.mark.parametrize(
    "soft", [(False, False), (True, True), (False, True)], ids=["hard", "soft", "hard and soft"]
)
APART = pytest.mark.parametrize("apart", [0.0, 0.04, 0.1])


def street(transport: str = "TLS", *more: PhoneConfig) -> ServedStreet:
    keying = "sdes" if transport == "TLS" else "none"
    two = (registered_phone(name, keying=keying) for name in ("alice", "bob"))
    return ServedStreet(*two, *more, transport=transport)


def move(phone: TestPhone, soft: bool, number: int) -> None:
    """To a network that it has not seen; a soft one leaves the old to work."""
    if not soft:
        for interface in {a.interface for a in phone.agent.attachments()}:
            phone.leave(interface)
    address = f"198.51.{100 + ord(phone.name[0]) % 100}.{number}"
    phone.join(f"wwan{number}", address, 90 - number if soft else 200)


def move_all(
    s: ServedStreet, who: tuple[int, ...], soft: tuple[bool, bool], apart: float, number: int = 1
) -> None:
    for turn, index in enumerate(who):
        s.run(apart * turn)
        move(s.phones[index], soft[index], number)


def talk(s: ServedStreet, who: tuple[int, ...], number: int = 1) -> None:
    """One call, up; both hear each other where they are now. Hanging up ends it on both sides for good."""
    a, b = s.phones[:2]
    assert len(b.said(say.IncomingCall)) == 1 and len(a.agent.calls) == len(b.agent.calls) == 1
    since = s.now - 0.5
    for index, phone in enumerate((a, b)):
        assert phone.is_up and phone.heard_between(since, s.now) and phone.silence(since, s.now) == 0
        if index in who:
            assert phone.call.media.paths.sending.interface == f"wwan{number}"
    a.agent.hang_up(a.call.id, s.now)
    s.run(40)
    for phone, by in ((a, "us"), (b, "peer")):
        assert [e.by for e in phone.said(say.Ended)] == [by]
        assert not phone.agent.calls and not phone.ports.open_ports


@pytest.mark.parametrize("who", [(0,), (1,), (0, 1), (1, 0)])
@HOW
@APART
@pytest.mark.parametrize("transport", ["TLS", "UDP"])
def test_up(transport: str, who: tuple[int, ...], soft: tuple[bool, bool], apart: float) -> None:
    """Media is back within 0.4 s of the later address, of which 0.08 s are for the connection."""
    s = street(transport)
    s.meet()
    began = s.now
    move_all(s, who, soft, apart)
    later = s.now
    s.run(8)
    for phone in s.phones:
        assert phone.silence(began, later + 0.4) <= (0 if all(soft) else 0.3)
        assert phone.silence(later + 0.4, s.now) == 0
    assert all(s.phones[index].said(say.MoveEnded)[-1].ok for index in who)
    talk(s, who)


@WHO
@HOW
@pytest.mark.parametrize("after", [0.0, 0.01, 0.03, 0.3])
def test_dialling_and_ringing(who: tuple[int, ...], soft: tuple[bool, bool], after: float) -> None:
    s = street()
    for number, phone in enumerate(s.phones, 1):
        phone.join("wlan0", f"192.0.2.{number}")
    s.run(1)
    s.phones[0].agent.call("bob", s.now)
    s.run(after)
    move_all(s, who, soft, 0.04)
    s.run(6, lambda: bool(s.phones[1].said(say.IncomingCall)))
    s.run(4)
    s.answer(settle=12)  # a callee that moved softly may begin where it was: ICE chooses among what works
    talk(s, who)


@WHO
@HOW
@pytest.mark.parametrize("after", [0.0, 0.01, 0.03, 0.05])
def test_being_answered(who: tuple[int, ...], soft: tuple[bool, bool], after: float) -> None:
    s = street()
    s.meet(answer=False)
    s.answer(settle=after)
    move_all(s, who, soft, 0.04)
    s.run(10)
    talk(s, who)


@WHO
@HOW
@pytest.mark.parametrize("holder", [0, 1])
@pytest.mark.parametrize("after", [0.0, 0.03, 3.0])
def test_held_or_about_to_be(
    who: tuple[int, ...], soft: tuple[bool, bool], holder: int, after: float
) -> None:
    s = street()
    s.meet()
    keeper, kept = s.phones[holder], s.phones[1 - holder]
    keeper.agent.hold(keeper.call.id, s.now)
    s.run(after)
    move_all(s, who, soft, 0.04)
    s.run(8)
    assert (
        keeper.said(say.HoldChanged)[-1].held_by == "us" and kept.said(say.HoldChanged)[-1].held_by == "peer"
    )
    keeper.agent.resume(keeper.call.id, s.now)
    s.run(2)
    talk(s, who)


@WHO
@HOW
@pytest.mark.parametrize("first", [True, False], ids=["hung up before", "hung up after"])
@pytest.mark.parametrize("leaver", [0, 1])
def test_hung_up(who: tuple[int, ...], soft: tuple[bool, bool], first: bool, leaver: int) -> None:
    s = street()
    s.meet()
    phone = s.phones[leaver]
    if first:
        phone.agent.hang_up(phone.call.id, s.now)
    move_all(s, who, soft, 0.04)
    if not first:
        phone.agent.hang_up(phone.call.id, s.now)
    s.run(45)
    for index, one in enumerate(s.phones):
        assert [e.by for e in one.said(say.Ended)] == ["us" if index == leaver else "peer"]
        assert not one.agent.calls and not one.ports.open_ports


@WHO
@HOW
@pytest.mark.parametrize("winner", [1, 2])
@pytest.mark.parametrize("told", [True, False])
def test_ringing_at_two_phones_of_the_callee(
    who: tuple[int, ...], soft: tuple[bool, bool], winner: int, told: bool
) -> None:
    s = street("TLS", registered_phone("bob", device=2))
    s.told = told
    s.phones[2].join("wlan0", "192.0.2.3")
    s.meet(answer=False)
    assert all(len(phone.said(say.IncomingCall)) == 1 for phone in s.phones[1:])
    move_all(s, who, soft, 0.04)
    s.run(5)
    phone = s.phones[winner]
    phone.agent.answer(phone.call.id, s.now)
    s.run(5)
    other = s.phones[3 - winner]
    assert not other.agent.calls and len(other.said(say.IncomingCall)) == 1
    (ended,) = other.said(say.Ended)
    assert ended.by == "peer" and "Call completed elsewhere" in ended.reason
    since = s.now - 0.5
    for one in (s.phones[0], phone):
        assert one.is_up and one.heard_between(since, s.now) and one.silence(since, s.now) == 0


@HOW
@pytest.mark.parametrize("pause", [0.01, 0.07, 0.3])
def test_ten_moves_of_both_in_a_row(soft: tuple[bool, bool], pause: float) -> None:
    """The second begins before the first has ended, and so on."""
    s = street()
    s.meet()
    for number in range(10):
        move_all(s, (0, 1), soft, 0.03, number + 1)
        s.run(pause)
    s.run(10)
    talk(s, (0, 1), 10)
