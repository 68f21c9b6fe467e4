"""How long to wait between RTCP packets (RFC 3550 section 6.3.1 and appendix A.7)."""

from __future__ import annotations

from math import e

SHORTEST = 5.0  # seconds
SENDERS_SHARE = 0.25  # of the bandwidth
COMPENSATION = e - 1.5  # for timer reconsideration, which converges below the intended average


def deterministic_interval(
    members: int, senders: int, bandwidth: float, we_sent: bool, average_size: float, initial: bool
) -> float:
    """Seconds, before chance has its part. `bandwidth` in octets a second for all, `average_size` in octets,
    `initial`: before the first packet, when half the shortest time will do."""
    count = members
    if senders <= members * SENDERS_SHARE:
        if we_sent:
            bandwidth *= SENDERS_SHARE
            count = senders
        else:
            bandwidth *= 1 - SENDERS_SHARE
            count = members - senders
    return max(average_size * count / bandwidth, SHORTEST / 2 if initial else SHORTEST)


def randomised(interval: float, chance: float) -> float:
    """Between half and one and a half of it; `chance` is uniform in [0, 1)."""
    return interval * (chance + 0.5) / COMPENSATION
