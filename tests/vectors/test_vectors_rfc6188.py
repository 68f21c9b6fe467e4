"""RFC 6188 section 7: AES-256 counter mode and its key derivation."""

from segue.base.keying import MasterKey, Suite
from segue.base.secret import Secret
from segue.protocols.srtp.key_derivation import SessionKeys, derive_session_keys
from segue.protocols.srtp.transform import CounterMode


def test_7_1_keystream_of_the_first_and_last_blocks() -> None:
    transform = CounterMode(
        SessionKeys(
            Secret(bytes.fromhex("57f82fe3613fd170a85ec93c40b1f0922ec4cb0dc025b58272147cc438944a98")),
            Secret(bytes.fromhex("f0f1f2f3f4f5f6f7f8f9fafbfcfd")),
            Secret(bytes(20)),
        ),
        10,
    )
    keystream = transform.keystream(transform.nonce_base(0).to_bytes(16, "big"), bytes(1044512))
    expected = {
        0x0000: "92bdd28a93c3f52511c677d08b5515a4",
        0x0001: "9da71b2378a854f67050756ded165bac",
        0x0002: "63c4868b7096d88421b563b8c94c9a31",
        0xFEFF: "cea518c90fd91ced9cbb18c078a54711",
        0xFF00: "3dbc4814f4da5f00a08772b63c6a046d",
        0xFF01: "6eb246913062a16891433e97dd01a57f",
    }
    assert {block: keystream[16 * block : 16 * block + 16].hex() for block in expected} == expected


def test_7_2_session_keys() -> None:
    master = MasterKey(
        Secret(bytes.fromhex("f0f04914b513f2763a1b1fa130f10e2998f6f6e43e4309d1e622a0e332b9f1b6")),
        Secret(bytes.fromhex("3b04803de51ee7c96423ab5b78d2")),
    )
    keys = derive_session_keys(Suite.AES_256_CM_HMAC_SHA1_80, master, rtcp=False)
    assert keys.encryption.reveal().hex() == (
        "5ba1064e30ec51613cad926c5a28ef731ec7fb397f70a960653caf06554cd8c4"
    )
    assert keys.salt.reveal().hex() == "fa31791685ca444a9e07c6c64e93"
    assert keys.authentication.reveal().hex() == "fd9c32d39ed5fbb5a9dc96b30818454d1313dc05"
