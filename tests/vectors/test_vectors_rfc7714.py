"""RFC 7714 sections 16 (SRTP) and 17 (SRTCP), in both directions. Keys there are session keys."""

import pytest

from segue.base.secret import Secret
from segue.protocols.srtp.key_derivation import SessionKeys
from segue.protocols.srtp.transform import GaloisCounterMode

SALT = b"Quid pro quo"
HEADER = bytes.fromhex("8040f17b8041f8d35501a0b2")
RTP = HEADER + b"Gallia est omnis divisa in partes tres"
RTCP = bytes.fromhex(
    "81c8000d 4d617273 4e545031 4e545032 52545020 0000042a 0000e930 4c756e61"
    "deadbeef deadbeef deadbeef deadbeef deadbeef"
)
SRTCP_INDEX = 0x5D4

SRTP_PACKETS = {
    16: """8040f17b 8041f8d3 5501a0b2 f24de3a3 fb34de6c acba861c 9d7e4bca be633bd5
           0d294e6f 42a5f47a 51c7d19b 36de3adf 8833899d 7f27beb1 6a9152cf 765ee439 0cce""",
    32: """8040f17b 8041f8d3 5501a0b2 32b1de78 a822fe12 ef9f78fa 332e33aa b1801238
           9a58e2f3 b50b2a02 76ffae0f 1ba63799 b87b7aa3 db36dfff d6b0f9bb 7878d7a7 6c13""",
}
TAGGED_ONLY = {
    16: "22493f82d2bce397e9d79e3b19aa4216",
    32: "a866d5910f887463067ceefec45215d4",
}
SRTCP_PACKETS = {
    16: """81c8000d 4d617273 63e94885 dcdab67c a727d766 2f6b7e99 7ff5c0f7 6c06f32d
           c676a5f1 730d6fda 4ce09b46 86303ded 0bb9275b c84aa458 96cf4d2f c5abf872
           45d9eade 800005d4""",
    32: """81c8000d 4d617273 d50ae4d1 f5ce5d30 4ba297e4 7d470c28 2c3ece5d bffe0a50
           a2eaa5c1 110555be 8415f658 c61de047 6f1b6fad 1d1eb30c 4446839f 57ff6f6c
           b26ac3be 800005d4""",
}
SRTCP_TAGS = {
    16: "841dd9683dd78ec92ae58790125f62b3",
    32: "91db4afbfeee5a978fab4393ed2615fe",
}


def transform(size: int) -> GaloisCounterMode:
    return GaloisCounterMode(SessionKeys(Secret(bytes(range(size))), Secret(SALT), Secret(b"")))


def nonce(cipher: GaloisCounterMode, ssrc: int, index: int) -> bytes:
    return (cipher.nonce_base(ssrc) ^ index << cipher.index_shift).to_bytes(12, "big")


def test_nonces_of_sections_16_and_17() -> None:
    assert nonce(transform(16), 0x5501A0B2, 0xF17B).hex() == "51753c6580c2726f20718414"
    assert nonce(transform(16), 0x4D617273, SRTCP_INDEX).hex() == "517524055203726f207170bb"


@pytest.mark.parametrize("size", [16, 32])
def test_section_16_encryption_and_decryption(size: int) -> None:
    cipher = transform(size)
    iv = nonce(cipher, 0x5501A0B2, 0xF17B)
    sealed = cipher.seal(RTP, 12, iv, bytes(4), b"")
    assert sealed == bytes.fromhex(SRTP_PACKETS[size])
    assert cipher.open(sealed, 12, len(sealed) - 16, iv, bytes(4)) == RTP


@pytest.mark.parametrize("size", [16, 32])
def test_section_16_tagging_and_verification(size: int) -> None:
    cipher = transform(size)
    iv = nonce(cipher, 0x5501A0B2, 0xF17B)
    sealed = cipher.seal(RTP, len(RTP), iv, bytes(4), b"")
    assert sealed == RTP + bytes.fromhex(TAGGED_ONLY[size])
    assert cipher.open(sealed, len(RTP), len(RTP), iv, bytes(4)) == RTP


@pytest.mark.parametrize("size", [16, 32])
@pytest.mark.parametrize("encrypted", [True, False])
def test_section_17(size: int, encrypted: bool) -> None:
    cipher = transform(size)
    iv = nonce(cipher, 0x4D617273, SRTCP_INDEX)
    word = (0x80000000 * encrypted | SRTCP_INDEX).to_bytes(4, "big")
    expected = (
        bytes.fromhex(SRTCP_PACKETS[size]) if encrypted else RTCP + bytes.fromhex(SRTCP_TAGS[size]) + word
    )
    assert cipher.seal_rtcp(RTCP, word, iv, b"") == expected
    index_at = cipher.rtcp_index_at(len(expected), 0)
    assert expected[index_at:] == word
    assert cipher.open_rtcp(expected, index_at, iv) == RTCP
    assert cipher.open_rtcp(expected[:-1] + b"\0", index_at, iv) is None
