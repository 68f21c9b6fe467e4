"""Whether a link is so bad that packets had better go two ways, though no move is under way. Pure.

Three witnesses: what the peer's receiver reports say of our packets (RFC 3550 section 6.4.1), what is missing of the
peer's, and the radio's signal. One of them is enough to begin; all have to be content, for a while, to end: a link
that is bad comes and goes, and duplicates that come and go with it would be late each time.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from segue.base.machine import earliest


@dataclass(frozen=True)
class QualityThresholds:
    """Losses as parts of one, signals in dBm, times in seconds.

    Two packets of a hundred lost are heard (ITU-T G.113: G.711 with concealment loses about 5 points of R at 2 %).
    `window`: of what is seen. `few`: fewer expected packets than this prove nothing. `content`: how long every
    witness must be content. A report is worth nothing after `stale`.
    """

    begin_loss: float = 0.02
    end_loss: float = 0.005
    begin_signal: float = -73.0
    end_signal: float = -70.0
    window: float = 4.0
    few: int = 50
    content: float = 5.0
    stale: float = 15.0


class LinkQuality:
    """A machine for one path. `is_bad` is the answer; `deadline` and `expire` end it when no witness speaks."""

    def __init__(self, thresholds: QualityThresholds = QualityThresholds()) -> None:
        self._thresholds = thresholds
        self._seen: deque[tuple[float, int, int]] = deque()  # when, packets expected, of these lost
        self._report: tuple[float, float] | None = None  # when, part lost
        self._dbm: float | None = None
        self._content_since: float | None = None
        self.is_bad = False

    def reported(self, lost: float, now: float) -> None:
        """The peer's latest receiver report about our packets: the part lost since its report before."""
        self._report = (now, lost)
        self._judge(now)

    def seen(self, expected: int, lost: int, now: float) -> None:
        """Of the peer's packets that were due since this was called last, so many did not come."""
        if expected > 0:
            self._seen.append((now, expected, min(max(lost, 0), expected)))
        self._judge(now)

    def signal(self, dbm: float | None, now: float) -> None:
        """What the radio's driver says; None when it says nothing."""
        self._dbm = dbm
        self._judge(now)

    def changed_path(self) -> None:
        """The call goes another way: what was known is about the old one."""
        self._seen.clear()
        self._report, self._dbm = None, None
        self._content_since = None
        self.is_bad = False

    def deadline(self) -> float | None:
        if not self.is_bad:
            return None
        limits = self._thresholds
        content = None if self._content_since is None else self._content_since + limits.content
        oldest = self._seen[0][0] + limits.window if self._seen else None
        report = self._report[0] + limits.stale if self._report else None
        return earliest(content, oldest, report)

    def expire(self, now: float) -> None:
        self._judge(now)

    def _judge(self, now: float) -> None:
        limits = self._thresholds
        while self._seen and self._seen[0][0] + limits.window <= now:
            self._seen.popleft()
        if self._report is not None and self._report[0] + limits.stale <= now:
            self._report = None
        losses = [loss for loss in (self._loss_seen(), self._report and self._report[1]) if loss is not None]
        dbm = self._dbm
        if any(loss >= limits.begin_loss for loss in losses) or (
            dbm is not None and dbm < limits.begin_signal
        ):
            self.is_bad, self._content_since = True, None
        elif any(loss > limits.end_loss for loss in losses) or (dbm is not None and dbm < limits.end_signal):
            self._content_since = None
        elif self.is_bad:
            self._content_since = now if self._content_since is None else self._content_since
            if now >= self._content_since + limits.content:
                self.is_bad, self._content_since = False, None

    def _loss_seen(self) -> float | None:
        """Of the window; None when too few packets were due."""
        expected = sum(entry[1] for entry in self._seen)
        if expected < self._thresholds.few:
            return None
        return sum(entry[2] for entry in self._seen) / expected
