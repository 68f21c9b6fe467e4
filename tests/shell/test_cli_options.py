"""What the options of `segue call` and `segue answer` do, from flags and from a file: real commands, a real server.

What is asserted is in their event lines, in what they record, and in what others find taken on this machine."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import sys
import wave
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

Line = dict[str, Any]


class Command:
    """`segue call` or `segue answer`, and its event lines as they come."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.lines: list[Line] = []

    async def said(self, event: str) -> Line:
        """The next line of this event."""
        assert self._process.stdout is not None
        async with asyncio.timeout(20):
            while text := await self._process.stdout.readline():
                self.lines.append(json.loads(text))
                if self.lines[-1]["event"] == event:
                    return self.lines[-1]
        raise AssertionError(f"no {event} in {[line['event'] for line in self.lines]}")

    async def end(self) -> int:
        """What was left to say; the exit status."""
        assert self._process.stdout is not None
        async with asyncio.timeout(20):
            self.lines += [json.loads(text) async for text in self._process.stdout]
            return await self._process.wait()

    def first(self, event: str) -> Line:
        return next(line for line in self.lines if line["event"] == event)

    def all(self, event: str) -> list[Line]:
        return [line for line in self.lines if line["event"] == event]

    def interrupt(self) -> None:
        self._process.send_signal(signal.SIGINT)

    async def close(self) -> None:
        if self._process.returncode is None:
            self._process.kill()
        await self._process.communicate()


Start = Callable[..., Awaitable[Command]]


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    """`await start("call", "bob", …)`; nothing of it is left after the test."""
    started: list[Command] = []

    async def begin(*words: str) -> Command:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "segue", *words),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        started.append(Command(process))
        return started[-1]

    yield begin
    for command in started:
        await command.close()


def to_file(path: Path, flags: list[str], **more: object) -> list[str]:
    """The same options in a TOML file."""
    facts: dict[str, object] = dict(
        zip((flag.removeprefix("--") for flag in flags[::2]), flags[1::2], strict=True)
    )
    facts |= {name.replace("_", "-"): value for name, value in more.items()}
    path.write_text("".join(f"{name} = {json.dumps(value)}\n" for name, value in facts.items()))
    return ["--config", str(path)]


def taken_from(first: int) -> int:
    """How many UDP ports somebody has, of those where `--local-port` looks: 100 pairs from there on."""
    taken = 0
    for port in range(first, first + 200):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                taken += 1
    return taken


def tone_in(file: Path, hertz: float) -> float:
    """How many seconds of the recording hold this tone, in steps of 20 ms."""
    with wave.open(str(file)) as recording:
        rate = recording.getframerate()
        samples = np.frombuffer(recording.readframes(recording.getnframes()), dtype="<i2").astype(float)
    length = rate // 50
    count = 0
    for begin in range(0, len(samples) - length, length):
        spectrum = np.abs(np.fft.rfft(samples[begin : begin + length] * np.hanning(length)))
        strongest = np.fft.rfftfreq(length, 1 / rate)[int(spectrum.argmax())]
        count += bool(spectrum.max() > 10_000 and abs(strongest - hertz) < 60)
    return count * 0.02


async def test_a_call_by_flags(office, start, tmp_path):
    port = 21000  # the system gives such to nobody by itself
    heard = {name: tmp_path / f"{name}.wav" for name in ("alice", "bob")}
    bob_flags = office.flags("bob", **{"audio-in": "tone:1000", "audio-out": str(heard["bob"])})
    bob = await start("answer", *bob_flags, "--once", "--answer-after", "1.2", "--events")
    await bob.said("registered")
    alice_flags = office.flags("alice", **{"audio-in": "tone:600", "audio-out": str(heard["alice"])})
    alice = await start(
        *("call", "bob", *alice_flags, "--events", "--local-port", str(port), "--codec", "PCMU"),
        *("--suite", "AES_CM_128_HMAC_SHA1_32", "--duration", "4", "--hold-at", "1", "--hold-for", "1.5"),
    )
    await alice.said("up")
    assert taken_from(port) == 2  # RTP and RTCP
    assert await asyncio.gather(alice.end(), bob.end()) == [0, 0]

    up = alice.first("up")
    assert up["suite"] == bob.first("up")["suite"] == "AES_CM_128_HMAC_SHA1_32"
    assert up["codec"] in ("PCMA", "PCMU")
    assert 1.1 < up["time"] - alice.first("ringing")["time"] < 2.5  # --answer-after
    assert 3.9 < alice.first("ended")["time"] - up["time"] < 5.0  # --duration
    held = alice.all("hold_changed")
    assert [line["held_by"] for line in held] == ["us", ""]
    assert 0.9 < held[0]["time"] - up["time"] < 1.9  # --hold-at
    assert 1.3 < held[1]["time"] - held[0]["time"] < 2.4  # --hold-for
    assert [line["held_by"] for line in bob.all("hold_changed")] == ["peer", ""]
    assert [line["time"] for line in alice.lines[:-1]] == sorted(line["time"] for line in alice.lines[:-1])
    for file, tone in ((heard["alice"], 1000), (heard["bob"], 600)):
        assert 1.5 < tone_in(file, tone) < 3.2  # four seconds, less those of the hold


async def test_a_call_by_files(office, start, tmp_path):
    """One file serves both commands: `segue call` passes over what only `segue answer` knows."""
    port = 21400
    heard = tmp_path / "heard.wav"
    script = {
        "answer-after": 0.8,
        "duration": 2.0,
        "hold-at": 0.5,
        "hold-for": 0.6,
        "once": True,
        "events": True,
    }
    flags = office.flags("bob", codec="", family="", interface="")
    bob = await start(
        *("answer", *to_file(tmp_path / "bob.toml", flags, family=4, interface=["lo"], **script))
    )
    await bob.said("registered")
    flags = office.flags("alice", codec="", interface="", **{"audio-in": "speech", "audio-out": str(heard)})
    more = {"codec": ["G722"], "suite": ["AEAD_AES_128_GCM"], "interface": "lo", "mode": "reinvite"}
    more |= {"speech": "continuous", "speech-limit": 2.5}
    file = to_file(
        tmp_path / "alice.toml", flags, **more, **{"local-port": port, "events": True, "answer-after": 1}
    )
    alice = await start("call", "bob", *file, "--suite", "AES_256_CM_HMAC_SHA1_80")
    await alice.said("up")
    assert taken_from(port) == 2
    assert await asyncio.gather(alice.end(), bob.end()) == [0, 0]
    up, answered = alice.first("up"), bob.first("up")
    assert (up["codec"], up["suite"]) == ("G722", "AES_256_CM_HMAC_SHA1_80")  # the flag goes over the file
    assert 0.7 < up["time"] - alice.first("ringing")["time"] < 2.0
    assert 1.9 < bob.first("ended")["time"] - answered["time"] < 3.0
    assert [line["held_by"] for line in bob.all("hold_changed")] == ["us", ""]
    assert heard.stat().st_size > 16000
    assert {
        alice.first("statistics")[name] for name in ("asked_for", "recovered", "resent", "sent_late")
    } == {0}


async def test_sound_from_a_file_goes_to_a_file(office, start, tmp_path):
    """What the first call recorded is what the second one plays."""
    first, second = tmp_path / "first.wav", tmp_path / "second.wav"
    for source, sink in (("tone:700", first), (str(first), second)):
        bob_flags = office.flags("bob", **{"audio-in": source})
        bob = await start("answer", *bob_flags, "--once", "--answer-after", "0", "--events")
        await bob.said("registered")
        alice_flags = office.flags("alice", **{"audio-out": str(sink)})
        alice = await start("call", "bob", *alice_flags, "--duration", "1.5", "--events")
        assert await asyncio.gather(alice.end(), bob.end()) == [0, 0]
        assert tone_in(sink, 700) > 0.9


async def test_calls_in_the_clear_are_told_as_such(office, start):
    clear = {"keying": "none", "transport": "udp", "registrar": f"127.0.0.1:{office.udp_port}"}
    bob = await start("answer", *office.flags("bob", **clear), "--once", "--events")
    await bob.said("registered")
    pipe = asyncio.subprocess.PIPE
    alice = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "segue", "call", "bob", *office.flags("alice", **clear), "--duration", "0.5"),
        stderr=pipe,
    )
    _, said = await asyncio.wait_for(alice.communicate(), 20)
    assert alice.returncode == 0 and "NOT ENCRYPTED" in said.decode()
    assert await bob.end() == 0
    assert bob.first("up")["suite"] == ""


async def test_ctrl_c_hangs_up_and_unregisters(office, start):
    bob = await start("answer", *office.flags("bob"), "--answer-after", "0", "--events")
    await bob.said("registered")
    alice = await start("call", "bob", *office.flags("alice"), "--events")
    await alice.said("up")
    alice.interrupt()
    assert await alice.end() == 0
    assert (await bob.said("ended"))["by"] == "peer"
    bob.interrupt()
    assert await bob.end() == 0
    alice = await start("call", "bob", *office.flags("alice"), "--events")
    assert await alice.end() == 1  # nobody is registered any more
    assert alice.first("ended")["status"] == 480
