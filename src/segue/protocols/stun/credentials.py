"""STUN credentials (RFC 8489 section 9): keys of a password, and a client's answer to a challenge."""

from __future__ import annotations

import base64
import binascii
import hashlib
import stringprep
import unicodedata
from enum import IntEnum, IntFlag

from segue.base.errors import LocalError
from segue.base.secret import Secret
from segue.protocols.stun.attributes import (
    NONCE,
    PASSWORD_ALGORITHM,
    PASSWORD_ALGORITHMS,
    REALM,
    USERHASH,
    USERNAME,
    PasswordAlgorithm,
)
from segue.protocols.stun.message import Integrity, StunMessage

NONCE_COOKIE = b"obMatJos2"  # section 9.2


class Algorithm(IntEnum):
    """Section 18.5: how a long-term key is made."""

    MD5 = 1
    SHA256 = 2


_KNOWN_ALGORITHMS = frozenset(PasswordAlgorithm(each) for each in Algorithm)


class Feature(IntFlag):
    """Section 18.1: what a nonce tells of the server, so that nobody on the way can take it out."""

    PASSWORD_ALGORITHMS = 1 << 23
    USERNAME_ANONYMITY = 1 << 22


_PROHIBITED = (
    stringprep.in_table_c12,
    stringprep.in_table_c21_c22,
    stringprep.in_table_c3,
    stringprep.in_table_c4,
    stringprep.in_table_c5,
    stringprep.in_table_c6,
    stringprep.in_table_c7,
    stringprep.in_table_c8,
    stringprep.in_table_c9,
)


def prepare(text: str) -> str:
    """SASLprep (RFC 4013), as the vectors of RFC 5769 and RFC 8489 appendix B want it.

    The OpaqueString profile (RFC 8265), which RFC 8489 names, differs where compatibility characters are (it would
    leave U+2168 as it is, and these vectors do not). Raises LocalError for what may not be in a name or password.
    """
    if text.isascii() and text.isprintable():
        return text
    mapped = "".join(
        " " if stringprep.in_table_c12(each) else each for each in text if not stringprep.in_table_b1(each)
    )
    normal = unicodedata.normalize("NFKC", mapped)
    if any(prohibited(each) for each in normal for prohibited in _PROHIBITED) or not _one_direction(normal):
        raise LocalError(
            "a name or password contains characters that STUN forbids", "leave control characters out"
        )
    return normal


def _one_direction(text: str) -> bool:
    """RFC 3454 section 6: text from right to left begins and ends so, and nothing in it runs the other way."""
    if not any(map(stringprep.in_table_d1, text)):
        return True
    ends = stringprep.in_table_d1(text[0]) and stringprep.in_table_d1(text[-1])
    return ends and not any(map(stringprep.in_table_d2, text))


def short_term_key(password: Secret) -> Secret:
    """Section 9.1.1."""
    return Secret(prepare(password.reveal().decode()))


def long_term_key(
    username: str, realm: str, password: Secret, algorithm: Algorithm = Algorithm.MD5
) -> Secret:
    """Sections 9.2.2 and 18.5.1; `username` is prepared already."""
    words = (username, prepare(realm.strip('"').rstrip("\0")), prepare(password.reveal().decode()))
    text = ":".join(words).encode()
    if algorithm is Algorithm.SHA256:
        return Secret(hashlib.sha256(text).digest())
    return Secret(hashlib.md5(text, usedforsecurity=False).digest())


def userhash(username: str, realm: str) -> bytes:
    """Section 14.4."""
    return hashlib.sha256(f"{prepare(username)}:{prepare(realm)}".encode()).digest()


def features_of(nonce: bytes) -> Feature:
    """Section 9.2: none when the nonce begins otherwise."""
    encoded = nonce[len(NONCE_COOKIE) : len(NONCE_COOKIE) + 4]
    if not nonce.startswith(NONCE_COOKIE) or len(encoded) != 4:
        return Feature(0)
    try:
        return Feature(int.from_bytes(base64.b64decode(encoded, validate=True), "big")) & Feature(3 << 22)
    except binascii.Error:
        return Feature(0)


class LongTermCredentials:
    """A client's name and password at one server, and what the server asked for (section 9.2).

    `write(request)`, then `challenged(response)` on 401 and 438, `accepts(response)` on any other. Raises LocalError
    for a name or password that STUN forbids.
    """

    def __init__(self, username: str, password: Secret) -> None:
        self._username = prepare(username)
        self._password = Secret(prepare(password.reveal().decode()))
        self._realm: str | None = None
        self._nonce = b""
        self._algorithms: tuple[PasswordAlgorithm, ...] = ()
        self._algorithm: PasswordAlgorithm | None = None
        self._key: Secret | None = None

    @property
    def key(self) -> Secret | None:
        """None until the server has asked (section 9.2.3.1)."""
        return self._key

    @property
    def integrity(self) -> Integrity:
        """Section 9.2.5: SHA-256 only, when the server listed algorithms."""
        return Integrity.SHA256 if self._algorithms else Integrity.SHA1

    def write(self, request: StunMessage) -> bytes:
        """The octets of a request, with what the server asked for (sections 9.2.3.2 and 9.2.5)."""
        if self._key is None or self._realm is None:
            return request.write()
        signed = StunMessage(request.kind, request.method, request.transaction, list(request.attributes))
        if features_of(self._nonce) & Feature.USERNAME_ANONYMITY:
            signed.add(USERHASH, userhash(self._username, self._realm))
        else:
            signed.add(USERNAME, self._username)
        signed.add(REALM, self._realm).add(NONCE, self._nonce)
        if self._algorithms:
            signed.add(PASSWORD_ALGORITHMS, self._algorithms)
        if self._algorithm is not None:
            signed.add(PASSWORD_ALGORITHM, self._algorithm)
        return signed.write(self._key, integrity=(self.integrity,))

    def challenged(self, response: StunMessage) -> bool:
        """Whether the request may be tried again, as a new transaction, after this 401 or 438 (section 9.2.5)."""
        error, nonce = response.error, response.get(NONCE)
        if error is None or error.code not in (401, 438) or not nonce:
            return False
        algorithms = response.get(PASSWORD_ALGORITHMS) or ()
        if features_of(nonce) & Feature.PASSWORD_ALGORITHMS and not algorithms:
            return False  # someone on the way took them out
        chosen = next((each for each in algorithms if each in _KNOWN_ALGORITHMS), None)
        if algorithms and chosen is None:
            return False
        realm = response.get(REALM) or self._realm
        if realm is None or (error.code == 401 and self._same(realm, algorithms)):
            return False  # it refused what it would get again
        algorithm = Algorithm(chosen.number) if chosen is not None else Algorithm.MD5
        try:
            self._key = long_term_key(self._username, realm, self._password, algorithm)
        except LocalError:  # the server's realm is no text
            return False
        self._realm, self._nonce, self._algorithms, self._algorithm = realm, nonce, algorithms, chosen
        return True

    def _same(self, realm: str, algorithms: tuple[PasswordAlgorithm, ...]) -> bool:
        return self._key is not None and realm == self._realm and algorithms == self._algorithms

    def accepts(self, response: StunMessage) -> bool:
        """Whether a response is the server's (section 9.2.5); one that is not is as if it had never come."""
        nonce = response.get(NONCE)
        if (
            nonce
            and features_of(nonce) & Feature.PASSWORD_ALGORITHMS
            and not response.get(PASSWORD_ALGORITHMS)
        ):
            return False
        return self._key is None or response.verify(self._key)

    def __repr__(self) -> str:
        return f"LongTermCredentials({self._username!r})"
