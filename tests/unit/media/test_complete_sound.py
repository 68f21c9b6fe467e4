"""How complete speech sounds while it waits and catches up: pitch, clicks, pace."""

from importlib.resources import files

import numpy as np
import pytest

from segue.base.frame import Samples
from segue.base.resample import resample
from segue.emulator.link_model import LinkConfig
from segue.media.codecs import codec_for
from segue.media.coded_signal import BLOCK, analyse, coded_signal
from segue.media.playout import Playout
from segue.media.speech_policy import SpeechPolicy
from segue.testing.resending_path import Outage, ResendingPath

PACKET = 0.020
COMPLETE = SpeechPolicy(complete=True, limit=6.0, resent=True)
CODECS = ["PCMA", "G722", "opus"]  # 8, 16 and 48 kHz
OUTAGE = Outage(2.0, 0.4)
CATCHING_UP = slice(2.6, 4.6)  # seconds of the recording in which it certainly does


def hear(name: str, signal: Samples, outage: Outage | None = OUTAGE, ear: float = 0.007) -> Samples:
    """What a listener of this signal hears; `ear` is the phase of his packet clock."""
    talker = codec_for(name)
    frames = signal[: len(signal) // talker.frame_samples * talker.frame_samples].reshape(
        -1, talker.frame_samples
    )
    payloads = [talker.encode(frame) for frame in frames]
    path = ResendingPath(LinkConfig("path", 30.0), [outage] if outage else [])
    arrivals = path.arrivals(len(frames))
    playout = Playout({96: codec_for(name)}, policy=COMPLETE)
    recording = []
    for tick in range(len(frames)):
        now = tick * PACKET + ear
        while arrivals and arrivals[0][0] <= now:
            at, number = arrivals.pop(0)
            playout.put(96, number, number * talker.frame_ticks, payloads[number], at)
        recording.append(playout.get(now).samples)
    return np.concatenate(recording)


def voice(rate: int, hertz: float, seconds: float) -> Samples:
    """A voice that holds one note: harmonics up to 3.4 kHz, the higher the weaker."""
    time = np.arange(int(rate * seconds)) / rate
    wave = sum(
        np.sin(2 * np.pi * hertz * n * time + 0.3 * n * n) / n for n in range(1, int(3400 / hertz) + 1)
    )
    return np.asarray(4000 * wave).astype(np.int16)


def sine(rate: int, hertz: float, seconds: float) -> Samples:
    return (8000 * np.sin(2 * np.pi * hertz * np.arange(int(rate * seconds)) / rate)).astype(np.int16)


def piece(samples: Samples, rate: int, seconds: slice) -> Samples:
    return samples[int(seconds.start * rate) : int(seconds.stop * rate)]


def note(samples: Samples, rate: int, near: float) -> float:
    """The strongest frequency within a fifth of `near`, in Hz, by the spectrum, of which the peak is interpolated."""
    windowed = np.abs(np.fft.rfft(samples * np.hanning(len(samples)), 16 * len(samples)))
    hertz = np.arange(len(windowed)) * rate / (16 * len(samples))
    inside = np.flatnonzero((hertz > near * 0.8) & (hertz < near * 1.2))
    return float(hertz[inside[np.argmax(windowed[inside])]])


def period(samples: Samples, rate: int, near: float) -> float:
    """The period within a fifth of the one of `near`, as a frequency in Hz, by autocorrelation."""
    wave = samples.astype(float)
    spectrum = np.abs(np.fft.rfft(wave, 2 * len(wave))) ** 2
    likeness = np.fft.irfft(spectrum)[: len(wave)] / np.arange(len(wave), 0, -1)
    first, last = int(rate / near / 1.2), int(rate / near * 1.2) + 2
    best = first + int(np.argmax(likeness[first:last]))
    left, middle, right = likeness[best - 1 : best + 2]
    return float(rate / (best + (left - right) / (2 * (left - 2 * middle + right))))


@pytest.mark.parametrize("name", CODECS)
@pytest.mark.parametrize("hertz", [95.0, 150.0, 233.0])
def test_a_voice_keeps_its_pitch(name: str, hertz: float) -> None:
    rate = codec_for(name).sample_rate
    heard = piece(hear(name, voice(rate, hertz, 6.0)), rate, CATCHING_UP)
    tenth = rate // 10
    for begin in range(0, len(heard) - tenth, tenth // 2):
        assert period(heard[begin : begin + tenth], rate, hertz) == pytest.approx(hertz, rel=0.01)
    assert note(heard, rate, hertz) == pytest.approx(hertz, rel=0.01)


@pytest.mark.parametrize("name", CODECS)
@pytest.mark.parametrize("hertz", [300.0, 440.0, 1000.0])
def test_a_sine_keeps_its_pitch(name: str, hertz: float) -> None:
    rate = codec_for(name).sample_rate
    heard = piece(hear(name, sine(rate, hertz, 6.0)), rate, CATCHING_UP)
    for begin in range(0, len(heard) - rate // 5, rate // 10):
        assert note(heard[begin : begin + rate // 5], rate, hertz) == pytest.approx(hertz, rel=0.01)


@pytest.mark.parametrize("name", ["PCMA", "G722"])
@pytest.mark.parametrize("hertz", [95.0, 150.0, 233.0])
def test_a_wait_and_a_splice_make_no_step(name: str, hertz: float) -> None:
    """The largest step from sample to sample is one of the voice itself."""
    rate = codec_for(name).sample_rate
    heard = hear(name, voice(rate, hertz, 6.0)).astype(int)
    steps = np.abs(np.diff(heard))
    own = steps[int(1.0 * rate) : int(1.9 * rate)].max()
    assert steps[int(1.9 * rate) :].max() <= 1.05 * own


def recorded_speech(rate: int) -> Samples:
    """26 s."""
    content = files("segue.devices").joinpath("speech", "sense_and_sensibility.wav").read_bytes()
    return resample(np.frombuffer(content[44:], dtype=np.int16), 16000, rate)


def bends(samples: Samples) -> float:
    """The size of the sharpest bends: clicks stand out."""
    return float(np.quantile(np.abs(np.diff(samples.astype(int), 2)), 0.9999))


@pytest.mark.parametrize("name", CODECS)
def test_recorded_speech_waits_and_catches_up_without_a_click(name: str) -> None:
    rate = codec_for(name).sample_rate
    speech = recorded_speech(rate)
    whole = hear(name, speech, None)
    for begin in (4.0, 8.02, 15.34):
        assert bends(hear(name, speech, Outage(begin, 0.4))) <= 1.05 * bends(whole)


@pytest.mark.parametrize("name", ["PCMA", "opus"])
def test_no_second_has_more_than_fifteen_percent_more_of_steady_speech(name: str) -> None:
    """By what the recording contains: blocks of 40 ms, each where it was heard, to some ms."""
    rate = codec_for(name).sample_rate
    heard = analyse(hear(name, coded_signal(0, 450, rate), Outage(3.0, 1.0)), rate)
    for first in heard:
        for last in heard:
            if 0.95 <= last.position - first.position <= 1.05:
                talk = (last.block - first.block) * BLOCK
                assert talk <= 1.15 * (last.position - first.position) + 0.02


@pytest.mark.parametrize("name", CODECS)
def test_the_decoder_goes_on_where_it_stopped(name: str) -> None:
    """After the wait and its fade the very samples that would have come without it."""
    rate = codec_for(name).sample_rate
    signal = recorded_speech(rate)[: 4 * rate]
    whole, waited = hear(name, signal, None), hear(name, signal, Outage(2.0, 0.4))
    count = rate // 100
    pieces = np.lib.stride_tricks.sliding_window_view(whole[int(1.9 * rate) : int(2.4 * rate)], count)
    exact = [
        bool((pieces == waited[begin : begin + count]).all(axis=1).any())
        for begin in range(int(2.45 * rate), int(2.55 * rate), count)
    ]
    assert waited[int(2.45 * rate) : int(2.55 * rate)].any()
    assert sum(exact) >= 5  # the others are where pieces were joined
