"""What one end tells the other about where it can be reached (RFC 8445 section 5.3): the words that ICE and SDP
share."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from segue.base.address import Address
from segue.base.secret import Secret


class CandidateType(Enum):
    """As SDP writes them (RFC 8839 section 5.1)."""

    HOST = "host"
    SERVER_REFLEXIVE = "srflx"
    PEER_REFLEXIVE = "prflx"
    RELAYED = "relay"


@dataclass(frozen=True, slots=True)
class Candidate:
    """A transport address, over UDP. `component`: 1 is RTP (with RTCP when they share a port), 2 is RTCP.

    `related`: for who looks for faults: the base of a reflexive candidate, the mapped address of a relayed one.
    """

    foundation: str
    component: int
    priority: int
    address: Address
    type: CandidateType
    related: Address | None = None


@dataclass(frozen=True, slots=True)
class IceDescription:
    """`options`: tokens of `a=ice-options`. `ended`: no more candidates will follow. `pacing`: seconds between
    checks.

    `remote_candidates`: the addresses of the selected pairs, by component, as a controlling end repeats them in
    a later offer. `mismatch`: the peer speaks ICE but saw that someone on the way had changed its addresses.
    """

    ufrag: str
    password: Secret
    options: frozenset[str] = frozenset()
    lite: bool = False
    candidates: tuple[Candidate, ...] = ()
    ended: bool = False
    pacing: float = 0.050
    remote_candidates: tuple[tuple[int, Address], ...] = ()
    mismatch: bool = False
