"""A network address translator, or the filter that IPv6 has in its place, in the words of RFC 4787. Pure.

What it knows are mappings: an inside endpoint (of one protocol) has an outside one, and remote endpoints that it
has sent to, which decide what is let in. `outbound` and `inbound` say what becomes of a packet; packets themselves
are the affair of who asks (the lab's link process, a test's wire). The states of TCP connections are not followed.

The four kinds people speak of are pairs of behaviours (RFC 4787 sections 4.1 and 5):

    full-cone           endpoint-independent mapping, endpoint-independent filtering
    address-restricted  endpoint-independent mapping, address-dependent filtering
    port-restricted     endpoint-independent mapping, address and port-dependent filtering
    symmetric           address and port-dependent mapping and filtering

With `outside` None nothing is translated: a stateful filter (RFC 6092) with the same filtering behaviours.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from segue.base.address import Address
from segue.base.entropy import Entropy, number
from segue.base.errors import LocalError

ICMP, TCP, UDP = 1, 6, 17  # protocols of mappings; a query identifier stands for ICMP's port (RFC 5508)
FIRST_PORT = 1024
MAX_MAPPINGS = 16_000  # so that there is a port left for each, also when it must not be the one it had
MAX_REMOTES = 256  # of one mapping; the one heard of least recently is forgotten for another
_TRIES = 64  # ports drawn at random before they are looked for in order


class Behaviour(enum.Enum):
    """What of the remote endpoint a mapping or a filter looks at."""

    ENDPOINT_INDEPENDENT = "endpoint-independent"
    ADDRESS_DEPENDENT = "address-dependent"
    ADDRESS_AND_PORT_DEPENDENT = "address-and-port-dependent"

    def part(self, remote: Address) -> Address | None:
        """What it sees of a remote endpoint."""
        if self is Behaviour.ENDPOINT_INDEPENDENT:
            return None
        return Address(remote.host, 0) if self is Behaviour.ADDRESS_DEPENDENT else remote


@dataclass(frozen=True)
class NatConfig:
    """`timeout`, `tcp_timeout`: seconds without a packet from inside after which a mapping is forgotten (RFC 4787
    REQ-5 asks for 120, many give 30; RFC 5382 REQ-5: 7,440). `inbound_refresh`: whether a packet from outside
    counts too (REQ-6). `hairpinning`: whether two inside hosts reach each other by outside endpoints (REQ-9).
    `max_mappings`: when so many are there, a new one is refused."""

    mapping: Behaviour = Behaviour.ENDPOINT_INDEPENDENT
    filtering: Behaviour = Behaviour.ENDPOINT_INDEPENDENT
    timeout: float = 30.0
    tcp_timeout: float = 7440.0
    inbound_refresh: bool = False
    hairpinning: bool = True
    max_mappings: int = 4096

    def __post_init__(self) -> None:
        if self.timeout <= 0 or self.tcp_timeout <= 0:
            raise LocalError("a NAT that forgets at once", "give timeouts above zero")
        if not 1 <= self.max_mappings <= MAX_MAPPINGS:
            raise LocalError(f"a NAT with {self.max_mappings} mappings", f"give 1 to {MAX_MAPPINGS}")


_INDEPENDENT, _ADDRESS, _PORT = Behaviour
KINDS = {
    "full-cone": NatConfig(_INDEPENDENT, _INDEPENDENT),
    "address-restricted": NatConfig(_INDEPENDENT, _ADDRESS),
    "port-restricted": NatConfig(_INDEPENDENT, _PORT),
    "symmetric": NatConfig(_PORT, _PORT),
}


def nat_kind(name: str) -> NatConfig:
    """Raises LocalError for a name that is none."""
    if name not in KINDS:
        raise LocalError(f"no NAT is called {name!r}", f"choose one of {', '.join(KINDS)}")
    return KINDS[name]


class Translated(NamedTuple):
    """A packet as it goes on. `hairpinned`: it came from inside and goes inside again."""

    source: Address
    target: Address
    hairpinned: bool = False


_Key = tuple[
    int, Address, Address | None
]  # protocol, inside endpoint, what the mapping sees of the remote one


@dataclass
class _Mapping:
    protocol: int
    inside: Address
    outside: Address
    expires_at: float
    remotes: dict[Address | None, float] = field(default_factory=dict)  # what the filter sees, until when

    def allow(self, seen: Address | None, until: float) -> None:
        """The newest is the last; the oldest makes room."""
        self.remotes.pop(seen, None)
        if len(self.remotes) >= MAX_REMOTES:
            del self.remotes[next(iter(self.remotes))]
        self.remotes[seen] = until


class Nat:
    """One translator with one outside address; `outside` None: a filter. `refused`: packets from outside that were
    not let in, `full`: those from inside for which there was no room."""

    def __init__(self, config: NatConfig, entropy: Entropy, outside: str | None) -> None:
        self.config = config
        self.outside = outside
        self.refused = 0
        self.full = 0
        self._entropy = entropy
        self._mappings: dict[_Key, _Mapping] = {}
        self._by_outside: dict[tuple[int, Address], _Mapping] = {}
        self._left: set[tuple[int, Address, int]] = (
            set()
        )  # ports from before the last rebinding, not to be had again

    @property
    def size(self) -> int:
        """Mappings, with those that have expired and were not asked for since."""
        return len(self._mappings)

    def outbound(self, protocol: int, source: Address, target: Address, now: float) -> Translated | None:
        """A packet from inside; None: dropped."""
        mapping = self._mapping_for(protocol, source, target, now)
        if mapping is None:
            self.full += 1
            return None
        until = now + self._timeout(protocol)
        mapping.expires_at = until
        mapping.allow(self.config.filtering.part(target), until)
        if self.outside is not None and target.host == self.outside:
            return self._hairpinned(protocol, mapping.outside, target, now)
        return Translated(mapping.outside, target)

    def inbound(self, protocol: int, source: Address, target: Address, now: float) -> Translated | None:
        """A packet from outside; None: refused."""
        mapping = self._known(protocol, target, now)
        seen = self.config.filtering.part(source)
        if mapping is None or mapping.remotes.get(seen, 0.0) <= now:
            self.refused += 1
            return None
        if self.config.inbound_refresh:
            mapping.expires_at = mapping.remotes[seen] = now + self._timeout(protocol)
        return Translated(source, mapping.inside)

    def inside_of(self, protocol: int, outside: Address, now: float) -> Address | None:
        """Who inside has this outside endpoint: for an ICMP error that quotes what he sent. No filter looks at it and
        nothing is kept longer for it (RFC 5508 section 4.2)."""
        mapping = self._known(protocol, outside, now)
        return mapping.inside if mapping else None

    def outside_of(self, protocol: int, inside: Address, remote: Address, now: float) -> Address | None:
        """As whom the remote endpoint knows the inside one: for an ICMP error that goes out."""
        mapping = self._mappings.get(self._key(protocol, inside, remote))
        return mapping.outside if mapping and mapping.expires_at > now else None

    def rebind(self) -> None:
        """Forget everything, as after a restart. An inside endpoint that sends again gets another outside port than
        it had; nothing is let in before."""
        self._left = {(m.protocol, m.inside, m.outside.port) for m in self._mappings.values()}
        self._mappings.clear()
        self._by_outside.clear()

    def _timeout(self, protocol: int) -> float:
        return self.config.tcp_timeout if protocol == TCP else self.config.timeout

    def _known(self, protocol: int, outside: Address, now: float) -> _Mapping | None:
        mapping = self._by_outside.get((protocol, outside))
        return mapping if mapping is not None and mapping.expires_at > now else None

    def _hairpinned(self, protocol: int, source: Address, target: Address, now: float) -> Translated | None:
        """External source address and port (RFC 4787 REQ-9a), through the filter like what comes from outside."""
        if not self.config.hairpinning:
            self.refused += 1
            return None
        received = self.inbound(protocol, source, target, now)
        return received._replace(hairpinned=True) if received else None

    def _key(self, protocol: int, inside: Address, remote: Address) -> _Key:
        """A filter has one entry for each inside endpoint: it translates nothing that the remote one could change."""
        return (protocol, inside, self.config.mapping.part(remote) if self.outside is not None else None)

    def _mapping_for(self, protocol: int, inside: Address, remote: Address, now: float) -> _Mapping | None:
        key = self._key(protocol, inside, remote)
        mapping = self._mappings.get(key)
        if mapping is not None and mapping.expires_at > now:
            return mapping
        if mapping is not None:
            self._forget(key)
        if len(self._mappings) >= self.config.max_mappings:
            self._forget_expired(now)
            if len(self._mappings) >= self.config.max_mappings:
                return None
        outside = self._free_endpoint(protocol, inside)
        made = _Mapping(protocol, inside, outside, 0.0)
        self._mappings[key] = self._by_outside[protocol, outside] = made
        return made

    def _forget(self, key: _Key) -> None:
        mapping = self._mappings.pop(key)
        del self._by_outside[mapping.protocol, mapping.outside]

    def _forget_expired(self, now: float) -> None:
        for key in [key for key, mapping in self._mappings.items() if mapping.expires_at <= now]:
            self._forget(key)

    def _free_endpoint(self, protocol: int, inside: Address) -> Address:
        """A port that no other mapping has (REQ-3), odd or even as the inside one is (REQ-4)."""
        if self.outside is None:
            return inside
        for port in self._ports(inside.port % 2):
            outside = Address(self.outside, port)
            if (protocol, outside) not in self._by_outside and (protocol, inside, port) not in self._left:
                return outside
        raise AssertionError("max_mappings leaves ports free")

    def _ports(self, parity: int) -> Iterator[int]:
        count = (65536 - FIRST_PORT) // 2
        for _ in range(_TRIES):
            yield FIRST_PORT + 2 * number(self._entropy, count) + parity
        yield from range(FIRST_PORT + parity, 65536, 2)
