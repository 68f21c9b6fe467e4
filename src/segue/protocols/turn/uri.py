"""URIs of STUN and TURN servers (RFC 7064, RFC 7065)."""

from __future__ import annotations

import ipaddress
import re
from typing import NamedTuple

from segue.base.errors import LocalError

_FORM = re.compile(
    r"(stun|stuns|turn|turns):(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::([0-9]{1,5}))?(?:\?transport=(udp|tcp))?",
    re.IGNORECASE,
)
PORT, TLS_PORT = 3478, 5349


class ServerUri(NamedTuple):
    """`host` without brackets; `port` 0: the one that DNS names, else the usual (RFC 5928). `transport`: "udp", "tcp"
    or "tls"."""

    relay: bool
    host: str
    port: int
    transport: str

    @property
    def usual_port(self) -> int:
        return self.port or (TLS_PORT if self.transport == "tls" else PORT)

    @property
    def numeric(self) -> bool:
        """Whether the host is an IP address."""
        try:
            ipaddress.ip_address(self.host)
        except ValueError:
            return False
        return True

    def __str__(self) -> str:
        secure = self.transport == "tls"
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = f":{self.port}" if self.port else ""
        query = "?transport=tcp" if self.transport == "tcp" else ""
        return f"{'turn' if self.relay else 'stun'}{'s' if secure else ''}:{host}{port}{query}"


def parse_server_uri(text: str) -> ServerUri:
    """Raises LocalError: this reads what a user wrote."""
    found = _FORM.fullmatch(text)
    if found is None or int(found[3] or 1) not in range(1, 65536):
        raise LocalError(
            f"{text!r} is no STUN or TURN server",
            "write stun:host, turn:host, turn:host:3478?transport=tcp or turns:host",
        )
    scheme, transport = found[1].lower(), (found[4] or "").lower()
    secure = scheme.endswith("s")
    if secure and transport == "udp":
        raise LocalError(f"{text!r}: DTLS is not done here", "write turns:host, which is TLS over TCP")
    if scheme.startswith("stun") and (secure or found[4]):
        raise LocalError(f"{text!r}: STUN is asked over UDP", "write stun:host")
    host = found[2].strip("[]")
    if ":" in host or host.replace(".", "").isdigit():
        try:
            host = str(ipaddress.ip_address(host))
        except ValueError:
            raise LocalError(f"{host!r} is no IP address", "write 192.0.2.1 or [2001:db8::1]") from None
    return ServerUri(
        scheme.startswith("turn"), host, int(found[3] or 0), "tls" if secure else transport or "udp"
    )
