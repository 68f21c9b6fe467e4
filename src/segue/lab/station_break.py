"""How a station loses its link, and gets it back.

- `carrier`: the far end goes down; the station keeps address and route, and sending there raises no error.
- `address`: the station's addresses are removed, the carrier stays.
- `interface`: the interface disappears from the station, and is back at the next attachment.
- `silent`: nothing tells the station.
"""

from __future__ import annotations

from segue.base.errors import LocalError
from segue.lab.namespaces import Namespace
from segue.lab.wire import Port
from segue.net.packet_socket import switch_off_offloads
from segue.net.rtnetlink_write import Rtnetlink

BREAKS = ("carrier", "address", "interface", "silent")


class StationEnd:
    """A station's port, with what is needed to break it. `namespace` is an open descriptor of the
    station's."""

    def __init__(self, port: Port, namespace: int, inside: str) -> None:
        """`inside` is the interface's name in the station's namespace; the port is in this process' own."""
        self.port = port
        self._station = Namespace("station", namespace)
        self._inside = inside
        self._wire = Rtnetlink()
        self._tables = self._station.rtnetlink()
        far = self._wire.link(port.interface)
        near = self._tables.link(inside)
        if far is None or near is None:
            raise LocalError(f"no interface {inside} or {port.interface}", "")
        self._far = far.index
        self._near = near.index
        self._away: Namespace | None = None  # where a deleted interface waits
        self._is_away = False

    def break_off(self, how: str) -> None:
        match how:
            case "carrier":
                self._wire.set_link(self._far, up=False)
            case "address":
                for info in self._tables.addresses(self._near):
                    if not info.address.is_link_local:
                        self._tables.delete_address(self._near, info.address, info.prefix_length)
            case "interface":
                self._away = self._away or Namespace.create("away")
                self._tables.set_link(self._near, namespace=self._away.descriptor)
                self._is_away = True
            case "silent":
                pass
            case _:
                raise LocalError(f"no way to break a link is called {how!r}", f"one of {', '.join(BREAKS)}")

    def restore(self) -> None:
        """Bring the carrier up; a link that did not lose it (`address`, `silent`) loses it for a moment, which
        is how a station learns that it has been attached anew."""
        if self._is_away and self._away:
            self._return_interface(self._away)
        else:
            self._wire.set_link(self._far, up=False)
        self._wire.set_link(self._far, up=True)

    def _return_interface(self, away: Namespace) -> None:
        """Back to the station, where whoever looks after it brings it up."""
        with away.rtnetlink() as tables:
            waiting = tables.link(self._inside)
            if waiting is not None:
                tables.set_link(waiting.index, namespace=self._station.descriptor)
        self._is_away = False
        near = self._tables.link(self._inside)
        if near is None:
            raise LocalError(f"interface {self._inside} did not come back", "")
        self._near = near.index
        self._station.call(switch_off_offloads, self._inside)
