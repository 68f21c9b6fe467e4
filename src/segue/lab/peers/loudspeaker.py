"""A loudspeaker of ALSA for a phone of somebody else, on a machine without a sound card: a file keeps what it plays.

ALSA's `file` plugin writes what is played into a pipe, and a thread here takes it out as fast as a loudspeaker
would, so that the phone's player keeps time by it. A recording inside the phone would not do: baresip 1.0.0 leaves
its filters out of the call after the first re-INVITE that is not sendrecv.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import threading
import time
from pathlib import Path

import numpy as np

from segue.base.frame import Frame
from segue.devices.wav_sink import WavSink

PERIOD = 0.02  # seconds
AHEAD = 4  # periods that a player may have written and not heard yet

_DEVICE = """pcm.{name} {{
    type file
    slave.pcm "null"
    file "{pipe}"
    format "raw"
}}
"""


class Loudspeaker:
    """`pcm.NAME` in the `.asoundrc` of `home`; 16-bit sound of `rate` Hz; of two channels the first is kept."""

    def __init__(self, home: Path, name: str, rate: int, channels: int) -> None:
        self.recording = home / f"{name}.wav"
        self._rate = rate
        self._channels = channels
        self._period = round(PERIOD * rate) * channels * 2  # octets
        pipe = home / f"{name}.pipe"
        os.mkfifo(pipe, 0o600)
        (home / ".asoundrc").write_text(_DEVICE.format(name=name, pipe=pipe))
        # Opened for both, so that it is no end of file when the player closes it and opens it again.
        self._pipe = os.open(pipe, os.O_RDWR | os.O_NONBLOCK)
        fcntl.fcntl(self._pipe, fcntl.F_SETPIPE_SZ, AHEAD * self._period)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._play, name=name, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """After the phone has ended; the recording is whole then."""
        if not self._over.is_set():
            self._over.set()
            self._thread.join()
            os.close(self._pipe)

    def _play(self) -> None:
        sink = WavSink(str(self.recording), self._rate)
        begin, played = time.monotonic(), 0
        while not self._over.wait(max(0.0, begin + played * PERIOD - time.monotonic())):
            played += 1
            with contextlib.suppress(BlockingIOError):
                octets = os.read(self._pipe, self._period)
                sink.write(Frame(np.frombuffer(octets, np.int16)[:: self._channels], self._rate, 0.0))
        sink.close()
