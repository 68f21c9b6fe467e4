"""The plug shape of key agreements: SDES, MIKEY, ZRTP and DTLS-SRTP are four fillings of it.

A call owns one `KeyAgreement` per media stream. `call.keying` chooses which; `call.negotiation` puts its
attributes into SDP and takes the peer's out; `call.media_session` feeds it the datagrams that are its own
(DTLS, ZRTP) and installs the keys it yields. An agreement knows nothing of addresses: keys belong to the
call, not to a socket (design decision 1).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple, Protocol

from segue.base.secret import Secret


class Suite(Enum):
    """SRTP protection profiles, by their SDES names (RFC 4568 section 6.2, RFC 6188, RFC 7714)."""

    AES_CM_128_HMAC_SHA1_80 = "AES_CM_128_HMAC_SHA1_80"
    AES_CM_128_HMAC_SHA1_32 = "AES_CM_128_HMAC_SHA1_32"
    AES_256_CM_HMAC_SHA1_80 = "AES_256_CM_HMAC_SHA1_80"
    AES_256_CM_HMAC_SHA1_32 = "AES_256_CM_HMAC_SHA1_32"
    AEAD_AES_128_GCM = "AEAD_AES_128_GCM"
    AEAD_AES_256_GCM = "AEAD_AES_256_GCM"

    @property
    def key_length(self) -> int:
        """Octets of the master key."""
        return 32 if "256" in self.value else 16

    @property
    def salt_length(self) -> int:
        """Octets of the master salt."""
        return 12 if self.value.startswith("AEAD") else 14


class MasterKey(NamedTuple):
    """One SRTP master key with its salt and, where agreed, its MKI (RFC 3711 section 3.2.1)."""

    key: Secret
    salt: Secret
    mki: bytes = b""
    lifetime: int = 1 << 48  # packets it may protect; SRTCP never over 2**31 (RFC 3711 section 9.2)


@dataclass(frozen=True)
class SrtpKeys:
    """What a key agreement yields: `local` protects what we send, `remote` what we receive.

    Keys that are already installed change nothing: the index space goes on (RFC 3711 section 3.3.1).
    """

    suite: Suite
    local: MasterKey
    remote: MasterKey


class Assurance(Enum):
    """How far a call is protected, worst first (design decision 11: what is not protected is said)."""

    NONE = "in the clear"
    HOP_BY_HOP = "hop by hop"  # keys passed in signalling that each proxy can read
    ENCRYPTED = "encrypted, peer not authenticated"
    END_TO_END = "end to end, peer authenticated"


@dataclass(frozen=True)
class Verification:
    """Who was authenticated, and by what."""

    assurance: Assurance
    method: str  # "sdes", "mikey-dh", "zrtp", "dtls-srtp", "none"
    peer: str = ""  # authenticated name, empty when nobody was
    evidence: str = ""  # "certificate", "SAS confirmed", "PSK", "TLS to proxy" …
    detail: str = ""  # group, SAS, fingerprint: text for the user


class Attribute(NamedTuple):
    """An SDP attribute as a key agreement sees it: `a=name:value`."""

    name: str
    value: str
    session_level: bool = False


@dataclass(frozen=True)
class KeysReady:
    """Send with `keys.local` from now on. What the peer sends under an earlier remote key is still accepted
    for a while: it may be on its way, or he may not have heard of the exchange yet (RFC 4568 section
    7.1.4)."""

    keys: SrtpKeys


@dataclass(frozen=True)
class VerificationChanged:
    verification: Verification


@dataclass(frozen=True)
class KeyingFailed:
    """No (new) keys; an established call goes on with its old ones. `status` is the SIP status that fits."""

    problem: str
    status: int = 488


KeyingEvent = KeysReady | VerificationChanged | KeyingFailed


class KeyAgreement(Protocol):
    """One key agreement for one media stream, over the life of a call: offers, answers, re-offers.

    The SDP side is three methods; agreements that also talk on the media path (DTLS, ZRTP) use the five
    verbs, the others leave them empty. Every problem with what the peer sent in SDP is a RemoteError whose
    status goes into the SIP answer; state is as before then.

    On the media path: what RFC 7983 sorts as DTLS or ZRTP comes to `receive`, from the first offer or answer of
    ours on, so perhaps before the peer's answer. What `transmits` gives leaves as soon as the peer's address is
    known, and no sound leaves before KeysReady. KeysReady and VerificationChanged may come at any time, and
    again: when a handshake is done, when a user has compared what is to be compared (`confirm`).
    """

    profile: str
    """The transport profile an offer with it bears: "RTP/SAVP", "UDP/TLS/RTP/SAVP", "RTP/AVP"."""

    def offer(self, now: float, moved: bool = False) -> list[Attribute]:
        """Attributes for our offer; called again for each re-offer, which keeps what there is.

        `moved`: the peer has to take us for a new media endpoint, since our media address has changed and
        it has not agreed to keep keys over a move, or since the peer itself was replaced. An agreement
        whose keys are bound to that (RFC 4568 section 7.1.4) brings new ones.
        """

    def receive_offer(self, attributes: list[Attribute], now: float, moved: bool = False) -> list[Attribute]:
        """Take the peer's offer; returns the attributes of our answer. Raises RemoteError(488)."""

    def receive_answer(self, attributes: list[Attribute], now: float) -> None:
        """Take the peer's answer to our last offer. Raises RemoteError."""

    def receive(self, data: bytes, source: object, now: float) -> None:
        """A datagram of this agreement's own protocol from the media path. `source` is the address it came from,
        which proves nothing."""

    def confirm(self, matches: bool, now: float) -> None:
        """The user has compared the short authentication string with the peer (RFC 6189 section 7); agreements
        without one ignore it."""

    def transmits(self) -> list[bytes]: ...

    def deadline(self) -> float | None: ...

    def expire(self, now: float) -> None: ...

    def events(self) -> list[KeyingEvent]: ...
