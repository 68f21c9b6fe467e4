"""Speech is complete: through outages every word is heard once, and soon as early as before.

The coded signal goes through a real codec and a modelled link whose other end sends again what was missed; what was
heard is read from the recording.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pytest

from segue.base.frame import Samples
from segue.media.codecs import codec_for
from segue.media.coded_signal import analyse, coded_signal, repeated_ms, unheard_ms
from segue.media.playout import Playout, PlayoutStatistics
from segue.media.speech_policy import SpeechPolicy
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
    recording, lag, inserted, starved = [], [], [], 0.0
    for tick in range(len(frames) + 50):
        now = tick * PACKET + PHASE
        while arrivals and arrivals[0][0] <= now:
            at, number = arrivals.pop(0)
            timestamp = first[1] + number * ear.frame_ticks
            playout.put(
                96, (first[0] + number) & 0xFFFF, timestamp & 0xFFFFFFFF, payloads[number], at, source=7
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


@pytest.mark.parametrize("newest_first", [True, False])
@pytest.mark.parametrize("name", ["PCMU", "PCMA", "G722", "opus"])
def test_a_hard_move_costs_no_word_and_soon_no_delay(name: str, newest_first: bool) -> None:
    outage = Outage(3.013, 0.4)
    assert_complete(listen(ResendingPath(outages=[outage], newest_first=newest_first), name, 10.0), outage)


@pytest.mark.parametrize("pace", [2.0, 3.0])
@pytest.mark.parametrize("length", [0.05, 0.1, 0.2, 1.0, 2.0, 5.0])
def test_outages_of_any_length(length: float, pace: float) -> None:
    outage = Outage(3.0, length, asked_after=0.08)
    seconds = 5.0 + length + (length + 0.14) / CATCH_UP
    assert_complete(listen(ResendingPath(outages=[outage], pace=pace), "PCMU", seconds), outage)
