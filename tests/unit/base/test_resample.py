import numpy as np
import pytest

from segue.base.frame import Samples
from segue.base.resample import Resampler, resample

RATES = [8000, 16000, 24000, 32000, 44100, 48000]
PAIRS = [(source, target) for source in RATES for target in RATES if source != target]


def sine(hertz: float, rate: int, seconds: float = 1.0) -> np.ndarray:
    return 10_000 * np.sin(2 * np.pi * hertz * np.arange(round(rate * seconds)) / rate)


def noise_ratio(wanted: np.ndarray, got: Samples) -> float:
    return float(10 * np.log10((wanted**2).sum() / ((wanted - got) ** 2).sum()))


@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_a_tone_is_the_same_tone_at_the_same_time(source: int, target: int) -> None:
    for hertz in (300.0, 1000.0, 3000.0):
        changed = resample(sine(hertz, source).astype(np.int16), source, target)
        assert len(changed) == target
        inner = slice(target // 20, -target // 20)
        assert noise_ratio(sine(hertz, target)[inner], changed[inner]) > 55


@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_frames_of_20_ms_stay_frames_of_20_ms(source: int, target: int) -> None:
    stream = Resampler(source, target)
    frames = sine(440, source).astype(np.int16).reshape(50, -1)
    assert {len(stream.push(frame)) for frame in frames} == {target // 50}


@pytest.mark.parametrize(("source", "target"), [(48000, 8000), (16000, 8000), (44100, 16000)])
def test_what_the_lower_rate_cannot_carry_is_gone(source: int, target: int) -> None:
    above = resample(sine(target * 0.52, source).astype(np.int16), source, target)[
        target // 20 : -target // 20
    ]
    assert np.sqrt((above.astype(float) ** 2).mean()) < 10_000 / np.sqrt(2) * 10 ** (-50 / 20)


@pytest.mark.parametrize(("source", "target"), [(8000, 48000), (44100, 48000), (48000, 8000)])
def test_a_stream_is_what_a_whole_recording_gives_however_it_is_cut(source: int, target: int) -> None:
    wave = np.random.default_rng(1).normal(0, 5000, source).astype(np.int16)
    whole = Resampler(source, target).push(wave)
    stream, rng, pieces, at = Resampler(source, target), np.random.default_rng(2), [], 0
    while at < len(wave):
        count = int(rng.integers(0, 700))
        pieces.append(stream.push(wave[at : at + count]))
        at += count
    cut = np.concatenate(pieces)
    assert len(cut) == len(whole)
    assert np.abs(cut.astype(int) - whole).max() <= 1  # the order of float32 additions


def test_equal_rates_pass_through_untouched() -> None:
    wave = sine(440, 8000).astype(np.int16)
    assert Resampler(8000, 8000).push(wave) is wave
    assert resample(wave, 8000, 8000) is wave


def test_full_scale_is_clipped_not_wrapped() -> None:
    square = np.where(np.arange(8000) // 40 % 2, 32767, -32768).astype(np.int16)
    changed = resample(square, 8000, 48000).astype(int).reshape(-1, 240)[5:-5]
    inner = changed[:, 60:180]
    assert (np.sign(inner) == np.sign(inner[:, :1])).all()


def test_wanted_is_enough_and_no_more_than_a_block() -> None:
    for source, target in PAIRS:
        stream = Resampler(source, target)
        for count in (1, 160, 441, 960):
            assert len(stream.push(np.zeros(stream.wanted(count), dtype=np.int16))) >= count


def test_rates_that_are_none() -> None:
    with pytest.raises(ValueError, match="no sample rate"):
        Resampler(0, 8000)
