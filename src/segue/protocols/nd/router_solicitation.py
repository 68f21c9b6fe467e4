"""Asking for routers (RFC 4861 section 6.3.7)."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv6Address

from segue.base.entropy import Entropy, fraction
from segue.protocols.nd.messages import Received, RouterAdvertisement, RouterSolicitation, write_message
from segue.protocols.nd.options import SourceLinkLayerAddress
from segue.protocols.nd.packet import ALL_ROUTERS, UNSPECIFIED


@dataclass(frozen=True)
class SolicitationTimers:
    """`first` and `longest` bound the time between solicitations, doubled each time (RFC 7559); a node that
    moves while talking cannot wait the 4 s of RFC 4861 for one lost packet on a radio link. `delay` is
    MAX_RTR_SOLICITATION_DELAY: 0, since RFC 4861 lets a node that has just moved ask at once."""

    first: float = 0.25
    longest: float = 4.0
    delay: float = 0.0


class RouterDiscovery:
    """A machine: `start` at link up, `stop` at link down. Advertisements end the asking."""

    def __init__(self, entropy: Entropy, timers: SolicitationTimers = SolicitationTimers()) -> None:
        self._entropy = entropy
        self._timers = timers
        self._source = UNSPECIFIED
        self._link_address = b""
        self._deadline: float | None = None
        self._interval = 0.0
        self._transmits: list[bytes] = []
        self._events: list[Received] = []

    def start(self, now: float, source: IPv6Address = UNSPECIFIED, link_address: bytes = b"") -> None:
        """Ask from `source`; from the unspecified address while the link-local one is not yet proven, since
        an optimistic address could overwrite its owner's entry at the router (RFC 4429 section 3.2)."""
        self._source = source
        self._link_address = link_address
        self._interval = self._timers.first
        delay = self._timers.delay * fraction(self._entropy) if self._timers.delay else 0.0
        self._deadline = now + delay
        self.expire(now)

    def stop(self) -> None:
        self._deadline = None
        self._transmits.clear()

    def receive(self, received: Received, source: object, now: float) -> None:  # noqa: ARG002
        """Pass on advertisements; one with a router lifetime means that somebody is there."""
        if not isinstance(received.message, RouterAdvertisement):
            return
        self._events.append(received)
        if received.message.lifetime:
            self._deadline = None

    def transmits(self) -> list[bytes]:
        """IPv6 packets to the all-routers group."""
        transmits, self._transmits = self._transmits, []
        return transmits

    def deadline(self) -> float | None:
        return self._deadline

    def expire(self, now: float) -> None:
        if self._deadline is None or now < self._deadline:
            return
        own = self._source != UNSPECIFIED and self._link_address
        options = (SourceLinkLayerAddress(self._link_address),) if own else ()
        self._transmits.append(write_message(RouterSolicitation(options), self._source, ALL_ROUTERS))
        # RFC 7559 section 2: the interval doubles, give or take a tenth, up to the longest.
        spread = 0.9 + 0.2 * fraction(self._entropy)
        self._deadline = now + self._interval * spread
        self._interval = min(2 * self._interval, self._timers.longest)

    def events(self) -> list[Received]:
        """Router advertisements, oldest first."""
        events, self._events = self._events, []
        return events
