"""RFC 3711 appendices B.2 (AES counter mode) and B.3 (key derivation), through the product's transforms."""

from segue.base.keying import MasterKey, Suite
from segue.base.secret import Secret
from segue.protocols.srtp.key_derivation import Label, SessionKeys, derive, derive_session_keys
from segue.protocols.srtp.transform import CounterMode

MASTER = MasterKey(
    Secret(bytes.fromhex("E1F97A0D3E018BE0D64FA32C06DE4139")),
    Secret(bytes.fromhex("0EC675AD498AFEEBB6960B3AABE6")),
)
CIPHER_KEY = "C61E7A93744F39EE10734AFE3FF7A087"
CIPHER_SALT = "30CBBC08863D8C85D49DB34A9AE1"
AUTHENTICATION_KEY = """
    CEBE321F6FF7716B6FD4AB49AF256A15 6D38BAA48F0A0ACF3C34E2359E6CDBCE
    E049646C43D9327AD175578EF7227098 6371C10C9A369AC2F94A8C5FBCDDDC25
    6D6E919A48B610EF17C2041E47403576 6B68642C59BBFC2F34DB60DBDFB2
"""


def test_b2_keystream_of_the_first_and_last_blocks() -> None:
    transform = CounterMode(
        SessionKeys(
            Secret(bytes.fromhex("2B7E151628AED2A6ABF7158809CF4F3C")),
            Secret(bytes.fromhex("F0F1F2F3F4F5F6F7F8F9FAFBFCFD")),
            Secret(bytes(20)),
        ),
        10,
    )
    keystream = transform.keystream(transform.nonce_base(0).to_bytes(16, "big"), bytes(1044512))
    assert len(keystream) == 1044512
    expected = {
        0x0000: "E03EAD0935C95E80E166B16DD92B4EB4",
        0x0001: "D23513162B02D0F72A43A2FE4A5F97AB",
        0x0002: "41E95B3BB0A2E8DD477901E4FCA894C0",
        0xFEFF: "EC8CDF7398607CB0F2D21675EA9EA1E4",
        0xFF00: "362B7C3C6773516318A077D7FC5073AE",
        0xFF01: "6A2CC3787889374FBEB4C81B17BA6C44",
    }
    assert {block: keystream[16 * block : 16 * block + 16].hex().upper() for block in expected} == expected


def test_b3_session_keys() -> None:
    assert derive(MASTER, Label.RTP_ENCRYPTION, 16).hex().upper() == CIPHER_KEY
    assert derive(MASTER, Label.RTP_SALT, 14).hex().upper() == CIPHER_SALT
    assert derive(MASTER, Label.RTP_AUTHENTICATION, 94) == bytes.fromhex(AUTHENTICATION_KEY)


def test_b3_session_keys_of_a_suite() -> None:
    keys = derive_session_keys(Suite.AES_CM_128_HMAC_SHA1_80, MASTER, rtcp=False)
    assert keys.encryption.reveal().hex().upper() == CIPHER_KEY
    assert keys.salt.reveal().hex().upper() == CIPHER_SALT
    assert keys.authentication.reveal() == bytes.fromhex(AUTHENTICATION_KEY)[:20]
