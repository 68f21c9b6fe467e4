"""`Phone`: an account, its registration and its calls, for asyncio programs.

    async with Phone("sip:alice@example.org", password="…", ca="ca.pem") as phone:
        await phone.registered()
        call = await phone.call("bob")
        await call.play("welcome.wav")
        await call.hang_up()

SIP, keys, media and moves live in a process of their own (`voice_process`), so that nothing the program does can
make the voice stutter. All that is raised is a SegueError: LocalError with its remedy for what is to be changed
here, RemoteError with the SIP status for what the other end or the network refused.
"""

from __future__ import annotations

import asyncio
import uuid
from collections import deque
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from types import TracebackType
from typing import Any

from segue.base.errors import LocalError, SegueError
from segue.base.secret import Secret
from segue.call.config import MediaConfig
from segue.call.events import Ended, IncomingCall, Registered
from segue.phone.call_handle import Call
from segue.phone.change import Change
from segue.phone.config import Account, Networks, PhoneConfig, Sound
from segue.phone.event_lines import read_event
from segue.phone.reasons import why_ended, why_not_registered
from segue.phone.voice_link import InnerLink, Link, ProcessLink
from segue.phone.wire import Message, SoundMessage, read_error

RINGING = 32  # calls that may wait for `incoming`; one more is busy (486)


class Phone:
    """One account on one device. Use it with `async with`, in one event loop.

    `aor` is our address of record, `registrar` the server when it is not the domain of that; `password` is kept as
    a Secret. `transport` is "tls", "tcp" or "udp"; `ca` a PEM file of authorities (the system's when empty),
    `certificate` and `key` ours for servers that ask. `codec`: one or more of opus, G722, PCMA, PCMU, most wanted
    first. `keying`: "sdes", or "none" for calls in the clear. `audio_in` is what the other end hears while the
    program says and plays nothing: "silence", "device", "speech", "tone:440" or a WAV file; `audio_out` where the
    other end is heard besides: "null", "device" or a WAV file. `interfaces`: use only these. `speech`: "complete"
    (every word is heard, up to `speech_limit` seconds late) or "continuous" (what is late is dropped). `instance`:
    the device's URN (RFC 5626), one for each Phone when empty; keep it to replace the registration of a run before.
    `config` in place of all of that. `in_process` keeps the voice in this process, for tests: it stutters when the
    program is busy, and switches garbage collection off during calls.

    Raises LocalError for what cannot be.
    """

    def __init__(
        self,
        aor: str = "",
        *,
        password: str | Secret = "",
        registrar: str = "",
        transport: str = "tls",
        user: str = "",
        ca: str = "",
        certificate: str = "",
        key: str = "",
        codec: str | Sequence[str] = (),
        keying: str = "sdes",
        audio_in: str = "silence",
        audio_out: str = "null",
        interfaces: Sequence[str] = (),
        family: int | None = None,
        speech: str = "complete",
        speech_limit: float = 3.0,
        instance: str = "",
        config: PhoneConfig | None = None,
        in_process: bool = False,
    ) -> None:
        if config is None:
            account = Account(
                aor,
                registrar=registrar,
                transport=transport,
                user=user,
                password=password if isinstance(password, Secret) else Secret(password),
                instance=instance or uuid.uuid4().urn,
                ca=ca,
                certificate=certificate,
                key=key,
            )
            codecs = (codec,) if isinstance(codec, str) else tuple(codec)
            media = MediaConfig(keying=keying, speech=speech, speech_limit=speech_limit)
            media = replace(media, codecs=codecs) if codecs else media
            networks = Networks(interfaces=tuple(interfaces), family=family)
            config = PhoneConfig(account, media, Sound(audio_in, audio_out), networks)
        self.config = config
        self.registrations: dict[str, Registered] = {}  # by interface
        self._in_process = in_process
        self._link: Link | None = None
        self._gone: SegueError | None = None
        self._closed = False
        self._change = Change()
        self._registration_problem: SegueError | None = None
        self._serial = 0
        self._replies: dict[int, asyncio.Future[None]] = {}
        self._calls: dict[str, Call] = {}
        self._placing: deque[Call] = deque()  # the first one has been asked for, and has no identifier yet
        self._ringing: deque[Call] = deque()

    # Life

    async def __aenter__(self) -> Phone:
        if self._link is not None or self._gone is not None:
            raise LocalError("this phone has been used", "make another one")
        if self._in_process:
            self._link = InnerLink(self.config, self._take)
        else:
            self._link = await ProcessLink.start(self.config, self._take, self._lost)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Hang up, take the registration back, end the voice process."""
        self._closed = True
        link, self._link = self._link, None
        if link is not None:
            await link.close()
        self._lost(LocalError("the phone is closed", "open another one"))

    @property
    def process_id(self) -> int | None:
        """Of the voice process."""
        return self._link.pid if isinstance(self._link, ProcessLink) else None

    async def registered(self) -> Registered:
        """Wait until the server knows us on some network. Raises when it cannot be reached or refuses; the phone
        goes on trying where that can help, and so may you."""
        while True:
            if self.registrations:
                return next(iter(self.registrations.values()))
            if self._registration_problem is not None:
                problem, self._registration_problem = self._registration_problem, None
                raise problem
            if not self.config.account.register:
                raise LocalError("this phone does not register", "make it with register=True")
            await self._wait()

    # Calls

    async def call(self, target: str) -> Call:
        """Call `target` (bob, bob@example.org, sip:bob@example.org); returns when the call is up. Raises RemoteError
        with the status when it is refused or nobody is there. Cancelling it gives the call up."""
        call = self.dial(target)
        try:
            await call.up()
        except asyncio.CancelledError:
            call.give_up()
            raise
        return call

    def dial(self, target: str) -> Call:
        """Call `target`; returns at once. `call.up()` waits for the answer."""
        self._link_or_raise()
        call = Call(self, "", target, "dialling")
        self._placing.append(call)
        if len(self._placing) == 1:
            self._place()
        return call

    async def incoming(self) -> AsyncIterator[Call]:
        """The calls that ring, from the first one on; those that have been given up meanwhile are left out. Ends
        when the phone is closed."""
        while True:
            while self._ringing:
                call = self._ringing.popleft()
                if call.state == "ringing in":
                    yield call
            if self._closed:
                return
            await self._wait()

    @property
    def calls(self) -> list[Call]:
        """Those that are not over."""
        return [*self._placing, *self._calls.values()]

    # For `Call`

    def ask(self, what: str, **facts: Any) -> asyncio.Future[None]:
        """Send a command; the future is done when the command is."""
        link = self._link_or_raise()
        self._serial += 1
        message = {"do": what, "id": self._serial, **facts}
        reply: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._replies[self._serial] = reply
        link.send(message)
        return reply

    def send_sound(self, sound: SoundMessage) -> None:
        self._link_or_raise().send_sound(sound)

    @property
    def problem(self) -> SegueError | None:
        """Why this phone works no more."""
        return self._gone

    def _link_or_raise(self) -> Link:
        if self._gone is not None:
            raise self._gone
        if self._link is None:
            raise LocalError("the phone is not open", "use it with `async with`")
        return self._link

    async def _wait(self) -> None:
        """For a change. Raises when there can be none any more, other than by `close`."""
        self._link_or_raise()
        await self._change.wait()
        if self._gone is not None and not self._closed:
            raise self._gone

    def _place(self) -> None:
        """Ask for the first call that waits; the next one follows when it is known what became of it."""
        call = self._placing[0]
        reply = self.ask("call", target=call.peer)
        reply.add_done_callback(lambda done: self._placed(call, done))

    def _placed(self, call: Call, done: asyncio.Future[None]) -> None:
        error = None if done.cancelled() else done.exception()
        if isinstance(error, SegueError) and self._placing and self._placing[0] is call:
            self._placing.popleft()
            call.fail(error)
            if self._placing and self._gone is None:
                self._place()

    # From the voice

    def _lost(self, error: SegueError) -> None:
        if self._gone is not None:
            return
        self._gone = error
        for reply in self._replies.values():
            if not reply.done():
                reply.set_exception(error)
                reply.exception()  # whoever waits hears of it; nobody else has to
        self._replies.clear()
        for call in self.calls:
            call.fail(error)
        self._placing.clear()
        self._calls.clear()
        self._change.tell()

    def _take(self, frame: Message | SoundMessage) -> None:
        if isinstance(frame, SoundMessage):
            call = self._calls.get(frame.call_id)
            if call is not None:
                call.hear(frame)
        elif "reply" in frame:
            self._take_reply(frame)
        elif "event" in frame:
            self._take_event(frame)

    def _take_reply(self, frame: Message) -> None:
        reply = self._replies.pop(frame["reply"], None)
        if reply is None or reply.done():
            return
        if "error" in frame:
            reply.set_exception(read_error(frame["error"]))
        else:
            reply.set_result(None)

    def _take_event(self, line: Message) -> None:
        match line["event"]:
            case "registered":
                event = read_event(line)
                assert isinstance(event, Registered)
                self._registration_problem = None
                self.registrations[event.interface] = event
                self._change.tell()
            case "registration_failed":
                self.registrations.pop(line["interface"], None)
                self._registration_problem = why_not_registered(line)
                self._change.tell()
            case "incoming_call":
                self._take_incoming(line)
            case "dialling":
                self._take_dialling(line)
            case "ended" if not line["call_id"]:
                self._take_failure(line)
            case "ended":
                call = self._calls.pop(line["call_id"], None)
                if call is not None:
                    call.take(line)
            case _:
                call = self._calls.get(line.get("call_id", ""))
                if call is not None:
                    call.take(line)

    def _take_incoming(self, line: Message) -> None:
        event = read_event(line)
        assert isinstance(event, IncomingCall)
        call = Call(self, event.call_id, event.caller, "ringing in")
        self._calls[event.call_id] = call
        call.take(line)
        waiting = [one for one in self._ringing if one.state == "ringing in"]
        self._ringing = deque(waiting)
        if len(waiting) >= RINGING:
            call.reject(486)
            return
        self._ringing.append(call)
        self._change.tell()

    def _take_dialling(self, line: Message) -> None:
        """The call that was asked for has an identifier now."""
        if not self._placing:
            return
        call = self._placing.popleft()
        self._calls[line["call_id"]] = call
        call.begin(line)
        if self._placing:
            self._place()

    def _take_failure(self, line: Message) -> None:
        """The call that was asked for could not even be placed."""
        if not self._placing:
            return
        call = self._placing.popleft()
        event = read_event(line)
        assert isinstance(event, Ended)
        call.fail(why_ended(event))
        if self._placing:
            self._place()
