"""Runs a scenario: builds its network, starts server and phones, walks, and leaves everything in a folder.

    folder/ options.json   what was asked for         links.jsonl     attachments, by the link process
            plan.json      when which network is left and joined
            phones/        event lines of each phone   signals.jsonl   what the radio reported
            captures/      every station's packets     mn.wav, cn.wav  what each of them heard

`results` makes the figures of it.
"""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from segue.base.entropy import Entropy
from segue.emulator.links import Preset, preset
from segue.lab.itinerary import WLAN, Itinerary, itinerary
from segue.lab.networks.network import Network
from segue.lab.networks.topology import DOMAIN, TOPOLOGIES
from segue.lab.options import RunOptions
from segue.lab.phones import Office
from segue.lab.subjects import Subject, subject
from segue.testing.entropy import SeededEntropy

REPORT_EVERY = 0.1  # seconds between two reports of the radio
LEFT_BEHIND = (
    *("options.json", "plan.json", "topology.txt", "links.jsonl", "links.json", "signals.jsonl"),
    *("phones", "captures", "mn.wav", "cn.wav", "mn.radio", "cn.radio", "office", "resolvers", "resolv.conf"),
    *(
        "addresses-mn.jsonl",
        "addresses-mn.log",
        "attach-mn.log",
        "dns.log",
        "routers.log",
        "zone",
        "policy.toml",
    ),
    *("attack_plan.json", "attacks.jsonl", "attacks.err", "attacks.json", "overheard", "controls"),
    *("result.json", "series.json", "report.html"),
)
"""What a run and its judgement leave in their folder."""

Progress = Callable[[str, float, float], None]
"""Told what is going on, and how far: seconds done and seconds in all."""


class Scenario:
    """One run. `progress` is called several times a second."""

    def __init__(self, options: RunOptions, folder: Path, progress: Progress | None = None) -> None:
        self.options = options
        self.folder = folder
        self._progress = progress or (lambda _what, _done, _total: None)
        self._entropy: Entropy = SeededEntropy(f"scenario/{options.seed}")
        self._preset: Preset = preset(options.links)
        self.plan: Itinerary = itinerary(options, self._preset, self._entropy)

    def run(self) -> None:
        """Raises LocalError when something does not start, or the call never comes up."""
        options, folder = self.options, self.folder
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "options.json").write_text(json.dumps(options.as_json(), indent=1))
        topology = TOPOLOGIES[options.topology]
        self._progress("building the network", 0, 1)
        with Network(topology, self._preset, options.seed, folder) as network:
            (folder / "topology.txt").write_text(topology.picture() + "\n")
            office = Office(network, folder / "office")
            office.start_server(*self._server_options())
            network.start_address_monitor("mn")
            capture = network.start_capture(folder / "captures")
            resolvers = folder / "resolvers"
            resolvers.mkdir(exist_ok=True)
            network.start_attachment_agent(
                "mn", dad=options.dad, families=str(options.family), resolvers=str(resolvers)
            )
            for interface, name in self.plan.start:
                network.attach("mn", interface, name)
            self._call(network, office, str(resolvers))
            self._finish(network, capture)

    def _server_options(self) -> tuple[object, ...]:
        policy = ["[policy]"]
        if self.options.challenge:
            policy.append("nonce_uses = 1")
        if "baresip" in (self.options.mn, self.options.cn):
            policy.append('digest = ["MD5"]')  # baresip 1.0.0 gives up when another is offered
        file = self.folder / "policy.toml"
        file.write_text("\n".join(policy) + "\n")
        return ("--config", file)

    def _finish(self, network: Network, capture: Any) -> None:
        dropped = capture.stop()
        report = network.links.report()
        (self.folder / "links.json").write_text(json.dumps({"links": report, "capture_dropped": dropped}))

    def _call(self, network: Network, office: Office, resolvers: str) -> None:
        options = self.options
        kinds = {"mn": options.mn, "cn": options.cn}
        phones = {h: subject(kind, network, office, h, self.folder, options) for h, kind in kinds.items()}
        calls, answers = ("mn", "cn") if options.caller == "mn" else ("cn", "mn")
        caller, callee = phones[calls], phones[answers]
        of = {"mn": resolvers, "cn": ""}
        self._progress("registering", 0, 1)
        callee.answer(of[answers])
        caller.call(f"sip:{callee.user}@{DOMAIN}", self.plan.duration, of[calls])
        self._progress("calling", 0, 1)
        caller.wait_up()
        callee.wait_up()
        self._walk(network, phones["mn"])
        caller.finish()
        callee.finish()

    def _walk(self, network: Network, mover: Subject) -> None:
        begin = time.monotonic()
        wall = time.time() - time.monotonic()
        for step in self.plan.steps:
            if step.network:
                network.attach("mn", step.interface, step.network, begin + step.at)
            else:
                network.detach("mn", step.interface, self.options.break_, begin + step.at)
        plan = {
            "begin": begin + wall,
            "duration": self.plan.duration,
            "moves": [move._asdict() | {"kind": move.kind} for move in self.plan.moves],
        }
        (self.folder / "plan.json").write_text(json.dumps(plan, indent=1))
        with open(self.folder / "signals.jsonl", "w") as log:
            self._report_signals(network, mover, begin, wall, log)

    def _report_signals(self, network: Network, phone: Subject, begin: float, wall: float, log: Any) -> None:
        """Report the radio as a driver would, until the call has ended."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as radio:
            radio.setblocking(False)
            tick = 0
            while (now := time.monotonic() - begin) < self.plan.duration + 0.5:
                self._report(network, phone, now, begin + wall, radio, log)
                self._progress(self._place(now), now, self.plan.duration)
                tick += 1
                time.sleep(max(0.0, begin + tick * REPORT_EVERY - time.monotonic()))

    def _report(
        self,
        network: Network,
        phone: Subject,
        now: float,
        begun_at: float,
        radio: socket.socket,
        log: Any,
    ) -> None:
        under_way = self.plan.walk_at(now)
        if under_way is None:
            return
        walk, into = under_way
        state = walk.at(into)
        here = self._wlan_at(now)
        log.write(
            json.dumps(
                {"time": begun_at + now, "position": round(state.position, 2), "network": here}
                | {name: round(dbm, 1) for name, dbm in state.signals.items()}
            )
            + "\n"
        )
        log.flush()
        dbm = round(state.signals[here], 1) if here else None
        report = {"interface": WLAN, "dbm": dbm, "network": here}
        try:
            radio.sendto(json.dumps(report).encode(), str(phone.radio))
        except OSError:
            return  # the phone has hung up, or never listened
        if here and self._preset.links["wlan"].fades:
            network.links.fade(f"mn-{WLAN}", walk.loss(here, state.signals[here]))

    def _wlan_at(self, now: float) -> str:
        """The WLAN that the station is associated with, by the plan."""
        here = dict(self.plan.start).get(WLAN, "")
        for step in self.plan.steps:
            if step.interface == WLAN and step.at <= now:
                here = step.network
        return here

    def _place(self, now: float) -> str:
        joined = dict(self.plan.start)
        for step in self.plan.steps:
            if step.at <= now:
                joined[step.interface] = step.network
        return " + ".join(name for name in joined.values() if name) or "between networks"
