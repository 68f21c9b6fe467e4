"""Reliable provisional responses: RFC 3262."""

from __future__ import annotations

import pytest

from segue.base.errors import RemoteError
from segue.protocols.sip.message import Headers, Request, Response, response_to
from segue.protocols.sip.offer_answer import Exchange, OfferAnswer, Step
from segue.protocols.sip.reliable import (
    Rack,
    ReliableReceiver,
    ReliableSender,
    is_reliable,
    parse_rack,
    rseq_of,
    write_rack,
)
from segue.protocols.sip.timers import Timers
from segue.testing.entropy import SeededEntropy


def response(status: int = 180, body: bytes = b"") -> Response:
    fields = [
        ("Via", "SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKx"),
        ("From", "<sip:a@example.org>;tag=a"),
        ("To", "<sip:b@example.org>"),
        ("Call-ID", "call"),
        ("CSeq", "7 INVITE"),
    ]
    made = response_to(Request("INVITE", "sip:b@example.org", Headers(fields)), status, to_tag="b")
    made.body = body
    return made


def sender() -> ReliableSender:
    return ReliableSender(SeededEntropy(), Timers())


def test_responses_are_numbered_and_wait_for_each_other():
    callee = sender()
    first = callee.send(response(183), 0.0)
    assert first is not None and is_reliable(first) and callee.waiting
    assert callee.send(response(180), 0.0) is None
    rack = parse_rack(write_rack(first))
    assert rack == Rack(rseq_of(first), 7, "INVITE")
    assert not callee.acknowledges(rack._replace(response=rack.response + 1), 7)
    assert not callee.acknowledges(rack, 8)
    assert callee.acknowledges(rack, 7)
    second = callee.acknowledge(1.0)
    assert second is not None and second.status == 180 and rseq_of(second) == rseq_of(first) + 1
    assert callee.acknowledge(2.0) is None and not callee.waiting


def test_the_queue_is_bounded():
    callee = sender()
    for _ in range(100):
        callee.send(response(), 0.0)
    assert len(callee.unacknowledged()) == 9


def test_a_response_is_repeated_at_doubling_intervals_until_64_t1():
    callee = sender()
    callee.send(response(), 0.0)
    times = []
    while True:
        due = callee.deadline()
        assert due is not None
        if callee.overdue(due):
            break
        assert callee.expire(due) is not None
        times.append(due)
    assert times == [0.5, 1.5, 3.5, 7.5, 15.5, 31.5] and due == 32


def test_after_the_final_response_nothing_is_repeated_but_the_prack_still_fits():
    callee = sender()
    first = callee.send(response(), 0.0)
    callee.send(response(), 0.0)
    callee.stop()
    assert first is not None and callee.deadline() is None and not callee.overdue(100)
    assert callee.acknowledges(Rack(rseq_of(first), 7, "INVITE"), 7)
    assert callee.acknowledge(1.0) is None


def test_a_session_description_that_waits_holds_the_2xx_back():
    callee = sender()
    callee.send(response(), 0.0)
    assert not callee.body_waiting
    callee.send(response(183, b"answer"), 0.0)
    assert callee.body_waiting


def test_a_move_starts_the_timer_anew():
    callee = sender()
    first = callee.send(response(), 0.0)
    assert callee.repeated(10.0) is first and callee.deadline() == 10.5
    assert sender().repeated(0.0) is None


def test_the_caller_takes_each_response_once_and_in_order():
    caller = ReliableReceiver()
    assert [caller.take(rseq) for rseq in (5, 5, 7, 6, 7, 5)] == [True, False, False, True, True, False]
    assert caller.has(7) and not caller.has(6)


def test_require_keeps_what_was_there():
    made = response()
    made.headers.set("Require", "x-other")
    sent = sender().send(made, 0.0)
    assert sent is not None and sent.require == {"x-other", "100rel"}


@pytest.mark.parametrize(
    "value", [None, "", "1 2", "1 x INVITE", "1 2 INVITE 3", "-1 2 INVITE", "99999999999 2 INVITE"]
)
def test_a_bad_rack_is_refused(value):
    with pytest.raises(RemoteError) as refused:
        parse_rack(value)
    assert refused.value.status == 400


@pytest.mark.parametrize("value", ["0", "x", "-1", "4294967296", "99999999999", ""])
def test_a_bad_rseq_is_refused(value):
    made = response()
    made.headers.set("RSeq", value)
    with pytest.raises(RemoteError):
        rseq_of(made)


def test_what_is_reliable():
    made = response()
    made.headers.set("RSeq", "1")
    assert not is_reliable(made)
    made.headers.set("Require", "100rel")
    assert is_reliable(made)
    made.status = 100
    assert not is_reliable(made)


# Offer and answer, RFC 3264 section 4


def test_one_exchange_at_a_time():
    exchange = OfferAnswer()
    assert exchange.fresh and exchange.take(Step.OFFER_SENT) and not exchange.fresh
    assert not exchange.take(Step.OFFER_SENT) and not exchange.take(Step.OFFER_RECEIVED)
    assert not exchange.take(Step.ANSWER_SENT) and exchange.take(Step.ANSWER_RECEIVED)
    assert (exchange.state, exchange.completed) == (Exchange.IDLE, 1)
    assert exchange.take(Step.OFFER_RECEIVED) and not exchange.allows(Step.ANSWER_RECEIVED)
    assert exchange.take(Step.WITHDRAWN) and exchange.completed == 1
    assert not exchange.take(Step.ANSWER_SENT) and not exchange.take(Step.WITHDRAWN)
