"""The header of a WAV file: RIFF chunks, 16-bit linear PCM."""

from __future__ import annotations

import struct
from math import gcd
from typing import BinaryIO, NamedTuple

from segue.base.errors import LocalError
from segue.devices.shape import HIGHEST_RATE, LOWEST_RATE

PCM = 1
EXTENSIBLE = 0xFFFE
PCM_SUBFORMAT = bytes.fromhex("0100000000001000800000aa00389b71")  # the GUID whose first two octets are PCM
MOST_CHANNELS = 32
MOST_CHUNKS = 1000  # before the sound; a file with more is no recording
LARGEST_SIZE = 0xFFFF_FFFF
HEADER = 44  # octets of the header that is written here
SIZES_AT = (4, 40)  # where its two lengths are


class WavFormat(NamedTuple):
    rate: int  # Hz
    channels: int
    begin: int  # offset of the first sample, octets
    frames: int  # samples of each channel


def read_format(file: BinaryIO, name: str) -> WavFormat:
    """Find the sound in an open WAV file of this name.

    A recording that was broken off has wrong lengths in its header: what is there counts. Raises LocalError
    for everything that is no 16-bit linear PCM.
    """
    if len(head := file.read(12)) < 12 or head[:4] not in (b"RIFF",) or head[8:] != b"WAVE":
        raise LocalError(f"{name} is no WAV file", "give a WAV file with 16-bit PCM")
    size = file.seek(0, 2)
    rate = channels = 0
    at = 12
    for _ in range(MOST_CHUNKS):
        file.seek(at)
        chunk = file.read(8)
        if len(chunk) < 8:
            break
        kind, length = struct.unpack("<4sI", chunk)
        if kind == b"fmt ":
            rate, channels = _linear(file.read(min(length, 40)), name)
        elif kind == b"data":
            if not rate:
                break
            begin = at + 8
            there = size - begin
            if 0 < length < there:
                there = length
            return WavFormat(rate, channels, begin, there // (2 * channels))
        at += 8 + length + (length & 1)
    raise LocalError(f"{name} has no sound in it", "give a WAV file with 16-bit PCM")


def _linear(content: bytes, name: str) -> tuple[int, int]:
    """Rate and channels of a `fmt ` chunk that says 16-bit linear PCM."""
    if len(content) < 16:
        raise LocalError(f"{name} has a broken header", "give a WAV file with 16-bit PCM")
    kind, channels, rate, _, _, bits = struct.unpack("<HHIIHH", content[:16])
    if kind == EXTENSIBLE and content[24:40] == PCM_SUBFORMAT:
        kind = PCM
    if kind != PCM or bits != 16:
        what = f"{bits}-bit" if kind == PCM else f"format {kind}"
        raise LocalError(
            f"{name} is {what}, not 16-bit PCM", f"convert it: sox {name} -b 16 -e signed out.wav"
        )
    if not 1 <= channels <= MOST_CHANNELS or not LOWEST_RATE <= rate <= HIGHEST_RATE:
        raise LocalError(f"{name} has {channels} channels at {rate} Hz", "give a WAV file of 4 to 384 kHz")
    if gcd(rate, 8000) < (25 if rate <= 48_000 else 100):
        # With nothing in common between two rates every sample needs a filter of its own: gigabytes of them.
        raise LocalError(f"{name} has {rate} samples a second", f"convert it: sox {name} -r 16000 out.wav")
    return rate, channels


def header(rate: int, octets: int) -> bytes:
    """A header for mono sound of `octets` octets."""
    return struct.pack(
        "<4sI4s4sIHHIIHH4sI",
        b"RIFF", min(LARGEST_SIZE, octets + HEADER - 8), b"WAVE",
        b"fmt ", 16, PCM, 1, rate, 2 * rate, 2, 16,
        b"data", min(LARGEST_SIZE, octets),
    )  # fmt: skip
