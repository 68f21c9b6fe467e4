"""SDES as a filling of `base.keying.KeyAgreement` (RFC 4568 sections 5.1 and 7.1)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from segue.base.entropy import Entropy
from segue.base.errors import RemoteError
from segue.base.keying import (
    Assurance,
    Attribute,
    KeyingEvent,
    KeysReady,
    MasterKey,
    SrtpKeys,
    Suite,
    Verification,
    VerificationChanged,
)
from segue.base.secret import Secret
from segue.base.trace import NO_TRACE, Trace
from segue.protocols.sdes.crypto import CryptoAttribute, InlineKey, parse_crypto, write_crypto
from segue.protocols.sdes.key_memory import KeyMemory

DEFAULT_SUITES = (
    Suite.AEAD_AES_256_GCM,
    Suite.AEAD_AES_128_GCM,
    Suite.AES_256_CM_HMAC_SHA1_80,
    Suite.AES_CM_128_HMAC_SHA1_80,
    Suite.AES_CM_128_HMAC_SHA1_32,
)
MIN_LIFETIME = 1 << 20  # packets: 5.8 hours at 50 a second; the shortest in the examples of RFC 4568
MAX_ATTRIBUTES = 64


class _Candidate(NamedTuple):
    attribute: CryptoAttribute
    suite: Suite
    key: MasterKey


class SdesAgreement:
    """Keys for one call. Fresh ones from `entropy`; an agreed one stays as long as neither end must change
    it.

    `suites` is what we accept and, in this order, offer. `memory` is shared by all calls of a phone.
    """

    profile = "RTP/SAVP"

    def __init__(
        self,
        entropy: Entropy,
        memory: KeyMemory,
        suites: Sequence[Suite] = DEFAULT_SUITES,
        trace: Trace = NO_TRACE,
    ) -> None:
        self._entropy = entropy
        self._memory = memory
        self._suites = tuple(suites)
        self._trace = trace
        self._ours = object()  # who brings the keys of each direction, for the memory
        self._theirs = object()
        self._offered: dict[int, tuple[Suite, MasterKey]] = {}
        self._keys: SrtpKeys | None = None
        self._spare: dict[Suite, MasterKey] = {}
        self._events: list[KeyingEvent] = []

    def offer(self, now: float, moved: bool = False) -> list[Attribute]:
        """Every suite, each with a key of its own (RFC 4568 section 6.1); in a re-offer the agreed suite
        comes first and keeps its key, unless we `moved` (section 7.1.4)."""
        suites = list(self._suites)
        if self._keys is not None:
            suites.sort(key=lambda suite: suite is not self._current_suite)
        self._offered = {tag: (suite, self._local_key(suite, moved)) for tag, suite in enumerate(suites, 1)}
        self._trace.note("sdes", "offered", moved=moved, at=now)
        return [
            _crypto(CryptoAttribute(tag, suite.value, (InlineKey.of(key),)))
            for tag, (suite, key) in self._offered.items()
        ]

    def receive_offer(self, attributes: list[Attribute], now: float, moved: bool = False) -> list[Attribute]:
        """Accept one attribute and answer with its tag, its suite as the peer spells it, and our own key.

        Raises RemoteError(488): no crypto attribute, none that we may accept, a key from another call, our
        own.
        """
        candidates = self._candidates(attributes)
        chosen = next((c for c in candidates if self._is_current(c)), candidates[0])
        local = self._local_key(chosen.suite, moved)
        self._agree(SrtpKeys(chosen.suite, local, chosen.key), now)
        answer = CryptoAttribute(chosen.attribute.tag, chosen.attribute.suite, (InlineKey.of(local),))
        return [_crypto(answer)]

    def receive_answer(self, attributes: list[Attribute], now: float) -> None:
        """Take the accepted attribute. Raises RemoteError(488) unless tag and suite are as offered (RFC 4568
        section 5.1.3). A second answer to one offer (from another fork) replaces the first."""
        candidate = self._candidates(attributes)[0]
        suite, local = self._offered.get(candidate.attribute.tag, (None, None))
        if local is None or suite is not candidate.suite:
            raise RemoteError("the answer accepts an encryption that was not offered", 488)
        in_use = {self._current_suite, candidate.suite}
        self._agree(SrtpKeys(candidate.suite, local, candidate.key), now)
        for other, key in self._offered.values():
            if other not in in_use:
                self._spare.setdefault(other, key)

    # SDES has nothing to say on the media path.

    def receive(self, data: bytes, source: object, now: float) -> None:
        self._trace.drop("sdes", "no datagrams here", octets=len(data), source=source, at=now)

    def confirm(self, matches: bool, now: float) -> None:
        self._trace.drop("sdes", "nothing to confirm", matches=matches, at=now)

    def transmits(self) -> list[bytes]:
        return []

    def deadline(self) -> float | None:
        return None

    def expire(self, now: float) -> None:
        pass

    def events(self) -> list[KeyingEvent]:
        events, self._events = self._events, []
        return events

    @property
    def _current_suite(self) -> Suite | None:
        return self._keys.suite if self._keys else None

    def _is_current(self, candidate: _Candidate) -> bool:
        return (
            self._keys is not None
            and candidate.suite is self._keys.suite
            and candidate.key == self._keys.remote
        )

    def _local_key(self, suite: Suite, moved: bool) -> MasterKey:
        # Our key stays even when the peer's changes: a new one would be noise to him until he has our answer.
        if self._keys is not None and suite is self._keys.suite and not moved:
            return self._keys.local
        if suite in self._spare:
            return self._spare[suite]
        key = MasterKey(
            Secret(self._entropy.octets(suite.key_length)), Secret(self._entropy.octets(suite.salt_length))
        )
        self._memory.remember(key, self._ours)
        # Within a call the suites that are not in use keep their unused keys, so that a re-offer which
        # changes nothing is the same text (RFC 4028 section 7.4). A first offer may be made twice, for two
        # dialogs: that takes fresh keys.
        if self._keys is not None and suite is not self._keys.suite:
            self._spare[suite] = key
        return key

    def _candidates(self, attributes: list[Attribute]) -> list[_Candidate]:
        """What we could accept, in the peer's order; at least one."""
        values = [a.value for a in attributes if a.name == "crypto" and not a.session_level]
        if not values:
            raise RemoteError("the peer offers no encryption: no crypto attribute in its SDP", 488)
        candidates: list[_Candidate] = []
        tags: set[int] = set()
        for value in values[:MAX_ATTRIBUTES]:
            candidate = self._candidate(value)
            if candidate is None:
                continue
            if candidate.attribute.tag in tags:
                raise RemoteError("two crypto attributes have one tag", 488)  # RFC 4568 section 4.1
            tags.add(candidate.attribute.tag)
            candidates.append(candidate)
        if not candidates:
            raise RemoteError(
                "no encryption in common: none of the peer's crypto attributes can be accepted", 488
            )
        if any(self._memory.belongs_elsewhere(c.key, self._theirs) for c in candidates):
            raise RemoteError("the peer's key was used before", 488)
        return candidates

    def _candidate(self, value: str) -> _Candidate | None:
        """None for what is invalid or against policy: other attributes may still do (RFC 4568 section
        5.1.2)."""
        try:
            attribute = parse_crypto(value)
        except RemoteError as error:
            self._trace.drop("sdes", "invalid crypto attribute", problem=error.problem)
            return None
        suite = attribute.known_suite
        if suite is None or suite not in self._suites:
            return None
        problem = _against_policy(attribute)
        if problem:
            self._trace.drop("sdes", "crypto attribute against policy", problem=problem)
            return None
        return _Candidate(attribute, suite, attribute.keys[0].master_key(suite))

    def _agree(self, keys: SrtpKeys, now: float) -> None:
        self._memory.remember(keys.local, self._ours)
        self._memory.remember(keys.remote, self._theirs)
        self._spare.pop(keys.suite, None)
        if keys == self._keys:
            return
        self._trace.note("sdes", "new keys", suite=keys.suite.value, at=now)
        suite_is_new = keys.suite is not self._current_suite
        self._keys = keys
        self._events.append(KeysReady(keys))
        if suite_is_new:
            self._events.append(VerificationChanged(_verification(keys.suite)))


def _against_policy(attribute: CryptoAttribute) -> str:
    """Why an attribute that is valid is not for us; empty when it is."""
    session = attribute.session
    if session.unencrypted_srtp or session.unencrypted_srtcp or session.unauthenticated_srtp:
        return "weakened"
    if session.key_derivation_rate:
        return "KDR"
    if session.fec_keys:
        return "FEC_KEY"  # section 6.3.5: invalid for a stream to the same address
    if len(attribute.keys) > 1:
        return "several keys"
    lifetime = attribute.keys[0].lifetime
    if lifetime is not None and lifetime < MIN_LIFETIME:
        return "short lifetime"
    return ""


def _crypto(attribute: CryptoAttribute) -> Attribute:
    return Attribute("crypto", write_crypto(attribute))


def _verification(suite: Suite) -> Verification:
    return Verification(Assurance.HOP_BY_HOP, "sdes", evidence="TLS to proxy", detail=suite.value)
