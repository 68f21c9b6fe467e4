"""Whole phones in virtual time: offers that meet, forks that answer in turns, ends that are replaced, and what a
peer wrote that comes back in our header fields."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from segue.base.address import Address
from segue.base.keying import KeysReady
from segue.call import events as say
from segue.call.agreement import LocalMedia
from segue.call.config import MediaConfig
from segue.call.keying import Keying
from segue.call.media_session import MediaIdentity, MediaSession
from segue.call.negotiation import Negotiation
from segue.protocols.demux import sort
from segue.protocols.sip.message import Headers, Request, Response, response_to
from segue.protocols.sip.parser import parse_message
from segue.protocols.sip.syntax import parse_parameters, take_quoted
from segue.testing.entropy import SeededEntropy
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


class Fork:
    """One of several callees that a proxy forked to, by its own media and the messages it writes."""

    def __init__(self, tag: str, address: Address, invite: Request) -> None:
        entropy = SeededEntropy(tag)
        config = MediaConfig(codecs=("PCMA",))
        keying = Keying(config, entropy).to_answer(True)
        assert keying is not None
        self.tag = tag
        self.address = address
        self._invite = invite
        self._keying = keying
        self._negotiation = Negotiation(config, keying, entropy)
        self._media = MediaSession(MediaIdentity.draw(entropy), entropy, 0.0)

    def progress(self) -> bytes:
        """183 with the answer, to be acknowledged."""
        response = self._answer(self._invite, 183)
        response.headers.set("Require", "100rel")
        response.headers.set("RSeq", "1")
        return response.to_bytes()

    def accept(self) -> bytes:
        return self._response(self._invite, 200, b"").to_bytes()

    def answer(self) -> bytes:
        """The same, with the answer to the offer, which it has not answered before."""
        return self._answer(self._invite, 200).to_bytes()

    def update(self) -> bytes:
        """An offer of its own, before the call is answered (RFC 3311)."""
        headers = Headers()
        headers.add("Via", f"SIP/2.0/TLS {self.address};branch=z9hG4bK{self.tag}")
        headers.add("From", f"{self._invite.headers.get('To')};tag={self.tag}")
        headers.add("To", self._invite.headers.get("From") or "")
        for name in ("Call-ID", "Max-Forwards"):
            headers.add(name, self._invite.headers.get(name) or "")
        headers.add("CSeq", "1 UPDATE")
        headers.add("Contact", f"<sip:{self.tag}@example.org;gr>")
        headers.add("Content-Type", "application/sdp")
        body = self._negotiation.make_offer(LocalMedia(self.address), 0.0)
        return Request("UPDATE", str(self._invite.contacts[0].uri), headers, body).to_bytes()

    def _answer(self, request: Request, status: int) -> Response:
        body = self._negotiation.receive_offer(request.body, LocalMedia(self.address), 0.0)
        assert self._negotiation.agreement is not None
        for event in self._keying.events():
            if isinstance(event, KeysReady):
                self._media.install(event.keys, 0.0)
        self._media.use(self._negotiation.agreement, 0.0)
        return self._response(request, status, body)

    def _response(self, request: Request, status: int, body: bytes) -> Response:
        response = response_to(request, status, to_tag=self.tag)
        response.headers.set("Contact", f"<sip:{self.tag}@example.org;gr>")
        if body:
            response.headers.set("Content-Type", "application/sdp")
        response.body = body
        return response

    def hears(self, phone: TestPhone, since: float) -> bool:
        """Whether what the phone sent since then came here, and could be read."""
        sent = [m for m in phone.sent_media if m.at >= since]
        return bool(sent) and all(
            m.remote == self.address and self._media.receive(m.packet, sort(m.packet), m.at) for m in sent
        )


def forked(early: tuple[str, ...] = ("x", "y")) -> tuple[Street, Fork, Fork]:
    """The first phone has called two callees, X and Y; these have answered its offer in a reliable response each."""
    s = Street(phone_config("alice"), phone_config("bob"))
    s.alter = lambda sender, octets: b"" if sender == "second" else octets
    s.meet(answer=False)
    invite = parse_message(next(m.octets for m in s.messages if m.octets.startswith(b"INVITE")))
    assert isinstance(invite, Request)
    x = Fork("x", Address("198.51.100.10", 7000), invite)
    y = Fork("y", Address("198.51.100.20", 7000), invite)
    for fork in (fork for fork in (x, y) if fork.tag in early):
        s.inject_sip(s.phones[0], fork.progress())
        s.run(0.2)
    return s, x, y


@pytest.mark.parametrize("first", [True, False], ids=["x", "y"])
def test_of_several_forks_the_one_that_answers_the_call_gets_our_media(first: bool) -> None:
    """Its 200 has no session description, as the exchange was complete before."""
    s, x, y = forked()
    caller, winner = s.phones[0], x if first else y
    s.inject_sip(caller, winner.accept())
    up = s.now
    s.run(1)
    assert caller.is_up
    assert winner.hears(caller, up + 0.02)
    assert not caller.said(say.PeerMoved), "nobody has moved"


@pytest.mark.parametrize("answered", [True, False], ids=["x answered before", "x answers now"])
def test_a_fork_that_answers_the_call_after_another_has_changed_the_media_gets_it(answered: bool) -> None:
    """Y's UPDATE comes when X has said nothing yet, or has answered our offer early."""
    s, x, y = forked(early=("x", "y") if answered else ("y",))
    caller = s.phones[0]
    s.inject_sip(caller, y.update())
    s.run(0.2)
    assert any(m.start.startswith("SIP/2.0 200") and b" UPDATE" in m.octets for m in s.messages)
    s.inject_sip(caller, x.accept() if answered else x.answer())
    up = s.now
    s.run(1)
    assert caller.is_up
    assert x.hears(caller, up + 0.02)


def test_a_hold_that_is_refused_leaves_nobody_silent() -> None:
    s = street(extensions=())
    mn, cn = s.phones
    s.alter = Unacceptable(mn, 1)
    mn.agent.hold(mn.call.id, s.now)
    s.run(2)
    (refused,) = mn.said(say.HoldRefused)
    assert refused.status == 488 and not mn.said(say.HoldChanged)
    assert well(s)
    s.alter = None
    mn.agent.hold(mn.call.id, s.now)
    s.run(1)
    assert mn.said(say.HoldChanged)[-1].held_by == "us" and not cn.hears()


def replaced(number: int) -> Callable[[bytes], bytes]:
    """The session description of another endpoint behind the same B2BUA."""
    return lambda body: b"\r\n".join(
        b"o=other %d 1 IN IP4 192.0.2.77" % number if line.startswith(b"o=") else line
        for line in body.split(b"\r\n")
    )


@pytest.mark.parametrize("steady", [True, False], ids=["replaced once", "another name each time"])
def test_an_end_that_was_replaced_gets_a_key_whose_rollover_counter_it_knows(steady: bool) -> None:
    """It learns of it by the answer to our offer. A phone that writes another name in each answer does not make
    us offer without end."""
    s = street()
    mn, cn = s.phones
    before = keys(mn)[0]
    number = [1]

    def swap(sender: str, octets: bytes) -> bytes:
        if sender != cn.name or b"\r\no=" not in octets:
            return octets
        number[0] += not steady
        return changed(octets, replaced(number[0]))

    s.alter = swap
    mn.agent.hold(mn.call.id, s.now)
    s.run(2)
    assert offers(s, mn) == 2
    assert keys(mn)[0] != before
    assert keys(mn) == keys(cn)[::-1]
    key = keys(mn)[0]
    mn.agent.resume(mn.call.id, s.now)
    s.run(2)
    assert well(s)
    assert (keys(mn)[0] == key) is steady
    assert offers(s, mn) == (3 if steady else 4)


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
