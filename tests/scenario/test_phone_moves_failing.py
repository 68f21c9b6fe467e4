"""Whole phones in virtual time: moves and connections that do not work out."""

from __future__ import annotations

from typing import Any

import pytest

from segue.call import events as say
from segue.mobility.observation import LinkFact
from segue.testing.phones import PERIOD, Street, phone_config

WAYS = [("TLS", "sdes"), ("UDP", "none")]
MOVERS = pytest.mark.parametrize("mover", [0, 1], ids=["caller moves", "callee moves"])


def street(transport: str = "TLS", keying: str = "sdes", **options: Any) -> Street:
    s = Street(
        phone_config("alice", keying=keying),
        phone_config("bob", keying=keying),
        transport=transport,
        **options,
    )
    s.meet()
    return s


def well(s: Street, seconds: float = 1.0) -> bool:
    since = s.now - seconds
    return all(p.is_up and p.heard_between(since, s.now) and p.silence(since, s.now) == 0 for p in s.phones)


def gaps(s: Street, since: float) -> float:
    return max(p.silence(since, s.now) for p in s.phones)


@pytest.mark.parametrize(("transport", "keying"), WAYS)
@MOVERS
def test_a_soft_move_to_a_dead_network_changes_nothing(transport: str, keying: str, mover: int) -> None:
    s = street(transport, keying)
    mn, cn = s.phones[mover], s.phones[1 - mover]
    began = s.now
    s.dead.add((mn.name, "wwan0"))
    mn.join("wwan0", "198.51.100.1", 50)
    s.run(5)
    (ended,) = mn.said(say.MoveEnded)
    assert not ended.ok and ended.target.startswith("wlan0") and ended.problem
    assert not cn.said(say.PeerMoved)
    assert gaps(s, began) == 0
    assert {m.port.interface for m in mn.sent_media} == {"wlan0"}
    assert mn.call.media.paths.sending.interface == "wlan0"
    s.run(40)
    assert gaps(s, began) == 0 and well(s), "nor do the attempts that follow"
    assert len(mn.said(say.MoveBegun)) <= 4, "a network that failed is not tried all the time"
    cn.agent.hold(cn.call.id, s.now)
    s.run(2)
    assert mn.said(say.HoldChanged)[-1].held_by == "peer", "signalling still works where it was"
    cn.agent.resume(cn.call.id, s.now)
    s.run(6)
    s.dead.clear()
    s.run(80)
    assert mn.said(say.MoveEnded)[-1].ok and mn.call.media.paths.sending.interface == "wwan0"
    assert gaps(s, s.now - 50) == 0 and well(s)


@pytest.mark.parametrize(("transport", "keying"), WAYS)
@MOVERS
@pytest.mark.parametrize("after", [0.0, 0.05, 0.11, 0.15, 0.19])
def test_the_origin_goes_while_a_soft_move_is_under_way(
    transport: str, keying: str, mover: int, after: float
) -> None:
    s = street(transport, keying)
    mn = s.phones[mover]
    began = s.now
    mn.join("wwan0", "198.51.100.1", 50)
    s.run(after)
    lost = s.now
    mn.leave("wlan0")
    s.run(4)
    new = [m.at for m in mn.sent_media if m.port.interface == "wwan0"]
    assert new[0] <= lost + PERIOD
    assert mn.said(say.MoveEnded)[-1].ok
    assert gaps(s, began) <= 0.08 + 0.04 + 0.2
    assert well(s)


@MOVERS
@pytest.mark.parametrize("after", [0.05, 0.11, 0.13])
def test_the_origin_goes_and_the_new_network_is_dead(mover: int, after: float) -> None:
    """Nothing works; then something does."""
    s = street()
    mn = s.phones[mover]
    s.dead.add((mn.name, "wwan0"))
    mn.join("wwan0", "198.51.100.1", 50)
    s.run(after)
    mn.leave("wlan0")
    s.run(6)
    assert all(p.is_up for p in s.phones)
    s.dead.clear()
    s.run(15)
    assert well(s) and mn.said(say.MoveEnded)[-1].ok


@pytest.mark.parametrize(("transport", "keying"), WAYS)
@MOVERS
def test_a_hard_move_to_a_dead_network_goes_on_to_one_that_works(
    transport: str, keying: str, mover: int
) -> None:
    """The network that is preferred has a carrier and carries nothing; the call need not die of it."""
    s = street(transport, keying)
    mn, cn = s.phones[mover], s.phones[1 - mover]
    s.dead.add((mn.name, "eth0"))
    mn.join("eth0", "198.51.100.1", 150)
    mn.join("wwan0", "203.0.113.1", 200)
    s.run(1)
    mn.leave("wlan0")
    s.run(7)
    assert [line.target.split()[0] for line in mn.said(say.MoveBegun)] == ["eth0", "wwan0"]
    assert mn.said(say.MoveEnded)[-1].ok and len(cn.said(say.PeerMoved)) == 1
    assert well(s)
    s.run(60)
    assert gaps(s, s.now - 60) == 0 and mn.call.media.paths.sending.interface == "wwan0"


def test_a_phone_without_a_call_does_not_spin_on_a_dead_network() -> None:
    s = Street(phone_config("alice"), phone_config("bob"), transport="TLS")
    a, b = s.phones
    s.dead.add((a.name, "wwan0"))
    a.join("wlan0", "192.0.2.1", 100)
    b.join("wlan0", "192.0.2.2", 100)
    s.run(1)
    a.join("wwan0", "198.51.100.1", 50)
    s.run(8)
    b.agent.call("alice", s.now)
    s.run(1)
    s.answer(a)
    assert well(s) and a.call.media.paths.sending.interface == "wlan0"


@MOVERS
@pytest.mark.parametrize(("transport", "keying"), WAYS)
def test_a_failed_soft_move_of_two_calls_leaves_both_where_they_were(
    mover: int, transport: str, keying: str
) -> None:
    s = street(transport, keying)
    a, b = s.phones
    mn, cn = s.phones[mover], s.phones[1 - mover]
    a.agent.call("bob", s.now)
    s.run(1)
    (second,) = b.agent.calls.keys() - {b.said(say.Up)[0].call_id}
    b.agent.answer(second, s.now)
    s.run(2)
    s.dead.add((mn.name, "wwan0"))
    mn.join("wwan0", "198.51.100.1", 50)
    s.run(6)
    assert [ended.ok for ended in mn.said(say.MoveEnded)] == [False, False]
    for call_id in list(cn.agent.calls):
        mn.agent.hold(call_id, s.now)
    s.run(3)
    assert {held.call_id for held in cn.said(say.HoldChanged)} == set(mn.agent.calls)
    assert len(mn.agent.calls) == 2


@MOVERS
@pytest.mark.parametrize("soft", [False, True])
def test_a_port_that_cannot_be_opened_is_tried_again(mover: int, soft: bool) -> None:
    """The address may be gone already, or not yet usable for the kernel; the call must neither die nor be left."""
    s = street()
    mn = s.phones[mover]
    mn.ports.refused.add("wwan0")
    if not soft:
        mn.leave("wlan0")
    mn.join("wwan0", "198.51.100.1", 50 if soft else 200)
    s.run(2.5)
    assert all(p.is_up for p in s.phones)
    mn.ports.refused.clear()
    s.run(3)
    assert mn.said(say.MoveEnded)[-1].ok and mn.call.media.paths.sending.interface == "wwan0"
    assert well(s)


def test_a_phone_on_a_dead_network_calls_over_one_that_works() -> None:
    s = Street(phone_config("alice"), phone_config("bob"), transport="TLS")
    a, b = s.phones
    s.dead.add((a.name, "eth0"))
    a.join("eth0", "198.51.100.1", 50)
    a.join("wlan0", "192.0.2.1", 100)
    b.join("wlan0", "192.0.2.2", 100)
    s.run(6)
    a.agent.call("bob", s.now)
    s.run(1)
    s.answer(settle=2)
    assert well(s)


@MOVERS
def test_of_two_dead_networks_each_is_tried_again(mover: int) -> None:
    s = street()
    mn = s.phones[mover]
    for number, name in enumerate(("eth0", "wwan0"), 1):
        s.dead.add((mn.name, name))
        mn.join(name, f"198.51.100.{number}", 150 + number)
    mn.leave("wlan0")
    s.run(14)
    tried = [line.target.split()[0] for line in mn.said(say.MoveBegun)]
    assert tried == ["eth0", "wwan0", "eth0", "wwan0"]
    s.dead.clear()
    s.run(8)
    assert well(s) and mn.said(say.MoveEnded)[-1].ok


@pytest.mark.parametrize(("transport", "keying"), WAYS)
@MOVERS
@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("after", [0.0, 0.05, 0.11, 0.13, 0.15, 0.3])
def test_the_new_network_goes_during_the_move(
    transport: str, keying: str, mover: int, soft: bool, after: float
) -> None:
    s = street(transport, keying)
    mn = s.phones[mover]
    if not soft:
        mn.leave("wlan0")
    mn.join("wwan0", "198.51.100.1", 50 if soft else 200)
    s.run(after)
    mn.lose_interface("wwan0")
    s.run(0.5)
    if not soft:
        mn.join("wlan1", "203.0.113.1", 100)
    s.run(12)
    assert well(s)
    assert mn.call.media.paths.sending.interface == ("wlan0" if soft else "wlan1")
    s.run(12)
    assert len(mn.ports.open_ports) == 1


@pytest.mark.parametrize("mover", [0, 1], ids=["ours", "theirs"])
def test_a_broken_connection_is_not_heard(mover: int) -> None:
    s = street()
    s.run(5)
    mn, cn = s.phones[mover], s.phones[1 - mover]
    since = s.now
    for _ in range(3):
        mn.break_flows()
        assert not mn.flows
        s.run(10)
        assert len(mn.flows) == 1, "a new connection"
    assert gaps(s, since) == 0
    assert not mn.said(say.MoveBegun) and well(s)
    cn.agent.hold(cn.call.id, s.now)
    s.run(1)
    assert mn.said(say.HoldChanged)[-1].held_by == "peer"
    mn.agent.hang_up(mn.call.id, s.now)
    s.run(1)
    assert cn.said(say.Ended)[-1].by == "peer"


def test_a_broken_connection_registers_anew() -> None:
    import dataclasses

    config = phone_config("alice")
    config = dataclasses.replace(config, account=dataclasses.replace(config.account, register=True))
    s = Street(config, phone_config("bob"))
    a = s.phones[0]
    a.join("wlan0", "192.0.2.1")
    s.run(6)
    registers = [m for m in s.messages if m.start.startswith("REGISTER")]
    assert registers
    a.break_flows()
    s.run(2)
    again = [
        m for m in s.messages if m.start.startswith("REGISTER") and m.flow.serial > registers[-1].flow.serial
    ]
    assert again


@MOVERS
@pytest.mark.parametrize("wait", [0.0, 0.01, 0.03])
def test_a_connection_that_breaks_while_the_move_is_told(mover: int, wait: float) -> None:
    s = street()
    mn = s.phones[mover]
    mn.leave("wlan0")
    mn.join("wwan0", "198.51.100.1", 200)
    s.run(0.08 + wait)
    mn.break_flows()
    s.run(15)
    assert well(s) and mn.said(say.MoveEnded)[-1].ok


@pytest.mark.parametrize("transport", ["TLS", "UDP"])
def test_hanging_up_without_any_network_ends_here_at_once_and_there_in_time(transport: str) -> None:
    s = street(transport, "none")
    a, b = s.phones
    a.lose_interface("wlan0")
    s.run(1)
    a.agent.hang_up(a.call.id, s.now)
    s.run(0.1)
    assert a.said(say.Ended)[0].by == "us" and not a.ports.open_ports
    a.join("wwan0", "198.51.100.1")
    s.run(3)
    assert b.said(say.Ended)[0].by == "peer", "the BYE is sent when there is a network again"


@MOVERS
def test_a_flapping_carrier_makes_few_moves_and_no_end(mover: int) -> None:
    s = street()
    mn = s.phones[mover]
    mn.join("wwan0", "198.51.100.1", 200)
    s.run(1)
    for _ in range(20):
        mn.leave("wlan0")
        s.run(0.1)
        mn.fact(LinkFact("wlan0", True))
        s.run(0.4)
    s.run(8)
    assert well(s)
    assert len(mn.said(say.MoveBegun)) <= 4, "to the mobile network at once, and back when there is rest"


@MOVERS
def test_a_move_in_the_middle_of_thirty_seconds_of_silence(mover: int) -> None:
    """A move does not make a dead call live for ever."""
    s = street()
    mn = s.phones[mover]
    s.muted |= {"first", "second"}
    s.run(20)
    mn.leave("wlan0")
    mn.join("wwan0", "198.51.100.1", 200)
    s.run(25)
    assert all(len(p.said(say.Ended)) == 1 for p in s.phones)


@pytest.mark.parametrize("transport", ["TLS", "UDP"])
@pytest.mark.parametrize("after", [0.5, 3.0, 20.0])
def test_a_registered_phone_calls_over_the_network_that_works(after: float, transport: str) -> None:
    """A preferred one carries nothing, such as a WLAN that wants a password on a page first; a call is placed while
    the phone still tries it, or later."""
    keying = "sdes" if transport == "TLS" else "none"
    configs = [phone_config(name, register=True, keying=keying) for name in ("alice", "bob")]
    s = Street(*configs, transport=transport)
    a, b = s.phones
    s.dead.add((a.name, "eth0"))
    a.join("wlan0", "192.0.2.1", 100)
    b.join("wlan0", "192.0.2.2", 100)
    s.run(1)
    a.join("eth0", "198.51.100.1", 50)
    s.run(after)
    a.agent.call("bob", s.now)
    s.run(8, until=lambda: bool(b.agent.calls))
    s.answer(b)
    assert well(s) and a.call.media.paths.sending.interface == "wlan0"
    assert not a.said(say.Ended)


@pytest.mark.parametrize("calls", [0, 1], ids=["calls", "is called"])
@pytest.mark.parametrize("after", [0.0, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5])
def test_a_call_that_begins_during_a_move_moves_too(after: float, calls: int) -> None:
    s = Street(phone_config("alice", register=True), phone_config("bob", register=True))
    a, b = s.phones
    s.connect_time = 0.4
    a.join("wlan0", "192.0.2.1", 100)
    b.join("wlan0", "192.0.2.2", 100)
    s.run(2)
    a.join("eth0", "198.51.100.1", 50)
    s.run(after)
    caller, callee = s.phones[calls], s.phones[1 - calls]
    caller.agent.call(callee.agent.config.account.username, s.now)
    s.run(8, until=lambda: bool(callee.agent.calls))
    s.answer(callee)
    a.leave("wlan0")
    s.run(3)
    assert well(s) and a.call.media.paths.sending.interface == "eth0"


@pytest.mark.parametrize("port", ["at once", "later"])
def test_a_call_that_moved_while_another_stayed_is_brought_back_when_its_network_goes(port: str) -> None:
    s = street()
    a, b = s.phones
    a.agent.call("bob", s.now)
    s.run(1)
    first = a.call.id
    (second,) = b.agent.calls.keys() - {first}
    b.agent.answer(second, s.now)
    s.run(2)
    s.alter = lambda _, octets: b"" if second.encode() in octets else octets
    a.join("eth0", "198.51.100.1", 50)
    s.run(6)
    assert {m.ok for m in a.said(say.MoveEnded)} == {True, False}
    s.alter = None
    if port == "later":
        a.ports.refused.add("wlan0")
    a.leave("eth0")
    s.run(1.2)
    a.ports.refused.clear()
    s.run(3)
    assert [call.media.paths.sending.interface for call in a.agent.calls.values()] == ["wlan0", "wlan0"]
    s.run(40)
    assert len(a.agent.calls) == len(b.agent.calls) == 2
