"""Waiting until something is different."""

from __future__ import annotations

import asyncio


class Change:
    """`tell` wakes everybody who is in `wait` now; they then look for themselves what it was."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def tell(self) -> None:
        self._event.set()
        self._event = asyncio.Event()

    async def wait(self) -> None:
        await self._event.wait()
