"""Reliable provisional responses (RFC 3262), both sides."""

from __future__ import annotations

from typing import NamedTuple

from segue.base.entropy import Entropy, number
from segue.base.errors import RemoteError
from segue.protocols.sip.message import Response
from segue.protocols.sip.timers import Timers

OPTION = "100rel"
QUEUE_LIMIT = 8  # provisional responses that wait for the PRACK of the one before them


class Rack(NamedTuple):
    """An RAck field value (section 7.2)."""

    response: int
    sequence: int
    method: str


def parse_rack(value: str | None) -> Rack:
    """Raises RemoteError(400)."""
    words = (value or "").split()
    if len(words) != 3 or not all(w.isascii() and w.isdigit() and len(w) <= 10 for w in words[:2]):
        raise RemoteError("bad RAck", 400)
    return Rack(int(words[0]), int(words[1]), words[2])


def write_rack(response: Response) -> str:
    """The RAck for a reliable provisional response."""
    return f"{rseq_of(response)} {response.cseq.number} {response.cseq.method}"


def rseq_of(response: Response) -> int:
    """The RSeq number, 0 when there is none. Raises RemoteError for a bad one."""
    value = response.headers.get("RSeq")
    if value is None:
        return 0
    value = value.strip()
    if not (value.isascii() and value.isdigit() and len(value) <= 10) or not 0 < int(value) < 1 << 32:
        raise RemoteError("bad RSeq")
    return int(value)


def is_reliable(response: Response) -> bool:
    """Whether a response asks for a PRACK (section 4); a 100 never does."""
    return 100 < response.status < 200 and OPTION in response.require and rseq_of(response) > 0


class ReliableReceiver:
    """The caller's side: which reliable responses are new and in order (section 4)."""

    __slots__ = ("_last",)

    def __init__(self) -> None:
        self._last: int | None = None

    def has(self, rseq: int) -> bool:
        """Whether this is a copy of the last one taken."""
        return self._last == rseq

    def take(self, rseq: int) -> bool:
        """True for the first one and for each that follows the last one; others are dropped without PRACK."""
        if self._last is not None and rseq != self._last + 1:
            return False
        self._last = rseq
        return True


class _Outstanding:
    __slots__ = ("ends_at", "interval", "repeat_at", "response", "rseq")

    def __init__(self, response: Response, rseq: int, timers: Timers, now: float) -> None:
        self.response = response
        self.rseq = rseq
        self.interval = timers.t1
        self.repeat_at = now + timers.t1
        self.ends_at = now + timers.timeout


class ReliableSender:
    """The callee's side of one INVITE: numbers responses, one at a time, until each has its PRACK (section 3).

    `send` gives what to send now, if anything; so does `acknowledge`, for the next in the queue.
    """

    __slots__ = ("_next", "_queue", "_timers", "_waiting")

    def __init__(self, entropy: Entropy, timers: Timers) -> None:
        self._timers = timers
        self._next = 1 + number(entropy, (1 << 31) - 1)
        self._waiting: _Outstanding | None = None
        self._queue: list[Response] = []

    @property
    def waiting(self) -> bool:
        """A response still lacks its PRACK."""
        return self._waiting is not None

    @property
    def body_waiting(self) -> bool:
        """A session description still lacks its PRACK: no 2xx may go out (section 5)."""
        return any(response.body for response in self.unacknowledged())

    def unacknowledged(self) -> list[Response]:
        """What waits for its PRACK, and what waits for that."""
        return self._queue if self._waiting is None else [self._waiting.response, *self._queue]

    def send(self, response: Response, now: float) -> Response | None:
        """Take a provisional response. It comes back, numbered, unless another waits for its PRACK."""
        if self._waiting is not None:
            if len(self._queue) < QUEUE_LIMIT:
                self._queue.append(response)
            return None
        return self._start(response, now)

    def _start(self, response: Response, now: float) -> Response:
        require = [tag for tag in response.headers.get_all("Require") if tag]
        response.headers.set("Require", ", ".join([*require, OPTION]))
        response.headers.set("RSeq", str(self._next))
        self._waiting = _Outstanding(response, self._next, self._timers, now)
        self._next += 1
        return response

    def acknowledges(self, rack: Rack, sequence: int) -> bool:
        """Whether this RAck is for the response that waits; `sequence` is the INVITE's CSeq number."""
        waiting = self._waiting
        return waiting is not None and rack == (waiting.rseq, sequence, "INVITE")

    def acknowledge(self, now: float) -> Response | None:
        """The PRACK is there; returns the next response to send."""
        self._waiting = None
        return self._start(self._queue.pop(0), now) if self._queue else None

    def repeated(self, now: float) -> Response | None:
        """The unacknowledged response, to be sent at once by another way; its timer starts anew."""
        if self._waiting is None:
            return None
        self._waiting = _Outstanding(self._waiting.response, self._waiting.rseq, self._timers, now)
        return self._waiting.response

    def stop(self) -> None:
        """A final response went out: nothing is repeated any more, no new one may be sent (section 3). The
        last PRACK may still come."""
        self._queue.clear()
        if self._waiting is not None:
            self._waiting.repeat_at = self._waiting.ends_at = float("inf")

    def deadline(self) -> float | None:
        waiting = self._waiting
        if waiting is None or waiting.repeat_at == float("inf"):
            return None
        return min(waiting.repeat_at, waiting.ends_at)

    def expire(self, now: float) -> Response | None:
        """The response to repeat, if it is time. The interval doubles without bound, unlike that of a 2xx."""
        waiting = self._waiting
        if waiting is None or waiting.repeat_at > now or waiting.ends_at <= now:
            return None
        waiting.interval *= 2
        waiting.repeat_at = now + waiting.interval
        return waiting.response

    def overdue(self, now: float) -> bool:
        """64*T1 without PRACK: the INVITE is to be refused with a 5xx (section 3)."""
        return self._waiting is not None and self._waiting.ends_at <= now
