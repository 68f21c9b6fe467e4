"""STUN for phones that want to know their address behind a NAT (RFC 8489, Binding without credentials).

It says where a request came from and nothing else: no software name, no other address. The answer is 12 octets longer
than the shortest request (24 for IPv6), so that nobody gains by sending in another's name; a source that asks too
often is not answered.
"""

from __future__ import annotations

from segue.base.address import Address, source_key
from segue.base.errors import RemoteError
from segue.base.trace import Trace
from segue.protocols.stun.binding import binding_response, is_binding_request
from segue.protocols.stun.message import parse_stun
from segue.server.rate_limit import RateLimit


class StunResponder:
    """`limit` may be shared: requests count with what else comes from their source."""

    def __init__(self, limit: RateLimit, trace: Trace) -> None:
        self._limit = limit
        self._trace = trace

    def answer(self, octets: bytes, source: Address, now: float) -> bytes | None:
        """A success, or 420 for what must be understood and is not; None for what is no request, or one too many."""
        if not self._limit.take(source_key(source.host), now):
            self._trace.drop("server", "too many messages from one source")
            return None
        try:
            message = parse_stun(octets)
        except RemoteError as error:
            self._trace.drop("server", "malformed STUN", problem=error.problem)
            return None
        return binding_response(message, source).write() if is_binding_request(message) else None
