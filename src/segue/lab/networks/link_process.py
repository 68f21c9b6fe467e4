"""The process that is all links: `python -m segue.lab.networks.link_process CONTROL`, in the `wire` namespace.

CONTROL is the number of an inherited stream socket on which each line is a JSON object. The first is the
configuration (see `configure`); later ones are commands, each with an optional `at` (CLOCK_MONOTONIC seconds)
and, when an answer is wanted, an `id` that it repeats:

    {"do": "attach", "station": PORT, "network": NAME}
    {"do": "detach", "station": PORT, "break": "carrier" | "address" | "interface" | "silent"}
    {"do": "impair", "link": NAME, "config": {…}}      fields of emulator.LinkConfig to change
    {"do": "fade", "station": PORT, "loss": NUMBER}    the radio's own loss from now on
    {"do": "rebind", "network": NAME}                  its NAT forgets every mapping
    {"do": "report"}                                   figures of every link
    {"do": "stop"}

Every attachment and detachment is told on the socket and in the log, with wall-clock and monotonic time. The
process takes real-time priority when it may, and its garbage collector is off: it makes no cycles.
"""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import heapq
import json
import os
import select
import socket
import sys
import time
from pathlib import Path
from typing import Any, TextIO

from segue.base.entropy import Entropy
from segue.base.errors import LocalError
from segue.emulator.burst_loss import BurstLoss
from segue.emulator.link_model import LinkConfig, LinkModel, both_directions
from segue.lab.networks.nat_box import nat_box
from segue.lab.networks.station_break import StationEnd
from segue.lab.networks.timer import Timer
from segue.lab.networks.wire import Air, Link, Port
from segue.testing.entropy import SeededEntropy

_MAX_UNSENT = 1 << 20  # octets of events that nobody reads


def core_link(subnet: str) -> str:
    """The name of a subnet's link to the core."""
    return f"{subnet}-core"


def config_to_json(config: LinkConfig) -> dict[str, Any]:
    return dataclasses.asdict(config)


def config_from_json(given: dict[str, Any]) -> LinkConfig:
    return LinkConfig(**{**given, "loss": BurstLoss(**given["loss"])})


class Driver:
    """What the driver of a station's radio says of its association, to whoever listens at its host: sockets whose
    paths begin with `radios`."""

    def __init__(self, radios: Path, interface: str) -> None:
        self._radios = radios
        self._interface = interface
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)

    def say(self, network: str) -> None:
        report = {"interface": self._interface, "dbm": None, "network": network}
        for path in self._radios.parent.glob(f"{self._radios.name}-*"):
            with contextlib.suppress(OSError):
                self._socket.sendto(json.dumps(report).encode(), str(path))


class LinkProcess:
    """Ports, links and pending commands; one `run` for its whole life."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._unread = b""
        self._unsent = bytearray()
        self._watched = select.EPOLLIN
        self._air = Air()
        self._timer = Timer()
        self._poll = select.epoll()
        self._ports: dict[int, Port] = {}  # by file descriptor
        self._networks: dict[str, tuple[Port, LinkConfig]] = {}
        self._stations: dict[str, StationEnd] = {}
        self._drivers: dict[str, Driver] = {}  # by station, too
        self._attached: dict[str, Link] = {}  # by station
        self._links: dict[str, Link] = {}
        self._commands: list[tuple[float, int, dict[str, Any]]] = []
        self._count = 0
        self._entropy: Entropy = SeededEntropy(0)
        self._log: TextIO | None = None
        self._hints: socket.socket | None = None
        self._running = True

    def run(self) -> None:
        self._control.setblocking(False)
        self._poll.register(self._control, select.EPOLLIN)
        self._poll.register(self._timer.fileno(), select.EPOLLIN)
        control, timer = self._control.fileno(), self._timer.fileno()
        while self._running:
            self._timer.set(self._deadline())
            for descriptor, ready in self._poll.poll():
                if descriptor == timer:
                    self._timer.clear()
                elif descriptor == control:
                    if ready & select.EPOLLOUT:
                        self._send_unsent()
                    if ready & ~select.EPOLLOUT:
                        self._read_control()
                else:
                    self._air.take_from(self._ports[descriptor])
                self._air.deliver()
            self._air.deliver()
            self._do_what_is_due()

    def _deadline(self) -> float | None:
        air = self._air.deadline()
        if not self._commands:
            return air
        command = self._commands[0][0]
        return command if air is None or command < air else air

    # --- commands

    def _read_control(self) -> None:
        try:
            data = self._control.recv(65536)
        except BlockingIOError:
            return
        except ConnectionError:
            data = b""
        if not data:
            self._running = False  # the lab has gone
            return
        *lines, self._unread = (self._unread + data).split(b"\n")
        for line in lines:
            self._plan(json.loads(line))

    def _plan(self, message: dict[str, Any]) -> None:
        self._count += 1
        heapq.heappush(self._commands, (message.get("at") or 0.0, self._count, message))

    def _do_what_is_due(self) -> None:
        while self._commands and self._commands[0][0] <= time.monotonic():
            message = heapq.heappop(self._commands)[2]
            answer: dict[str, Any] = {}
            try:
                answer = self._do(message)
                if "again" in answer:
                    self._plan({**message, "at": answer["again"], "waits": True})
                    continue
            except (LocalError, OSError, KeyError, TypeError, ValueError) as error:
                answer = {"error": f"{type(error).__name__}: {error}"}
            if "id" in message:
                self._tell({"answer": message["id"], **answer})
            elif "error" in answer and self._log is not None:
                self._log.write(json.dumps({"event": "error", "command": message, **answer}) + "\n")

    def _do(self, message: dict[str, Any]) -> dict[str, Any]:
        match message["do"]:
            case "configure":
                self._configure(message)
            case "attach":
                wait = self._attach(message["station"], message["network"])
                return {"again": time.monotonic() + wait} if wait else {}
            case "detach":
                self._detach(message["station"], message.get("break", "carrier"))
            case "impair":
                link = self._links[message["link"]]
                given = {**config_to_json(link.config), **message["config"]}
                link.impair(config_from_json(given), self._entropy)
            case "fade":
                for model in self._models_of(message["station"]):
                    model.fade(message["loss"])
            case "rebind":
                self._rebind(message["network"])
            case "report":
                links = [link.report() for link in self._links.values() if link.forward.offered]
                return {"links": links, "overflow": self._air.overflow}
            case "stop":
                self._running = False
            case other:
                raise LocalError(f"no command {other!r}", "")
        return {}

    def _configure(self, message: dict[str, Any]) -> None:
        """`networks` and `stations` by name, `links` that always are, `seed`, `log`, `hints` (a socket on
        which the routers hear of attachments)."""
        self._entropy = SeededEntropy(message["seed"])
        self._log = open(message["log"], "w", buffering=1)  # noqa: SIM115
        if message.get("hints") is not None:
            self._hints = socket.socket(fileno=message["hints"])
        for name, network in message["networks"].items():
            port = self._port(name, network["interface"], network["relays"])
            self._networks[name] = (port, config_from_json(network["config"]))
        for name, station in message["stations"].items():
            port = self._port(name, station["interface"])
            self._stations[name] = StationEnd(port, station["namespace"], station["inside"])
            self._drivers[name] = Driver(Path(station["radios"]), station["inside"])
        for name, link in message["links"].items():
            first, second = (self._port(f"{name}.{side}", link[side]) for side in ("first", "second"))
            joined = self._join(name, first, second, config_from_json(link["config"]))
            if link.get("nat"):
                joined.nat = nat_box(link["nat"], SeededEntropy(f"nat {name} {message['seed']}"))
        gc.collect()
        gc.freeze()

    def _port(self, name: str, interface: str, relays: bool = False) -> Port:
        port = Port(name, interface, relays)
        self._ports[port.fileno()] = port
        self._poll.register(port.fileno(), select.EPOLLIN)
        return port

    def _join(self, name: str, first: Port, second: Port, config: LinkConfig) -> Link:
        link = self._links.get(name)
        if link is None:
            forward, backward = both_directions(config, self._entropy)
            link = self._links[name] = Link(name, first, second, config, forward, backward)
        first.links.append(link)
        second.links.append(link)
        return link

    def _models_of(self, station: str) -> list[LinkModel]:
        link = self._attached.get(station)
        return [link.forward, link.backward] if link else []

    def _rebind(self, network: str) -> None:
        box = self._links[core_link(network)].nat
        if box is None:
            raise LocalError(f"{network} has no NAT", "give --nat")
        box.rebind()
        self._record("rebound", "", network)

    # --- attaching

    def _attach(self, station: str, network: str) -> float:
        """0.0 when done, else the seconds after which to try again."""
        end, (port, config) = self._stations[station], self._networks[network]
        if station in self._attached:
            self._detach(station, "silent")
        wait = end.prepare()
        if wait:
            return wait
        link = self._join(f"{station}-{network}", end.port, port, config)
        self._attached[station] = link
        self._drivers[station].say(network)
        # The attachment begins when the carrier is on its way: whoever reacts to it does so afterwards.
        self._record("attached", station, network)
        end.restore()
        if self._hints is not None:
            try:
                self._hints.send(network.encode(), socket.MSG_DONTWAIT)
            except OSError:
                pass  # a router that does not listen is asked by solicitation
        return 0.0

    def _detach(self, station: str, how: str) -> None:
        """Nothing happens to a station that is not attached, but that it will not be by what waits."""
        waiting = [entry for entry in self._commands if _waits_to_attach(entry[2], station)]
        for entry in waiting:
            self._commands.remove(entry)
            if "id" in entry[2]:
                self._tell({"answer": entry[2]["id"], "error": "detached before it was attached"})
        heapq.heapify(self._commands)
        link = self._attached.pop(station, None)
        if link is None:
            return
        link.first.links.remove(link)
        link.second.links.remove(link)
        link.epoch += 1
        link.forward.restart()
        link.backward.restart()
        self._stations[station].break_off(how)
        if how != "silent":
            self._drivers[station].say("")
        self._record("detached", station, link.second.name, how)

    def _record(self, event: str, station: str, network: str, how: str = "") -> None:
        record = {
            "event": event,
            "station": station,
            "network": network,
            "wall": time.time(),
            "monotonic": time.monotonic(),
        }
        if how:
            record["break"] = how
        if self._log is not None:
            self._log.write(json.dumps(record) + "\n")
        self._tell(record)

    def _tell(self, message: dict[str, Any]) -> None:
        """Never waits for the lab to read: frames would be late. What it does not read is in the log."""
        if len(self._unsent) > _MAX_UNSENT and "answer" not in message:
            return
        self._unsent += json.dumps(message).encode() + b"\n"
        self._send_unsent()

    def _send_unsent(self) -> None:
        try:
            del self._unsent[: self._control.send(self._unsent)]
        except BlockingIOError:
            pass
        except OSError:
            self._running = False
        wanted = select.EPOLLIN | (select.EPOLLOUT if self._unsent else 0)
        if wanted != self._watched:
            self._watched = wanted
            self._poll.modify(self._control, wanted)


def _waits_to_attach(message: dict[str, Any], station: str) -> bool:
    return bool(message.get("waits")) and message["do"] == "attach" and message["station"] == station


def take_priority() -> bool:
    """Real-time priority for this process; False when it may not have that."""
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(10))
    except OSError:
        return False
    return True


def main() -> None:
    control = socket.socket(fileno=int(sys.argv[1]))
    take_priority()
    gc.disable()
    LinkProcess(control).run()


if __name__ == "__main__":
    main()
