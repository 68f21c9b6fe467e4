"""SDP security descriptions: SRTP master keys in `a=crypto` lines. Safe only as far as signalling is.

- `crypto`: `parse_crypto` and `write_crypto`, the attribute alone.
- `key_memory.KeyMemory`: which keys this phone has seen, so that none comes twice.
- `agreement.SdesAgreement`: the filling of `base.keying.KeyAgreement`, one per call.

Status card
  RFC 4568   done: 4 (attribute), 5.1 (offer/answer), 6.1 (keys, lifetime as 2^n and decimal, MKI), 6.2, 6.3
             (all session parameters are read), 6.4 (one rollover counter per key, kept by SRTP), 7.1 with
             7.1.4 (a new address brings a new key), 9 (grammar); examples of 4.5, 6.1, 7.1.5 as vectors.
             policy: refused are UNENCRYPTED_SRTP, UNENCRYPTED_SRTCP, UNAUTHENTICATED_SRTP, KDR other than
             0, FEC_KEY, more than one master key in an attribute, lifetimes under 2^20 packets. FEC_ORDER
             and WSH are read and not needed: we send no FEC, and our window is wider than the hints.
             not done: F8_128_HMAC_SHA1_80 (parsed, never chosen), 5.2 (use outside offer/answer).
  RFC 6188   done: 4 (AES_256_CM_HMAC_SHA1_80 and _32; known to older phones as AES_CM_256_…)
  RFC 7714   done: 14.1 (AEAD_AES_128_GCM and AEAD_AES_256_GCM)

Beyond the standard (both only make refusals stricter): a key that was seen in another call, or that is one
of our own, is refused with 488. So a phone cannot call itself with SDES.
"""

from segue.protocols.sdes.agreement import DEFAULT_SUITES, SdesAgreement
from segue.protocols.sdes.crypto import (
    CryptoAttribute,
    InlineKey,
    SessionParameters,
    parse_crypto,
    write_crypto,
)
from segue.protocols.sdes.key_memory import KeyMemory

__all__ = [
    "DEFAULT_SUITES",
    "CryptoAttribute",
    "InlineKey",
    "KeyMemory",
    "SdesAgreement",
    "SessionParameters",
    "parse_crypto",
    "write_crypto",
]
