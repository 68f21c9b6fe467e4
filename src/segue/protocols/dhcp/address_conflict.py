"""Whether another host has our IPv4 address (RFC 5227): probe before use, or use and give way."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from ipaddress import IPv4Address

from segue.base.entropy import Entropy, fraction
from segue.base.errors import RemoteError
from segue.protocols.dhcp.arp import ArpPacket, parse_arp, write_announcement, write_probe


class ConflictState(Enum):
    PROBING = "probing"  # not to be used
    ANNOUNCING = "announcing"  # used, and said so again
    DEFENDING = "defending"  # used
    LOST = "lost"


@dataclass(frozen=True)
class ConflictTimers:
    """RFC 5227 section 1.1, in seconds."""

    probe_wait: float = 1.0
    probes: int = 3
    probe_min: float = 1.0
    probe_max: float = 2.0
    announce_wait: float = 2.0
    announcements: int = 2
    announce_interval: float = 2.0
    defend_interval: float = 10.0


@dataclass(frozen=True)
class ConflictStateChanged:
    address: IPv4Address
    state: ConflictState


class AddressConflict:
    """A machine for one address. With `probe` it is free of conflicts before it is used (5 to 7 s later);
    without, it is announced and used at once, and given up when another host turns out to have it."""

    def __init__(
        self,
        address: IPv4Address,
        link_address: bytes,
        probe: bool,
        entropy: Entropy,
        timers: ConflictTimers = ConflictTimers(),
    ) -> None:
        self.address = address
        self.state = ConflictState.PROBING if probe else ConflictState.ANNOUNCING
        self._link = link_address
        self._entropy = entropy
        self._timers = timers
        self._left = timers.probes if probe else timers.announcements
        self._deadline: float | None = None
        self._last_conflict: float | None = None
        self._transmits: list[bytes] = []
        self._events: list[ConflictStateChanged] = []

    def start(self, now: float) -> None:
        self._events.append(ConflictStateChanged(self.address, self.state))
        wait = self._timers.probe_wait * fraction(self._entropy)
        self._deadline = now + wait if self.state is ConflictState.PROBING else now
        self.expire(now)

    def receive(self, frame: bytes, source: object, now: float) -> None:  # noqa: ARG002
        """An Ethernet frame with ARP that came in on the interface."""
        try:
            packet = parse_arp(frame)
        except RemoteError:
            return
        if packet.sender_link == self._link or not self._contests(packet):
            return
        if self.state is ConflictState.PROBING:
            self._lose()
        elif self.state is not ConflictState.LOST:
            self._defend(now)

    def transmits(self) -> list[bytes]:
        """Ethernet frames."""
        transmits, self._transmits = self._transmits, []
        return transmits

    def deadline(self) -> float | None:
        return self._deadline

    def expire(self, now: float) -> None:
        if self._deadline is None or now < self._deadline:
            return
        if self.state is ConflictState.PROBING:
            self._probe(now)
        elif self.state is ConflictState.ANNOUNCING:
            self._announce(now)

    def events(self) -> list[ConflictStateChanged]:
        events, self._events = self._events, []
        return events

    def _contests(self, packet: ArpPacket) -> bool:
        """Section 2.1.1: another sender of the address, or another prober while we probe."""
        if packet.sender == self.address:
            return True
        probing = self.state is ConflictState.PROBING
        return probing and packet.is_probe and packet.target == self.address

    def _probe(self, now: float) -> None:
        if not self._left:
            self._left = self._timers.announcements
            self.state = ConflictState.ANNOUNCING
            self._events.append(ConflictStateChanged(self.address, self.state))
            self._announce(now)
            return
        self._left -= 1
        self._transmits.append(write_probe(self._link, self.address))
        spread = self._timers.probe_max - self._timers.probe_min
        wait = self._timers.probe_min + spread * fraction(self._entropy)
        self._deadline = now + (wait if self._left else self._timers.announce_wait)

    def _announce(self, now: float) -> None:
        self._left -= 1
        self._transmits.append(write_announcement(self._link, self.address))
        self._deadline = now + self._timers.announce_interval
        if not self._left:
            self._deadline = None
            self.state = ConflictState.DEFENDING

    def _defend(self, now: float) -> None:
        """Section 2.4 b: one announcement, and give way when it happens again soon."""
        last, self._last_conflict = self._last_conflict, now
        if last is not None and now - last < self._timers.defend_interval:
            self._lose()
        else:
            self._transmits.append(write_announcement(self._link, self.address))

    def _lose(self) -> None:
        self.state = ConflictState.LOST
        self._deadline = None
        self._transmits.clear()
        self._events.append(ConflictStateChanged(self.address, self.state))
