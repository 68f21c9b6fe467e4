"""The process that carries voice: its heap during a call."""

from __future__ import annotations

import asyncio
import gc
import weakref

import pytest

from segue import Call
from segue.phone import voice


class Knot:
    """Garbage that only a collector finds."""

    def __init__(self) -> None:
        self.self = self


async def test_during_a_call_garbage_is_swept_up_between_ticks_and_at_no_other_time(
    office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(voice, "SWEEP", 10)
    async with office.phone("alice") as alice, office.phone("bob") as bob:
        await asyncio.gather(alice.registered(), bob.registered())
        placing = asyncio.create_task(alice.call("bob"))
        async for ringing in bob.incoming():
            await ringing.answer()
            break
        call: Call = await placing
        assert not gc.isenabled()
        gone = asyncio.Event()
        weakref.finalize(Knot(), gone.set)
        await asyncio.wait_for(gone.wait(), 5)
        assert not gc.isenabled()
        await call.hang_up()
    assert gc.isenabled()
