"""What is done to one packet: encryption and authentication under one set of session keys.

Two transforms of one shape. Both get the nonce ready made, in the form of a base per SSRC that the packet
index is xored into (`nonce_base`), and know nothing of streams, windows and keys' lives. An octet buffer in, one
out; None when the tag is wrong.
"""

from __future__ import annotations

from hmac import compare_digest

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hmac import HMAC

from segue.base.errors import LocalError
from segue.base.keying import MasterKey, Suite
from segue.protocols.srtp.key_derivation import SessionKeys, derive_session_keys

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
        if index[0] & 0x80:
            self._reset_nonce(nonce)
            packet = packet[:SRTCP_HEADER] + self._update(packet[SRTCP_HEADER:])
        sealed = packet + index
        mac = self._copy_mac()
        mac.update(sealed)
        return sealed + mki + mac.finalize()[: self.tag_length]

    def rtcp_index_at(self, length: int, mki_length: int) -> int:
        """Where E flag and index stand in an SRTCP packet of `length` octets."""
        return length - self.tag_length - mki_length - SRTCP_INDEX

    def open_rtcp(self, packet: bytes, index_at: int, nonce: bytes) -> bytes | None:
        """The RTCP packet; `index_at` comes from `rtcp_index_at`."""
        mac = self._copy_mac()
        mac.update(packet[: index_at + SRTCP_INDEX])
        if not compare_digest(mac.finalize()[: self.tag_length], packet[-self.tag_length :]):
            return None
        if not packet[index_at] & 0x80:
            return packet[:index_at]
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

    def seal_rtcp(self, packet: bytes, index: bytes, nonce: bytes, mki: bytes) -> bytes:
        """The tag stands before E flag and index, the MKI behind them (RFC 7714 sections 9.2 and 9.3)."""
        clear = SRTCP_HEADER if index[0] & 0x80 else len(packet)
        head = packet[:clear]
        return head + self._encrypt(nonce, packet[clear:], head + index) + index + mki

    def rtcp_index_at(self, length: int, mki_length: int) -> int:
        """Where E flag and index stand in an SRTCP packet of `length` octets."""
        return length - mki_length - SRTCP_INDEX

    def open_rtcp(self, packet: bytes, index_at: int, nonce: bytes) -> bytes | None:
        """The RTCP packet; `index_at` comes from `rtcp_index_at`."""
        index = packet[index_at : index_at + SRTCP_INDEX]
        clear = SRTCP_HEADER if index[0] & 0x80 else index_at - self.tag_length
        head = packet[:clear]
        try:
            return head + self._decrypt(nonce, packet[clear:index_at], head + index)
        except InvalidTag:
            return None


Transform = CounterMode | GaloisCounterMode


def transforms(suite: Suite, master: MasterKey) -> tuple[Transform, Transform]:
    """The transforms for RTP and for RTCP. RTCP's tag has 80 bits in the "_32" suites too (RFC 4568 section
    6.2.2). Raises LocalError when key or salt have not the suite's length."""
    if (len(master.key), len(master.salt)) != (suite.key_length, suite.salt_length):
        raise LocalError(
            f"{suite.value} wants {suite.key_length} octets of key and {suite.salt_length} of salt",
            f"not {len(master.key)} and {len(master.salt)}",
        )
    rtp, rtcp = (derive_session_keys(suite, master, rtcp=rtcp) for rtcp in (False, True))
    if suite.value.startswith("AEAD"):
        return GaloisCounterMode(rtp), GaloisCounterMode(rtcp)
    return CounterMode(rtp, 4 if suite.value.endswith("_32") else 10), CounterMode(rtcp, 10)
