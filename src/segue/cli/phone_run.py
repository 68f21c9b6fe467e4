"""Runs a phone unattended for `segue call` and `segue answer`: one process that carries the voice, nothing else."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from segue.base.trace import MemoryTrace
from segue.net.packet_clock import become_realtime
from segue.phone.engine import Engine

if TYPE_CHECKING:
    from segue.phone.config import PhoneConfig

Line = dict[str, Any]
_SHOWN = {
    "registered": "registered as {aor} over {interface}",
    "registration_failed": "not registered over {interface}: {problem}",
    "incoming_call": "{caller} calls",
    "dialling": "calling {callee}",
    "ringing": "ringing",
    "move_begun": "moving ({kind}) to {target}",
    "move_ended": "moved to {target} after {took:.3f} s",
    "peer_moved": "the other end moved to {address}",
    "hold_changed": "held by: {held_by}",
    "digit": "key {digit}",
    "problem": "{problem}",
}


class UnattendedPhone:
    """A phone that follows a script of times. `run` returns the exit status: 0 when a call was up, 1 when not."""

    def __init__(
        self,
        config: PhoneConfig,
        *,
        target: str = "",
        duration: float | None = None,
        answer_after: float | None = None,
        hold_at: float | None = None,
        resume_after: float = 2.0,
        once: bool = False,
        events: bool = False,
        say: Callable[[str], None] | None = None,
    ) -> None:
        self._config = config
        self._target = target
        self._duration = duration
        self._answer_after = answer_after
        self._hold_at = hold_at
        self._resume_after = resume_after
        self._once = once
        self._events = events
        self._say = say or (lambda text: print(text, file=sys.stderr, flush=True))
        self._was_up = False
        self._done = asyncio.Event()
        self._trace = MemoryTrace(200)

    async def run(self) -> int:
        become_realtime()
        loop = asyncio.get_running_loop()
        self._loop = loop
        self._engine = Engine(self._config, self._take, verbose=self._events, trace=self._trace)
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._done.set)
        self._engine.start()
        if self._target:
            self._engine.call(self._target)
        await self._done.wait()
        await self._engine.stop()
        if self._events:
            drops = {f"{room}: {reason}": count for (room, reason), count in self._trace.drops.items()}
            self._print({"event": "drops", **drops})
        return 0 if self._was_up or not self._target else 1

    def _take(self, line: Line) -> None:
        if self._events:
            self._print(line)
        else:
            self._show(line)
        react = getattr(self, f"_on_{line['event']}", None)
        if react is not None:
            react(line)

    def _print(self, line: Line) -> None:
        print(json.dumps(line), flush=True)

    def _show(self, line: Line) -> None:
        shown = _SHOWN.get(line["event"])
        if line["event"] == "up":
            protection = f"{line['codec']}, {line['suite'] or 'NOT ENCRYPTED'}"
            self._say(f"up with {line['peer']} ({protection}; {line['verification']['assurance']})")
        elif line["event"] == "ended":
            self._say(f"ended by {line['by']}: {line['reason'] or 'done'}")
        elif shown is not None:
            self._say(shown.format(**line))

    # The script

    def _on_incoming_call(self, line: Line) -> None:
        if self._answer_after is not None:
            self._later(self._answer_after, self._engine.answer, line["call_id"])

    def _on_up(self, line: Line) -> None:
        self._was_up = True
        call_id = line["call_id"]
        if self._duration is not None:
            self._later(self._duration, self._engine.hang_up, call_id)
        if self._hold_at is not None:
            self._later(self._hold_at, self._engine.hold, call_id)
            self._later(self._hold_at + self._resume_after, self._engine.resume, call_id)

    def _on_ended(self, _line: Line) -> None:
        if self._target or self._once:
            self._loop.call_later(0.1, self._done.set)  # the farewell is still on its way

    def _later(self, seconds: float, command: Callable[[str], None], call_id: str) -> None:
        def act() -> None:
            if call_id in self._engine.agent.calls:
                command(call_id)

        self._loop.call_later(seconds, act)


def run_phone(config: PhoneConfig, **script: Any) -> int:
    async def live() -> int:
        return await UnattendedPhone(config, **script).run()

    return asyncio.run(live())
