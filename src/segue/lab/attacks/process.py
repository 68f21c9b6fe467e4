"""The attacker's hands: `python -m segue.lab.attacks.process PLAN LOG`, in the lab's `wire` namespace only.

PLAN is a JSON file (`attacks.start_attacks` writes it). Each injected packet becomes a line of LOG: kind, target, far
end, Unix time, length and SHA-256 of the UDP payload. Ends when the plan is done, or on SIGTERM; never lasts longer,
never sends more than the plan says.
"""

from __future__ import annotations

import json
import select
import signal
import sys
import time
from pathlib import Path
from typing import Any, TextIO

from segue.base.errors import LocalError
from segue.lab.attacks.attacker import MOST_AT_MOVES, Attacker, Injection, Phase
from segue.lab.attacks.during_moves import DuringMoves
from segue.lab.attacks.wiretap import Wiretap
from segue.lab.networks.namespaces import inside_lab
from segue.net.packet_socket import PacketSocket
from segue.testing.entropy import SeededEntropy

LONGEST = 900.0  # seconds
_BUFFER = 4 << 20


def refuse_outside_lab() -> None:
    """LocalError unless this process runs in a network namespace of the lab."""
    if not inside_lab():
        raise LocalError("attacks run inside the lab's networks only", "segue lab run --attacks N")


class _Hands:
    def __init__(self, plan: dict[str, Any], log: TextIO) -> None:
        self._log = log
        self._sockets = {name: PacketSocket(name, outgoing=True, buffer=_BUFFER) for name in plan["far_ends"]}
        self._names = {each.fileno(): name for name, each in self._sockets.items()}
        phases = [Phase(p["seconds"], p["counts"], tuple(p["hosts"])) for p in plan["phases"]]
        entropy = SeededEntropy(f"attacks/{plan['seed']}")
        tap = Wiretap(plan["far_ends"])
        now = time.monotonic()
        moves = DuringMoves(tap, plan["beginning"], plan["relays"]) if plan["at_moves"] else None
        self.attacker = Attacker(
            tap,
            phases,
            plan["secure"],
            entropy,
            now,
            on_media=plan["on_media"],
            delay=plan["delay"],
            moves=moves,
        )
        self._most = sum(sum(p.counts.values()) for p in phases) + (MOST_AT_MOVES if moves else 0)
        self._sent = 0
        self.running = True

    def run(self) -> None:
        end = time.monotonic() + LONGEST
        while self.running and not self.attacker.finished:
            now = time.monotonic()
            if now > min(end, self.attacker.ends_at or end):
                return
            deadline = self.attacker.deadline()
            wait = 0.1 if deadline is None else min(0.1, max(0.0, deadline - now))
            for descriptor in select.select(list(self._names), [], [], wait)[0]:
                self._drain(self._names[descriptor])
            self._inject(self.attacker.due(time.monotonic()))

    def _drain(self, name: str) -> None:
        """What leaves a far end reaches the host. The kernel does not show a socket its own packets."""
        try:
            while (frame := self._sockets[name].receive()) is not None:
                self._inject(self.attacker.receive(name, frame.outgoing, frame.octets, time.monotonic()))
        except OSError:
            pass  # a link without carrier says so once

    def _inject(self, injections: list[Injection]) -> None:
        for far_end, frame, record in injections:
            if record["kind"] != "ack":
                if self._sent >= self._most:
                    continue
                self._sent += 1
            reached = True
            at = time.time()
            try:
                self._sockets[far_end].send(frame)
            except OSError:
                reached = False  # that link is down: the packet goes nowhere, as on a real one
            self._log.write(json.dumps({"time": at, **record, "reached": reached}) + "\n")
            self._log.flush()


def main() -> None:
    try:
        refuse_outside_lab()
    except LocalError as error:
        print(f"attacks: {error}", file=sys.stderr)
        sys.exit(2)
    with open(sys.argv[2], "a") as log:
        hands = _Hands(json.loads(Path(sys.argv[1]).read_text()), log)

        def end(*_: object) -> None:
            hands.running = False

        signal.signal(signal.SIGTERM, end)
        print("ready", flush=True)
        hands.run()


if __name__ == "__main__":
    main()
