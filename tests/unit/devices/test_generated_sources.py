import numpy as np
import pytest

from segue.base.errors import LocalError
from segue.base.frame import Frame, Samples
from segue.devices import Source, open_sink, open_source
from segue.media.coded_signal import analyse, unheard_ms
from segue.media.level import level_dbov


def read(source: Source, seconds: float) -> Samples:
    frames = [source.read() for _ in range(round(seconds * 50))]
    assert {(len(frame.samples), frame.rate) for frame in frames} == {(source.rate // 50, source.rate)}
    assert {frame.samples.dtype for frame in frames} == {np.dtype(np.int16)}
    return np.concatenate([frame.samples for frame in frames])


def strongest(wave: Samples, rate: int) -> float:
    spectrum = np.abs(np.fft.rfft(wave * np.hanning(len(wave))))
    return float(np.argmax(spectrum)) * rate / len(wave)


@pytest.mark.parametrize("rate", [8000, 16000, 48000])
def test_a_tone_has_its_frequency_its_level_and_no_joints(rate: int) -> None:
    wave = read(open_source("tone:437:-15", rate), 2.0)
    assert abs(strongest(wave, rate) - 437) <= 0.5
    assert abs(level_dbov(wave) + 15) < 0.1
    bend = np.abs(np.diff(wave.astype(int), 2)).max()  # a joint would bend it more than a sine bends
    amplitude = np.abs(wave.astype(int)).max()
    assert bend <= amplitude * (2 * np.pi * 437 / rate) ** 2 + 3


def test_a_tone_without_number_is_the_tuning_fork() -> None:
    assert abs(strongest(read(open_source("tone", 8000), 1.0), 8000) - 440) <= 1


@pytest.mark.parametrize("text", ["tone:x", "tone:5000", "tone:-1", "tone:440:3", "tone:nan", "tone:440:nan"])
def test_tones_that_cannot_be(text: str) -> None:
    with pytest.raises(LocalError):
        open_source(text, 8000)


def test_silence_is_silent() -> None:
    assert not read(open_source("silence", 16000), 1.0).any()


@pytest.mark.parametrize("rate", [8000, 16000, 48000])
def test_the_coded_signal_contains_each_block_once(rate: int) -> None:
    heard = analyse(read(open_source("coded", rate), 10.0), rate)
    assert [piece.block for piece in heard] == list(range(250))
    assert unheard_ms(range(250), heard) == 0


def test_speech_is_speech_and_goes_on() -> None:
    source = open_source("speech", 16000)
    wave = read(source, 60.0)  # more than twice its length
    assert not source.finished
    assert -30 < level_dbov(wave) < -18
    period = 26.22
    again = wave[round(period * 16000) : round(2 * period * 16000)]
    assert np.array_equal(wave[: len(again)], again)
    source.close()


def test_speech_once_ends() -> None:
    source = open_source("speech:once", 8000)
    frames = 0
    while not source.finished:
        source.read()
        frames += 1
        assert frames < 1500
    assert abs(frames / 50 - 26.22) <= 0.04
    assert not source.read().samples.any()
    source.close()
    source.close()


def test_rates_without_whole_frames_are_refused() -> None:
    for rate in (0, 11025, 100, 10**9):
        with pytest.raises(LocalError, match="no sound at"):
            open_source("silence", rate)
        with pytest.raises(LocalError, match="no sound at"):
            open_sink("null", rate)


def test_the_null_sink_counts() -> None:
    sink = open_sink("null", 8000)
    for _ in range(50):
        sink.write(Frame(np.zeros(160, dtype=np.int16), 8000))
    assert sink.seconds == pytest.approx(1.0)  # type: ignore[attr-defined]
    sink.close()
