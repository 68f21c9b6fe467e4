from importlib.resources import files

import numpy as np

from segue.base.resample import resample
from segue.media.level import level_dbov, peak
from segue.media.voice_activity import VoiceActivity


def test_levels_of_rfc_6464() -> None:
    """Section 3: a square wave of full scale has 0 dBov, a sine 3 dB less, silence -127."""
    time = np.arange(8000) / 8000
    assert abs(level_dbov((32767 * np.sign(np.sin(2 * np.pi * 100 * time + 0.1))).astype(np.int16))) < 0.001
    assert abs(level_dbov((32767 * np.sin(2 * np.pi * 100 * time)).astype(np.int16)) + 3.01) < 0.01
    assert level_dbov(np.zeros(160, dtype=np.int16)) == level_dbov(np.zeros(0, dtype=np.int16)) == -127.0
    assert level_dbov(np.array([-32768] * 160, dtype=np.int16)) == 0.0


def test_peak() -> None:
    assert peak(np.array([0, -32768, 5], dtype=np.int16)) == 1.0
    assert peak(np.array([16384, -3], dtype=np.int16)) == 0.5
    assert peak(np.zeros(0, dtype=np.int16)) == 0.0


def test_speech_is_told_from_the_silence_around_it() -> None:
    content = files("segue.devices").joinpath("speech", "sense_and_sensibility.wav").read_bytes()[44:]
    speech = resample(np.frombuffer(content, dtype=np.int16), 16000, 8000)[: 8000 * 7]
    quiet = np.random.default_rng(1).normal(0, 25, 8000 * 3)
    whole = np.concatenate((quiet, speech, quiet)).astype(np.int16)
    judge = VoiceActivity()
    active = np.array([judge.speech(frame, 8000) for frame in whole.reshape(-1, 160)])
    assert active[150:500].mean() > 0.8
    assert active[:150].mean() < 0.05
    assert active[520:].mean() < 0.1  # after 0.4 s: its last words, and the hangover


def test_steady_noise_is_not_speech_for_long() -> None:
    judge = VoiceActivity()
    noise = np.random.default_rng(2).normal(0, 300, 8000 * 30).astype(np.int16)
    active = [judge.speech(frame, 8000) for frame in noise.reshape(-1, 160)]
    assert not any(active[1000:])
