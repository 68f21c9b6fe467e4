"""Recordings with a hole, a repetition, and nothing wrong: what is unheard, and when."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from segue.base.coded_signal import coded_signal
from segue.base.errors import LocalError
from segue.base.frame import Frame, Samples
from segue.devices.wav_sink import WavSink
from segue.lab.measure.spoken import spoken_signal
from segue.lab.measure.unheard import listen

RATE = 8000
SPEECH = {"coded": coded_signal(0, 400, RATE), "speech": spoken_signal("speech", RATE)[: 16 * RATE]}


def recorded(folder: Path, *pieces: Samples) -> Path:
    sink = WavSink(str(folder / "heard.wav"), RATE)
    sink.write(Frame(np.concatenate(pieces), RATE))
    sink.close()
    return folder / "heard.wav"


@pytest.mark.parametrize("talk", SPEECH)
def test_nothing_of_a_whole_recording_is_unheard(talk: str, tmp_path: Path) -> None:
    listened = listen(recorded(tmp_path, SPEECH[talk]), talk, 1000.0)
    assert listened.total_ms == listened.repeated_ms == 0


@pytest.mark.parametrize("talk", SPEECH)
def test_a_hole_is_unheard_when_it_was(talk: str, tmp_path: Path) -> None:
    said = SPEECH[talk]
    loud = next(
        t for t in range(2 * RATE, 12 * RATE, 320) if np.abs(said[t : t + 3200].astype(float)).mean() > 1500
    )
    hole = np.zeros(3200, np.int16)  # 400 ms
    listened = listen(recorded(tmp_path, said[:loud], hole, said[loud + 3200 :]), talk, 1000.0)
    at = 1000.0 + loud / RATE
    assert 240 <= listened.total_ms <= 440
    assert listened.around_ms(at, at + 0.1) == listened.total_ms
    assert listened.around_ms(at + 2, at + 3) == listened.around_ms(at - 9, at - 8) == 0
    assert listened.repeated_ms == 0


def test_what_never_comes_back_is_unheard(tmp_path: Path) -> None:
    silence = np.zeros(5 * RATE, np.int16)
    listened = listen(recorded(tmp_path, SPEECH["coded"][: 8 * RATE], silence), "coded", 1000.0)
    assert listened.total_ms == pytest.approx(5000, abs=40)
    assert listened.around_ms(1008.0, 1008.1) == listened.total_ms
    assert listen(recorded(tmp_path, silence), "coded", 0).total_ms == 5000


@pytest.mark.parametrize("talk", SPEECH)
def test_what_was_heard_twice(talk: str, tmp_path: Path) -> None:
    said = SPEECH[talk]
    again = listen(
        recorded(tmp_path, said[: 8 * RATE], said[4 * RATE : 4 * RATE + 3200], said[8 * RATE :]), talk, 0
    )
    assert 240 <= again.repeated_ms <= 440


def test_without_a_recording_nothing_is_known(tmp_path: Path) -> None:
    with pytest.raises(LocalError, match="no recording"):
        listen(tmp_path / "heard.wav", "coded", 0)


def test_an_outage_with_an_echo_of_what_was_before_it_at_its_end(tmp_path: Path) -> None:
    """It ends where words come back, and is not counted again for as long as it was."""
    said, hole = SPEECH["coded"], np.zeros(3 * RATE, np.int16)
    before, after = said[: 2 * RATE], said[5 * RATE : 8 * RATE]
    again = before[-600:]
    listened = listen(recorded(tmp_path, before, hole[600:], again, after), "coded", 1000.0)
    assert listened.total_ms == pytest.approx(3000, abs=80)
    assert listened.between_ms(1005.2, 1007.8) == 0
