"""How a listener's playout waited through an outage and came back to its usual delay, from his recording.

The coded signal says of each 40 ms which it is, so that each that was heard tells how far the recording is behind the
talker. What was waited for is a step in that; speech that is played faster makes it smaller again.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from segue.media.coded_signal import BLOCK, Heard

BEFORE = 2.0  # seconds before a move in which the delay is the usual one
WATCHED = 12.0  # seconds after one in which it comes back
STEP = 0.02  # seconds: what the delay may change by without being a wait; a block is found to half of that
FEWEST = 12  # blocks that a speed is measured over
FAST = 1.02  # from which it is one


@dataclass(frozen=True)
class CatchingUp:
    """`inserted_silence_ms`: what the listener waited, in all. `catch_up_speed`: of the speech after it, against the
    talker's; None when it was never faster. `normal_after_ms`: from when media was back until the delay was the
    usual one again (what the path added counts as usual); None when it was not, within the time watched."""

    inserted_silence_ms: float
    catch_up_speed: float | None
    normal_after_ms: float | None


def catching_up(
    pieces: Sequence[tuple[float, Heard]], began: float, back: float, until: float, step: float = 0.0
) -> CatchingUp | None:
    """`pieces`: of the recording, with Unix times. The move began at `began`, media was back at `back`, and what
    happens from `until` on is of the next one. `step`: seconds by which the path became longer. None when too
    little was heard."""
    late = [(at, at - piece.block * BLOCK) for at, piece in pieces]
    calm = [lag for at, lag in late if began - BEFORE <= at < began]
    after = [(at, lag) for at, lag in late if began <= at < min(until, back + WATCHED)]
    if not calm or len(after) < FEWEST:
        return None
    usual = statistics.median(calm)
    lags = [(began, usual), *after]
    waited = sum(max(0.0, b - a) for (_, a), (_, b) in pairwise(lags) if b - a > STEP)
    target = usual + max(0.0, step) + STEP
    highest = max(range(len(after)), key=lambda index: after[index][1])
    normal = _from_then_on_below(after[highest:], target)
    return CatchingUp(
        round(waited * 1000, 1),
        _speed(after[highest:], normal),
        None if normal is None else round(max(0.0, normal - back) * 1000, 1),
    )


def _from_then_on_below(lags: Sequence[tuple[float, float]], target: float) -> float | None:
    """When the delay was below the target and stayed there."""
    found = None
    for at, lag in lags:
        if lag > target:
            found = None
        elif found is None:
            found = at
    return found


def _speed(lags: Sequence[tuple[float, float]], normal: float | None) -> float | None:
    """The talker's time over the listener's, from the highest delay until it was normal, by the slope between medians
    of a few blocks at either end: each is found to 10 ms."""
    part = [entry for entry in lags if normal is None or entry[0] <= normal]
    if len(part) < FEWEST:
        return None
    count = max(3, len(part) // 5)
    first, last = part[:count], part[-count:]
    passed = statistics.mean(at for at, _ in last) - statistics.mean(at for at, _ in first)
    fallen = statistics.mean(lag for _, lag in first) - statistics.mean(lag for _, lag in last)
    speed = (passed + fallen) / passed
    return round(speed, 3) if speed >= FAST else None
