"""What a server is told (read from flags and files by `cli.server`)."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from segue.base.address import Address
from segue.base.errors import LocalError

DIGESTS = frozenset({"SHA-512-256", "SHA-256", "MD5"})
PORTS = {"TLS": 5061, "TCP": 5060, "UDP": 5060, "STUN": 3478}  # by default, of what can be listened for


@dataclass(frozen=True, slots=True)
class Listen:
    """A socket to listen on; port 0 lets the system choose."""

    transport: str  # as in a Via; STUN is UDP that takes nothing else (RFC 8489)
    address: Address

    @classmethod
    def parse(cls, text: str) -> Listen:
        """`tls:[::]:5061`, `udp:0.0.0.0` (default port). Raises LocalError."""
        name, colon, rest = text.partition(":")
        transport = name.upper()
        if not colon or transport not in PORTS:
            raise LocalError(
                f"--listen {text!r} names no transport", "write tls:[::]:5061 or udp:192.0.2.1:5060"
            )
        return cls(transport, Address.parse(rest, PORTS[transport]))

    @property
    def wildcard(self) -> bool:
        return self.address.host in ("0.0.0.0", "::")


_LEAST = {
    "min_expires": 1,
    "max_expires": 1,
    "default_expires": 1,
    "contacts_limit": 1,
    "requests_rate": 0,
    "requests_burst": 1,
    "failures_rate": 0,
    "failures_burst": 1,
    "nonce_uses": 0,
    "max_breadth": 1,
    "timer_c": 1,
    "session_interval": 0,
    "min_session_interval": 90,
    "reunion": 0,
}


@dataclass(frozen=True, slots=True)
class Policy:
    """What is let through. Seconds, or so many a second."""

    strangers: bool = False  # calls to our users from people who cannot authenticate here
    allow_clear_leg: bool = (
        False  # what came over TLS may go out over UDP or TCP: its media keys are readable there
    )
    min_expires: int = 60
    max_expires: int = 7200
    default_expires: int = 3600
    contacts_limit: int = 20  # bindings of one address of record
    requests_rate: float = 100.0  # for each source address
    requests_burst: float = 500.0
    failures_rate: float = 0.1  # wrong passwords for one user from one source address
    failures_burst: float = 10.0
    digest: tuple[str, ...] = ("SHA-256", "MD5")  # what is offered, the most wanted first
    nonce_uses: int = 0  # requests that one challenge serves; 0: any number, within an hour
    max_breadth: int = 60
    timer_c: float = 180.0
    session_interval: int = 0  # asked for where nobody else does (RFC 4028); 0: not by us
    min_session_interval: int = 90  # shorter ones are refused
    reunion: float = 8.0  # how long a request waits for a phone that has just lost its flow

    def __post_init__(self) -> None:
        if not self.digest or not set(self.digest) <= DIGESTS:
            raise LocalError(f"digest = {list(self.digest)}", f"choose among {', '.join(sorted(DIGESTS))}")
        for name, least in _LEAST.items():
            value = getattr(self, name)
            if not least <= value < math.inf:  # TOML has inf and nan
                raise LocalError(f"{name} = {value!r}", f"give a number from {least} on")
        if 0 < self.session_interval < self.min_session_interval:
            raise LocalError("session_interval is less than min_session_interval", "change one of them")
        if self.min_expires > min(self.default_expires, self.max_expires):
            raise LocalError("min_expires is more than default_expires or max_expires", "change one of them")


@dataclass(frozen=True, slots=True)
class ServerConfig:
    """`name`: the host name that phones reach the server by (the certificate's), the domain by default.
    `database`: path of the SQLite file; ":memory:" forgets everything at the end."""

    domain: str
    listens: tuple[Listen, ...]
    database: str
    name: str = ""
    certificate: str = ""
    key: str = ""
    policy: Policy = field(default_factory=Policy)

    def __post_init__(self) -> None:
        if not self.domain or not set(self.domain.lower()) <= set("abcdefghijklmnopqrstuvwxyz0123456789.-"):
            raise LocalError(f"{self.domain!r} is no domain", "give --domain example.org")
        if all(listen.transport == "STUN" for listen in self.listens):
            raise LocalError("nothing to listen on", "give --listen tls:[::]:5061")
        if any(listen.transport == "TLS" for listen in self.listens) and not (self.certificate and self.key):
            raise LocalError("TLS needs a certificate", "give --cert FILE --key FILE, or --listen udp:… only")

    @property
    def host(self) -> str:
        return (self.name or self.domain).lower()
