"""The server's side of connectivity checks: who is authenticated, and what the others get (RFC 8445 section
7.3, RFC 8489 section 9.1.3). Nothing here changes a path."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum

from segue.base.address import Path
from segue.base.trace import Trace
from segue.protocols.ice.allowance import Allowance
from segue.protocols.ice.generation import Generation
from segue.protocols.ice.limits import REFUSAL_BURST, REFUSAL_RATE
from segue.protocols.stun.attributes import (
    ICE_CONTROLLED,
    ICE_CONTROLLING,
    PRIORITY,
    USERNAME,
    XOR_MAPPED_ADDRESS,
)
from segue.protocols.stun.message import Integrity, StunMessage, error_response, success_response


class Conflict(Enum):
    """Section 7.3.1.1."""

    NONE = "none"
    REFUSE = "487, and our role stays"
    SWITCH = "we switch"


def role_conflict(request: StunMessage, controlling: bool, tie_breaker: int) -> Conflict:
    if controlling:
        theirs = request.get(ICE_CONTROLLING)
        if theirs is not None:
            return Conflict.REFUSE if tie_breaker >= theirs else Conflict.SWITCH
    else:
        theirs = request.get(ICE_CONTROLLED)
        if theirs is not None:
            return Conflict.SWITCH if tie_breaker >= theirs else Conflict.REFUSE
    return Conflict.NONE


class Answering:
    """`transmits` are answers. Refusals of what has no proper credentials are few, whoever asks: their source
    may be somebody else's."""

    def __init__(self, trace: Trace, now: float) -> None:
        self._trace = trace
        self._refusals = Allowance(REFUSAL_BURST, REFUSAL_RATE, now)
        self._out: list[tuple[Path, bytes]] = []

    def transmits(self) -> list[tuple[Path, bytes]]:
        out, self._out = self._out, []
        return out

    def authenticate(
        self, request: StunMessage, path: Path, generations: Sequence[Generation], now: float
    ) -> Generation | None:
        """Which session a request is for; None when it was refused or dropped."""
        if not request.fingerprint:  # section 7.3: it must be there
            self._trace.drop("ice", "no fingerprint", source=str(path.remote))
            return None
        username = request.get(USERNAME)
        if request.integrity is None or username is None:
            self._refuse(request, path, 400, now)
            return None
        for generation in generations:
            if generation.matches(username):
                if request.verify(generation.credentials.password):
                    return self._understood(request, path, generation)
                break
        self._refuse(request, path, 401, now)
        return None

    def success(self, request: StunMessage, path: Path, generation: Generation) -> int:
        """Octets of the answer."""
        response = success_response(request).add(XOR_MAPPED_ADDRESS, path.remote)
        return self._answer(request, response, path, generation)

    def error(self, request: StunMessage, path: Path, generation: Generation, code: int) -> None:
        self._answer(request, error_response(request, code), path, generation)

    def _understood(self, request: StunMessage, path: Path, generation: Generation) -> Generation | None:
        if request.unknown:
            self.error(request, path, generation, 420)
            return None
        if request.get(PRIORITY) is None:  # section 7.1.1: it is no connectivity check
            self.error(request, path, generation, 400)
            return None
        return generation

    def _answer(self, request: StunMessage, response: StunMessage, path: Path, generation: Generation) -> int:
        """With the same hash as the request (RFC 8489 section 9.1.3)."""
        hashes = (request.integrity or Integrity.SHA1,)
        octets = response.write(generation.credentials.password, integrity=hashes, fingerprint=True)
        self._out.append((path, octets))
        return len(octets)

    def _refuse(self, request: StunMessage, path: Path, code: int, now: float) -> None:
        self._trace.drop("ice", "not authenticated", source=str(path.remote), code=code)
        if self._refusals.take(now):
            self._out.append((path, error_response(request, code).write(fingerprint=True)))
