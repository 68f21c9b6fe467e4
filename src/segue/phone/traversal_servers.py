"""Where STUN and TURN servers are (RFC 8489 section 8, RFC 5928): by SRV records when no port is given, else by
address."""

from __future__ import annotations

from typing import TYPE_CHECKING

from segue.base.address import Address
from segue.base.errors import RemoteError
from segue.net.dns_records import Srv
from segue.protocols.turn.uri import ServerUri

if TYPE_CHECKING:
    from segue.net.dns import Resolver

MOST = 4  # addresses of one server


async def find_server(resolver: Resolver, place: ServerUri, family: int) -> list[Address]:
    """Its addresses of this family, best first. Raises RemoteError when there is none."""
    if place.numeric:
        address = Address(place.host, place.usual_port)
        found = [address] if address.family == family else []
    else:
        found = await _by_service(resolver, place, family) or await _hosts(
            resolver, place.host, place.usual_port, family
        )
    if not found:
        raise RemoteError(f"{place} has no IPv{family} address")
    return found[:MOST]


async def _by_service(resolver: Resolver, place: ServerUri, family: int) -> list[Address]:
    """RFC 5928 section 3: the host is a domain when no port is given."""
    if place.port:
        return []
    name = ("turn" if place.relay else "stun") + ("s" if place.transport == "tls" else "")
    service = f"_{name}._{'udp' if place.transport == 'udp' else 'tcp'}.{place.host}"
    found: list[Address] = []
    try:
        records = await resolver.resolve(service, "SRV")
    except RemoteError:  # the host may be known all the same
        return []
    services = [each for each in records if isinstance(each, Srv)]
    for record in sorted(services, key=lambda each: (each.priority, -each.weight)):
        if record.target.strip("."):
            found += await _hosts(resolver, record.target, record.port, family)
    return found


async def _hosts(resolver: Resolver, host: str, port: int, family: int) -> list[Address]:
    records = await resolver.resolve(host, "A" if family == 4 else "AAAA")
    return [Address(str(record), port) for record in records if isinstance(record, str)]
