"""Reading octets without reading past the end."""

from __future__ import annotations

from segue.base.errors import RemoteError


class Cursor:
    """A position in a buffer of network octets; integers are big-endian. Raises RemoteError at the end."""

    __slots__ = ("data", "position")

    def __init__(self, data: bytes, position: int = 0) -> None:
        self.data = data
        self.position = position

    @property
    def remaining(self) -> int:
        return len(self.data) - self.position

    def take(self, count: int) -> bytes:
        """The next `count` octets."""
        end = self.position + count
        if count < 0 or end > len(self.data):
            raise RemoteError(f"truncated: {count} octets wanted, {self.remaining} left")
        octets = self.data[self.position : end]
        self.position = end
        return octets

    def rest(self) -> bytes:
        """All that is left."""
        return self.take(self.remaining)

    def skip(self, count: int) -> None:
        self.take(count)

    def u8(self) -> int:
        return self.take(1)[0]

    def u16(self) -> int:
        return int.from_bytes(self.take(2), "big")

    def u24(self) -> int:
        return int.from_bytes(self.take(3), "big")

    def u32(self) -> int:
        return int.from_bytes(self.take(4), "big")

    def u64(self) -> int:
        return int.from_bytes(self.take(8), "big")
