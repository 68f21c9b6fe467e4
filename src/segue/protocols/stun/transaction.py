"""A STUN client's transaction (RFC 8489 section 6.2): sent again until it is answered, or given up."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Timers:
    """Section 6.2.1 and 6.2.2, in seconds. `rto`: first interval, doubled each time. `requests`: how many are sent
    at most (Rc). `patience`: how many RTO after the last (Rm). `reliable`: nothing is sent twice; `timeout` (Ti)."""

    rto: float = 0.5
    requests: int = 7
    patience: int = 16
    reliable: bool = False
    timeout: float = 39.5


DEFAULT_TIMERS = Timers()


class ClientTransaction:
    """Sends the octets of one request. Who owns it matches responses by `transaction` and then forgets it.

    `failed` is set when nobody answered in time.
    """

    __slots__ = (
        "_began",
        "_deadline",
        "_due",
        "_interval",
        "_octets",
        "_timers",
        "failed",
        "sent",
        "transaction",
    )

    def __init__(
        self, transaction: bytes, octets: bytes, now: float, timers: Timers = DEFAULT_TIMERS
    ) -> None:
        self.transaction = transaction
        self.sent = 0
        self.failed = False
        self._octets = octets
        self._timers = timers
        self._began = now
        self._interval = timers.rto
        self._due = 0
        self._send(now)

    def transmits(self) -> list[bytes]:
        due, self._due = self._due, 0
        return [self._octets] * due

    def deadline(self) -> float | None:
        return None if self.failed else self._deadline

    def expire(self, now: float) -> None:
        """However late: one more request at most."""
        if self.failed or now < self._deadline:
            return
        if self._timers.reliable or self.sent >= self._timers.requests:
            self.failed = True
        else:
            self._send(now)

    def round_trip(self, now: float) -> float | None:
        """Seconds from request to the response that came `now`; None when it is not known which was answered
        (Karn's algorithm)."""
        return now - self._began if self.sent == 1 else None

    def _send(self, now: float) -> None:
        timers = self._timers
        self.sent += 1
        self._due += 1
        if timers.reliable:
            self._deadline = now + timers.timeout
        elif self.sent < timers.requests:
            self._deadline = now + self._interval
            self._interval *= 2
        else:
            self._deadline = now + timers.patience * timers.rto


class RetransmissionTimeout:
    """The RTO towards one server, from its round trips (section 6.2.1, RFC 6298), in seconds.

    `least`: never below this; 0.5 but for usages that pace themselves otherwise.
    """

    STALE = 600.0  # after so long without a transaction nothing is known any more

    def __init__(self, least: float = 0.5) -> None:
        self._least = least
        self._smoothed: float | None = None
        self._variation = 0.0
        self._heard = 0.0

    def measured(self, round_trip: float, now: float) -> None:
        if self._smoothed is None or now - self._heard > self.STALE:
            self._smoothed, self._variation = round_trip, round_trip / 2
        else:
            self._variation += (abs(self._smoothed - round_trip) - self._variation) / 4
            self._smoothed += (round_trip - self._smoothed) / 8
        self._heard = now

    def value(self, now: float) -> float:
        if self._smoothed is None or now - self._heard > self.STALE:
            return self._least
        return max(self._least, self._smoothed + 4 * self._variation)
