"""Opus through libopus: durations, redundancy, concealment, DTX, and what bad packets do."""

import numpy as np
import pytest

from segue.base.errors import LocalError, RemoteError
from segue.base.frame import Samples
from segue.media.codecs import OpusSettings, codec_for
from segue.media.codecs.opus import Opus, packet_ticks


def voice(seconds: float, rate: int = 48000) -> Samples:
    """A buzz with a moving pitch, loud enough that libopus takes it for speech."""
    time = np.arange(int(seconds * rate)) / rate
    phase = 2 * np.pi * (140 * time + 6 * np.sin(2 * np.pi * 1.5 * time))
    formants = sum(np.sin(harmonic * phase) / harmonic for harmonic in range(1, 16))
    return (5000 * formants * (0.6 + 0.4 * np.sin(2 * np.pi * 3 * time))).astype(np.int16)


def noise_ratio(wanted: Samples, got: Samples) -> float:
    wave = wanted.astype(float)
    return float(10 * np.log10((wave**2).sum() / ((wave - got) ** 2).sum()))


def test_a_packet_lasts_20_ms_and_has_constant_length() -> None:
    """RFC 6562 section 3: the length must not tell what is said."""
    codec = codec_for("opus")
    payloads = [codec.encode(frame) for frame in voice(1.0).reshape(-1, 960)]
    assert {len(payload) for payload in payloads} == {80}  # 32 kbit/s
    assert {codec.ticks(payload) for payload in payloads} == {960}
    assert {len(codec.decode(payload)) for payload in payloads} == {960}


@pytest.mark.parametrize("rate", [8000, 16000, 24000, 48000])
def test_any_rate_of_sound_keeps_the_clock(rate: int) -> None:
    codec = codec_for("OPUS", opus=OpusSettings(sample_rate=rate))
    payload = codec.encode(voice(0.02, rate))
    assert (codec.clock_rate, codec.ticks(payload), len(codec.decode(payload))) == (48000, 960, rate // 50)


def test_a_tone_comes_through() -> None:
    codec = codec_for("opus")
    wave = (8000 * np.sin(2 * np.pi * 440 / 48000 * np.arange(48000))).astype(np.int16)
    heard = np.concatenate([codec.decode(codec.encode(frame)) for frame in wave.reshape(-1, 960)])[24000:]
    assert abs(float(np.argmax(np.abs(np.fft.rfft(heard)))) * 2 - 440) < 4


def test_redundancy_is_nearer_to_what_was_said_than_concealment() -> None:
    encoder = Opus()
    payloads = [encoder.encode(frame) for frame in voice(2.0).reshape(-1, 960)]
    whole, recovered, concealed = Opus(), Opus(), Opus()
    heard: dict[str, list[Samples]] = {"whole": [], "recovered": [], "concealed": []}
    redundant = 0
    for index, payload in enumerate(payloads):
        heard["whole"].append(whole.decode(payload))
        if index % 5 == 4 and index + 1 < len(payloads):
            piece = recovered.recover(960, payloads[index + 1])
            redundant += piece is not None
            heard["recovered"].append(recovered.conceal(960) if piece is None else piece)
            heard["concealed"].append(concealed.conceal(960))
        else:
            heard["recovered"].append(recovered.decode(payload))
            heard["concealed"].append(concealed.decode(payload))
    wanted = np.concatenate(heard["whole"])
    gain = noise_ratio(wanted, np.concatenate(heard["recovered"])) - noise_ratio(
        wanted, np.concatenate(heard["concealed"])
    )
    assert redundant >= 15  # of 19: libopus adds it to what it takes for speech
    assert gain > 3.0  # dB


def test_without_redundancy_there_is_nothing_to_recover() -> None:
    plain = Opus(OpusSettings(forward_error_correction=False))
    payloads = [plain.encode(frame) for frame in voice(0.2).reshape(-1, 960)]
    assert Opus().recover(960, payloads[-1]) is None
    assert Opus().recover(960, b"") is None


def test_concealment_gives_what_is_asked_for_and_fades() -> None:
    codec = Opus()
    for frame in voice(0.5).reshape(-1, 960):
        codec.decode(codec.encode(frame))
    pieces = [codec.conceal(count) for count in (960, 100, 960, 480)]
    assert [len(piece) for piece in pieces] == [960, 100, 960, 480]
    assert np.abs(pieces[0]).max() > 1000
    for _ in range(60):
        last = codec.conceal(960)
    assert np.abs(last).max() < 300


def test_discontinuous_transmission_only_on_request() -> None:
    silence = np.zeros(960, dtype=np.int16)
    spoken, saving = Opus(), Opus(OpusSettings(discontinuous_transmission=True, constant_bitrate=False))
    assert {len(spoken.encode(silence)) for _ in range(50)} == {80}
    assert [len(saving.encode(silence)) for _ in range(50)].count(1) > 30


def test_a_poorer_path_gets_fewer_octets() -> None:
    codec = Opus()
    codec.adapt(12000, 20)
    assert len(codec.encode(voice(0.02))) == 30


def test_bad_packets() -> None:
    codec = Opus()
    with pytest.raises(RemoteError):
        codec.decode(b"")
    with pytest.raises(RemoteError):
        codec.decode(b"\xff\x7f\x00")  # 63 frames of 20 ms: RFC 6716 section 3.4, R5
    assert packet_ticks(b"") == packet_ticks(b"\x03") == packet_ticks(b"\xff\x3f") == 0


def test_durations_from_the_first_octet() -> None:
    """RFC 6716 tables 2 to 4: configuration, stereo, frame count."""
    assert packet_ticks(bytes([0 << 3])) == 480  # SILK narrowband, 10 ms
    assert packet_ticks(bytes([3 << 3 | 1])) == 5760  # two of 60 ms
    assert packet_ticks(bytes([16 << 3 | 2])) == 240  # two of 2.5 ms
    assert packet_ticks(bytes([15 << 3 | 3, 6])) == 5760  # six of 20 ms
    assert packet_ticks(bytes([15 << 3 | 3, 7])) == 0  # 140 ms is too long


def test_settings_that_do_not_exist() -> None:
    for wrong in ({"sample_rate": 44100}, {"bitrate": 100}, {"expected_loss": 101}, {"complexity": 11}):
        with pytest.raises(LocalError):
            OpusSettings(**wrong)
    with pytest.raises(LocalError):
        Opus().encode(np.zeros(961, dtype=np.int16))
