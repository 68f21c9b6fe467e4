"""RFC 4028 as tables: what is asked for, what is answered, who refreshes and when it is over."""

from __future__ import annotations

import pytest

from segue.base.errors import RemoteError
from segue.protocols.sip.message import Headers, Request, Response, response_to
from segue.protocols.sip.session_timer import SessionTimer, interval_of, least_of

FIELDS = [
    ("Via", "SIP/2.0/TLS 192.0.2.1;branch=z9hG4bKa"),
    ("From", "<sip:a@example.org>;tag=a"),
    ("To", "<sip:b@example.org>"),
    ("Call-ID", "1"),
    ("CSeq", "1 INVITE"),
]


def invite(**fields: str) -> Request:
    headers = Headers([*FIELDS, *((name.replace("_", "-"), value) for name, value in fields.items())])
    return Request("INVITE", "sip:b@example.org", headers, b"")


def response(request: Request, status: int = 200, **fields: str) -> Response:
    answer = response_to(request, status, to_tag="b")
    for name, value in fields.items():
        answer.headers.set(name.replace("_", "-"), value)
    return answer


def asked(timer: SessionTimer) -> tuple[str | None, str | None]:
    request = invite()
    timer.ask(request)
    return request.headers.get("Session-Expires"), request.headers.get("Min-SE")


def test_offered_without_choosing_the_refresher_and_without_requiring() -> None:
    assert asked(SessionTimer(1800, True)) == ("1800", None)
    assert asked(SessionTimer(0, True)) == (None, None)
    assert asked(SessionTimer(1800, False)) == (None, None)


@pytest.mark.parametrize(
    ("supported", "refresher", "answered", "required"),
    [  # table 2
        ("", "", "uas", False),
        ("timer", "", "uas", True),
        ("timer", ";refresher=uac", "uac", True),
        ("timer", ";refresher=uas", "uas", True),
        ("timer", ";refresher=nobody", "uas", True),
    ],
)
def test_the_callee_says_who_refreshes(supported: str, refresher: str, answered: str, required: bool) -> None:
    timer, request = SessionTimer(1800, True), invite(Session_Expires=f"600{refresher}", Supported=supported)
    answer = response(request)
    timer.answer(request, answer, True, 100.0)
    assert answer.headers.get("Session-Expires") == f"600;refresher={answered}"
    assert ("timer" in answer.require) is required
    ours = answered == "uas"
    assert timer.refreshes is ours and timer.refresh_at == (400.0 if ours else None)
    assert timer.expires_at == (700.0 if ours else 668.0)


def test_the_callee_asks_for_a_timer_where_the_caller_only_knows_them() -> None:
    timer, request = SessionTimer(1800, True), invite(Supported="timer", Min_SE="3600")
    answer = response(request)
    timer.answer(request, answer, True, 0.0)
    assert answer.headers.get("Session-Expires") == "3600;refresher=uas", "not less than its Min-SE"
    timer, request = SessionTimer(1800, True), invite()
    timer.answer(request, answer := response(request), True, 0.0)
    assert "Session-Expires" not in answer.headers and timer.interval is None


@pytest.mark.parametrize(
    ("granted", "required", "refreshes", "expires"),
    [("600;refresher=uac", "timer", True, 600.0), ("600;refresher=uas", "timer", False, 568.0)],
)
def test_the_caller_takes_what_the_answer_says(
    granted: str, required: str, refreshes: bool, expires: float
) -> None:
    timer, request = SessionTimer(1800, True), invite(Session_Expires="1800", Supported="timer")
    timer.take_answer(request, response(request, Session_Expires=granted, Require=required), 0.0)
    assert (timer.interval, timer.refreshes, timer.expires_at) == (600, refreshes, expires)
    assert asked(timer)[0] == f"600;refresher={'uac' if refreshes else 'uas'}", "roles stay (section 7.4)"


def test_with_a_peer_that_does_not_know_timers_we_refresh_and_nothing_expires() -> None:
    timer, request = SessionTimer(1800, True), invite(Session_Expires="1800", Supported="timer")
    timer.take_answer(request, response(request), 0.0)
    assert timer.refreshes and timer.refresh_at == 900.0 and timer.expires_at is None
    assert asked(timer)[0] == "1800"
    request = invite()
    timer.answer(request, answer := response(request), True, 10.0)
    assert "Session-Expires" not in answer.headers and timer.refresh_at == 910.0
    timer.again(910.0)
    assert timer.refresh_at == 1810.0


def test_a_2xx_without_interval_turns_the_timer_off() -> None:
    timer, request = SessionTimer(0, True), invite(Supported="timer")
    timer.take_answer(request, response(request, Session_Expires="200;refresher=uac"), 0.0)
    assert timer.refresh_at == 100.0
    timer.take_answer(request, response(request), 50.0)
    assert timer.interval is timer.refresh_at is timer.expires_at is None


def test_too_small_an_interval_is_refused_only_to_who_knows_timers() -> None:
    timer = SessionTimer(1800, True)
    assert timer.objection(invite(Session_Expires="89", Supported="timer")) == 90
    assert timer.objection(invite(Session_Expires="90", Supported="timer")) is None
    added_by_a_proxy = invite(Session_Expires="10")
    assert timer.objection(added_by_a_proxy) is None
    timer.answer(added_by_a_proxy, answer := response(added_by_a_proxy), True, 0.0)
    assert "Session-Expires" not in answer.headers and timer.refresh_at is None


def test_after_422_the_request_comes_again_with_what_it_asked_for() -> None:
    timer = SessionTimer(1800, True)
    request = invite()
    assert timer.take_refusal(response(request, 422, Min_SE="3600"))
    assert asked(timer) == ("3600", "3600")
    assert not timer.take_refusal(response(request, 422, Min_SE="3600")), "nothing would be different"
    for least in (4000, 5000, 6000, 7000):
        assert timer.take_refusal(response(request, 422, Min_SE=str(least)))
    assert not timer.take_refusal(response(request, 422, Min_SE="8000")), "without end"
    assert not SessionTimer(1800, True).take_refusal(response(request, 486))
    assert not SessionTimer(1800, True).take_refusal(response(request, 422, Min_SE="x"))


def test_a_rogue_answer_makes_us_refresh_no_faster_than_the_least_there_is() -> None:
    timer, request = SessionTimer(1800, True), invite(Session_Expires="1800", Supported="timer")
    timer.take_answer(request, response(request, Session_Expires="1;refresher=uac", Require="timer"), 0.0)
    assert timer.refresh_at == 45.0
    for now in (45.0, 60.0, 75.0):
        timer.again(now)
        assert timer.refresh_at is not None and timer.refresh_at >= now + 10


@pytest.mark.parametrize("value", ["x", "-1", "1e3", "", "99999999999", "٣"])
def test_malformed_fields(value: str) -> None:
    request = invite(Session_Expires=value, Supported="timer")
    with pytest.raises(RemoteError) as error:
        SessionTimer(1800, True).objection(request)
    assert error.value.status == 400
    timer = SessionTimer(1800, True)
    sent = invite(Session_Expires="1800")
    timer.take_answer(sent, response(sent, Session_Expires=value), 0.0)
    assert timer.interval == 1800, "as if it were not there"


def test_fields_as_they_come() -> None:
    assert interval_of(invite(Session_Expires=" 1800 ; Refresher=UAS;x=y")) == (1800, "uas")
    assert least_of(invite(Min_SE="30")) == 90 and least_of(invite(Min_SE="120;x=1")) == 120


@pytest.mark.parametrize(("updates", "refresher"), [(True, "uas"), (False, "uac")])
def test_who_would_have_to_reinvite_leaves_the_refreshing_to_the_caller(
    updates: bool, refresher: str
) -> None:
    timer, request = SessionTimer(1800, True), invite(Session_Expires="1800", Supported="timer")
    timer.answer(request, answer := response(request), updates, 0.0)
    assert answer.headers.get("Session-Expires") == f"1800;refresher={refresher}"
    timer.answer(request, answer := response(request), not updates, 10.0)
    assert answer.headers.get("Session-Expires") == f"1800;refresher={refresher}", "and so it stays"
