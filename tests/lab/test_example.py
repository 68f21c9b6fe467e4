"""examples/place_a_call.py as its reader runs it: a real server, a real `segue answer`, and a walk."""

from __future__ import annotations

import subprocess
import sys
import wave
from pathlib import Path

import numpy as np
import pytest

from segue.lab.networks.namespaces import can_make_namespaces
from segue.lab.networks.network import Network
from segue.lab.networks.topology import OFFICE_TO_CAFE
from segue.lab.options import RunOptions
from segue.lab.phones import LabPhone, Office

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(not can_make_namespaces(), reason="needs root or a user namespace for the lab"),
]
REPOSITORY = Path(__file__).parents[2]
SPEECH = REPOSITORY / "src/segue/devices/speech/sense_and_sensibility.wav"


def loud_seconds(file: Path, hertz: float | None = None) -> float:
    """How much of a recording holds sound, in steps of 20 ms; with `hertz`, of that tone."""
    with wave.open(str(file)) as recording:
        rate = recording.getframerate()
        samples = np.frombuffer(recording.readframes(recording.getnframes()), "<i2").astype(float)
    length = rate // 50
    pieces = samples[: len(samples) // length * length].reshape(-1, length)
    spectra = np.abs(np.fft.rfft(pieces * np.hanning(length)))
    loud = spectra.max(axis=1) > 20_000
    if hertz is not None:
        loud &= abs(np.fft.rfftfreq(length, 1 / rate)[spectra.argmax(axis=1)] - hertz) < 60
    return float(loud.sum()) * 0.02


def test_the_example_plays_records_and_prints_each_move(tmp_path: Path) -> None:
    options = RunOptions(talk="tone:600", codec="PCMA")
    with Network(OFFICE_TO_CAFE, seed=1, folder=tmp_path) as network:
        office = Office(network, tmp_path / "office")
        office.start_server()
        network.start_attachment_agent("mn")
        network.attach("mn", "wlan0", "office")
        bob = LabPhone(network, office, "cn", tmp_path, options)
        bob.start("answer", "--once", "--answer-after", "0.2", "--duration", "8")
        bob.wait_for("registered")
        password, heard = str(office.password_file("alice")), tmp_path / "heard.wav"
        words = ["sip:alice@example.org", "bob", password, "example.org", office.ca, str(SPEECH), str(heard)]
        example = network.hosts["mn"].popen(
            [sys.executable, str(REPOSITORY / "examples/place_a_call.py"), *words],
            stdout=subprocess.PIPE,
            text=True,
        )
        bob.wait_for("up")
        network.attach("mn", "wwan0", "umts")
        network.detach("mn", "wlan0")
        output, _ = example.communicate(timeout=60)
        bob.finish()
    assert example.returncode == 0
    lines = output.splitlines()
    assert lines[0].startswith("up: PCMA, ") and lines[0].endswith(", hop by hop")
    assert [line for line in lines if line.startswith("MoveBegun(") and "wwan0" in line]
    assert [line for line in lines if line.startswith("MoveEnded(") and "wwan0" in line]
    assert lines[-1].startswith("Ended(")
    assert loud_seconds(heard, 600) > 5  # before and after the move
    assert loud_seconds(bob.recording) > 3  # the file that was played; people pause
