"""Dialogs: RFC 3261 section 12, RFC 6141 section 4."""

from __future__ import annotations

import pytest

from segue.base.address import Address
from segue.base.errors import RemoteError
from segue.protocols.sip.dialog import Dialog, DialogState, contact_of
from segue.protocols.sip.flow import Flow
from segue.protocols.sip.message import Headers, Request, Response, response_to

FLOW = Flow("UDP", Address("192.0.2.1", 5060), Address("198.51.100.2", 5060))


def invite(uri: str = "sip:bob@example.org") -> Request:
    fields = [
        ("Via", "SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKx"),
        ("From", '"Alice" <sip:alice@example.org>;tag=a'),
        ("To", "<sip:bob@example.org>"),
        ("Call-ID", "call"),
        ("CSeq", "7 INVITE"),
        ("Contact", "<sip:alice@192.0.2.1>"),
        ("Record-Route", "<sip:p2.example.org;lr>"),
        ("Record-Route", "<sip:p1.example.org;lr>"),
    ]
    return Request("INVITE", uri, Headers(fields))


def answer(request: Request, contact: str = "<sip:bob@198.51.100.2>") -> Response:
    response = response_to(request, 200, to_tag="b")
    response.headers.set("Contact", contact)
    return response


def caller() -> Dialog:
    request = invite()
    return Dialog.of_caller(request, answer(request), FLOW)


def callee() -> Dialog:
    return Dialog.of_callee(invite(), "b", "<sip:bob@198.51.100.2>", FLOW)


def test_both_ends_make_the_same_dialog():
    one, other = caller(), callee()
    assert one.id == ("call", "a", "b") and other.id == ("call", "b", "a")
    assert one.remote_target == "sip:bob@198.51.100.2" and other.remote_target == "sip:alice@192.0.2.1"
    assert one.route_set == other.route_set[::-1] == ["<sip:p1.example.org;lr>", "<sip:p2.example.org;lr>"]
    assert one.owns_call_id and not other.owns_call_id


def test_a_request_of_the_caller():
    request = caller().request("BYE")
    assert request.uri == "sip:bob@198.51.100.2"
    assert request.headers.get_all("Route") == ["<sip:p1.example.org;lr>", "<sip:p2.example.org;lr>"]
    assert (request.from_.tag, request.to.tag, str(request.cseq)) == ("a", "b", "8 BYE")
    assert request.headers.get("From") == '"Alice" <sip:alice@example.org>;tag=a'
    assert "Contact" not in request.headers and request.max_forwards == 70


def test_a_request_of_the_callee_has_a_number_of_its_own():
    dialog = callee()
    assert [dialog.request(method).cseq.number for method in ("INFO", "UPDATE")] == [1, 2]
    update = dialog.request("UPDATE")
    assert (update.from_.tag, update.to.tag) == ("b", "a")
    assert update.headers.get("Contact") == "<sip:bob@198.51.100.2>"


def test_ack_has_the_number_of_its_invite_and_takes_none():
    dialog = caller()
    assert str(dialog.request("ACK", sequence=7).cseq) == "7 ACK"
    assert dialog.request("BYE").cseq.number == 8


def test_a_strict_router_gets_the_old_form():
    dialog = caller()
    dialog.route_set = ["<sip:old.example.org;method=INVITE?x=y>", "<sip:p2.example.org;lr>"]
    request = dialog.request("BYE")
    assert request.uri == "sip:old.example.org"
    assert request.headers.get_all("Route") == ["<sip:p2.example.org;lr>", "<sip:bob@198.51.100.2>"]


def test_next_hop_is_the_first_router_or_the_target():
    dialog = caller()
    assert dialog.next_hop == "sip:p1.example.org;lr"
    dialog.route_set = []
    assert dialog.next_hop == "sip:bob@198.51.100.2"


def test_the_2xx_makes_the_route_set_anew_and_nothing_else():
    request = invite()
    early = Dialog.of_caller(request, answer(request), FLOW)
    final = answer(request)
    final.headers.remove("Record-Route")
    early.confirm(final)
    assert early.route_set == [] and early.state is DialogState.CONFIRMED
    final.headers.set("Record-Route", "<sip:late.example.org;lr>")
    early.confirm(final)
    assert early.route_set == []


def test_requests_out_of_order_are_refused():
    dialog = callee()
    ordered = dialog.request("INFO")
    for number in (8, 8, 12):
        ordered.headers.set("CSeq", f"{number} INFO")
        dialog.receive_request(ordered)
    ordered.headers.set("CSeq", "11 INFO")
    with pytest.raises(RemoteError) as refused:
        dialog.receive_request(ordered)
    assert refused.value.status == 500
    late = dialog.request("PRACK")
    late.headers.set("CSeq", "9 PRACK")
    dialog.receive_request(late)  # known by its RAck
    assert dialog.remote_sequence == 12


def test_a_new_contact_is_the_new_target():
    dialog = callee()
    update = invite()
    assert not dialog.refresh_target(update)
    update.headers.set("Contact", "<sip:alice@203.0.113.7:5070>")
    assert dialog.refresh_target(update) and dialog.remote_target == "sip:alice@203.0.113.7:5070"
    update.headers.remove("Contact")
    assert not dialog.refresh_target(update) and dialog.remote_target == "sip:alice@203.0.113.7:5070"


def test_a_contact_must_be_a_sip_uri():
    request = invite()
    request.headers.set("Contact", "<tel:+15551234>")
    with pytest.raises(RemoteError):
        contact_of(request)
    with pytest.raises(RemoteError):
        Dialog.of_callee(request, "b", "<sip:bob@198.51.100.2>", FLOW)
    request.headers.remove("Contact")
    with pytest.raises(RemoteError) as refused:
        Dialog.of_callee(request, "b", "<sip:bob@198.51.100.2>", FLOW)
    assert refused.value.status == 400


def test_secure_only_when_the_uri_and_the_flow_are():
    tls = FLOW._replace(transport="TLS")
    sips = invite("sips:bob@example.org")
    assert Dialog.of_caller(sips, answer(sips), tls).secure
    assert not Dialog.of_caller(sips, answer(sips), FLOW).secure
    plain = invite()
    assert not Dialog.of_caller(plain, answer(plain), tls).secure
