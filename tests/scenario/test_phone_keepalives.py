"""Registered phones on datagram flows: what a NAT or a server forgets is noticed and registered anew (RFC 5626)."""

from __future__ import annotations

from segue.call import events as say
from segue.testing.phones import Street, TestPhone, phone_config


def street() -> tuple[Street, TestPhone]:
    configs = [phone_config(name, register=True, keying="none") for name in ("alice", "bob")]
    s = Street(*configs, transport="UDP")
    s.meet()
    return s, s.phones[0]


def registers(s: Street) -> list[bytes]:
    return [m.octets for m in s.messages if m.sender == "first" and m.start.startswith("REGISTER")]


def test_a_nat_that_forgets_us_costs_neither_the_call_nor_the_registration() -> None:
    s, a = street()
    s.run(60)
    assert len(registers(s)) == 1 and len(a.flows) == 1
    before, a.forgotten = a.flows[-1], 1
    s.run(30)
    assert len(registers(s)) == 2 and a.flows[-1] != before
    assert str(a.flows[-1].local).encode() in registers(s)[-1], "the binding is that of the new flow"
    assert a.call.session.flow == a.flows[-1] and a.is_up and a.hears()
    s.phones[1].agent.hang_up(s.phones[1].call.id, s.now)
    s.run(1)
    assert not a.agent.calls


def test_a_server_that_falls_silent_is_noticed_and_found_again() -> None:
    s, a = street()
    s.registrar = False
    s.dead.add(("first", "wlan0"))
    s.run(80)
    assert len(registers(s)) > 1, "a new flow is tried"
    s.dead.clear()
    s.registrar = True
    s.run(70)
    assert len(a.said(say.Registered)) == 2
    assert a.agent.registration is not None and a.agent.registration.is_registered(a.flows[-1])
