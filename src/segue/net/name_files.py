"""What this machine was told about names: /etc/resolv.conf and /etc/hosts."""

from __future__ import annotations

from ipaddress import ip_address

from segue.base.address import Address


def system_servers(file: str = "/etc/resolv.conf") -> list[Address]:
    """The name servers this machine was told of; none when there is no such file. Unreadable lines are skipped."""
    found: list[Address] = []
    for words in _lines(file):
        if len(words) >= 2 and words[0] == "nameserver":
            host = words[1].partition("%")[0]
            if _is_numeric(host):
                found.append(Address(str(ip_address(host)), 53))
    return found


def read_hosts(file: str) -> dict[str, list[str]]:
    """Addresses by name, in lower case; nothing when there is no such file."""
    found: dict[str, list[str]] = {}
    for words in _lines(file):
        host = words[0].partition("%")[0]
        if _is_numeric(host):
            for name in words[1:]:
                found.setdefault(name.lower(), []).append(str(ip_address(host)))
    return found


def _lines(file: str) -> list[list[str]]:
    try:
        with open(file, encoding="utf-8", errors="replace") as opened:
            text = opened.read(1 << 20)
    except OSError:
        return []
    lines = (line.partition("#")[0].split() for line in text.splitlines())
    return [words for words in lines if words]


def _is_numeric(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
