"""What the voice process and its owner say to each other: frames over a local stream socket.

A frame is a kind (one octet), a length (four octets, big-endian) and a body. Kind J is one JSON object. Kind A is
sound: a call's identifier, a zero octet, the rate in Hz (four octets) and the time of the first sample in seconds
of the machine's monotonic clock (a double), both big-endian, and mono int16 samples in the host's order.

The owner speaks first: `{"do": "start", "config": …, "verbose": bool}`. Every other command has an `id`, which comes
back in `{"reply": id, …}` when it is done, with an `error` when it could not be. Events have an `event`.
"""

from __future__ import annotations

import json
import struct
import types
import typing
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any, NamedTuple

from segue.base.errors import LocalError, RemoteError, SegueError
from segue.base.secret import Secret

HEADER = struct.Struct("!cI")
SOUND = struct.Struct("!Id")
LIMIT = 1 << 20  # octets of one frame


class SoundMessage(NamedTuple):
    """A piece of sound of a call; `samples` are int16 in the host's order, `rate` is in Hz."""

    call_id: str
    rate: int
    time: float
    samples: bytes


Message = dict[str, Any]


def write_message(message: Message) -> bytes:
    body = json.dumps(message, separators=(",", ":")).encode()
    return HEADER.pack(b"J", len(body)) + body


def write_sound(sound: SoundMessage) -> bytes:
    body = sound.call_id.encode() + b"\0" + SOUND.pack(sound.rate, sound.time) + sound.samples
    return HEADER.pack(b"A", len(body)) + body


class FrameReader:
    """Cuts a stream into frames."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def receive(self, data: bytes) -> list[Message | SoundMessage]:
        """Raises RemoteError for what is no frame of ours."""
        self._buffer += data
        frames: list[Message | SoundMessage] = []
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


def _parse_message(body: bytes) -> Message:
    try:
        message = json.loads(body)
    except ValueError as error:
        raise RemoteError("a message is no JSON") from error
    if not isinstance(message, dict):
        raise RemoteError("a message is no JSON object")
    return message


def _parse_sound(body: bytes) -> SoundMessage:
    call_id, zero, rest = body.partition(b"\0")
    if not zero or len(rest) < SOUND.size or (len(rest) - SOUND.size) % 2:
        raise RemoteError("sound without a call, or half a sample")
    rate, time = SOUND.unpack_from(rest)
    return SoundMessage(call_id.decode(errors="replace"), rate, time, rest[SOUND.size :])


# Errors


def error_facts(error: SegueError) -> Message:
    if isinstance(error, LocalError):
        return {"kind": "local", "problem": error.problem, "remedy": error.remedy}
    status = error.status if isinstance(error, RemoteError) else None
    return {"kind": "remote", "problem": str(error), "status": status}


def read_error(facts: Message) -> SegueError:
    if facts.get("kind") == "local":
        return LocalError(str(facts.get("problem", "")), str(facts.get("remedy", "")))
    return RemoteError(str(facts.get("problem", "")), facts.get("status"))


# Configurations: dataclasses of dataclasses, tuples, enums, secrets and plain values


def plain(value: Any) -> Any:
    """A configuration as what JSON can say. It has the password in it: for the socket between a phone and its
    owner, and for nothing else."""
    if isinstance(value, Secret):
        return value.reveal().decode()
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, tuple | list):
        return [plain(one) for one in value]
    if isinstance(value, dict):
        return {str(name): plain(one) for name, one in value.items()}
    return value


def revive(kind: Any, value: Any) -> Any:
    """The `kind` that `plain` made `value` of. Raises LocalError for what does not fit it."""
    if kind is Secret:
        return Secret(value)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return kind(value)
    if is_dataclass(kind):
        hints = typing.get_type_hints(kind)
        try:
            given = {name: revive(hints[name], one) for name, one in value.items()}
            return typing.cast("Any", kind)(**given)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise LocalError(f"no configuration: {error}", "use the same version at both ends") from None
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is tuple:
        return tuple(revive(arguments[0], one) for one in value)
    if origin is dict:
        return {name: revive(arguments[1], one) for name, one in value.items()}
    if origin in (typing.Union, types.UnionType):
        return None if value is None else revive(next(a for a in arguments if a is not type(None)), value)
    return value
