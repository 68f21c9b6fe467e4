"""A wire between transport addresses, of which some are behind NATs or firewalls.

    wire = NattedWire(seed=1, delay=0.02)
    box = wire.put_behind("port-restricted", "203.0.113.1", "192.168.1.100")
    wire.send(Address("192.168.1.100", 20000), Address("198.51.100.7", 3478), request, now)
    for datagram in wire.arrivals(later): ...      # datagram.source is what the NAT made of it

A NAT stands at its hosts' end of the wire: what it drops on the way out never leaves, what it refuses has travelled.
Hosts behind the same one reach each other by their own addresses; from elsewhere a private address is of no use.
"""

from __future__ import annotations

from typing import NamedTuple

from segue.base.address import Address
from segue.emulator.nat import UDP, Nat, nat_kind
from segue.testing.entropy import SeededEntropy
from segue.testing.wire import Wire


class Datagram(NamedTuple):
    """As it arrives: `source` is where the receiver sees it come from, `target` the receiver's own address."""

    at: float
    source: Address
    target: Address
    octets: bytes


class NattedWire:
    """`delay`, `jitter`, `loss` and `duplicate` are those of `wire`; `lost` counts what loss, cuts and NATs took."""

    def __init__(
        self,
        seed: int | str = 0,
        *,
        delay: float = 0.02,
        jitter: float = 0.0,
        loss: float = 0.0,
        duplicate: float = 0.0,
    ) -> None:
        self.wire: Wire[tuple[Address, Address, bytes]] = Wire(
            seed, delay=delay, jitter=jitter, loss=loss, duplicate=duplicate
        )
        self.dropped = 0  # by NATs, or since nothing can be reached by such an address
        self._seed = seed
        self._behind: dict[str, Nat] = {}  # by inside host
        self._outside: dict[str, Nat] = {}

    def put_behind(self, kind: str | Nat, outside: str | None, *hosts: str) -> Nat:
        """A NAT of that kind (`emulator.nat.KINDS`) with an outside address; with None a firewall, which translates
        nothing. Returns it, to `rebind` it for instance."""
        entropy = SeededEntropy(f"nat/{self._seed}/{outside or ' '.join(hosts)}")
        box = Nat(nat_kind(kind), entropy, outside) if isinstance(kind, str) else kind
        self._behind |= dict.fromkeys(hosts, box)
        if box.outside is not None:
            self._outside[box.outside] = box
        return box

    def cut(self, host: str) -> None:
        """Nothing leaves or reaches the host, by its own address."""
        self.wire.cut(host)

    def mend(self, host: str) -> None:
        self.wire.mend(host)

    def send(self, source: Address, target: Address, octets: bytes, now: float) -> None:
        box = self._behind.get(source.host)
        end, as_seen = source.host, (source, target)
        if box is not None and self._behind.get(target.host) is not box and end not in self.wire.cut_ends:
            sent = box.outbound(UDP, source, target, now)
            if sent is None:
                self.dropped += 1
                return
            as_seen = (sent.source, sent.target)
        self.wire.send(end, as_seen[1].host, (*as_seen, octets), now)

    def deadline(self) -> float | None:
        return self.wire.deadline()

    def arrivals(self, now: float) -> list[Datagram]:
        """What has arrived until now, in the order of arrival."""
        arrived = []
        for arrival in self.wire.arrivals(now):
            source, target, octets = arrival.load
            reached = self._reached(arrival.source, source, target, arrival.at)
            if reached is None or reached.host in self.wire.cut_ends:
                self.dropped += 1
                continue
            arrived.append(Datagram(arrival.at, source, reached, octets))
        return arrived

    def _reached(self, sender: object, source: Address, target: Address, now: float) -> Address | None:
        """Who gets what arrives at `target`, sent by the host `sender` and seen as from `source`."""
        own = self._behind.get(target.host)
        if own is not None and self._behind.get(str(sender)) is own:
            return target  # a neighbour, or hairpinned
        if own is not None and own.outside is not None:
            return None  # a private address, from elsewhere
        box = own or self._outside.get(target.host)
        if box is None:
            return target
        received = box.inbound(UDP, source, target, now)
        return received.target if received else None
