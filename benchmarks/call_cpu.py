"""What a call costs: CPU and memory of one G.711 call with SRTP from answer to hang-up, both ends playing a WAV file
and recording into one; processes of their own on loopback. When linphonec is installed a call of two of those runs at
the same time: what else the machine does costs both the same.

    python benchmarks/call_cpu.py [SECONDS]

CPU is utime + stime of the process (/proc/PID/stat) in percent of one core, memory its resident set at the end.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import pty
import shutil
import signal
import sys
import tempfile
import wave
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from segue.base.address import Address
from segue.server.authentication import hashes_of
from segue.server.config import Listen, ServerConfig
from segue.server.server import Server
from segue.server.store import Store
from segue.testing.certificates import make_ca, make_certificate

DOMAIN = "example.org"
TICK = os.sysconf("SC_CLK_TCK")
SETTLE = 1.0  # seconds after the answer that are left out


@dataclass(frozen=True)
class Cost:
    name: str
    user: float  # percent of a core
    system: float
    memory: float  # MiB

    def __str__(self) -> str:
        total = self.user + self.system
        return (
            f"{self.name:<18} {total:5.2f} %  ({self.user:.2f} user, {self.system:.2f} system)"
            f"  {self.memory:5.1f} MiB"
        )


def times(process: int) -> tuple[float, float]:
    """Seconds of user and system time."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) / TICK, int(fields[12]) / TICK


def memory(process: int, kind: str = "VmRSS") -> float:
    """MiB that are resident; `kind` as /proc/PID/status names it."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(f"{kind}:")).split()[1]) / 1024


async def measure(processes: dict[str, int], seconds: float) -> list[Cost]:
    await asyncio.sleep(SETTLE)
    begin = {name: times(process) for name, process in processes.items()}
    started = asyncio.get_running_loop().time()
    await asyncio.sleep(seconds)
    span = asyncio.get_running_loop().time() - started
    costs = []
    for name, process in processes.items():
        user, system = times(process)
        user, system = user - begin[name][0], system - begin[name][1]
        costs.append(Cost(name, 100 * user / span, 100 * system / span, memory(process)))
    return costs


def write_sound(path: Path, seconds: float) -> None:
    """Something like speech at 8 kHz: noise that comes and goes."""
    dice = np.random.default_rng(1)
    count = int(8000 * seconds)
    loudness = np.clip(np.sin(np.arange(count) * 2 * np.pi * 0.7 / 8000) * 4000, 0, None)
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", ""))
        file.writeframes((dice.standard_normal(count).clip(-3, 3) * loudness).astype("<i2").tobytes())


# Segue


@contextlib.asynccontextmanager
async def office(folder: Path) -> AsyncIterator[list[str]]:
    """A server; the options that its users have in common."""
    authority = make_ca(folder)
    certificate = make_certificate(authority, names=[DOMAIN])
    database = str(folder / "server.db")
    store = Store(database)
    store.put_users(DOMAIN, {name: hashes_of(name, DOMAIN, "secret") for name in ("alice", "bob")})
    store.close()
    secret = folder / "password"
    secret.touch(mode=0o600)
    secret.write_text("secret")
    listens = (Listen("TLS", Address("127.0.0.1", 0)),)
    config = ServerConfig(
        DOMAIN, listens, database, certificate=certificate.certificate_file, key=certificate.key_file
    )
    async with Server(config) as server:
        yield [
            *("--registrar", f"127.0.0.1:{server.port('TLS')}", "--password-file", str(secret)),
            *("--ca", authority.file, "--interface", "lo", "--family", "4", "--codec", "PCMA"),
            *("--state-dir", str(folder), "--audio-in", str(folder / "speech.wav"), "--events"),
        ]


async def until(process: asyncio.subprocess.Process, event: str) -> None:
    assert process.stdout is not None
    while line := await process.stdout.readline():
        if json.loads(line)["event"] == event:
            return
    raise SystemExit(f"no {event}")


@contextlib.asynccontextmanager
async def segue(folder: Path) -> AsyncIterator[dict[str, int]]:
    """A call that is up; its processes."""
    async with office(folder) as options:

        async def start(*words: str) -> asyncio.subprocess.Process:
            return await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "segue", *words), *options, stdout=asyncio.subprocess.PIPE
            )

        bob = await start(
            "answer", "--aor", f"sip:bob@{DOMAIN}", "--audio-out", str(folder / "bob.wav"), "--once"
        )
        await until(bob, "registered")
        alice = await start(
            *("call", "bob", "--aor", f"sip:alice@{DOMAIN}", "--audio-out", str(folder / "alice.wav"))
        )
        await asyncio.gather(until(bob, "up"), until(alice, "up"))
        yield {"segue call": alice.pid, "segue answer": bob.pid}
        alice.send_signal(signal.SIGINT)
        await asyncio.gather(alice.communicate(), bob.communicate())


# linphonec


class Linphonec:
    """On a terminal of its own, calls go from one to the other without a server."""

    def __init__(self, folder: Path, name: str, port: int, speech: Path) -> None:
        self.folder = folder / name
        for place in (".local/share/linphone", ".config/linphone"):  # without them its core never starts
            (self.folder / place).mkdir(parents=True)
        codecs = "".join(
            f"[audio_codec_{number}]\nmime={kind}\nrate=8000\nchannels=1\nenabled={int(kind == 'PCMA')}\n"
            for number, kind in enumerate(("PCMU", "PCMA", "GSM", "speex"))
        )
        (self.folder / "linphonerc").write_text(
            f"[sip]\nsip_port={port}\nsip_tcp_port=0\nsip_tls_port=0\nmedia_encryption=srtp\nuse_ipv6=0\n"
            f"contact=sip:{name}@127.0.0.1\nregister_only_when_network_is_up=0\n"
            "[misc]\nmedia_encryption_mandatory=1\n[sound]\nechocancellation=0\nagc=0\n"
            f"[rtp]\naudio_rtp_port={port + 20}\n" + codecs
        )
        self.speech = speech
        self.terminal = -1
        self.process: asyncio.subprocess.Process

    async def start(self) -> None:
        self.terminal, theirs = pty.openpty()
        self.process = await asyncio.create_subprocess_exec(
            *("linphonec", "-c", str(self.folder / "linphonerc"), "-a", "-d", "0"),
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            cwd=self.folder,
            env=os.environ | {"HOME": str(self.folder)},
            start_new_session=True,
        )
        os.close(theirs)
        asyncio.get_running_loop().add_reader(self.terminal, self._drain)
        await asyncio.sleep(4)
        for line in ("soundcard use files", f"play {self.speech}", f"record {self.folder}/heard.wav"):
            self.type(line)
            await asyncio.sleep(0.5)

    def _drain(self) -> None:
        try:
            os.read(self.terminal, 65536)
        except OSError:
            asyncio.get_running_loop().remove_reader(self.terminal)

    def type(self, line: str) -> None:
        os.write(self.terminal, f"{line}\n".encode())

    async def stop(self) -> None:
        self.type("quit")
        try:
            await asyncio.wait_for(self.process.wait(), 10)
        except TimeoutError:
            self.process.kill()


@contextlib.asynccontextmanager
async def linphonec(folder: Path) -> AsyncIterator[dict[str, int]]:
    alice = Linphonec(folder, "alice", 25060, folder / "speech.wav")
    bob = Linphonec(folder, "bob", 25160, folder / "speech.wav")
    await asyncio.gather(alice.start(), bob.start())
    alice.type("call sip:bob@127.0.0.1:25160")
    await asyncio.sleep(3)
    begun = asyncio.get_running_loop().time()
    yield {"linphonec calling": alice.process.pid, "linphonec answering": bob.process.pid}
    seconds = asyncio.get_running_loop().time() - begun
    alice.type("terminate")
    await asyncio.sleep(1)
    await asyncio.gather(alice.stop(), bob.stop())
    heard = sum((one.folder / "heard.wav").stat().st_size for one in (alice, bob))
    if heard < 2 * 16000 * seconds:
        raise SystemExit("linphonec's call was not up: its recordings are too short")


async def compare(folder: Path, seconds: float) -> list[Cost]:
    async with contextlib.AsyncExitStack() as calls:
        processes: dict[str, int] = {}
        if shutil.which("linphonec"):
            processes |= await calls.enter_async_context(linphonec(folder))
        processes |= await calls.enter_async_context(segue(folder))
        return await measure(processes, seconds)


def main() -> None:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 60.0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_sound(folder / "speech.wav", seconds + 60)
        for cost in asyncio.run(compare(folder, seconds)):
            print(cost)


if __name__ == "__main__":
    main()
