"""When a router advertises (RFC 4861 section 6.2)."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv6Address

from segue.base.entropy import Entropy, fraction
from segue.base.errors import LocalError
from segue.protocols.nd.messages import Received, RouterAdvertisement, RouterSolicitation, write_message
from segue.protocols.nd.packet import ALL_NODES

MAX_INITIAL_INTERVAL = 16.0  # seconds (section 10)
MAX_INITIAL_ADVERTISEMENTS = 3


@dataclass(frozen=True)
class AdvertisingTimers:
    """Seconds. Section 6.2.1 for the intervals; RFC 6275 section 7.5 lets them be as short as 0.03 s.

    `max_delay` is MAX_RA_DELAY_TIME (0.5 s in section 10) and `min_between` MIN_DELAY_BETWEEN_RAS (3 s);
    with zero a solicitation is answered at once, which is what a router for mobile nodes does.
    """

    min_interval: float = 200.0
    max_interval: float = 600.0
    max_delay: float = 0.5
    min_between: float = 3.0

    def __post_init__(self) -> None:
        if not 0.03 <= self.min_interval <= self.max_interval:
            raise LocalError("router advertisement intervals", "0.03 s <= min_interval <= max_interval")


class RouterAdvertiser:
    """A machine: solicitations in, advertisements out, all by multicast."""

    def __init__(
        self,
        advertisement: RouterAdvertisement,
        source: IPv6Address,
        entropy: Entropy,
        timers: AdvertisingTimers = AdvertisingTimers(),
    ) -> None:
        self._packet = write_message(advertisement, source, ALL_NODES)
        self._entropy = entropy
        self._timers = timers
        self._initial_left = MAX_INITIAL_ADVERTISEMENTS
        self._last: float | None = None
        self._deadline: float | None = None
        self._transmits: list[bytes] = []

    def start(self, now: float) -> None:
        """The interface has become an advertising one: the first advertisement leaves."""
        self._send(now)

    def station_attached(self, now: float) -> None:
        """The access point says that a station has come: it need not ask (RFC 4957 names the hint)."""
        self._schedule(now)
        self.expire(now)

    def receive(self, received: Received, source: object, now: float) -> None:  # noqa: ARG002
        if isinstance(received.message, RouterSolicitation):
            self._schedule(now + self._timers.max_delay * fraction(self._entropy))
            self.expire(now)

    def transmits(self) -> list[bytes]:
        """IPv6 packets to the all-nodes group."""
        transmits, self._transmits = self._transmits, []
        return transmits

    def deadline(self) -> float | None:
        return self._deadline

    def expire(self, now: float) -> None:
        if self._deadline is not None and now >= self._deadline:
            self._send(now)

    def events(self) -> list[None]:
        return []

    def _schedule(self, when: float) -> None:
        """Section 6.2.6: not after the next scheduled one, not too soon after the last one."""
        if self._last is not None:
            when = max(when, self._last + self._timers.min_between)
        self._deadline = when if self._deadline is None else min(self._deadline, when)

    def _send(self, now: float) -> None:
        self._transmits.append(self._packet)
        self._last = now
        timers = self._timers
        interval = timers.min_interval + (timers.max_interval - timers.min_interval) * fraction(self._entropy)
        if self._initial_left:
            self._initial_left -= 1
            interval = min(interval, MAX_INITIAL_INTERVAL)
        self._deadline = now + interval
