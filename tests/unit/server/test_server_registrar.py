"""What a phone sees of the registrar."""

from __future__ import annotations

import pytest

from segue.protocols.sip.message import Request, Response

INSTANCE = "urn:uuid:00000000-0000-1000-8000-000a95a0e128"


def test_a_phone_registers_and_gets_its_gruu_and_flow_timer(office):
    phone = office.phone("bob", "TLS", instance=INSTANCE)
    response = phone.register()
    assert response.status == 200
    assert phone.gruu == f"sip:bob@example.org;gr={INSTANCE}"
    assert response.require == {"outbound"}
    assert response.headers.get("Flow-Timer") == "120"
    assert response.supported >= {"outbound", "gruu"}
    assert response.contacts[0].params["expires"] == "600"
    assert response.contacts[0].params["reg-id"] == "1"


@pytest.mark.parametrize("algorithm", ["MD5", "SHA-256", "SHA-512-256"])
def test_each_digest_algorithm_is_taken(make_office, algorithm):
    phone = make_office(digest=("SHA-512-256", "SHA-256", "MD5")).phone("bob")
    request = phone.request("REGISTER", "sip:example.org", to=f"<{phone.aor}>", Contact=phone.contact_field())
    phone.send(request)
    challenge = phone.final()
    offered = challenge.headers.get_all("WWW-Authenticate")
    challenge.headers.remove("WWW-Authenticate")
    for value in offered:
        if f"algorithm={algorithm}," in value:
            challenge.headers.add("WWW-Authenticate", value)
    phone.send(phone.again(request, challenge))
    assert phone.final().status == 200


def test_nothing_is_answered_200_before_it_is_saved(office):
    phone = office.phone("bob")
    phone.register()
    office.save = False
    request = phone.request("REGISTER", "sip:example.org", to=f"<{phone.aor}>", Contact=phone.contact_field())
    phone.digest.prepare(request)
    phone.send(request)
    assert phone.inbox == []
    batch = office.core.take_batch()
    assert [binding.contact for binding in batch.dirty.written.values()] == [phone.contact]
    office.core.committed(batch, True, office.now)
    office.settle()
    assert phone.final().status == 200


def test_what_cannot_be_saved_is_answered_500(office):
    phone = office.phone("bob")
    phone.register()
    office.save = False
    request = phone.request("REGISTER", "sip:example.org", to=f"<{phone.aor}>", Contact=phone.contact_field())
    phone.digest.prepare(request)
    phone.send(request)
    office.core.committed(office.core.take_batch(), False, office.now)
    office.settle()
    assert phone.final().status == 500


def test_two_flows_of_one_instance_are_two_bindings_and_a_new_connection_replaces_its_own(office):
    phone = office.phone("bob", "TLS", instance=INSTANCE)
    phone.register(reg_id=1)
    other = office.phone("bob", "TLS", instance=INSTANCE)
    assert len(other.register(reg_id=2).contacts) == 2
    again = office.phone("bob", "TLS", instance=INSTANCE)
    response = again.register(reg_id=1)
    assert len(response.contacts) == 2
    assert {str(contact.uri) for contact in response.contacts} == {again.contact, other.contact}


def test_expiry_removes_and_refresh_keeps(office):
    phone = office.phone("bob")
    phone.register(expires=100)
    office.advance(90)
    phone.register(expires=100)
    office.advance(90)
    assert len(office.core.location) == 1
    office.advance(20)
    assert len(office.core.location) == 0


def test_star_removes_all_and_fetch_changes_nothing(office):
    phone = office.phone("bob")
    phone.register()
    fetch = phone.request("REGISTER", "sip:example.org", to=f"<{phone.aor}>")
    assert len(phone.ask(fetch).contacts) == 1
    star = phone.request("REGISTER", "sip:example.org", to=f"<{phone.aor}>", Contact="*", Expires="0")
    response = phone.ask(star)
    assert (response.status, response.contacts) == (200, [])
    wrong = phone.request("REGISTER", "sip:example.org", to=f"<{phone.aor}>", Contact="*", Expires="60")
    assert phone.ask(wrong).status == 400


def test_too_short_is_423_and_too_long_is_shortened(office):
    phone = office.phone("bob")
    response = phone.register(expires=10)
    assert (response.status, response.headers.get("Min-Expires")) == (423, "60")
    assert phone.register(expires=1_000_000).contacts[0].params["expires"] == "7200"


def test_an_old_register_that_comes_late_changes_nothing(office):
    phone = office.phone("bob")
    phone.register()
    late = phone.request("REGISTER", "sip:example.org", to=f"<{phone.aor}>", Contact=phone.contact_field())
    late.headers.set("Call-ID", f"register-{phone.flow.remote.port}-1")
    late.headers.set("CSeq", "1 REGISTER")
    late.headers.set("Expires", "0")
    phone.digest.prepare(late)
    phone.send(late)
    assert phone.final().status == 500
    assert len(office.core.location) == 1


def test_wrong_password_is_refused_and_guessing_gets_no_answer_but_the_owner_does(office):
    thief = office.phone("bob", password="guess")
    first = thief.request("REGISTER", "sip:example.org", to=f"<{thief.aor}>", Contact=thief.contact_field())
    thief.send(first)
    challenge = thief.final()
    answers = []
    for _ in range(30):
        guess = thief.again(first, challenge)
        thief.digest._known.clear()
        thief.send(guess)
        answers += [message.status for message in thief.inbox]
        thief.inbox.clear()
    assert set(answers) == {401}
    assert len(answers) == 10
    assert office.phone("bob").register().status == 200


def test_nobody_registers_for_somebody_else(office):
    mallory = office.phone("carol")
    request = mallory.request(
        "REGISTER", "sip:example.org", to="<sip:bob@example.org>", Contact="<sip:x@198.51.100.7>"
    )
    assert mallory.ask(request).status == 403
    foreign = mallory.request("REGISTER", "sip:elsewhere.org", to="<sip:carol@elsewhere.org>")
    assert mallory.ask(foreign).status == 403


def test_outbound_through_another_proxy_is_439(office):
    phone = office.phone("bob", instance=INSTANCE)
    request = phone.request("REGISTER", "sip:example.org", to=f"<{phone.aor}>", Contact=phone.contact_field())
    request.headers.set("Supported", "outbound")
    request.headers.add("Via", "SIP/2.0/UDP 10.0.0.9;branch=z9hG4bKinner")
    phone.send(request)
    challenge = phone.final()
    again = phone.again(request, challenge)
    phone.send(again)
    assert phone.final().status == 439


def test_an_unknown_required_extension_is_420(office):
    phone = office.phone("bob")
    request = phone.request("REGISTER", "sip:example.org", to=f"<{phone.aor}>", Require="teleport")
    response = phone.ask(request)
    assert (response.status, response.headers.get("Unsupported")) == (420, "teleport")


def test_contacts_of_one_user_are_bounded(make_office):
    office = make_office(contacts_limit=3)
    phone = office.phone("bob")
    for number in range(3):
        assert phone.register(contact=f"<sip:bob@198.51.100.{number}>", reg_id=number + 1).status == 200
    assert phone.register(contact="<sip:bob@198.51.100.9>", reg_id=9).status == 403


def test_a_broken_connection_takes_its_binding(office):
    phone = office.phone("bob", "TLS", instance=INSTANCE)
    phone.register()
    office.close(phone.flow)
    assert len(office.core.location) == 0


@pytest.mark.parametrize(
    ("transport", "sent"), [("UDP", b"\r\n\r\n"), ("TLS", b"\r\n\r\n"), ("TCP", b"\r\n\r\n")]
)
def test_a_ping_is_answered(office, transport, sent):
    flow = office.flow(transport)
    office.send(sent, flow)
    assert office.raw == [(flow, b"\r\n")]


def test_a_malformed_request_is_answered_400_and_garbage_is_dropped(office):
    phone = office.phone("bob")
    request = phone.request("OPTIONS", "sip:example.org")
    request.headers.set("CSeq", "x OPTIONS")
    phone.send(request)
    assert phone.final().status == 400
    office.send(b"\x00\x01\x02 what is this", phone.flow)
    office.send(Response(200, "OK", request.headers), phone.flow)
    assert phone.inbox == []


def test_options_to_the_server_is_answered(office):
    phone = office.phone("bob")
    phone.send(phone.request("OPTIONS", "sip:example.org"))
    response = phone.final()
    assert response.status == 200
    assert "INVITE" in (response.headers.get("Allow") or "")


def test_one_source_cannot_send_without_end(make_office):
    office = make_office(requests_rate=10.0, requests_burst=20.0)
    phone = office.phone("bob")
    other = office.flow("UDP", host="203.0.113.5")
    for _ in range(100):
        phone.send(phone.request("OPTIONS", "sip:example.org"))
    assert len(phone.inbox) == 20
    request = Request("OPTIONS", "sip:example.org", phone.request("OPTIONS", "sip:example.org").headers)
    office.send(request, other)
    assert len(office.inboxes[other]) == 1


def test_idle_connections_are_closed_and_registered_ones_stay(office):
    stranger = office.flow("TCP")
    phone = office.phone("bob", "TLS", instance=INSTANCE)
    phone.register()
    office.advance(60)
    closed = [event.flow for event in office.core.events()]
    assert stranger in closed
    assert phone.flow not in closed


@pytest.mark.parametrize("part", ["nonce", "cnonce", "response", "uri", "username"])
def test_credentials_in_no_alphabet_are_refused(office, part):
    phone = office.phone("bob")
    request = phone.request("REGISTER", "sip:example.org", to=f"<{phone.aor}>")
    phone.send(request)
    again = phone.again(request, phone.final())
    text = again.headers.get("Authorization").replace(f'{part}="', f'{part}="\udcff')
    again.headers.set("Authorization", text)
    phone.send(again)
    assert phone.final().status in (400, 401)
