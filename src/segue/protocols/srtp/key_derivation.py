"""Session keys from a master key (RFC 3711 section 4.3, RFC 6188 section 3, RFC 7714 section 11)."""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from segue.base.keying import MasterKey, Suite
from segue.base.secret import Secret

AUTHENTICATION_KEY_LENGTH = 20  # octets, HMAC-SHA1 (RFC 3711 section 5.2)


class Label(IntEnum):
    """What a session key is for (RFC 3711 sections 4.3.1 and 4.3.2)."""

    RTP_ENCRYPTION = 0
    RTP_AUTHENTICATION = 1
    RTP_SALT = 2
    RTCP_ENCRYPTION = 3
    RTCP_AUTHENTICATION = 4
    RTCP_SALT = 5


class SessionKeys(NamedTuple):
    """The three keys of one direction of RTP, or of RTCP; `authentication` is empty for AEAD suites."""

    encryption: Secret
    salt: Secret
    authentication: Secret


def derive(master: MasterKey, label: Label, length: int) -> bytes:
    """`length` octets of session key: AES in counter mode under the master key, key derivation rate 0.

    The master salt is 14 octets, or the 12 of an AEAD suite with two zero octets after it.
    """
    salt = bytearray(master.salt.reveal().ljust(16, b"\0"))
    salt[7] ^= label  # key_id is the label and six octets of "index DIV 0", aligned at the salt's right end
    stream = Cipher(algorithms.AES(master.key.reveal()), modes.CTR(bytes(salt))).encryptor()
    return stream.update(bytes(length))


def derive_session_keys(suite: Suite, master: MasterKey, rtcp: bool) -> SessionKeys:
    """All session keys for RTP, or for RTCP. The PRF has the key size of the cipher (RFC 6188 section 3.1)."""
    first = Label.RTCP_ENCRYPTION if rtcp else Label.RTP_ENCRYPTION
    aead = suite.value.startswith("AEAD")
    return SessionKeys(
        Secret(derive(master, first, suite.key_length)),
        Secret(derive(master, Label(first + 2), suite.salt_length)),
        Secret(b"" if aead else derive(master, Label(first + 1), AUTHENTICATION_KEY_LENGTH)),
    )
