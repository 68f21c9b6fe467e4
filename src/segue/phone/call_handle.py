"""A call in the hands of a program: what it knows of it, and what it can do with it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable
from typing import TYPE_CHECKING, Any, Literal

from segue.base.errors import LocalError, RemoteError, SegueError
from segue.base.frame import Frame
from segue.base.keying import Assurance, Verification
from segue.call.events import CallEvent, Ended, HoldChanged, IncomingCall, Ringing, Up
from segue.phone.change import Change
from segue.phone.event_lines import read_event
from segue.phone.reasons import why_ended
from segue.phone.wire import Message, SoundMessage

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from segue.phone.phone import Phone

State = Literal["dialling", "ringing out", "ringing in", "up", "ended"]

EVENTS = 1000  # of one call that are kept
HEARD = 5.0  # seconds of sound that a listener may be late
AHEAD = 0.5  # seconds that `say` may be ahead of what has been said
PATIENCE = 10.0  # seconds for the other end to agree to hold or resume
FAREWELL = 5.0  # seconds for the end of a call

NOTHING_YET = Verification(Assurance.NONE, "none")


class Call:
    """Made by `Phone`. `id` is the Call-ID, empty while the phone looks for a way to the server.

    `peer` is the other end's address as we dialled it or as it was signalled; `state`, `codec`, `suite` (empty: in
    the clear), `verification` (who was authenticated, and how) and `held_by` ("", "us", "peer", "both") are as of
    now. `problem`: what did not work on this machine. `dropped`: seconds of sound that nobody took out of `listen`
    in time.
    """

    def __init__(self, phone: Phone, call_id: str, peer: str, state: State) -> None:
        self.id = call_id
        self.peer = peer
        self.incoming = state == "ringing in"
        self.state: State = state
        self.codec = ""
        self.suite = ""
        self.verification = NOTHING_YET
        self.held_by = ""
        self.problem: LocalError | None = None
        self.dropped = 0.0
        self._phone = phone
        self._change = Change()
        self._end: SegueError | None = None
        self._wishes: list[Callable[[], object]] = []  # for when there is an identifier
        self._log: deque[CallEvent] = deque(maxlen=EVENTS)
        self._logged = 0
        self._listeners: list[deque[Frame]] = []
        self._ahead = 0.0

    def __repr__(self) -> str:
        return f"<Call with {self.peer}: {self.state}>"

    # Life

    async def up(self) -> None:
        """Wait for the answer. Raises RemoteError with the status when the call is refused, or LocalError."""
        while self.state != "up":
            if self._end is not None:
                raise self._end
            await self._change.wait()

    async def answer(self) -> None:
        """Accept it; returns when it is up."""
        await self._ask("answer")
        await self.up()

    def reject(self, status: int = 603) -> asyncio.Future[None]:
        """Refuse it: 486 busy, 480 not available, 603 declined."""
        if not 400 <= status <= 699:
            raise LocalError(f"a call is not refused with {status}", "use 486, 480 or 603")
        return self._ask("reject", status=status)

    async def hang_up(self) -> None:
        """End it in whatever state it is; returns when it is over. Harmless when it is over already."""
        self.give_up()
        try:
            await asyncio.wait_for(self.ended(), FAREWELL)
        except TimeoutError:
            raise RemoteError("the call does not end", 408) from None

    def give_up(self) -> None:
        """`hang_up` without waiting."""
        if self.state == "ended":
            return
        if self.id:
            self._ask("hang_up").add_done_callback(_heard_of)
        else:
            self._wishes.append(lambda: self._ask("hang_up"))

    async def ended(self) -> SegueError:
        """Wait until the call is over, and say why."""
        while self._end is None:
            await self._change.wait()
        return self._end

    async def events(self) -> AsyncIterator[CallEvent]:
        """All that happened to the call and will: MoveBegun, MoveEnded, PeerMoved, HoldChanged, Digit, Up …; Ended
        is the last. Each reader gets all of them (the newest 1000). Raises LocalError when the voice process dies."""
        seen = 0
        while True:
            while seen < self._logged:
                seen = max(seen, self._logged - len(self._log))
                event = self._log[seen - self._logged + len(self._log)]
                seen += 1
                yield event
            if self._end is not None:
                if self._phone.problem is self._end:
                    raise self._end
                return
            await self._change.wait()

    # Hold and keys

    async def hold(self) -> None:
        """Returns when the other end has agreed; it hears nothing then. Raises RemoteError when it does not."""
        await self._ask("hold")
        await self._until(lambda: self.held_by in ("us", "both"), "the other end does not agree to hold")

    async def resume(self) -> None:
        await self._ask("resume")
        await self._until(lambda: self.held_by in ("", "peer"), "the other end does not agree to resume")

    def press(self, keys: str) -> asyncio.Future[None]:
        """Send keys 0 to 9, *, #, A to D (RFC 4733). Awaited, it raises RemoteError when the peer takes none."""
        if not keys or set(keys.upper()) - set("0123456789*#ABCD"):
            raise LocalError(f"no such keys: {keys!r}", "use 0 to 9, *, # and A to D")
        return self._ask("press", digits=keys.upper())

    # Sound

    async def play(self, sound: str) -> None:
        """Play a WAV file ("loop:PATH": again and again), "speech", "tone:440" or "coded" to the other end, in place
        of what is played; returns when all of it was sent. Cancelling it stops it. Raises LocalError."""
        reply = self._ask("play", path=sound)
        try:
            await reply
        except asyncio.CancelledError:
            if self.state != "ended":
                self._ask("stop_playing").add_done_callback(_heard_of)
            raise

    def record(self, path: str) -> asyncio.Future[None]:
        """Write what is heard to a WAV file from now on, until the call ends or `stop_recording`. Awaited, it raises
        LocalError when that cannot be; `problem` has one that comes later."""
        return self._ask("record", path=path)

    def stop_recording(self, path: str = "") -> asyncio.Future[None]:
        """This one, or all."""
        return self._ask("stop_recording", path=path)

    async def say(self, frames: Frame | Iterable[Frame] | AsyncIterable[Frame]) -> None:
        """Speak: frames of any length and rate, at the pace of the call. Returns when the last one is queued, at most
        half a second before it is heard; `said` waits for that."""
        if isinstance(frames, Frame):
            await self._say(frames)
        elif isinstance(frames, AsyncIterable):
            async for frame in frames:
                await self._say(frame)
        else:
            for frame in frames:
                await self._say(frame)

    async def said(self) -> None:
        """Wait until all that `say` took has been sent."""
        while self._ahead > 0.0 and self._end is None:
            await self._change.wait()

    def listen(self) -> AsyncIterator[Frame]:
        """What the other end says from now on, 20 ms a frame, until the call ends. Who reads too slowly loses the
        oldest sound (`dropped`)."""
        if not self._listeners:
            self._later(lambda: self._ask("listen", on=True).add_done_callback(_heard_of))
        heard: deque[Frame] = deque()
        self._listeners.append(heard)
        return self._listening(heard)

    async def _listening(self, heard: deque[Frame]) -> AsyncIterator[Frame]:
        try:
            while True:
                while heard:
                    yield heard.popleft()
                if self._end is not None:
                    return
                await self._change.wait()
        finally:
            self._listeners = [one for one in self._listeners if one is not heard]
            if not self._listeners and self.id and self._end is None and self._phone.problem is None:
                self._ask("listen", on=False).add_done_callback(_heard_of)

    async def _say(self, frame: Frame) -> None:
        while self._ahead >= AHEAD and self._end is None:
            await self._change.wait()
        if self._end is not None:
            raise self._end
        if self.state != "up":
            raise LocalError("the call is not up", "wait for `up`")
        samples: NDArray[np.int16] = frame.samples
        piece = frame.rate // 2  # half a second: within what a message may have
        for begin in range(0, len(samples), piece):
            part = samples[begin : begin + piece]
            self._phone.send_sound(SoundMessage(self.id, frame.rate, frame.time, part.tobytes()))
            self._ahead += len(part) / frame.rate
            while self._ahead >= AHEAD and begin + piece < len(samples) and self._end is None:
                await self._change.wait()

    # For `Phone`

    def begin(self, line: Message) -> None:
        """The phone has sent the INVITE."""
        self.id = line["call_id"]
        self.take(line)
        wishes, self._wishes = self._wishes, []
        for wish in wishes:
            wish()

    def take(self, line: Message) -> None:
        """Something happened."""
        kind = line["event"]
        if kind == "said":
            self._ahead = max(0.0, self._ahead - line["seconds"])
            if self._ahead < 0.002:  # resampling keeps a little back
                self._ahead = 0.0
        elif kind == "unheard":
            self.dropped += line["seconds"]
        elif kind == "problem":
            self.problem = LocalError(line["problem"], line.get("remedy", ""))
        else:
            event = read_event(line)
            if event is None:
                return
            self._note(event)
            self._log.append(event)
            self._logged += 1
        self._change.tell()

    def fail(self, error: SegueError) -> None:
        """It is over, and not by anything that was signalled."""
        self._end = self._end or error
        self.state = "ended"
        self._change.tell()

    def hear(self, sound: SoundMessage) -> None:
        import numpy as np

        frame = Frame(np.frombuffer(sound.samples, dtype=np.int16), sound.rate, sound.time)
        for heard in self._listeners:
            heard.append(frame)
            if len(heard) > HEARD * 50:
                self.dropped += heard.popleft().duration
        self._change.tell()

    def _note(self, event: CallEvent) -> None:
        match event:
            case IncomingCall():
                self.verification = event.verification
            case Ringing():
                self.state = "ringing out"
            case Up():
                self.state = "up"
                self.codec, self.suite, self.verification = event.codec, event.suite, event.verification
            case HoldChanged():
                self.held_by = event.held_by
            case Ended():
                self.state = "ended"
                self._end = self.problem or why_ended(event)

    def _ask(self, what: str, **facts: Any) -> asyncio.Future[None]:
        if self._end is not None:
            raise self._end
        if not self.id:
            raise LocalError("the call is not up", "wait for `up`")
        return self._phone.ask(what, call_id=self.id, **facts)

    def _later(self, wish: Callable[[], object]) -> None:
        """Now, or when the call has an identifier."""
        if self.id:
            wish()
        else:
            self._wishes.append(wish)

    async def _until(self, reached: Callable[[], bool], problem: str) -> None:
        async def wait() -> None:
            while not reached():
                if self._end is not None:
                    raise self._end
                await self._change.wait()

        try:
            await asyncio.wait_for(wait(), PATIENCE)
        except TimeoutError:
            raise RemoteError(problem, 408) from None


def _heard_of(done: asyncio.Future[None]) -> None:
    """A command that may come too late, when the call is just over."""
    if not done.cancelled():
        done.exception()
