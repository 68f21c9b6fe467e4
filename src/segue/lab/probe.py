"""Round trips between the two hosts after each move, by echo requests: what the emulated links really are.

A host behind a NAT or a firewall is not reached, and then nothing is known but what the links are told to be.
"""

from __future__ import annotations

import json
import threading
import time
from ipaddress import ip_address
from pathlib import Path

from segue.base.errors import LocalError
from segue.lab.itinerary import Itinerary
from segue.lab.measure.address_monitor import read_monitor
from segue.lab.networks.echo import round_trips
from segue.lab.networks.network import Network
from segue.net.netlink import AddressEvent

AFTER = 1.0  # seconds after a move: media has settled, and three small packets do not disturb it
COUNT = 3


class Probe:
    """A thread that waits for each move of the plan, which began at `begin` (monotonic)."""

    def __init__(
        self, network: Network, plan: Itinerary, family: int, monitors: dict[str, Path], begin: float
    ) -> None:
        self._network = network
        self._plan = plan
        self._family = family
        self._monitors = monitors
        self._begin = begin
        self._found: list[list[float]] = []
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def write(self, file: Path) -> None:
        """One list of round trips (ms) for each move, when all are done."""
        self._thread.join(10)
        file.write_text(json.dumps(self._found))

    def _run(self) -> None:
        for move in self._plan.moves:
            at = move.ends_at + AFTER
            time.sleep(max(0.0, self._begin + at - time.monotonic()))
            try:
                self._found.append(self._ask(at))
            except (LocalError, OSError):
                self._found.append([])

    def _ask(self, at: float) -> list[float]:
        network = self._network
        if any(access.nat for access in network.topology.networks if access.side == "cn"):
            return []
        interface = list(self._plan.joined("mn", at))[-1]
        target = self._address_of_correspondent(at)
        return round_trips(network.hosts["mn"], target, interface=interface, count=COUNT, wait=0.5)

    def _address_of_correspondent(self, at: float) -> object:
        joined = self._plan.joined("cn", at)
        if not joined:
            return self._network.address("cn", self._family)
        interface, name = list(joined.items())[-1]
        access = self._network.topology.network(name)
        subnet = access.prefix if self._family == 6 else access.network
        found = ""
        for _, _, event in read_monitor(self._monitors["cn"]):
            if isinstance(event, AddressEvent) and event.interface == interface and event.present:
                address = ip_address(event.address)
                if event.usable and address.version == self._family and address in subnet:
                    found = event.address
        if not found:
            raise LocalError("the correspondent has no address", "see addresses-cn.jsonl")
        return found
