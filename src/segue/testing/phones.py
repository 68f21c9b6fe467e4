"""Two phones in virtual time: the real user agents and packet paths, over a seeded wire in place of sockets.

What stands between them carries each SIP request of one phone to the newest flow of the other, as a proxy would,
each response to the flow that its request came on, and each media packet to the port with its address. A stream
(TLS, TCP) delivers in order and repeats what the wire loses; a datagram that is lost is lost. Nothing sleeps.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from segue.base.address import Address, LocalPort, Path
from segue.base.entropy import fraction
from segue.base.errors import LocalError, RemoteError
from segue.base.frame import Frame, Samples
from segue.base.trace import MemoryTrace
from segue.call import events as say
from segue.call.call import Call, CallState
from segue.call.config import MediaConfig
from segue.call.flows import CloseWanted, LocateWanted, OpenWanted, Origin, PingWanted, Server
from segue.mobility.observation import AddressFact, LinkFact, RouteFact, SignalFact
from segue.phone.config import Account, LabOptions, PhoneConfig, Sound
from segue.phone.user_agent import UserAgent
from segue.protocols.sip.flow import Flow
from segue.protocols.sip.message import Request, response_to
from segue.protocols.sip.parser import parse_message
from segue.testing.entropy import SeededEntropy
from segue.testing.wire import Wire

PERIOD = 0.02  # seconds
RESEND = 0.2  # seconds until a stream sends a lost segment again
PATIENCE = 3.0  # seconds after which a connection that nobody answers is given up
PROXY = Address("192.0.2.250", 5061)
AUDIBLE = 500  # root mean square above which a frame counts as heard; the tone has 5,600


def phone_config(
    name: str,
    *,
    silence_limit: float = 30.0,
    sequence: int | None = None,
    register: bool = False,
    **media: Any,
) -> PhoneConfig:
    """A phone at example.org, by itself without registration, and, unless `media` says otherwise, with one quick
    codec."""
    instance = f"urn:uuid:00000000-0000-1000-8000-{name.encode().hex().zfill(12)[-12:]}" if register else ""
    return PhoneConfig(
        Account(f"sip:{name}@example.org", register=register, instance=instance),
        media=MediaConfig(**{"codecs": ("PCMA",), **media}),
        sound=Sound(silence_limit=silence_limit),
        lab=LabOptions(initial_sequence=sequence),
    )


class PhonePorts:
    """Media ports of a phone, as numbers on the wire."""

    def __init__(self, hosts: Callable[[], list[tuple[str, str]]]) -> None:
        self._hosts = hosts
        self._next = 20000
        self.open_ports: set[LocalPort] = set()
        self.refused: set[str] = set()  # interfaces on which none can be opened now

    def open(self, interface: str, host: str) -> LocalPort:
        if interface in self.refused:
            raise LocalError(f"no interface has the address {host}")
        self._next += 2
        port = LocalPort(interface, Address(host, self._next))
        self.open_ports.add(port)
        return port

    def close(self, port: LocalPort) -> None:
        self.open_ports.discard(port)

    def hosts(self) -> list[tuple[str, str]]:
        return self._hosts()

    def stun_servers(self) -> tuple[Address, ...]:
        return ()


@dataclass
class Heard:
    """What came out of a phone's loudspeaker: when, and how loud (root mean square of 20 ms)."""

    at: float
    level: float


class SentMedia(NamedTuple):
    """A packet that a phone sent: when, from where, to where."""

    at: float
    port: LocalPort
    remote: Address
    packet: bytes


class SentMessage(NamedTuple):
    """A SIP message that a phone sent, on which flow."""

    at: float
    sender: str
    flow: Flow
    octets: bytes

    @property
    def start(self) -> str:
        """The start line."""
        return self.octets.partition(b"\r\n")[0].decode()


class TestPhone:
    """A user agent, what it said (`events`), what it heard, and the flows it has."""

    __test__ = False  # for pytest

    def __init__(self, name: str, config: PhoneConfig, street: Street) -> None:
        self.name = name
        self.trace = MemoryTrace()
        self.ports = PhonePorts(self._hosts)
        self.agent = UserAgent(config, self.ports, SeededEntropy(f"{street.seed}/{name}"), trace=self.trace)
        self.events: list[say.CallEvent] = []
        self.heard: list[Heard] = []
        self.flows: list[Flow] = []
        self.sent_media: list[SentMedia] = []
        self.ended_calls: list[Call] = []
        self.level = 8000
        self.speech: Samples | None = (
            None  # what it says from now on, in place of a tone, at the codec's rate
        )
        self.recording: list[Samples] = []  # what it heard since it has had something to say
        self.forgotten = 0  # how often a NAT has forgotten our flows
        self._street = street
        self._serial = 0
        self._phase = 0

    def _hosts(self) -> list[tuple[str, str]]:
        return [(a.interface, a.address) for a in self.agent.attachments()]

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

    def lose_address(self, interface: str) -> None:
        """The kernel takes the addresses away, and with them the routes; the carrier stays."""
        gone = [a for a in self.agent.attachments() if a.interface == interface]
        self.fact(
            *(AddressFact(interface, a.address, False, present=False) for a in gone),
            *(RouteFact(interface, a.family, a.router, a.metric, present=False) for a in gone),
        )
        self._street.wire.cut((self.name, interface))

    def lose_interface(self, interface: str) -> None:
        """It is pulled out."""
        self.fact(LinkFact(interface, False, present=False))
        self._street.wire.cut((self.name, interface))

    def signal(self, interface: str, dbm: float) -> None:
        self.fact(SignalFact(interface, dbm))

    def break_flows(self) -> None:
        """Every signalling connection is reset by the server's side; networks stay."""
        for flow in list(self.flows):
            self.flows.remove(flow)
            origin = Origin(flow.interface, flow.local.host)
            self.agent.failed(origin, flow, "connection reset", self._street.now)
        self._street.drain()

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

    def heard_between(self, begin: float, end: float) -> list[float]:
        """Levels of what was played from `begin` until `end`."""
        return [heard.level for heard in self.heard if begin <= heard.at < end]

    def silence(self, begin: float, end: float) -> float:
        """The longest time without sound that began there, in seconds; what is heard at the edges ends it."""
        longest = run = 0.0
        for level in self.heard_between(begin, end):
            run = 0.0 if level > AUDIBLE else run + PERIOD
            longest = max(longest, run)
        return round(longest, 3)

    def hears(self, seconds: float = 0.2) -> bool:
        """Whether sound came out in the last `seconds`."""
        return any(level > AUDIBLE for level in self.heard_between(self._street.now - seconds, float("inf")))

    # Carried by the street

    def carry_out(self, now: float) -> bool:
        wishes = self.agent.flow_wishes()
        for wish in wishes:
            if isinstance(wish, LocateWanted):
                self.agent.located(wish.origin, [self._street.server(wish.origin)], now)
            elif isinstance(wish, OpenWanted):
                self._street.later(self._street.connect_time, partial(self._opened, wish))
            elif isinstance(wish, CloseWanted) and wish.flow in self.flows:
                self.flows.remove(wish.flow)
            elif isinstance(wish, PingWanted) and (self.name, wish.flow.interface) not in self._street.dead:
                answer = partial(self._pong, wish)
                if wish.transaction:
                    answer = partial(self._bound, wish)
                self._street.later(2 * self._street.wire.delay, answer)
        return bool(wishes)

    def _pong(self, wish: PingWanted) -> None:
        self.agent.pong(wish.flow, self._street.now)

    def _bound(self, wish: PingWanted) -> None:
        """A server that sees our port behind a NAT, which takes another when it is told to forget."""
        mapped = Address("203.0.113.9", 6000 + self.forgotten)
        self.agent.bound(wish.flow, wish.transaction, mapped, self._street.now)

    def _opened(self, wish: OpenWanted) -> None:
        if self._street.transport != "UDP" and (self.name, wish.origin.interface) in self._street.dead:
            self._street.later(PATIENCE, partial(self._gave_up, wish))
            return
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

    def _gave_up(self, wish: OpenWanted) -> None:
        self.agent.failed(wish.origin, None, "nobody answers", self._street.now)

    def tick(self, now: float) -> None:
        """20 ms of sound in both directions."""
        for call in self.agent.calls.values():
            session = call.media.session
            self.send_handshakes(call)
            if not call.sounds:
                continue
            made = session.send(self._tone(session.rate), now)
            leaving = [] if made is None else [(path, made) for path in call.media.ways(len(made), now)]
            for path, packet in leaving + call.media.late(now):
                self.sent_media.append(SentMedia(now, path.port, path.remote, packet))
                self._street.send_media(self, path, packet)
            for octets in session.transmits():
                for path in call.media.report_ways():
                    self._street.send_media(self, path, octets)
            frame = session.play(now)
            if frame is not None:
                if self.speech is not None:
                    self.recording.append(frame.samples)
                level = float(np.sqrt(np.mean(frame.samples.astype(np.float64) ** 2)))
                self.heard.append(Heard(now, level))

    def send_handshakes(self, call: Call) -> None:
        """What the key agreement says on the media path."""
        for path, octets in call.media.transmits():
            self._street.send_media(self, path, octets)

    def _tone(self, rate: int) -> Frame:
        count = rate // 50
        if self.speech is not None:
            said, self.speech = self.speech[:count], self.speech[count:]
            return Frame(said, rate)
        times = (self._phase + np.arange(count)) / rate
        self._phase += count
        samples = (self.level * np.sin(2 * np.pi * 500 * times)).astype(np.int16)
        return Frame(samples, rate)

    def receive_media(self, address: Address, packet: bytes, now: float, source: Address = PROXY) -> None:
        port = next((p for p in self.ports.open_ports if _takes(p, address)), None)
        if port is None:
            return
        for call in self.agent.calls.values():
            if port in call.media.paths.ports:
                call.media.receive(packet, Path(port.interface, address, source), now)
                if call.media.has_news():
                    self.agent.settle(now)
                    self.send_handshakes(call)


def _takes(port: LocalPort, address: Address) -> bool:
    """A port takes RTP, and RTCP on the next one."""
    return port.address.host == address.host and address.port - port.address.port in (0, 1)


_BRANCH = re.compile(rb"branch=([^;,\s]+)")
_METHOD = re.compile(rb"\r\nCSeq:\s*\d+\s+(\w+)", re.IGNORECASE)


def _transaction(octets: bytes) -> tuple[bytes, bytes]:
    """What a response has in common with its request: the branch and the method."""
    branch, method = _BRANCH.search(octets), _METHOD.search(octets)
    return (branch.group(1) if branch else b"", method.group(1) if method else b"")


class Street:
    """Two phones and all between them; `run` lets time pass. `messages`: every SIP message that was sent.

    `dead`: networks, as (phone's name, interface), that have a carrier and carry nothing. `muted`: names of phones
    whose media never arrives. `registrar`: whether REGISTER is answered. `alter` may change the SIP messages of a
    phone, whose name it is given. `streams`: whether a server that is reached by datagrams takes streams too.
    """

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
        self.phones: tuple[TestPhone, ...] = (
            TestPhone("first", first, self),
            TestPhone("second", second, self),
        )
        self.messages: list[SentMessage] = []
        self.dead: set[tuple[str, str]] = set()
        self.muted: set[str] = set()
        self.registrar = True
        self.streams = True
        self.alter: Callable[[str, bytes], bytes] | None = None
        self._came_on: dict[tuple[str, bytes, bytes], Flow] = {}
        self._stream_end: dict[tuple[str, int], float] = {}
        self._connected: set[tuple[str, Flow]] = set()
        self._dice = SeededEntropy(f"street/{seed}")
        self._later: list[tuple[float, Callable[[], None]]] = []
        self._next_tick = self.now

    def server(self, origin: Origin) -> Server:
        host = "2001:db8::250" if ":" in origin.host else PROXY.host
        return Server(self.transport, Address(host, PROXY.port), "example.org")

    def meet(self, *, family: int = 4, answer: bool = True) -> None:
        """Both phones join "wlan0", the first calls the second ("bob"), who answers after a second."""
        for number, phone in enumerate(self.phones, 1):
            phone.join("wlan0", f"192.0.2.{number}" if family == 4 else f"2001:db8::{number}")
        self.run(1)
        self.phones[0].agent.call("bob", self.now)
        self.run(1)
        if answer:
            self.answer()

    def answer(self, phone: TestPhone | None = None, settle: float = 2.0) -> None:
        phone = phone or self.phones[1]
        phone.agent.answer(phone.call.id, self.now)
        self.run(settle)

    def inject_media(self, phone: TestPhone, port: LocalPort, packet: bytes) -> None:
        """A datagram from anywhere reaches a port of the phone now."""
        phone.receive_media(port.address, packet, self.now)
        self.drain()

    def inject_sip(self, phone: TestPhone, octets: bytes) -> None:
        """A message reaches the phone on its newest flow now."""
        try:
            phone.agent.receive(parse_message(octets), phone.flows[-1], self.now)
        except RemoteError:
            return
        self.drain()

    def later(self, seconds: float, action: Callable[[], None]) -> None:
        self._later.append((self.now + seconds, action))

    def run(self, seconds: float, until: Callable[[], bool] | None = None) -> None:
        """Let time pass; stops early when `until` holds."""
        end = self.now + seconds
        self.drain()
        idle = 0
        while self.now < end and not (until and until()):
            before, self.now = self.now, min(end, max(self.now, self._deadline(end)))
            idle = idle + 1 if self.now == before else 0
            assert idle < 1000, f"time stands still: {[p.agent.deadline() for p in self.phones]}"
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
        for phone in self.phones:
            for call in phone.agent.calls.values():
                phone.send_handshakes(call)

    def _forget_ended(self, phone: TestPhone) -> None:
        for call in list(phone.agent.calls.values()):
            if call.state is CallState.ENDED:
                phone.agent.forget(call.id)
                phone.ended_calls.append(call)

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
                deadline = phone.agent.deadline()
                assert deadline is None or deadline > now, f"{phone.name} would spin"

    def other(self, phone: TestPhone) -> TestPhone:
        return self.phones[1] if phone is self.phones[0] else self.phones[0]

    def _send_sip(self, phone: TestPhone, flow: Flow, octets: bytes) -> None:
        """A request goes to the other phone's newest flow, whatever that is when it arrives."""
        self.messages.append(SentMessage(self.now, phone.name, flow, octets))
        beside = flow.transport == "TCP" and any(known.stream == flow for known in phone.flows)
        if self._is_dead(phone, flow.interface) or (flow.reliable and flow not in phone.flows and not beside):
            return
        if beside and not self.streams:
            self.later(2 * self.wire.delay, partial(self._refuse_stream, phone, flow))
            return
        if not octets.startswith(b"SIP/2.0"):
            self._came_on[phone.name, *_transaction(octets)] = flow
        if self.alter is not None:
            octets = self.alter(phone.name, octets)
        if octets.startswith(b"REGISTER"):
            if self.registrar:
                self.later(2 * self.wire.delay, partial(self._register, phone, flow, octets))
            return
        other = self.other(phone)
        if not flow.reliable:
            self.wire.send((phone.name, flow.interface), other.name, ("sip", octets), self.now)
            return
        at = self.now + self.wire.delay + self.wire.jitter * fraction(self._dice)
        if beside and (phone.name, flow) not in self._connected:
            self._connected.add((phone.name, flow))
            at += 2 * self.wire.delay
        while fraction(self._dice) < min(self.wire.loss, 0.5):
            at += RESEND
        stream = (phone.name, flow.serial)
        at = self._stream_end[stream] = max(at, self._stream_end.get(stream, 0.0))
        self.later(at - self.now, lambda: self._arrive(other.name, "sip", octets))

    def _refuse_stream(self, phone: TestPhone, stream: Flow) -> None:
        phone.agent.stream_failed(stream, self.now)

    def _register(self, phone: TestPhone, flow: Flow, octets: bytes) -> None:
        """A registrar that takes everything, gives a GRUU and knows outbound."""
        request = parse_message(octets)
        assert isinstance(request, Request)
        response = response_to(request, 200)
        response.headers.set("Require", "outbound")
        gruu = f"sip:{phone.agent.config.account.username}@example.org;gr={phone.name}"
        for contact in request.headers.get_all("Contact"):
            response.headers.add("Contact", f'{contact};pub-gruu="{gruu}";expires=600')
        if flow in phone.flows and not self._is_dead(phone, flow.interface):
            phone.agent.receive(response, flow, self.now)

    def send_media(self, phone: TestPhone, path: Path, packet: bytes) -> None:
        if not self._is_dead(phone, path.interface) and phone.name not in self.muted:
            target = self.other(phone).name
            self.wire.send((phone.name, path.interface), target, ("media", (path, packet)), self.now)

    def _is_dead(self, phone: TestPhone, interface: str) -> bool:
        return (phone.name, interface) in self.dead or (phone.name, interface) in self.wire.cut_ends

    def _arrive(self, target: Any, kind: str, load: Any) -> None:
        phone = next(p for p in self.phones if p.name == target)
        if kind == "media":
            path, packet = load
            port = next((p for p in phone.ports.open_ports if _takes(p, path.remote)), None)
            if port is not None and not self._is_dead(phone, port.interface):
                phone.receive_media(path.remote, packet, self.now, path.local)
            return
        flow = self._way_to(phone, load)
        if flow is not None:
            try:
                phone.agent.receive(parse_message(load), flow, self.now)
            except RemoteError:
                return

    def _way_to(self, phone: TestPhone, octets: bytes) -> Flow | None:
        alive = [flow for flow in phone.flows if not self._is_dead(phone, flow.interface)]
        if octets.startswith(b"SIP/2.0"):
            came_on = self._came_on.get((phone.name, *_transaction(octets)))
            return came_on if came_on in alive or came_on in [flow.stream for flow in alive] else None
        return alive[-1] if alive else None
