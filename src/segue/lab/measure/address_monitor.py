"""What the kernel of a host says about its links, addresses, default routes and neighbours, and when:
`python -m segue.lab.measure.address_monitor FILE`, in the host's namespace, writes JSON lines.

The address phase of a move is read from here (design section 5), never from what an agent or a phone says: from
the attachment in the link process' log until the host has an address of the network it was attached to that it may
use, a default route, and its router's link-layer address where the link needs one.
"""

from __future__ import annotations

import json
import select
import sys
import time
from ipaddress import ip_address
from pathlib import Path
from typing import Any, NamedTuple

from segue.lab.networks.link_process import take_priority
from segue.lab.networks.links import LinkEvent as Attachment
from segue.lab.networks.topology import AccessNetwork
from segue.net.netlink import AddressEvent, Event, LinkEvent, NeighbourEvent, NetlinkReader, RouteEvent

_KINDS: dict[str, type[Event]] = {
    "link": LinkEvent,
    "address": AddressEvent,
    "route": RouteEvent,
    "neighbour": NeighbourEvent,
}
_NAMES = {kind: name for name, kind in _KINDS.items()}


class Heard(NamedTuple):
    """An event with the time at which the monitor read it: CLOCK_MONOTONIC and Unix, in seconds."""

    monotonic: float
    wall: float
    event: Event


def read_monitor(path: Path) -> list[Heard]:
    """Everything heard so far, oldest first."""
    heard = []
    for line in path.read_text().splitlines(keepends=True):
        if not line.endswith("\n"):
            break  # being written
        record = json.loads(line)
        fields: list[Any] = [
            bytes.fromhex(field[4:]) if isinstance(field, str) and field.startswith("hex:") else field
            for field in record["fields"]
        ]
        heard.append(Heard(record["monotonic"], record["wall"], _KINDS[record["kind"]](*fields)))
    return heard


def address_phase(
    heard: list[Heard], attached: Attachment, interface: str, network: AccessNetwork, family: int
) -> float | None:
    """Seconds from the attachment until the host could send from an address of that network; None when it never
    could. An address that was there before counts from when the kernel spoke of it again."""
    subnet = network.prefix if family == 6 else network.network
    routers: set[str] = set()
    neighbours: set[str] = set()
    has_address = False
    for when, _, event in heard:
        if event.interface != interface:
            continue
        if isinstance(event, AddressEvent) and when >= attached.monotonic:
            address = ip_address(event.address)
            if address.version == family and address in subnet:
                has_address = event.present and event.usable
        elif isinstance(event, RouteEvent) and event.family == family:
            (routers.add if event.present else routers.discard)(event.router)
        elif isinstance(event, NeighbourEvent):
            (neighbours.add if event.present else neighbours.discard)(event.address)
        reachable = routers if network.point_to_point else routers & neighbours
        if has_address and reachable:
            return max(0.0, when - attached.monotonic)
    return None


def link_phase(history: list[Attachment], attached: Attachment) -> float | None:
    """Seconds from the station's last detachment to this attachment, by the link process' own log; None when it
    was not attached before."""
    before = [
        event
        for event in history
        if event.station == attached.station
        and event.event == "detached"
        and event.monotonic <= attached.monotonic
    ]
    return attached.monotonic - before[-1].monotonic if before else None


def _line(event: Event) -> str:
    fields = [f"hex:{field.hex()}" if isinstance(field, bytes) else field for field in event]
    record = {
        "monotonic": time.monotonic(),
        "wall": time.time(),
        "kind": _NAMES[type(event)],
        "fields": fields,
    }
    return json.dumps(record) + "\n"


def main() -> None:
    reader = NetlinkReader(neighbours=True)
    take_priority()
    with open(sys.argv[1], "w", buffering=1) as file:
        for event in reader.start():
            file.write(_line(event))
        print("ready", flush=True)
        while True:
            select.select([reader], [], [])
            for event in reader.receive():
                file.write(_line(event))


if __name__ == "__main__":
    main()
