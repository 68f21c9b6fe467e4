"""Who sent a request: digest against the users of our domain (RFC 3261 section 22, RFC 7616, RFC 8760)."""

from __future__ import annotations

from collections import OrderedDict
from typing import NamedTuple

from segue.base.address import source_key
from segue.base.entropy import Entropy
from segue.base.secret import Secret
from segue.protocols.sip.digest import DigestServer, user_hash
from segue.protocols.sip.flow import Flow
from segue.protocols.sip.message import Request
from segue.server.config import Policy
from segue.server.rate_limit import RateLimit

ALGORITHMS = ("SHA-512-256", "SHA-256", "MD5")
FLOWS_LIMIT = 50_000
SILENT = 0  # status of a refusal that is not sent

Hashes = dict[str, str]
"""Algorithm to user hash."""


class Refusal(NamedTuple):
    """Answer with this status and these header fields; status SILENT: do not answer."""

    status: int
    reason: str | None = None
    headers: tuple[tuple[str, str], ...] = ()


def hashes_of(user: str, realm: str, password: str) -> Hashes:
    """What is stored of a password."""
    return {algorithm: user_hash(user, realm, password, algorithm) for algorithm in ALGORITHMS}


class Authentication:
    """`users` is shared with whoever adds and removes users. A user is named as in the AOR: `alice` for
    sip:alice@our.domain."""

    def __init__(self, domain: str, users: dict[str, Hashes], policy: Policy, entropy: Entropy) -> None:
        self.domain = domain
        self.users = users
        key = Secret(entropy.octets(32))
        self._digest = DigestServer(domain, key, entropy, algorithms=policy.digest, uses=policy.nonce_uses)
        self._failures = RateLimit(policy.failures_rate, policy.failures_burst)
        self._flows: OrderedDict[tuple[Flow, str], None] = OrderedDict()

    def verify(self, request: Request, flow: Flow, now: float, *, proxy: bool) -> str | Refusal:
        """The user who sent this request, or what to answer: 401 for the registrar, 407 for the proxy.

        After too many wrong passwords for one user from one source, further ones get no answer; the right one
        still does, so that a guesser cannot lock anybody out.
        """
        field = "Proxy-Authorization" if proxy else "Authorization"
        values = request.headers.get_all(field)
        if not values:
            return self._challenge(proxy, now)
        if not all(
            value.isascii() for value in values
        ):  # no user name here is (RFC 7616 section 3.4 has username*)
            return Refusal(400)
        verdict = self._digest.verify(values, request.method, request.uri, self._lookup, now)
        if verdict.user is not None:
            key = (flow, verdict.user)
            self._flows[key] = None
            self._flows.move_to_end(key)
            if len(self._flows) > FLOWS_LIMIT:
                self._flows.popitem(last=False)
            return verdict.user
        if verdict.stale or verdict.problem == "no credentials":
            return self._challenge(proxy, now, stale=verdict.stale)
        if not self._failures.take(f"{source_key(flow.remote.host)} {_claimed(values)}", now):
            return Refusal(SILENT)
        return self._challenge(proxy, now)

    def knows_flow(self, flow: Flow, user: str) -> bool:
        """Whether `user` has authenticated on this flow."""
        return (flow, user) in self._flows

    def flow_closed(self, flow: Flow, users: list[str]) -> None:
        for user in users:
            self._flows.pop((flow, user), None)

    def _lookup(self, user: str, algorithm: str) -> str | None:
        known = self.users.get(user)
        return known.get(algorithm) if known is not None else None

    def _challenge(self, proxy: bool, now: float, stale: bool = False) -> Refusal:
        name = "Proxy-Authenticate" if proxy else "WWW-Authenticate"
        values = self._digest.challenge(now, stale)
        return Refusal(407 if proxy else 401, None, tuple((name, value) for value in values))


def _claimed(values: list[str]) -> str:
    """The name someone claims, for counting only."""
    _, _, rest = values[0].partition("username=")
    return rest[:66].partition(",")[0]
