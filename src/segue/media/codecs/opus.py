"""Opus (RFC 6716) through libopus, by a small ctypes binding of our own.

Bindings on PyPI cover either no in-band FEC or no concealment; both matter when the network changes. The
library comes with the package opuslib-next-bundled; without it the system's libopus is used.
"""

from __future__ import annotations

import ctypes
import sys
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from segue.base.errors import LocalError, RemoteError
from segue.base.frame import Samples
from segue.media.codecs.registry import OpusSettings

# Names and numbers of libopus' public header opus_defines.h.
APPLICATION_VOIP = 2048
SET_BITRATE = 4002
SET_VBR = 4006
SET_COMPLEXITY = 4010
SET_INBAND_FEC = 4012
SET_PACKET_LOSS_PERC = 4014
SET_DTX = 4016

LONGEST_PACKET_MS = 120  # RFC 6716 section 3.2.5, R5
LARGEST_PAYLOAD = 1275  # octets of one coded frame, RFC 6716 section 3.2.1

# Frame duration of each of the 32 configurations, in units of 48 kHz (RFC 6716 table 2).
_FRAME_TICKS = (480, 960, 1920, 2880) * 3 + (480, 960) * 2 + (120, 240, 480, 960) * 4


def packet_ticks(payload: bytes) -> int:
    """Duration of a packet in units of 48 kHz from its TOC (RFC 6716 section 3.1); 0 when malformed."""
    if not payload:
        return 0
    frames = (1, 2, 2, 0)[payload[0] & 3]
    if not frames and len(payload) > 1:
        frames = payload[1] & 0x3F
    ticks = _FRAME_TICKS[payload[0] >> 3] * frames
    return ticks if ticks <= LONGEST_PACKET_MS * 48 else 0


def _library_paths() -> list[str]:
    found = find_spec("opuslib_next")
    bundled = [
        str(Path(folder) / "_native" / "libopus.so")
        for folder in (found.submodule_search_locations or [] if found else [])
    ]
    return [*bundled, "libopus.dylib" if sys.platform == "darwin" else "libopus.so.0"]


@lru_cache(maxsize=1)
def load_library() -> Any:
    """libopus with its functions' types declared. Raises LocalError when there is none."""
    for path in _library_paths():
        try:
            return _declare(ctypes.CDLL(path))
        except (OSError, AttributeError):
            continue
    raise LocalError(
        "Opus' library was not found",
        "pip install opuslib-next-bundled, or apt install libopus0, or choose another codec",
    )


def _declare(library: Any) -> Any:
    pointer, number = ctypes.c_void_p, ctypes.c_int
    signatures = {
        "opus_encoder_create": (pointer, [number, number, number, pointer]),
        "opus_encoder_destroy": (None, [pointer]),
        "opus_encode": (number, [pointer, pointer, number, pointer, number]),
        "opus_decoder_create": (pointer, [number, number, pointer]),
        "opus_decoder_destroy": (None, [pointer]),
        "opus_decode": (number, [pointer, ctypes.c_char_p, number, pointer, number, number]),
        "opus_strerror": (ctypes.c_char_p, [number]),
        "opus_get_version_string": (ctypes.c_char_p, []),
    }
    for name, (result, arguments) in signatures.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    try:  # since libopus 1.5
        library.opus_packet_has_lbrr.restype = number
        library.opus_packet_has_lbrr.argtypes = [ctypes.c_char_p, number]
    except AttributeError:
        library.opus_packet_has_lbrr = None
    # A variadic function: the request and the state are declared, the value is passed as c_int each time.
    library.opus_encoder_ctl.restype = number
    library.opus_encoder_ctl.argtypes = [pointer, number]
    return library


class Opus:
    """Mono, 20 ms. The RTP clock is 48 kHz whatever the PCM rate is (RFC 7587 section 4.1)."""

    name = "opus"
    clock_rate = 48000
    frame_ticks = 960
    redundant = True

    def __init__(self, settings: OpusSettings | None = None) -> None:
        settings = settings or OpusSettings()
        self._library = load_library()
        self._encoder = 0
        self._decoder = 0
        self.sample_rate = settings.sample_rate
        self.frame_samples = settings.sample_rate // 50
        error = ctypes.c_int(0)
        self._encoder = self._library.opus_encoder_create(
            self.sample_rate, 1, APPLICATION_VOIP, ctypes.byref(error)
        )
        self._decoder = self._library.opus_decoder_create(self.sample_rate, 1, ctypes.byref(error))
        if not self._encoder or not self._decoder:
            raise LocalError(f"libopus refused to start ({self._reason(error.value)})", "free some memory")
        self._set(SET_COMPLEXITY, settings.complexity)
        self._set(SET_VBR, 0 if settings.constant_bitrate else 1)
        self._set(SET_INBAND_FEC, 1 if settings.forward_error_correction else 0)
        self._set(SET_DTX, 1 if settings.discontinuous_transmission else 0)
        self.adapt(settings.bitrate, settings.expected_loss)
        self._coded = ctypes.create_string_buffer(LARGEST_PAYLOAD)
        self._coded_at = ctypes.addressof(self._coded)
        self._pcm = np.zeros(self.sample_rate * LONGEST_PACKET_MS // 1000, dtype=np.int16)
        self._pcm_at = self._pcm.ctypes.data

    def __del__(self) -> None:
        if self._encoder:
            self._library.opus_encoder_destroy(self._encoder)
        if self._decoder:
            self._library.opus_decoder_destroy(self._decoder)

    def adapt(self, bitrate: int, expected_loss: int) -> None:
        """Encode at `bitrate` (bit/s) from now on, for a path that loses `expected_loss` percent."""
        self._set(SET_BITRATE, bitrate)
        self._set(SET_PACKET_LOSS_PERC, expected_loss)

    def encode(self, samples: Samples) -> bytes:
        pcm = np.ascontiguousarray(samples)
        at = pcm.__array_interface__["data"][0]
        length = self._library.opus_encode(self._encoder, at, len(pcm), self._coded_at, LARGEST_PAYLOAD)
        if length < 0:
            raise LocalError(
                f"Opus cannot encode {len(samples)} samples ({self._reason(length)})",
                "give it frames of 20 ms",
            )
        return ctypes.string_at(self._coded_at, length)

    def decode(self, payload: bytes) -> Samples:
        if not payload:  # libopus would take it for a lost packet
            raise RemoteError("an empty Opus packet")
        return self._decode(payload, len(self._pcm), 0)

    def ticks(self, payload: bytes) -> int:
        return packet_ticks(payload)

    def conceal(self, count: int) -> Samples:
        return self._decode(None, self._whole_steps(count), 0)[:count]

    def recover(self, count: int, next_payload: bytes, /) -> Samples | None:
        if not next_payload or not self._has_redundancy(next_payload):
            return None
        return self._decode(next_payload, self._whole_steps(count), 1)[-count:]

    def _has_redundancy(self, payload: bytes) -> bool:
        asked = self._library.opus_packet_has_lbrr
        return asked is None or asked(payload, len(payload)) > 0

    def _whole_steps(self, count: int) -> int:
        """The least duration of at least `count` samples that libopus can conceal: steps of 2.5 ms."""
        step = self.sample_rate // 400
        return min(len(self._pcm), -(-count // step) * step)

    def _decode(self, payload: bytes | None, room: int, fec: int) -> Samples:
        octets = len(payload) if payload is not None else 0
        count = self._library.opus_decode(self._decoder, payload, octets, self._pcm_at, room, fec)
        if count < 0:
            raise RemoteError(f"no Opus packet: {self._reason(count)}")
        return self._pcm[:count].copy()

    def _set(self, request: int, value: int) -> None:
        result = self._library.opus_encoder_ctl(self._encoder, request, ctypes.c_int(value))
        if result < 0:
            raise LocalError(f"libopus refused setting {request} = {value}", "correct the Opus settings")

    def _reason(self, code: int) -> str:
        return str(self._library.opus_strerror(code).decode())
