"""Where sound comes from and where it goes: one shape for sound cards, WAV files, tones and silence.

    source = open_source("speech", 16000)
    sink = open_sink("heard.wav", 16000)
    sink.write(source.read())            # each 20 ms, by the packet clock

- `shape`: what a source and a sink are. Both are synchronous, never block for longer than a disk does, and
  know no clock: the packet clock pulls.
- `open`: from the text a user gives (`--audio-in`, `--audio-out`) to a source or sink.
- `wav_format`: the header, read and written; `wav_source`, `wav_sink`: files.
- `generated`: tone, silence, the coded signal of `segue.base.coded_signal`, and a sink that keeps nothing.
- `sound_card`: playback and capture through miniaudio; `ring`: what lies between its thread and the clock.
- `speech/`: 26 s of recorded English, public domain, shipped with the package.

WAV: RIFF with 16-bit linear PCM (format 1, and WAVE_FORMAT_EXTENSIBLE with that subformat), any rate and
number of channels. Not here: other sample formats, RF64, compressed files, echo cancellation, choosing among
several sound cards.
"""

from segue.devices.open import open_sink, open_source
from segue.devices.shape import Sink, Source

__all__ = ["Sink", "Source", "open_sink", "open_source"]
