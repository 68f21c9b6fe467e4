"""Whole phones in virtual time that speak ICE: a move needs no signalling, and a soft one goes two ways at once."""

from __future__ import annotations

from typing import Any

import pytest

from segue.base.address import Address
from segue.call import events as say
from segue.mobility.budget import DuplicationBudget, DuplicationLimits
from segue.phone.attention import Attention
from segue.protocols.rtp.packet import parse_rtp
from segue.testing.phones import PERIOD, Street, TestPhone, phone_config

OWD = 0.02
LATE = 0.002  # what rounding to ticks may add
SLOW = 1.5  # seconds that signalling takes to come back


def street(keying: str = "sdes", **options: Any) -> Street:
    media = {"ice": options.pop("ice", True), "duplicate": options.pop("duplicate", True)}
    first, second = (phone_config(name, keying=keying, **media) for name in ("alice", "bob"))
    made = Street(first, second, delay=OWD, **options)
    made.meet()
    return made


def new_address(number: int = 1) -> str:
    return f"198.51.100.{number}"


def sent_to(phone: TestPhone, host: str, since: float) -> list[float]:
    return [m.at for m in phone.sent_media if m.at >= since and m.remote.host == host]


def sequences(phone: TestPhone, since: float) -> list[int]:
    """RTP sequence numbers of all that it sent, copies too."""
    return [parse_rtp(m.packet).sequence for m in phone.sent_media if m.at >= since]


@pytest.mark.parametrize("mover", [0, 1], ids=["controlling", "controlled"])
def test_a_hard_move_waits_for_no_signalling(mover: int) -> None:
    s = street()
    mn, cn = s.phones[mover], s.phones[1 - mover]
    s.connect_time = SLOW
    mn.leave("wlan0")
    s.run(0.05)
    back_at = s.now
    mn.join("wwan0", new_address(), 200)
    s.run(1)
    assert not mn.said(say.MoveEnded), "signalling is not there yet"
    uplink = [m.at for m in mn.sent_media if m.at >= back_at and m.port.interface == "wwan0"]
    assert uplink[0] <= back_at + PERIOD
    downlink = sent_to(cn, new_address(), back_at)
    assert downlink[0] <= back_at + OWD + PERIOD + LATE
    assert mn.hears() and cn.hears()
    assert not sent_to(cn, "192.0.2.1", s.now - 0.3) and not sent_to(cn, "192.0.2.2", s.now - 0.3)
    s.run(2)
    (ended,) = mn.said(say.MoveEnded)
    assert ended.ok
    assert mn.hears() and cn.hears()


@pytest.mark.parametrize("mover", [0, 1], ids=["controlling", "controlled"])
def test_the_same_without_ice_waits(mover: int) -> None:
    """The control: what the test before sees is not there by itself."""
    s = street(ice=False)
    mn, cn = s.phones[mover], s.phones[1 - mover]
    s.connect_time = SLOW
    mn.leave("wlan0")
    s.run(0.05)
    back_at = s.now
    mn.join("wwan0", new_address(), 200)
    s.run(1)
    assert not sent_to(cn, new_address(), back_at) and not mn.hears()


def test_nobody_is_sent_more_than_three_times_what_came_from_there_before_the_proof() -> None:
    """The mover's answers never come: the peer's media goes on where it was."""
    s = street()
    mn, cn = s.phones
    s.connect_time = 1e9
    begun = s.now
    mn.leave("wlan0")
    mn.join("wwan0", new_address(), 200)
    s.run(OWD + 0.005)
    mn.leave("wwan0")  # the check has left, nothing comes back
    s.run(4)
    came = sum(len(m.packet) for m in mn.sent_media if m.port.interface == "wwan0")
    sent = sum(len(m.packet) for m in cn.sent_media if m.at >= begun and m.remote.host == new_address())
    assert 0 < sent <= 3 * (came + 200)
    assert cn.call.media.paths.active is not None
    assert cn.call.media.paths.active.remote.host == "192.0.2.1"


@pytest.mark.parametrize("mover", [0, 1], ids=["controlling", "controlled"])
def test_a_soft_move_goes_two_ways_and_loses_nothing(mover: int) -> None:
    s = street()
    mn = s.phones[mover]
    begun = s.now
    mn.join("wwan0", new_address(), 50)
    s.run(0.5)
    mn.leave("wlan0")
    s.run(3)
    (ended,) = mn.said(say.MoveEnded)
    assert ended.ok and mn.said(say.MoveBegun)[0].kind == "soft"
    for phone in s.phones:
        assert phone.silence(begun, s.now) == 0
        numbers = sequences(phone, begun)
        copies = len(numbers) - len(set(numbers))
        assert 10 <= copies <= 0.6 / PERIOD, "both ways, for as long as both are there"


def test_duplication_can_be_turned_off() -> None:
    s = street(duplicate=False)
    begun = s.now
    s.phones[0].join("wwan0", new_address(), 50)
    s.run(3)
    for phone in s.phones:
        # Only what is sent under proof goes twice.
        numbers = sequences(phone, begun)
        assert len(numbers) - len(set(numbers)) <= 3


def test_ten_moves_one_after_another() -> None:
    s = street()
    mn, cn = s.phones
    for turn in range(10):
        old, new = ("wlan0", "wwan0") if turn % 2 == 0 else ("wwan0", "wlan0")
        mn.leave(old)
        s.run(0.05)
        mn.join(new, new_address(turn + 1), 100)
        s.run(0.5)
        assert mn.hears() and cn.hears(), f"after move {turn + 1}"
    s.run(3)
    assert mn.hears() and cn.hears() and mn.is_up and cn.is_up


def test_a_peer_without_ice_is_called_as_before() -> None:
    """What we offer of it harms nobody."""
    first, second = phone_config("alice"), phone_config("bob", ice=False)
    s = Street(first, second, delay=OWD)
    s.meet()
    assert all(phone.hears() for phone in s.phones)
    mn = s.phones[0]
    mn.leave("wlan0")
    mn.join("wwan0", new_address(), 200)
    s.run(3)
    assert all(phone.hears() for phone in s.phones)
    assert mn.said(say.MoveEnded)[0].ok


def test_each_network_has_a_candidate_and_one_that_comes_later_gets_one() -> None:
    first, second = phone_config("alice"), phone_config("bob")
    s = Street(first, second, delay=OWD)
    s.phones[0].join("wwan0", new_address(7), 300)
    s.meet()
    invite = next(m.octets for m in s.messages if m.start.startswith("INVITE"))
    hosts = {line.split()[4] for line in invite.decode().split("\r\n") if line.startswith("a=candidate")}
    assert hosts == {"192.0.2.1", new_address(7)}
    s.phones[0].join("eth0", new_address(9), 400)
    s.run(0.1)
    assert Address(new_address(9), 0).host in {p.address.host for p in s.phones[0].call.media.paths.ports}


def test_a_network_that_comes_later_is_told_to_the_peer_by_info() -> None:
    s = street()
    s.phones[0].join("eth0", new_address(9), 400)
    s.run(1)
    told = [m.octets for m in s.messages if m.start.startswith("INFO")]
    assert told and new_address(9).encode() in told[-1] and b"a=ice-ufrag" in told[-1]
    answered = [m.octets for m in s.messages if m.sender == "second" and b"INFO" in m.octets]
    assert answered and answered[-1].startswith(b"SIP/2.0 200")
    assert all(phone.hears() for phone in s.phones)


@pytest.mark.parametrize("per_call", [1_000_000, 5_000])
def test_a_link_that_loses_packets_gets_help_from_another_within_the_budget(per_call: int) -> None:
    s = street()
    mn = s.phones[0]
    mn.join("wwan0", new_address(), 400)
    attention = Attention(mn.call)
    connectivity = mn.call.media.connectivity
    budget = DuplicationBudget(frozenset({"wwan0"}), DuplicationLimits(per_call=per_call)).for_call()
    connectivity._duplication._may = budget.allows
    copies = []
    for loss in (0.0, 0.1, 0.0):
        s.wire.loss = loss
        begun = s.now
        while s.now < begun + 15:
            s.run(0.02)
            attention.tick(s.now)
        by_the_second = [m for m in mn.sent_media if m.at >= s.now - 2 and m.port.interface == "wwan0"]
        copies.append(len(by_the_second))
    assert copies[0] == copies[2] == 0, "while all arrives, one way is enough"
    assert (copies[1] > 90) == (per_call > 100_000) and budget.spent <= per_call
