"""The lab's side of the link process: start it, tell it, hear what it did."""

from __future__ import annotations

import json
import select
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

from segue.base.errors import LocalError
from segue.emulator.link_model import LinkConfig
from segue.lab.networks.link_process import config_to_json
from segue.lab.networks.namespaces import Namespace

_PATIENCE = 10.0  # seconds for an answer


class LinkEvent(NamedTuple):
    """A station was attached to a network or detached from it, or a network's NAT was rebound. `wall` is Unix time,
    in seconds."""

    event: str  # "attached", "detached" or "rebound"
    station: str
    network: str
    wall: float
    monotonic: float


class Links:
    """The running link process. Not for several threads at once."""

    def __init__(self, wire: Namespace, log: Path, inherited: tuple[int, ...] = ()) -> None:
        """`inherited` are descriptors that the configuration names."""
        self.log = log
        self._control, theirs = socket.socketpair()
        self._control.settimeout(_PATIENCE)
        self._unread = b""
        self._count = 0
        self._events: list[LinkEvent] = []
        with theirs:
            self._process = wire.popen(
                [sys.executable, "-m", "segue.lab.networks.link_process", str(theirs.fileno())],
                pass_fds=(theirs.fileno(), *inherited),
                stdin=subprocess.DEVNULL,
            )

    def configure(self, **configuration: Any) -> None:
        """See `link_process`; returns when every port is open."""
        self.ask("configure", **configuration)

    def attach(self, station: str, network: str, at: float | None = None) -> None:
        """Now, or at `at` on the monotonic scale (then this returns at once)."""
        self.tell("attach", at, station=station, network=network)

    def detach(self, station: str, how: str = "carrier", at: float | None = None) -> None:
        """`how` is one of `station_break.BREAKS`."""
        self.tell("detach", at, station=station, **{"break": how})

    def impair(self, link: str, at: float | None = None, **config: Any) -> None:
        """Change fields of a link's `LinkConfig`; `link` is as `report` names it."""
        self.tell("impair", at, link=link, config=config)

    def fade(self, station: str, loss: float, at: float | None = None) -> None:
        """The radio's own loss (0 to 1) where the station is now; only links that fade know it."""
        self.tell("fade", at, station=station, loss=loss)

    def rebind(self, network: str, at: float | None = None) -> None:
        """The network's NAT forgets every mapping."""
        self.tell("rebind", at, network=network)

    def report(self) -> list[dict[str, Any]]:
        """Figures of every link that carried something: configuration, frames, loss, delivery error (ms)."""
        links: list[dict[str, Any]] = self.ask("report")["links"]
        return links

    def events(self) -> list[LinkEvent]:
        """What has happened since the last call."""
        while select.select([self._control], [], [], 0)[0]:
            self._read()
        events, self._events = self._events, []
        return events

    def history(self) -> list[LinkEvent]:
        """Everything that ever happened, from the log."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        records = [json.loads(line) for line in lines]
        return [_event(record) for record in records if record["event"] != "error"]

    def tell(self, what: str, at: float | None = None, **arguments: Any) -> None:
        """A command that is due later is not waited for; what is wrong with it is in the log then."""
        if at is None or at <= time.monotonic():
            self.ask(what, **arguments)
        else:
            self._send({"do": what, "at": at, **arguments}, wants_answer=False)

    def ask(self, what: str, **arguments: Any) -> dict[str, Any]:
        """The answer. LocalError when the process refuses or has died."""
        number = self._send({"do": what, **arguments})
        while True:
            message = self._read()
            if message is not None and message.get("answer") == number:
                if "error" in message:
                    raise LocalError(f"link process: {message['error']}", f"it was asked to {what}")
                return message

    def close(self) -> None:
        """End the process; its log stays."""
        self._control.close()
        try:
            self._process.wait(2)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _send(self, message: dict[str, Any], wants_answer: bool = True) -> int:
        self._count += 1
        if wants_answer:
            message = {"id": self._count, **message}
        try:
            self._control.sendall(json.dumps(message).encode() + b"\n")
        except OSError:
            raise self._died() from None
        return self._count

    def _read(self) -> dict[str, Any] | None:
        """The next line, when it is an answer; events are kept."""
        while b"\n" not in self._unread:
            try:
                data = self._control.recv(65536)
            except (OSError, TimeoutError):
                data = b""
            if not data:
                raise self._died()
            self._unread += data
        line, _, self._unread = self._unread.partition(b"\n")
        message: dict[str, Any] = json.loads(line)
        if "event" in message:
            self._events.append(_event(message))
            return None
        return message

    def _died(self) -> LocalError:
        return LocalError(
            f"the link process ended ({self._process.poll()})", "its words are on standard error"
        )


def _event(record: dict[str, Any]) -> LinkEvent:
    return LinkEvent(
        record["event"], record["station"], record["network"], record["wall"], record["monotonic"]
    )


def link_json(first: str, second: str, config: LinkConfig) -> dict[str, Any]:
    """A link that always is, for `configure`; `first` and `second` are interfaces of the wire."""
    return {"first": first, "second": second, "config": config_to_json(config)}


def python_command(module: str, *arguments: object) -> list[str]:
    """How a process of the lab is started."""
    return [sys.executable, "-m", module, *map(str, arguments)]
