"""What an allocation tells who has it."""

from __future__ import annotations

from dataclasses import dataclass

from segue.base.address import Address, Path
from segue.protocols.stun.attributes import IcmpError


@dataclass(frozen=True)
class Allocated:
    """`relayed`: one address, or one of each family. `mapped`: where we seem to be. `mobile`: `move` will do."""

    relayed: tuple[Address, ...]
    mapped: Address
    mobile: bool


@dataclass(frozen=True)
class Redirected:
    """The server wants us to ask another (RFC 8489 section 10). `domain`: the name its certificate has to be for;
    empty: the same as before."""

    server: Address
    domain: str


@dataclass(frozen=True)
class AllocationFailed:
    """There is no relayed address, or no longer. `code`: the server's, 0 when it said nothing."""

    why: str
    code: int = 0


@dataclass(frozen=True)
class Moved:
    """The allocation is reached by this path now, and kept its relayed addresses (RFC 8016)."""

    path: Path


@dataclass(frozen=True)
class MoveFailed:
    """It is reached by the path before, if by any, and not by this one."""

    path: Path
    why: str
    code: int = 0


@dataclass(frozen=True)
class PeerRefused:
    """The server relays nothing for this host (RFC 8656 section 10.2)."""

    host: str
    code: int
    reason: str


@dataclass(frozen=True)
class PeerUnreachable:
    """A router said so to the server (RFC 8656 section 11.6). Not proven: a hint."""

    peer: Address
    error: IcmpError


TurnEvent = Allocated | Redirected | AllocationFailed | Moved | MoveFailed | PeerRefused | PeerUnreachable
