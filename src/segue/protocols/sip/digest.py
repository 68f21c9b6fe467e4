"""Digest authentication (RFC 3261 section 22, RFC 7616, RFC 8760): MD5, SHA-256 and SHA-512/256, qop "auth".

The client answers challenges and uses a nonce again as long as it is taken, so that a challenge costs its round
trip once. The server keeps no list of the nonces it gave: each carries its time under a MAC.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple

from segue.base.entropy import Entropy, token
from segue.base.secret import Secret
from segue.protocols.sip.message import Request, Response
from segue.protocols.sip.syntax import SipSyntaxError, parse_parameters, quote, split_outside

HASHES = {"MD5": "md5", "SHA-256": "sha256", "SHA-512-256": "sha512_256"}
_COUNT = re.compile(r"[0-9a-fA-F]{8}")  # RFC 7616 section 3.4
REMEMBERED = 32  # nonces a client keeps, one for each realm


def _hash(algorithm: str, text: str) -> str:
    # MD5 is what old servers ask for; nothing of ours rests on it (RFC 8760 section 1).
    # Octets that are no UTF-8 come as they were (`parser` keeps them as surrogates).
    octets = text.encode("utf-8", "surrogateescape")
    return hashlib.new(HASHES[algorithm], octets, usedforsecurity=False).hexdigest()


def user_hash(user: str, realm: str, password: str, algorithm: str) -> str:
    """A1 hashed: what a server stores in place of the password (RFC 7616 sections 3.4.2 and 5.2)."""
    return _hash(algorithm, f"{user}:{realm}:{password}")


def _response(a1: str, algorithm: str, method: str, fields: dict[str, str | None]) -> str:
    """RFC 7616 section 3.4.1; without qop that of RFC 2069."""
    a2 = _hash(algorithm, f"{method}:{fields.get('uri') or ''}")
    nonce = fields.get("nonce") or ""
    if fields.get("qop"):
        nonce = f"{nonce}:{fields.get('nc') or ''}:{fields.get('cnonce') or ''}:{fields['qop']}"
    return _hash(algorithm, f"{a1}:{nonce}:{a2}")


class Challenge(NamedTuple):
    """What a server asks for. `algorithm` as in `HASHES`; `qop` when it offers "auth"; `header` names the field
    for the answer."""

    realm: str
    nonce: str
    algorithm: str
    qop: bool
    stale: bool
    opaque: str | None
    header: str


def _fields(value: str) -> dict[str, str | None]:
    scheme, _, rest = value.strip().partition(" ")
    if scheme.lower() != "digest":
        raise SipSyntaxError(f"authentication scheme {scheme[:20]!r} is not Digest")
    return parse_parameters(";".join(split_outside(rest, ",")))


def challenges(response: Response) -> list[Challenge]:
    """Those of a 401 or 407 that we could answer, in the server's order (RFC 8760 section 2.4)."""
    found = []
    for asks, answers in (
        ("WWW-Authenticate", "Authorization"),
        ("Proxy-Authenticate", "Proxy-Authorization"),
    ):
        for value in response.headers.get_all(asks):
            try:
                fields = _fields(value)
            except SipSyntaxError:
                continue
            algorithm = (fields.get("algorithm") or "MD5").upper()
            qops = {word.strip().lower() for word in (fields.get("qop") or "").split(",")} - {""}
            if algorithm not in HASHES or (qops and "auth" not in qops) or not fields.get("nonce"):
                continue
            stale = (fields.get("stale") or "").lower() == "true"
            found.append(
                Challenge(
                    fields.get("realm") or "",
                    fields["nonce"] or "",
                    algorithm,
                    bool(qops),
                    stale,
                    fields.get("opaque"),
                    answers,
                )
            )
    return found


class DigestClient:
    """Answers the challenges of one account's server, whose name TLS has verified before anything is sent.

    An answer lets whoever chose the nonce try passwords at leisure, so a callee gets none (CVE-2021-41158). Realms
    are those that REGISTER was challenged for, and `realm`, the account's domain. A 401 to another request comes
    from a server that ends calls itself (a B2BUA), or from the callee. A server that has not shown which it is gets
    the INVITE again, without an answer and with Max-Forwards 0: a proxy must not pass that on (RFC 3261 section 16.3,
    483), so a 401 to it is the server's own. A 407 may come from the callee too, but its answer ends at the proxy
    (RFC 3261 section 22.3).
    """

    def __init__(self, user: str, password: Secret, entropy: Entropy, realm: str = "") -> None:
        self._user = user
        self._password = password
        self._entropy = entropy
        self._realms = {realm} - {""}
        self._proxied: bool | None = None  # whether our server passes requests on; None: not known yet
        self._asking = ""  # Call-ID of the INVITE that is to show it
        self._known: OrderedDict[tuple[str, str], Challenge] = OrderedDict()  # by field and realm
        self._counts: dict[str, int] = {}  # of uses, by nonce
        self._owed: dict[tuple[str | None, str], Challenge] = {}  # what only that request answers, by Call-ID

    def accept(self, request: Request, response: Response) -> bool:
        """Remember what `response` to `request` asks for: `prepare` answers it when the request is sent again. False
        when there is nothing to answer, when it is not our server that asks, or when what we answered was refused:
        the password is wrong."""
        picked: dict[tuple[str, str], Challenge] = {}
        for challenge in challenges(response):
            if self._is_for_server(request, challenge):
                picked.setdefault((challenge.header, challenge.realm), challenge)
        if not picked or not self._password:
            return False
        if request.method != "REGISTER" and self._proxied is None:
            return self._ask(request)
        if any(self._refused(request, challenge) for challenge in picked.values()):
            return False
        for key, challenge in picked.items():
            self._known[key] = challenge
            self._known.move_to_end(key)
            self._counts.setdefault(challenge.nonce, 0)
        while len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
        live = {challenge.nonce for challenge in self._known.values()}
        self._counts = {nonce: count for nonce, count in self._counts.items() if nonce in live}
        for challenge in picked.values():
            if challenge.header == "Authorization" and request.method != "REGISTER":
                self._owed = {(request.headers.get("Call-ID"), request.method): challenge}
        return True

    def behind_proxy(self) -> None:
        """Our server has shown that it passes requests on: 401 to any but REGISTER is not its own."""
        self._proxied = True

    def _ask(self, request: Request) -> bool:
        """Let the request show whose the 401 to it is. One inside a dialog cannot: 483 would end that (RFC 5057)."""
        if request.method != "INVITE" or ";tag=" in (request.headers.get("To") or "").lower():
            return False
        self._asking = request.headers.get("Call-ID") or ""
        return bool(self._asking)

    def _is_for_server(self, request: Request, challenge: Challenge) -> bool:
        if request.method == "REGISTER":
            if len(self._realms) < REMEMBERED:
                self._realms.add(challenge.realm)
            return True
        if challenge.header == "Proxy-Authorization":
            self._proxied = True
        elif self._proxied:
            return False
        elif self._proxied is None and request.headers.get("Max-Forwards") == "0":
            self._proxied = False
        return challenge.realm in self._realms

    def prepare(self, request: Request) -> None:
        """Put credentials for the nonces we know into a request that is about to be sent, fresh ones in the place of
        those it has. Each is counted (RFC 7616 section 3.4: nc), so once for each time that it is sent.

        What the registrar challenged with is good for the proxy of the same realm, which saves the first call its
        challenge. `Authorization` goes into REGISTER, and else only where `accept` saw it asked for: the callee would
        get it, and guess passwords with it.
        """
        for header in ("Authorization", "Proxy-Authorization"):
            request.headers.remove(header)
        if request.method == "INVITE" and request.headers.get("Call-ID") == self._asking:
            self._asking = ""
            request.headers.set("Max-Forwards", "0")
        elif request.headers.get("Max-Forwards") == "0":
            request.headers.set("Max-Forwards", "70")
        registers = request.method == "REGISTER"
        wanted: dict[tuple[str, str], Challenge] = {}
        for (header, realm), challenge in self._known.items():
            if registers or header == "Proxy-Authorization":
                wanted[header, realm] = challenge
            else:
                wanted.setdefault(("Proxy-Authorization", realm), challenge)
        for (header, _), challenge in wanted.items():
            self._put(request, challenge, header)
        owed = self._owed.pop((request.headers.get("Call-ID"), request.method), None)
        if owed is not None:
            self._put(request, owed, owed.header)

    def _put(self, request: Request, challenge: Challenge, header: str) -> None:
        count = self._counts.get(challenge.nonce, 0) + 1
        self._counts[challenge.nonce] = count
        request.headers.add(header, self._authorization(request, challenge, count))

    def _refused(self, request: Request, challenge: Challenge) -> bool:
        """Whether the request already had an answer for this realm that was not merely stale: one with the same
        nonce, or with a nonce that had never been used before."""
        if challenge.stale:
            return False
        for value in request.headers.get_all(challenge.header):
            fields = _fields(value)
            if fields.get("realm") == challenge.realm:
                nonce = fields.get("nonce") or ""
                asked = self._known.get((challenge.header, challenge.realm))
                first = asked is not None and asked.nonce == nonce and fields.get("nc") in (None, "00000001")
                return nonce == challenge.nonce or first
        return False

    def _authorization(self, request: Request, challenge: Challenge, count: int) -> str:
        fields: dict[str, str | None] = {"uri": request.uri, "nonce": challenge.nonce}
        if challenge.qop:
            fields |= {"qop": "auth", "nc": f"{count:08x}", "cnonce": token(self._entropy, 64)}
        a1 = user_hash(
            self._user,
            challenge.realm,
            self._password.reveal().decode("utf-8", "surrogateescape"),
            challenge.algorithm,
        )
        answer = _response(a1, challenge.algorithm, request.method, fields)
        parts = [
            f"username={quote(self._user)}",
            f"realm={quote(challenge.realm)}",
            f"nonce={quote(challenge.nonce)}",
            f"uri={quote(request.uri)}",
            f'response="{answer}"',
            f"algorithm={challenge.algorithm}",
        ]
        if challenge.opaque is not None:
            parts.append(f"opaque={quote(challenge.opaque)}")
        if challenge.qop:
            parts.append(f'qop=auth, nc={fields["nc"]}, cnonce="{fields["cnonce"]}"')
        return "Digest " + ", ".join(parts)


class Verdict(NamedTuple):
    """`user` is who it is, None for nobody; `stale`: right, but with a nonce that is over."""

    user: str | None
    stale: bool = False
    problem: str = ""


Lookup = Callable[[str, str], str | None]
"""User and algorithm to the stored `user_hash`; None for an unknown user."""


class DigestServer:
    """Challenges and checks for one realm.

    `lifetime`: seconds a nonce is good for. `uses`: requests it is good for, 0 for any number. `replays`: how many
    nonces' counts are kept, to refuse a count that was used (RFC 7616 section 5.5); a nonce whose count was forgotten
    is called stale.
    """

    def __init__(
        self,
        realm: str,
        key: Secret,
        entropy: Entropy,
        *,
        algorithms: tuple[str, ...] = ("SHA-512-256", "SHA-256", "MD5"),
        lifetime: float = 3600.0,
        uses: int = 0,
        replays: int = 100_000,
    ) -> None:
        self.realm = realm
        self.algorithms = algorithms
        self._key = key
        self._entropy = entropy
        self._lifetime = lifetime
        self._uses = uses
        self._replays = replays
        self._counts: OrderedDict[str, tuple[int, int]] = OrderedDict()
        self._forgot_until = 0.0  # nonces made before this time may have had counts that are forgotten

    def challenge(self, now: float, stale: bool = False) -> list[str]:
        """Values for WWW-Authenticate or Proxy-Authenticate, the strongest first."""
        nonce = self._nonce(now)
        suffix = ", stale=true" if stale else ""
        return [
            f'Digest realm={quote(self.realm)}, nonce="{nonce}", algorithm={algorithm}, qop="auth"{suffix}'
            for algorithm in self.algorithms
        ]

    def verify(self, values: list[str], method: str, uri: str, lookup: Lookup, now: float) -> Verdict:
        """Check the Authorization (or Proxy-Authorization) values of a request, the one for our realm."""
        for value in values:
            try:
                fields = _fields(value)
            except SipSyntaxError:
                continue
            if fields.get("realm") == self.realm:
                return self._verify(fields, method, uri, lookup, now)
        return Verdict(None, problem="no credentials")

    def _verify(
        self, fields: dict[str, str | None], method: str, uri: str, lookup: Lookup, now: float
    ) -> Verdict:
        algorithm = (fields.get("algorithm") or "MD5").upper()
        user, nonce = fields.get("username") or "", fields.get("nonce") or ""
        if algorithm not in self.algorithms or fields.get("qop") != "auth":
            return Verdict(None, problem="another algorithm or qop than offered")
        if fields.get("uri") != uri:
            return Verdict(None, problem="digest-uri is not the Request-URI")
        made_at = self._made_at(nonce)
        if made_at is None:
            return Verdict(None, stale=True, problem="a nonce that is not ours")
        a1 = lookup(user, algorithm)
        # An unknown user takes the same time as a wrong password.
        answer = _response(a1 or "", algorithm, method, fields)
        given = (fields.get("response") or "").lower()
        right = given.isascii() and hmac.compare_digest(answer, given)
        if a1 is None or not right:
            return Verdict(None, problem="wrong user or password")
        if not made_at <= now + 1 or now - made_at > self._lifetime:
            return Verdict(None, stale=True, problem="the nonce is over")
        if not self._count(nonce, fields.get("nc") or "", made_at):
            return Verdict(None, stale=True, problem="the nonce count was used")
        return Verdict(user)

    def _nonce(self, now: float) -> str:
        made = f"{int(now * 1000):x}.{token(self._entropy, 64)}"
        return f"{made}.{self._mac(made)}"

    def _mac(self, text: str) -> str:
        return hmac.digest(self._key.reveal(), text.encode(), "sha256")[:12].hex()

    def _made_at(self, nonce: str) -> float | None:
        made, _, mac = nonce.rpartition(".")
        if len(nonce) > 100 or not nonce.isascii() or not hmac.compare_digest(self._mac(made), mac):
            return None
        return int(made.partition(".")[0], 16) / 1000

    def _count(self, nonce: str, text: str, made_at: float) -> bool:
        """Note a nonce count; False for one that was there before. Counts up to 64 behind may come late."""
        if not _COUNT.fullmatch(text):
            return False
        count = int(text, 16)
        if self._uses and count > self._uses:
            return False
        known = self._counts.get(nonce)
        if known is None:
            if made_at < self._forgot_until:
                return False
            highest, seen = count, 1
        else:
            highest, seen = known
            ahead = count - highest
            if ahead > 0:
                highest, seen = count, (seen << min(ahead, 64) | 1) & (1 << 64) - 1
            elif ahead <= -64 or seen >> -ahead & 1:
                return False
            else:
                seen |= 1 << -ahead
        self._counts[nonce] = (highest, seen)
        self._counts.move_to_end(nonce)
        if len(self._counts) > self._replays:
            forgotten, _ = self._counts.popitem(last=False)
            self._forgot_until = max(self._forgot_until, self._made_at(forgotten) or 0.0)
        return True
