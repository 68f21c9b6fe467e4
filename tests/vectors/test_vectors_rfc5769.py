"""RFC 5769, and RFC 8489 appendix B: each message read, proven, and written again to the same octets but the padding,
which these vectors fill with spaces and we with zeros."""

from __future__ import annotations

from pathlib import Path

import pytest

from segue.base.address import Address
from segue.base.secret import Secret
from segue.protocols.stun.attributes import (
    ICE_CONTROLLED,
    NONCE,
    PASSWORD_ALGORITHM,
    PRIORITY,
    REALM,
    SOFTWARE,
    USERHASH,
    USERNAME,
    XOR_MAPPED_ADDRESS,
    Attribute,
)
from segue.protocols.stun.credentials import (
    Algorithm,
    Feature,
    features_of,
    long_term_key,
    prepare,
    short_term_key,
    userhash,
)
from segue.protocols.stun.message import Class, Integrity, Method, StunMessage, parse_stun

SHORT = short_term_key(Secret("VOkJxbRl1RmTxUk/WvJxBt"))
MATRIX = "マトリックス"
PASSWORD = Secret("The\u00adM\u00aatr\u2168")
LONG = long_term_key(MATRIX, "example.org", PASSWORD)
FIRST, SECOND = bytes.fromhex("b7e7a701bc34d686fa87dfae"), bytes.fromhex("78ad3433c6ad72c029da412e")
Values = list[tuple[Attribute[object], object]]

REQUEST: Values = [
    (SOFTWARE, "STUN test client"),
    (PRIORITY, 0x6E0001FF),
    (ICE_CONTROLLED, 0x932FF9B151263B36),
    (USERNAME, "evtj:h6vY"),
]  # type: ignore[list-item]
RESPONSE_4: Values = [(SOFTWARE, "test vector"), (XOR_MAPPED_ADDRESS, Address("192.0.2.1", 32853))]  # type: ignore[list-item]
LONG_HOST = "2001:db8:1234:5678:11:2233:4455:6677"
RESPONSE_6: Values = [(SOFTWARE, "test vector"), (XOR_MAPPED_ADDRESS, Address(LONG_HOST, 32853))]  # type: ignore[list-item]
CHALLENGED: Values = [(USERNAME, MATRIX), (NONCE, b"f//499k954d6OL34oL9FSTvy64sA"), (REALM, "example.org")]  # type: ignore[list-item]


def vector(name: str) -> bytes:
    return bytes.fromhex(Path(__file__).with_name(f"{name}.hex").read_text())


@pytest.mark.parametrize(
    ("name", "kind", "transaction", "values", "key", "fingerprint", "padding"),
    [
        ("rfc5769_2.1", Class.REQUEST, FIRST, REQUEST, SHORT, True, b" "),
        ("rfc5769_2.2", Class.SUCCESS, FIRST, RESPONSE_4, SHORT, True, b" "),
        ("rfc5769_2.3", Class.SUCCESS, FIRST, RESPONSE_6, SHORT, True, b" "),
        ("rfc5769_2.4", Class.REQUEST, SECOND, CHALLENGED, LONG, False, b"\0"),
    ],
)
def test_read_proven_and_written(
    name: str,
    kind: Class,
    transaction: bytes,
    values: Values,
    key: Secret,
    fingerprint: bool,
    padding: bytes,
) -> None:
    octets = vector(name)
    message = parse_stun(octets)
    assert message == StunMessage(kind, Method.BINDING, transaction, values)  # type: ignore[arg-type]
    assert message.fingerprint is fingerprint and message.integrity is Integrity.SHA1
    assert message.verify(key) and not message.verify(Secret("another"))
    written = message.write(key, fingerprint=fingerprint)
    if padding == b"\0":
        assert written == octets
    else:
        assert len(written) == len(octets)
        unpadded = octets.replace(b"vY   ", b"vY\0\0\0").replace(b"vector ", b"vector\0")
        proofs = 32
        assert written[:-proofs] == unpadded[:-proofs]
    assert parse_stun(written).verify(key)


def test_appendix_b_with_sha256_and_a_hashed_name() -> None:
    """As erratum 6268 corrects it: the length, and the PASSWORD-ALGORITHM that its key was made with."""
    octets = vector("rfc8489_b1")
    message = parse_stun(octets)
    nonce = message.get(NONCE)
    assert nonce == b"obMatJos2AAACf//499k954d6OL34oL9FSTvy64sA" and message.get(REALM) == "example.org"
    assert message.get(USERHASH) == userhash(MATRIX, "example.org")
    assert features_of(nonce) == Feature(0)  # it sets bit 22, which nobody has assigned
    assert message.get(PASSWORD_ALGORITHM) == (Algorithm.SHA256, b"")
    key = long_term_key(MATRIX, "example.org", PASSWORD, Algorithm.SHA256)
    assert message.integrity is Integrity.SHA256 and message.verify(key) and not message.verify(LONG)
    assert message.write(key, integrity=(Integrity.SHA256,)) == octets


def test_what_saslprep_makes_of_the_password() -> None:
    assert prepare("The\u00adM\u00aatr\u2168") == "TheMatrIX"
    assert prepare(MATRIX) == MATRIX


def test_the_key_of_section_9_2_2() -> None:
    key = long_term_key("user", "realm", Secret("pass"))
    assert key.reveal().hex() == "8493fbc53ba582fb4c044c456bdc40eb"
