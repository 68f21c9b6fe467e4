"""Our candidates and the peer's: priorities, foundations, redundancy (RFC 8445 sections 5.1.1.3 to 5.1.3, RFC
8421)."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from functools import lru_cache

from segue.base.address import Address, LocalPort
from segue.base.errors import LocalError
from segue.base.ice_description import Candidate, CandidateType
from segue.protocols.ice.limits import CANDIDATES, PEER_REFLEXIVE, PORTS, SERVERS

TYPE_PREFERENCE = {  # RFC 8445 section 5.1.2.2
    CandidateType.HOST: 126,
    CandidateType.PEER_REFLEXIVE: 110,
    CandidateType.SERVER_REFLEXIVE: 100,
    CandidateType.RELAYED: 0,
}
HIGHEST_PREFERENCE = 63  # of an interface
_SLOTS = 128  # addresses of one interface preference


def priority_of(kind: CandidateType, local_preference: int, component: int) -> int:
    """RFC 8445 section 5.1.2.1."""
    return TYPE_PREFERENCE[kind] << 24 | local_preference << 8 | 256 - component


def local_preference(interface: int, family: int, index: int, server: int = 0) -> int:
    """Greater is better. An interface that is preferred comes before all others; on one level, IPv6 and IPv4
    addresses take turns, IPv6 first (RFC 8421 section 4). `index` counts the addresses of this family on this
    level, `server` the STUN servers that were asked from one base: each candidate of a type has a preference of
    its own."""
    slot = min(2 * index + (family == 4), _SLOTS - 1)
    return min(interface, HIGHEST_PREFERENCE) << 10 | (_SLOTS - 1 - slot) << 3 | 7 - min(server, 7)


def pair_priority(controlling: int, controlled: int) -> int:
    """RFC 8445 section 6.1.2.3: of the candidates of the controlling and of the controlled end."""
    low, high = sorted((controlling, controlled))
    return (low << 32) + 2 * high + (controlling > controlled)


@lru_cache(maxsize=1024)
def is_link_local(host: str) -> bool:
    return ":" in host and ipaddress.IPv6Address(host).is_link_local


def may_pair(local: Address, remote: Address) -> bool:
    """RFC 8445 section 6.1.2.2."""
    return local.family == remote.family and is_link_local(local.host) == is_link_local(remote.host)


@dataclass(frozen=True, slots=True)
class Base:
    """A port of ours that checks leave from, host or relayed, and its candidate. `reflexive`: what a check's
    PRIORITY says (RFC 8445 section 7.1.1)."""

    port: LocalPort
    candidate: Candidate
    preference: int

    @property
    def component(self) -> int:
        return self.candidate.component

    @property
    def reflexive(self) -> int:
        return priority_of(CandidateType.PEER_REFLEXIVE, self.preference, self.component)


class LocalCandidates:
    """Ours. A base is a `LocalPort`; a server-reflexive or peer-reflexive candidate belongs to one."""

    def __init__(self) -> None:
        self.bases: dict[LocalPort, Base] = {}
        self._reflexive: dict[tuple[LocalPort, Address], Candidate] = {}
        self._foundations: dict[tuple[CandidateType, str, str], str] = {}

    @property
    def all(self) -> tuple[Candidate, ...]:
        """For SDP: without those that checks have shown (the peer knows them), best first."""
        told = [base.candidate for base in self.bases.values()]
        told += [each for each in self._reflexive.values() if each.type is CandidateType.SERVER_REFLEXIVE]
        return tuple(sorted(told, key=lambda each: (-each.priority, each.component)))

    def add_base(
        self,
        port: LocalPort,
        component: int,
        kind: CandidateType,
        *,
        preference: int,
        related: Address | None,
        server: str = "",
    ) -> Base | None:
        """None for one that is known, or that repeats a host candidate (RFC 8445 section 5.1.1.2)."""
        if port in self.bases or any(base.port.address == port.address for base in self.bases.values()):
            return None
        if len(self.bases) >= PORTS:
            raise LocalError(f"more than {PORTS} local ports in one call", "remove those that are gone")
        family = port.address.family
        taken = {base.preference for base in self.bases.values() if self._same_list(base, component, kind)}
        index = 0
        while (value := local_preference(preference, family, index)) in taken and index < _SLOTS:
            index += 1
        foundation = self._foundation(kind, (related or port.address).host, server)
        candidate = Candidate(
            foundation, component, priority_of(kind, value, component), port.address, kind, related
        )
        base = self.bases[port] = Base(port, candidate, value)
        return base

    def prefer(self, port: LocalPort) -> None:
        """New priorities for all, those of `port`'s interface and host (it may have two, for RTP and RTCP) above the
        others. What servers saw has to be asked again."""

        def is_elsewhere(base: Base) -> bool:
            return (base.port.interface, base.port.address.host) != (port.interface, port.address.host)

        before = sorted(self.bases.values(), key=lambda base: (is_elsewhere(base), -base.preference))
        self.bases.clear()
        self._reflexive.clear()
        for base in before:
            told = base.candidate
            self.add_base(
                base.port,
                told.component,
                told.type,
                preference=HIGHEST_PREFERENCE - is_elsewhere(base),
                related=told.related,
                server=base.port.address.host if told.type is CandidateType.RELAYED else "",
            )

    def add_reflexive(
        self, port: LocalPort, mapped: Address, server: str, order: int = 0
    ) -> Candidate | None:
        """What a STUN server saw, from this base; None when it is redundant (RFC 8445 section 5.1.3)."""
        base = self.bases[port]
        if mapped == port.address or (port, mapped) in self._reflexive:
            return None
        kind = CandidateType.SERVER_REFLEXIVE
        value = base.preference - min(order, SERVERS)
        foundation = self._foundation(kind, port.address.host, server)
        candidate = Candidate(
            foundation, base.component, priority_of(kind, value, base.component), mapped, kind, port.address
        )
        self._reflexive[port, mapped] = candidate
        return candidate

    def learn(self, port: LocalPort, mapped: Address) -> None:
        """A peer-reflexive candidate: what the peer saw (RFC 8445 section 7.2.5.3.1). At most a few for each
        base."""
        base = self.bases.get(port)
        if base is None or self.knows(port, mapped):
            return
        kind = CandidateType.PEER_REFLEXIVE
        own = [key for key, each in self._reflexive.items() if key[0] == port and each.type is kind]
        if len(own) >= SERVERS:
            del self._reflexive[own[0]]
        foundation = self._foundation(kind, port.address.host, "")
        self._reflexive[port, mapped] = Candidate(
            foundation, base.component, base.reflexive, mapped, kind, port.address
        )

    def knows(self, port: LocalPort, mapped: Address) -> bool:
        """Whether this address is one under which we know that base."""
        return mapped == port.address or (port, mapped) in self._reflexive

    def remove(self, port: LocalPort) -> None:
        self.bases.pop(port, None)
        for key in [key for key in self._reflexive if key[0] == port]:
            del self._reflexive[key]

    @staticmethod
    def _same_list(base: Base, component: int, kind: CandidateType) -> bool:
        return base.component == component and base.candidate.type is kind

    def _foundation(self, kind: CandidateType, host: str, server: str) -> str:
        """RFC 8445 section 5.1.1.3."""
        return self._foundations.setdefault((kind, host, server), str(len(self._foundations) + 1))


@dataclass(slots=True, eq=False)
class RemoteCandidate:
    """The peer's. `signalled`: protected signalling named it; others were seen as the source of a check."""

    candidate: Candidate
    signalled: bool

    @property
    def address(self) -> Address:
        return self.candidate.address


class RemoteCandidates:
    """The peer's, by component and address; bounded, whatever the peer or a copier of its checks sends."""

    def __init__(self) -> None:
        self._known: dict[tuple[int, Address], RemoteCandidate] = {}
        self._learned = 0

    def get(self, component: int, address: Address) -> RemoteCandidate | None:
        return self._known.get((component, address))

    def of(self, component: int, *, signalled: bool = False) -> list[RemoteCandidate]:
        """Best first."""
        found = [
            each
            for key, each in self._known.items()
            if key[0] == component and (each.signalled or not signalled)
        ]
        return sorted(found, key=lambda each: -each.candidate.priority)

    @property
    def highest_component(self) -> int:
        """Of what was signalled; 1 when nothing was."""
        return max((key[0] for key, each in self._known.items() if each.signalled), default=1)

    def signal(self, candidate: Candidate) -> RemoteCandidate | None:
        """Take one from the peer's description; None when it is known already, or one too many. One that was
        learned keeps its pairs and takes what the peer says of it (RFC 8445 section 7.3.1.3, RFC 8838 section
        11)."""
        key = (candidate.component, candidate.address)
        known = self._known.get(key)
        if known is not None:
            known.candidate, known.signalled = candidate, True
            return None
        if sum(each.signalled for each in self._known.values()) >= CANDIDATES:
            return None
        self._known[key] = RemoteCandidate(candidate, True)
        return self._known[key]

    def learn(
        self, component: int, address: Address, priority: int, kept: frozenset[Address]
    ) -> RemoteCandidate:
        """The source of an authenticated check or of authenticated media (RFC 8445 section 7.3.1.3). `kept`:
        addresses that are in use, and not forgotten for new ones."""
        learned = [key for key, each in self._known.items() if not each.signalled and key[1] not in kept]
        if len(learned) >= PEER_REFLEXIVE:
            del self._known[learned[0]]
        self._learned += 1
        kind = CandidateType.PEER_REFLEXIVE
        candidate = Candidate(f"learned{self._learned}", component, priority, address, kind)
        remote = self._known[component, address] = RemoteCandidate(candidate, False)
        return remote
