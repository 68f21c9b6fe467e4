"""What one ICE session has and an ICE restart makes anew (RFC 8445 section 9): credentials, the peer's
description, its candidates, the check list."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field

from segue.base.address import Path
from segue.base.entropy import Entropy
from segue.base.ice_description import IceDescription
from segue.base.secret import Secret
from segue.protocols.ice.candidate import RemoteCandidates
from segue.protocols.ice.check_list import CheckList
from segue.protocols.ice.limits import EARLY_CHECKS
from segue.protocols.stun.message import StunMessage

# Of 32 that may be sent (RFC 8839 section 5.4). So long that three times the octets of one authenticated check are
# enough for our answer, our own check and a packet of G.711: who has moved hears us after one round trip.
UFRAG_OCTETS, PASSWORD_OCTETS = 18, 24


@dataclass(frozen=True, slots=True)
class IceCredentials:
    ufrag: str
    password: Secret

    @classmethod
    def draw(cls, entropy: Entropy) -> IceCredentials:
        return cls(
            base64.b64encode(entropy.octets(UFRAG_OCTETS)).decode(),
            Secret(base64.b64encode(entropy.octets(PASSWORD_OCTETS))),
        )


@dataclass(slots=True, eq=False)
class Generation:
    """`early`: checks that came before the peer's description (section 7.3): answered, and acted upon when it
    is there. `ended`: the peer will name no more candidates. `patience`: nothing has failed before (RFC
    8863)."""

    credentials: IceCredentials
    check_list: CheckList
    remote: IceDescription | None = None
    remotes: RemoteCandidates = field(default_factory=RemoteCandidates)
    early: list[tuple[StunMessage, Path, int]] = field(default_factory=list)
    ended: bool = False
    patience: float | None = None
    nominating: dict[int, float] = field(default_factory=dict)  # component: since when there is a valid pair
    complete: set[int] = field(default_factory=set)  # components that have a nominated pair
    failed: bool = False

    def matches(self, username: str) -> bool:
        """Whether a request is for this session (section 7.3)."""
        return username.partition(":")[0] == self.credentials.ufrag and ":" in username

    def from_peer(self, username: str) -> bool:
        """Whether it is from the end that we have the description of, not from another fork of the call."""
        return self.remote is not None and username.partition(":")[2] == self.remote.ufrag

    def outgoing(self) -> tuple[str, Secret]:
        """User name and password of our checks (section 7.2.2)."""
        assert self.remote is not None
        return f"{self.remote.ufrag}:{self.credentials.ufrag}", self.remote.password

    def keep_early(self, message: StunMessage, path: Path, octets: int) -> None:
        if len(self.early) < EARLY_CHECKS:
            self.early.append((message, path, octets))
