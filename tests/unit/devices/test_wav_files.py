import os
import signal
import struct
import subprocess
import sys
import wave
from pathlib import Path

import numpy as np
import pytest

from segue.base.errors import LocalError
from segue.base.frame import Frame, Samples
from segue.devices import open_sink, open_source


def sine(hertz: float, rate: int, seconds: float = 1.0, amplitude: float = 8000) -> Samples:
    return (amplitude * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)).astype(np.int16)


def write_wav(path: Path, samples: Samples, rate: int, channels: int = 1) -> str:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(samples.tobytes())
    return str(path)


def read_wav(path: Path) -> Samples:
    with wave.open(str(path), "rb") as file:
        return np.frombuffer(file.readframes(file.getnframes()), dtype=np.int16)


def read_all(text: str, rate: int) -> Samples:
    source = open_source(text, rate)
    frames = []
    while not source.finished:
        frames.append(source.read().samples)
        assert len(frames[-1]) == rate // 50
    source.close()
    return np.concatenate(frames)


def record(path: Path, samples: Samples, rate: int) -> None:
    sink = open_sink(str(path), rate)
    for frame in samples.reshape(-1, rate // 50):
        sink.write(Frame(frame, rate))
    sink.close()


def test_what_is_written_is_what_is_read(tmp_path: Path) -> None:
    noise = np.random.default_rng(1).integers(-32768, 32768, 16000).astype(np.int16)
    record(tmp_path / "a.wav", noise, 16000)
    assert np.array_equal(read_wav(tmp_path / "a.wav"), noise)  # as others read it
    assert np.array_equal(read_all(str(tmp_path / "a.wav"), 16000), noise)  # as we do


@pytest.mark.parametrize("rate", [8000, 11025, 22050, 44100, 48000, 96000])
@pytest.mark.parametrize("target", [8000, 16000, 48000])
def test_any_rate_becomes_the_codecs(tmp_path: Path, rate: int, target: int) -> None:
    path = write_wav(tmp_path / "a.wav", sine(1000, rate), rate)
    heard = read_all(path, target)
    assert 1.0 <= len(heard) / target <= 1.05
    middle = heard[target // 10 : target * 9 // 10]
    spectrum = np.abs(np.fft.rfft(middle * np.hanning(len(middle))))
    assert abs(float(np.argmax(spectrum)) / 0.8 - 1000) < 3
    assert abs(np.sqrt(np.mean(middle.astype(float) ** 2)) / (8000 / np.sqrt(2)) - 1) < 0.02
    # Nothing of the end is kept back in the resampler.
    assert np.abs(heard[int(0.985 * target) : int(0.999 * target)].astype(int)).max() > 6000


@pytest.mark.parametrize("rate", [7991, 44101, 96001, 383975])
def test_a_rate_that_has_nothing_in_common_with_a_codecs_is_refused(tmp_path: Path, rate: int) -> None:
    """Its filters would take gigabytes."""
    with pytest.raises(LocalError, match=f"{rate} samples a second: convert it"):
        read_all(write_wav(tmp_path / "a.wav", sine(1000, 8000), rate), 8000)


def test_stereo_is_mixed(tmp_path: Path) -> None:
    left, right = sine(500, 16000), np.full(16000, 1000, dtype=np.int16)
    path = write_wav(tmp_path / "a.wav", np.stack((left, right), axis=1).ravel(), 16000, channels=2)
    mixed = read_all(path, 16000)
    assert np.abs(mixed - (left.astype(int) + right) // 2).max() == 0


def test_both_channels_at_full_scale_do_not_overflow(tmp_path: Path) -> None:
    path = write_wav(tmp_path / "a.wav", np.full(3200, 32767, dtype=np.int16), 8000, channels=2)
    assert set(read_all(path, 8000)[:160].tolist()) == {32767}


def test_looping_has_no_gap(tmp_path: Path) -> None:
    samples = sine(400, 8000, 0.1)  # forty whole periods
    source = open_source("loop:" + write_wav(tmp_path / "a.wav", samples, 8000), 8000)
    heard = np.concatenate([source.read().samples for _ in range(100)])
    assert np.array_equal(heard, np.tile(samples, 20))
    assert not source.finished
    source.close()


def test_an_extensible_header_and_other_chunks(tmp_path: Path) -> None:
    guid = bytes.fromhex("0100000000001000800000aa00389b71")
    format_ = struct.pack("<HHIIHHHHI", 0xFFFE, 1, 8000, 16000, 2, 16, 22, 16, 4) + guid
    sound = sine(440, 8000, 0.1).tobytes()
    content = b"LIST" + struct.pack("<I", 3) + b"abc\0"  # an odd length is padded
    content += b"fmt " + struct.pack("<I", len(format_)) + format_
    content += b"data" + struct.pack("<I", len(sound)) + sound
    path = tmp_path / "a.wav"
    path.write_bytes(b"RIFF" + struct.pack("<I", 4 + len(content)) + b"WAVE" + content)
    assert read_all(str(path), 8000).tobytes() == sound


def test_a_recording_that_was_broken_off_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    record(path, sine(440, 8000), 8000)
    for length in (0, 0xFFFF_FFFF, 10**6):
        content = bytearray(path.read_bytes())
        content[40:44] = struct.pack("<I", length)
        path.write_bytes(content)
        assert len(read_all(str(path), 8000)) == 8000


RECORDER = """
import sys, numpy as np
from segue.base.frame import Frame
from segue.devices import open_sink
sink = open_sink(sys.argv[1], 8000)
for _ in range(175):
    sink.write(Frame(np.full(160, 7, dtype=np.int16), 8000))
print("written", flush=True)
sys.stdin.read()
"""


def test_a_killed_recorder_leaves_a_wav_that_everyone_can_play(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    process = subprocess.Popen(
        [sys.executable, "-c", RECORDER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout is not None and process.stdin is not None
    assert process.stdout.readline() == b"written\n"
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()
    process.stdin.close()
    assert len(read_wav(path)) == 3 * 8000  # of 3.5 s: its header is right to the second
    assert path.stat().st_size >= 44 + 165 * 320  # and 0.2 s at most was lost


def test_a_sink_takes_frames_of_another_rate(tmp_path: Path) -> None:
    sink = open_sink(str(tmp_path / "a.wav"), 16000)
    for frame in sine(1000, 8000).reshape(-1, 160):
        sink.write(Frame(frame, 8000))
    for frame in sine(1000, 16000).reshape(-1, 320):
        sink.write(Frame(frame, 16000))
    sink.close()
    sink.write(Frame(np.zeros(320, dtype=np.int16), 16000))  # nobody hears it
    heard = read_wav(tmp_path / "a.wav")
    assert len(heard) == 2 * 16000
    for second in heard.reshape(2, -1):
        assert abs(float(np.argmax(np.abs(np.fft.rfft(second)))) - 1000) <= 1


def test_a_full_disk_is_one_line_and_the_call_goes_on() -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full")
    with pytest.raises(LocalError, match="cannot write /dev/full") as caught:
        open_sink("/dev/full", 8000)
    assert "\n" not in str(caught.value)


def fmt(kind: int = 1, channels: int = 1, rate: int = 8000, bits: int = 16) -> bytes:
    return b"fmt " + struct.pack("<IHHIIHH", 16, kind, channels, rate, rate * 2, 2, bits)


BROKEN = {
    "empty": b"",
    "text": b"this is no sound at all, but long enough to be one",
    "head only": b"RIFF\x00\x00\x00\x00WAVE",
    "no sound": b"RIFF\x00\x00\x00\x00WAVE" + fmt() + b"data\x00\x00\x00\x00",
    "no format": b"RIFF\x00\x00\x00\x00WAVEdata\x04\x00\x00\x00abcd",
    "short format": b"RIFF\x00\x00\x00\x00WAVEfmt \x04\x00\x00\x00\x01\x00\x01\x00",
    "mu-law": b"RIFF\x00\x00\x00\x00WAVE" + fmt(kind=7, bits=8) + b"data\x04\x00\x00\x00abcd",
    "8 bits": b"RIFF\x00\x00\x00\x00WAVE" + fmt(bits=8) + b"data\x04\x00\x00\x00abcd",
    "no channel": b"RIFF\x00\x00\x00\x00WAVE" + fmt(channels=0) + b"data\x04\x00\x00\x00abcd",
    "no rate": b"RIFF\x00\x00\x00\x00WAVE" + fmt(rate=0) + b"data\x04\x00\x00\x00abcd",
    "half a sample": b"RIFF\x00\x00\x00\x00WAVE" + fmt() + b"data\x01\x00\x00\x00a",
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_file_is_one_line_with_a_remedy(tmp_path: Path, name: str) -> None:
    path = tmp_path / "broken.wav"
    path.write_bytes(BROKEN[name])
    with pytest.raises(LocalError) as caught:
        open_source(str(path), 8000)
    assert "broken.wav" in caught.value.problem and caught.value.remedy
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["nowhere.wav", "", "nul\0l", "speech:twice", "loop:", "/"])
def test_no_such_source(text: str) -> None:
    with pytest.raises(LocalError, match="cannot read sound"):
        open_source(text, 8000)


@pytest.mark.parametrize("text", ["nul", "", "speaker", "heard.mp3", "/nowhere/at/all.wav"])
def test_no_such_sink(text: str) -> None:
    with pytest.raises(LocalError):
        open_sink(text, 8000)
