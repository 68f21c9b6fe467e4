"""Calls through the proxy, as the phones see them."""

from __future__ import annotations

import pytest

from segue.protocols.sip.message import Response

BOB = "sip:bob@example.org"
ONE, TWO = (f"urn:uuid:00000000-0000-1000-8000-00000000000{number}" for number in (1, 2))


def registered(office, name, transport="UDP", **more):
    phone = office.phone(name, transport, **more)
    assert phone.register(reg_id=more.pop("reg_id", 1)).status == 200
    return phone


def call(caller, callee, uri=BOB):
    """Call and answer; what each side has of the dialog: the 200 at the caller, the INVITE at the callee."""
    caller.invite(uri)
    invite = callee.take_request("INVITE")
    callee.answer(invite, 180)
    callee.answer(invite, 200)
    answer = caller.final()
    assert answer.status == 200
    caller.send(caller.in_dialog("ACK", answer, caller=True))
    callee.take_request("ACK")
    return answer, invite


def as_callee(invite, callee):
    """The dialog of a callee, in the shape `in_dialog` takes: tags, routes and target of its INVITE."""
    headers = invite.headers.copy()
    headers.set("To", f"{headers.get('To')};tag=to-{callee.name}")
    return Response(200, "OK", headers)


def test_a_call_is_set_up_and_ended_and_the_proxy_stays_in_it(office):
    alice, bob = registered(office, "alice"), registered(office, "bob")
    alice.invite(BOB)
    invite = bob.take_request("INVITE")
    assert invite.uri == bob.contact
    assert invite.max_forwards == 69
    assert invite.headers.get("Proxy-Authorization") is None
    assert invite.headers.get("Max-Breadth") == "60"
    bob.answer(invite, 180)
    assert alice.take().status == 180
    bob.answer(invite, 200)
    answer = alice.final()
    assert [via for via in answer.vias if via.host != alice.flow.remote.host] == []
    alice.send(alice.in_dialog("ACK", answer, caller=True))
    assert bob.take_request("ACK").uri == bob.contact
    bye = bob.in_dialog("BYE", as_callee(invite, bob), caller=False)
    bob.send(bye)
    assert alice.take_request("BYE").uri == alice.contact


def test_two_phones_ring_one_answers_and_the_other_is_cancelled(office):
    alice = registered(office, "alice")
    first, second = registered(office, "bob", instance=ONE), registered(office, "bob", instance=TWO)
    alice.invite(BOB)
    invites = [phone.take_request("INVITE") for phone in (first, second)]
    assert invites[0].via.branch != invites[1].via.branch
    assert [int(invite.headers.get("Max-Breadth")) for invite in invites] == [30, 30]
    first.answer(invites[0], 180)
    second.answer(invites[1], 180)
    first.answer(invites[0], 200)
    cancel = second.take_request("CANCEL")
    assert cancel.via.branch == invites[1].via.branch
    assert cancel.headers.get("Reason") == 'SIP;cause=200;text="Call completed elsewhere"'
    second.answer(cancel, 200)
    second.answer(invites[1], 487)
    assert alice.final().status == 200
    assert alice.inbox == []


def test_all_refuse_and_the_best_refusal_goes_back(office):
    alice = registered(office, "alice")
    first, second = registered(office, "bob", instance=ONE), registered(office, "bob", instance=TWO)
    alice.invite(BOB)
    second.answer(second.take_request("INVITE"), 503)
    assert [m for m in alice.inbox if m.status >= 200] == []
    first.answer(first.take_request("INVITE"), 486)
    assert alice.final().status == 486


def test_a_6xx_ends_the_ringing_everywhere(office):
    alice = registered(office, "alice")
    first, second = registered(office, "bob", instance=ONE), registered(office, "bob", instance=TWO)
    alice.invite(BOB)
    ringing = second.take_request("INVITE")
    second.answer(ringing, 180)
    first.answer(first.take_request("INVITE"), 603)
    cancel = second.take_request("CANCEL")
    second.answer(cancel, 200)
    second.answer(ringing, 487)
    assert alice.final().status == 603


def test_the_caller_hangs_up_before_the_answer(office):
    alice, bob = registered(office, "alice"), registered(office, "bob")
    request = alice.invite(BOB)
    invite = bob.take_request("INVITE")
    bob.answer(invite, 180)
    cancel = alice.request("CANCEL", BOB)
    for name in ("Via", "From", "To", "Call-ID"):
        cancel.headers.set(name, request.headers.get(name) or "")
    cancel.headers.set("CSeq", f"{request.cseq.number} CANCEL")
    alice.send(cancel)
    bob.answer(bob.take_request("CANCEL"), 200)
    bob.answer(invite, 487)
    assert [alice.final().status, alice.final().status] == [200, 487]


def test_several_flows_of_one_phone_get_one_copy_on_the_newest(office):
    alice = registered(office, "alice")
    old = (
        registered(office, "bob", "TLS", instance=ONE, reg_id=1)
        if False
        else office.phone("bob", "UDP", instance=ONE)
    )
    old.register(reg_id=1)
    new = office.phone("bob", "UDP", instance=ONE)
    new.register(reg_id=2)
    alice.invite(BOB)
    assert new.take_request("INVITE").uri == new.contact
    assert old.inbox == []


def test_a_silent_flow_is_followed_by_the_next_of_the_same_phone(office):
    alice = registered(office, "alice")
    old, new = office.phone("bob", instance=ONE), office.phone("bob", instance=ONE)
    old.register(reg_id=1)
    new.register(reg_id=2)
    alice.invite(BOB)
    new.answer(new.take_request("INVITE"), 430)
    old.answer(old.take_request("INVITE"), 200)
    assert alice.final().status == 200


def test_a_bye_reaches_a_callee_that_registered_elsewhere_meanwhile(office):
    alice = registered(office, "alice", "TLS", instance=TWO)
    bob = registered(office, "bob", "TLS", instance=ONE)
    answer, invite = call(alice, bob)
    assert str(answer.contacts[0].uri) == bob.gruu
    assert all("@" not in route for m in (answer, invite) for route in m.headers.get_all("Record-Route"))
    moved = office.phone("bob", "TLS", instance=ONE)
    moved.register(reg_id=2)
    office.close(bob.flow)
    alice.send(alice.in_dialog("BYE", answer, caller=True))
    bye = moved.take_request("BYE")
    moved.answer(bye, 200)
    assert alice.final().status == 200
    assert bye.headers.get_all("Route") == []


def test_a_bye_waits_for_a_callee_that_is_just_changing_its_connection(office):
    alice = registered(office, "alice", "TLS", instance=TWO)
    bob = registered(office, "bob", "TLS", instance=ONE)
    answer, _ = call(alice, bob)
    office.close(bob.flow)
    alice.send(alice.in_dialog("BYE", answer, caller=True))
    office.advance(3)
    assert [m for m in alice.inbox if m.status >= 200] == []
    moved = registered(office, "bob", "TLS", instance=ONE)
    moved.answer(moved.take_request("BYE"), 200)
    assert alice.final().status == 200


def test_a_phone_that_does_not_come_back_is_480(office):
    alice, bob = registered(office, "alice"), registered(office, "bob", "TLS", instance=ONE)
    office.close(bob.flow)
    alice.invite(BOB)
    office.advance(10)
    assert alice.final().status == 480


def test_a_ringing_call_follows_the_phone_to_its_newest_flow(office):
    alice, bob = registered(office, "alice"), registered(office, "bob", instance=ONE)
    alice.invite(BOB)
    first = bob.take_request("INVITE")
    bob.answer(first, 180)
    moved = office.phone("bob", instance=ONE)
    moved.register(reg_id=2)
    again = moved.take_request("INVITE")
    assert again.via.branch != first.via.branch
    for name in ("Call-ID", "From", "CSeq"):
        assert again.headers.get(name) == first.headers.get(name)
    moved.answer(again, 200)
    assert alice.final().status == 200
    office.advance(100)
    assert [m for m in bob.inbox if m.method == "INVITE"] == []


def test_an_unanswered_invite_stops_on_the_old_flow_when_it_goes_to_the_new_one(office):
    alice, bob = registered(office, "alice"), registered(office, "bob", instance=ONE)
    alice.invite(BOB)
    bob.take_request("INVITE")
    moved = registered(office, "bob", instance=ONE)
    moved.answer(moved.take_request("INVITE"), 180)
    office.advance(10)
    assert bob.inbox == []


def test_a_2xx_on_the_flow_left_is_accepted(office):
    alice, bob = registered(office, "alice"), registered(office, "bob", instance=ONE)
    alice.invite(BOB)
    first = bob.take_request("INVITE")
    bob.answer(first, 180)
    moved = registered(office, "bob", instance=ONE)
    moved.answer(moved.take_request("INVITE"), 180)
    bob.answer(first, 200)
    assert alice.final().status == 200


def test_a_phone_that_answers_the_copy_482_keeps_ringing_by_its_first_copy(office):
    alice, bob = registered(office, "alice"), registered(office, "bob", instance=ONE)
    alice.invite(BOB)
    first = bob.take_request("INVITE")
    bob.answer(first, 180)
    other = office.phone("bob", instance=ONE)
    other.register(reg_id=2)
    other.answer(other.take_request("INVITE"), 482)
    office.advance(60)
    assert [m for m in alice.inbox if m.status >= 200] == []
    bob.answer(first, 200)
    assert alice.final().status == 200


def test_cancel_goes_to_the_live_branch(office):
    alice, bob = registered(office, "alice"), registered(office, "bob", instance=ONE)
    request = alice.invite(BOB)
    bob.answer(bob.take_request("INVITE"), 180)
    moved = registered(office, "bob", instance=ONE)
    again = moved.take_request("INVITE")
    moved.answer(again, 180)
    cancel = alice.request("CANCEL", BOB)
    for name in ("Via", "From", "To", "Call-ID"):
        cancel.headers.set(name, request.headers.get(name) or "")
    cancel.headers.set("CSeq", f"{request.cseq.number} CANCEL")
    alice.send(cancel)
    got = moved.take_request("CANCEL")
    assert got.via.branch == again.via.branch
    moved.answer(got, 200)
    moved.answer(again, 487)
    assert [alice.final().status, alice.final().status] == [200, 487]


def test_a_pending_call_survives_a_broken_connection(office):
    alice = registered(office, "alice", "TLS", instance=TWO)
    bob = registered(office, "bob", "TLS", instance=ONE)
    alice.invite(BOB)
    bob.answer(bob.take_request("INVITE"), 180)
    office.close(bob.flow)
    office.advance(2)
    moved = registered(office, "bob", "TLS", instance=ONE)
    moved.answer(moved.take_request("INVITE"), 200)
    assert alice.final().status == 200


def test_a_phone_that_has_just_lost_its_flow_is_called_beside_the_others_when_it_is_back(office):
    alice, first = registered(office, "alice"), registered(office, "bob", "TLS", instance=ONE)
    second = registered(office, "bob", "TLS", instance=TWO)
    office.close(first.flow)
    alice.invite(BOB)
    second.answer(second.take_request("INVITE"), 180)
    office.advance(2)
    back = registered(office, "bob", "TLS", instance=ONE)
    back.answer(back.take_request("INVITE"), 200)
    assert alice.final().status == 200


@pytest.mark.parametrize("end", ["answered elsewhere", "given up"])
def test_a_phone_without_a_flow_stops_ringing_when_it_is_back(office, end):
    alice, first = registered(office, "alice"), registered(office, "bob", "TLS", instance=ONE)
    second = registered(office, "bob", "TLS", instance=TWO)
    request = alice.invite(BOB)
    invites = [phone.take_request("INVITE") for phone in (first, second)]
    first.answer(invites[0], 180)
    office.close(first.flow)
    if end == "given up":
        second.answer(invites[1], 486)
        cancel = alice.request("CANCEL", BOB, Reason="SIP;cause=200")
        for name in ("Via", "From", "To", "Call-ID"):
            cancel.headers.set(name, request.headers.get(name) or "")
        cancel.headers.set("CSeq", f"{request.cseq.number} CANCEL")
        alice.send(cancel)
        assert [alice.final().status, alice.final().status] == [200, 486]
    else:
        second.answer(invites[1], 200)
        assert alice.final().status == 200
    office.advance(2)
    cancel = registered(office, "bob", "TLS", instance=ONE).take_request("CANCEL")
    assert cancel.via.branch == invites[0].via.branch
    wanted = "SIP;cause=200" if end == "given up" else 'SIP;cause=200;text="Call completed elsewhere"'
    assert cancel.headers.get("Reason") == wanted


def test_a_caller_that_moves_before_the_answer_gets_it_and_rings_nobody_twice(office):
    alice, bob = (
        registered(office, "alice", "TLS", instance=TWO),
        registered(office, "bob", "TLS", instance=ONE),
    )
    request = alice.invite(BOB)
    invite = bob.take_request("INVITE")
    bob.answer(invite, 180)
    office.close(alice.flow)
    moved = office.phone("alice", "TLS", instance=TWO)
    moved.digest = alice.digest
    moved.register(reg_id=2)
    copy = request.copy()
    copy.headers.replace_first("Via", f"SIP/2.0/TLS {moved.flow.remote};rport;branch=z9hG4bKmoved")
    moved.digest.prepare(copy)
    moved.send(copy)
    assert moved.take().status == 180
    assert bob.inbox == []
    bob.answer(invite, 200)
    answer = moved.final()
    assert (answer.status, answer.via.branch) == (200, "z9hG4bKmoved")


def test_phones_ring_no_longer_for_a_caller_that_is_gone(office):
    alice, bob = (
        registered(office, "alice", "TLS", instance=TWO),
        registered(office, "bob", "TLS", instance=ONE),
    )
    alice.invite(BOB)
    invite = bob.take_request("INVITE")
    bob.answer(invite, 180)
    office.close(alice.flow)
    office.advance(31)
    assert bob.inbox == []
    office.advance(2)
    assert bob.take_request("CANCEL").via.branch == invite.via.branch


def test_a_caller_that_moved_hangs_up_by_its_new_connection(office):
    alice, bob = (
        registered(office, "alice", "TLS", instance=TWO),
        registered(office, "bob", "TLS", instance=ONE),
    )
    request = alice.invite(BOB)
    invite = bob.take_request("INVITE")
    bob.answer(invite, 180)
    office.close(alice.flow)
    moved = office.phone("alice", "TLS", instance=TWO)
    cancel = alice.request("CANCEL", BOB)
    for name in ("Via", "From", "To", "Call-ID"):
        cancel.headers.set(name, request.headers.get(name) or "")
    cancel.headers.set("CSeq", f"{request.cseq.number} CANCEL")
    moved.send(cancel)
    assert moved.final().status == 200
    bob.take_request("CANCEL")


def test_a_call_that_nobody_answers_ends_with_timer_c(office):
    alice, bob = registered(office, "alice"), registered(office, "bob")
    alice.invite(BOB)
    invite = bob.take_request("INVITE")
    bob.answer(invite, 180)
    office.advance(179)
    assert bob.inbox == []
    office.advance(2)
    assert bob.take_request("CANCEL").via.branch == invite.via.branch
    office.advance(40)
    assert alice.final().status == 408


def test_a_phone_that_obeys_the_cancel_of_timer_c_is_no_answer_to_the_caller(office):
    alice, bob = registered(office, "alice"), registered(office, "bob")
    alice.invite(BOB)
    invite = bob.take_request("INVITE")
    bob.answer(invite, 180)
    office.advance(181)
    bob.answer(bob.take_request("CANCEL"), 200)
    bob.answer(invite, 487)
    assert alice.final().status == 408


# Records and routes


def test_two_transports_two_record_routes(office):
    alice, bob = registered(office, "alice", "UDP"), registered(office, "bob", "TLS", instance=ONE)
    answer, invite = call(alice, bob)
    routes = invite.headers.get_all("Record-Route")
    assert routes == ["<sip:example.org:5061;transport=tls;lr>", "<sip:192.0.2.1:5060;transport=udp;lr>"]
    assert answer.headers.get_all("Record-Route") == routes
    bob.send(bob.in_dialog("BYE", as_callee(invite, bob), caller=False))
    assert alice.take_request("BYE").headers.get_all("Route") == []


def test_a_contact_with_ob_is_reached_by_its_flow_token(office):
    alice = registered(office, "alice", "TCP", contact="sip:alice@10.0.0.5;ob", instance=TWO)
    alice.gruu = ""
    bob = registered(office, "bob", "TCP", contact="sip:bob@10.0.0.5;ob", instance=ONE)
    bob.gruu = ""
    answer, invite = call(alice, bob)
    assert "@" in invite.headers.get("Record-Route")
    assert answer.headers.get("Record-Route") != invite.headers.get("Record-Route")
    bob.send(bob.in_dialog("INFO", as_callee(invite, bob), caller=False))
    alice.take_request("INFO")
    alice.send(alice.in_dialog("INFO", answer, caller=True))
    bob.take_request("INFO")
    office.close(bob.flow)
    alice.send(alice.in_dialog("BYE", answer, caller=True))
    assert alice.final().status == 430


def test_a_forged_token_is_refused(office):
    alice = registered(office, "alice")
    bye = alice.request("BYE", "sip:someone@203.0.113.7", to="<sip:x@y>;tag=1")
    bye.headers.add("Route", "<sip:VURQIDE5Mi4wLjIuMSA1MDYwIDIwMy4wLjExMy43IDUwNjAgMA@192.0.2.1:5060;lr>")
    assert alice.ask(bye).status == 403


def test_a_strict_router_before_us_is_undone(office):
    alice, bob = registered(office, "alice"), registered(office, "bob")
    answer, _ = call(alice, bob)
    bye = alice.in_dialog("BYE", answer, caller=True)
    route = bye.headers.get("Route").strip("<>")
    bye.headers.remove("Route")
    bye.headers.add("Route", f"<{bye.uri}>")
    bye.uri = route
    alice.send(bye)
    assert bob.take_request("BYE").uri == bob.contact


# Who may


def test_a_call_without_credentials_is_challenged_and_with_wrong_ones_too(office):
    registered(office, "bob")
    thief = office.phone("alice", password="guess")
    thief.invite(BOB)
    assert thief.final().status == 407


def test_the_from_is_the_user_who_authenticated(office):
    registered(office, "bob")
    carol = registered(office, "carol")
    carol.aor = "sip:alice@example.org"
    carol.invite(BOB)
    assert carol.final().status == 403


def test_strangers_are_refused_unless_let_in(office, make_office):
    bob = registered(office, "bob")
    stranger = office.phone("eve")
    stranger.aor = "sip:eve@elsewhere.org"
    stranger.send(stranger.request("INVITE", BOB))
    assert stranger.final().status == 403
    assert bob.inbox == []
    open_office = make_office(strangers=True)
    bob = registered(open_office, "bob")
    stranger = open_office.phone("eve")
    stranger.aor = "sip:eve@elsewhere.org"
    stranger.send(stranger.request("INVITE", BOB))
    assert bob.take_request("INVITE").from_.uri.host == "elsewhere.org"


@pytest.mark.parametrize("uri", ["sip:x@elsewhere.org", "sip:+1900@203.0.113.4", "sip:bob@192.0.2.1:9"])
def test_nothing_is_relayed_elsewhere(office, make_office, uri):
    for place in (office, make_office(strangers=True)):
        alice = registered(place, "alice")
        alice.invite(uri)
        assert alice.final().status == 403
        stranger = place.phone("eve")
        stranger.aor = "sip:eve@elsewhere.org"
        stranger.send(stranger.request("INVITE", uri))
        assert stranger.final().status == 403
        routed = alice.request("MESSAGE", BOB, body=b"hi")
        routed.headers.add("Route", "<sip:203.0.113.4;lr>")
        assert alice.ask(routed).status == 403


def test_requests_of_a_dialog_are_not_challenged_again_on_the_same_flow_but_elsewhere(office):
    alice, bob = registered(office, "alice"), registered(office, "bob")
    answer, _ = call(alice, bob)
    alice.send(alice.in_dialog("INVITE", answer, caller=True, body=b"v=0"))
    assert bob.take_request("INVITE").to.tag == "to-bob"
    thief = office.phone("alice", password="guess")
    thief.send(thief.in_dialog("BYE", answer, caller=True))
    assert thief.final().status == 407
    assert bob.inbox == []


def test_unknown_users_and_absent_ones(office):
    alice = registered(office, "alice")
    alice.invite("sip:nobody@example.org")
    assert alice.final().status == 404
    alice.invite("sip:carol@example.org")
    assert alice.final().status == 480


# Security of the legs


def test_what_came_over_tls_does_not_go_out_in_the_clear(office, make_office):
    alice, bob = registered(office, "alice", "TLS"), registered(office, "bob", "UDP")
    alice.invite(BOB)
    response = alice.final()
    assert response.status == 480
    assert "TLS" in response.headers.get("Warning")
    assert bob.inbox == []
    lenient = make_office(allow_clear_leg=True)
    alice, bob = registered(lenient, "alice", "TLS"), registered(lenient, "bob", "UDP")
    alice.invite(BOB)
    bob.take_request("INVITE")
    alice.invite("sips:bob@example.org")
    assert alice.final().status == 480


def test_an_ack_with_keys_does_not_go_out_in_the_clear(office):
    alice = registered(office, "alice", "TLS", instance=TWO)
    bob = registered(office, "bob", "TLS", instance=ONE)
    answer, _ = call(alice, bob)
    clear = office.phone("bob", "UDP", instance=ONE)
    clear.register(reg_id=2)
    office.close(bob.flow)
    clear.inbox.clear()
    alice.send(alice.in_dialog("ACK", answer, caller=True, body=b"a=crypto"))
    assert clear.inbox == []
    alice.send(alice.in_dialog("BYE", answer, caller=True))
    clear.take_request("BYE")


# Loops and limits


def test_a_loop_is_found(office):
    alice = registered(office, "alice")
    bob = registered(office, "bob")
    alice.invite(BOB)
    looped = bob.take_request("INVITE")
    looped.uri = BOB
    looped.headers.set("Max-Forwards", "60")
    looped.headers.prepend("Via", f"SIP/2.0/UDP {bob.flow.remote};branch=z9hG4bKback")
    bob.send(looped)
    assert bob.final().status == 482


def test_a_spiral_is_no_loop(office):
    alice, bob, carol = registered(office, "alice"), registered(office, "bob"), registered(office, "carol")
    alice.invite(BOB)
    forwarded = bob.take_request("INVITE")
    forwarded.uri = "sip:carol@example.org"
    forwarded.headers.prepend("Via", f"SIP/2.0/UDP {bob.flow.remote};branch=z9hG4bKon")
    alice.digest.prepare(forwarded)
    bob.send(forwarded)
    assert carol.take_request("INVITE").headers.get("Max-Forwards") == "68"


def test_more_phones_than_max_breadth_is_440(office):
    alice = registered(office, "alice")
    for instance in (ONE, TWO):
        registered(office, "bob", instance=instance)
    alice.invite(BOB, Max_Breadth="1")
    assert alice.final().status == 440
    alice.invite(BOB, Max_Breadth="2")
    assert alice.inbox == []


def test_too_many_hops_and_required_extensions(office):
    alice = registered(office, "alice")
    registered(office, "bob")
    alice.send(alice.request("OPTIONS", BOB, Max_Forwards="0"))
    assert alice.final().status == 483
    alice.send(alice.request("OPTIONS", BOB, Proxy_Require="magic"))
    response = alice.final()
    assert (response.status, response.headers.get("Unsupported")) == (420, "magic")
    alice.send(alice.request("OPTIONS", "tel:+1234"))
    assert alice.final().status == 416


def test_nothing_is_left_after_calls(office):
    alice, bob = registered(office, "alice"), registered(office, "bob")
    for _ in range(5):
        answer, _ = call(alice, bob)
        alice.send(alice.in_dialog("BYE", answer, caller=True))
        bob.answer(bob.take_request("BYE"), 200)
        alice.final()
    office.advance(200)
    assert len(office.core.layer) == 0
    assert len(office.core.proxy) == 0
    assert office.core.proxy.deadline() is None
