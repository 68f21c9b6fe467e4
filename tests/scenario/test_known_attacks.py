"""Attacks and accidents that other phones and servers had a CVE number for: ours goes on."""

from __future__ import annotations

import dataclasses

import pytest

from segue.base.address import Address
from segue.base.secret import Secret
from segue.call import events as say
from segue.phone.user_agent import RINGING
from segue.protocols.sip.flow import Flow
from segue.protocols.sip.message import Request, response_to
from segue.protocols.sip.parser import parse_message
from segue.server.config import Listen, ServerConfig
from segue.server.core import ServerCore
from segue.testing import SeededEntropy
from segue.testing.phones import Street, phone_config

HEAD = {
    "Via": "SIP/2.0/TLS 192.0.2.66:5061;branch=z9hG4bKx1",
    "From": "<sip:mallory@example.org>;tag=1",
    "To": "<sip:bob@example.org>",
    "Call-ID": "attack",
    "CSeq": "1 INVITE",
    "Contact": "<sip:mallory@192.0.2.66>",
    "Max-Forwards": "70",
}


def message(method: str = "INVITE", uri: str = "sip:bob@example.org", **fields: str) -> bytes:
    given = HEAD | {"CSeq": f"1 {method}"} | {name.replace("_", "-"): value for name, value in fields.items()}
    lines = [f"{method} {uri} SIP/2.0", *(f"{name}: {value}" for name, value in given.items())]
    return "\r\n".join([*lines, "Content-Length: 0", "", ""]).encode()


def street() -> Street:
    s = Street(phone_config("alice"), phone_config("bob"))
    s.meet()
    return s


def still_talking(s: Street) -> bool:
    s.run(1)
    return all(phone.is_up and phone.hears() for phone in s.phones)


def test_bad_srtp_does_not_hang_up() -> None:
    """CVE-2021-41105: a hundred packets that do not authenticate ended a call of FreeSWITCH."""
    s = street()
    bob = s.phones[1]
    sent = s.phones[0].sent_media[-1].packet
    for number in range(300):
        s.inject_media(bob, bob.call.media.paths.ports[0], sent[:-1] + bytes([number % 256 ^ sent[-1] or 1]))
    assert still_talking(s)


def test_replayed_srtp_does_not_end_the_call_nor_is_it_heard_again() -> None:
    """CVE-2021-26712: replayed packets ended a call of Asterisk."""
    s = street()
    bob = s.phones[1]
    received = bob.call.media.session.heard_at
    for media in s.phones[0].sent_media[:-10]:  # those under way are not replays
        s.inject_media(bob, bob.call.media.paths.ports[0], media.packet)
    assert bob.call.media.session.heard_at == received
    assert still_talking(s)


@pytest.mark.parametrize(
    "fields",
    [
        {"From": "tel:+15551234;tag=1"},
        {"To": "http://example.org/"},
        {"From": "<>;tag=1"},
        {"From": '"Mallory\\" <sip:mallory@example.org>;tag=1'},
        {"To": '"\\'},
    ],
    ids=["tel", "http", "empty", "backslash", "lone backslash"],
)
def test_odd_addresses_of_callers_do_no_harm(fields: dict[str, str]) -> None:
    """CVE-2021-33056 and CVE-2021-43611: belle-sip crashed of URIs that are not SIP in From and To, and of a display
    name that ends in a backslash."""
    s = street()
    s.inject_sip(s.phones[1], message(**fields))
    assert still_talking(s)


@pytest.mark.parametrize("method", ["INVITE", "OPTIONS", "SUBSCRIBE"])
@pytest.mark.parametrize(
    "fields",
    [{"CSeq": "1 " + "A" * 4000}, {"CSeq": "9" * 4000 + " INVITE"}, {"Accept": "a/b," * 4000}],
    ids=["long method", "long number", "many types"],
)
def test_long_fields_do_no_harm(method: str, fields: dict[str, str]) -> None:
    """CVE-2017-9372 (PJSIP, CSeq) and CVE-2018-7284 (Asterisk, Accept of SUBSCRIBE)."""
    s = street()
    s.inject_sip(s.phones[1], message(method, **fields))
    assert still_talking(s)


@pytest.mark.parametrize("method", ["MESSAGE", "SUBSCRIBE", "NOTIFY", "PUBLISH", "REFER"])
def test_what_nobody_asked_for_is_refused(method: str) -> None:
    """CVE-2021-37624 and CVE-2021-41157: FreeSWITCH took MESSAGE and SUBSCRIBE from anyone."""
    s = street()
    s.inject_sip(s.phones[1], message(method))
    assert s.messages[-1].start == "SIP/2.0 405 Method Not Allowed"
    assert not s.phones[1].said(say.IncomingCall)[1:] and still_talking(s)


@pytest.mark.parametrize("status", [401, 407])
def test_a_callee_that_challenges_our_bye_gets_no_digest(status: int) -> None:
    """CVE-2021-41158: FreeSWITCH answered a challenge of whoever it talked to."""
    config = phone_config("alice", register=True)
    account = dataclasses.replace(config.account, password=Secret("sesame"))
    s = Street(dataclasses.replace(config, account=account), phone_config("bob", register=True))
    s.meet()
    a, _ = s.phones
    s.wire.loss = 1.0
    a.agent.hang_up(a.call.id, s.now)
    s.drain()
    bye = parse_message(next(m.octets for m in reversed(s.messages) if m.start.startswith("BYE")))
    assert isinstance(bye, Request)
    challenge = response_to(bye, status)
    name = "WWW-Authenticate" if status == 401 else "Proxy-Authenticate"
    challenge.headers.set(name, 'Digest realm="mallory", nonce="chosen", algorithm=MD5, qop="auth"')
    s.inject_sip(a, challenge.to_bytes())
    s.run(1)
    assert not any(b"response=" in m.octets for m in s.messages)


@pytest.mark.parametrize("proxy", [True, False], ids=["passes the INVITE on", "challenges itself"])
def test_a_callee_that_challenges_our_invite_gets_no_digest(proxy: bool) -> None:
    """With the realm of the account, behind a server that has never shown itself as a proxy: no Record-Route, no
    outbound, no 407. It is asked by Max-Forwards 0, which a proxy answers with 483."""
    config = phone_config("alice")
    account = dataclasses.replace(config.account, password=Secret("sesame"))
    s = Street(dataclasses.replace(config, account=account), phone_config("bob"))
    a = s.phones[0]
    a.join("wlan0", "192.0.2.1")
    s.run(0.2)
    s.wire.loss = 1.0
    a.agent.call("bob", s.now)
    s.run(0.1)
    for turn in range(2):
        invite = parse_message([m.octets for m in s.messages if m.start.startswith("INVITE")][-1])
        assert isinstance(invite, Request) and invite.max_forwards == (0 if turn else 70)
        refusal = response_to(invite, 483 if turn and proxy else 401)
        challenge = f'Digest realm="example.org", nonce="chosen {turn}", algorithm=MD5, qop="auth"'
        if refusal.status == 401:
            refusal.headers.set("WWW-Authenticate", challenge)
        s.inject_sip(a, refusal.to_bytes())
        s.run(0.1)
    answers = [m.octets for m in s.messages if b"response=" in m.octets]
    if proxy:
        assert not answers
        (ended,) = a.said(say.Ended)
        assert ended.status == 401
    else:
        assert b'nonce="chosen 1"' in answers[-1] and b"\r\nMax-Forwards: 70\r\n" in answers[-1]
        assert not any(b'nonce="chosen 0"' in octets for octets in answers)


def test_a_field_cannot_hide_behind_white_space_or_a_short_name() -> None:
    """CVE-2020-28361: Kamailio's removal of fields missed `X-Internal :` and the like."""
    octets = message().replace(b"Max-Forwards", b"Record-Route \t: <sip:evil.example;lr>\r\nMax-Forwards")
    octets = octets.replace(b"Contact:", b"m  :")
    request = parse_message(octets)
    assert request.headers.get("Record-Route") and request.headers.get("Contact")
    request.headers.remove("record-route")
    request.headers.remove("CONTACT")
    assert b"evil" not in request.to_bytes() and b"192.0.2.66>" not in request.to_bytes()


@pytest.mark.parametrize("length", [255, 256, 257, 4096, 20_000])
def test_long_tags_and_branches_of_register(length: int) -> None:
    """CVE-2018-8828: an off-by-one in Kamailio for branch and tag of REGISTER."""
    here = Address("192.0.2.1", 5060)
    config = ServerConfig("example.org", (Listen("UDP", here),), ":memory:")
    core = ServerCore(config, {}, Secret(b"k"), SeededEntropy(1))
    fields = {
        "Via": f"SIP/2.0/UDP 192.0.2.66;branch=z9hG4bK{'b' * length}",
        "From": f"<sip:m@x>;tag={'t' * length}",
    }
    flow = Flow("UDP", here, Address("192.0.2.66", 5060))
    core.receive(message("REGISTER", "sip:example.org", **fields), flow, 1.0)
    (answered,) = [octets for _, octets in core.transmits()]
    assert answered.split(b" ")[1] in (b"401", b"400")
    core.receive(message("OPTIONS", "sip:example.org"), flow, 2.0)
    assert core.transmits()


def test_a_flood_of_invites_is_bounded() -> None:
    """CVE-2020-28327, CVE-2018-7286, CVE-2021-41145: floods that used up Asterisk's and FreeSWITCH's memory."""
    s = Street(phone_config("alice", keying="none"), phone_config("bob", keying="none"), transport="UDP")
    bob = s.phones[1]
    bob.join("wlan0", "192.0.2.2")
    s.run(0.1)
    for number in range(2000):
        via = f"SIP/2.0/UDP 192.0.2.66:5061;branch=z9hG4bK{number}"
        bob.agent.receive(
            parse_message(message(Via=via, Call_ID=f"flood {number}".replace(" ", ""))), bob.flows[-1], s.now
        )
    s.drain()
    assert len(bob.agent.calls) == len(bob.ports.open_ports) == RINGING, "only so many ring at a time"
    statuses = [m.start.split(" ")[1] for m in s.messages if m.sender == bob.name]
    assert statuses.count("486") == 2000 - RINGING


@pytest.mark.parametrize("register", [True, False])
@pytest.mark.parametrize("method", ["INVITE", "OPTIONS", "BYE", "MESSAGE"])
def test_a_datagram_of_a_stranger_reaches_only_a_phone_without_a_server(method: str, register: bool) -> None:
    """SIP scanners make phones ring at night: who is registered is called through his server alone."""
    names = ("alice", "bob")
    s = Street(*(phone_config(name, keying="none", register=register) for name in names), transport="UDP")
    s.meet()
    bob = s.phones[1]
    stranger = bob.flows[-1]._replace(remote=Address("203.0.113.66", 5060), serial=0)
    before = len(s.messages)
    request = message(method, Via="SIP/2.0/UDP 203.0.113.66:5060;branch=z9hG4bKscan")
    for octets in (request, request.replace(b"scan", b"mangled").replace(b"CSeq: 1", b"CSeq: x")):
        bob.agent.receive(parse_message(octets), stranger, s.now)
    s.drain()
    answered = [m.octets for m in s.messages[before:] if m.flow.remote == stranger.remote]
    assert bool(answered) is not register
    assert len(bob.said(say.IncomingCall)) == (1 if register or method != "INVITE" else 2)
    if register:
        assert bob.trace.drops["phone", "request of a stranger"] == 2
    assert still_talking(s)


def test_the_peer_may_speak_from_elsewhere_in_a_call_over_udp() -> None:
    """Requests in a dialog need not come by the server: it is known by its tags."""
    configs = [phone_config(name, keying="none", register=True) for name in ("alice", "bob")]
    s = Street(*configs, transport="UDP")
    s.meet()
    a, b = s.phones
    s.wire.loss = 1.0
    a.agent.hang_up(a.call.id, s.now)
    s.drain()
    bye = next(m.octets for m in reversed(s.messages) if m.start.startswith("BYE"))
    b.agent.receive(parse_message(bye), b.flows[-1]._replace(remote=Address("203.0.113.66", 5060)), s.now)
    s.drain()
    assert b.said(say.Ended)
