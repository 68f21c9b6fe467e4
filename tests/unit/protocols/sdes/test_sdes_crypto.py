"""The crypto attribute: RFC 4568's examples both ways, its limits, and random text."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segue.base.errors import RemoteError
from segue.base.keying import MasterKey, Suite
from segue.base.secret import Secret
from segue.protocols.sdes import CryptoAttribute, InlineKey, SessionParameters, parse_crypto, write_crypto

EXAMPLES = (Path(__file__).parents[3] / "vectors" / "rfc4568_crypto.txt").read_text().splitlines()
KEY = "d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj"
OCTETS = b"wDfvg&T+)xG7@fb5jU,RaA}\\|p0%*#"


@pytest.mark.parametrize("line", EXAMPLES)
def test_examples_of_rfc4568_both_ways(line: str) -> None:
    assert write_crypto(parse_crypto(line)) == line


def test_fields_of_the_example_of_section_6_1() -> None:
    attribute = parse_crypto(EXAMPLES[1])
    assert (attribute.tag, attribute.known_suite) == (1, Suite.AES_CM_128_HMAC_SHA1_80)
    (key,) = attribute.keys
    assert (key.lifetime, key.mki) == (1 << 20, b"\0\0\0\1")
    assert key.master_key(Suite.AES_CM_128_HMAC_SHA1_80) == MasterKey(
        Secret(OCTETS[:16]), Secret(OCTETS[16:]), b"\0\0\0\1", 1 << 20
    )


def test_mki_without_lifetime_as_in_section_6_1() -> None:
    (key,) = parse_crypto(EXAMPLES[2]).keys
    assert (key.lifetime, key.mki) == (None, (1066).to_bytes(4, "big"))


def test_several_keys_as_in_section_7_1_5() -> None:
    attribute = parse_crypto(EXAMPLES[6])
    assert attribute.suite == "F8_128_HMAC_SHA1_80"
    assert attribute.known_suite is None
    assert [key.mki for key in attribute.keys] == [b"\0\0\0\1", b"\0\0\0\2"]
    assert attribute.session.fec_order == "FEC_SRTP"


@pytest.mark.parametrize("suite", list(Suite))
def test_every_suite_both_ways(suite: Suite) -> None:
    octets = bytes(range(suite.key_length + suite.salt_length))
    attribute = CryptoAttribute(7, suite.value, (InlineKey(Secret(octets)),))
    assert parse_crypto(write_crypto(attribute)) == attribute
    assert attribute.keys[0].master_key(suite) == MasterKey(
        Secret(octets[: suite.key_length]), Secret(octets[suite.key_length :])
    )


def test_padding_may_be_left_out() -> None:
    padded = base64.b64encode(bytes(44)).decode()
    with_padding = parse_crypto(f"1 AEAD_AES_256_GCM inline:{padded}")
    assert parse_crypto(f"1 AEAD_AES_256_GCM inline:{padded.rstrip('=')}") == with_padding


def test_older_names_of_the_aes_256_suites() -> None:
    key = base64.b64encode(bytes(46)).decode()
    attribute = parse_crypto(f"3 AES_CM_256_HMAC_SHA1_80 inline:{key}")
    assert attribute.known_suite is Suite.AES_256_CM_HMAC_SHA1_80
    assert attribute.suite == "AES_CM_256_HMAC_SHA1_80"


def test_names_are_not_case_sensitive() -> None:
    attribute = parse_crypto(f"1  aes_cm_128_hmac_sha1_80\tInline:{KEY}  wsh=128 ")
    assert attribute.known_suite is Suite.AES_CM_128_HMAC_SHA1_80
    assert attribute.session.window_size_hint == 128


def test_all_session_parameters_both_ways() -> None:
    line = (
        f"1 AES_CM_128_HMAC_SHA1_80 inline:{KEY} KDR=24 UNENCRYPTED_SRTP UNENCRYPTED_SRTCP "
        f"UNAUTHENTICATED_SRTP FEC_ORDER=SRTP_FEC FEC_KEY=inline:{KEY}|2^31|5:1 WSH=64 -FUTURE=1"
    )
    attribute = parse_crypto(line)
    assert attribute.session == SessionParameters(
        24,
        unencrypted_srtp=True,
        unencrypted_srtcp=True,
        unauthenticated_srtp=True,
        fec_order="SRTP_FEC",
        fec_keys=(InlineKey(Secret(OCTETS), 1 << 31, b"\5"),),
        window_size_hint=64,
        optional=("-FUTURE=1",),
    )
    assert write_crypto(attribute) == line


@pytest.mark.parametrize(
    ("text", "lifetime", "written"),
    [
        ("2^48", 1 << 48, "2^48"),
        ("2^31", 1 << 31, "2^31"),
        ("1048576", 1 << 20, "2^20"),
        ("1000000", 1_000_000, "1000000"),
        ("1", 1, "1"),
    ],
)
def test_lifetimes(text: str, lifetime: int, written: str) -> None:
    attribute = parse_crypto(f"1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}|{text}")
    assert attribute.keys[0].lifetime == lifetime
    assert write_crypto(attribute).endswith(f"|{written}")


SUITE = "AES_CM_128_HMAC_SHA1_80"


@pytest.mark.parametrize(
    "line",
    [
        "",
        f"01 {SUITE} inline:{KEY}",
        f"-1 {SUITE} inline:{KEY}",
        f"1234567890 {SUITE} inline:{KEY}",
        f"x {SUITE} inline:{KEY}",
        f"1 {SUITE}",
        f"1 {SUITE} inline:",
        f"1 {SUITE} inline:{KEY[:-4]}",
        f"1 {SUITE} inline:{KEY}AAAA",
        f"1 AEAD_AES_256_GCM inline:{KEY}",
        f"1 {SUITE} inline:{KEY[:-1]}*",
        f"1 {SUITE} inline:{KEY[:-1]}",
        f"1 {SUITE} inline:{KEY[:8]}={KEY[9:]}",
        f"1 {SUITE} uri:https://example.org/key",
        f"1 {SUITE} inline:{KEY}|2^49",
        f"1 {SUITE} inline:{KEY}|2^999999999",
        f"1 {SUITE} inline:{KEY}|281474976710657",
        f"1 {SUITE} inline:{KEY}|0",
        f"1 {SUITE} inline:{KEY}|020",
        f"1 {SUITE} inline:{KEY}|2^020",
        f"1 {SUITE} inline:{KEY}|forever",
        f"1 {SUITE} inline:{KEY}|{'9' * 5000}",
        f"1 {SUITE} inline:{KEY}|2^20|1",
        f"1 {SUITE} inline:{KEY}|1:0",
        f"1 {SUITE} inline:{KEY}|1:129",
        f"1 {SUITE} inline:{KEY}|256:1",
        f"1 {SUITE} inline:{KEY}|01:4",
        f"1 {SUITE} inline:{KEY}|1:",
        f"1 {SUITE} inline:{KEY}|{'9' * 3000}:128",
        f"1 {SUITE} inline:{KEY}|2^20|1:4|x",
        f"1 {SUITE} inline:{KEY};inline:{KEY}",
        f"1 {SUITE} inline:{KEY}|1:4;inline:{KEY}|2:5",
        f"1 {SUITE} inline:{KEY}|1:4;inline:{KEY}",
        f"1 {SUITE} " + ";".join(f"inline:{KEY}|{n}:4" for n in range(1, 20)),
        f"1 {SUITE} inline:{KEY} KDR=25",
        f"1 {SUITE} inline:{KEY} KDR=01",
        f"1 {SUITE} inline:{KEY} KDR=",
        f"1 {SUITE} inline:{KEY} WSH=63",
        f"1 {SUITE} inline:{KEY} WSH=99999999999999999999",
        f"1 {SUITE} inline:{KEY} FEC_ORDER=MAYBE",
        f"1 {SUITE} inline:{KEY} FEC_KEY=secret",
        f"1 {SUITE} inline:{KEY} UNKNOWN",
        f"1 {SUITE} inline:{KEY} UNENCRYPTED_SRTP=1",
        f"1 {SUITE} inline:{KEY} " + "-x " * 3000,
    ],
)
def test_invalid_attributes_are_refused_with_488(line: str) -> None:
    with pytest.raises(RemoteError) as caught:
        parse_crypto(line)
    assert caught.value.status == 488
    assert KEY not in str(caught.value)


def test_keys_do_not_show_in_a_representation() -> None:
    attribute = parse_crypto(EXAMPLES[0])
    assert KEY not in repr(attribute)
    assert "wDfvg" not in repr(attribute)


PIECES = ["1", SUITE, "inline:", KEY, "|2^20", "|1:4", ";", " ", "KDR=", "WSH=64", "=", "|", "2^", "9" * 400]


@given(st.lists(st.sampled_from(PIECES) | st.text(max_size=5), max_size=12).map("".join))
def test_any_text_gives_an_attribute_or_488(text: str) -> None:
    for value in (text, f"1 {SUITE} {text}", f"1 {SUITE} inline:{KEY}{text}"):
        try:
            attribute = parse_crypto(value)
        except RemoteError as error:
            assert error.status == 488
            continue
        assert parse_crypto(write_crypto(attribute)) == attribute
