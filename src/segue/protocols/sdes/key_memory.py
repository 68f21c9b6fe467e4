"""Which master keys a phone has met, so that none is used in two calls.

A replayed INVITE brings a key back, and a key that comes back makes SRTP repeat its keystream: whoever
holds the old recording then reads both calls. RFC 4568 section 8.3 asks for replay protection and leaves
the means open. Ours lasts as long as the phone runs and holds the last keys only: a call that comes in brings two,
one that we place up to seven, and a re-offer may bring more. Who may call us can fill it, and what is forgotten is
not refused.
"""

from __future__ import annotations

import hashlib

from segue.base.keying import MasterKey


class KeyMemory:
    """Hashes of keys and who brought them; shared by all calls of a phone. The oldest go at `limit`; 100,000
    take some 12 MB."""

    def __init__(self, limit: int = 100_000) -> None:
        self._owners: dict[bytes, object] = {}
        self._limit = limit

    def belongs_elsewhere(self, key: MasterKey, owner: object) -> bool:
        """Whether anyone but `owner` has brought this key."""
        return self._owners.get(_digest(key), owner) is not owner

    def remember(self, key: MasterKey, owner: object) -> None:
        """Note that `owner` (one direction of one call) uses this key."""
        digest = _digest(key)
        self._owners.pop(digest, None)
        self._owners[digest] = owner
        while len(self._owners) > self._limit:
            del self._owners[next(iter(self._owners))]

    def __len__(self) -> int:
        return len(self._owners)


def _digest(key: MasterKey) -> bytes:
    # Only the key: with another salt the same key still is the same key.
    return hashlib.sha256(key.key.reveal()).digest()[:16]
