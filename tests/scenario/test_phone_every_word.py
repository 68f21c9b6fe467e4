"""Whole phones in virtual time that move while both talk: every word is heard (design decision 5)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from segue.base.coded_signal import BLOCK, coded_signal
from segue.call import events as say
from segue.media.coded_signal import analyse, repeated_ms, unheard_ms
from segue.testing.phones import Street, TestPhone, phone_config

TALK = 24.0  # seconds
RATE = 8000


def talking(transport: str = "TLS", **media: Any) -> Street:
    """Both are up, and begin to say the coded signal."""
    s = Street(phone_config("alice", **media), phone_config("bob", **media), transport=transport)
    s.meet()
    for phone in s.phones:
        phone.speech = coded_signal(0, round(TALK / BLOCK), RATE)
    s.run(2)
    return s


def unheard(s: Street, until: float = 3.0) -> list[tuple[float, float]]:
    """Unheard and repeated milliseconds at each phone, of all but the last seconds and what had begun before."""
    said = range(5, round((TALK - until) / BLOCK))
    found = [analyse(np.concatenate(phone.recording), RATE) for phone in s.phones]
    return [(unheard_ms(said, heard), repeated_ms(heard)) for heard in found]


def hard_move(s: Street, mover: int, length: float = 0.4) -> TestPhone:
    mn = s.phones[mover]
    mn.leave("wlan0")
    s.run(length)
    mn.join("wwan0", "198.51.100.7", 200)
    return mn


def finish(s: Street) -> None:
    speech = s.phones[0].speech
    assert speech is not None
    s.run(len(speech) / RATE - 0.1)


@pytest.mark.parametrize("mover", [0, 1], ids=["caller moves", "callee moves"])
@pytest.mark.parametrize(("transport", "keying"), [("TLS", "sdes"), ("UDP", "none")])
@pytest.mark.parametrize("ice", [True, False])
def test_every_word_is_heard_over_a_hard_move(mover: int, transport: str, keying: str, ice: bool) -> None:
    s = talking(transport, keying=keying, ice=ice)
    mn = hard_move(s, mover)
    finish(s)
    assert [e.ok for e in mn.said(say.MoveEnded)] == [True]
    assert unheard(s) == [(0, 0), (0, 0)]
    assert mn.call.media.session.repair_statistics.sent_late >= 18


def test_without_waiting_it_is_not() -> None:
    """The control."""
    s = talking(speech="continuous")
    hard_move(s, 0)
    finish(s)
    assert min(lost for lost, _ in unheard(s)) >= 320


def test_every_word_is_heard_when_the_network_that_went_comes_back() -> None:
    """Nothing moves: the same address is there again."""
    s = talking()
    mn = s.phones[0]
    mn.leave("wlan0")
    s.run(1.0)
    mn.join("wlan0", "192.0.2.1")
    finish(s)
    assert unheard(s) == [(0, 0), (0, 0)]


@pytest.mark.parametrize("apart", [0.0, 0.08])
@pytest.mark.parametrize("ice", [True, False])
def test_every_word_is_heard_when_both_move(apart: float, ice: bool) -> None:
    s = talking(ice=ice)
    for phone in s.phones:
        phone.leave("wlan0")
        s.run(apart)
    s.run(0.3)
    for number, phone in enumerate(s.phones):
        phone.join("wwan0", f"198.51.100.{number + 7}", 200)
        s.run(apart)
    finish(s)
    assert unheard(s, until=5.0) == [(0, 0), (0, 0)]


@pytest.mark.parametrize("ice", [True, False])
def test_a_soft_move_sends_nothing_late(ice: bool) -> None:
    s = talking(ice=ice)
    mn = s.phones[0]
    mn.join("wwan0", "198.51.100.7", 50)
    s.run(1.0)
    mn.leave("wlan0")
    finish(s)
    assert unheard(s) == [(0, 0), (0, 0)]
    for phone in s.phones:
        statistics = phone.call.media.session.repair_statistics
        assert (statistics.sent_late, statistics.resent) == (0, 0)
