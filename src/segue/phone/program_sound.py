"""Sound that a program feeds and hears: between `Phone` and the packet clock of the voice process.

A call's source gives, in this order: what the program says, the file that it plays, what `audio_in` has. A call's
sink passes what is heard to `audio_out`, to recordings and to the program.

What a program says is queued: `QUEUE` seconds at most. A program is told how much has been said (`on_said`) and
had better wait; what it says all the same over that makes the oldest fall out, counted in `dropped`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from segue.base.errors import LocalError, SegueError
from segue.base.frame import Frame, Samples
from segue.base.resample import Resampler
from segue.devices.open import open_source
from segue.devices.shape import Sink, Source, frame_length
from segue.devices.wav_sink import WavSink

if TYPE_CHECKING:
    from segue.phone.voice import Sink as VoiceSink
    from segue.phone.voice import Source as VoiceSource

QUEUE = 1.0  # seconds that the program may be ahead of what has been said
REPORT = 0.1  # seconds of speech between two reports of how much was said

Finished = Callable[[SegueError | None], None]
"""Told once when a play is over: None when all of it was sent."""


class ProgramSource:
    """What the other end hears. `rate` in Hz is that of `base`, which is closed with this one."""

    def __init__(self, base: VoiceSource, on_said: Callable[[float], None]) -> None:
        self.rate = base.rate
        self.finished = False  # the program may always say more
        self.dropped = 0.0  # seconds
        self._base = base
        self._on_said = on_said
        self._count = frame_length(base.rate)
        self._queue: deque[Samples] = deque()
        self._queued = 0  # samples
        self._said = 0  # samples not reported yet
        self._resampler: Resampler | None = None
        self._play: tuple[Source, Finished] | None = None

    def read(self) -> Frame:
        if self._queued:
            return Frame(self._take(), self.rate)
        if self._play is not None:
            source = self._play[0]
            frame = source.read()
            if source.finished:
                self._end_play(None)
            return frame
        return self._base.read()

    def close(self) -> None:
        self._end_play(LocalError("the call is over", "play while it is up"))
        self._base.close()

    def play(self, text: str, finished: Finished) -> None:
        """From now on, in place of what is played already. `text` as `--audio-in` takes it. Raises LocalError."""
        source = open_source(text, self.rate)
        self._end_play(LocalError("another sound is played", "wait until the first is over"))
        self._play = (source, finished)

    def stop_playing(self) -> None:
        self._end_play(LocalError("playing was stopped"))

    def say(self, samples: Samples, rate: int) -> None:
        """Queue sound of any length and rate."""
        if rate != self.rate:
            if self._resampler is None or self._resampler.source_rate != rate:
                self._resampler = Resampler(rate, self.rate)
            samples = self._resampler.push(samples)
        self._queue.append(samples)
        self._queued += len(samples)
        most = int(QUEUE * self.rate)
        while self._queued > most and len(self._queue) > 1:
            fallen = len(self._queue.popleft())
            self._queued -= fallen
            self.dropped += fallen / self.rate
            self._report(fallen)

    def _take(self) -> Samples:
        """20 ms of the queue, the end of it filled with silence."""
        pieces: list[Samples] = []
        wanted = self._count
        while wanted and self._queue:
            piece = self._queue[0]
            if len(piece) <= wanted:
                self._queue.popleft()
            else:
                self._queue[0] = piece[wanted:]
                piece = piece[:wanted]
            pieces.append(piece)
            wanted -= len(piece)
        taken = self._count - wanted
        self._queued -= taken
        self._report(taken)
        if wanted:
            pieces.append(np.zeros(wanted, dtype=np.int16))
        return pieces[0] if len(pieces) == 1 else np.concatenate(pieces)

    def _report(self, samples: int) -> None:
        self._said += samples
        if self._said >= REPORT * self.rate or not self._queued:
            said, self._said = self._said, 0
            self._on_said(said / self.rate)

    def _end_play(self, problem: SegueError | None) -> None:
        play, self._play = self._play, None
        if play is not None:
            play[0].close()
            play[1](problem)


class ProgramSink:
    """Where the other end is heard: at `base`, and wherever else the program wants it for a while. `on_problem` is
    told when a recording cannot go on; the others do."""

    def __init__(
        self, base: VoiceSink, on_sound: Callable[[Frame], None], on_problem: Callable[[LocalError], None]
    ) -> None:
        self.rate = base.rate
        self.listened = False
        self._base = base
        self._on_sound = on_sound
        self._on_problem = on_problem
        self._recordings: dict[str, Sink] = {}

    def write(self, frame: Frame) -> None:
        self._base.write(frame)
        if self.listened:
            self._on_sound(frame)
        for path, recording in list(self._recordings.items()):
            try:
                recording.write(frame)
            except LocalError as error:
                self.stop_recording(path)
                self._on_problem(error)

    def record(self, path: str) -> None:
        """Raises LocalError when the file cannot be written."""
        if path not in self._recordings:
            self._recordings[path] = WavSink(path, self.rate)

    def stop_recording(self, path: str = "") -> None:
        """This one, or all of them."""
        for name in [path] if path else list(self._recordings):
            recording = self._recordings.pop(name, None)
            if recording is not None:
                recording.close()

    def close(self) -> None:
        self.stop_recording()
        self._base.close()
