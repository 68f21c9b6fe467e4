"""Runs a scenario: builds its network, starts server and phones, walks, and leaves everything in a folder.

    folder/ options.json   what was asked for         links.jsonl     attachments, by the link process
            plan.json      when which network is left and joined    probes.json  round trips
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
from segue.lab.itinerary import WLAN, Itinerary, itinerary, topology_of
from segue.lab.networks.network import Network
from segue.lab.networks.topology import DOMAIN
from segue.lab.options import RunOptions
from segue.lab.phones import USERS, Office
from segue.lab.probe import Probe
from segue.lab.subjects import Subject, subject
from segue.testing.entropy import SeededEntropy

REPORT_EVERY = 0.1  # seconds between two reports of the radio
STRONG, WEAK = -50.0, -78.0  # dBm, of two radios that take turns
LEFT_BEHIND = (
    *("options.json", "plan.json", "topology.txt", "links.jsonl", "links.json", "signals.jsonl"),
    *("phones", "captures", "mn.wav", "cn.wav", "mn.radio", "cn.radio", "office", "resolv.conf"),
    *(
        f"{name}-{host}{kind}"
        for host in USERS
        for name, kind in (("addresses", ".jsonl"), ("addresses", ".log"))
    ),
    *(f"{name}-{host}{kind}" for host in USERS for name, kind in (("attach", ".log"), ("resolvers", ""))),
    *("dns.log", "routers.log", "zone", "policy.toml", "probes.json"),
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
        topology = topology_of(options)
        self._progress("building the network", 0, 1)
        with Network(topology, self._preset, options.seed, folder) as network:
            (folder / "topology.txt").write_text(topology.picture() + "\n")
            office = Office(network, folder / "office")
            office.start_server(*self._server_options())
            self._monitors = {host: network.start_address_monitor(host) for host in USERS}
            capture = network.start_capture(folder / "captures")
            resolvers = {host: self._start_agent(network, host) for host in USERS}
            for step in self.plan.start:
                network.attach(step.host, step.interface, step.network)
            self._call(network, office, resolvers)
            self._finish(network, capture)

    def _start_agent(self, network: Network, host: str) -> str:
        """Where the phone finds its networks' name servers; "" for a host that has had all from the start."""
        if all(station.static for station in network.topology.stations if station.host == host):
            return ""
        folder = self.folder / f"resolvers-{host}"
        folder.mkdir(exist_ok=True)
        families = str(self.options.family)
        network.start_attachment_agent(host, dad=self.options.dad, families=families, resolvers=str(folder))
        return str(folder)

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

    def _call(self, network: Network, office: Office, resolvers: dict[str, str]) -> None:
        options = self.options
        kinds = {"mn": options.mn, "cn": options.cn}
        phones = {h: subject(kind, network, office, h, self.folder, options) for h, kind in kinds.items()}
        calls, answers = ("mn", "cn") if options.caller == "mn" else ("cn", "mn")
        caller, callee = phones[calls], phones[answers]
        self._progress("registering", 0, 1)
        callee.answer(resolvers[answers])
        caller.call(f"sip:{callee.user}@{DOMAIN}", self.plan.duration, resolvers[calls])
        self._progress("calling", 0, 1)
        caller.wait_up()
        callee.wait_up()
        self._walk(network, phones)
        caller.finish()
        callee.finish()

    def _walk(self, network: Network, phones: dict[str, Subject]) -> None:
        begin = time.monotonic()
        wall = time.time() - time.monotonic()
        for step in self.plan.steps:
            if step.network:
                network.attach(step.host, step.interface, step.network, begin + step.at)
            else:
                network.detach(step.host, step.interface, self.options.break_, begin + step.at)
        for move in self.plan.moves:
            if move.kind == "rebind":
                network.rebind(move.target, begin + move.attach_at)
        plan = {
            "begin": begin + wall,
            "duration": self.plan.duration,
            "moves": [move._asdict() | {"kind": move.kind} for move in self.plan.moves],
        }
        (self.folder / "plan.json").write_text(json.dumps(plan, indent=1))
        probe = Probe(network, self.plan, self.options.family, self._monitors, begin)
        with open(self.folder / "signals.jsonl", "w") as log:
            self._report_signals(network, phones, begin, wall, log)
        probe.write(self.folder / "probes.json")

    def _report_signals(
        self, network: Network, phones: dict[str, Subject], begin: float, wall: float, log: Any
    ) -> None:
        """Report the radios as drivers would, until the call has ended."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as radio:
            radio.setblocking(False)
            tick = 0
            while (now := time.monotonic() - begin) < self.plan.duration + 0.5:
                self._report_walk(network, phones["mn"], now, begin + wall, radio, log)
                self._report_turns(phones, now, radio)
                self._progress(self._place(now), now, self.plan.duration)
                tick += 1
                time.sleep(max(0.0, begin + tick * REPORT_EVERY - time.monotonic()))

    def _report_walk(
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
        here = self.plan.joined("mn", now).get(WLAN, "")
        log.write(
            json.dumps(
                {"time": begun_at + now, "position": round(state.position, 2), "network": here}
                | {name: round(dbm, 1) for name, dbm in state.signals.items()}
            )
            + "\n"
        )
        log.flush()
        _tell(radio, phone, WLAN, here, round(state.signals[here], 1) if here else None)
        if here and self._preset.links["wlan"].fades:
            network.links.fade(f"mn-{WLAN}", walk.loss(here, state.signals[here]))

    def _report_turns(self, phones: dict[str, Subject], now: float, radio: socket.socket) -> None:
        """Of a host with two WLAN radios that take turns: the network joined last is the strong one."""
        if not self.options.soft:
            return
        for host in self.options.movers:
            if host == "mn" and self.plan.walks:
                continue
            joined = list(self.plan.joined(host, now).items())
            for interface, name in joined:
                _tell(
                    radio, phones[host], interface, name, WEAK if (interface, name) != joined[-1] else STRONG
                )

    def _place(self, now: float) -> str:
        names = [name for host in self.options.movers for name in self.plan.joined(host, now).values()]
        return " + ".join(names) or "between networks"


def _tell(radio: socket.socket, phone: Subject, interface: str, network: str, dbm: float | None) -> None:
    report = {"interface": interface, "dbm": dbm, "network": network}
    try:
        radio.sendto(json.dumps(report).encode(), str(phone.radio))
    except OSError:
        return  # the phone has hung up, or never listened
