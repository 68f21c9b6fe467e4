"""What phones say of ICE passes the server octet for octet: offers, answers, and candidates that follow."""

from __future__ import annotations

import pytest

BOB = "sip:bob@example.org"
OFFER = b"""v=0\r
o=- 1 1 IN IP4 192.0.2.1\r
s=-\r
c=IN IP4 0.0.0.0\r
t=0 0\r
a=ice-options:trickle ice2 renomination\r
a=ice-lite\r
a=ice-pacing:50\r
m=audio 9 RTP/SAVPF 0\r
a=mid:0\r
a=ice-ufrag:8hhY\r
a=ice-pwd:asd88fgpdd777uzjYhagZg\r
a=candidate:1 1 UDP 2130706431 192.0.2.1 5010 typ host\r
a=candidate:2 1 UDP 1694498815 203.0.113.3 5010 typ srflx raddr 192.0.2.1 rport 8998\r
a=remote-candidates:1 192.0.2.9 5000\r
a=end-of-candidates\r
"""
FRAGMENT = b"a=ice-ufrag:8hhY\r\na=ice-pwd:asd88fgpdd777uzjYhagZg\r\nm=audio 9 RTP/AVP 0\r\na=mid:0\r\n"
TRICKLES = {"Supported": "trickle-ice, timer", "Recv-Info": "trickle-ice"}


@pytest.mark.parametrize("transport", ["TLS", "UDP"])
def test_it_passes_unchanged(office, transport):
    alice, bob = office.phone("alice", transport), office.phone("bob", transport)
    for phone in (alice, bob):
        assert phone.register().status == 200
    challenged = alice.request("INVITE", BOB, body=OFFER, **TRICKLES)
    alice.send(challenged)
    alice.send(alice.again(challenged, alice.final()))
    invite = bob.take_request("INVITE")
    assert invite.body == OFFER
    assert {name: invite.headers.get(name) for name in TRICKLES} == TRICKLES
    answer = bob.answer(invite, 183, **TRICKLES)
    answer.status = 200
    answer.body = OFFER.replace(b"192.0.2.1", b"192.0.2.9")
    bob.send(answer)
    received = next(m for m in alice.inbox if m.status == 200)
    assert received.body == answer.body and received.headers.get("Recv-Info") == "trickle-ice"
    package = {"Info-Package": "trickle-ice", "Content-Type": "application/trickle-ice-sdpfrag"}
    info = alice.in_dialog("INFO", received, caller=True, body=FRAGMENT)
    for name, value in package.items():
        info.headers.set(name, value)
    alice.send(info)
    got = bob.take_request("INFO")
    assert got.body == FRAGMENT
    assert {name: got.headers.get(name) for name in package} == package
