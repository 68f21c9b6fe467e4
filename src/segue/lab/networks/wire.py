"""What the link process moves: ports, links between them, and the frames in the air.

A port is the far end of a virtual pair, in the `wire` namespace: a station's (the mobile node's) or a network's
(an access router's). A link joins two ports and does to frames what `segue.emulator` says. A station's port is
joined to one network's at a time; a network's port may have several stations, between which it relays like an
access point when it is one that does.
"""

from __future__ import annotations

import errno
import heapq
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from segue.base.entropy import Entropy
from segue.emulator.link_model import LinkConfig, LinkModel, both_directions
from segue.lab.networks.nat_box import NatBox
from segue.net.packet_socket import PacketSocket

MAX_FRAMES_IN_THE_AIR = 50_000
MAX_AT_ONCE = 64  # frames read from one port before the others are looked at
_BIN = 10e-6  # seconds; width of a bin of the error histogram
_BINS = 5000


class DeliveryError:
    """How late frames were delivered, as a histogram of 10 µs bins up to 50 ms."""

    def __init__(self) -> None:
        self.count = 0
        self.worst = 0.0
        self._bins = [0] * (_BINS + 1)

    def add(self, late: float) -> None:
        self.count += 1
        self.worst = max(self.worst, late)
        self._bins[min(_BINS, max(0, int(late / _BIN)))] += 1

    def quantile(self, share: float) -> float:
        """Seconds; 0.0 before anything was delivered."""
        wanted = share * self.count
        seen = 0
        for index, count in enumerate(self._bins):
            seen += count
            if count and seen >= wanted:
                return self.worst if index == _BINS else min((index + 1) * _BIN, self.worst)
        return 0.0


class Port:
    """One far end. `links` are those that frames from it enter."""

    def __init__(self, name: str, interface: str, relays: bool = False) -> None:
        self.name = name
        self.relays = relays
        self.interface = interface
        self.socket = PacketSocket(interface, buffer=4 << 20)
        self.links: list[Link] = []

    def fileno(self) -> int:
        return self.socket.fileno()


@dataclass
class Link:
    """Two ports and a model for each direction (from `first`, from `second`). `nat` stands at the first one's end."""

    name: str
    first: Port
    second: Port
    config: LinkConfig
    forward: LinkModel
    backward: LinkModel
    epoch: int = 0  # counts detachments: what was in the air before one does not arrive after it
    error: DeliveryError = field(default_factory=DeliveryError)
    nat: NatBox | None = None

    def impair(self, config: LinkConfig, entropy: Entropy) -> None:
        """Go on with another configuration."""
        self.config = config
        self.forward, self.backward = both_directions(config, entropy)

    def report(self) -> dict[str, object]:
        config = self.config
        return {
            "name": self.name,
            "one_way_delay_ms": config.one_way_delay_ms,
            "jitter_ms": config.jitter_ms,
            "loss": config.loss.mean,
            "rate_kbps": config.rate_kbps,
            "p99_error_ms": round(self.error.quantile(0.99) * 1000, 3),
            "max_error_ms": round(self.error.worst * 1000, 3),
            "frames": self.error.count,
            "offered": self.forward.offered + self.backward.offered,
            "lost": self.forward.lost + self.backward.lost,
        }


class Air:
    """Frames between being offered to a link and being delivered."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.overflow = 0
        self._monotonic = monotonic
        self._due: list[tuple[float, int, bytes, Port, Link, int]] = []
        self._sequence = 0

    def deadline(self) -> float | None:
        return self._due[0][0] if self._due else None

    def take_from(self, port: Port) -> None:
        """Read what has come to the port and offer it to its links."""
        for _ in range(MAX_AT_ONCE):
            try:
                frame = port.socket.receive()
            except OSError as error:
                if error.errno != errno.ENETDOWN:
                    raise
                return
            if frame is None:
                return
            # The kernel's stamp is wall-clock time: only the frame's age is taken from it.
            age = min(max(0.0, time.time() - frame.time_ns / 1e9), 1.0) if frame.time_ns else 0.0
            arrived = self._monotonic() - age
            for link in port.links:
                self._offer(link, port, frame.octets, arrived)

    def deliver(self) -> None:
        """Send every frame that is due."""
        due = self._due
        while due:
            now = self._monotonic()
            if due[0][0] > now:
                return
            when, _, octets, port, link, epoch = heapq.heappop(due)
            if epoch != link.epoch:
                continue
            if link.nat is not None and port is link.first:
                let_in = link.nat.inbound(octets, now)
                if let_in is None:
                    continue
                octets = let_in
            try:
                port.socket.send(octets)
            except OSError:
                continue  # the other end is down, as after a lost carrier
            link.error.add(now - when)
            if port.relays and len(port.links) > 1:
                self._relay(link, port, octets, when)

    def _relay(self, origin: Link, port: Port, octets: bytes, arrived: float) -> None:
        """To the other stations of the network, who take what is for them."""
        for link in port.links:
            if link is not origin:
                self._offer(link, port, octets, arrived)

    def _offer(self, link: Link, port: Port, octets: bytes, arrived: float) -> None:
        forward = port is link.first
        model, target = (link.forward, link.second) if forward else (link.backward, link.first)
        if len(self._due) >= MAX_FRAMES_IN_THE_AIR:
            self.overflow += 1
            return
        if forward and link.nat is not None:
            sent = link.nat.outbound(octets, arrived)
            if sent is None:
                return
            octets, hairpinned = sent
            if hairpinned:
                port.socket.send(octets)
                return
        for when in model.offer(len(octets), arrived):
            self._sequence += 1
            heapq.heappush(self._due, (when, self._sequence, octets, target, link, link.epoch))
