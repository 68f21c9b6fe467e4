"""From what a user writes after `--audio-in` and `--audio-out` to a source or a sink."""

from __future__ import annotations

import os
from importlib.resources import files
from pathlib import Path
from typing import BinaryIO, cast

from segue.base.errors import LocalError
from segue.devices.generated import Coded, Null, Silence, Tone
from segue.devices.shape import Sink, Source, frame_length
from segue.devices.wav_sink import WavSink
from segue.devices.wav_source import WavSource

SPEECH = "sense_and_sensibility.wav"
SOURCES = "a WAV file, device, speech, tone:440, silence or coded"
SINKS = "a file that ends in .wav, device or null"


def open_source(text: str, rate: int) -> Source:
    """A source at `rate` Hz (a multiple of 50).

    `text` is `device`, `silence`, `coded`, `tone`, `tone:HZ`, `tone:HZ:DBOV`, `speech` (again and again),
    `speech:once`, `PATH` of a WAV file or `loop:PATH`. A file with such a name is meant by `./speech`. Raises
    LocalError for everything else, and where file or device cannot be opened.
    """
    frame_length(rate)
    word, _, detail = text.partition(":")
    if word == "tone":
        return _tone(detail, rate)
    if word == "speech" and detail in ("", "once"):
        file = files("segue.devices").joinpath("speech", SPEECH).open("rb")
        return WavSource(cast("BinaryIO", file), "the speech shipped with Segue", rate, loop=not detail)
    if word == "loop" and detail:
        return _wav(detail, rate, loop=True)
    if text == "silence":
        return Silence(rate)
    if text == "coded":
        return Coded(rate)
    if text == "device":
        from segue.devices.sound_card import SoundCardSource

        return SoundCardSource(rate)
    return _wav(text, rate, loop=False)


def open_sink(text: str, rate: int) -> Sink:
    """A sink at `rate` Hz (a multiple of 50): `null`, `device` or the path of a WAV file to be written.

    Raises LocalError for everything else, and where file or device cannot be opened.
    """
    frame_length(rate)
    if text == "null":
        return Null(rate)
    if text == "device":
        from segue.devices.sound_card import SoundCardSink

        return SoundCardSink(rate)
    if not text.lower().endswith((".wav", ".wave")) and not text.startswith("/dev/"):
        raise LocalError(f"no sound output {text!r}", f"use {SINKS}")
    return WavSink(text, rate)


def check_sound(audio_in: str, audio_out: str) -> None:
    """Raises LocalError where `open_source` or `open_sink` would; writes nothing, and leaves no device open."""
    open_source(audio_in, 8000).close()
    folder = Path(audio_out).absolute().parent
    if audio_out in ("device", "null") or not audio_out.lower().endswith((".wav", ".wave")):
        open_sink(audio_out, 8000).close()
    elif not os.access(folder, os.W_OK):
        reason = "not permitted" if folder.is_dir() else "there is no such folder"
        raise LocalError(f"cannot write {audio_out} ({reason})", "give another file, or --audio-out null")


def _wav(path: str, rate: int, loop: bool) -> Source:
    try:
        file = Path(path).open("rb")  # noqa: SIM115 (the source closes it)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not a file name"
        raise LocalError(f"cannot read sound from {path!r} ({reason})", f"use {SOURCES}") from None
    try:
        return WavSource(file, path, rate, loop)
    except (LocalError, OSError) as error:
        file.close()
        if isinstance(error, LocalError):
            raise
        raise LocalError(f"cannot read sound from {path!r} ({error.strerror})", f"use {SOURCES}") from None


def _tone(detail: str, rate: int) -> Source:
    hertz, _, level = detail.partition(":")
    try:
        return Tone(rate, *(float(value) for value in (hertz, level) if value))
    except ValueError:
        raise LocalError(f"no tone {detail!r}", "write tone:440, or tone:440:-20 with a level") from None
