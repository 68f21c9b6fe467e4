"""Octet for octet against libsrtp, over the wrap of the sequence number, in both directions."""

from __future__ import annotations

import pytest

from segue.base.keying import MasterKey, Suite
from segue.base.secret import Secret
from segue.protocols.rtp.packet import Extension, RtpPacket
from segue.protocols.srtp.context import SrtpReceiver, SrtpSender
from segue.testing.entropy import SeededEntropy

pylibsrtp = pytest.importorskip("pylibsrtp")
ffi = pytest.importorskip("pylibsrtp._binding").ffi
PROFILES = {
    Suite.AES_CM_128_HMAC_SHA1_80: pylibsrtp.Policy.SRTP_PROFILE_AES128_CM_SHA1_80,
    Suite.AES_CM_128_HMAC_SHA1_32: pylibsrtp.Policy.SRTP_PROFILE_AES128_CM_SHA1_32,
    Suite.AEAD_AES_128_GCM: pylibsrtp.Policy.SRTP_PROFILE_AEAD_AES_128_GCM,
    Suite.AEAD_AES_256_GCM: pylibsrtp.Policy.SRTP_PROFILE_AEAD_AES_256_GCM,
    # libsrtp has these, pylibsrtp's profiles do not: those with the shorter key are made into them.
    Suite.AES_256_CM_HMAC_SHA1_80: pylibsrtp.Policy.SRTP_PROFILE_AES128_CM_SHA1_80,
    Suite.AES_256_CM_HMAC_SHA1_32: pylibsrtp.Policy.SRTP_PROFILE_AES128_CM_SHA1_32,
}
AES_ICM_256 = 5, 46  # libsrtp's number for the cipher, and octets of its key and salt


def libsrtp(suite: Suite, master: MasterKey, outbound: bool) -> pylibsrtp.Session:
    kind = pylibsrtp.Policy.SSRC_ANY_OUTBOUND if outbound else pylibsrtp.Policy.SSRC_ANY_INBOUND
    policy = pylibsrtp.Policy(
        key=master.key.reveal() + master.salt.reveal(), ssrc_type=kind, srtp_profile=PROFILES[suite]
    )
    if suite.value.startswith("AES_256"):
        for crypto in (policy._policy.rtp, policy._policy.rtcp):  # srtp_crypto_policy_t begins with these two
            fields = ffi.cast("uint32_t *", ffi.addressof(crypto))
            fields[0], fields[1] = AES_ICM_256
    return pylibsrtp.Session(policy)


@pytest.mark.parametrize("suite", PROFILES)
def test_same_octets_in_both_directions(suite: Suite) -> None:
    entropy = SeededEntropy(suite.value)
    master = MasterKey(Secret(entropy.octets(suite.key_length)), Secret(entropy.octets(suite.salt_length)))
    ours, theirs = SrtpSender(suite, master), libsrtp(suite, master, outbound=True)
    receiver, their_receiver = SrtpReceiver(suite, [master]), libsrtp(suite, master, outbound=False)
    first = bytes.fromhex("80c900010000004d")  # RFC 3711 begins with index 0, libsrtp with 1
    assert their_receiver.unprotect_rtcp(ours.protect_rtcp(first)) == first
    for number in range(65436, 65636):
        extension = Extension(0xBEDE, b"\x10\x7f\0\0") if number % 3 == 0 else None
        packet = RtpPacket(0, False, number & 0xFFFF, number, 77, entropy.octets(number % 170), (), extension)
        clear = packet.to_bytes()
        sealed = ours.protect(clear)
        assert sealed == theirs.protect(clear)
        assert receiver.unprotect(sealed) == their_receiver.unprotect(sealed) == clear
        report = bytes.fromhex("80c900010000004d81ca00020000004d01024a4b00000000")
        control = ours.protect_rtcp(report)
        assert control == theirs.protect_rtcp(report)
        assert receiver.unprotect_rtcp(control) == their_receiver.unprotect_rtcp(control) == report
    assert receiver.rollover_counter(77) == 1
