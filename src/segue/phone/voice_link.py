"""From a program to its voice: a process of its own, or, for tests, the same one."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from segue.base.errors import LocalError, RemoteError, SegueError
from segue.phone.config import PhoneConfig
from segue.phone.wire import FrameReader, Message, SoundMessage, plain, write_message, write_sound

if TYPE_CHECKING:
    from segue.phone.voice_process import VoiceService

FAREWELL = 3.0  # seconds that the voice process has to hang up and end
STARTING = 20.0  # seconds that a loaded machine may take to start it

OnFrame = Callable[[Message | SoundMessage], None]
OnGone = Callable[[SegueError], None]


class Link(Protocol):
    def send(self, message: Message) -> None: ...

    def send_sound(self, sound: SoundMessage) -> None: ...

    async def close(self) -> None: ...


class InnerLink:
    """The voice in this process. What it says comes in the loop's next round, as it would from a socket."""

    def __init__(self, config: PhoneConfig, on_frame: OnFrame) -> None:
        """Raises LocalError where the configuration cannot work on this machine."""
        from segue.phone.voice_process import VoiceService

        loop = asyncio.get_running_loop()
        self._service: VoiceService = VoiceService(
            config,
            lambda message: loop.call_soon(on_frame, message),
            lambda sound: loop.call_soon(on_frame, sound),
        )
        self._service.start()

    def send(self, message: Message) -> None:
        self._service.command(message)

    def send_sound(self, sound: SoundMessage) -> None:
        self._service.say(sound)

    async def close(self) -> None:
        await self._service.stop()
        await asyncio.sleep(0)  # its last words


class ProcessLink(asyncio.Protocol):
    """The voice in a process of its own. `on_gone` is told once when that has died by itself."""

    def __init__(self, on_frame: OnFrame, on_gone: OnGone) -> None:
        self._on_frame = on_frame
        self._on_gone = on_gone
        self._reader = FrameReader()
        self._transport: asyncio.Transport | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._closing = False
        self._started: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @classmethod
    async def start(cls, config: PhoneConfig, on_frame: OnFrame, on_gone: OnGone) -> ProcessLink:
        """Raises LocalError where the configuration cannot work on this machine."""
        link = cls(on_frame, on_gone)
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                link._process = await asyncio.create_subprocess_exec(
                    *(sys.executable, "-P", "-m", "segue.phone.voice_process", str(theirs.fileno())),
                    pass_fds=(theirs.fileno(),),
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=asyncio.subprocess.DEVNULL,
                )
            except OSError as error:
                ours.close()
                raise LocalError("cannot start the voice process", str(error.strerror).lower()) from None
        await asyncio.get_running_loop().create_unix_connection(lambda: link, sock=ours)
        link.send({"do": "start", "id": 0, "config": plain(config)})
        try:
            await asyncio.wait_for(link._started, STARTING)
        except TimeoutError:
            await link.close()
            raise LocalError("the voice process does not start", "see whether the machine is busy") from None
        except BaseException:
            await link.close()
            raise
        return link

    @property
    def pid(self) -> int:
        """Of the voice process."""
        assert self._process is not None
        return self._process.pid

    def send(self, message: Message) -> None:
        if self._transport is not None:
            self._transport.write(write_message(message))

    def send_sound(self, sound: SoundMessage) -> None:
        if self._transport is not None:
            self._transport.write(write_sound(sound))

    async def close(self) -> None:
        self._closing = True
        self.send({"do": "stop"})
        process = self._process
        if process is not None:
            for end in (None, process.terminate, process.kill):
                try:
                    if end is not None:
                        end()
                    await asyncio.wait_for(process.wait(), FAREWELL)
                    break
                except ProcessLookupError:
                    break
                except TimeoutError:
                    continue
        if self._transport is not None:
            self._transport.close()

    # The socket

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        try:
            frames = self._reader.receive(data)
        except RemoteError as error:
            assert self._transport is not None
            self._transport.abort()
            self._die(str(error))
            return
        for frame in frames:
            if isinstance(frame, dict) and frame.get("reply") == 0:
                self._take_start(frame)
            else:
                self._on_frame(frame)

    def connection_lost(self, _error: Exception | None) -> None:
        self._transport = None
        self._die("its socket was closed")

    def _take_start(self, reply: Message) -> None:
        from segue.phone.wire import read_error

        if self._started.done():
            return
        if "error" in reply:
            self._started.set_exception(read_error(reply["error"]))
        else:
            self._started.set_result(None)

    def _die(self, why: str) -> None:
        if self._closing:
            return
        self._closing = True
        error = LocalError(f"the voice process died ({why})", "open the phone anew")
        if self._started.done():
            self._on_gone(error)
        else:
            self._started.set_exception(error)
