"""SIP on a stream: cutting octets into messages by Content-Length (RFC 3261 section 18.3), and the keep-alive of
RFC 5626 section 3.5.1 (a double CRLF asks, a single one answers)."""

from __future__ import annotations

from typing import NamedTuple

from segue.protocols.sip.message import Request, Response
from segue.protocols.sip.parser import HEAD_LIMIT, MalformedMessage, content_length, parse_head

PING, PONG = b"\r\n\r\n", b"\r\n"
BODY_LIMIT = 1 << 18  # octets; no session description is near that


class Ping(NamedTuple):
    """The peer asks whether we are there: send `PONG`."""


class Pong(NamedTuple):
    """The peer answered our `PING`."""


Piece = Request | Response | Ping | Pong


class StreamReader:
    """Takes octets as they come and gives whole messages. `fault` is set by what is no SIP: the stream's place is
    then lost, nothing more is read, and the connection is to be closed once the pieces before it are dealt with."""

    __slots__ = ("_buffer", "_half", "_message", "_missing", "_scanned", "fault")

    def __init__(self) -> None:
        self.fault: MalformedMessage | None = None
        self._buffer = bytearray()
        self._message: Request | Response | None = None
        self._missing = 0
        self._scanned = 0
        self._half = False

    def receive(self, octets: bytes) -> list[Piece]:
        """The whole pieces that are there now, also those that stand before a fault."""
        pieces: list[Piece] = []
        if self.fault is not None:
            return pieces
        self._buffer += octets
        try:
            while (piece := self._next()) is not None:
                pieces.append(piece)
        except MalformedMessage as fault:
            self.fault = fault
            self._buffer.clear()
        return pieces

    def _next(self) -> Piece | None:
        if self._message is None:
            quick = self._keep_alive()
            if quick is not None:
                return quick
            if not self._read_head():
                return None
        if len(self._buffer) < self._missing:
            return None
        message = self._message
        if message is not None:
            message.body = bytes(self._buffer[: self._missing])
        del self._buffer[: self._missing]
        self._message = None
        return message

    def _keep_alive(self) -> Ping | Pong | None:
        """A CRLF alone is a pong, or half a ping whose other half comes in the next segment; it is told as a pong
        at once, and as a ping when the rest is there: nothing depends on a pong too many."""
        buffer = self._buffer
        if buffer.startswith(PING):
            del buffer[:4]
            self._half = False
            return Ping()
        if not buffer.startswith(PONG) or len(buffer) == 3:
            return None
        del buffer[:2]
        half, self._half = self._half, not buffer and not self._half
        return Ping() if half else Pong()

    def _read_head(self) -> bool:
        end = self._buffer.find(b"\r\n\r\n", max(0, self._scanned - 3))
        if end < 0:
            self._scanned = len(self._buffer)
            if self._scanned > HEAD_LIMIT:
                raise MalformedMessage("the header is too long", 513)
            return False
        self._scanned = 0
        self._half = False
        message = parse_head(bytes(self._buffer[:end]))
        length = content_length(message)
        if length is None:
            raise MalformedMessage("a message on a stream needs Content-Length", 400, message)
        if length > BODY_LIMIT:
            raise MalformedMessage(f"a body of {length} octets", 513, message)
        del self._buffer[: end + 4]
        self._message, self._missing = message, length
        return True
