"""Which master keys a phone has met, so that none is used in two calls.

A replayed INVITE brings a key back, and a key that comes back makes SRTP repeat its keystream: whoever
holds the old recording then reads both calls. RFC 4568 section 8.3 asks for replay protection and leaves
the means open.
"""

from __future__ import annotations

import hashlib

from segue.base.keying import MasterKey


class KeyMemory:
    """Hashes of keys and who brought them; shared by all calls of a phone. The oldest go at `limit`."""

    def __init__(self, limit: int = 8_192) -> None:
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
    return hashlib.sha256(key.key.reveal()).digest()
