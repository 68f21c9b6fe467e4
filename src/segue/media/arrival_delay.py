"""How late packets come, and what playout delay follows from it.

The relative delay of a packet is its arrival time less its timestamp, less the smallest such difference of
the last half to whole second (`base`). The target is the 0.95 quantile of the largest relative delay of each
half second, old half seconds forgotten by a factor of 0.983: the rule of NetEQ (anchors: WebRTC's
delay_manager), here in steps of 5 ms. Larger delays gain nothing for a conversation, smaller ones lose words
(Markopoulou et al. 2003; Sun and Ifeachor 2006: the choice per path decides the quality of a call).
"""

from __future__ import annotations

INTERVAL = 0.5  # seconds whose largest delay makes one entry
QUANTILE = 0.95
FORGET = 0.983
START_WEIGHT = 2.0  # how much heavier the first entries are: a call learns its path within seconds
STEP = 0.005  # seconds
STEPS = 200  # the last one holds everything over 1 s

SMALLEST_TARGET = 0.020
LARGEST_TARGET = 0.500
FIRST_TARGET = 0.040  # before anything was learnt


class ArrivalDelay:
    """Delays of one path; seconds throughout, independent of any codec's clock."""

    __slots__ = (
        "_back_at",
        "_entries",
        "_expected",
        "_high",
        "_interval_end",
        "_last",
        "_low",
        "_move_extra",
        "_moving_until",
        "_required",
        "_weights",
        "anchored_at",
        "base",
        "needed",
        "smallest",
        "target",
    )

    def __init__(self, smallest: float) -> None:
        """`smallest`: the target at least."""
        self._weights = [0.0] * STEPS
        self._entries = 0
        self._expected: list[tuple[float, float]] = []  # extra seconds, and until when
        self._required = (0.0, 0.0)  # a delay, and until when
        self._moving_until = 0.0  # a move is expected: what the delay does is none of the path's jitter
        self._move_extra = 0.0  # seconds of target for it, until its step was seen
        self._back_at = 0.0  # when media came back after an outage; 0: that is over
        self._high = 0.0
        self._last = (0.0, 0.0)  # the largest delay that was learnt last, and its weight
        self.smallest = smallest
        self.needed = FIRST_TARGET  # seconds of delay, for what was learnt and is expected
        self.target = max(FIRST_TARGET, smallest)  # what it should be
        self.base = 0.0  # arrival time less timestamp of the fastest recent packet
        self.anchored_at = 0.0  # when `base` was last set rather than followed
        self.anchor(0.0, 0.0)

    def anchor(self, delay: float, now: float) -> None:
        """Measure from `delay` (arrival less timestamp) from now on: another path, or another time scale.

        What was learnt of the jitter is kept, and so is the largest delay of this half second: if this was
        no new path but a single burst, it counts.
        """
        self.base = self._low = delay
        self._interval_end = now + INTERVAL
        self.anchored_at = now

    def observe(self, delay: float, now: float) -> None:
        """A packet with this arrival time less timestamp came."""
        if self._back_at and self._held_up(delay, now):
            return
        relative = delay - self.base
        self._high = max(self._high, relative)
        if delay < self._low:
            self._low = delay
            if relative < 0.0:
                self.base = delay
        if now >= self._interval_end:
            self._close_interval(now)

    def resume(self, now: float) -> None:
        """Media is back after an outage: what was made before now was held up, or is sent again, and how late it is
        says nothing of the path. The first packet that was not held up shows the path's delay."""
        self._back_at = now

    def learn_nothing(self, until: float) -> None:
        """What is late meanwhile is so for another reason than the path's jitter."""
        self._moving_until = max(self._moving_until, until)

    @property
    def held_up(self) -> bool:
        """Nothing that came since the outage was made after it."""
        return self._back_at > 0.0

    def _held_up(self, delay: float, now: float) -> bool:
        """By the old path's delay, when would this packet have come?"""
        if delay <= self.base:
            self._back_at = 0.0  # a faster path
            return False
        if now - (delay - self.base) < self._back_at:
            return True
        self._back_at = 0.0
        self.base = self._low = delay
        self._interval_end = now + INTERVAL
        return False

    def require(self, delay: float, now: float, duration: float) -> None:
        """Have a target of `delay` at least, for `duration`: what was lost and sent again came as late as that."""
        required, until = self._required
        self._required = (max(delay, required) if now < until else delay, now + duration)
        self._aim(now)

    def expect_move(self, extra: float, now: float, duration: float) -> None:
        """A move is coming: have a target `extra` over what is learnt, and do not take its step for jitter."""
        self._moving_until = max(self._moving_until, now + duration)
        self._move_extra = extra
        self._aim(now)

    def expect(self, extra: float, now: float, duration: float) -> None:
        """Have a target `extra` over what is learnt, for `duration`."""
        until = now + duration
        # What is both smaller and over sooner adds nothing; so the list stays short.
        self._expected = [entry for entry in self._expected if entry[0] > extra or entry[1] > until]
        self._expected.append((extra, until))
        self._aim(now)

    def _aim(self, now: float) -> None:
        if self._expected:
            self._expected = [entry for entry in self._expected if now < entry[1]]
        moving = self._move_extra if now < self._moving_until else 0.0
        extra = max((entry[0] for entry in self._expected), default=0.0) + moving
        required, until = self._required
        self.needed = min(LARGEST_TARGET, max(self._learnt() + extra, required if now < until else 0.0))
        self.target = max(self.needed, self.smallest)

    def _close_interval(self, now: float) -> None:
        rise = self._low - self.base
        if rise > 2 * STEP:
            self._step(rise)
        if now >= self._moving_until:
            self._learn()
        self._aim(now)
        self.base = self._low
        self._low = float("inf")
        self._high = 0.0
        self._interval_end = now + INTERVAL

    def _step(self, rise: float) -> None:
        """The path has become longer, as its fastest packets show: what was expected, and no jitter of the interval
        before, in which both paths were."""
        self._move_extra = 0.0
        learnt, weight = self._last
        self._last = (0.0, 0.0)
        self._weights[_step_of(learnt)] -= weight
        self._weights[_step_of(max(0.0, learnt - rise))] += weight
        self._high = max(0.0, self._high - rise)

    def _learn(self) -> None:
        entries = self._entries = self._entries + 1
        kept = min(FORGET, 1.0 - START_WEIGHT / (entries + 1.0))
        weights = self._weights
        for step, weight in enumerate(weights):
            if weight:
                weights[step] = weight * kept
        self._last = (self._high, 1.0 - kept)
        weights[_step_of(self._high)] += 1.0 - kept

    def _learnt(self) -> float:
        """The quantile's upper edge and one step to spare, within the bounds."""
        if not self._entries:
            return FIRST_TARGET
        enough = QUANTILE * sum(self._weights)
        step = 0
        for step, weight in enumerate(self._weights):  # noqa: B007
            enough -= weight
            if enough <= 0.0:
                break
        return min(LARGEST_TARGET, max(SMALLEST_TARGET, (step + 2) * STEP))


def _step_of(delay: float) -> int:
    return min(STEPS - 1, int(delay / STEP))
