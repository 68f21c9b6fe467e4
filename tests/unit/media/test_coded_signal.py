"""Each 40 ms is identifiable, through codecs, cuts and noise; and what is not there is not found."""

import numpy as np
import pytest

from segue.base.coded_signal import digits
from segue.base.frame import Samples
from segue.base.resample import resample
from segue.media.codecs import codec_for
from segue.media.coded_signal import (
    BLOCK,
    PERIOD,
    analyse,
    coded_signal,
    heard_long_after,
    outages,
    repeated_ms,
    unheard_ms,
)
from segue.media.level import level_dbov


def blocks(recording: Samples, rate: int) -> list[int]:
    return [piece.block for piece in analyse(recording, rate)]


def coded(samples: Samples, *names: str) -> Samples:
    """Through codecs one after another, as gateways do it."""
    rate = 8000
    for name in names:
        codec = codec_for(name)
        samples = resample(samples, rate, codec.sample_rate)
        frames = samples[: len(samples) // codec.frame_samples * codec.frame_samples]
        samples = np.concatenate(
            [codec.decode(codec.encode(frame)) for frame in frames.reshape(-1, codec.frame_samples)]
        )
        rate = codec.sample_rate
    return resample(samples, rate, 8000)


@pytest.mark.parametrize(
    "names",
    [
        ("PCMU",),
        ("PCMA",),
        ("G722",),
        ("opus",),
        ("PCMU", "opus"),
        ("opus", "PCMA"),
        ("G722", "PCMU", "opus"),
    ],
    ids="-".join,
)
def test_every_block_survives_codecs(names: tuple[str, ...]) -> None:
    heard = blocks(coded(coded_signal(100, 1000, 8000), *names), 8000)
    missing = set(range(100, 1100)) - set(heard)
    assert missing <= {1099}  # the last may be cut by the codec's delay
    assert heard == sorted(heard)


def test_it_is_as_loud_as_speech_and_within_the_telephone_band() -> None:
    signal = coded_signal(0, 500, 8000)
    assert abs(level_dbov(signal) + 20) < 1
    spectrum = np.abs(np.fft.rfft(signal.astype(float))) ** 2
    band = spectrum[280 * 20 : 2600 * 20].sum()
    assert band > 0.98 * spectrum.sum()


def test_a_missing_block_is_missing_and_its_neighbours_are_not() -> None:
    signal = coded_signal(0, 200, 8000)
    for gone in (50, 51, 100):
        signal[gone * 320 : (gone + 1) * 320] = 0
    heard = analyse(signal, 8000)
    assert set(range(200)) - {piece.block for piece in heard} == {50, 51, 100}
    assert unheard_ms(range(200), heard) == 120.0


def test_cutting_a_block_out_leaves_no_trace_of_it() -> None:
    signal = coded_signal(0, 200, 8000)
    cut = np.concatenate((signal[: 80 * 320], signal[85 * 320 :]))
    assert set(range(200)) - set(blocks(cut, 8000)) == set(range(80, 85))


def test_a_cut_within_blocks_makes_no_third_one() -> None:
    """Two blocks joined in the middle: the numbers on either side, or nothing; never another."""
    signal = coded_signal(0, 400, 8000)
    for first in range(10, 390, 7):
        for cut in (40, 100, 160, 220):
            joined = np.concatenate(
                (
                    signal[(first - 5) * 320 : first * 320 + cut],
                    signal[(first + 3) * 320 + cut : (first + 9) * 320],
                )
            )
            assert set(blocks(joined, 8000)) <= set(range(first - 5, first + 9))


def test_a_repetition_is_found() -> None:
    signal = coded_signal(0, 100, 8000)
    again = np.concatenate((signal[: 60 * 320], signal[57 * 320 :]))
    assert repeated_ms(analyse(again, 8000)) == 120.0
    assert repeated_ms(analyse(signal, 8000)) == 0.0


@pytest.mark.parametrize("age", [2, 10, 48])
@pytest.mark.parametrize("length", [1, 4, 12])
def test_what_an_attacker_replays_is_found_however_short_and_old(age: int, length: int) -> None:
    """In the place of what is said, and between it."""
    signal = coded_signal(0, 300, 8000)
    old = signal[(150 - age) * 320 : (150 - age + length) * 320]
    instead = np.concatenate((signal[: 150 * 320], old, signal[(150 + length) * 320 :]))
    between = np.concatenate((signal[: 150 * 320], old, signal[150 * 320 :]))
    assert repeated_ms(analyse(instead, 8000)) == 40.0 * min(age, length)
    assert repeated_ms(analyse(between, 8000)) == 40.0 * length


def test_numbers_go_on_after_their_period() -> None:
    signal = coded_signal(PERIOD - 50, 100, 8000)
    assert blocks(signal, 8000) == list(range(PERIOD - 50, PERIOD + 50))
    assert blocks(coded_signal(PERIOD, 1, 8000), 8000) == [0]


def test_numbers_go_on_over_an_outage() -> None:
    signal = coded_signal(0, 2000, 8000)
    cut = np.concatenate((signal[: 200 * 320], np.zeros(8000, dtype=np.int16), signal[1200 * 320 :]))
    assert blocks(cut, 8000) == [*range(200), *range(1200, 2000)]


def misread(signal: Samples, at: int, *others: int) -> Samples:
    """The signal with whole blocks from `at` on in the place of which other ones are heard, clear as can be: what
    concealment and garbled packets are mistaken for now and then."""
    altered = signal.copy()
    for index, other in enumerate(others):
        altered[(at + index) * 320 : (at + index + 1) * 320] = coded_signal(other, 1, 8000)
    return altered


@pytest.mark.parametrize(
    "others",
    [(900,), (2200,), (900, 901), (1250, 1700), (900, 1800), (1190, 2380, 1170), (160, 900, 2100)],
    ids=str,
)
def test_blocks_that_are_misread_take_nothing_along(others: tuple[int, ...]) -> None:
    """Neither do they count as heard, nor is what lies between them and their neighbours unheard."""
    heard = analyse(misread(coded_signal(0, 400, 8000), 150, *others), 8000)
    assert [piece.block for piece in heard] == [*range(150), *range(150 + len(others), 400)]
    assert outages(heard) == [(pytest.approx(149.5 * BLOCK, abs=0.01), len(others))]


def test_misread_blocks_around_an_outage_take_nothing_along() -> None:
    signal = coded_signal(0, 400, 8000)
    signal[150 * 320 : 160 * 320] = 0
    heard = analyse(misread(misread(signal, 151, 900), 158, 2000), 8000)
    assert [count for _, count in outages(heard)] == [10]


def test_numbers_go_on_over_an_outage_of_more_than_half_their_period() -> None:
    signal = coded_signal(0, 3000, 8000)
    signal[200 * 320 : 1900 * 320] = 0  # 68 s in which nothing was heard
    assert blocks(signal, 8000) == [*range(200), *range(1900, 3000)]


def test_what_is_heard_for_a_moment_within_an_outage_counts() -> None:
    signal = coded_signal(0, 3000, 8000)
    for begin, end in ((200, 205), (207, 220), (221, 400)):
        signal[begin * 320 : end * 320] = 0
    heard = analyse(signal, 8000)
    assert set(range(200, 400)) & {piece.block for piece in heard} == {205, 206, 220}
    assert [count for _, count in outages(heard)] == [5, 13, 179]


def test_numbers_are_not_lost_in_hours_of_losses() -> None:
    """Losses of all lengths, concealed as a phone does: what counts as unheard is what was lost, and no more."""
    dice = np.random.default_rng(5)
    codec = codec_for("PCMA")
    frames = coded_signal(0, 6000, 8000).reshape(-1, 160)
    here = np.ones(len(frames), dtype=bool)
    for at in dice.integers(100, len(frames) - 400, 120):
        here[at : at + int(dice.choice([1, 2, 5, 15, 60]))] = False
    heard_frames = [
        codec.decode(codec.encode(frame)) if there else codec.conceal(160)
        for frame, there in zip(frames, here, strict=True)
    ]
    heard = analyse(np.concatenate(heard_frames), 8000)
    gone = ~here.reshape(-1, 2)
    wholly, partly = gone.all(axis=1).sum(), gone.any(axis=1).sum()
    missing = sum(count for _, count in outages(heard))
    assert heard[-1].block >= 5998
    assert 0.6 * wholly < missing <= partly  # concealment repeats what was heard, and may bridge a block


def test_a_repetition_hides_no_outage_and_makes_none() -> None:
    signal = coded_signal(0, 200, 8000)
    again = np.concatenate((signal[: 60 * 320], signal[57 * 320 : 100 * 320], signal[104 * 320 :]))
    assert [count for _, count in outages(analyse(again, 8000))] == [4]


@pytest.mark.parametrize("rate", [8000, 16000, 44100, 48000])
def test_positions_tell_when_it_was_heard(rate: int) -> None:
    heard = analyse(coded_signal(0, 100, rate), rate)
    assert all(abs(piece.position - (0.02 + 0.04 * piece.block)) < 0.006 for piece in heard)


def test_nothing_is_found_where_nothing_is() -> None:
    rng = np.random.default_rng(3)
    noise = rng.normal(0, 3000, 80_000).astype(np.int16)
    hum = (8000 * np.sin(2 * np.pi * 440 * np.arange(80_000) / 8000)).astype(np.int16)
    for recording in (noise, hum, np.zeros(80_000, dtype=np.int16), noise[:10], noise[:0]):
        assert len(blocks(recording, 8000)) <= 2


def test_quiet_and_noisy_lines() -> None:
    signal = coded_signal(0, 200, 8000)
    assert blocks((signal // 30).astype(np.int16), 8000) == list(range(200))  # 30 dB weaker
    noise = np.random.default_rng(1).normal(0, 300, len(signal))  # 20 dB under it
    assert blocks((signal + noise).astype(np.int16), 8000) == list(range(200))


def test_other_rates_are_refused() -> None:
    with pytest.raises(ValueError, match="no whole number"):
        coded_signal(0, 1, 11026)


def test_neighbours_have_no_tone_of_the_number_in_common() -> None:
    chosen = digits(np.arange(PERIOD + 1))
    assert (chosen[1:, :4] != chosen[:-1, :4]).all()
    assert len(np.unique(chosen[:PERIOD, :4], axis=0)) == PERIOD


def test_any_two_numbers_differ_in_three_tones_at_least() -> None:
    chosen = digits(np.arange(PERIOD))
    for number in range(0, PERIOD, 97):
        other = (chosen != chosen[number]).sum(axis=1)
        other[number] = 6
        assert other.min() >= 3


@pytest.mark.parametrize("age", [100, 240])
def test_what_comes_again_after_many_seconds_is_counted_and_the_period_is_not(age: int) -> None:
    signal = coded_signal(0, 300, 8000)
    old = signal[(250 - age) * 320 : (260 - age) * 320]
    again = np.concatenate((signal[: 250 * 320], old, signal[260 * 320 :]))
    assert heard_long_after(again, 8000) == 10
    assert heard_long_after(signal, 8000) == 0
    assert heard_long_after(coded_signal(0, PERIOD + 200, 8000), 8000) == 0


def test_three_seconds_that_nobody_waited_for_are_no_repetition() -> None:
    signal = coded_signal(0, 100, 8000)
    again = np.concatenate((signal[: 60 * 320], signal[10 * 320 :]))
    assert heard_long_after(again, 8000) == 0
