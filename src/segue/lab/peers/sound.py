"""What a peer speaks, as a file, and what a recording contains of the coded signal."""

from __future__ import annotations

import time
import wave
from pathlib import Path

import numpy as np

from segue.base.coded_signal import BLOCK, coded_signal
from segue.base.errors import LocalError
from segue.base.frame import Samples
from segue.media.coded_signal import Heard, analyse

UNFINISHED_RATE = 8000  # Hz: what a recording without a header yet is taken for
PATIENCE = 0.25  # seconds between two looks at a recording
LONGEST = 90.0  # seconds; the numbers of the coded signal repeat after 96


def write_coded(path: Path, rate: int, seconds: float = LONGEST) -> None:
    """The coded signal from its first block on: 16-bit PCM, mono."""
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, rate, 0, "NONE", ""))
        file.writeframes(coded_signal(0, round(seconds / BLOCK), rate).tobytes())


def recording(path: Path) -> tuple[Samples, int]:
    """Samples of the first channel and their rate; also of a file that is still being written, whose header
    says nothing yet of its length."""
    octets = path.read_bytes()
    at, rate, channels = 12, UNFINISHED_RATE, 1
    if octets[:4] != b"RIFF":  # linphonec writes the header last
        return np.frombuffer(octets[44 : len(octets) // 2 * 2], np.int16), rate
    while octets[at : at + 4] not in (b"data", b""):
        if octets[at : at + 4] == b"fmt ":
            channels = int.from_bytes(octets[at + 10 : at + 12], "little")
            rate = int.from_bytes(octets[at + 12 : at + 16], "little")
        at += 8 + int.from_bytes(octets[at + 4 : at + 8], "little")
    sound = octets[at + 8 :]
    whole = len(sound) - len(sound) % (2 * channels)
    return np.frombuffer(sound[:whole], np.int16)[::channels], rate


def heard(path: Path) -> list[Heard]:
    """The blocks in a recording; none when there is no recording."""
    return analyse(*recording(path)) if path.exists() and path.stat().st_size > 44 else []


def newest(path: Path) -> int:
    """The highest block heard so far; -1 when none was."""
    return max((block.block for block in heard(path)), default=-1)


def await_sound(path: Path, seconds: float = 1.0, timeout: float = 10.0) -> None:
    """Until that much was heard beyond what the recording contains now. LocalError when it does not come."""
    wanted = len(heard(path)) + round(seconds / BLOCK)
    end = time.monotonic() + timeout
    while (blocks := len(heard(path))) < wanted:
        if time.monotonic() > end:
            raise LocalError(f"{wanted - blocks} blocks are not heard in {path.name}", f"see {path}")
        time.sleep(PATIENCE)


def blocks_heard_in(path: Path, seconds: float) -> int:
    """How many blocks come within the next `seconds`."""
    before = len(heard(path))
    time.sleep(seconds)
    return len(heard(path)) - before
