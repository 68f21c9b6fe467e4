"""Offer and answer between two of ours: set-up, hold, moves, security that must not sink, and what is
refused."""

from __future__ import annotations

from dataclasses import replace

import pytest

from segue.base.address import Address
from segue.base.errors import RemoteError
from segue.base.keying import KeysReady, SrtpKeys
from segue.call.agreement import LocalMedia, MediaAgreement
from segue.call.config import MediaConfig
from segue.call.extensions import Extension
from segue.call.keying import Keying
from segue.call.negotiation import Negotiation
from segue.protocols.sdp import Attribute, Direction, SessionDescription, parse_sdp, write_sdp
from segue.testing import SeededEntropy

HOME = LocalMedia(Address("192.0.2.1", 40000))
AWAY = LocalMedia(Address("198.51.100.7", 40000))
AWAY6 = LocalMedia(Address("2001:db8:1::7", 40000))
OFFICE = LocalMedia(Address("203.0.113.2", 50000))
OFFICE2 = LocalMedia(Address("203.0.113.99", 50002))


class End:
    """One end of a call, and the keys it has now."""

    def __init__(self, name: str, config: MediaConfig | None = None) -> None:
        self.config = config or MediaConfig()
        self.entropy = SeededEntropy(name)
        self.phone = Keying(self.config, self.entropy)
        self.negotiation = Negotiation(self.config, self.phone.to_offer(True), self.entropy)
        self.keys: list[SrtpKeys] = []

    @property
    def agreement(self) -> MediaAgreement:
        assert self.negotiation.agreement is not None
        return self.negotiation.agreement

    def drain(self) -> None:
        if self.negotiation.keying is not None:
            events = self.negotiation.keying.events()
            self.keys += [event.keys for event in events if isinstance(event, KeysReady)]


def exchange(
    offerer: End, answerer: End, here: LocalMedia = HOME, there: LocalMedia = OFFICE
) -> tuple[SessionDescription, SessionDescription]:
    offer = offerer.negotiation.make_offer(here, 0.0)
    answer = answerer.negotiation.receive_offer(offer, there, 0.0)
    offerer.negotiation.receive_answer(answer, 0.0)
    offerer.drain()
    answerer.drain()
    assert_mirrored(offerer, answerer)
    return parse_sdp(offer), parse_sdp(answer)


def assert_mirrored(a: End, b: End) -> None:
    first, second = a.agreement, b.agreement
    for ours, theirs in ((first, second), (second, first)):
        assert ours.remote == theirs.local.rtp
        assert [f.format for f in ours.codecs] == [f.format for f in theirs.codecs]
        formats = zip(
            ours.codecs + ours.telephone_events, theirs.codecs + theirs.telephone_events, strict=True
        )
        for mine, yours in formats:
            assert (mine.format, mine.send_type) == (yours.format, yours.receive_type)
            assert theirs.receive_types[mine.send_type] == mine.format
            assert mine.send_parameters == yours.receive_parameters
    assert first.direction is second.direction.reversed
    assert first.rtcp_mux == second.rtcp_mux
    assert first.profile == second.profile
    assert first.extensions == second.extensions
    if a.keys or b.keys:
        assert a.keys[-1] == SrtpKeys(b.keys[-1].suite, b.keys[-1].remote, b.keys[-1].local)


def connected(a: MediaConfig | None = None, b: MediaConfig | None = None) -> tuple[End, End]:
    alice, bob = End("alice", a), End("bob", b)
    exchange(alice, bob)
    return alice, bob


def names(agreement: MediaAgreement) -> list[str]:
    return [agreed.format.name for agreed in agreement.codecs]


def audio_attributes(description: SessionDescription) -> list[str]:
    return [f"{name}:{value}" if value else name for name, value in description.media[0].attributes]


CLEAR = MediaConfig(keying="none")


# ---------------------------------------------------------------------- set-up


def test_everything_is_agreed_up_front() -> None:
    alice, bob = connected()
    assert names(alice.agreement) == ["opus", "G722", "PCMA", "PCMU"]
    assert [f.format.clock_rate for f in alice.agreement.telephone_events] == [8000, 48000]
    assert alice.agreement.direction is Direction.SENDRECV
    assert (alice.agreement.secure, alice.agreement.profile) == (True, "RTP/SAVP")
    assert bob.agreement.remote == HOME.rtp
    assert alice.agreement.remote_changed
    assert alice.agreement.sends
    assert alice.agreement.held_by == ""
    assert len(alice.keys) == len(bob.keys) == 1


def test_what_an_offer_says() -> None:
    offer = parse_sdp(End("alice").negotiation.make_offer(HOME, 0.0))
    (audio,) = offer.media
    assert (audio.port, audio.protocol, audio.formats) == (
        40000,
        "RTP/SAVP",
        ("96", "9", "8", "0", "101", "100"),
    )
    attributes = audio_attributes(offer)
    assert attributes[:11] == [
        "rtpmap:96 opus/48000/2",
        "fmtp:96 useinbandfec=1;cbr=1",
        "rtpmap:9 G722/8000",
        "rtpmap:8 PCMA/8000",
        "rtpmap:0 PCMU/8000",
        "rtpmap:101 telephone-event/8000",
        "fmtp:101 0-15",
        "rtpmap:100 telephone-event/48000",
        "fmtp:100 0-15",
        "ptime:20",
        "sendrecv",
    ]
    assert "rtcp-mux" in attributes
    assert "x-segue:keep-keys migrate resend" in attributes
    assert "x-segue-wait:3000" in attributes
    assert len(audio.values("crypto")) == 5
    assert (offer.origin.version, offer.origin.username, offer.origin.address) == (1, "-", "192.0.2.1")


def test_a_clear_call_has_no_keys_and_says_so() -> None:
    alice, bob = End("alice", CLEAR), End("bob", CLEAR)
    offer, answer = exchange(alice, bob)
    assert offer.media[0].protocol == answer.media[0].protocol == "RTP/AVP"
    assert not offer.media[0].has("crypto")
    assert not alice.agreement.secure
    assert alice.keys == bob.keys == []


def test_only_common_codecs_are_agreed_in_the_order_of_the_offer() -> None:
    alice, bob = connected(b=MediaConfig(codecs=("PCMU", "PCMA"), telephone_events=False))
    assert names(alice.agreement) == names(bob.agreement) == ["PCMA", "PCMU"]
    assert alice.agreement.telephone_events == ()


def test_an_offerless_invite_is_answered_with_an_offer_by_the_callee() -> None:
    alice, bob = End("alice"), End("bob")
    exchange(bob, alice, OFFICE, HOME)
    assert names(alice.agreement) == ["opus", "G722", "PCMA", "PCMU"]


def test_the_answerer_uses_the_payload_types_of_the_offer() -> None:
    alice, bob = End("alice"), End("bob")
    offer = alice.negotiation.make_offer(HOME, 0.0).replace(b"96", b"117")
    answer = parse_sdp(bob.negotiation.receive_offer(offer, OFFICE, 0.0))
    assert answer.media[0].formats[0] == "117"
    assert bob.agreement.codecs[0].send_type == bob.agreement.codecs[0].receive_type == 117


def test_the_offerer_sends_with_the_payload_types_of_the_answer() -> None:
    alice, bob = End("alice"), End("bob")
    answer = bob.negotiation.receive_offer(alice.negotiation.make_offer(HOME, 0.0), OFFICE, 0.0)
    agreement = alice.negotiation.receive_answer(answer.replace(b"96", b"117"), 0.0)
    assert (agreement.codecs[0].send_type, agreement.codecs[0].receive_type) == (117, 96)


def test_formats_that_an_answer_adds_are_passed_over() -> None:
    alice, bob = End("alice", replace(CLEAR, codecs=("PCMA",))), End("bob", CLEAR)
    offer = alice.negotiation.make_offer(HOME, 0.0)
    answer = bob.negotiation.receive_offer(offer, OFFICE, 0.0)
    added = answer.replace(b"RTP/AVP 8 101", b"RTP/AVP 0 111 8 101 13")
    added += b"a=rtpmap:111 opus/48000/2\r\na=rtpmap:13 CN/8000\r\n"
    assert names(alice.negotiation.receive_answer(added, 0.0)) == ["PCMA"]


def test_other_streams_are_refused_and_stay_so() -> None:
    alice, bob = End("alice", CLEAR), End("bob", CLEAR)
    offer = alice.negotiation.make_offer(HOME, 0.0)
    both = offer.replace(b"m=audio", b"m=video 5000 RTP/AVP 99 100\r\na=rtpmap:99 H264/90000\r\nm=audio")
    both += b"m=image 5004 udptl t38\r\n"
    answer = parse_sdp(bob.negotiation.receive_offer(both, OFFICE, 0.0))
    assert [(m.media, m.port, m.formats[0]) for m in answer.media] == [
        ("video", 0, "99"),
        ("audio", 50000, "96"),
        ("image", 0, "t38"),
    ]
    # Our own offers keep every line at its place (RFC 3264 section 8).
    reoffer = parse_sdp(bob.negotiation.make_offer(OFFICE, 1.0))
    assert [(m.media, m.port) for m in reoffer.media] == [("video", 0), ("audio", 50000), ("image", 0)]


def test_an_offer_can_be_refused_stream_by_stream() -> None:
    bob = End("bob")
    offer = End("alice").negotiation.make_offer(HOME, 0.0)
    refusal = parse_sdp(bob.negotiation.refuse_offer(offer, OFFICE))
    assert [(m.media, m.port, m.protocol) for m in refusal.media] == [("audio", 0, "RTP/SAVP")]
    assert bob.negotiation.agreement is None


def test_the_time_of_the_offer_is_repeated() -> None:
    offer = End("alice").negotiation.make_offer(HOME, 0.0).replace(b"t=0 0", b"t=3724394400 0")
    answer = parse_sdp(End("bob").negotiation.receive_offer(offer, OFFICE, 0.0))
    assert answer.times == parse_sdp(offer).times


def test_attributes_of_others_travel_with_ours() -> None:
    candidate = Attribute("candidate", "1 1 UDP 2130706431 192.0.2.1 40000 typ host")
    alice, bob = End("alice"), End("bob")
    offer, _ = exchange(alice, bob, HOME._replace(attributes=(candidate,)))
    assert candidate in offer.media[0].attributes


# ---------------------------------------------------------------------- RTCP


def test_rtcp_shares_the_port_when_both_can() -> None:
    alice, bob = connected()
    assert alice.agreement.rtcp_mux
    assert alice.agreement.remote_rtcp == OFFICE.rtp
    assert bob.agreement.remote_rtcp == HOME.rtp


@pytest.mark.parametrize("without", ["caller", "callee"])
def test_two_ports_for_a_peer_without_rtcp_mux(without: str) -> None:
    old = MediaConfig(rtcp_mux=False)
    alice = End("alice", old if without == "caller" else None)
    bob = End("bob", old if without == "callee" else None)
    there = OFFICE._replace(rtcp=Address("203.0.113.2", 51234))
    offer, answer = exchange(alice, bob, HOME, there)
    assert not alice.agreement.rtcp_mux
    assert alice.agreement.remote_rtcp == Address("203.0.113.2", 51234)
    assert bob.agreement.remote_rtcp == Address("192.0.2.1", 40001)
    assert "rtcp:51234" in audio_attributes(answer)
    assert not offer.media[0].has("rtcp")
    # Once agreed it stays so.
    again, _ = exchange(alice, bob, HOME, there)
    assert not again.media[0].has("rtcp-mux")


def test_rtcp_elsewhere_by_rfc3605() -> None:
    alice, bob = End("alice", CLEAR), End("bob", replace(CLEAR, rtcp_mux=False))
    elsewhere = HOME._replace(rtcp=Address("2001:db8::9", 6000))
    exchange(alice, bob, elsewhere)
    assert bob.agreement.remote_rtcp == Address("2001:db8::9", 6000)


def test_a_port_at_the_end_of_the_range_has_no_next() -> None:
    alice, bob = End("alice", replace(CLEAR, rtcp_mux=False)), End("bob", CLEAR)
    bob.negotiation.receive_offer(
        alice.negotiation.make_offer(LocalMedia(Address("192.0.2.1", 65535)), 0.0), OFFICE, 0.0
    )
    assert bob.agreement.remote_rtcp is None


def test_payload_types_that_look_like_rtcp_are_not_agreed_on_a_shared_port() -> None:
    """RFC 5761 section 4."""
    alice, bob = End("alice", CLEAR), End("bob", CLEAR)
    offer = alice.negotiation.make_offer(HOME, 0.0).replace(b"96", b"72")
    bob.negotiation.receive_offer(offer, OFFICE, 0.0)
    assert names(bob.agreement) == ["G722", "PCMA", "PCMU"]


# ---------------------------------------------------------------------- hold


def test_hold_and_resume() -> None:
    alice, bob = connected()
    alice.negotiation.hold()
    offer, answer = exchange(alice, bob)
    assert "sendonly" in audio_attributes(offer)
    assert "recvonly" in audio_attributes(answer)
    assert (alice.agreement.held_by, bob.agreement.held_by) == ("us", "peer")
    assert (alice.agreement.sends, bob.agreement.sends) == (True, False)
    alice.negotiation.resume()
    exchange(alice, bob)
    assert (alice.agreement.held_by, bob.agreement.held_by) == ("", "")
    assert bob.agreement.direction is Direction.SENDRECV


def test_hold_without_music() -> None:
    alice, bob = connected()
    alice.negotiation.hold(inactive=True)
    _, answer = exchange(alice, bob)
    assert "inactive" in audio_attributes(answer)
    assert not alice.agreement.sends
    assert not bob.agreement.sends


def test_nested_hold_ends_only_when_both_resume() -> None:
    """RFC 6337 section 5.3, the sequence that it tells."""
    alice, bob = connected()
    alice.negotiation.hold()
    exchange(alice, bob)
    bob.negotiation.hold()
    offer, answer = exchange(bob, alice, OFFICE, HOME)
    assert "sendonly" in audio_attributes(offer)
    assert "inactive" in audio_attributes(answer)
    assert alice.agreement.held_by == bob.agreement.held_by == "both"
    alice.negotiation.resume()
    offer, answer = exchange(alice, bob)
    assert "sendrecv" in audio_attributes(offer)
    assert "sendonly" in audio_attributes(answer)
    assert (alice.agreement.held_by, bob.agreement.held_by) == ("peer", "us")
    bob.negotiation.resume()
    exchange(bob, alice, OFFICE, HOME)
    assert (alice.agreement.held_by, bob.agreement.held_by) == ("", "")


def test_a_held_phone_offers_what_it_wants_not_what_it_was_forced_to() -> None:
    alice, bob = connected()
    alice.negotiation.hold()
    exchange(alice, bob)
    offer, _ = exchange(bob, alice, OFFICE, HOME)
    assert "sendrecv" in audio_attributes(offer)
    assert (alice.agreement.held_by, bob.agreement.held_by) == ("us", "peer")


def test_hold_stays_on_a_move_of_either_end() -> None:
    alice, bob = connected()
    alice.negotiation.hold()
    exchange(alice, bob)
    exchange(alice, bob, AWAY)
    assert (alice.agreement.held_by, bob.agreement.held_by) == ("us", "peer")
    exchange(bob, alice, OFFICE2, AWAY)
    assert (alice.agreement.held_by, bob.agreement.held_by) == ("us", "peer")


def test_hold_by_address_as_of_old() -> None:
    alice, bob = connected(CLEAR, CLEAR)
    offer = alice.negotiation.make_offer(HOME, 1.0).replace(b"c=IN IP4 192.0.2.1", b"c=IN IP4 0.0.0.0")
    answer = parse_sdp(bob.negotiation.receive_offer(offer, OFFICE, 1.0))
    assert "sendrecv" in audio_attributes(
        answer
    )  # RFC 6337 section 5.4: by the attribute, not by the address
    assert bob.agreement.held_by == "peer"
    assert (bob.agreement.remote, bob.agreement.remote_rtcp, bob.agreement.sends) == (None, None, False)
    alice.negotiation.receive_answer(write_sdp(answer), 1.0)
    exchange(alice, bob)
    assert bob.agreement.held_by == ""
    assert bob.agreement.remote == HOME.rtp


# ---------------------------------------------------------------------- moves


def origins(*descriptions: SessionDescription) -> list[tuple[int, str]]:
    return [(description.origin.version, description.origin.address) for description in descriptions]


def test_a_move_changes_the_address_and_nothing_else() -> None:
    alice, bob = connected()
    before = bob.agreement
    keys = list(bob.keys)
    offer, _ = exchange(alice, bob, AWAY)
    assert origins(offer) == [(2, "192.0.2.1")]
    assert offer.connection is not None
    assert offer.connection.address == "198.51.100.7"
    assert bob.agreement.remote == AWAY.rtp
    assert bob.agreement.remote_changed
    assert not alice.agreement.remote_changed
    assert bob.agreement.codecs == before.codecs
    assert bob.keys == keys  # both are ours: keys outlive the move (decision 1)


def test_from_ipv4_to_ipv6_and_back_in_one_call() -> None:
    alice, bob = connected()
    to6, _ = exchange(alice, bob, AWAY6)
    assert bob.agreement.remote == AWAY6.rtp
    back, _ = exchange(alice, bob, HOME)
    assert origins(to6, back) == [(2, "192.0.2.1"), (3, "192.0.2.1")]
    assert to6.connection is not None
    assert to6.connection[:2] == ("IN", "IP6")
    assert to6.origin.addrtype == back.origin.addrtype == "IP4"
    assert bob.agreement.remote == HOME.rtp
    assert len(bob.keys) == 1


def test_ten_moves_in_a_row_keep_key_codec_and_numbers() -> None:
    alice, bob = connected()
    for move in range(1, 11):
        here = (AWAY, AWAY6, HOME)[move % 3]
        offer, _ = exchange(alice, bob, here)
        assert offer.origin.version == move + 1
        assert offer.media[0].formats == ("96", "9", "8", "0", "101", "100")
    assert len(alice.keys) == 1


def test_both_ends_move_one_in_the_offer_and_one_in_the_answer() -> None:
    alice, bob = connected()
    exchange(alice, bob, AWAY, OFFICE2)
    assert alice.agreement.remote == OFFICE2.rtp
    assert alice.agreement.remote_changed
    assert bob.agreement.remote_changed
    assert len(alice.keys) == len(bob.keys) == 1


def without_extension(body: bytes) -> bytes:
    """As a phone writes that does not know us."""
    return b"".join(line for line in body.splitlines(keepends=True) if not line.startswith(b"a=x-segue"))


def test_a_phone_that_does_not_know_us_gets_a_new_key_on_our_move() -> None:
    """RFC 4568 section 7.1.4."""
    alice, bob = End("alice"), End("bob", MediaConfig(extensions=()))
    exchange(alice, bob)
    first = alice.keys[0]
    exchange(alice, bob, AWAY)
    assert len(alice.keys) == len(bob.keys) == 2
    assert alice.keys[1].local != first.local
    assert alice.keys[1].remote == first.remote
    exchange(bob, alice, OFFICE, AWAY)  # nobody moved: nothing new
    assert len(alice.keys) == 2


def test_our_answer_from_a_new_address_brings_a_new_key_too() -> None:
    alice, bob = End("alice"), End("bob", MediaConfig(extensions=()))
    exchange(alice, bob)
    exchange(bob, alice, OFFICE, AWAY)
    assert alice.keys[0].local != alice.keys[1].local
    assert alice.keys[0].remote == alice.keys[1].remote


def test_keeping_keys_needs_both() -> None:
    alice, bob = End("alice"), End("bob")
    offer = alice.negotiation.make_offer(HOME, 0.0)
    answer = bob.negotiation.receive_offer(without_extension(offer), OFFICE, 0.0)
    assert not parse_sdp(answer).media[0].has("x-segue")
    assert alice.negotiation.receive_answer(answer, 0.0).extensions == frozenset()
    assert Extension.KEEP_KEYS in Negotiation(MediaConfig(), None, SeededEntropy(1))._config.extensions


def test_unknown_extensions_are_ignored() -> None:
    alice, bob = End("alice"), End("bob")
    offer = alice.negotiation.make_offer(HOME, 0.0).replace(b"keep-keys", b"fly keep-keys sing")
    answer = parse_sdp(bob.negotiation.receive_offer(offer, OFFICE, 0.0))
    assert answer.media[0].value("x-segue") == "keep-keys migrate resend"


def test_a_new_endpoint_behind_the_peer_gets_a_new_key() -> None:
    """A B2BUA connects us to somebody else in the same dialog: he has not our rollover counter."""
    _, bob = connected()
    carol = End("carol")
    offer = carol.negotiation.make_offer(LocalMedia(Address("192.0.2.77", 4000)), 1.0)
    answer = bob.negotiation.receive_offer(offer, OFFICE, 1.0)
    carol.negotiation.receive_answer(answer, 1.0)
    carol.drain()
    bob.drain()
    assert_mirrored(carol, bob)
    assert bob.keys[1].local != bob.keys[0].local


def test_a_new_endpoint_that_answers_is_owed_an_offer_with_a_new_key() -> None:
    alice, _ = connected()
    carol = End("carol")
    offer = alice.negotiation.make_offer(HOME, 1.0)
    answer = carol.negotiation.receive_offer(offer, OFFICE, 1.0)
    for _copy in ("1xx", "2xx"):
        alice.negotiation.receive_answer(answer, 1.0)
        assert alice.negotiation.owes_new_key
    exchange(alice, carol, HOME, OFFICE)
    assert not alice.negotiation.owes_new_key
    assert_mirrored(alice, carol)
    assert alice.keys[-1].local != alice.keys[0].local


def test_a_new_endpoint_that_answers_a_move_has_its_new_key_already() -> None:
    alice, bob = End("alice"), End("bob", MediaConfig(extensions=()))
    exchange(alice, bob)
    carol = End("carol")
    answer = carol.negotiation.receive_offer(alice.negotiation.make_offer(AWAY, 1.0), OFFICE, 1.0)
    alice.negotiation.receive_answer(answer, 1.0)
    assert not alice.negotiation.owes_new_key


def test_the_peer_may_write_its_new_address_into_its_origin() -> None:
    alice, bob = connected()
    offer = alice.negotiation.make_offer(AWAY, 1.0)
    moved = offer.replace(b"1 192.0.2.1", b"1 198.51.100.7").replace(b"IP4 192.0.2.1", b"IP4 198.51.100.7")
    bob.negotiation.receive_offer(moved, OFFICE, 1.0)
    bob.drain()
    assert len(bob.keys) == 1


def test_the_version_stays_when_nothing_changes() -> None:
    alice, bob = connected()
    first, answered = exchange(bob, alice, OFFICE, HOME)
    second, answered_again = exchange(bob, alice, OFFICE, HOME)
    assert first == second
    assert answered == answered_again


def test_a_call_placed_anew_has_new_keys() -> None:
    """A move while dialling: the second INVITE is another dialog and must not bring the same keys."""
    alice, bob = End("alice"), End("bob")
    bob.negotiation.receive_offer(alice.negotiation.make_offer(HOME, 0.0), OFFICE, 0.0)
    alice.negotiation.rollback()
    again = Negotiation(bob.config, bob.phone.to_answer(True), bob.entropy)
    offer = alice.negotiation.make_offer(AWAY, 0.5)
    assert alice.negotiation.receive_answer(again.receive_offer(offer, OFFICE, 0.5), 0.6).remote == OFFICE.rtp


def test_an_unchanged_clear_reoffer_is_the_same_body() -> None:
    alice, bob = connected(CLEAR, CLEAR)
    first, _ = exchange(alice, bob)
    second, _ = exchange(alice, bob)
    assert first == second
    assert first.origin.version == 1


def test_payload_types_never_change_their_meaning() -> None:
    alice, bob = connected(CLEAR, CLEAR)
    swapped = alice.negotiation.make_offer(HOME, 1.0)
    for old, new in ((b"96", b"XX"), (b"101", b"96"), (b"XX", b"101")):
        swapped = swapped.replace(old, new)
    bob.negotiation.receive_offer(swapped, OFFICE, 1.0)
    opus = bob.agreement.codecs[0]
    # We send as the peer now calls it, but our own numbers stay as announced (RFC 3264 section 8.3.2).
    assert (opus.send_type, opus.receive_type) == (101, 96)
    assert bob.agreement.receive_types[96] == opus.format


def test_a_hold_or_move_by_the_other_end_does_not_change_the_codec() -> None:
    alice, bob = connected(b=MediaConfig(codecs=("PCMU", "PCMA", "opus")))
    assert names(bob.agreement) == ["opus", "PCMA", "PCMU"]
    exchange(bob, alice, OFFICE2, HOME)
    assert names(alice.agreement)[:3] == ["opus", "PCMA", "PCMU"]


# ---------------------------------------------------------------------- failure


def refused(error: pytest.ExceptionInfo[RemoteError]) -> tuple[int | None, str]:
    return error.value.status, error.value.problem


def test_no_common_codec() -> None:
    offer = End("alice", MediaConfig(codecs=("opus",))).negotiation.make_offer(HOME, 0.0)
    bob = End("bob", MediaConfig(codecs=("PCMA",)))
    with pytest.raises(RemoteError) as caught:
        bob.negotiation.receive_offer(offer, OFFICE, 0.0)
    assert refused(caught) == (488, "no codec in common")
    assert bob.negotiation.agreement is None
    assert bob.negotiation.keying is not None
    assert bob.negotiation.keying.events() == []


def test_telephone_events_alone_are_no_codec() -> None:
    alice, bob = End("alice", CLEAR), End("bob", CLEAR)
    answer = bob.negotiation.receive_offer(alice.negotiation.make_offer(HOME, 0.0), OFFICE, 0.0)
    with pytest.raises(RemoteError, match="no codec in common"):
        alice.negotiation.receive_answer(answer.replace(b"AVP 96 9 8 0 101", b"AVP 101"), 0.0)


def test_no_encryption_offered() -> None:
    offer = End("alice", CLEAR).negotiation.make_offer(HOME, 0.0)
    with pytest.raises(RemoteError) as caught:
        End("bob").negotiation.receive_offer(offer, OFFICE, 0.0)
    status, problem = refused(caught)
    assert status == 488
    assert "the peer offers no encryption" in problem


def test_encryption_offered_to_a_phone_that_has_it_off() -> None:
    offer = End("alice").negotiation.make_offer(HOME, 0.0)
    with pytest.raises(RemoteError) as caught:
        End("bob", CLEAR).negotiation.receive_offer(offer, OFFICE, 0.0)
    assert caught.value.status == 488
    assert "--keying none" in caught.value.problem


def test_a_reoffer_that_lowers_security_is_refused_and_the_call_goes_on() -> None:
    """The profile downgrade of licode 2048."""
    alice, bob = connected()
    before = bob.agreement
    lowered = b"".join(
        line
        for line in alice.negotiation.make_offer(AWAY, 1.0).replace(b"SAVP", b"AVP").splitlines(keepends=True)
        if not line.startswith(b"a=crypto")
    )
    with pytest.raises(RemoteError) as caught:
        bob.negotiation.receive_offer(lowered, OFFICE, 1.0)
    assert caught.value.status == 488
    assert bob.agreement is before


def test_feedback_is_not_lower() -> None:
    alice, bob = connected()
    offer = alice.negotiation.make_offer(HOME, 1.0).replace(b"RTP/SAVP", b"RTP/SAVPF")
    answer = parse_sdp(bob.negotiation.receive_offer(offer, OFFICE, 1.0))
    assert answer.media[0].protocol == bob.agreement.profile == "RTP/SAVPF"
    assert bob.agreement.secure


def test_opportunistic_encryption_is_taken_and_kept() -> None:
    """RFC 8643: keys in a clear profile; and its re-offer without keys is a downgrade."""
    alice, bob = End("alice"), End("bob")
    offer = alice.negotiation.make_offer(HOME, 0.0).replace(b"RTP/SAVP", b"RTP/AVP")
    answer = parse_sdp(bob.negotiation.receive_offer(offer, OFFICE, 0.0))
    assert answer.media[0].protocol == "RTP/AVP"
    assert answer.media[0].has("crypto")
    assert bob.agreement.secure
    bare = b"".join(line for line in offer.splitlines(keepends=True) if not line.startswith(b"a=crypto"))
    with pytest.raises(RemoteError, match="no encryption"):
        bob.negotiation.receive_offer(bare, OFFICE, 1.0)


@pytest.mark.parametrize(
    "lower",
    [
        lambda answer: answer.replace(b"RTP/SAVP", b"RTP/AVP"),
        lambda answer: b"".join(
            line for line in answer.splitlines(keepends=True) if not line.startswith(b"a=crypto")
        ),
        lambda answer: answer.replace(b"m=audio 50000", b"m=audio 0"),
        lambda answer: answer.replace(b"m=audio", b"m=video"),
        lambda answer: answer[: answer.index(b"m=audio")],
        lambda answer: answer.replace(b"203.0.113.2", b"phone.example.org"),
        lambda answer: answer.replace(b"c=IN IP4 203.0.113.2\r\n", b""),
        lambda answer: answer.replace(b"AEAD_AES_256_GCM", b"AES_CM_128_HMAC_SHA1_80"),
        lambda answer: answer.replace(b"a=ptime:20", b"a=ptime:0"),
        lambda answer: answer.replace(b"fmtp:101 0-15", b"fmtp:101 0-9999999"),
        lambda answer: answer.replace(b"rtpmap:96 opus", b"rtpmap:999 opus"),
        lambda answer: answer.replace(b"50000", b"500000"),
        lambda answer: answer[:0],
    ],
    ids=[
        "AVP",
        "no key",
        "port 0",
        "video",
        "no m= line",
        "name in c=",
        "no c=",
        "another suite",
        "ptime 0",
        "endless events",
        "payload type 999",
        "port over 65535",
        "empty",
    ],
)
def test_bad_answers_change_nothing_and_the_next_exchange_works(lower: object) -> None:
    """Among them CVE-2021-26906: a negotiation that fails, then goes on."""
    assert callable(lower)
    alice, bob = connected()
    before, keys = alice.agreement, list(alice.keys)
    answer = bob.negotiation.receive_offer(alice.negotiation.make_offer(AWAY, 1.0), OFFICE, 1.0)
    with pytest.raises(RemoteError) as caught:
        alice.negotiation.receive_answer(lower(answer), 1.0)
    assert caught.value.status in (400, 488)
    alice.drain()
    assert alice.agreement is before
    assert alice.keys == keys
    assert not alice.negotiation.offer_is_open
    exchange(alice, bob, AWAY)


def test_glare_is_491_and_rollback_frees_the_way() -> None:
    alice, bob = connected()
    ours = alice.negotiation.make_offer(AWAY, 1.0)
    theirs = bob.negotiation.make_offer(OFFICE2, 1.0)
    for end, offer, here in ((alice, theirs, AWAY), (bob, ours, OFFICE2)):
        with pytest.raises(RemoteError) as caught:
            end.negotiation.receive_offer(offer, here, 1.0)
        assert caught.value.status == 491
    alice.negotiation.rollback()
    bob.negotiation.rollback()
    assert (alice.agreement.local, bob.agreement.local) == (HOME, OFFICE)
    exchange(alice, bob, AWAY, OFFICE2)
    assert (alice.agreement.remote, bob.agreement.remote) == (OFFICE2.rtp, AWAY.rtp)


def test_a_refused_hold_is_asked_for_again() -> None:
    alice, bob = connected()
    alice.negotiation.hold()
    alice.negotiation.make_offer(HOME, 1.0)
    alice.negotiation.rollback()
    assert alice.agreement.held_by == ""
    assert alice.negotiation.held
    exchange(alice, bob)
    assert bob.agreement.held_by == "peer"


def test_an_answer_without_an_offer_is_refused() -> None:
    alice, bob = connected()
    answer = bob.negotiation.receive_offer(alice.negotiation.make_offer(HOME, 1.0), OFFICE, 1.0)
    alice.negotiation.rollback()
    with pytest.raises(RemoteError) as caught:
        alice.negotiation.receive_answer(answer, 1.0)
    assert caught.value.status == 400


def test_answers_of_two_forks_and_the_same_answer_again() -> None:
    alice, bob, carol = End("alice"), End("bob"), End("carol", MediaConfig(codecs=("PCMA",)))
    offer = alice.negotiation.make_offer(HOME, 0.0)
    early = bob.negotiation.receive_offer(offer, OFFICE, 0.0)
    alice.negotiation.receive_answer(early, 0.1)
    alice.negotiation.receive_answer(early, 0.2)
    alice.drain()
    assert len(alice.keys) == 1
    alice.negotiation.receive_answer(carol.negotiation.receive_offer(offer, OFFICE2, 0.3), 0.3)
    alice.drain()
    carol.drain()
    assert_mirrored(alice, carol)
    assert names(alice.agreement) == ["PCMA"]


@pytest.mark.parametrize(
    ("wanted", "sent"),
    [
        (b"", 20),
        (b"a=ptime:20\r\n", 20),
        (b"a=ptime:30\r\n", 20),
        (b"a=ptime:60\r\n", 60),
        (b"a=ptime:60\r\na=maxptime:40\r\n", 40),
        (b"a=ptime:1\r\n", 10),
        (b"a=ptime:2.5\r\na=maxptime:2.5\r\n", 10),
        (b"a=ptime:99999\r\n", 60),
        (b"a=maxptime:150\r\n", 20),
    ],
)
def test_packets_are_as_long_as_the_peer_wants_within_reason(wanted: bytes, sent: int) -> None:
    """CVE-2026-41416: what the two ends ask for differs, and one asks for absurd amounts."""
    offer = End("alice", CLEAR).negotiation.make_offer(HOME, 0.0).replace(b"a=ptime:20\r\n", wanted)
    bob = End("bob", CLEAR)
    bob.negotiation.receive_offer(offer, OFFICE, 0.0)
    assert bob.agreement.packet_time == sent
