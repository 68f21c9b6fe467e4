"""Bodies in the shape that deployed phones and servers write, answered as they expect."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segue.base.address import Address
from segue.base.errors import RemoteError
from segue.base.keying import KeysReady, Suite
from segue.call.agreement import LocalMedia, MediaAgreement
from segue.call.config import MediaConfig
from segue.call.keying import Keying
from segue.call.negotiation import Negotiation
from segue.protocols.sdp import SessionDescription, parse_sdp
from segue.testing import SeededEntropy

VECTORS = Path(__file__).parents[2] / "vectors"
BODIES = {path.stem: path.read_bytes() for path in sorted(VECTORS.glob("sdp_*_offer.sdp"))}
HERE = LocalMedia(Address("198.51.100.2", 41000), Address("198.51.100.2", 41001))


def phone(keying: str = "sdes") -> Negotiation:
    config, entropy = MediaConfig(keying=keying), SeededEntropy("us")
    return Negotiation(config, Keying(config, entropy).to_answer(True), entropy)


def answered(name: str, keying: str = "sdes") -> tuple[SessionDescription, MediaAgreement, Suite | None]:
    us = phone(keying)
    answer = parse_sdp(us.receive_offer(BODIES[f"sdp_{name}_offer"], HERE, 0.0))
    assert us.agreement is not None
    events = us.keying.events() if us.keying else []
    suites = [event.keys.suite for event in events if isinstance(event, KeysReady)]
    return answer, us.agreement, suites[0] if suites else None


def codecs(agreement: MediaAgreement) -> list[tuple[str, int]]:
    return [(agreed.format.name, agreed.send_type) for agreed in agreement.codecs]


def events(agreement: MediaAgreement) -> list[tuple[int, int]]:
    return [(agreed.format.clock_rate, agreed.send_type) for agreed in agreement.telephone_events]


def test_baresip() -> None:
    answer, agreement, suite = answered("baresip")
    assert codecs(agreement) == [("opus", 96), ("G722", 9), ("PCMA", 8), ("PCMU", 0)]
    assert suite is Suite.AES_CM_128_HMAC_SHA1_32
    assert (agreement.remote, agreement.remote_rtcp) == (
        Address("192.0.2.10", 22340),
        Address("192.0.2.10", 22341),
    )
    assert not answer.media[0].has("rtcp-mux")
    assert answer.media[0].port == 41000


@pytest.mark.parametrize(
    ("tool", "keeps"),
    [
        ("baresip 1.0.0", True),
        ("baresip v3.11.0", True),
        ("baresip 3.12.0", False),
        ("baresip 10.0.0", False),
        ("pjmedia 2.14", False),
        ("", False),
    ],
)
def test_a_phone_that_takes_no_second_key_is_left_with_the_first(tool: str, keeps: bool) -> None:
    """baresip before 3.12 goes on with the key of the first offer or answer, whatever a moved one says."""
    us = phone()
    body = BODIES["sdp_baresip_offer"].replace(b"tool:baresip 1.0.0", f"tool:{tool}".encode())
    first = parse_sdp(us.receive_offer(body, HERE, 0.0)).media[0].value("crypto")
    moved = LocalMedia(Address("203.0.113.2", 42000), Address("203.0.113.2", 42001))
    second = parse_sdp(us.make_offer(moved, 1.0)).media[0].value("crypto")
    assert first is not None and second is not None
    assert (first.partition(" ")[2] == second.partition(" ")[2]) == keeps


def test_baresip_with_optional_encryption() -> None:
    answer, agreement, suite = answered("baresip_optional")
    assert answer.media[0].protocol == "RTP/AVP"
    assert suite is Suite.AEAD_AES_256_GCM
    assert agreement.secure
    assert agreement.rtcp_mux


def test_linphone() -> None:
    answer, agreement, suite = answered("linphone")
    assert codecs(agreement) == [("opus", 96), ("PCMU", 0), ("PCMA", 8)]
    assert events(agreement) == [(48000, 99), (8000, 101)]
    assert suite is Suite.AES_CM_128_HMAC_SHA1_80
    assert answer.media[0].formats == ("96", "0", "8", "99", "101")


def test_linphone_with_aes_256_only() -> None:
    body = BODIES["sdp_linphone_offer"].replace(b"AES_CM_128_HMAC", b"F8_128_HMAC")
    us = phone()
    (crypto,) = parse_sdp(us.receive_offer(body, HERE, 0.0)).media[0].values("crypto")
    assert crypto.startswith("3 AES_CM_256_HMAC_SHA1_80 inline:")


def test_pjsua() -> None:
    _, agreement, suite = answered("pjsua")
    assert codecs(agreement) == [("PCMA", 8), ("PCMU", 0), ("opus", 97), ("G722", 9)]
    assert events(agreement) == [(8000, 121), (48000, 122)]
    assert suite is Suite.AES_256_CM_HMAC_SHA1_80
    assert agreement.remote == Address("192.0.2.30", 4000)


def test_asterisk() -> None:
    _, agreement, suite = answered("asterisk")
    assert codecs(agreement) == [("PCMA", 8), ("PCMU", 0)]
    assert suite is Suite.AES_CM_128_HMAC_SHA1_80
    assert agreement.packet_time == 20


def test_rtpengine_behind_kamailio() -> None:
    answer, agreement, suite = answered("kamailio_rtpengine")
    assert suite is Suite.AEAD_AES_256_GCM
    assert codecs(agreement)[0] == ("opus", 111)
    assert agreement.remote == Address("2001:db8:ffff::7", 30012)
    assert agreement.rtcp_mux
    assert agreement.ice is not None and agreement.ice.candidates
    assert not answer.media[0].has("fingerprint")


def test_two_streams_one_of_them_encrypted() -> None:
    answer, agreement, suite = answered("snom_two_streams")
    assert [(part.port, part.protocol) for part in answer.media] == [(0, "RTP/AVP"), (41000, "RTP/SAVP")]
    assert suite is Suite.AES_CM_128_HMAC_SHA1_32
    assert agreement.secure
    clear, agreement, suite = answered("snom_two_streams", "none")
    assert [part.port for part in clear.media] == [41000, 0]
    assert (agreement.secure, suite) == (False, None)


def test_fax_and_video_beside_audio_are_refused() -> None:
    answer, agreement, _ = answered("fax_gateway", "none")
    assert [(part.media, part.port) for part in answer.media] == [
        ("audio", 41000),
        ("image", 0),
        ("video", 0),
    ]
    assert codecs(agreement) == [("PCMU", 0), ("PCMA", 8)]
    assert events(agreement) == []  # 101 without an rtpmap means nothing


def test_hold_of_an_old_gateway() -> None:
    _, agreement, _ = answered("cisco_hold", "none")
    assert agreement.held_by == "peer"
    assert not agreement.sends


def test_chrome_needs_another_key_agreement() -> None:
    with pytest.raises(RemoteError, match="UDP/TLS/RTP/SAVPF") as caught:
        answered("chrome")
    assert caught.value.status == 488


@pytest.mark.parametrize("name", ["baresip", "linphone", "pjsua", "asterisk", "kamailio_rtpengine"])
def test_a_reoffer_to_each_is_in_terms_it_knows(name: str) -> None:
    us = phone()
    us.receive_offer(BODIES[f"sdp_{name}_offer"], HERE, 0.0)
    assert us.agreement is not None
    numbers = [str(agreed.receive_type) for agreed in us.agreement.codecs]
    moved = LocalMedia(Address("2001:db8::2", 41000))
    reoffer = parse_sdp(us.make_offer(moved, 1.0))
    assert list(reoffer.media[0].formats[: len(numbers)]) == numbers
    first = reoffer.media[0].values("crypto")[0]
    assert us.keying is not None
    (ready,) = [event for event in us.keying.events() if isinstance(event, KeysReady)]
    assert first.split()[1] == ready.keys.suite.value


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"a=rtpmap:8 PCMA/8000", b"a=rtpmap:8 PCMA/8000/99999999999999999999"),
        (b"a=rtpmap:8 PCMA/8000", b"a=rtpmap:256 PCMA/8000"),
        (b"a=fmtp:101 0-16", b"a=fmtp:101"),
        (b"a=fmtp:101 0-16", b"a=fmtp:101 0-4294967295"),
        (b"a=fmtp:101 0-16", b"a=fmtp:"),
        (b"a=ptime:20", b"a=ptime:0"),
        (b"a=ptime:20", b"a=ptime:4294967296"),
        (b"a=maxptime:140", b"a=maxptime:-1"),
        (b"8 0 101\r\n", b"8 0 1000\r\n"),
        (b"8 0 101\r\n", b"pcma\r\n"),
        (b"RTP/SAVP 8 0 101\r\n", b"RTP/SAVP\r\n"),
        (b"RTP/SAVP 8 0 101\r\n", b"RTP/SAVP 3 18\r\n"),
        (b"m=audio 15052", b"m=audio 65536"),
        (b"m=audio 15052", b"m=audio 0"),
        (b"m=audio", b"m=video"),
        (b"RTP/SAVP", b"TCP/RTP/SAVP"),
        (b"c=IN IP4 192.0.2.40", b"c=IN IP4 asterisk.example.org"),
        (b"c=IN IP4 192.0.2.40", b"c=IN IP4 224.0.1.75/127"),
        (b"c=IN IP4 192.0.2.40\r\n", b""),
        (b"a=crypto:1 AES_CM_128_HMAC_SHA1_80", b"a=crypto:1 NULL_NULL"),
    ],
)
def test_offers_that_cannot_be_taken_get_a_status_and_change_nothing(old: bytes, new: bytes) -> None:
    """CVE-2018-1000098, CVE-2018-1000099 (formats and fmtp), CVE-2026-41416 (packet times)."""
    good = BODIES["sdp_asterisk_offer"]
    assert old in good
    us = phone()
    with pytest.raises(RemoteError) as caught:
        us.receive_offer(good.replace(old, new), HERE, 0.0)
    assert caught.value.status in (400, 488)
    assert us.agreement is None
    us.receive_offer(good, HERE, 1.0)


MUTATIONS = st.tuples(
    st.integers(0, 3000),
    st.integers(0, 40),
    st.binary(max_size=20)
    | st.sampled_from(
        [b"\r\n", b"a=inactive\r\n", b"m=audio 5000 RTP/AVP 0\r\n", b"99999999999999999999", b"0", b" "]
    ),
)


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(sorted(BODIES)),
    st.lists(MUTATIONS, min_size=1, max_size=4),
    st.sampled_from(["sdes", "none"]),
)
def test_mutated_offers_and_answers_end_in_an_answer_or_a_status(
    name: str, mutations: list[tuple[int, int, bytes]], keying: str
) -> None:
    body = BODIES[name]
    for position, length, text in mutations:
        start = position % len(body)
        body = body[:start] + text + body[start + length :]
    us, asker = phone(keying), phone(keying)
    asker.make_offer(HERE, 0.0)
    try:
        parse_sdp(us.receive_offer(body, HERE, 0.0))
    except RemoteError as error:
        assert error.status in (400, 488)
        assert us.agreement is None
    try:
        asker.receive_answer(body, 0.0)
    except RemoteError as error:
        assert error.status in (400, 488)
        assert asker.agreement is None
