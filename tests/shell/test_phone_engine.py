"""The phone on the event loop: what goes wrong in one place stops nothing else."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from segue.base.errors import LocalError
from segue.phone import user_agent
from segue.phone.config import Account, Networks, PhoneConfig
from segue.phone.engine import Engine


async def test_timers_go_on_after_one_that_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    """A call that finds no network in time is given up, though the first wake-ups for it break."""
    monkeypatch.setattr(user_agent, "DIAL_PATIENCE", 0.02)
    problems: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: problems.append(context["exception"]))
    said: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    networks = Networks(interfaces=("none0",))
    engine = Engine(PhoneConfig(Account("sip:alice@example.org"), networks=networks), said.put_nowait)
    expire, broken = engine.agent.expire, [LocalError("broken")] * 3

    def breaking(now: float) -> None:
        if broken:
            raise broken.pop()
        expire(now)

    monkeypatch.setattr(engine.agent, "expire", breaking)
    engine.start()
    try:
        engine.call("bob")
        ended = await asyncio.wait_for(said.get(), 5)
        assert ended["event"] == "ended" and "there is no network" in ended["reason"]
        assert [str(problem) for problem in problems] == ["broken"] * 3
    finally:
        engine.close()
