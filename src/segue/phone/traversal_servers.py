"""Where STUN and TURN servers are (RFC 8489 section 8, RFC 5928): by SRV records when no port is given, else by
address."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from segue.base.address import Address
from segue.base.errors import RemoteError
from segue.base.trace import NO_TRACE, Trace
from segue.net.dns_records import Srv
from segue.protocols.turn.uri import ServerUri, parse_server_uri

if TYPE_CHECKING:
    from segue.net.dns import Resolver

MOST = 4  # addresses of one server


class StunServers:
    """Their addresses, looked up as networks come, so that a call need not wait for DNS. A TURN server over UDP is
    one too."""

    def __init__(
        self, uris: Iterable[str], resolver: Callable[[str], Resolver], *, trace: Trace = NO_TRACE
    ) -> None:
        places = map(parse_server_uri, uris)
        self._places = [place for place in places if place.transport == "udp"]
        self._resolver = resolver
        self._trace = trace
        self._known: dict[Address, None] = {}
        self._asked: set[tuple[str, int]] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def addresses(self) -> tuple[Address, ...]:
        return tuple(self._known)

    def look_up(self, networks: Iterable[tuple[str, int]]) -> None:
        """Interfaces and address families that are there now. One that comes back is asked again."""
        networks = set(networks)
        for interface, family in networks - self._asked:
            for place in self._places:
                task = asyncio.get_running_loop().create_task(self._find(place, interface, family))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
        self._asked = networks

    def close(self) -> None:
        for task in self._tasks:
            task.cancel()

    async def _find(self, place: ServerUri, interface: str, family: int) -> None:
        try:
            found = await find_server(self._resolver(interface), place, family)
        except RemoteError as error:
            self._trace.note("stun", "no server", problem=str(error), interface=interface)
            return
        self._known[found[0]] = None


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
