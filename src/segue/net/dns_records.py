"""What DNS says, as plain tuples. `protocols.sip.locate` has the same two with the same fields in the same order."""

from __future__ import annotations

from typing import NamedTuple


class Naptr(NamedTuple):
    """RFC 3403 section 4.1; names without the last dot."""

    order: int
    preference: int
    flags: str
    service: str
    replacement: str


class Srv(NamedTuple):
    """RFC 2782; `target` is "." when the service is not offered."""

    priority: int
    weight: int
    port: int
    target: str


Record = Naptr | Srv | str
"""An address as text, or one of the two records."""
