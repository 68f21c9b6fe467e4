"""What the voice process and its owner say to each other: frames over a local stream socket.

A frame is a kind (one octet), a length (four octets, big-endian) and a body: kind J is one JSON object, kind
A is sound: a call's identifier, a zero octet, and mono int16 samples in the host's order.
"""

from __future__ import annotations

import json
import struct
from typing import Any

from segue.base.errors import RemoteError

HEADER = struct.Struct("!cI")
LIMIT = 1 << 20  # octets of one frame


def write_message(message: dict[str, Any]) -> bytes:
    body = json.dumps(message, separators=(",", ":")).encode()
    return HEADER.pack(b"J", len(body)) + body


def write_sound(call_id: str, samples: bytes) -> bytes:
    body = call_id.encode() + b"\0" + samples
    return HEADER.pack(b"A", len(body)) + body


class FrameReader:
    """Cuts a stream into frames."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def receive(self, data: bytes) -> list[dict[str, Any] | tuple[str, bytes]]:
        """Messages as dictionaries, sound as (call identifier, samples). Raises RemoteError for nonsense."""
        self._buffer += data
        frames: list[dict[str, Any] | tuple[str, bytes]] = []
        while len(self._buffer) >= HEADER.size:
            kind, length = HEADER.unpack_from(self._buffer)
            if length > LIMIT or kind not in (b"J", b"A"):
                raise RemoteError("not a frame of ours")
            if len(self._buffer) < HEADER.size + length:
                break
            body = bytes(self._buffer[HEADER.size : HEADER.size + length])
            del self._buffer[: HEADER.size + length]
            frames.append(_parse_message(body) if kind == b"J" else _parse_sound(body))
        return frames


def _parse_message(body: bytes) -> dict[str, Any]:
    try:
        message = json.loads(body)
    except ValueError as error:
        raise RemoteError("a message is no JSON") from error
    if not isinstance(message, dict):
        raise RemoteError("a message is no JSON object")
    return message


def _parse_sound(body: bytes) -> tuple[str, bytes]:
    call_id, zero, samples = body.partition(b"\0")
    if not zero or len(samples) % 2:
        raise RemoteError("sound without a call, or half a sample")
    return call_id.decode(errors="replace"), samples
