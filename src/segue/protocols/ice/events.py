"""What an agent tells."""

from __future__ import annotations

from dataclasses import dataclass

from segue.base.address import Path
from segue.base.ice_description import Candidate


@dataclass(frozen=True, slots=True)
class PathSelected:
    """Data leaves on this path from now on. Not `proven`: by the rules of `may_send`."""

    path: Path
    proven: bool
    component: int = 1


@dataclass(frozen=True, slots=True)
class PathProven:
    """The peer has answered a check on this path."""

    path: Path
    component: int = 1


@dataclass(frozen=True, slots=True)
class PathLost:
    """Nothing may be sent on this path any more."""

    path: Path
    why: str
    component: int = 1


@dataclass(frozen=True, slots=True)
class Gathered:
    """Every STUN server has answered, or is not waited for any longer."""


@dataclass(frozen=True, slots=True)
class CandidateFound:
    """One of ours that the peer may be told of."""

    candidate: Candidate


@dataclass(frozen=True, slots=True)
class Failed:
    """No path to the peer was found (RFC 8445 section 8.1.2, not before RFC 8863 allows), or the last was lost."""

    why: str


IceEvent = PathSelected | PathProven | PathLost | Gathered | CandidateFound | Failed
