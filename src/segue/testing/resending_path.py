"""When the packets of a talker arrive whose link breaks, and who sends again what was missed.

A model of the other end and of the way from it, for tests of what a listener hears. Packet n is made at n * 20 ms.
While the link is lost packets wait; when it is back they leave oldest first at `pace` times real time, beside the
newest ones or before them. What the link loses otherwise is sent again when the listener has asked for it.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from segue.emulator.link_model import LinkConfig, LinkModel
from segue.testing.entropy import SeededEntropy

PACKET = 0.020  # seconds
OCTETS = 200
BURST = 0.06  # seconds of late speech that may leave at once
NOTICED = 0.04  # seconds until a packet that did not come is asked for
COPIES = 3  # of a packet, sent again


@dataclass(frozen=True)
class Outage:
    """`asked_after`: seconds from the link's return until what waited may leave: 0 where the mover itself held it, or
    asked to resume with its first packet; a round trip where it is asked for packet by packet."""

    begin: float
    length: float
    asked_after: float = 0.0

    @property
    def end(self) -> float:
        return self.begin + self.length


@dataclass
class ResendingPath:
    """`newest_first`: what is said now leaves before what waits, else behind it. `resends`: whether lost packets are
    sent again at all; never those older than `keeps` seconds. `speaks`: whether packet n exists (a pause has none).
    """

    link: LinkConfig = field(default_factory=lambda: LinkConfig("path", 30.0))
    outages: Sequence[Outage] = ()
    pace: float = 2.0
    newest_first: bool = True
    resends: bool = True
    keeps: float = 10.0
    speaks: Callable[[int], bool] = lambda _: True
    seed: int = 1

    def arrivals(self, count: int) -> list[tuple[float, int]]:
        """(seconds, packet) of `count` packets, in order of time; none twice."""
        link = LinkModel(self.link, SeededEntropy(self.seed))
        waiting: list[tuple[int, float]] = []  # packet, from when it may leave
        copies: dict[int, int] = {}
        arrived: dict[int, float] = {}
        credit = BURST
        tick = 0
        while tick < count or (waiting and tick < count + 1000):
            now = tick * PACKET
            broken = next((outage for outage in self.outages if outage.begin <= now < outage.end), None)
            leaving: list[int] = []
            if tick < count and self.speaks(tick):
                if broken:
                    if self.resends:
                        heapq.heappush(waiting, (tick, broken.end + broken.asked_after))
                elif self.newest_first or not waiting:
                    leaving.append(tick)
                else:
                    heapq.heappush(waiting, (tick, now))
            credit = min(BURST, credit + self.pace * PACKET)
            if not broken:
                waiting = [each for each in waiting if each[0] * PACKET >= now - self.keeps]
                ready = sorted(each for each in waiting if each[1] <= now)
                for each in ready[: int(credit / PACKET + 1e-6)]:
                    waiting.remove(each)
                    credit -= PACKET
                    leaving.append(each[0])
                heapq.heapify(waiting)
            for packet in leaving:
                times = link.offer(OCTETS, now)
                for at in times[:1]:
                    arrived.setdefault(packet, at)
                if not times and self.resends and copies.get(packet, 0) < COPIES:
                    copies[packet] = copies.get(packet, 0) + 1
                    round_trip = 2 * self.link.one_way_delay_ms / 1000
                    heapq.heappush(waiting, (packet, now + round_trip + NOTICED))
            tick += 1
        return sorted((at, packet) for packet, at in arrived.items())
