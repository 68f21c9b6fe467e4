"""Two phones in virtual time: the real user agents and packet paths, over a seeded wire in place of sockets.

What stands between them carries each SIP message of one phone to the newest flow of the other, as a proxy would,
and each media packet to the port with its address. Nothing sleeps.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from segue.base.address import Address
from segue.base.errors import RemoteError
from segue.base.frame import Frame
from segue.base.trace import MemoryTrace
from segue.call import events as say
from segue.call.call import Call, CallState
from segue.call.flows import CloseWanted, LocateWanted, OpenWanted, Origin, Server
from segue.call.path import LocalPort
from segue.mobility.observation import AddressFact, LinkFact, RouteFact
from segue.phone.config import PhoneConfig
from segue.phone.user_agent import UserAgent
from segue.protocols.sip.flow import Flow
from segue.protocols.sip.parser import parse_message
from segue.testing.entropy import SeededEntropy
from segue.testing.wire import Wire

PERIOD = 0.02
PROXY = Address("192.0.2.250", 5061)


class PhonePorts:
    """Media ports of a phone, as numbers on the wire."""

    def __init__(self, hosts: Callable[[int], tuple[str, str] | None]) -> None:
        self._hosts = hosts
        self._next = 20000
        self.open_ports: set[LocalPort] = set()

    def open(self, interface: str, host: str) -> LocalPort:
        self._next += 2
        port = LocalPort(interface, Address(host, self._next))
        self.open_ports.add(port)
        return port

    def close(self, port: LocalPort) -> None:
        self.open_ports.discard(port)

    def host(self, family: int) -> tuple[str, str] | None:
        return self._hosts(family)


@dataclass
class Heard:
    """What came out of a phone's loudspeaker: when, and how loud (root mean square of 20 ms)."""

    at: float
    level: float


class TestPhone:
    """A user agent, what it said (`events`), what it heard, and the flows it has."""

    __test__ = False  # for pytest

    def __init__(self, name: str, config: PhoneConfig, street: Street) -> None:
        self.name = name
        self.trace = MemoryTrace()
        self.ports = PhonePorts(self._host)
        self.agent = UserAgent(config, self.ports, SeededEntropy(f"{street.seed}/{name}"), trace=self.trace)
        self.events: list[say.CallEvent] = []
        self.heard: list[Heard] = []
        self.flows: list[Flow] = []
        self.sent_media: list[tuple[float, bytes]] = []
        self.level = 8000
        self._street = street
        self._serial = 0
        self._phase = 0

    def _host(self, family: int) -> tuple[str, str] | None:
        found = [a for a in self.agent.attachments() if a.family == family]
        return (found[0].interface, found[0].address) if found else None

    # What happens to its networks

    def join(self, interface: str, address: str, metric: int = 100) -> None:
        """A carrier, an address and a default route appear."""
        family = 6 if ":" in address else 4
        self.fact(
            LinkFact(interface, True),
            AddressFact(interface, address, True),
            RouteFact(interface, family, "router", metric),
        )

    def leave(self, interface: str) -> None:
        """The carrier goes; address and route stay, as they do."""
        self.fact(LinkFact(interface, False))
        self._street.wire.cut((self.name, interface))

    def fact(self, *facts: Any) -> None:
        for fact in facts:
            self.agent.receive_fact(fact, self._street.now)
            if isinstance(fact, LinkFact) and fact.carrier:
                self._street.wire.mend((self.name, fact.interface))
        self.agent.settle(self._street.now)
        self._street.drain()

    # For assertions

    @property
    def call(self) -> Call:
        return next(iter(self.agent.calls.values()))

    def said(self, kind: type) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def is_up(self) -> bool:
        return any(call.state is CallState.UP for call in self.agent.calls.values())

    # Carried by the street

    def carry_out(self, now: float) -> bool:
        wishes = self.agent.flow_wishes()
        for wish in wishes:
            if isinstance(wish, LocateWanted):
                self.agent.located(wish.origin, [self._street.server(wish.origin)], now)
            elif isinstance(wish, OpenWanted):
                self._street.later(self._street.connect_time, lambda w=wish: self._opened(w))
            elif isinstance(wish, CloseWanted) and wish.flow in self.flows:
                self.flows.remove(wish.flow)
        return bool(wishes)

    def _opened(self, wish: OpenWanted) -> None:
        self._serial += 1
        origin = wish.origin
        flow = Flow(
            wish.server.transport,
            Address(origin.host, 30000 + self._serial),
            wish.server.address,
            origin.interface,
            self._serial,
            wish.server.name,
        )
        self.flows.append(flow)
        self.agent.opened(origin, flow, self._street.now)

    def tick(self, now: float) -> None:
        """20 ms of sound in both directions."""
        for call in self.agent.calls.values():
            session = call.media.session
            if not call.sounds:
                continue
            packet = session.send(self._tone(session.rate), now)
            path = call.media.paths.active
            if packet is not None and path is not None:
                self.sent_media.append((now, packet))
                self._street.send_media(self, path.interface, path.remote, packet)
            frame = session.play(now)
            if frame is not None:
                level = float(np.sqrt(np.mean(frame.samples.astype(np.float64) ** 2)))
                self.heard.append(Heard(now, level))

    def _tone(self, rate: int) -> Frame:
        count = rate // 50
        times = (self._phase + np.arange(count)) / rate
        self._phase += count
        samples = (self.level * np.sin(2 * np.pi * 500 * times)).astype(np.int16)
        return Frame(samples, rate)

    def receive_media(self, address: Address, packet: bytes, now: float) -> None:
        port = next((p for p in self.ports.open_ports if p.address == address), None)
        for call in self.agent.calls.values():
            if (
                port in call.media.paths.ports
                and port is not None
                and call.media.session.receive(packet, now)
            ):
                call.media.paths.received(port, now)


class Street:
    """Two phones and all between them; `run` lets time pass."""

    def __init__(
        self,
        first: PhoneConfig,
        second: PhoneConfig,
        *,
        seed: int = 1,
        delay: float = 0.02,
        loss: float = 0.0,
        jitter: float = 0.0,
        transport: str = "TLS",
    ) -> None:
        self.seed = seed
        self.now = 1000.0
        self.transport = transport
        self.connect_time = 4 * delay if transport == "TLS" else 0.0
        self.wire: Wire[tuple[str, Any]] = Wire(seed, delay=delay, loss=loss, jitter=jitter)
        self.phones = (TestPhone("first", first, self), TestPhone("second", second, self))
        self._later: list[tuple[float, Callable[[], None]]] = []
        self._next_tick = self.now

    def server(self, origin: Origin) -> Server:
        host = "2001:db8::250" if ":" in origin.host else PROXY.host
        return Server(self.transport, Address(host, PROXY.port), "example.org")

    def later(self, seconds: float, action: Callable[[], None]) -> None:
        self._later.append((self.now + seconds, action))

    def run(self, seconds: float, until: Callable[[], bool] | None = None) -> None:
        """Let time pass; stops early when `until` holds."""
        end = self.now + seconds
        self.drain()
        while self.now < end and not (until and until()):
            self.now = min(end, max(self.now, self._deadline(end)))
            self._due()
            self.drain()

    def drain(self) -> None:
        """What the phones have to say goes onto the wire."""
        busy = True
        while busy:
            busy = False
            for phone in self.phones:
                busy = phone.carry_out(self.now) or busy
                for flow, octets in phone.agent.transmits():
                    busy = True
                    self._send_sip(phone, flow, octets)
                phone.events += (said := phone.agent.events())
                busy = busy or bool(said)
                self._forget_ended(phone)

    def _forget_ended(self, phone: TestPhone) -> None:
        for call in list(phone.agent.calls.values()):
            if call.state is CallState.ENDED:
                phone.agent.forget(call.id)

    def _deadline(self, end: float) -> float:
        deadlines = [self._next_tick, self.wire.deadline(), end]
        deadlines += [at for at, _ in self._later]
        deadlines += [phone.agent.deadline() for phone in self.phones]
        return min(at for at in deadlines if at is not None)

    def _due(self) -> None:
        now = self.now
        for entry in [entry for entry in self._later if entry[0] <= now]:
            self._later.remove(entry)
            entry[1]()
        for arrival in self.wire.arrivals(now):
            self._arrive(arrival.target, *arrival.load)
        if now >= self._next_tick:
            self._next_tick += PERIOD
            for phone in self.phones:
                phone.tick(now)
        for phone in self.phones:
            deadline = phone.agent.deadline()
            if deadline is not None and deadline <= now:
                phone.agent.expire(now)

    def other(self, phone: TestPhone) -> TestPhone:
        return self.phones[1] if phone is self.phones[0] else self.phones[0]

    def _send_sip(self, phone: TestPhone, flow: Flow, octets: bytes) -> None:
        """To the other phone's newest flow, whatever that is when the message arrives."""
        self.wire.send((phone.name, flow.interface), self.other(phone).name, ("sip", octets), self.now)

    def send_media(self, phone: TestPhone, interface: str, remote: Address, packet: bytes) -> None:
        self.wire.send((phone.name, interface), self.other(phone).name, ("media", (remote, packet)), self.now)

    def _arrive(self, target: Any, kind: str, load: Any) -> None:
        phone = next(p for p in self.phones if p.name == target)
        if kind == "media":
            address, packet = load
            port = next((p for p in phone.ports.open_ports if p.address == address), None)
            if port is not None and (phone.name, port.interface) not in self.wire.cut_ends:
                phone.receive_media(address, packet, self.now)
            return
        alive = [flow for flow in phone.flows if (phone.name, flow.interface) not in self.wire.cut_ends]
        if alive:
            try:
                phone.agent.receive(parse_message(load), alive[-1], self.now)
            except RemoteError:
                return
