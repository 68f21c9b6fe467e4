"""Keys, and a client's answer to a challenge."""

from __future__ import annotations

import pytest

from segue.base.errors import LocalError
from segue.base.secret import Secret
from segue.protocols.stun.attributes import (
    ERROR_CODE,
    NONCE,
    PASSWORD_ALGORITHM,
    PASSWORD_ALGORITHMS,
    REALM,
    USERHASH,
    USERNAME,
    ErrorCode,
    PasswordAlgorithm,
)
from segue.protocols.stun.credentials import (
    Algorithm,
    Feature,
    LongTermCredentials,
    features_of,
    long_term_key,
    prepare,
    userhash,
)
from segue.protocols.stun.message import Class, Integrity, Method, StunMessage, parse_stun

ID = b"twelve bytes"
MD5, SHA256 = PasswordAlgorithm(1), PasswordAlgorithm(2)
PLAIN, ALGORITHMS, BOTH = b"nonce", b"obMatJos2gAAA" + b"nonce", b"obMatJos2wAAA" + b"nonce"


def challenge(
    code: int = 401,
    nonce: bytes = PLAIN,
    realm: str = "example.org",
    algorithms: tuple[PasswordAlgorithm, ...] = (),
) -> StunMessage:
    response = StunMessage(Class.ERROR, Method.ALLOCATE, ID).add(ERROR_CODE, ErrorCode(code))
    response.add(REALM, realm).add(NONCE, nonce)
    return response.add(PASSWORD_ALGORITHMS, algorithms) if algorithms else response


def request() -> StunMessage:
    return StunMessage(Class.REQUEST, Method.ALLOCATE, ID)


def alice() -> LongTermCredentials:
    return LongTermCredentials("alice", Secret("sesame"))


def test_the_first_request_proves_nothing() -> None:
    assert parse_stun(alice().write(request())) == request()


def test_a_challenge_as_rfc_5389_has_it() -> None:
    credentials = alice()
    assert credentials.challenged(challenge())
    signed = parse_stun(credentials.write(request()))
    assert (signed.get(USERNAME), signed.get(REALM), signed.get(NONCE)) == ("alice", "example.org", PLAIN)
    assert signed.integrity is Integrity.SHA1
    assert signed.verify(long_term_key("alice", "example.org", Secret("sesame")))


@pytest.mark.parametrize(("algorithms", "chosen"), [((SHA256, MD5), SHA256), ((MD5, SHA256), MD5)])
def test_the_first_known_algorithm_is_taken_and_the_list_echoed(
    algorithms: tuple[PasswordAlgorithm, ...], chosen: PasswordAlgorithm
) -> None:
    credentials = alice()
    unknown = PasswordAlgorithm(77, b"abc")
    assert credentials.challenged(challenge(nonce=ALGORITHMS, algorithms=(unknown, *algorithms)))
    signed = parse_stun(credentials.write(request()))
    assert signed.get(PASSWORD_ALGORITHMS) == (unknown, *algorithms)
    assert signed.get(PASSWORD_ALGORITHM) == chosen and signed.integrity is Integrity.SHA256
    assert signed.verify(long_term_key("alice", "example.org", Secret("sesame"), Algorithm(chosen.number)))


def test_a_name_is_hashed_where_the_server_can_read_it() -> None:
    credentials = alice()
    assert credentials.challenged(challenge(nonce=BOTH, algorithms=(SHA256,)))
    signed = parse_stun(credentials.write(request()))
    assert signed.get(USERHASH) == userhash("alice", "example.org") and signed.get(USERNAME) is None


def test_algorithms_that_were_taken_out_on_the_way_end_it() -> None:
    assert not alice().challenged(challenge(nonce=ALGORITHMS))
    assert not alice().challenged(challenge(nonce=ALGORITHMS, algorithms=(PasswordAlgorithm(77),)))


def test_a_second_401_is_a_wrong_password_and_438_a_new_nonce() -> None:
    credentials = alice()
    assert credentials.challenged(challenge())
    assert not credentials.challenged(challenge(nonce=b"other"))
    assert credentials.challenged(challenge(438, b"fresh"))
    assert parse_stun(credentials.write(request())).get(NONCE) == b"fresh"
    assert not credentials.challenged(challenge(400))
    assert not credentials.challenged(StunMessage(Class.ERROR, Method.ALLOCATE, ID))


def test_a_response_counts_when_the_server_proves_itself() -> None:
    credentials, key = alice(), long_term_key("alice", "example.org", Secret("sesame"))
    assert credentials.challenged(challenge())
    success = StunMessage(Class.SUCCESS, Method.ALLOCATE, ID)
    assert credentials.accepts(parse_stun(success.write(key)))
    assert not credentials.accepts(parse_stun(success.write()))
    assert not credentials.accepts(parse_stun(success.write(Secret("another"))))
    assert not credentials.accepts(parse_stun(success.add(NONCE, ALGORITHMS).write(key)))


def test_a_realm_that_is_no_text_is_no_challenge() -> None:
    assert not alice().challenged(challenge(realm="bell\u0007é"))


def test_features_of_a_nonce() -> None:
    assert features_of(BOTH) == Feature.PASSWORD_ALGORITHMS | Feature.USERNAME_ANONYMITY
    assert features_of(ALGORITHMS) == Feature.PASSWORD_ALGORITHMS
    for nothing in (PLAIN, b"obMatJos2", b"obMatJos2!!!!", b"obMatJos2AA="):
        assert features_of(nothing) == Feature(0)


@pytest.mark.parametrize(
    ("text", "prepared"),
    [
        ("plain", "plain"),
        ("I\u00adX", "IX"),
        ("\u2168", "IX"),
        ("a\u00a0b", "a b"),
        ("\u0627\u0628", "\u0627\u0628"),
    ],
)
def test_what_saslprep_makes_of_text(text: str, prepared: str) -> None:
    """RFC 4013 sections 2 and 3."""
    assert prepare(text) == prepared


@pytest.mark.parametrize("text", ["\u0007", "a\u0627", "\u06271", "\ue000"])
def test_what_saslprep_forbids(text: str) -> None:
    with pytest.raises(LocalError):
        prepare(text)


def test_a_password_is_not_printed() -> None:
    credentials = alice()
    credentials.challenged(challenge())
    assert "sesame" not in repr(credentials) + repr(vars(credentials))
