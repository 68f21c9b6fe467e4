"""Whole phones in virtual time: offers that meet, and what a peer wrote that comes back in our header fields."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from segue.call import events as say
from segue.protocols.sip.parser import parse_message
from segue.protocols.sip.syntax import parse_parameters, take_quoted
from segue.testing.phones import Street, TestPhone, phone_config

MOVERS = pytest.mark.parametrize("mover", [0, 1], ids=["caller moves", "callee moves"])


def street(**media: Any) -> Street:
    s = Street(phone_config("alice", **media), phone_config("bob", **media))
    s.meet()
    return s


def well(s: Street, seconds: float = 1.0) -> bool:
    since = s.now - seconds
    return all(p.is_up and p.heard_between(since, s.now) and p.silence(since, s.now) == 0 for p in s.phones)


def keys(phone: TestPhone) -> tuple[Any, Any]:
    agreed = phone.call.media.session.exchanged_keys
    assert agreed is not None
    return agreed


def changed(octets: bytes, change: Callable[[bytes], bytes]) -> bytes:
    """The same message with another body."""
    message = parse_message(octets)
    message.body = change(message.body)
    return message.to_bytes()


def offers(s: Street, phone: TestPhone) -> int:
    """How many re-INVITEs it has sent."""
    invites = {parse_message(m.octets).cseq.number for m in s.messages if is_offer(phone.name, m)}
    return len(invites)


def is_offer(sender: str, message: Any) -> bool:
    return message.sender == sender and message.octets.startswith(b"INVITE") and b";tag=" in to_of(message)


def to_of(message: Any) -> bytes:
    return next(line for line in message.octets.split(b"\r\n") if line.startswith(b"To:"))


class Unacceptable:
    """Alters the one offer of `sender` whose turn it is, so that the peer refuses it."""

    def __init__(self, sender: TestPhone, turn: int) -> None:
        self._sender = sender.name
        self._turn = turn
        self._seen: list[int] = []

    def __call__(self, sender: str, octets: bytes) -> bytes:
        if sender != self._sender or not octets.startswith(b"INVITE"):
            return octets
        number = parse_message(octets).cseq.number
        if number not in self._seen:
            self._seen.append(number)
        if self._seen.index(number) + 1 != self._turn:
            return octets
        return changed(octets, lambda body: body.replace(b"RTP/SAVP", b"RTP/OTHER"))


@MOVERS
def test_a_change_that_waits_behind_a_move_and_is_refused_leaves_the_move_as_agreed(mover: int) -> None:
    """The second offer was made when the first had its answer, and so never mixes with it: media is sealed with
    the key that the peer got."""
    s = street(extensions=())
    mn, cn = s.phones[mover], s.phones[1 - mover]
    mn.agent.hold(mn.call.id, s.now)
    s.run(2)
    first = keys(mn)[0]
    s.alter = Unacceptable(mn, 2)
    sent = offers(s, mn)
    mn.leave("wlan0")
    mn.join("wwan0", "198.51.100.1", 200)
    s.run(2, lambda: offers(s, mn) > sent)
    mn.agent.resume(mn.call.id, s.now)
    s.run(2)
    assert any(m.sender == cn.name and m.start.startswith("SIP/2.0 488") for m in s.messages)
    assert mn.said(say.MoveEnded)[-1].ok
    assert keys(mn)[0] != first, "RFC 4568 section 7.1.4"
    assert keys(mn) == keys(cn)[::-1]
    assert cn.hears(), "we speak again; only the peer does not know that it may"
    mn.agent.resume(mn.call.id, s.now)
    s.run(2)
    assert well(s)


@MOVERS
def test_a_move_that_waits_behind_a_change_that_is_refused_is_told_all_the_same(mover: int) -> None:
    s = street(extensions=())
    mn, cn = s.phones[mover], s.phones[1 - mover]
    s.alter = Unacceptable(mn, 1)
    s.wire.delay = 0.4  # the refusal comes when the soft move has begun
    mn.agent.hold(mn.call.id, s.now)
    mn.join("wwan0", "198.51.100.1", 50)
    s.run(0.5)
    assert mn.call.move is not None and mn.call.move.told and offers(s, mn) == 1
    s.wire.delay = 0.02
    s.run(3)
    assert mn.said(say.MoveEnded)[-1].ok and len(cn.said(say.PeerMoved)) == 1
    assert keys(mn) == keys(cn)[::-1]
    mn.agent.resume(mn.call.id, s.now)
    s.run(40)
    assert well(s), "also when the peer knows no old key any more"


STRANGE = b"RTP/'x\"\\"


def test_what_the_peer_wrote_is_quoted_where_we_refuse_its_offer() -> None:
    s = Street(phone_config("alice"), phone_config("bob"))
    s.alter = lambda _, octets: (
        changed(octets, lambda body: body.replace(b"RTP/SAVP", STRANGE))
        if octets.startswith(b"INVITE")
        else octets
    )
    s.meet(answer=False)
    refusal = next(m.octets for m in s.messages if m.start.startswith("SIP/2.0 4"))
    code, agent, text = (parse_message(refusal).headers.get("Warning") or "").split(" ", 2)
    said, rest = take_quoted(text)
    assert (code, agent, rest) == ("399", "segue", "")
    assert 'x"' in said


def test_what_the_peer_wrote_is_quoted_where_we_hang_up_over_its_answer() -> None:
    s = Street(phone_config("alice"), phone_config("bob"))
    s.alter = lambda _, octets: (
        changed(octets, lambda body: body.replace(b"RTP/SAVP", STRANGE))
        if octets.startswith(b"SIP/2.0 200") and b"m=audio" in octets
        else octets
    )
    s.meet()
    bye = parse_message(next(m.octets for m in s.messages if m.octets.startswith(b"BYE")))
    protocol, _, parameters = (bye.headers.get("Reason") or "").partition(";")
    assert protocol == "SIP"
    values = parse_parameters(parameters)
    assert values["cause"] == "400" and 'x"' in (values["text"] or "")
