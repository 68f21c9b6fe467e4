"""Where packets come from and go to."""

from __future__ import annotations

import ipaddress
from functools import lru_cache
from typing import NamedTuple

from segue.base.errors import LocalError


class Address(NamedTuple):
    """A transport address: numeric host (no brackets, no zone) and port."""

    host: str
    port: int

    @property
    def family(self) -> int:
        """4 or 6."""
        return 6 if ":" in self.host else 4

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @classmethod
    def parse(cls, text: str, default_port: int | None = None) -> Address:
        """`192.0.2.1:5060`, `[2001:db8::1]:5060`, or without a port when there is a default.

        Raises LocalError for anything else: this reads what a user wrote, not what a peer sent.
        """
        host, port = _split(text)
        number = int(port) if port is not None and port.isdigit() else default_port
        if (port is not None and not port.isdigit()) or number is None or number > 65535:
            raise LocalError(
                f"{text!r} is no address with a port", "write 192.0.2.1:5060 or [2001:db8::1]:5060"
            )
        try:
            return cls(str(ipaddress.ip_address(host)), number)
        except ValueError:
            raise LocalError(f"{host!r} is no IP address", "write 192.0.2.1 or 2001:db8::1") from None


def _split(text: str) -> tuple[str, str | None]:
    if text.startswith("["):
        host, _, rest = text[1:].partition("]")
        return host, rest[1:] if rest.startswith(":") else (None if not rest else "?")
    if text.count(":") == 1:
        host, _, port = text.partition(":")
        return host, port
    return text, None


@lru_cache(maxsize=4096)
def source_key(host: str) -> str:
    """What counts as one source: an IPv4 address, or the /64 an IPv6 host has to itself."""
    if ":" not in host:
        return host
    return str(ipaddress.IPv6Network((host, 64), strict=False))


class LocalPort(NamedTuple):
    """Where datagrams can arrive: an interface and our address on it."""

    interface: str
    address: Address


class Path(NamedTuple):
    """A way between two hosts: our interface and address, and the peer's address.

    Moving is a change of path; nothing else of a call depends on it (design decision 1).
    """

    interface: str
    local: Address
    remote: Address

    @property
    def port(self) -> LocalPort:
        """Our end of it."""
        return LocalPort(self.interface, self.local)
