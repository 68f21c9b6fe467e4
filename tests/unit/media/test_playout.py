"""A whole stream: coded signal, encoder, a path, playout, and what the recording contains of the signal."""

from collections.abc import Callable, Iterable
from importlib.resources import files
from typing import NamedTuple

import numpy as np
import pytest

from segue.base.errors import LocalError
from segue.base.frame import Samples
from segue.base.resample import resample
from segue.base.trace import MemoryTrace
from segue.emulator.burst_loss import BurstLoss
from segue.emulator.link_model import LinkConfig, LinkModel
from segue.media.codecs import codec_for
from segue.media.coded_signal import analyse, coded_signal, repeated_ms, unheard_ms
from segue.media.playout import Playout, PlayoutStatistics
from segue.media.speech_policy import CONTINUOUS, SpeechPolicy
from segue.testing import SeededEntropy

PACKET = 0.020
PATIENT = SpeechPolicy(limit=3.0)  # but does not wait at a hole
ONE_WAY = 0.030
PHASE = 0.007  # of the listener's packet clock

Path = Callable[[int], Iterable[float]]  # arrival times of packet n, which is sent at 20 n ms


class Played(NamedTuple):
    unheard_ms: float
    repeated_ms: float
    statistics: PlayoutStatistics
    delays: list[float]
    recording: Samples
    rate: int


def clean(number: int) -> Iterable[float]:
    return [number * PACKET + ONE_WAY]


def through(link: LinkModel) -> Path:
    return lambda number: link.offer(200, number * PACKET)


def play(
    path: Path,
    name: str = "PCMU",
    seconds: float = 12.0,
    policy: SpeechPolicy = CONTINUOUS,
    signal: Samples | None = None,
) -> Played:
    sender, receiver = codec_for(name), codec_for(name)
    if signal is None:
        signal = coded_signal(0, round(seconds * 25), sender.sample_rate)
    frames = signal.reshape(-1, sender.frame_samples)
    arrivals = []
    for number, frame in enumerate(frames):
        payload = sender.encode(frame)
        arrivals += [(at, number, payload) for at in path(number)]
    arrivals.sort(key=lambda arrival: arrival[0])
    playout = Playout({96: receiver}, policy=policy)
    recording, delays, next_one = [], [], 0
    for tick in range(len(frames) + 100):
        now = tick * PACKET + PHASE
        while next_one < len(arrivals) and arrivals[next_one][0] <= now:
            at, number, payload = arrivals[next_one]
            playout.put(96, number, number * receiver.frame_ticks, payload, at, source=7)
            next_one += 1
        frame = playout.get(now)
        assert (len(frame.samples), frame.rate) == (playout.rate // 50, playout.rate)
        recording.append(frame.samples)
        delays.append(playout.delay)
    whole = np.concatenate(recording)
    heard = analyse(whole, playout.rate)
    sent = range(len(frames) // 2)
    return Played(
        unheard_ms(sent, heard), repeated_ms(heard), playout.statistics, delays, whole, playout.rate
    )


def outage(begin: float, length: float, delay: float = 0.0) -> Path:
    """Nothing gets through; afterwards all is sent at once, oldest first, `delay` after the path is back."""

    def path(number: int) -> Iterable[float]:
        sent = number * PACKET
        if not begin <= sent < begin + length:
            return [sent + ONE_WAY]
        return [begin + length + ONE_WAY + delay + (sent - begin) * 0.02]

    return path


def lossy(begin: float, length: float) -> Path:
    return lambda number: [] if begin <= number * PACKET < begin + length else clean(number)


@pytest.mark.parametrize("name", ["PCMU", "PCMA", "G722", "opus"])
def test_on_a_clean_path_everything_is_heard_once_and_soon(name: str) -> None:
    played = play(clean, name)
    assert (played.unheard_ms, played.repeated_ms) == (0, 0)
    assert played.statistics.concealed_ms == played.statistics.recovered_ms == 0
    assert max(played.delays[100:500]) <= 0.040  # behind the fastest packet


def test_on_a_clean_path_no_sample_is_changed() -> None:
    """Once the delay has settled, what is heard is what was decoded."""
    codec = codec_for("PCMU")
    signal = coded_signal(0, 300, 8000)
    expected = np.concatenate([codec.decode(codec.encode(frame)) for frame in signal.reshape(-1, 160)])
    recording = play(clean).recording
    piece = expected[40_000:80_000]
    at = [
        offset
        for offset in range(39_000, 42_000)
        if np.array_equal(recording[offset : offset + len(piece)], piece)
    ]
    assert len(at) == 1


@pytest.mark.parametrize("name", ["PCMU", "opus"])
def test_jitter_costs_delay_not_words(name: str) -> None:
    for jitter_ms in (20.0, 40.0, 80.0):
        link = LinkModel(LinkConfig("path", 30.0, jitter_ms=jitter_ms), SeededEntropy(2))
        played = play(through(link), name, seconds=20.0)
        assert played.unheard_ms <= 40
        assert played.repeated_ms == 0
        assert np.median(played.delays[250:1000]) <= jitter_ms / 1000 + 0.060


@pytest.mark.parametrize("ppm", [-1000, -100, 100, 1000])
def test_a_talker_whose_clock_runs_wrong_loses_no_word_and_gains_no_delay(ppm: int) -> None:
    """Sound cards are off by 100 ppm, 0.7 s in a call of two hours; here by as much in two minutes."""
    played = play(lambda number: [number * PACKET * (1 + ppm * 1e-6) + ONE_WAY], seconds=120.0)
    assert (played.unheard_ms, played.repeated_ms) == (0, 0)
    assert played.statistics.late == played.statistics.missing == played.statistics.restarts == 0
    assert played.statistics.concealed_ms == 0
    assert played.statistics.starved_ms <= 2000 + 120  # after the talker's end, which may come early
    assert max(played.delays[100:5800]) <= 0.060


def test_burst_loss_is_concealed_and_costs_what_was_lost() -> None:
    link = LinkModel(LinkConfig("path", 30.0, loss=BurstLoss(0.03, 2.0)), SeededEntropy(4))
    played = play(through(link), seconds=20.0)
    lost_ms = 20.0 * link.lost
    assert played.unheard_ms <= 1.2 * lost_ms
    assert played.repeated_ms == 0
    assert played.statistics.missing == pytest.approx(link.lost, abs=2)


def test_duplicates_over_two_paths_are_heard_once() -> None:
    played = play(lambda number: [number * PACKET + 0.03, number * PACKET + 0.07])
    assert (played.unheard_ms, played.repeated_ms) == (0, 0)
    assert played.statistics.duplicates == played.statistics.received == 600


@pytest.mark.parametrize("name", ["PCMU", "G722", "opus"])
@pytest.mark.parametrize("length", [0.05, 0.1, 0.3, 0.6, 1.0])
def test_an_outage_whose_packets_come_late_loses_no_word(name: str, length: float) -> None:
    """Decision 5: wait, catch up, then shrink the delay again."""
    played = play(outage(3.0, length), name, seconds=14.0, policy=PATIENT)
    assert (played.unheard_ms, played.repeated_ms) == (0, 0)
    assert played.delays[690] <= 0.060
    assert played.statistics.shortened_ms >= 1000 * length - 40


def test_an_outage_whose_packets_are_lost_costs_its_length() -> None:
    for length in (0.2, 1.0, 3.0):
        played = play(lossy(3.0, length), seconds=12.0)
        assert played.unheard_ms <= 1000 * length + 40
        assert played.repeated_ms == 0
        assert played.delays[590] <= 0.060  # the talk is no later than before


def test_a_move_to_a_slower_or_faster_path_loses_no_word() -> None:
    for before, after in ((0.015, 0.060), (0.060, 0.015), (0.02, 0.3), (0.3, 0.02)):
        played = play(
            lambda number, before=before, after=after: [
                number * PACKET + (before if number < 250 else after)
            ],
            seconds=15.0,
        )
        assert (played.unheard_ms, played.repeated_ms) == (0, 0)
        assert played.delays[740] <= 0.060


def test_ten_moves_cost_no_more_each_than_one() -> None:
    def path(number: int) -> Iterable[float]:
        sent = number * PACKET
        move, into = divmod(sent, 5.0)
        if move and into < 0.2:
            return [move * 5.0 + 0.2 + 0.03 + into * 0.02]
        return [sent + (0.03 if move % 2 else 0.06)]

    played = play(path, seconds=54.0, policy=PATIENT)
    assert (played.unheard_ms, played.repeated_ms) == (0, 0)
    assert played.statistics.missing == 0


def test_speech_is_compressed_by_thirty_percent_at_most() -> None:
    played = play(outage(3.0, 2.0), seconds=14.0, policy=PATIENT)
    delays = np.array(played.delays[300:600])
    second = delays[:-50] - delays[50:]
    assert 0.2 <= second.max() <= 0.31


def recorded_speech() -> Samples:
    """26 s at 16 kHz."""
    content = files("segue.devices").joinpath("speech", "sense_and_sensibility.wav").read_bytes()
    return np.frombuffer(content[44:], dtype=np.int16)


def test_single_losses_of_speech_are_recovered_from_the_next_packet() -> None:
    """LBRR of Opus; libopus leaves it out where nobody speaks."""
    speech = resample(recorded_speech(), 16000, 48000)
    played = play(lambda number: [] if number % 20 == 7 else clean(number), "opus", signal=speech)
    lost_ms = 20.0 * (len(speech) // 960 // 20)
    assert played.statistics.recovered_ms > 0.6 * lost_ms
    assert played.statistics.recovered_ms + played.statistics.concealed_ms <= lost_ms + 40


def test_a_pause_of_the_sender_is_silence_not_loss() -> None:
    """Hold, or DTX: the timestamp goes on, the sequence number does not (RFC 3551 section 4.1)."""
    for name in ("PCMU", "opus"):
        sender, playout = codec_for(name), Playout({96: codec_for(name)})
        frames = coded_signal(0, 250, sender.sample_rate).reshape(-1, sender.frame_samples)
        sequence, recording = 0, []
        for number in range(520):
            now = number * PACKET
            if number < 500 and not 200 <= number < 300:
                payload = sender.encode(frames[number])
                playout.put(96, sequence, number * sender.frame_ticks, payload, now + ONE_WAY)
                sequence += 1
            recording.append(playout.get(now + ONE_WAY + 0.005).samples)
        heard = analyse(np.concatenate(recording), playout.rate)
        assert unheard_ms([*range(100), *range(150, 250)], heard) <= 40
        assert playout.statistics.missing == playout.statistics.concealed_ms == 0


def bends(samples: Samples) -> float:
    """The size of the sharpest bends: clicks stand out."""
    return float(np.quantile(np.abs(np.diff(samples.astype(int), 2)), 0.9999))


def test_no_splice_and_no_concealment_clicks() -> None:
    """Recorded speech has no sharper bend after loss, outage and catching up than it had before."""
    speech = recorded_speech()
    link = LinkModel(LinkConfig("path", 30.0, loss=BurstLoss(0.05, 1.5)), SeededEntropy(4))

    def path(number: int) -> Iterable[float]:
        late = outage(8.0, 0.8)(number)
        return late if link.offer(200, number * PACKET) else []

    whole = play(clean, "G722", signal=speech)
    broken = play(path, "G722", signal=speech, policy=PATIENT)
    assert broken.statistics.missing > 30 and broken.statistics.shortened_ms > 500
    assert bends(broken.recording) <= 1.1 * bends(whole.recording)


# --- agreements


def test_packets_that_were_not_agreed_are_dropped_with_a_reason() -> None:
    trace = MemoryTrace()
    playout = Playout({0: codec_for("PCMU")}, trace=trace)
    assert not playout.put(8, 1, 160, bytes(160), 0.0)
    assert not playout.put(0, 2, 320, b"", 0.02)
    assert trace.drops == {("media", "payload type not agreed"): 1, ("media", "malformed payload"): 1}


def test_without_a_codec_there_is_nothing_to_play() -> None:
    with pytest.raises(LocalError, match="no codec"):
        Playout({})


@pytest.mark.parametrize("change", [("PCMU", "PCMA"), ("PCMU", "G722"), ("G722", "opus"), ("opus", "PCMU")])
def test_the_codec_changes_within_a_stream(change: tuple[str, str]) -> None:
    """At any packet, as RFC 3264 section 8.3.2 allows; the signal goes on."""
    first, second = (codec_for(name) for name in change)
    playout = Playout({0: codec_for(change[0]), 1: codec_for(change[1])}, rate=16000)
    signals = [
        coded_signal(0, 300, codec.sample_rate).reshape(-1, codec.frame_samples) for codec in (first, second)
    ]
    recording, timestamp = [], 1000
    for number in range(600):
        codec, frames, kind = (first, signals[0], 0) if number < 300 else (second, signals[1], 1)
        now = number * PACKET
        playout.put(kind, number, timestamp, codec.encode(frames[number]), now + ONE_WAY)
        timestamp += codec.frame_ticks
        recording.append(playout.get(now + ONE_WAY + 0.01).samples)
        assert len(recording[-1]) == 320
    heard = analyse(np.concatenate(recording), 16000)
    assert unheard_ms(range(296), heard) <= 40  # 40 ms may lie across the change
    assert repeated_ms(heard) == 0


def test_a_changed_agreement_still_plays_what_is_held() -> None:
    mu_law = codec_for("PCMU")
    playout = Playout({0: mu_law})
    signal = coded_signal(0, 50, 8000).reshape(-1, 160)
    recording = []
    for number in range(100):
        now = number * PACKET
        playout.put(0, number, number * 160, mu_law.encode(signal[number]), now)
        if number == 50:
            playout.use_codecs({8: codec_for("PCMA")})
        recording.append(playout.get(now + 0.01).samples)
    blocks = {piece.block for piece in analyse(np.concatenate(recording), 8000)}
    assert set(range(24)) <= blocks and not blocks & set(range(27, 50))


def test_before_anything_comes_there_is_silence() -> None:
    playout = Playout({0: codec_for("PCMU")}, rate=48000)
    frame = playout.get(3.0)
    assert (len(frame.samples), frame.time, frame.samples.any()) == (960, 3.0, False)
    assert playout.statistics == PlayoutStatistics(target_ms=40.0)


def test_packets_of_other_lengths() -> None:
    """Phones send 10, 30 or 60 ms too."""
    for samples in (80, 240, 480):
        codec = codec_for("PCMU")
        playout = Playout({0: codec_for("PCMU")})
        signal = coded_signal(0, 150, 8000)
        waiting = [
            (begin / 8000 + samples / 8000, begin, codec.encode(signal[begin : begin + samples]))
            for begin in range(0, len(signal) // samples * samples, samples)
        ]
        recording = []
        for tick in range(320):
            now = tick * PACKET
            while waiting and waiting[0][0] <= now:
                at, begin, payload = waiting.pop(0)
                playout.put(0, begin // samples, begin, payload, at)
            recording.append(playout.get(now).samples)
        heard = analyse(np.concatenate(recording), 8000)
        assert unheard_ms(range(149), heard) == repeated_ms(heard) == 0
