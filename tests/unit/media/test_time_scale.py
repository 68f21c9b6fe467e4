import numpy as np
import pytest

from segue.base.frame import Samples
from segue.media.splice import most_alike
from segue.media.time_scale import lengthen, shorten


def tone(rate: int, seconds: float, hertz: float = 200.0) -> Samples:
    return (8000 * np.sin(2 * np.pi * hertz * np.arange(int(rate * seconds)) / rate)).astype(np.int16)


def steepest(samples: Samples) -> int:
    return int(np.abs(np.diff(samples.astype(int))).max())


@pytest.mark.parametrize("rate", [8000, 16000, 48000])
def test_shorter_by_whole_periods_and_no_joint_to_be_heard(rate: int) -> None:
    wave = tone(rate, 0.05)
    shorter, likeness = shorten(wave, rate, 0.015)
    taken = (len(wave) - len(shorter)) / rate
    assert taken * 200 == pytest.approx(round(taken * 200), abs=0.03)
    assert 0.0025 <= taken <= 0.015
    assert likeness > 0.99
    assert steepest(shorter) <= steepest(wave) + 3


@pytest.mark.parametrize("rate", [8000, 16000, 48000])
def test_longer_by_whole_periods_and_no_joint_to_be_heard(rate: int) -> None:
    wave = tone(rate, 0.08)
    past, now = wave[: len(wave) // 2], wave[len(wave) // 2 :]
    longer, likeness = lengthen(past, now, rate, 0.015)
    given = (len(longer) - len(now)) / rate
    assert given * 200 == pytest.approx(round(given * 200), abs=0.03)
    assert 0.0025 <= given <= 0.015
    assert likeness > 0.99
    assert steepest(np.concatenate((past, longer))) <= steepest(wave) + 3
    assert np.array_equal(longer[-rate // 100 :], now[-rate // 100 :])


def test_no_more_than_asked_for() -> None:
    wave = tone(8000, 0.05)
    for most in (0.003, 0.006, 0.010):
        assert 0 < len(wave) - len(shorten(wave, 8000, most)[0]) <= most * 8000
        assert 0 < len(lengthen(wave, wave, 8000, most)[0]) - len(wave) <= most * 8000


def test_too_little_is_left_alone() -> None:
    wave = tone(8000, 0.05)
    for samples, most in ((wave[:60], 0.015), (wave, 0.001), (wave[:0], 0.015)):
        same, likeness = shorten(samples, 8000, most)
        assert same is samples and likeness == 0.0
        same, likeness = lengthen(samples[:10], samples, 8000, most)
        assert same is samples and likeness == 0.0


def test_a_piece_is_found_where_it_is() -> None:
    noise = np.random.default_rng(2).normal(0, 1000, 500).astype(np.float32)
    for step in (1, 2):
        offset, likeness = most_alike(noise[120:200], noise, step)
        assert (offset, round(likeness, 4)) == (120, 1.0)


def test_pieces_that_are_not_alike_are_faded() -> None:
    """A slow wander, so that two places of it have other values: no step where they are joined."""
    rng = np.random.default_rng(5)
    for _ in range(20):
        wander = np.cumsum(rng.normal(0, 300, 800)).clip(-30_000, 30_000).astype(np.int16)
        shorter, _ = shorten(wander[100:], 8000, 0.015)
        longer, _ = lengthen(wander[:400], wander[400:], 8000, 0.015)
        assert steepest(np.concatenate((wander[:100], shorter))) <= steepest(wander) + 400
        assert steepest(np.concatenate((wander[:400], longer))) <= steepest(wander) + 400
