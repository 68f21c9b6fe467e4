"""Two ends of a call over emulated links that break: every word is heard, once (design decision 5).

The ends are real media sessions with agreements made by the real negotiation; the talkers say the coded signal, and
what was heard is read from the recordings. Time is virtual.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from segue.base.address import Address
from segue.base.coded_signal import coded_signal
from segue.base.frame import Frame, Samples
from segue.base.keying import MasterKey, SrtpKeys, Suite
from segue.base.secret import Secret
from segue.base.trace import MemoryTrace
from segue.call.agreement import LocalMedia
from segue.call.config import MediaConfig
from segue.call.media_session import MediaIdentity, MediaSession
from segue.call.negotiation import Negotiation
from segue.emulator.burst_loss import BurstLoss
from segue.emulator.link_model import LinkConfig, LinkModel
from segue.media.coded_signal import analyse, repeated_ms, unheard_ms
from segue.protocols.demux import Kind, sort
from segue.testing.entropy import SeededEntropy

PERIOD = 0.02
SUITE = Suite.AEAD_AES_128_GCM
KEYS = [MasterKey(Secret(bytes([number]) * 16), Secret(bytes([number]) * 12)) for number in range(8)]


@dataclass
class End:
    session: MediaSession
    negotiation: Negotiation
    signal: Samples
    link: LinkModel  # from here to the other end
    trace: MemoryTrace
    recording: list[Samples] = field(default_factory=list)
    sent: list[tuple[float, bytes]] = field(default_factory=list)  # RTP, when it left
    fed: int = 0


class Ends:
    """`mn` moves, `cn` stays. While `cut` nothing passes; then `cn` reaches `mn` only when it has heard of it."""

    def __init__(
        self,
        *,
        seconds: float,
        secure: bool = True,
        loss: BurstLoss | None = None,
        sequence: int | None = None,
        delay_ms: float = 40.0,
        **config: Any,
    ) -> None:
        self.now = 0.0
        self.seconds = seconds
        self.cut = False
        self.reached = True  # cn knows where mn is
        self.plans: list[tuple[float, int, Callable[[], None]]] = []
        self._under_way: list[tuple[float, int, int, bytes]] = []
        self._count = 0
        link = LinkConfig("path", delay_ms, loss=loss or BurstLoss())
        self.mn, self.cn = (self._end(number, link, sequence, config) for number in (0, 1))
        self.ends = (self.mn, self.cn)
        self.agree()
        if secure:
            self.use_keys(0, 1)

    def _end(self, number: int, link: LinkConfig, sequence: int | None, config: dict[str, Any]) -> End:
        media = MediaConfig(**{"codecs": ("PCMA",), "keying": "none", **config})
        trace = MemoryTrace()
        session = MediaSession(
            MediaIdentity.draw(SeededEntropy(f"identity{number}"), sequence),
            SeededEntropy(f"session{number}"),
            0.0,
            speech_limit=media.waits,
            trace=trace,
        )
        negotiation = Negotiation(media, None, SeededEntropy(f"negotiation{number}"))
        signal = coded_signal(0, round(self.seconds / 0.04), 8000)
        return End(session, negotiation, signal, LinkModel(link, SeededEntropy(f"link{number}")), trace)

    def agree(self) -> None:
        offer = self.mn.negotiation.make_offer(LocalMedia(Address("192.0.2.1", 4000)), self.now)
        answer = self.cn.negotiation.receive_offer(offer, LocalMedia(Address("192.0.2.2", 4000)), self.now)
        self.mn.session.use(self.mn.negotiation.receive_answer(answer, self.now), self.now)
        assert self.cn.negotiation.agreement is not None
        self.cn.session.use(self.cn.negotiation.agreement, self.now)

    def use_keys(self, mine: int, theirs: int) -> None:
        self.mn.session.install(SrtpKeys(SUITE, KEYS[mine], KEYS[theirs]), self.now)
        self.cn.session.install(SrtpKeys(SUITE, KEYS[theirs], KEYS[mine]), self.now)

    def plan(self, at: float, action: Callable[[], None]) -> None:
        self._count += 1
        heapq.heappush(self.plans, (at, self._count, action))

    def outage(self, at: float, length: float, noticed: float = 0.015) -> None:
        """A hard move: the link goes, `mn` is told `noticed` later; it comes back elsewhere."""
        self.plan(at, self._break)
        self.plan(at + noticed, lambda: self.mn.session.link_lost(self.now))
        self.plan(at + length, self._mend)

    def _break(self) -> None:
        self.cut, self.reached = True, False
        self._under_way.clear()

    def _mend(self) -> None:
        self.cut = False
        self.mn.session.path_back(self.now)
        self.mn.session.ask_to_resume(self.now)
        self.flush(0)

    def run(self) -> None:
        for step in range(round(self.seconds / PERIOD)):
            for number in (0, 1):
                self._until(step * PERIOD + 0.007 * number)
                self._tick(number)

    def _until(self, end: float) -> None:
        while True:
            waiting = [queue[0][0] for queue in (self.plans, self._under_way) if queue]
            if not waiting or min(waiting) > end:
                break
            self.now = min(waiting)
            if self.plans and self.plans[0][0] == self.now:
                heapq.heappop(self.plans)[2]()
                continue
            _, _, number, octets = heapq.heappop(self._under_way)
            self._arrive(number, octets)
        self.now = end

    def _arrive(self, number: int, octets: bytes) -> None:
        self.reached = self.reached or number == 1
        self.ends[number].session.receive(octets, sort(octets), self.now)
        self.flush(number)

    def flush(self, number: int) -> None:
        """Feedback leaves at once."""
        if self.ends[number].session.feedback_waits:
            for octets in self.ends[number].session.transmits():
                self.carry(number, octets)

    def _tick(self, number: int) -> None:
        end, now = self.ends[number], self.now
        samples = end.signal[end.fed : end.fed + 160]
        end.fed += 160
        packet = end.session.send(Frame(samples, 8000), now)
        for octets in [packet] if packet is not None else []:
            self.carry(number, octets)
        for octets in end.session.late(now):
            self.carry(number, octets)
        self.flush(number)
        end.session.expire(now)
        for octets in end.session.transmits():
            self.carry(number, octets)
        frame = end.session.play(now)
        assert frame is not None
        end.recording.append(frame.samples)

    def carry(self, number: int, octets: bytes) -> None:
        end = self.ends[number]
        if sort(octets) is Kind.RTP:
            end.sent.append((self.now, octets))
        if self.cut or (number == 1 and not self.reached):
            return
        for at in end.link.offer(len(octets), self.now):
            self._count += 1
            heapq.heappush(self._under_way, (at, self._count, 1 - number, octets))

    def heard(self, listener: End) -> tuple[float, float]:
        """Unheard and repeated milliseconds, but for what may be on its way at the end."""
        blocks = analyse(np.concatenate(listener.recording), listener.session.play_rate)
        return unheard_ms(range(int((self.seconds - 1.0) / 0.04)), blocks), repeated_ms(blocks)


def statistics(end: End) -> dict[str, int]:
    return vars(end.session.repair_statistics)


@pytest.mark.parametrize("secure", [True, False])
@pytest.mark.parametrize("length", [0.4, 2.0])
def test_nothing_is_lost_in_a_hard_move(length: float, secure: bool) -> None:
    ends = Ends(seconds=24.0, secure=secure)
    ends.outage(5.0, length)
    ends.run()
    assert ends.heard(ends.cn) == (0, 0), "uplink"
    assert ends.heard(ends.mn) == (0, 0), "downlink"
