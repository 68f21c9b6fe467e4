"""Session timers through the proxy (RFC 4028 section 8)."""

from __future__ import annotations

import pytest

from segue.base.errors import LocalError
from segue.server.config import Policy

BOB = "sip:bob@example.org"


def call(office, *, answer=(), **fields):
    """alice's INVITE as bob gets it, and bob's 200 as alice gets it."""
    alice, bob = office.phone("alice"), office.phone("bob")
    for phone in (alice, bob):
        assert phone.register().status == 200
    alice.invite(BOB, **fields)
    request = bob.take_request("INVITE")
    bob.answer(request, 200, **dict(answer))
    return request, alice.final()


def asks(make_office):
    return make_office(session_interval=1800, min_session_interval=120)


def test_a_proxy_that_wants_no_timers_changes_nothing(make_office):
    request, response = call(make_office())
    assert "Session-Expires" not in request.headers and "Session-Expires" not in response.headers
    request, response = call(
        make_office(),
        Session_Expires="600",
        Supported="timer",
        answer={"Session-Expires": "600;refresher=uas"},
    )
    assert request.headers.get("Session-Expires") == "600"
    assert response.headers.get("Session-Expires") == "600;refresher=uas"


def test_a_timer_is_asked_for_where_nobody_does(make_office):
    request, response = call(asks(make_office), Supported="timer")
    assert request.headers.get("Session-Expires") == "1800" and "Min-SE" not in request.headers
    assert response.headers.get("Session-Expires") == "1800;refresher=uac", "the callee knows none"
    assert response.require == {"timer"}


def test_not_less_than_the_caller_allows(make_office):
    request, _ = call(asks(make_office), Supported="timer", Min_SE="3600")
    assert request.headers.get("Session-Expires") == "3600"


def test_neither_knows_timers(make_office):
    request, response = call(asks(make_office))
    assert request.headers.get("Session-Expires") == "1800"
    assert "Session-Expires" not in response.headers and "Require" not in response.headers


def test_a_callee_that_knows_timers_has_the_last_word(make_office):
    _, response = call(asks(make_office), answer={"Session-Expires": "600;refresher=uas"})
    assert response.headers.get("Session-Expires") == "600;refresher=uas"


def test_too_short_an_interval(make_office):
    office = asks(make_office)
    alice, bob = office.phone("alice"), office.phone("bob")
    for phone in (alice, bob):
        phone.register()
    alice.invite(BOB, Session_Expires="100", Supported="timer")
    refusal = alice.final()
    assert (refusal.status, refusal.headers.get("Min-SE")) == (422, "120")
    alice.invite(BOB, Session_Expires="100")
    request = bob.take_request("INVITE")
    assert (request.headers.get("Session-Expires"), request.headers.get("Min-SE")) == ("120", "120")


def test_a_malformed_interval_is_refused(office):
    alice, bob = office.phone("alice"), office.phone("bob")
    for phone in (alice, bob):
        phone.register()
    alice.invite(BOB, Session_Expires="soon", Supported="timer")
    assert alice.final().status == 400


@pytest.mark.parametrize("wrong", [{"session_interval": 60}, {"min_session_interval": 30}])
def test_what_cannot_be_configured(wrong):
    with pytest.raises(LocalError):
        Policy(**wrong)
