"""A long call: does its memory stay flat, and does its packet clock miss no tick? G.711 with SRTP between two `segue`
processes on loopback, both playing a WAV file and recording into one, signalling over TLS through our server.

    python benchmarks/soak.py [SECONDS [FOLDER]]

Each phone's memory is read every 10 s: all that is resident (VmRSS), and of it what is the process' own (RssAnon);
the rest is code mapped from files, which the kernel takes away and gives again as it likes. The slope of the own is
fitted from the fifth minute on, when buffers have reached their size. A tick is lost when it came together with a
later one; the phone says in how many of them it was at work itself, the others the machine took. Samples are kept
in FOLDER, as they come.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from call_cpu import DOMAIN, memory, office, times, write_sound

EVERY = 10.0  # seconds between samples
SETTLED = 300.0  # seconds
SPEECH = 60.0  # seconds of the file that is played again and again
Lines = list[dict[str, Any]]


async def read(process: asyncio.subprocess.Process, lines: Lines, told: asyncio.Condition) -> None:
    assert process.stdout is not None
    while line := await process.stdout.readline():
        async with told:
            lines.append(json.loads(line))
            told.notify_all()
    async with told:
        lines.append({"event": "gone"})
        told.notify_all()


class Phone:
    """A `segue` process and what it says."""

    def __init__(self, name: str, process: asyncio.subprocess.Process) -> None:
        self.name = name
        self.process = process
        self.lines: Lines = []
        self._told = asyncio.Condition()
        self._reading = asyncio.create_task(read(process, self.lines, self._told))

    async def until(self, event: str) -> dict[str, Any]:
        """The first such event. Ends the program when the phone does before."""
        async with self._told:
            await self._told.wait_for(lambda: self._find(event) or self._find("gone"))
        found = self._find(event)
        if found is None:
            raise SystemExit(f"segue {self.name} ended before {event}")
        return found

    def _find(self, event: str) -> dict[str, Any] | None:
        return next((line for line in self.lines if line["event"] == event), None)

    def sample(self, at: float) -> dict[str, Any]:
        process = self.process.pid
        return {
            "phone": self.name,
            "at": round(at, 1),
            "resident_mib": memory(process),
            "own_mib": memory(process, "RssAnon"),
            "cpu_s": sum(times(process)),
        }


async def soak(folder: Path, seconds: float) -> None:
    async with office(folder) as common:
        options = [f"loop:{word}" if word.endswith("speech.wav") else word for word in common]

        async def start(name: str, *words: str) -> Phone:
            heard = str(folder / f"{name}.wav")
            command = (sys.executable, "-m", "segue", *words, *options, "--audio-out", heard)
            return Phone(
                words[0],
                await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE),
            )

        bob = await start("bob", "answer", "--aor", f"sip:bob@{DOMAIN}", "--once")
        await bob.until("registered")
        alice = await start(
            "alice", "call", "bob", "--aor", f"sip:alice@{DOMAIN}", "--duration", str(seconds)
        )
        phones = (alice, bob)
        await asyncio.gather(*(phone.until("up") for phone in phones))
        samples = await watch(phones, folder / "samples.jsonl", seconds)
        for phone in phones:
            await phone.until("statistics")
            await phone.process.wait()
            report(phone, [sample for sample in samples if sample["phone"] == phone.name])


async def watch(phones: tuple[Phone, ...], kept: Path, seconds: float) -> Lines:
    """Samples until shortly before the call ends."""
    samples: Lines = []
    clock = asyncio.get_running_loop().time
    began = clock()
    with kept.open("w") as file:
        while clock() - began < seconds - 1:
            for phone in phones:
                samples.append(phone.sample(clock() - began))
                print(json.dumps(samples[-1]), file=file, flush=True)
            await asyncio.sleep(min(EVERY, max(0.1, seconds - 1 - (clock() - began))))
    return samples


def report(phone: Phone, samples: Lines) -> None:
    settled = [s for s in samples if s["at"] >= SETTLED] or samples
    at, own, resident = (np.array([s[key] for s in settled]) for key in ("at", "own_mib", "resident_mib"))
    slope = float(np.polyfit(at, own, 1)[0]) if len(settled) > 2 else 0.0
    first, last = settled[0], settled[-1]
    span = last["at"] - first["at"]
    cpu = 100 * (last["cpu_s"] - first["cpu_s"]) / span if span else 0.0
    facts = next(line for line in phone.lines if line["event"] == "statistics")
    print(
        f"segue {phone.name}, {last['at']:.0f} s\n"
        f"  own memory {own[0]:.2f} MiB after {at[0]:.0f} s, {own[-1]:.2f} at the end, at most {own.max():.2f};"
        f" slope {slope * 1024 * 1024:+.1f} octets a second\n"
        f"  resident {resident[0]:.1f} MiB, {resident[-1]:.1f} at the end, at most {resident.max():.1f};"
        f" {cpu:.2f} % of a core\n"
        f"  ticks lost {facts['lost_ticks']}, of these at work {facts['busy_ticks']}; packets received"
        f" {facts['received']}, missing {facts['missing']}, late {facts['late']}, discarded {facts['discarded']};"
        f" concealed {facts['concealed_ms']:.0f} ms, starved {facts['starved_ms']:.0f} ms"
    )


def main() -> None:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 7200.0
    if len(sys.argv) > 2:
        folder = Path(sys.argv[2])
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        prepare_and_run(folder, seconds)
    else:
        with tempfile.TemporaryDirectory() as name:
            prepare_and_run(Path(name), seconds)


def prepare_and_run(folder: Path, seconds: float) -> None:
    write_sound(folder / "speech.wav", SPEECH)
    asyncio.run(soak(folder, seconds))


if __name__ == "__main__":
    main()
