"""G.722: band, clock, state, and what concealment does with it."""

import numpy as np

from segue.base.frame import Samples
from segue.media.codecs import codec_for


def tone(hertz: float, seconds: float = 1.0) -> Samples:
    return (8000 * np.sin(2 * np.pi * hertz / 16000 * np.arange(int(16000 * seconds)))).astype(np.int16)


def round_trip(wave: Samples) -> Samples:
    codec = codec_for("G722")
    return np.concatenate([codec.decode(codec.encode(frame)) for frame in wave.reshape(-1, 320)])


def strongest(wave: Samples) -> float:
    spectrum = np.abs(np.fft.rfft(wave * np.hanning(len(wave))))
    return float(np.argmax(spectrum)) * 16000 / len(wave)


def test_twenty_ms_are_160_octets_and_160_ticks() -> None:
    """RFC 3551 section 4.5.2: 16 kHz of sound, 8 kHz of clock."""
    codec = codec_for("g722")
    payload = codec.encode(np.zeros(320, dtype=np.int16))
    assert (len(payload), codec.ticks(payload), len(codec.decode(payload))) == (160, 160, 320)


def test_both_bands_come_through() -> None:
    for hertz in (440.0, 3000.0, 6000.0):
        assert abs(strongest(round_trip(tone(hertz))[4000:12000]) - hertz) < 5


def test_signal_to_noise_ratio() -> None:
    wave = tone(440.0)
    heard = round_trip(wave)
    delay = 22  # of the two QMF filters, in samples
    noise = heard[delay:].astype(float)[2000:] - wave[:-delay].astype(float)[2000:]
    assert 10 * np.log10((wave.astype(float)[2000:] ** 2).sum() / (noise**2).sum()) > 35


def test_two_codecs_share_no_state() -> None:
    first, second = codec_for("G722"), codec_for("G722")
    wave = tone(440.0, 0.1).reshape(-1, 320)
    alone = [first.encode(frame) for frame in wave]
    other = codec_for("G722")
    mixed = []
    for frame in wave:
        mixed.append(second.encode(frame))
        other.encode(frame[::-1].copy())
    assert mixed == alone


def test_frames_that_are_views_are_coded_as_they_read() -> None:
    wave = tone(440.0, 0.02)
    spread = np.zeros(640, dtype=np.int16)
    spread[::2] = wave
    assert codec_for("G722").encode(spread[::2]) == codec_for("G722").encode(wave)


def test_an_empty_payload_is_no_sound() -> None:
    codec = codec_for("G722")
    assert len(codec.decode(b"")) == 0
    assert codec.ticks(b"") == 0
