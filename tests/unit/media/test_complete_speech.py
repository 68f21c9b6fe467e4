"""Speech is complete: through outages every word is heard once, and soon as early as before.

The coded signal goes through a real codec and a modelled link whose other end sends again what was missed; what was
heard is read from the recording.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pytest

from segue.base.frame import Samples
from segue.emulator.burst_loss import BurstLoss
from segue.emulator.link_model import LinkConfig
from segue.media.codecs import codec_for
from segue.media.coded_signal import analyse, coded_signal, repeated_ms, unheard_ms
from segue.media.playout import Playout, PlayoutStatistics
from segue.media.speech_policy import CONTINUOUS, SpeechPolicy
from segue.testing.resending_path import Outage, ResendingPath

PACKET = 0.020
PHASE = 0.007  # of the listener's packet clock
COMPLETE = SpeechPolicy(complete=True, limit=6.0, resent=True)
SPARE = 0.06  # seconds over an outage that may be silent
SPEED = 0.15  # of a second that may be taken out of it
CATCH_UP = 0.12  # of a second that is taken out of each on average, at least
NORMAL = 0.025  # seconds over the delay before the outage that are as good as none

Hook = Callable[[Playout, float], None]


class Heard(NamedTuple):
    recording: Samples
    rate: int
    unheard_ms: float
    repeated_ms: float
    lag: "np.ndarray[tuple[int], np.dtype[np.float64]]"  # seconds, at each tick: of the ear behind the mouth
    inserted: "np.ndarray[tuple[int], np.dtype[np.float64]]"  # ms of silence at each tick
    statistics: PlayoutStatistics

    def wait(self, begin: float, end: float) -> float:
        """Seconds of silence inserted meanwhile."""
        return float(self.inserted[round(begin / PACKET) : round(end / PACKET)].sum()) / 1000

    def normal_after(self, outage: Outage) -> float:
        """Seconds from the link's return until the ear is no more behind than before."""
        before = self.lag[round(outage.begin / PACKET) - 1]
        late = np.flatnonzero(self.lag[: round(outage.begin / PACKET) + 3000] > before + NORMAL)
        return float(late[-1] + 1) * PACKET - outage.end if len(late) else 0.0

    @property
    def fastest(self) -> float:
        """The most of the talk, over the time passed, that any second had, less 1."""
        return float((self.lag[:-50] - self.lag[50:]).max())


def listen(
    path: ResendingPath,
    name: str = "PCMU",
    seconds: float = 16.0,
    *,
    signal: Samples | None = None,
    policy: SpeechPolicy = COMPLETE,
    first: tuple[int, int] = (1000, 50_000),
    hook: Hook = lambda *_: None,
) -> Heard:
    """`first`: sequence number and timestamp."""
    talker, ear = codec_for(name), codec_for(name)
    if signal is None:
        signal = coded_signal(0, round(seconds * 25), talker.sample_rate)
    frames = signal[: len(signal) // talker.frame_samples * talker.frame_samples].reshape(
        -1, talker.frame_samples
    )
    payloads = [talker.encode(frame) for frame in frames]
    arrivals = path.arrivals(len(frames))
    playout = Playout({96: ear}, policy=policy)
    order = np.cumsum([path.speaks(number) for number in range(len(frames))]) + first[0]  # sequence numbers
    recording, lag, inserted, starved = [], [], [], 0.0
    for tick in range(len(frames) + 150):
        now = tick * PACKET + PHASE
        while arrivals and arrivals[0][0] <= now:
            at, number = arrivals.pop(0)
            timestamp = first[1] + number * ear.frame_ticks
            playout.put(
                96, int(order[number]) & 0xFFFF, timestamp & 0xFFFFFFFF, payloads[number], at, source=7
            )
        hook(playout, now)
        recording.append(playout.get(now).samples)
        statistics = playout.statistics
        inserted.append(statistics.starved_ms - starved)
        starved = statistics.starved_ms
        lag.append((sum(inserted) + statistics.lengthened_ms - statistics.shortened_ms) / 1000)
    whole = np.concatenate(recording)
    blocks = analyse(whole, playout.rate)
    sent = [
        block for block in range(len(frames) // 2) if path.speaks(2 * block) and path.speaks(2 * block + 1)
    ]
    return Heard(
        whole,
        playout.rate,
        unheard_ms(sent, blocks),
        repeated_ms(blocks),
        np.array(lag[: len(frames)]),
        np.array(inserted[: len(frames)]),
        playout.statistics,
    )


def assert_complete(heard: Heard, *outages: Outage) -> None:
    assert (heard.unheard_ms, heard.repeated_ms) == (0, 0)
    assert heard.statistics.given_up_ms == heard.statistics.concealed_ms == 0
    assert heard.fastest <= SPEED
    for outage in outages:
        late = outage.length + outage.asked_after + SPARE
        assert heard.wait(outage.begin, outage.end + outage.asked_after + 1.0) <= late
        assert heard.normal_after(outage) <= late / CATCH_UP


@pytest.mark.parametrize(("newest_first", "asked_after"), [(True, 0.0), (False, 0.0), (False, 0.08)])
@pytest.mark.parametrize("name", ["PCMU", "PCMA", "G722", "opus"])
def test_a_hard_move_costs_no_word_and_soon_no_delay(
    name: str, newest_first: bool, asked_after: float
) -> None:
    outage = Outage(3.013, 0.4, asked_after)
    assert_complete(listen(ResendingPath(outages=[outage], newest_first=newest_first), name, 10.0), outage)


@pytest.mark.parametrize("pace", [2.0, 3.0])
@pytest.mark.parametrize("length", [0.05, 0.1, 0.2, 1.0, 2.0, 5.0])
def test_outages_of_any_length(length: float, pace: float) -> None:
    outage = Outage(3.0, length, asked_after=0.08)
    seconds = 5.0 + length + (length + 0.14) / CATCH_UP
    assert_complete(listen(ResendingPath(outages=[outage], pace=pace), "PCMU", seconds), outage)


def test_two_outages_in_a_row_and_one_while_the_talk_still_catches_up() -> None:
    outages = [Outage(3.0, 0.4), Outage(3.6, 0.3), Outage(5.5, 0.4)]
    heard = listen(ResendingPath(outages=outages), seconds=20.0)
    assert_complete(heard)
    assert heard.wait(3.0, 8.0) <= sum(outage.length + SPARE for outage in outages)
    assert heard.lag[-1] <= heard.lag[140] + NORMAL


def test_ten_moves_in_a_row() -> None:
    outages = [Outage(3.0 + 4.5 * each, 0.4) for each in range(10)]
    heard = listen(ResendingPath(outages=outages), seconds=54.0)
    assert_complete(heard)
    assert heard.wait(3.0, 54.0) <= sum(outage.length + SPARE for outage in outages)
    assert heard.lag[-1] <= heard.lag[140] + 2 * NORMAL


@pytest.mark.parametrize("name", ["PCMU", "opus"])
def test_an_outage_of_a_path_with_burst_loss_and_jitter(name: str) -> None:
    """What is lost is waited for; then the delay is as long as it takes to send it again, and no one waits."""
    link = LinkConfig("path", 40.0, jitter_ms=30.0, loss=BurstLoss(0.03, 2.0))
    for seed in range(3):
        heard = listen(ResendingPath(link, [Outage(10.0, 0.4)], seed=seed), name, 40.0)
        assert heard.repeated_ms == 0
        assert heard.statistics.given_up_ms <= 20 and heard.unheard_ms <= 40  # a scrap that was lost thrice
        assert heard.fastest <= SPEED
        assert heard.wait(15.0, 40.0) <= 0.3


def test_what_the_talker_pauses_is_no_outage_and_an_outage_may_fall_into_a_pause() -> None:
    def speaks(number: int) -> bool:
        """1.2 s of speech, 0.8 s of nothing: RFC 3551 section 4.1."""
        return number % 100 < 60

    outage = Outage(6.9, 1.0)
    heard = listen(ResendingPath(outages=[outage], speaks=speaks), seconds=20.0)
    assert (heard.unheard_ms, heard.repeated_ms) == (0, 0)
    assert heard.statistics.given_up_ms == heard.statistics.missing == heard.statistics.restarts == 0
    clean = listen(ResendingPath(speaks=speaks), seconds=20.0)
    assert (clean.unheard_ms, clean.repeated_ms) == (0, 0)
    assert clean.statistics.target_ms == 60


@pytest.mark.parametrize("first", [(65_536 - 170, 0xFFFF_FFFF - 170 * 160), (65_536 - 155, 7)])
def test_numbers_wrap_in_the_outage(first: tuple[int, int]) -> None:
    outage = Outage(3.0, 1.0)
    assert_complete(listen(ResendingPath(outages=[outage]), seconds=14.0, first=first), outage)


def test_an_announced_outage_is_not_learnt_from_however_often_it_comes() -> None:
    outages = [Outage(2.0 + 2.5 * each, 0.12) for each in range(6)]

    def announce(playout: Playout, now: float) -> None:
        if any(outage.begin <= now < outage.begin + PACKET for outage in outages):
            playout.expect_outage(now)

    told = listen(ResendingPath(outages=outages, newest_first=False), seconds=20.0, hook=announce)
    untold = listen(ResendingPath(outages=outages, newest_first=False), seconds=20.0)
    assert_complete(told)
    assert told.statistics.target_ms == 60
    assert untold.statistics.target_ms >= 100


def test_the_delay_grows_before_an_expected_move_and_shrinks_after_it() -> None:
    """Vatn's rule: the step to a path that is 150 ms longer is not heard."""

    played = {}
    for announced in (False, True):
        talker, playout = codec_for("PCMU"), Playout({96: codec_for("PCMU")}, policy=COMPLETE)
        frames = coded_signal(0, 500, 8000).reshape(-1, 160)
        delays = []
        waiting = [(n * PACKET + (0.03 if n < 250 else 0.18), n) for n in range(1000)]
        for tick in range(1000):
            now = tick * PACKET + PHASE
            if announced and tick == 150:
                playout.expect_move(0.160, now, 3.0)
            while waiting and waiting[0][0] <= now:
                at, number = waiting.pop(0)
                playout.put(96, number, number * 160, talker.encode(frames[number % 1000]), at)
            playout.get(now)
            delays.append(playout.delay)
        played[announced] = playout.statistics, delays
    surprised, _ = played[False]
    prepared, delays = played[True]
    assert surprised.starved_ms >= 20
    assert prepared.starved_ms == prepared.concealed_ms == 0
    assert max(delays[240:250]) >= 0.16
    assert delays[900] <= 0.080 + 0.020


@pytest.mark.parametrize("resends", [True, False])
def test_nothing_is_played_later_than_the_limit(resends: bool) -> None:
    """5 s are missing; who listens waits for 2 s of them. What is given up is said."""
    outage = Outage(3.0, 5.0)
    policy = SpeechPolicy(complete=True, limit=2.0, resent=True)
    heard = listen(ResendingPath(outages=[outage], resends=resends, keeps=2.0), seconds=14.0, policy=policy)
    assert heard.repeated_ms == 0
    lost = 5000 if not resends else 3000
    assert lost - 100 <= heard.statistics.given_up_ms <= lost + 100
    assert lost - 160 <= heard.unheard_ms <= lost + 160


def test_in_continuous_speech_the_same_outage_costs_its_words_and_no_delay() -> None:
    heard = listen(ResendingPath(outages=[Outage(3.0, 2.0)], resends=False), policy=CONTINUOUS)
    assert 1900 <= heard.unheard_ms <= 2100
    assert heard.repeated_ms == 0


@pytest.mark.parametrize("frames", [1, 2, 3])
def test_packets_of_other_lengths_catch_up_as_well(frames: int) -> None:
    """20, 40 and 60 ms; a second is missing, and comes at three times its pace."""
    codec, playout = codec_for("PCMU"), Playout({0: codec_for("PCMU")}, policy=COMPLETE)
    length = frames * PACKET
    packets = coded_signal(0, 300, 8000).reshape(-1, 160 * frames)
    said = [(number + 1) * length for number in range(len(packets))]
    arrivals = sorted(
        (at + 0.03 if not 3.0 <= at < 4.0 else 4.03 + (at - 3.0) / 3, number)
        for number, at in enumerate(said)
    )
    delays, recording = [], []
    for tick in range(700):
        now = tick * PACKET + PHASE
        while arrivals and arrivals[0][0] <= now:
            at, number = arrivals.pop(0)
            playout.put(0, number, number * 160 * frames, codec.encode(packets[number]), at)
        recording.append(playout.get(now).samples)
        delays.append(playout.delay)
    heard = analyse(np.concatenate(recording), 8000)
    assert unheard_ms(range(299), heard) == repeated_ms(heard) == 0
    assert delays[round((4.03 + 1.06 / CATCH_UP - 1.0) / PACKET)] <= 0.060 + 0.12 + NORMAL + length


@pytest.mark.parametrize(("change", "lost"), [(3.3, 460), (3.5, 460), (4.5, 0)])
def test_another_clock_rate_in_an_outage_costs_its_words_at_most(change: float, lost: float) -> None:
    """Timestamps before and after have no common scale: what is sent again from before is not played. While the talk
    catches up nothing is lost."""
    arrivals = ResendingPath(outages=[Outage(3.0, 0.4)]).arrivals(600)
    playout = Playout({0: codec_for("PCMU"), 1: codec_for("opus")}, rate=16000, policy=COMPLETE)
    packets, timestamp = [], 1000
    sources = [
        (codec, coded_signal(0, 300, codec.sample_rate).reshape(-1, codec.frame_samples))
        for codec in (codec_for("PCMU"), codec_for("opus"))
    ]
    for number in range(600):
        kind = int(number * PACKET >= change)
        codec, frames = sources[kind]
        packets.append((kind, timestamp, codec.encode(frames[number])))
        timestamp += codec.frame_ticks
    recording = []
    for tick in range(750):
        now = tick * PACKET + PHASE
        while arrivals and arrivals[0][0] <= now:
            at, number = arrivals.pop(0)
            kind, stamp, payload = packets[number]
            playout.put(kind, number, stamp, payload, at)
        recording.append(playout.get(now).samples)
    heard = analyse(np.concatenate(recording), 16000)
    assert unheard_ms(range(299), heard) <= lost
    assert repeated_ms(heard) == 0
