"""Where a SIP URI is served (RFC 3263 section 4): NAPTR, SRV, then addresses; several places, in the order to try.

A machine: `questions()` gives what to ask DNS, `receive` takes the answers, and `places` is set when all is known.
Which resolver is asked, and over which network, is its owner's business.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from segue.base.address import Address
from segue.base.entropy import Entropy, number
from segue.protocols.sip.response_route import DEFAULT_PORTS
from segue.protocols.sip.uri import SipUri

# Service fields of NAPTR (RFC 3263 section 4.1) and labels of SRV (section 4.2), by transport.
_SERVICES = {"SIPS+D2T": "TLS", "SIP+D2T": "TCP", "SIP+D2U": "UDP"}
_LABELS = {"TLS": "_sips._tcp", "TCP": "_sip._tcp", "UDP": "_sip._udp"}
PLACES = 16  # how many are kept


class Question(NamedTuple):
    """`kind` is "NAPTR", "SRV", "A" or "AAAA"."""

    name: str
    kind: str


class Naptr(NamedTuple):
    order: int
    preference: int
    flags: str
    service: str
    replacement: str


class Srv(NamedTuple):
    priority: int
    weight: int
    port: int
    target: str


Answer = Naptr | Srv | str
"""An address as text, or one of the two records."""


class Place(NamedTuple):
    transport: str
    address: Address


@dataclass
class _Target:
    """A host to find addresses of; `port` and `transport` are known."""

    transport: str
    host: str
    port: int


class Location:
    """The search for one URI. `transports`: those we can and may use, most wanted first. `families`: 4 and 6, most
    wanted first."""

    def __init__(
        self,
        uri: SipUri,
        entropy: Entropy,
        *,
        transports: tuple[str, ...] = ("TLS", "TCP", "UDP"),
        families: tuple[int, ...] = (6, 4),
    ) -> None:
        self._entropy = entropy
        self._families = families
        self._asked: set[Question] = set()
        self._waiting: set[Question] = set()
        self._new: list[Question] = []
        self._targets: list[_Target] = []
        self._addresses: dict[str, list[Address]] = {}
        self._services: dict[str, list[Srv]] = {}
        self._service_order: list[tuple[str, str]] = []  # SRV name, transport
        self.places: list[Place] | None = None
        """None while questions are open; then in the order to try, empty when there is nobody."""
        wanted = (uri.params.get("transport") or "").upper()
        secure = uri.secure or wanted == "TLS"
        self._transports = tuple(
            t for t in transports if (t == "TLS") >= secure and (secure or not wanted or t == wanted)
        )
        self._host = uri.params.get("maddr") or uri.host
        self._start(uri)

    def _start(self, uri: SipUri) -> None:
        if not self._transports:
            self.places = []
        elif uri.is_numeric or uri.port is not None:
            # Section 4.1: an address, or a port that is given, asks for nothing but addresses.
            for transport in self._transports:
                port = uri.port if uri.port is not None else DEFAULT_PORTS[transport]
                self._targets.append(_Target(transport, self._host, port))
            self._ask_addresses()
        else:
            self._ask(Question(self._host, "NAPTR"))

    def questions(self) -> list[Question]:
        questions, self._new = self._new, []
        return questions

    def receive(self, question: Question, answers: list[Answer]) -> None:
        """What DNS said; empty when there is no such record or nobody answered."""
        if question not in self._waiting:
            return
        self._waiting.discard(question)
        if question.kind == "NAPTR":
            self._receive_naptr([a for a in answers if isinstance(a, Naptr)])
        elif question.kind == "SRV":
            self._services[question.name] = [a for a in answers if isinstance(a, Srv) and a.target != "."]
        else:
            found = self._addresses.setdefault(question.name, [])
            found += [Address(a, 0) for a in answers if isinstance(a, str)][:PLACES]
        if not self._waiting:
            self._settle()

    def _ask(self, question: Question) -> None:
        if question not in self._asked and len(self._asked) < 4 * PLACES:
            self._asked.add(question)
            self._waiting.add(question)
            self._new.append(question)

    def _receive_naptr(self, records: list[Naptr]) -> None:
        """Our choice among the services offered; when there are none, each of our transports may have SRV."""
        known = [r for r in records if _SERVICES.get(r.service.upper()) in self._transports]
        known.sort(key=lambda r: (r.order, r.preference))
        for record in known[:PLACES]:
            if record.flags.lower() == "s":
                name = record.replacement.rstrip(".").lower()
                self._service_order.append((name, _SERVICES[record.service.upper()]))
        if not self._service_order:
            self._service_order = [(f"{_LABELS[t]}.{self._host}", t) for t in self._transports]
        for name, _ in self._service_order:
            self._ask(Question(name, "SRV"))

    def _settle(self) -> None:
        if not self._targets:
            for name, transport in self._service_order:
                for record in self._ordered(self._services.get(name, [])):
                    target = record.target.rstrip(".").lower()
                    self._targets.append(_Target(transport, target, record.port))
            if not self._targets:
                # Section 4.2: no SRV at all, then the domain's own addresses at the default port.
                self._targets = [_Target(t, self._host, DEFAULT_PORTS[t]) for t in self._transports]
            self._ask_addresses()
            if self._waiting:
                return
        self.places = [
            Place(target.transport, Address(address.host, target.port))
            for target in self._targets
            for address in self._by_family(self._addresses.get(target.host, []))
        ][:PLACES]

    def _ask_addresses(self) -> None:
        del self._targets[PLACES:]
        for target in self._targets:
            if _is_numeric(target.host):
                self._addresses[target.host] = [Address(target.host, 0)]
                continue
            for family in self._families:
                self._ask(Question(target.host, "AAAA" if family == 6 else "A"))
        if not self._waiting:
            self._settle()

    def _by_family(self, addresses: list[Address]) -> list[Address]:
        return [address for family in self._families for address in addresses if address.family == family]

    def _ordered(self, records: list[Srv]) -> list[Srv]:
        """By priority; within one, drawn by weight (RFC 2782)."""
        ordered: list[Srv] = []
        for priority in sorted({record.priority for record in records}):
            left = sorted((r for r in records if r.priority == priority), key=lambda r: r.weight)
            while left:
                pick = number(self._entropy, sum(r.weight for r in left) + 1)
                running = 0
                for record in left:
                    running += record.weight
                    if running >= pick:
                        break
                left.remove(record)
                ordered.append(record)
        return ordered


def _is_numeric(host: str) -> bool:
    return ":" in host or host.replace(".", "").isdigit()
