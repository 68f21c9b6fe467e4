"""Which key agreement protects the calls of a phone, and where it may be used."""

from __future__ import annotations

from segue.base.entropy import Entropy
from segue.base.errors import LocalError, RemoteError
from segue.base.keying import Assurance, KeyAgreement, Verification
from segue.base.trace import NO_TRACE, Trace
from segue.call.config import MediaConfig
from segue.protocols.sdes import KeyMemory, SdesAgreement

KEYINGS = ("sdes", "none")
RESERVED = ("mikey", "zrtp", "dtls-srtp")

UNPROTECTED = Verification(Assurance.NONE, "none", detail="anyone on the way can listen")
PENDING = Verification(Assurance.NONE, "none", detail="no keys yet: nothing is sent or played")

_CLEAR = ("RTP/AVP", "RTP/AVPF")
# By the profile that an agreement offers: what it may answer. Keys in a clear profile are opportunistic
# encryption (RFC 8643): the agreement refuses when there are none, so media is as safe.
_ACCEPTED = {
    "RTP/SAVP": ("RTP/SAVP", "RTP/SAVPF", *_CLEAR),
    "RTP/AVP": ("RTP/SAVP", "RTP/SAVPF", *_CLEAR),
    "UDP/TLS/RTP/SAVP": ("UDP/TLS/RTP/SAVP", "UDP/TLS/RTP/SAVPF", *_CLEAR),
}


class Keying:
    """One per phone: gives each call its key agreement. Raises LocalError for a name that does not exist."""

    def __init__(self, config: MediaConfig, entropy: Entropy, trace: Trace = NO_TRACE) -> None:
        if config.keying not in KEYINGS:
            later = " (not in this version)" if config.keying in RESERVED else ""
            raise LocalError(
                f"no key agreement {config.keying!r}{later}", f"choose --keying {' or '.join(KEYINGS)}"
            )
        self._config = config
        self._entropy = entropy
        self._trace = trace
        self._memory = KeyMemory()

    def offered_over(self, secure: bool) -> bool:
        """Whether calls may be offered over a signalling hop, `secure` being `Flow.secure`: SDES only where
        TLS hides its keys (RFC 4568 section 8.3)."""
        return secure or self._config.keying == "none"

    def to_offer(self, secure: bool) -> KeyAgreement | None:
        """The agreement of a call that we place; None: media in the clear. Raises LocalError where keys
        would be open to everyone on the way."""
        if not self.offered_over(secure):
            raise LocalError(
                "SRTP keys would be readable: the connection to the server is not encrypted",
                "use --transport tls, or --keying none for calls in the clear",
            )
        return self._agreement()

    def to_answer(self, secure: bool) -> KeyAgreement | None:
        """The agreement of a call that comes in; None: media in the clear. Raises RemoteError(488) where
        keys have come over an open hop."""
        if not self.offered_over(secure):
            raise RemoteError("SRTP keys over a connection that is not encrypted", 488)
        return self._agreement()

    def _agreement(self) -> KeyAgreement | None:
        if self._config.keying == "none":
            return None
        return SdesAgreement(self._entropy, self._memory, self._config.suites, self._trace)


def accepts_profile(agreement: KeyAgreement | None, profile: str) -> bool:
    """Whether an offer with this transport profile can be answered under `agreement`."""
    return profile in (_ACCEPTED[agreement.profile] if agreement else _CLEAR)
