"""The ring between two clocks, and the card itself on miniaudio's backend that has no hardware."""

from threading import Event

import numpy as np
import pytest

from segue.base.errors import LocalError
from segue.base.frame import Frame
from segue.devices.ring import Ring
from segue.devices.sound_card import SoundCardSink, SoundCardSource

RATE = 8000


def tone(count: int, begin: int = 0) -> np.ndarray:
    return (8000 * np.sin(2 * np.pi * 200 * np.arange(begin, begin + count) / RATE)).astype(np.int16)


def bend(wave: np.ndarray) -> int:
    return int(np.abs(np.diff(wave.astype(int))).max())


def test_ring_gives_what_it_was_given() -> None:
    ring = Ring(320, 960, RATE)
    wave = tone(1600)
    heard = []
    for index in range(10):
        ring.push(wave[index * 160 : index * 160 + 160])
        heard.append(ring.pull(160))
    joined = np.concatenate(heard)
    assert not joined[:160].any()  # until 40 ms are there
    assert np.array_equal(joined[160 + 16 :], wave[16 : 1600 - 160])
    assert (ring.dropped, ring.empty) == (0, 160)


def test_ring_starves_and_returns_without_a_click() -> None:
    ring = Ring(320, 960, RATE)
    heard = []
    for index in range(60):
        if not 20 <= index < 30:
            ring.push(tone(160, index * 160))
        heard.append(ring.pull(160))
    steepest = bend(tone(1600))
    assert bend(np.concatenate(heard)) <= steepest + 8000 // 16 + 1  # a fade over 16 samples adds that much
    assert ring.empty > 0


def test_ring_of_a_slow_card_drops_the_oldest_without_a_click() -> None:
    ring = Ring(320, 960, RATE)
    heard = []
    for index in range(1000):  # the card takes 1 % less than is given
        ring.push(tone(160, index * 160))
        heard.append(ring.pull(158))
        assert len(ring) <= 960
    assert ring.dropped > 0
    assert bend(np.concatenate(heard)) <= bend(tone(1600)) + 2 * 8000 // 16 + 1


def test_no_card_is_one_line_with_the_remedy() -> None:
    miniaudio = pytest.importorskip("miniaudio")
    nothing = [miniaudio.Backend.WEBAUDIO]
    with pytest.raises(LocalError, match="use --audio-out null or a WAV file"):
        SoundCardSink(RATE, nothing)
    with pytest.raises(LocalError, match="use --audio-in silence, speech or a WAV file"):
        SoundCardSource(RATE, nothing)


def test_playback_takes_what_is_written() -> None:
    miniaudio = pytest.importorskip("miniaudio")
    sink = SoundCardSink(RATE, [miniaudio.Backend.NULL])
    taken = Event()
    pull = sink.ring.pull

    def watched(count: int) -> np.ndarray:
        samples = pull(count)
        if samples.any():
            taken.set()
        return samples

    sink.ring.pull = watched  # type: ignore[method-assign]
    for index in range(6):
        sink.write(Frame(tone(160, index * 160), RATE))
    assert taken.wait(5.0)
    sink.close()
    sink.close()


def test_capture_gives_whole_frames_at_once() -> None:
    miniaudio = pytest.importorskip("miniaudio")
    source = SoundCardSource(RATE, [miniaudio.Backend.NULL])
    came = Event()
    push = source.ring.push

    def watched(samples: np.ndarray) -> None:
        push(samples)
        came.set()

    source.ring.push = watched  # type: ignore[method-assign]
    frame = source.read()
    assert (len(frame.samples), frame.rate, source.finished) == (160, RATE, False)
    assert came.wait(5.0)
    source.close()
