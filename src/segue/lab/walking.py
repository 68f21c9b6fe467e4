"""Somebody walks with the mobile node: the emulator's walk becomes attachments, fading and reports of the signal.

Everything is planned before the first step and carried out by processes with real-time priority, so that nothing
the lab does meanwhile shifts it. Reports reach the phone as a driver's would: every 100 ms, on a datagram socket
(the form is that of `segue.mobility.service`): `python -m segue.lab.walking SOCKET` sends those it reads on its
standard input at their times.
"""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from segue.emulator.walk import Walk
from segue.lab.networks.links import python_command
from segue.lab.networks.network import LINK_TIME, Network

STEP = 0.1  # seconds between two reports
CELLULAR = "wwan0"


class Report(NamedTuple):
    """What the radio's driver says at `at` seconds of the walk; `dbm` None when not associated."""

    at: float
    dbm: float | None
    network: str


class Change(NamedTuple):
    """At `at` seconds of the walk the radio leaves its network ("") or is associated with one."""

    at: float
    network: str


def changes(walk: Walk, link_time: float = LINK_TIME) -> list[Change]:
    """Detachments and attachments; from finding a network to being attached to it takes `link_time`. The walk
    begins attached."""
    planned: list[Change] = []
    previous = ""
    for at, network in walk.associations(STEP):
        if previous:
            planned.append(Change(at, ""))
        if network:
            planned.append(Change(at + (link_time if at > 0 else 0.0), network))
        previous = network
    return planned


def reports(walk: Walk, planned: Iterable[Change]) -> list[Report]:
    """The signal of the network the radio is associated with, on the whole walk."""
    told: list[Report] = []
    waiting = list(planned)
    network = ""
    for tick in range(int(walk.config.duration / STEP) + 2):
        at = tick * STEP
        while waiting and waiting[0].at <= at:
            network = waiting.pop(0).network
        told.append(Report(at, walk.at(at).signals[network] if network else None, network))
    return told


class Walker:
    """A walk under way. `start_at` is when it began, on the monotonic scale."""

    def __init__(
        self,
        network: Network,
        walk: Walk,
        *,
        host: str = "mn",
        interface: str = "wlan0",
        cellular: str = "umts",
        link_time: float = LINK_TIME,
        how: str = "carrier",
        radio: Path | None = None,
        start_at: float | None = None,
    ) -> None:
        """Plans it all and returns. `cellular` is the network that `wwan0` is attached to from the start ("": none);
        `radio` the socket at which the phone listens for reports; `how` one of `station_break.BREAKS`."""
        self.walk = walk
        self.start_at = time.monotonic() + 0.05 if start_at is None else start_at
        self.changes = changes(walk, link_time)
        self._reporter: subprocess.Popen[Any] | None = None
        if cellular:
            network.attach(host, CELLULAR, cellular, self.start_at)
        for change in self.changes:
            at = self.start_at + change.at
            if change.network:
                network.attach(host, interface, change.network, at)
            else:
                network.detach(host, interface, how, at)
        station = network.topology.station(host, interface).name
        told = reports(walk, self.changes)
        for report in told:
            if report.dbm is not None:
                loss = walk.loss(report.network, report.dbm)
                network.links.fade(station, loss, self.start_at + report.at)
        if radio is not None:
            self._start_reporter(network, host, interface, radio, told)

    @property
    def ends_at(self) -> float:
        """When the walker has arrived, on the monotonic scale."""
        return self.start_at + self.walk.config.duration

    def wait(self, beyond: float = 0.0) -> None:
        """Until `beyond` seconds after the arrival."""
        time.sleep(max(0.0, self.ends_at + beyond - time.monotonic()))

    def _start_reporter(
        self, network: Network, host: str, interface: str, radio: Path, told: list[Report]
    ) -> None:
        self._reporter = network.hosts[host].popen(
            python_command("segue.lab.walking", radio), stdin=subprocess.PIPE
        )
        assert self._reporter.stdin is not None
        lines = [
            json.dumps(
                {
                    "at": self.start_at + report.at,
                    "report": {"interface": interface, "dbm": report.dbm, "network": report.network},
                }
            )
            for report in told
        ]
        self._reporter.stdin.write("\n".join(lines).encode())
        self._reporter.stdin.close()


def main() -> None:
    planned = [json.loads(line) for line in sys.stdin]
    opened = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    opened.setblocking(False)
    for entry in planned:
        time.sleep(max(0.0, entry["at"] - time.monotonic()))
        with contextlib.suppress(OSError):  # the phone does not listen yet, or no more
            opened.sendto(json.dumps(entry["report"]).encode(), sys.argv[1])


if __name__ == "__main__":
    main()
