"""Attacks on a call in the lab, as a scenario uses them:

attacks = start_attacks(network, folder, seconds=20, secure=True)
…                                  the walk
attacks.stop()
results = judge(folder)            `verdict`
controls = run_controls(folder)    `controls`: the same with the defence off
"""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from segue.base.errors import LocalError
from segue.lab.attacks.attacker import KINDS, MOST, Phase, spread
from segue.lab.networks.links import python_command
from segue.lab.networks.network import Network

DEFAULT_TOTAL = 1000  # packets of a walk
LOG = "attacks.jsonl"


class Attacks:
    """Running attacks. `log` has a line for each packet that was injected."""

    def __init__(self, process: subprocess.Popen[Any], log: Path) -> None:
        self._process = process
        self.log = log

    def stop(self, timeout: float = 5.0) -> int:
        """End them; how many packets were injected."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
        return sum(line["kind"] in KINDS for line in read_log(self.log))

    def wait(self, timeout: float) -> int:
        """Until the plan is done, `timeout` seconds at most."""
        try:
            self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            pass
        return self.stop()


def start_attacks(
    network: Network,
    folder: Path,
    *,
    seconds: float,
    total: int = DEFAULT_TOTAL,
    secure: bool = True,
    sip_over_udp: bool = False,
    checks: bool = False,
    phases: Sequence[Phase] = (),
    hosts: tuple[str, ...] = ("mn", "cn"),
    on_media: bool = True,
    delay: float = 0.0,
    seed: int = 0,
    beginning: int = 0,
    relays: bool = False,
) -> Attacks:
    """Attack the phones of `hosts`, from all their far ends. Returns when the attacker reads the wires: start it
    before the call, so that he knows its signalling. He begins `delay` seconds after media has come to every phone
    (`on_media` False: after now) and goes on for `seconds`. `phases` instead of `total` for a plan of one's own.
    Whenever an end moves, besides: so many packets of the call's `beginning` are replayed to each phone, and with
    `relays` its checks are copied from the attacker's address; then he goes on until he is stopped.
    Raises LocalError for more than 20,000 packets, and when he does not start."""
    chosen = list(phases) or [Phase(seconds, spread(total, sip_over_udp, checks))]
    wanted = sum(sum(phase.counts.values()) for phase in chosen)
    if wanted > MOST:
        raise LocalError(f"{wanted} packets are too many for one walk", f"{MOST} at most")
    far_ends = {s.name: s.host for s in network.topology.stations if s.host in hosts}
    plan = {
        "far_ends": far_ends,
        "phases": [{"seconds": p.seconds, "counts": dict(p.counts), "hosts": list(p.hosts)} for p in chosen],
        "secure": secure,
        "on_media": on_media,
        "delay": delay,
        "seed": seed,
        "at_moves": relays or beginning > 0,
        "beginning": beginning,
        "relays": relays,
    }
    file, log = folder / "attack_plan.json", folder / LOG
    file.write_text(json.dumps(plan, indent=1))
    log.write_text("")
    with open(folder / "attacks.err", "w") as errors:
        process = network.wire.popen(
            python_command("segue.lab.attacks.process", file, log),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
        )
    assert process.stdout is not None
    if not process.stdout.readline():
        words = (folder / "attacks.err").read_text().strip().splitlines()[-1:]
        raise LocalError(f"the attacker did not start: {' '.join(words)}", f"see {folder}/attacks.err")
    return Attacks(process, log)


def read_log(path: Path) -> list[dict[str, Any]]:
    """The injected packets in order; a line cut short is left out."""
    lines = path.read_text().splitlines(keepends=True) if path.exists() else []
    return [json.loads(line) for line in lines if line.endswith("\n")]
