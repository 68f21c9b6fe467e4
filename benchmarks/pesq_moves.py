"""What a move does to speech: PESQ of the four seconds around each move of a walk with recorded human speech, against
the same words coded and decoded only. `python benchmarks/pesq_moves.py [ROUNDS]`; needs root or a user namespace, and
`pip install 'segue[pesq]'`.

Between two moves the same is asked where nothing happens: that drop is what the score itself is worth.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import wave
from pathlib import Path
from typing import Any

import numpy as np

from segue.lab.measure.pesq_score import pesq_around
from segue.lab.measure.spoken import spoken_signal

RUNS = (
    ("soft+duplicate", "complete"),
    ("soft+duplicate", "continuous"),
    ("migrate", "continuous"),
)  # mode, speech
QUIET = 5.0  # seconds before a move: nothing happens around there
OTHER = {"mn": "cn", "cn": "mn"}


def walked(mode: str, speech: str, rounds: int, folder: Path) -> list[dict[str, Any]]:
    command = ["-m", "segue", "lab", "run", "walk", f"--mode={mode}", f"--rounds={rounds}", "--talk=speech"]
    command += [
        f"--speech={speech}",
        "--attacks=0",
        "--overlap=500",
        f"--report={folder}",
        f"--json={folder}/kept.json",
    ]
    subprocess.run([sys.executable, *command], check=True, capture_output=True)
    moves: list[dict[str, Any]] = json.loads((folder / "kept.json").read_text())["moves"]
    return moves


def drops(folder: Path, host: str, times: list[float]) -> list[float]:
    """Around each of these Unix times, of what `host` heard; where the talk is found."""
    lines = (folder / "phones" / f"{host}.jsonl").read_text().splitlines()
    up = next(line for line in map(json.loads, lines) if line["event"] == "up")
    with wave.open(str(folder / f"{host}.wav")) as file:
        rate = file.getframerate()
        heard = np.frombuffer(file.readframes(file.getnframes()), dtype=np.int16)
    talk = spoken_signal("speech", rate)
    scores = (pesq_around(heard, talk, rate, up["codec"], at - up["time"]) for at in times)
    return [score.drop for score in scores if score is not None]


def line(what: str, found: list[float]) -> str:
    if not found:
        return f"  {what:34} nothing found"
    worst = max(found)
    return f"  {what:34} median {statistics.median(found):6.3f}   worst {worst:6.3f}   of {len(found)}"


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    print("drop of PESQ (MOS) over the 4 s around a moment, against none")
    for mode, speech in RUNS:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            moves = walked(mode, speech, rounds, folder)
            print(f"{mode}, {speech}")
            for host, side in (("cn", "uplink"), ("mn", "downlink")):
                times = [(move["began"] + move["ended"]) / 2 for move in moves]
                print(line(f"{side}, around moves", drops(folder, host, times)))
                print(
                    line(f"{side}, {QUIET:g} s before them", drops(folder, host, [t - QUIET for t in times]))
                )


if __name__ == "__main__":
    main()
