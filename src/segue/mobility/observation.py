"""Facts about networks, gathered into one picture. Detecting is all that happens here.

A lost carrier leaves addresses and default routes in place, and sending raises no error: the link event is
the fact (design decision 8). So an attachment is usable only while its carrier is there.

When a carrier comes back it may be another network's, on which the old address is worth nothing. Such an
address is doubtful until the kernel speaks of it again (the attachment agent or a router advertisement
confirmed it, RFC 6059) or DOUBT has passed without a word (a cable plugged back into the same switch).
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from typing import NamedTuple

from segue.base.machine import earliest

ROUTELESS = (
    0.1  # seconds without a default route after which an address is worth nothing: some replace it in steps
)
TREND = 1.0  # seconds of reports that make the trend of a signal
DOUBT = 1.0  # seconds; longer than a router advertisement or a lease takes on any access link we know


class Attachment(NamedTuple):
    """A way into the Internet that can carry a call now: an interface with an address and a router."""

    interface: str
    family: int  # 4 or 6
    address: str
    router: str  # empty on a link without one (point to point)
    metric: int  # of its default route; lower is preferred


@dataclass(frozen=True)
class LinkFact:
    """An interface as the kernel reports it. `present` is false when it has gone altogether."""

    interface: str
    carrier: bool
    present: bool = True


@dataclass(frozen=True)
class AddressFact:
    """`usable` is false while duplicate address detection holds the address back (RFC 4862 section 5.4)
    or after it failed; an optimistic address is usable (RFC 4429 section 3.3)."""

    interface: str
    address: str
    usable: bool
    present: bool = True
    deprecated: bool = False


@dataclass(frozen=True)
class RouteFact:
    """A default route."""

    interface: str
    family: int
    router: str
    metric: int
    present: bool = True


@dataclass(frozen=True)
class SignalFact:
    """What the radio's driver measured; `dbm` None when the station is not associated."""

    interface: str
    dbm: float | None
    network: str = ""  # SSID or operator, where known


@dataclass(frozen=True)
class MediaFact:
    """Nothing of the peer's comes over the interface though it is known to send (`mobility.silence`), or something
    does again."""

    interface: str
    silent: bool


@dataclass(frozen=True)
class AnswerFact:
    """Whether somebody out there, our server or the peer, has answered a check that left by this address."""

    interface: str
    address: str
    answered: bool


@dataclass(frozen=True)
class SpeechFact:
    """Whether somebody speaks in the call, at either end: an expected move had better wait for a pause."""

    speaks: bool


@dataclass(frozen=True)
class SleepFact:
    """The machine has slept: what is known of the ways to servers and of what they remember is old."""


NetworkFact = LinkFact | AddressFact | RouteFact | SignalFact
CallFact = MediaFact | AnswerFact | SpeechFact | SleepFact
Fact = NetworkFact | CallFact


@dataclass
class _Interface:
    carrier: bool = False
    addresses: dict[str, AddressFact] = field(default_factory=dict)  # newest last
    routes: dict[tuple[int, str], RouteFact] = field(default_factory=dict)
    signal: float | None = None
    network: str = ""
    doubtful: set[str] = field(default_factory=set)
    doubt_ends: float | None = None
    signals: list[tuple[float, float]] = field(default_factory=list)  # when, dBm: those of TREND
    routeless: dict[int, float] = field(
        default_factory=dict
    )  # family, and from when on it counts as without a route


class Observation:
    """The picture that facts draw. `ignore` names interfaces that never carry a call (loopback); with `only` no
    others do; `family` 4 or 6: nothing of the other one is used."""

    def __init__(
        self,
        ignore: frozenset[str] = frozenset({"lo"}),
        only: frozenset[str] = frozenset(),
        family: int | None = None,
    ) -> None:
        self._ignore = ignore
        self._only = only
        self._families = (6, 4) if family is None else (family,)
        self._interfaces: dict[str, _Interface] = {}
        self._expired_at = 0.0

    def receive(self, fact: NetworkFact, now: float) -> None:
        """Take one fact."""
        if fact.interface in self._ignore or (self._only and fact.interface not in self._only):
            return
        if isinstance(fact, LinkFact) and not fact.present:
            self._interfaces.pop(fact.interface, None)
            return
        interface = self._interfaces.setdefault(fact.interface, _Interface())
        if isinstance(fact, LinkFact):
            _receive_link(interface, fact, now)
        elif isinstance(fact, AddressFact):
            _receive_address(interface, fact)
        elif isinstance(fact, RouteFact):
            _receive_route(interface, fact, now)
        else:
            _receive_signal(interface, fact, now)

    def deadline(self) -> float | None:
        doubts = (interface.doubt_ends for interface in self._interfaces.values())
        routes = (at for interface in self._interfaces.values() for at in interface.routeless.values())
        return earliest(*doubts, *(at for at in routes if at > self._expired_at))

    def expire(self, now: float) -> None:
        """End the doubts that nothing confirmed."""
        self._expired_at = max(self._expired_at, now)
        for interface in self._interfaces.values():
            if interface.doubt_ends is not None and interface.doubt_ends <= now:
                interface.doubtful.clear()
                interface.doubt_ends = None

    def holds(self, attachment: Attachment) -> bool:
        """Whether the attachment's own address can still be used, be it the interface's best or not."""
        interface = self._interfaces.get(attachment.interface)
        if interface is None or not interface.carrier or attachment.address in interface.doubtful:
            return False
        if self._expired_at >= interface.routeless.get(attachment.family, float("inf")):
            return False
        fact = interface.addresses.get(attachment.address)
        return fact is not None and fact.usable and not fact.deprecated

    def usable(self) -> list[Attachment]:
        """What can carry a call, preferred first (metric, then IPv6 before IPv4, RFC 6724)."""
        found: list[Attachment] = []
        for name, interface in self._interfaces.items():
            if interface.carrier:
                found += _attachments(name, interface, self._families, name in self._only)
        return sorted(found, key=lambda a: (a.metric, -a.family))

    def carrier(self, interface: str) -> bool:
        known = self._interfaces.get(interface)
        return known is not None and known.carrier

    def signal(self, interface: str) -> float | None:
        """dBm, or None when the interface has no radio or its driver says nothing."""
        known = self._interfaces.get(interface)
        return known.signal if known else None

    def trend(self, interface: str) -> float:
        """dB a second by which the signal changes; 0 when not known."""
        known = self._interfaces.get(interface)
        if known is None or len(known.signals) < 3:
            return 0.0
        (begin, first), (end, last) = known.signals[0], known.signals[-1]
        return (last - first) / (end - begin) if end > begin else 0.0

    def network(self, interface: str) -> str:
        """SSID or operator of the interface, empty when unknown."""
        known = self._interfaces.get(interface)
        return known.network if known else ""


def _receive_link(interface: _Interface, fact: LinkFact, now: float) -> None:
    if fact.carrier and not interface.carrier and interface.addresses:
        interface.doubtful = set(interface.addresses)
        interface.doubt_ends = now + DOUBT
    interface.carrier = fact.carrier


def _receive_address(interface: _Interface, fact: AddressFact) -> None:
    interface.addresses.pop(fact.address, None)
    interface.doubtful.discard(fact.address)
    if fact.present:
        interface.addresses[fact.address] = fact


def _receive_route(interface: _Interface, fact: RouteFact, now: float) -> None:
    key = (fact.family, fact.router)
    known = interface.routes.pop(key, None)
    if fact.present:
        interface.routes[key] = fact
        interface.routeless.pop(fact.family, None)
    elif known is not None and all(route.family != fact.family for route in interface.routes.values()):
        interface.routeless[fact.family] = now + ROUTELESS


def _receive_signal(interface: _Interface, fact: SignalFact, now: float) -> None:
    interface.signal, interface.network = fact.dbm, fact.network
    if fact.dbm is None:
        interface.signals.clear()
        return
    interface.signals = [(at, dbm) for at, dbm in interface.signals if at > now - TREND]
    interface.signals.append((now, fact.dbm))


def _attachments(
    name: str, interface: _Interface, families: tuple[int, ...], by_name: bool
) -> list[Attachment]:
    """Loopback, where it was asked for by name, is a network that needs no route: phones on one machine."""
    found = []
    alone = by_name and name == "lo"
    for family in families:
        address = _best_address(interface, family, alone)
        routes = [route for route in interface.routes.values() if route.family == family]
        if alone and not routes:
            routes = [RouteFact(name, family, "", 0)]
        if address and routes:
            best = min(routes, key=lambda route: route.metric)
            found.append(Attachment(name, family, address, best.router, best.metric))
    return found


def _best_address(interface: _Interface, family: int, alone: bool) -> str:
    """The newest global address that is neither held back nor deprecated; deprecated only when alone."""
    usable = [
        fact
        for fact in interface.addresses.values()
        if fact.usable
        and fact.address not in interface.doubtful
        and _family(fact.address) == family
        and (alone or _reaches_beyond_link(fact.address))
    ]
    fresh = [fact for fact in usable if not fact.deprecated] or usable
    return fresh[-1].address if fresh else ""


def _family(address: str) -> int:
    return 6 if ":" in address else 4


def _reaches_beyond_link(address: str) -> bool:
    parsed = ipaddress.ip_address(address)
    return not (parsed.is_link_local or parsed.is_loopback or parsed.is_multicast)
