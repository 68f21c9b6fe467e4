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
from segue.base.coded_signal import BLOCK, coded_signal
from segue.base.frame import Frame, Samples
from segue.base.keying import MasterKey, SrtpKeys, Suite
from segue.base.secret import Secret
from segue.base.trace import MemoryTrace
from segue.call.agreement import LocalMedia
from segue.call.config import MediaConfig
from segue.call.media_session import MediaIdentity, MediaSession
from segue.call.negotiation import Negotiation
from segue.call.repair import RepairStatistics
from segue.emulator.burst_loss import BurstLoss
from segue.emulator.link_model import LinkConfig, LinkModel
from segue.media.coded_signal import analyse, repeated_ms, unheard_ms
from segue.protocols.demux import Kind, sort
from segue.protocols.rtcp.packets import (
    Application,
    GenericNack,
    ReceiverReport,
    RtcpPacket,
    parse_rtcp,
    write_rtcp,
)
from segue.protocols.srtp.context import SrtpReceiver, SrtpSender
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
        cn: dict[str, Any] | None = None,
        alter: Callable[[bytes], bytes] = bytes,
        **config: Any,
    ) -> None:
        """`config` is that of both ends, `cn` what is different there; `alter` may change the offer."""
        self.alter = alter
        self.now = 0.0
        self.seconds = seconds
        self.cut = False
        self.deaf = False  # `cn` gets nothing
        self.reached = True  # cn knows where mn is
        self.plans: list[tuple[float, int, Callable[[], object]]] = []
        self.control: list[tuple[int, bytes]] = []  # RTCP: from which end
        self._under_way: list[tuple[float, int, int, bytes]] = []
        self._count = 0
        link = LinkConfig("path", 40.0, loss=loss or BurstLoss())
        self.mn = self._end(0, link, sequence, config)
        self.cn = self._end(1, link, sequence, config | (cn or {}))
        self.ends = (self.mn, self.cn)
        self.agree()
        if secure:
            self.use_keys(0, 1)

    def reports(self) -> list[RtcpPacket]:
        """All RTCP that was sent, opened with the first keys."""
        receivers = [SrtpReceiver(SUITE, [KEYS[number]]) for number in (0, 1)]
        opened = [receivers[number].unprotect_rtcp(octets) for number, octets in self.control]
        return [packet for octets in opened if octets is not None for packet in parse_rtcp(octets)]

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
        here = LocalMedia(Address("192.0.2.2", 4000))
        answer = self.cn.negotiation.receive_offer(self.alter(offer), here, self.now)
        self.mn.session.use(self.mn.negotiation.receive_answer(answer, self.now), self.now)
        assert self.cn.negotiation.agreement is not None
        self.cn.session.use(self.cn.negotiation.agreement, self.now)

    def use_keys(self, mine: int, theirs: int) -> None:
        self.mn.session.install(SrtpKeys(SUITE, KEYS[mine], KEYS[theirs]), self.now)
        self.cn.session.install(SrtpKeys(SUITE, KEYS[theirs], KEYS[mine]), self.now)

    def plan(self, at: float, action: Callable[[], object]) -> None:
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
        session = self.ends[number].session
        session.receive(octets, sort(octets), self.now)
        if session.resume_came():
            session.resume(self.now)
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
        else:
            self.control.append((number, octets))
        if self.cut or (number == 1 and not self.reached) or (number == 0 and self.deaf):
            return
        for at in end.link.offer(len(octets), self.now):
            self._count += 1
            heapq.heappush(self._under_way, (at, self._count, 1 - number, octets))

    def heard(self, listener: End, ending: float = 1.0) -> tuple[float, float]:
        """Unheard and repeated milliseconds, but for the first second, and for what may be on its way at the end, or
        wait in the listener's playout, in so many seconds."""
        blocks = analyse(np.concatenate(listener.recording), listener.session.play_rate)
        return unheard_ms(range(25, round((self.seconds - ending) / BLOCK)), blocks), repeated_ms(blocks)


def statistics(end: End) -> RepairStatistics:
    return end.session.repair_statistics


def lost(end: End) -> int:
    """What RTCP says of what came to this end."""
    return sum(source.lost for source in end.session._sources.values())


def assert_every_word_is_heard(ends: Ends, ending: float = 1.0) -> None:
    assert ends.heard(ends.cn, ending) == (0, 0), "uplink"
    assert ends.heard(ends.mn, ending) == (0, 0), "downlink"
    assert (lost(ends.cn), lost(ends.mn)) == (0, 0)


@pytest.mark.parametrize("secure", [True, False])
@pytest.mark.parametrize("length", [0.4, 2.0])
def test_every_word_is_heard_after_a_hard_move(length: float, secure: bool) -> None:
    ends = Ends(seconds=20.0, secure=secure)
    ends.outage(5.0, length)
    ends.run()
    assert_every_word_is_heard(ends)
    missed = round(length / PERIOD)
    assert statistics(ends.mn).sent_late == pytest.approx(missed, abs=2)
    assert statistics(ends.cn).resent == pytest.approx(missed, abs=6)
    assert statistics(ends.mn).recovered >= missed


def test_the_talk_stands_still_for_the_outage_and_what_physics_adds() -> None:
    """Uplink to the next packet, downlink a round trip; packets that were lost on their way cost nothing more."""
    ends = Ends(seconds=16.0)
    ends.outage(5.0, 0.4)
    ends.run()
    assert_every_word_is_heard(ends)
    uplink, downlink = (end.session.statistics for end in (ends.cn, ends.mn))
    assert uplink is not None and uplink.starved_ms <= 400 + 40
    assert downlink is not None and downlink.starved_ms <= 400 + 80 + 20


@pytest.mark.parametrize("codec", ["G722", "opus"])
def test_with_other_codecs_too(codec: str) -> None:
    ends = Ends(seconds=16.0, codecs=(codec,))
    ends.outage(5.0, 1.0)
    ends.run()
    assert_every_word_is_heard(ends)


def test_packets_of_sixty_milliseconds() -> None:
    ends = Ends(seconds=16.0, packet_time=60)
    ends.outage(5.0, 1.0)
    ends.run()
    assert_every_word_is_heard(ends)


def test_without_it_the_outage_is_not_heard() -> None:
    """The control: phones that have not agreed on it."""
    ends = Ends(seconds=20.0, extensions=())
    ends.outage(5.0, 2.0)
    ends.run()
    for end in ends.ends:
        assert ends.heard(end)[0] >= 1900
        assert lost(end) >= 95
        assert statistics(end) == RepairStatistics()


def test_a_phone_that_does_not_know_it_gets_nothing_of_it() -> None:
    ends = Ends(seconds=12.0, cn={"extensions": ()})
    ends.outage(5.0, 0.4)
    ends.run()
    assert {statistics(end).sent_late + statistics(end).resent for end in ends.ends} == {0}
    assert all(not isinstance(packet, GenericNack | Application) for packet in ends.reports())
    assert len({octets for _, octets in ends.mn.sent}) == len(ends.mn.sent)


def test_with_a_standard_phone_what_is_asked_for_is_sent_again() -> None:
    """RTP/AVPF with a generic NACK (RFC 4585): nothing is kept back, nobody asks to go on, each end asks for what is
    missing, with a report."""

    def with_feedback(body: bytes) -> bytes:
        return body.replace(b"RTP/AVP ", b"RTP/AVPF ") + b"a=rtcp-fb:* nack\r\n"

    ends = Ends(seconds=16.0, extensions=(), alter=with_feedback)
    ends.outage(5.0, 1.0)
    ends.run()
    assert_every_word_is_heard(ends)
    assert statistics(ends.mn).sent_late == 0
    assert statistics(ends.mn).resent >= 49
    reports = ends.reports()
    assert any(isinstance(packet, GenericNack) for packet in reports)
    assert not any(isinstance(packet, Application) for packet in reports)


def test_who_does_not_wait_is_sent_nothing_late_and_the_other_hears_all() -> None:
    ends = Ends(seconds=16.0, cn={"speech": "continuous"})
    ends.outage(5.0, 1.0)
    ends.run()
    assert ends.heard(ends.mn) == (0, 0), "downlink"
    assert ends.heard(ends.cn)[0] >= 900, "uplink"
    assert statistics(ends.mn).sent_late == statistics(ends.mn).resent == statistics(ends.cn).asked_for == 0


def test_the_identical_packet_paced_and_never_two_of_one_index() -> None:
    ends = Ends(seconds=16.0, sequence=65_000)
    ends.outage(5.0, 2.0)
    ends.run()
    for end in ends.ends:
        by_sequence: dict[int, set[bytes]] = {}
        for _, octets in end.sent:
            by_sequence.setdefault(octets[2] << 8 | octets[3], set()).add(octets)
        assert all(len(copies) == 1 for copies in by_sequence.values())
        times = [at for at, _ in end.sent]
        busiest = max(sum(at <= other < at + 1.0 for other in times) for at in times)
        assert busiest <= 3 * 50 + 10  # and what left just before the link was lost


@pytest.mark.parametrize("wraps_after", [0.5, 1.5, 2.5])
def test_over_the_wrap_of_the_sequence_number(wraps_after: float) -> None:
    """Before, in and after an outage from 5 to 7 s: the rollover counter of each copy is its packet's."""
    first = 65_536 - round((4.5 + wraps_after) / PERIOD)
    ends = Ends(seconds=20.0, sequence=first)
    ends.outage(5.0, 2.0)
    ends.run()
    assert_every_word_is_heard(ends)
    assert not [drop for end in ends.ends for drop in end.trace.drops if "not authentic" in drop]


@pytest.mark.parametrize("at", [6.0, 7.1, 7.5])
def test_over_a_change_of_key(at: float) -> None:
    """In the outage, with the answer to the moving offer, and while late packets leave: they bear the old key."""
    ends = Ends(seconds=20.0)
    ends.outage(5.0, 2.0)
    ends.plan(at, lambda: ends.use_keys(2, 3))
    ends.run()
    assert_every_word_is_heard(ends)


def test_moves_that_follow_each_other_before_all_is_made_good() -> None:
    ends = Ends(seconds=24.0)
    for at in (5.0, 6.3, 7.6):
        ends.outage(at, 1.0)
    ends.run()
    assert_every_word_is_heard(ends, ending=2.0)


@pytest.mark.parametrize("mean", [0.02, 0.05])
def test_on_links_that_lose_packets_in_bursts(mean: float) -> None:
    """Three in a row on average, reports and requests as well as media; and a hard move in between."""
    ends = Ends(seconds=24.0, loss=BurstLoss(mean, 3.0))
    ends.outage(8.0, 1.0)
    ends.run()
    for end in ends.ends:
        assert ends.heard(end) == (0, 0)
        assert lost(end) <= 4, "on their way at the end"
        assert end.session.received[1] > 50 + 500 * mean, "what the path lost is known all the same"
        assert statistics(end).asked_for > 50 + 500 * mean


def test_an_outage_as_long_as_anything_is_kept() -> None:
    """What is kept, the replay windows, and the listener's patience cover the same age."""
    ends = Ends(seconds=40.0, speech_limit=10.0)
    ends.outage(5.0, 9.0)
    ends.run()
    assert_every_word_is_heard(ends, ending=9.0)


def test_an_outage_that_nobody_noticed_is_made_good_by_asking() -> None:
    """No link event, as behind a wall: each end asks for what it sees missing."""
    ends = Ends(seconds=16.0)
    ends.plan(5.0, lambda: setattr(ends, "cut", True))
    ends.plan(6.0, lambda: setattr(ends, "cut", False))
    ends.run()
    assert_every_word_is_heard(ends)
    assert statistics(ends.mn).sent_late == 0
    assert statistics(ends.mn).resent >= 49


def test_a_request_that_is_lost_is_made_again() -> None:
    """The first things that the mover sends on its new path are lost, the request to go on among them."""
    ends = Ends(seconds=16.0)
    ends.outage(5.0, 1.0)
    ends.plan(5.999, lambda: setattr(ends, "deaf", True))
    ends.plan(6.05, lambda: setattr(ends, "deaf", False))
    ends.run()
    assert_every_word_is_heard(ends)


def test_a_key_that_is_pressed_in_an_outage_arrives_once() -> None:
    ends = Ends(seconds=12.0)
    ends.outage(5.0, 1.0)
    ends.plan(5.2, lambda: ends.mn.session.press("17"))
    ends.run()
    assert ends.cn.session.digits() == "17"


def test_speech_that_is_later_than_the_limit_is_not_sent_at_all_and_no_more_is_lost() -> None:
    ends = Ends(seconds=20.0, speech_limit=1.0)
    ends.outage(5.0, 4.0)
    ends.run()
    for end in ends.ends:
        assert 40 <= statistics(end).sent_late + statistics(end).resent <= 65
        assert 2900 <= ends.heard(end)[0] <= 3600


def test_who_asks_without_the_key_gets_nothing() -> None:
    ends = Ends(seconds=6.0)
    ends.run()
    nack = write_rtcp(
        [ReceiverReport(9), GenericNack(9, ends.mn.session.identity.ssrc, tuple(range(65_536)))]
    )
    stranger = SrtpSender(SUITE, KEYS[7])
    replayed = [octets for number, octets in ends.control if number == 1]
    for octets in (nack, stranger.protect_rtcp(nack), *replayed):
        ends.mn.session.receive(octets, Kind.RTCP, ends.now)
    assert ends.mn.session.late(ends.now) == []
    assert statistics(ends.mn).resent == 0


def test_in_the_clear_who_asks_for_everything_gets_no_more_than_was_sent() -> None:
    """Nothing authenticates there; what leaves goes to the agreed address, and is bounded."""
    ends = Ends(seconds=16.0, secure=False, sequence=0)
    ssrc = ends.mn.session.identity.ssrc
    nack = write_rtcp([ReceiverReport(9), GenericNack(9, ssrc, tuple(range(2000)))])
    for tick in range(100, 700):
        ends.plan(tick * PERIOD, lambda: ends.mn.session.receive(nack, Kind.RTCP, ends.now))
    ends.run()
    assert statistics(ends.mn).resent > 0, "the control"
    assert statistics(ends.mn).resent <= ends.mn.fed // 160
