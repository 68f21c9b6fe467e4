import numpy as np
import pytest

from segue.base.frame import Samples
from segue.media.concealment import Concealment
from segue.media.level import level_dbov


def buzz(rate: int, seconds: float, hertz: float = 125.0) -> Samples:
    time = np.arange(int(rate * seconds)) / rate
    wave = sum(np.sin(2 * np.pi * hertz * harmonic * time) / harmonic for harmonic in range(1, 9))
    return np.asarray(5000 * wave).astype(np.int16)


def bend(samples: Samples) -> int:
    return int(np.abs(np.diff(samples.astype(int), 2)).max())


@pytest.mark.parametrize("rate", [8000, 16000, 48000])
def test_a_lost_frame_of_a_voice_is_its_next_periods(rate: int) -> None:
    concealment, count = Concealment(rate), rate // 50
    frames = buzz(rate, 0.2).reshape(-1, count)
    heard = [concealment.heard(frame) for frame in frames[:6]]
    invented = concealment.conceal(count)
    rejoined = concealment.heard(frames[7])
    error = invented[: count // 2].astype(float) - frames[6][: count // 2]
    assert (error**2).mean() < 0.05 * (frames[6].astype(float) ** 2).mean()
    assert bend(np.concatenate((*heard, invented, rejoined))) <= 1.2 * bend(frames.ravel())


def test_a_long_loss_fades_to_silence_at_60_ms() -> None:
    concealment = Concealment(8000)
    for frame in buzz(8000, 0.2).reshape(-1, 160):
        concealment.heard(frame)
    levels = [level_dbov(concealment.conceal(80)) for _ in range(8)]
    assert levels == sorted(levels, reverse=True)
    assert levels[0] > -20
    assert levels[6:] == [-127.0, -127.0]


def test_without_loss_nothing_is_changed() -> None:
    concealment = Concealment(8000)
    wave = buzz(8000, 0.2)
    assert np.array_equal(np.concatenate([concealment.heard(frame) for frame in wave.reshape(-1, 160)]), wave)


def test_loss_before_any_sound_and_odd_counts() -> None:
    concealment = Concealment(8000)
    assert not concealment.conceal(37).any()
    assert len(concealment.heard(np.zeros(1, dtype=np.int16))) == 1
    assert len(concealment.conceal(7)) == 7
    assert len(concealment.heard(np.zeros(0, dtype=np.int16))) == 0


def test_full_scale_does_not_wrap() -> None:
    concealment = Concealment(8000)
    wave = np.where(np.arange(1600) // 40 % 2, 32767, -32768).astype(np.int16)
    for frame in wave.reshape(-1, 160):
        concealment.heard(frame)
    invented = concealment.conceal(80).astype(int)
    expected = np.where((np.arange(80) + 1600) // 40 % 2, 32767, -32768)
    assert (np.sign(invented[8:72]) == np.sign(expected[8:72])).mean() > 0.9


def test_sound_that_returns_out_of_phase_is_led_over_to() -> None:
    concealment = Concealment(8000)
    wave = (8000 * np.cos(2 * np.pi * 100 * np.arange(1600) / 8000)).astype(np.int16)
    heard = [concealment.heard(frame) for frame in wave.reshape(-1, 160)]
    invented = concealment.conceal(160)
    returned = concealment.heard((-wave[:160]).astype(np.int16))
    joined = np.concatenate((*heard, invented, returned)).astype(int)
    assert abs(int(wave[1599]) - int(-wave[0])) > 10_000  # what it would jump by
    assert np.abs(np.diff(joined)).max() < 1500
