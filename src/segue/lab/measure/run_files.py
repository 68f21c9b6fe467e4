"""What a run left in its folder, read once."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from segue.lab.itinerary import topology_of
from segue.lab.measure import measures
from segue.lab.measure.capture import Captured, read_captures
from segue.lab.measure.measures import Sighting, is_check, is_media, is_report
from segue.lab.networks.links import LinkEvent
from segue.lab.options import RunOptions


class Run:
    """A folder of `scenario`. `given`: what it was told, `options` the same as it is in the file."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.options: dict[str, Any] = json.loads((folder / "options.json").read_text())
        self.given = RunOptions.from_json(self.options)
        self.topology = topology_of(self.given)
        self.plan: dict[str, Any] = json.loads((folder / "plan.json").read_text())
        self.events = {host: _lines(folder / "phones" / f"{host}.jsonl") for host in ("mn", "cn")}
        self.links = [
            LinkEvent(**{name: record[name] for name in LinkEvent._fields})
            for record in _lines(folder / "links.jsonl")
        ]
        probes = folder / "probes.json"
        self.probes: list[list[float]] = json.loads(probes.read_text()) if probes.exists() else []
        self.checks: dict[str, list[Sighting]] = {"mn": [], "cn": []}  # STUN requests that they sent
        self.reports: dict[str, list[Sighting]] = {"mn": [], "cn": []}  # RTCP that they sent
        self.sent: dict[str, list[Sighting]] = {"mn": [], "cn": []}
        self.received: dict[str, list[Sighting]] = {"mn": [], "cn": []}
        self._read(read_captures(folder / "captures"))
        self.uplink = measures.deliveries(self.sent["mn"], self.received["cn"])
        self.downlink = measures.deliveries(self.sent["cn"], self.received["mn"])

    def _read(self, frames: Iterable[Captured]) -> None:
        for captured in frames:
            host = captured.place.partition(" ")[0]
            packet = captured.packet()
            if host not in self.sent or packet is None:
                continue
            if not captured.received and is_report(packet):
                self.reports[host].append(Sighting(captured.time, captured.place, packet.payload))
            if not captured.received and is_check(packet):
                self.checks[host].append(Sighting(captured.time, captured.place, packet.payload))
            if is_media(packet):
                side = self.received if captured.received else self.sent
                side[host].append(Sighting(captured.time, captured.place, packet.payload))

    @property
    def codec(self) -> str:
        """What was agreed on."""
        up = self.event("mn", "up") or self.event("cn", "up") or {}
        return str(up.get("codec", self.given.codec))

    def event(self, host: str, kind: str) -> dict[str, Any] | None:
        return next((line for line in self.events[host] if line["event"] == kind), None)


def _lines(path: Path) -> list[dict[str, Any]]:
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text().splitlines() if line.startswith("{")]
