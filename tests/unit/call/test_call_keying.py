"""Which key agreement a call gets, and where; the configuration of media."""

from __future__ import annotations

import pytest

from segue.base.errors import LocalError, RemoteError
from segue.base.keying import Assurance, Suite
from segue.call.config import MediaConfig
from segue.call.extensions import Extension, parse_extensions, write_extensions
from segue.call.formats import (
    EVENTS_8000,
    EVENTS_48000,
    G722,
    OPUS,
    PCMA,
    PCMU,
    PayloadTypes,
    events_for,
    find_format,
)
from segue.call.keying import UNPROTECTED, Keying, accepts_profile
from segue.protocols.sdes import SdesAgreement, parse_crypto
from segue.protocols.sdp import RtpMap
from segue.testing import SeededEntropy


def keying(name: str, *suites: Suite) -> Keying:
    config = MediaConfig(keying=name, suites=suites) if suites else MediaConfig(keying=name)
    return Keying(config, SeededEntropy(name))


def test_sdes_over_tls_only() -> None:
    sdes = keying("sdes")
    assert sdes.offered_over(secure=True)
    assert not sdes.offered_over(secure=False)
    assert isinstance(sdes.to_offer(secure=True), SdesAgreement)
    with pytest.raises(LocalError, match="--keying none"):
        sdes.to_offer(secure=False)
    with pytest.raises(RemoteError) as caught:
        sdes.to_answer(secure=False)
    assert caught.value.status == 488


@pytest.mark.parametrize("secure", [True, False])
def test_calls_in_the_clear_anywhere_when_asked_for(secure: bool) -> None:
    none = keying("none")
    assert none.offered_over(secure)
    assert none.to_offer(secure) is none.to_answer(secure) is None
    assert UNPROTECTED.assurance is Assurance.NONE


@pytest.mark.parametrize("name", ["zrtp", "mikey", "dtls-srtp", "SDES", ""])
def test_other_names_are_refused_with_those_that_exist(name: str) -> None:
    with pytest.raises(LocalError, match="sdes or none"):
        keying(name)


def test_suites_are_offered_as_configured() -> None:
    agreement = keying("sdes", Suite.AES_CM_128_HMAC_SHA1_32, Suite.AEAD_AES_128_GCM).to_offer(True)
    assert agreement is not None
    suites = [parse_crypto(attribute.value).known_suite for attribute in agreement.offer(0.0)]
    assert suites == [Suite.AES_CM_128_HMAC_SHA1_32, Suite.AEAD_AES_128_GCM]


def test_calls_of_one_phone_share_the_memory_of_keys() -> None:
    offerer = keying("sdes").to_offer(True)
    answerer = Keying(MediaConfig(), SeededEntropy("bob"))
    first, second = answerer.to_answer(True), answerer.to_answer(True)
    assert offerer is not None
    assert first is not None
    assert second is not None
    offer = offerer.offer(0.0)
    first.receive_offer(offer, 0.0)
    with pytest.raises(RemoteError, match="used before"):
        second.receive_offer(offer, 0.0)


def test_profiles() -> None:
    sdes = keying("sdes").to_offer(True)
    assert [
        p for p in ("RTP/AVP", "RTP/SAVP", "RTP/SAVPF", "UDP/TLS/RTP/SAVP") if accepts_profile(sdes, p)
    ] == [
        "RTP/AVP",  # only with keys: RFC 8643
        "RTP/SAVP",
        "RTP/SAVPF",
    ]
    assert [p for p in ("RTP/AVP", "RTP/AVPF", "RTP/SAVP") if accepts_profile(None, p)] == [
        "RTP/AVP",
        "RTP/AVPF",
    ]


def test_codecs_are_named_in_any_case_and_preferred_one_first() -> None:
    config = MediaConfig(codecs=("pcma", "OPUS"))
    assert config.codecs == ("PCMA", "opus")
    assert config.preferring("opus").codecs == ("opus", "PCMA")
    assert MediaConfig().preferring("pcmu").codecs == ("PCMU", "opus", "G722", "PCMA")


@pytest.mark.parametrize(
    "wrong",
    [
        {"codecs": ()},
        {"codecs": ("speex",)},
        {"codecs": ("PCMA", "pcma")},
        {"suites": ()},
        {"packet_time": 0},
        {"packet_time": 25},
    ],
)
def test_wrong_configuration_is_a_local_error_with_a_remedy(wrong: dict[str, object]) -> None:
    with pytest.raises(LocalError) as caught:
        MediaConfig(**wrong)  # type: ignore[arg-type]
    assert caught.value.remedy


def test_extensions_both_ways() -> None:
    assert parse_extensions(write_extensions(Extension)) == frozenset(Extension)
    assert parse_extensions(None) == parse_extensions("unknown  KEEP-KEYS") == frozenset()


def test_formats_are_found_whatever_the_case() -> None:
    assert find_format(RtpMap(0, "pcmu", 8000)) is PCMU
    assert find_format(RtpMap(96, "OPUS", 48000, 2)) is OPUS
    assert find_format(RtpMap(96, "opus", 48000)) is OPUS
    assert find_format(RtpMap(9, "G722", 16000)) is None
    assert find_format(RtpMap(8, "PCMA", 8000, 2)) is None


def test_telephone_events_go_by_the_clock_of_the_codecs() -> None:
    assert list(events_for([OPUS])) == [EVENTS_48000]
    assert list(events_for([PCMA, G722])) == [EVENTS_8000]


def test_payload_types_keep_their_meaning() -> None:
    types = PayloadTypes()
    assert types.number(OPUS, theirs=101) == 101
    assert types.number(EVENTS_8000) == 96  # 101 is taken
    assert types.number(EVENTS_48000, theirs=96) == 100  # 96 means something else already
    assert types.number(OPUS) == 101
    assert types.number(OPUS, theirs=97) == 97
    assert types.meaning == {101: OPUS, 96: EVENTS_8000, 100: EVENTS_48000, 97: OPUS}
    twin = types.copy()
    twin.number(PCMA)
    assert 8 not in types.meaning
