"""A transaction's times, as RFC 8489 section 6.2.1 counts them."""

from __future__ import annotations

import pytest

from segue.protocols.stun.transaction import ClientTransaction, RetransmissionTimeout, Timers


def times(transaction: ClientTransaction, now: float) -> tuple[list[float], float]:
    """When it sent, and when it gave up."""
    sent = [now] * len(transaction.transmits())
    while (due := transaction.deadline()) is not None:
        now = due
        transaction.expire(now)
        sent += [now] * len(transaction.transmits())
    assert transaction.failed
    return sent, now


def test_the_example_of_the_rfc() -> None:
    sent, end = times(ClientTransaction(b"x" * 12, b"octets", 0.0), 0.0)
    assert sent == [0, 0.5, 1.5, 3.5, 7.5, 15.5, 31.5] and end == 39.5


def test_on_a_stream_it_is_sent_once() -> None:
    sent, end = times(ClientTransaction(b"x" * 12, b"octets", 1.0, Timers(reliable=True)), 1.0)
    assert sent == [1.0] and end == 40.5


def test_a_late_timer_sends_once() -> None:
    transaction = ClientTransaction(b"x" * 12, b"octets", 0.0)
    assert transaction.transmits() == [b"octets"]
    transaction.expire(20.0)
    assert transaction.transmits() == [b"octets"] and transaction.transmits() == []


def test_a_round_trip_is_known_of_what_was_sent_once() -> None:
    transaction = ClientTransaction(b"x" * 12, b"octets", 1.0)
    assert transaction.round_trip(1.2) == pytest.approx(0.2)
    transaction.expire(1.5)
    assert transaction.round_trip(1.6) is None


def test_the_timeout_is_learnt_and_forgotten() -> None:
    """RFC 6298 section 2, without its rounding to a second; forgotten after ten minutes."""
    rto = RetransmissionTimeout(least=0.5)
    assert rto.value(0.0) == 0.5
    rto.measured(0.4, 1.0)
    assert rto.value(1.0) == pytest.approx(0.4 + 4 * 0.2)
    rto.measured(0.4, 2.0)
    assert rto.value(2.0) == pytest.approx(0.4 + 4 * 0.15)
    assert rto.value(603.0) == 0.5
