"""The phone's core by itself: registration, dialling, requests outside calls, commands that do not fit."""

from __future__ import annotations

import dataclasses

import pytest

from segue.base.errors import LocalError, SegueError
from segue.base.secret import Secret
from segue.call import events as say
from segue.call.flows import BACKOFF_FIRST
from segue.phone.config import Account
from segue.phone.user_agent import DIAL_PATIENCE, REGISTER_FIRST, full_address
from segue.protocols.sip.message import Request, response_to
from segue.protocols.sip.parser import parse_message
from segue.testing.phones import Street, TestPhone, phone_config


def registering_street() -> Street:
    """The first phone registers; the second one is never reached by it, so the test plays the registrar."""
    config = phone_config("alice")
    account = Account(
        "sip:alice@example.org",
        password=Secret("secret"),
        instance="urn:uuid:00000000-0000-1000-8000-0000000000aa",
    )
    s = Street(dataclasses.replace(config, account=account), phone_config("bob"))
    s.registrar = False
    return s


def registers(s: Street) -> list[bytes]:
    return [m.octets for m in s.messages if m.start.startswith("REGISTER")]


def answer(s: Street, phone: TestPhone, octets: bytes, status: int, **headers: str) -> None:
    request = parse_message(octets)
    assert isinstance(request, Request)
    response = response_to(request, status)
    for name, value in headers.items():
        response.headers.set(name.replace("_", "-"), value)
    phone.agent.receive(response, phone.flows[-1], s.now)
    s.drain()


def test_registers_with_password_and_keeps_the_binding_fresh() -> None:
    s = registering_street()
    a = s.phones[0]
    a.join("wlan0", "192.0.2.1")
    s.run(0.2)
    assert len(registers(s)) == 1
    challenge = 'Digest realm="example.org", nonce="abc", algorithm=MD5, qop="auth"'
    answer(s, a, registers(s)[-1], 401, WWW_Authenticate=challenge)
    assert b"Authorization: Digest" in registers(s)[-1]
    gruu = '<sip:alice@192.0.2.1:30001;transport=tls>;+sip.instance="<urn:uuid:00000000-0000-1000-8000-0000000000aa>"'
    answer(s, a, registers(s)[-1], 200, Contact=f'{gruu};pub-gruu="sip:alice@example.org;gr=aa";expires=60')
    (registered,) = a.said(say.Registered)
    assert registered.expires == 60 and "gr=aa" in registered.gruu
    s.run(60)
    assert len(registers(s)) == 3, "refreshed before it expires"
    assert b"Authorization: Digest" in registers(s)[-1], "with the nonce that is known to be good"


def test_a_wrong_password_is_said_and_not_tried_for_ever() -> None:
    s = registering_street()
    a = s.phones[0]
    a.join("wlan0", "192.0.2.1")
    s.run(0.2)
    for _ in range(5):
        challenge = 'Digest realm="example.org", nonce="abc", algorithm=MD5, qop="auth"'
        answer(s, a, registers(s)[-1], 401, WWW_Authenticate=challenge)
    (failed,) = a.said(say.RegistrationFailed)
    assert "password" in failed.problem and failed.retry_in is None
    count = len(registers(s))
    s.run(300)
    assert len(registers(s)) == count


def test_after_a_move_the_registration_follows() -> None:
    s = registering_street()
    a = s.phones[0]
    a.join("wlan0", "192.0.2.1")
    s.run(0.2)
    answer(s, a, registers(s)[-1], 200, Expires="600")
    a.leave("wlan0")
    a.join("wwan0", "198.51.100.1")
    s.run(0.2)
    assert b"198.51.100.1" in registers(s)[-1] and b"reg-id=2" in registers(s)[-1]
    answer(s, a, registers(s)[-1], 200, Expires="600")
    assert [event.interface for event in a.said(say.Registered)] == ["wlan0", "wwan0"]


def test_unregister_takes_the_binding_back() -> None:
    s = registering_street()
    a = s.phones[0]
    a.join("wlan0", "192.0.2.1")
    s.run(0.2)
    answer(s, a, registers(s)[-1], 200, Expires="600")
    a.agent.unregister(s.now)
    s.drain()
    waited = [a.agent.waiting]
    assert b"Expires: 0" in registers(s)[-1]
    answer(s, a, registers(s)[-1], 200)
    waited.append(a.agent.waiting)
    assert waited == [True, False]
    s.run(1000)
    assert b"Expires: 0" in registers(s)[-1]


def test_a_call_waits_a_moment_for_the_registration_but_not_for_ever() -> None:
    s = registering_street()
    a = s.phones[0]
    a.join("wlan0", "192.0.2.1")
    s.run(0.2)
    a.agent.call("bob", s.now)
    s.run(REGISTER_FIRST - 0.1)
    assert not a.said(say.Dialling)
    s.run(0.3)
    assert a.said(say.Dialling)


def test_without_a_network_a_call_is_given_up_after_its_patience_and_nothing_spins() -> None:
    s = registering_street()
    a = s.phones[0]
    a.agent.call("bob", s.now)
    assert a.agent.deadline() == s.now + DIAL_PATIENCE
    s.run(DIAL_PATIENCE + 0.1)
    (ended,) = a.said(say.Ended)
    assert ended.by == "network" and "no network" in ended.reason
    assert a.agent.deadline() is None


def test_a_server_that_nobody_reaches_is_tried_again_more_and_more_slowly() -> None:
    s = registering_street()
    a = s.phones[0]
    s.dead.add((a.name, "wlan0"))
    a.join("wlan0", "192.0.2.1")
    s.run(600)
    assert not a.flows and len(a.agent.flows.origins()) == 1
    failures = a.said(say.RegistrationFailed)
    assert 600 / 35 < len(failures) < 60
    pauses = [f.retry_in for f in failures]
    assert pauses[0] <= BACKOFF_FIRST and min(pauses[8:]) >= 10
    s.dead.clear()
    s.run(60)
    assert a.flows and registers(s)


@pytest.mark.parametrize("text", ["bob", "bob@example.org", "sip:bob@example.org"])
def test_an_address_may_be_short(text: str) -> None:
    assert full_address(text, "example.org") == "sip:bob@example.org"


@pytest.mark.parametrize(
    "text", ["", "@", "bob@", "sip:", "bob bob", "mailto:bob@example.org", "bob\r\nX: y"]
)
def test_what_is_no_address_is_said_in_one_line(text: str) -> None:
    with pytest.raises(LocalError) as caught:
        full_address(text, "example.org")
    assert "\n" not in str(caught.value) and "sip:name@domain" in str(caught.value)


def request(method: str, to_tag: str = "", extra: str = "") -> bytes:
    to = f"<sip:bob@example.org>{';tag=' + to_tag if to_tag else ''}"
    return (
        f"{method} sip:bob@192.0.2.2 SIP/2.0\r\nVia: SIP/2.0/TLS 192.0.2.250:5061;branch=z9hG4bK{method}{to_tag}\r\n"
        f"Max-Forwards: 70\r\nFrom: <sip:eve@example.org>;tag=e\r\nTo: {to}\r\nCall-ID: c{method}\r\n"
        f"CSeq: 1 {method}\r\n{extra}Content-Length: 0\r\n\r\n"
    ).encode()


@pytest.mark.parametrize(
    ("octets", "status"),
    [
        (request("OPTIONS"), 200),
        (request("BYE", "x"), 481),
        (request("INFO", "x"), 481),
        (request("INVITE", "x"), 481),
        (request("UPDATE"), 481),
        (request("CANCEL"), 481),
        (request("MESSAGE"), 405),
        (request("SUBSCRIBE"), 405),
        (request("INVITE", extra="Contact: <sip:e@192.0.2.9>\r\nRequire: teleport\r\n"), 420),
    ],
)
def test_requests_outside_calls_get_what_the_standard_asks_for(octets: bytes, status: int) -> None:
    s = Street(phone_config("alice"), phone_config("bob"))
    b = s.phones[1]
    b.join("wlan0", "192.0.2.2")
    s.run(1)
    s.inject_sip(b, octets)
    assert s.messages[-1].start.startswith(f"SIP/2.0 {status} ")
    assert not b.agent.calls and not b.ports.open_ports
    s.run(40)
    assert len(b.agent.layer) == 0


def test_commands_that_do_not_fit_are_said_and_harmless() -> None:
    s = Street(phone_config("alice"), phone_config("bob"))
    a, b = s.phones
    s.meet(answer=False)
    for command in (a.agent.hold, a.agent.resume, a.agent.answer, b.agent.hold):
        phone = a if command.__self__ is a.agent else b  # type: ignore[attr-defined]
        with pytest.raises(LocalError):
            command(phone.call.id, s.now)
    with pytest.raises(LocalError):
        a.agent.hang_up("nobody", s.now)
    s.answer()
    with pytest.raises(LocalError):
        b.agent.answer(b.call.id, s.now)
    assert a.is_up and b.is_up and a.hears() and b.hears()


def test_digits_before_the_answer_or_to_a_peer_that_takes_none_are_said() -> None:
    s = Street(phone_config("alice"), phone_config("bob", telephone_events=False))
    a = s.phones[0]
    s.meet(answer=False)
    with pytest.raises(SegueError):
        a.agent.press(a.call.id, "1")
    s.answer()
    with pytest.raises(SegueError):
        a.agent.press(a.call.id, "1")
    assert a.is_up
