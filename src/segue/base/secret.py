"""Key material that does not print."""

from __future__ import annotations

import hmac


class Secret:
    """Octets that never appear in a repr, a log line, a traceback's locals or a comparison's timing.

    `reveal()` is the one way out, so that a search for it finds every place where a secret is used.
    """

    __slots__ = ("_octets",)

    def __init__(self, octets: bytes | str) -> None:
        self._octets = octets.encode() if isinstance(octets, str) else bytes(octets)

    def reveal(self) -> bytes:
        return self._octets

    def __len__(self) -> int:
        return len(self._octets)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and hmac.compare_digest(self._octets, other._octets)

    def __hash__(self) -> int:
        return hash((Secret, self._octets))

    def __repr__(self) -> str:
        return "Secret(***)"

    __str__ = __repr__

    def __reduce__(self) -> tuple[object, ...]:
        raise TypeError("a Secret is not pickled")
