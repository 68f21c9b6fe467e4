"""Runs a phone unattended for `segue call` and `segue answer`: one process that carries the voice, nothing else."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from segue.base.errors import LocalError, SegueError
from segue.base.trace import MemoryTrace
from segue.call.events import Ended
from segue.devices.open import check_sound
from segue.net.packet_clock import become_realtime
from segue.phone.engine import Engine
from segue.phone.event_lines import read_event
from segue.phone.reasons import why_ended, why_not_registered

if TYPE_CHECKING:
    from segue.phone.config import PhoneConfig

QUIET = 1.0  # seconds of silence that nobody wonders about

Line = dict[str, Any]
_SHOWN = {
    "registered": "registered as {aor} over {interface}",
    "incoming_call": "{caller} calls",
    "dialling": "calling {callee}",
    "ringing": "ringing",
    "move_begun": "moving ({kind}) to {target}",
    "lack": "segue: {problem}: {remedy}",
    "move_ended": "moved to {target} after {took:.3f} s",
    "peer_moved": "the other end moved to {address}",
    "hold_changed": "held by: {held_by}",
    "hold_refused": "the other end does not let itself be held: {status} {reason}",
    "digit": "key {digit}",
}


class UnattendedPhone:
    """A phone that follows a script of times. `run` returns the exit status: 0 when the call was up (or there was
    none to be made), 1 when not. Raises LocalError for what the user must change."""

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
        self._reached = False  # the server answers
        self._up: set[str] = set()
        self._problem: SegueError | None = None  # why there was no call
        self._unregistered: SegueError | None = None  # why there is no registration
        self._done = asyncio.Event()
        self._trace = MemoryTrace(200)

    async def run(self) -> int:
        check_sound(self._config.sound.audio_in, self._config.sound.audio_out)
        become_realtime()
        loop = asyncio.get_running_loop()
        self._loop = loop
        self._engine = Engine(self._config, self._take, verbose=self._events, trace=self._trace)
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._done.set)
        self._engine.start()
        if self._target:
            self._engine.call(self._target)
        if not self._events:
            loop.call_later(QUIET, self._say_waiting)
        await self._done.wait()
        await self._engine.stop()
        if self._events:
            drops = {f"{room}: {reason}": count for (room, reason), count in self._trace.drops.items()}
            self._print({"event": "drops", **drops})
        if isinstance(self._problem, LocalError):
            raise self._problem
        if self._problem is not None:
            self._say(f"segue: {self._problem}")
        return 0 if self._problem is None and (self._was_up or not self._target) else 1

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
        elif line["event"] == "ended" and line["call_id"] in self._up:
            self._say(f"ended by {line['by']}: {line['reason'] or 'done'}")
        elif shown is not None:
            self._say(shown.format(**line))

    def _say_waiting(self) -> None:
        account = self._config.account
        if not self._reached and not self._done.is_set():
            self._say(f"connecting to {account.registrar or account.domain}")

    # The script

    def _on_incoming_call(self, line: Line) -> None:
        if self._answer_after is not None:
            self._later(self._answer_after, self._engine.answer, line["call_id"])

    def _on_up(self, line: Line) -> None:
        self._was_up = True
        self._up.add(line["call_id"])
        call_id = line["call_id"]
        if self._duration is not None:
            self._later(self._duration, self._engine.hang_up, call_id)
        if self._hold_at is not None:
            self._later(self._hold_at, self._engine.hold, call_id)
            self._later(self._hold_at + self._resume_after, self._engine.resume, call_id)

    def _on_registered(self, _line: Line) -> None:
        self._reached = True
        self._unregistered = None

    def _on_dialling(self, _line: Line) -> None:
        self._reached = True

    def _on_registration_failed(self, line: Line) -> None:
        """A phone that goes on trying says so; what only the user can put right ends it, but no call."""
        self._reached = True  # who has heard of a problem knows what is waited for
        problem = self._unregistered = why_not_registered(line)
        if (line.get("local") or line["retry_in"] is None) and not self._engine.agent.live_calls():
            self._problem = problem
            self._done.set()
        elif not self._target and not self._events:
            self._say(f"segue: {problem}; the next try is in {line['retry_in']:.0f} s")

    def _on_problem(self, line: Line) -> None:
        problem = LocalError(line["problem"], line["remedy"])
        if self._target or self._once:
            self._problem = problem
        elif not self._events:
            self._say(f"segue: {problem}")

    def _on_ended(self, line: Line) -> None:
        was_up = line["call_id"] in self._up
        self._up.discard(line["call_id"])
        if self._target and not was_up and self._problem is None:
            event = read_event(line)
            assert isinstance(event, Ended)
            unreachable = self._unregistered if not event.call_id and event.by == "network" else None
            self._problem = unreachable or why_ended(event)
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
