"""What is done to one packet: encryption and authentication under one set of session keys.

Two transforms of one shape. Both get the nonce ready made, in the form of a base per SSRC that the packet
index is added to (`nonce`), and know nothing of streams, windows and keys' lives. An octet buffer in, one
out; None when the tag is wrong.
"""

from __future__ import annotations

from hmac import compare_digest

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hmac import HMAC

from segue.protocols.srtp.key_derivation import SessionKeys

SRTCP_HEADER = 8  # octets that stay clear: first word and SSRC (RFC 3711 section 3.4)
SRTCP_INDEX = 4  # octets of E flag and index
ENCRYPTED = 0x80000000  # the E flag


class CounterMode:
    """AES-CM with HMAC-SHA1 (RFC 3711 sections 4.1.1 and 4.2.1, RFC 6188 section 2)."""

    nonce_length = 16
    index_shift = 16  # the last two octets of the counter block count the blocks of a packet

    def __init__(self, keys: SessionKeys, tag_length: int) -> None:
        self.tag_length = tag_length
        self._salt = int.from_bytes(keys.salt.reveal(), "big") << 16
        cipher = Cipher(algorithms.AES(keys.encryption.reveal()), modes.CTR(bytes(16))).encryptor()
        self._reset_nonce = cipher.reset_nonce
        self._update = cipher.update
        self._copy_mac = HMAC(keys.authentication.reveal(), hashes.SHA1()).copy

    def nonce_base(self, ssrc: int) -> int:
        return self._salt ^ ssrc << 64

    def keystream(self, nonce: bytes, data: bytes) -> bytes:
        """`data` encrypted or decrypted; at most 2**16 blocks."""
        self._reset_nonce(nonce)
        return self._update(data)

    def seal(self, packet: bytes, header: int, nonce: bytes, rollover: bytes, mki: bytes) -> bytes:
        """The SRTP packet for an RTP packet whose header has `header` octets."""
        self._reset_nonce(nonce)
        sealed = packet[:header] + self._update(packet[header:])
        mac = self._copy_mac()
        mac.update(sealed + rollover)
        return sealed + mki + mac.finalize()[: self.tag_length]

    def open(self, packet: bytes, header: int, end: int, nonce: bytes, rollover: bytes) -> bytes | None:
        """The RTP packet; `end` is where the MKI or, without one, the tag begins."""
        sealed = packet[:end]
        mac = self._copy_mac()
        mac.update(sealed + rollover)
        if not compare_digest(mac.finalize()[: self.tag_length], packet[-self.tag_length :]):
            return None
        self._reset_nonce(nonce)
        return sealed[:header] + self._update(sealed[header:])

    def seal_rtcp(self, packet: bytes, index: bytes, nonce: bytes, mki: bytes) -> bytes:
        """`index` is the E flag and the SRTCP index as they stand in the packet."""
        self._reset_nonce(nonce)
        sealed = packet[:SRTCP_HEADER] + self._update(packet[SRTCP_HEADER:]) + index
        mac = self._copy_mac()
        mac.update(sealed)
        return sealed + mki + mac.finalize()[: self.tag_length]

    def rtcp_index_at(self, length: int, mki_length: int) -> int:
        """Where E flag and index stand in an SRTCP packet of `length` octets."""
        return length - self.tag_length - mki_length - SRTCP_INDEX

    def open_rtcp(self, packet: bytes, index_at: int, nonce: bytes) -> bytes | None:
        mac = self._copy_mac()
        mac.update(packet[: index_at + SRTCP_INDEX])
        if not compare_digest(mac.finalize()[: self.tag_length], packet[-self.tag_length :]):
            return None
        self._reset_nonce(nonce)
        return packet[:SRTCP_HEADER] + self._update(packet[SRTCP_HEADER:index_at])


class GaloisCounterMode:
    """AES-GCM (RFC 7714 sections 8 and 9). The tag is part of the ciphertext, the MKI comes after it."""

    nonce_length = 12
    index_shift = 0
    tag_length = 16

    def __init__(self, keys: SessionKeys) -> None:
        self._salt = int.from_bytes(keys.salt.reveal(), "big")
        cipher = AESGCM(keys.encryption.reveal())
        self._encrypt = cipher.encrypt
        self._decrypt = cipher.decrypt

    def nonce_base(self, ssrc: int) -> int:
        return self._salt ^ ssrc << 48

    def seal(self, packet: bytes, header: int, nonce: bytes, rollover: bytes, mki: bytes) -> bytes:  # noqa: ARG002
        head = packet[:header]
        return head + self._encrypt(nonce, packet[header:], head) + mki

    def open(self, packet: bytes, header: int, end: int, nonce: bytes, rollover: bytes) -> bytes | None:  # noqa: ARG002
        head = packet[:header]
        try:
            return head + self._decrypt(nonce, packet[header : end + 16], head)
        except InvalidTag:
            return None


Transform = CounterMode | GaloisCounterMode
