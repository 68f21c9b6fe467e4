"""The process that carries the voice of a program's phone, and nothing else.

It is `python -m segue.phone.voice_process FD`: FD is a stream socket, and `wire` says what is spoken on it, beginning
with the configuration (a password is on no command line and in no environment). It runs until the owner says "stop"
or is gone (end of file, or SIGTERM, which the kernel sends when the owner dies), and hangs up before it ends.

Backpressure: sound for an owner that does not read is dropped while `SOUND_BEHIND` octets wait for it, and counted.
Events are never dropped: an owner that lets `BEHIND` octets wait is taken for dead.
"""

from __future__ import annotations

import asyncio
import ctypes
import signal
import socket
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from segue.base.errors import LocalError, RemoteError, SegueError
from segue.base.frame import Frame
from segue.devices.open import check_sound, open_sink, open_source
from segue.net.packet_clock import become_realtime
from segue.phone.config import PhoneConfig
from segue.phone.engine import Engine
from segue.phone.program_sound import ProgramSink, ProgramSource
from segue.phone.wire import (
    FrameReader,
    Message,
    SoundMessage,
    error_facts,
    revive,
    write_message,
    write_sound,
)

if TYPE_CHECKING:
    from segue.call.call import Call

SOUND_BEHIND = 64 * 1024  # octets: two seconds at 16 kHz
BEHIND = 4 << 20
_PDEATHSIG = 1  # prctl's number for it

Send = Callable[[Message], object]
SendSound = Callable[[SoundMessage], object]


class VoiceService:
    """An engine that obeys messages. Raises LocalError where the configuration cannot work on this machine."""

    def __init__(
        self, config: PhoneConfig, send: Send, send_sound: SendSound, *, verbose: bool = False
    ) -> None:
        self._config = config
        self._send = send
        self._send_sound = send_sound
        self._sources: dict[str, ProgramSource] = {}
        self._sinks: dict[str, ProgramSink] = {}
        self._recordings: dict[str, list[str]] = {}  # wanted before the call had sound
        self._listened: set[str] = set()
        check_sound(config.sound.audio_in, config.sound.audio_out)
        self._engine = Engine(
            config, self._tell, open_source=self._open_source, open_sink=self._open_sink, verbose=verbose
        )

    def start(self) -> None:
        self._engine.start()

    async def stop(self) -> None:
        await self._engine.stop()

    # What the owner wants

    def command(self, message: Message) -> None:
        """Obey; the reply may come later."""
        try:
            self._obey(message)
        except SegueError as error:
            self._reply(message, error)

    def say(self, sound: SoundMessage) -> None:
        """Sound for a call that is not there any more is nobody's."""
        source = self._sources.get(sound.call_id)
        if source is not None:
            source.say(np.frombuffer(sound.samples, dtype=np.int16), sound.rate)

    def _obey(self, message: Message) -> None:
        call_id, engine = str(message.get("call_id", "")), self._engine
        match message.get("do"):
            case "call":
                engine.call(str(message["target"]))
            case "answer":
                engine.answer(call_id)
            case "reject":
                engine.reject(call_id, int(message["status"]))
            case "hang_up":
                engine.hang_up(call_id)
            case "hold":
                self._up(call_id)
                engine.hold(call_id)
            case "resume":
                self._up(call_id)
                engine.resume(call_id)
            case "press":
                self._up(call_id)
                engine.press(call_id, str(message["digits"]))
            case "play":
                self._source(call_id).play(str(message["path"]), lambda error: self._reply(message, error))
                return
            case "stop_playing":
                self._source(call_id).stop_playing()
            case "record":
                self._record(call_id, str(message["path"]))
            case "stop_recording":
                self._stop_recording(call_id, str(message.get("path", "")))
            case "listen":
                self._listen(call_id, bool(message["on"]))
            case other:
                raise LocalError(f"no command {other!r}", "use the same version at both ends")
        self._reply(message, None)

    def _reply(self, message: Message, error: SegueError | None) -> None:
        reply: Message = {"reply": message.get("id")}
        self._send(reply if error is None else reply | {"error": error_facts(error)})

    def _up(self, call_id: str) -> None:
        if call_id not in self._engine.agent.calls or call_id not in self._sources:
            raise LocalError("the call is not up", "wait until it is answered")

    def _source(self, call_id: str) -> ProgramSource:
        self._up(call_id)
        return self._sources[call_id]

    def _record(self, call_id: str, path: str) -> None:
        sink = self._sinks.get(call_id)
        if sink is not None:
            sink.record(path)
        elif call_id in self._engine.agent.calls:
            self._recordings.setdefault(call_id, []).append(path)
        else:
            raise LocalError("the call is over", "record while it is up")

    def _stop_recording(self, call_id: str, path: str) -> None:
        sink = self._sinks.get(call_id)
        if sink is not None:
            sink.stop_recording(path)
        self._recordings.pop(call_id, None)

    def _listen(self, call_id: str, on: bool) -> None:
        (self._listened.add if on else self._listened.discard)(call_id)
        sink = self._sinks.get(call_id)
        if sink is not None:
            sink.listened = on

    # What the engine says

    def _tell(self, line: dict[str, Any]) -> None:
        if line["event"] == "ended":
            for memory in (self._sources, self._sinks, self._recordings):
                memory.pop(line["call_id"], None)
            self._listened.discard(line["call_id"])
        self._send(line)

    def _open_source(self, call: Call, rate: int) -> ProgramSource:
        call_id = call.id
        base = open_source(self._config.sound.audio_in, rate)

        def said(seconds: float) -> None:
            self._send({"event": "said", "call_id": call_id, "seconds": seconds})

        self._sources[call_id] = ProgramSource(base, said)
        return self._sources[call_id]

    def _open_sink(self, call: Call, rate: int) -> ProgramSink:
        call_id = call.id
        base = open_sink(self._config.sound.audio_out, rate)

        def heard(frame: Frame) -> None:
            self._send_sound(SoundMessage(call_id, frame.rate, frame.time, frame.samples.tobytes()))

        sink = ProgramSink(base, heard, lambda error: self._problem(call_id, error))
        sink.listened = call_id in self._listened
        for path in self._recordings.pop(call_id, []):
            try:
                sink.record(path)
            except LocalError as error:
                self._problem(call_id, error)
        self._sinks[call_id] = sink
        return sink

    def _problem(self, call_id: str, error: LocalError) -> None:
        self._send({"event": "problem", "call_id": call_id, "problem": error.problem, "remedy": error.remedy})


class _Owner(asyncio.Protocol):
    """The socket to the owner."""

    def __init__(self) -> None:
        self.gone = asyncio.Event()
        self._transport: asyncio.Transport | None = None
        self._reader = FrameReader()
        self._service: VoiceService | None = None
        self._dropped: dict[str, float] = {}  # seconds of sound, by call

    async def stop(self) -> None:
        if self._service is not None:
            await self._service.stop()
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.set_write_buffer_limits(high=BEHIND)
        self._transport = transport

    def connection_lost(self, _error: Exception | None) -> None:
        self._transport = None
        self.gone.set()

    def eof_received(self) -> bool:
        self.gone.set()
        return False

    def data_received(self, data: bytes) -> None:
        try:
            for frame in self._reader.receive(data):
                self._take(frame)
        except RemoteError:
            self.gone.set()  # nonsense: whoever this is, it is not our owner

    def _take(self, frame: Message | SoundMessage) -> None:
        if isinstance(frame, SoundMessage):
            if self._service is not None:
                self._service.say(frame)
        elif frame.get("do") == "start":
            self._start(frame)
        elif frame.get("do") == "stop":
            self.gone.set()
        elif self._service is not None:
            self._service.command(frame)

    def _start(self, message: Message) -> None:
        try:
            config: PhoneConfig = revive(PhoneConfig, message["config"])
            service = VoiceService(config, self._send, self._send_sound, verbose=bool(message.get("verbose")))
        except SegueError as error:
            self._send({"reply": message.get("id"), "error": error_facts(error)})
            return
        self._service = service
        self._send({"reply": message.get("id")})
        service.start()

    def _send(self, message: Message) -> None:
        if self._transport is None:
            return
        self._transport.write(write_message(message))
        if self._transport.get_write_buffer_size() > BEHIND:
            self.gone.set()

    def _send_sound(self, sound: SoundMessage) -> None:
        if self._transport is None:
            return
        lost = self._dropped.get(sound.call_id, 0.0)
        if self._transport.get_write_buffer_size() > SOUND_BEHIND:
            self._dropped[sound.call_id] = lost + len(sound.samples) / 2 / sound.rate
            return
        if lost:
            del self._dropped[sound.call_id]
            self._send({"event": "unheard", "call_id": sound.call_id, "seconds": lost})
        self._transport.write(write_sound(sound))


async def serve(end: socket.socket) -> None:
    """Be the voice of the owner at the other end of `end`."""
    loop = asyncio.get_running_loop()
    _, owner = await loop.create_unix_connection(_Owner, sock=end)
    loop.add_signal_handler(signal.SIGTERM, owner.gone.set)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is meant for the owner, which then stops us
    await owner.gone.wait()
    await owner.stop()


def main() -> None:
    ctypes.CDLL(None).prctl(_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    become_realtime()
    asyncio.run(serve(socket.socket(fileno=int(sys.argv[1]))))


if __name__ == "__main__":
    main()
