"""One direction of a link: when does a packet that is offered now arrive, if at all?"""

from __future__ import annotations

from dataclasses import dataclass, field

from segue.base.entropy import Entropy, fraction
from segue.base.errors import LocalError
from segue.emulator.burst_loss import BurstLoss, GilbertElliott


@dataclass(frozen=True)
class LinkConfig:
    """What a link does to packets, the same in both directions.

    `jitter_ms` bounds the extra delay of a packet, whose distribution leans to small values as queueing
    does (the cube of a uniform number, so a quarter of the bound on average). With `keep_order` a packet
    never overtakes the one before it. `rate_kbps` 0 is unlimited; a packet that does not fit into the
    `queue_bytes` waiting for the rate is lost. `reorder` is the share of packets that arrive
    `reorder_ms` late while later ones pass them. `fades`: whether a weak radio signal loses packets. A radio that
    carried nothing for `sleep_after_ms` (0: it never sleeps) needs `wake_ms` before it carries anything, as a 3G one
    needs its channel (3GPP TS 25.331).
    """

    name: str
    one_way_delay_ms: float
    jitter_ms: float = 0.0
    keep_order: bool = True
    loss: BurstLoss = field(default_factory=BurstLoss)
    rate_kbps: float = 0.0
    queue_bytes: int = 65536
    duplication: float = 0.0
    reorder: float = 0.0
    reorder_ms: float = 0.0
    fades: bool = False
    sleep_after_ms: float = 0.0
    wake_ms: float = 0.0

    def __post_init__(self) -> None:
        times = (self.one_way_delay_ms, self.jitter_ms, self.reorder_ms, self.sleep_after_ms, self.wake_ms)
        if min(self.rate_kbps, self.queue_bytes, *times) < 0:
            raise LocalError(f"link {self.name} has a negative figure", "use zero to switch a thing off")
        if not 0 <= self.duplication <= 1 or not 0 <= self.reorder <= 1:
            raise LocalError(f"link {self.name}: duplication and reorder are shares", "between 0 and 1")


class Wakefulness:
    """Whether a radio sleeps; one for both directions."""

    def __init__(self, config: LinkConfig) -> None:
        self._sleep_after = config.sleep_after_ms / 1000
        self._wake = config.wake_ms / 1000
        self._awake_until = float("-inf")
        self._ready_at = float("-inf")

    def ready(self, now: float) -> float:
        """When what is offered now can leave; it keeps the radio awake."""
        if not self._sleep_after:
            return now
        if now > self._awake_until:
            self._ready_at = now + self._wake
        ready = max(now, self._ready_at)
        self._awake_until = ready + self._sleep_after
        return ready


def both_directions(config: LinkConfig, entropy: Entropy) -> tuple[LinkModel, LinkModel]:
    """Of one link."""
    wakefulness = Wakefulness(config)
    return LinkModel(config, entropy, wakefulness), LinkModel(config, entropy, wakefulness)


class LinkModel:
    """The running state of one direction. Times are seconds of any monotonic scale and never go back."""

    def __init__(self, config: LinkConfig, entropy: Entropy, wakefulness: Wakefulness | None = None) -> None:
        self.config = config
        self._wakefulness = wakefulness or Wakefulness(config)
        self.offered = 0
        self.lost = 0
        self._entropy = entropy
        self._burst = GilbertElliott(config.loss, entropy)
        self._fading = 0.0
        self._rate_free = 0.0  # when the last queued packet has left the bottleneck
        self._latest = 0.0  # latest delivery so far, for keep_order

    def fade(self, loss: float) -> None:
        """The radio's own loss from now on (0 to 1); nothing happens on a link that does not fade."""
        if self.config.fades:
            self._fading = loss

    def offer(self, size: int, now: float) -> tuple[float, ...]:
        """Delivery times of a packet of `size` octets that is sent at `now`; empty when it is lost."""
        self.offered += 1
        departure = self._through_bottleneck(size, self._wakefulness.ready(now))
        if departure is None or self._lost_on_the_way():
            self.lost += 1
            return ()
        first = self._arrival(departure)
        if self.config.duplication and fraction(self._entropy) < self.config.duplication:
            return (first, self._arrival(departure))
        return (first,)

    def restart(self) -> None:
        """The link has been detached: what waited for the rate is gone."""
        self._rate_free = 0.0

    def _through_bottleneck(self, size: int, now: float) -> float | None:
        rate = self.config.rate_kbps * 125.0  # octets a second
        if not rate:
            return now
        start = max(now, self._rate_free)
        if (start - now) * rate + size > self.config.queue_bytes:
            return None
        self._rate_free = start + size / rate
        return self._rate_free

    def _lost_on_the_way(self) -> bool:
        if self._burst.loses():
            return True
        return bool(self._fading) and fraction(self._entropy) < self._fading

    def _arrival(self, departure: float) -> float:
        config = self.config
        arrival = departure + config.one_way_delay_ms / 1000
        if config.jitter_ms:
            arrival += config.jitter_ms / 1000 * fraction(self._entropy) ** 3
        if config.reorder and fraction(self._entropy) < config.reorder:
            return arrival + config.reorder_ms / 1000  # on purpose not remembered: later packets pass it
        if config.keep_order:
            arrival = self._latest = max(arrival, self._latest)
        return arrival
