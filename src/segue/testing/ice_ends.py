"""Two ends of a call that speak ICE and send voice, over a `Wire` in virtual time.

`IceNetwork` carries datagrams between addresses; each address may have a delay of its own (its access network),
and whoever stands on the way may be told of each datagram, change, copy or keep it (`bystander`). `IceEnd` has
an `IceAgent` and ports; every 20 ms it sends a packet where the agent says, when the agent allows it. A packet
counts as authenticated when it is the peer's and was not received before, as SRTP would find.
"""

from __future__ import annotations

import heapq
import hmac
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple
from zlib import crc32

from segue.base.address import Address, LocalPort, Path
from segue.base.machine import earliest
from segue.base.secret import Secret
from segue.base.trace import MemoryTrace
from segue.emulator.link_model import LinkConfig, LinkModel
from segue.emulator.nat import UDP, Nat, nat_kind
from segue.protocols.ice.agent import IceAgent
from segue.protocols.ice.events import IceEvent, PathSelected
from segue.protocols.stun.attributes import COOKIE
from segue.protocols.stun.binding import binding_response, is_binding_request
from segue.protocols.stun.message import is_stun, parse_stun
from segue.testing.entropy import SeededEntropy
from segue.testing.wire import Wire

PACKET_TIME = 0.020
VOICE = 182  # octets of a G.711 packet of 20 ms with its SRTP tag
HEADERS = 28  # octets of IPv4 and UDP
_STEP = 1e-6

Sent = tuple[Address, Address, bytes]  # source, target, octets
Bystander = Callable[[Address, Address, bytes], Iterable[Sent]]


class Seen(NamedTuple):
    """A datagram as it was sent."""

    at: float
    source: Address
    target: Address
    octets: bytes


class _Hop(NamedTuple):
    """A datagram on an access link; `up`: from the host, else to it."""

    source: Address
    target: Address
    octets: bytes
    up: bool


class Voice(NamedTuple):
    """A packet of voice that arrived for the first time."""

    at: float
    path: Path
    number: int


def port(host: str, number: int = 4000, interface: str = "") -> LocalPort:
    return LocalPort(interface or host, Address(host, number))


def pass_on(source: Address, target: Address, octets: bytes) -> list[Sent]:
    """A bystander that does nothing."""
    return [(source, target, octets)]


class IceNetwork:
    """`delay`: one way, in seconds, between addresses without an access delay of their own."""

    def __init__(self, seed: int | str = 0, *, delay: float = 0.02, **wire: float) -> None:
        self.now = 1000.0
        self.delay = delay
        self.access: dict[str, float] = {}  # by host: one way, added to `delay`
        self.dead: set[str] = set()  # hosts that nothing reaches and nothing leaves
        self.seen: list[Seen] = []
        self.bystander: Bystander = pass_on
        self.servers: dict[Address, Callable[[bytes, Address], bytes | None]] = {}
        self.nats: dict[str, Nat] = {}  # by the host inside
        self.wire: Wire[bytes] = Wire(seed, **wire)
        self._seed = seed
        self._links: dict[str, tuple[LinkModel, LinkModel]] = {}  # by host: up, down
        self._under_way: list[tuple[float, int, _Hop]] = []
        self._count = 0
        self.ends: list[IceEnd] = []

    def send(self, source: Address, target: Address, octets: bytes) -> None:
        self.seen.append(Seen(self.now, source, target, octets))
        if source.host in self.dead:
            return
        nat = self.nats.get(source.host)
        if nat is not None and self.nats.get(target.host) is not nat:
            translated = nat.outbound(UDP, source, target, self.now)
            if translated is None:
                return
            source = translated.source
        for from_, to, load in self.bystander(source, target, octets):
            self.put(from_, to, load)

    def attach(self, config: LinkConfig, *hosts: str) -> None:
        """These hosts are at the end of such a link of `segue.emulator`, each of its own."""
        for host in hosts:
            up, down = (
                LinkModel(config, SeededEntropy(f"{self._seed}/{host}/{way}")) for way in ("up", "down")
            )
            self._links[host] = up, down

    def put(self, source: Address, target: Address, octets: bytes) -> None:
        """On the wire, past the bystander."""
        if source.host in self._links:
            self._offer(_Hop(source, target, octets, up=True), self._links[source.host][0])
            return
        self._carry(source, target, octets)

    def _offer(self, hop: _Hop, link: LinkModel) -> None:
        for at in link.offer(len(hop.octets) + HEADERS, self.now):
            self._count += 1
            heapq.heappush(self._under_way, (at, self._count, hop))

    def _carry(self, source: Address, target: Address, octets: bytes) -> None:
        """Between the access networks."""
        self.wire.delay = self.delay + self.access.get(source.host, 0.0) + self.access.get(target.host, 0.0)
        self.wire.send(source, target, octets, self.now)

    def put_behind(self, outside: str, kind: str, *hosts: str, timeout: float = 30.0) -> Nat:
        """These hosts are behind one NAT; its kinds are those of `segue.emulator.nat`."""
        nat = Nat(replace(nat_kind(kind), timeout=timeout), SeededEntropy(f"nat/{outside}"), outside)
        self.nats.update(dict.fromkeys(hosts, nat))
        return nat

    def serve_stun(self, address: Address) -> None:
        """A STUN server."""

        def answer(octets: bytes, source: Address) -> bytes | None:
            request = parse_stun(octets)
            if not is_binding_request(request):
                return None
            return binding_response(request, source).write(fingerprint=True)

        self.servers[address] = answer

    def until(self, true: Callable[[], bool], limit: float = 10.0) -> bool:
        """Let time pass until something is true, at most so many seconds; whether it is."""
        end = self.now + limit
        while not true():
            due = self._next()
            if due is None or due > end:
                self.now = max(self.now, end)
                self._turn()
                return true()
            self.now = max(self.now, due)
            self._turn()
        return True

    def pass_time(self, seconds: float) -> None:
        self.until(lambda: False, seconds)

    def _next(self) -> float | None:
        hop = self._under_way[0][0] if self._under_way else None
        return earliest(hop, self.wire.deadline(), *(end.deadline() for end in self.ends))

    def _turn(self) -> None:
        while self._under_way and self._under_way[0][0] <= self.now:
            hop = heapq.heappop(self._under_way)[2]
            if hop.up:
                self._carry(hop.source, hop.target, hop.octets)
            else:
                self._deliver(hop.source, hop.target, hop.octets)
        for arrival in self.wire.arrivals(self.now):
            link = self._links.get(arrival.target.host)  # type: ignore[attr-defined]
            if link is not None:
                self._offer(_Hop(arrival.source, arrival.target, arrival.load, up=False), link[1])  # type: ignore[arg-type]
            else:
                self._deliver(arrival.source, arrival.target, arrival.load)  # type: ignore[arg-type]
        for end in self.ends:
            end.tick()

    def _deliver(self, source: Address, target: Address, octets: bytes) -> None:
        inside = next((nat for nat in self.nats.values() if nat.outside == target.host), None)
        if inside is not None:
            translated = inside.inbound(UDP, source, target, self.now)
            if translated is None:
                return
            target = translated.target
        elif target.host in self.nats and self.nats.get(source.host) is not self.nats[target.host]:
            return  # no way to an address inside
        if target.host in self.dead:
            return
        if target in self.servers:
            answer = self.servers[target](octets, source)
            if answer is not None:
                self.send(target, source, answer)
            return
        for end in self.ends:
            end.receive(octets, source, target)


@dataclass(eq=False)
class IceEnd:
    """`talks`: sends voice. `heard`: what arrived. `copies`: sends each packet on these paths, too."""

    network: IceNetwork
    name: str
    agent: IceAgent
    trace: MemoryTrace
    ports: list[LocalPort] = field(default_factory=list)
    talks: bool = False
    heard: list[Voice] = field(default_factory=list)
    events: list[IceEvent] = field(default_factory=list)
    copies: list[Path] = field(default_factory=list)
    withheld: int = 0  # packets that the agent did not allow
    _numbers: set[int] = field(default_factory=set)
    _number: int = 0
    _next_voice: float = 0.0

    @classmethod
    def make(cls, network: IceNetwork, name: str, *, controlling: bool, **options: Any) -> IceEnd:
        trace = MemoryTrace()
        agent = IceAgent(
            controlling=controlling,
            entropy=SeededEntropy(name),
            now=network.now,
            trace=trace,
            **options,
        )
        end = cls(network, name, agent, trace)
        end._next_voice = network.now
        network.ends.append(end)
        return end

    def add(self, *ports: LocalPort, **options: Any) -> None:
        for each in ports:
            self.ports.append(each)
            self.agent.add_port(each, self.network.now, **options)
        self.drain()

    def remove(self, port: LocalPort) -> None:
        self.ports.remove(port)
        self.agent.remove_port(port, self.network.now)
        self.drain()

    def move(self, port: LocalPort) -> bool:
        if port not in self.ports:
            self.ports.append(port)
        moved = self.agent.move(port, self.network.now)
        self.drain()
        if self.talks:
            self._speak()  # the newest packet leaves right behind
        return moved

    def learn(self, other: IceEnd) -> None:
        """What signalling brings."""
        self.agent.set_remote(other.agent.description, self.network.now)
        self.drain()

    def receive(self, octets: bytes, source: Address, target: Address) -> None:
        found = next((each for each in self.ports if each.address == target), None)
        if found is None:
            return
        path = Path(found.interface, found.address, source)
        if is_stun(octets):
            self.agent.receive(octets, path, self.network.now)
        elif octets[:1] == b"\x80":
            number = int.from_bytes(octets[1:5], "big")
            if octets[5:6] == self.name.encode()[:1] or number in self._numbers:
                return  # our own, or a replay
            self._numbers.add(number)
            self.heard.append(Voice(self.network.now, path, number))
            self.agent.received_media(path, len(octets), self.network.now)
        self.drain()

    def tick(self) -> None:
        now = self.network.now
        due = self.agent.deadline()
        if due is not None and now >= due:
            self.agent.expire(now)
            self.drain()
        if self.talks and now >= self._next_voice:
            self._next_voice = now + PACKET_TIME
            self._speak()

    def deadline(self) -> float | None:
        due = self.agent.deadline()
        if due is not None:
            due = max(due, self.network.now + _STEP)
        return earliest(due, max(self._next_voice, self.network.now + _STEP) if self.talks else None)

    def drain(self) -> None:
        for path, octets in self.agent.transmits():
            self.network.send(path.local, path.remote, octets)
        self.events += self.agent.events()

    def count(self, kind: type[IceEvent]) -> int:
        return sum(isinstance(event, kind) for event in self.events)

    @property
    def selections(self) -> list[PathSelected]:
        return [event for event in self.events if isinstance(event, PathSelected)]

    def _speak(self) -> None:
        self._number += 1
        packet = b"\x80" + self._number.to_bytes(4, "big") + self.name.encode()[:1]
        packet = packet.ljust(VOICE, b"\0")
        selected = self.agent.selected
        for path in dict.fromkeys([*([selected] if selected else []), *self.copies]):
            if self.agent.may_send(path, VOICE):
                self.network.send(path.local, path.remote, packet)
            else:
                self.withheld += 1


def signed(octets: bytes, password: Secret) -> bytes:
    """A message with whatever attributes these octets are, and the integrity and fingerprint that fit: what a
    peer with the password could send. For who looks for faults behind the authentication."""
    head, body = octets[:20].ljust(20, b"\0"), octets[20:1200]
    kind, attributes = head[:2], body[: len(body) & ~3]
    rest = COOKIE + head[8:] + attributes
    proof = hmac.digest(password.reveal(), kind + (len(attributes) + 24).to_bytes(2, "big") + rest, "sha1")
    rest += b"\0\x08\0\x14" + proof
    whole = kind + (len(attributes) + 32).to_bytes(2, "big") + rest
    return whole + b"\x80\x28\0\x04" + (crc32(whole) ^ 0x5354554E).to_bytes(4, "big")


def talking(network: IceNetwork, **options: Any) -> tuple[IceEnd, IceEnd]:
    """A controlling and a controlled end, 192.0.2.1 and 198.51.100.2, that migrate and talk, with a selected
    path."""
    options.setdefault("migration", True)
    alice = IceEnd.make(network, "alice", controlling=True, **options)
    bob = IceEnd.make(network, "bob", controlling=False, **options)
    alice.add(port("192.0.2.1"))
    bob.add(port("198.51.100.2"))
    bob.learn(alice)
    alice.learn(bob)
    alice.talks = bob.talks = True
    network.pass_time(2.0)
    assert alice.agent.selected is not None
    return alice, bob
