"""How a station loses its link, and gets it back.

- `carrier`: the far end goes down; the station keeps address and route, and sending there raises no error.
- `address`: the station's addresses are removed, the carrier stays.
- `interface`: the interface disappears from the station, and is back at the next attachment.
- `silent`: nothing tells the station.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from segue.base.errors import LocalError
from segue.lab.networks.namespaces import Namespace
from segue.lab.networks.wire import Port
from segue.net.packet_socket import switch_off_offloads
from segue.net.rtnetlink_write import Rtnetlink

BLINK = 0.005  # seconds; the kernel may not tell of a carrier that is back sooner
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
        self._away: Namespace | None = None  # where a deleted interface waits
        self._is_away = False
        self._mover: threading.Thread | None = None
        self._has_carrier = far.carrier

    def break_off(self, how: str) -> None:
        match how:
            case "carrier":
                self._drop_carrier()
            case "address":
                self._remove_addresses()
            case "interface":
                self._drop_carrier()
                self._away = self._away or Namespace.create("away")
                self._start(self._leave, self._away)
            case "silent":
                pass
            case _:
                raise LocalError(f"no way to break a link is called {how!r}", f"one of {', '.join(BREAKS)}")

    def _remove_addresses(self) -> None:
        near = self._tables.link(self._inside)
        for info in self._tables.addresses(near.index) if near is not None else ():
            if not info.address.is_link_local:
                self._tables.delete_address(info.index, info.address, info.prefix_length)

    def prepare(self) -> float:
        """Seconds after which to ask again; 0.0 when `restore` may be called. A station that has not lost its
        carrier (`address`, `silent`) loses it meanwhile, which is how it learns that it has been attached anew;
        an interface that was deleted comes back."""
        if self._has_carrier:
            self._drop_carrier()
            return BLINK
        if self._mover is not None and self._mover.is_alive():
            return BLINK
        if self._away is not None and self._is_away:
            self._start(self._return, self._away)
            return BLINK
        return 0.0

    def restore(self) -> None:
        """Bring the carrier up."""
        self._wire.set_link(self._far, up=True)
        self._has_carrier = True

    def _start(self, move: Callable[[Namespace], None], away: Namespace) -> None:
        """In a thread, since moving an interface takes the kernel up to a quarter of a second, in which other
        links' frames must not wait."""
        if self._mover is not None:
            self._mover.join()
        self._mover = threading.Thread(target=move, args=(away,), daemon=True)
        self._mover.start()

    def _drop_carrier(self) -> None:
        self._wire.set_link(self._far, up=False)
        self._has_carrier = False

    def _leave(self, away: Namespace) -> None:
        with self._station.rtnetlink() as tables:
            near = tables.link(self._inside)
            if near is not None:
                self._is_away = True
                tables.set_link(near.index, namespace=away.descriptor)

    def _return(self, away: Namespace) -> None:
        """Back to the station, where whoever looks after it brings it up."""
        with away.rtnetlink() as tables:
            waiting = tables.link(self._inside)
            if waiting is not None:
                tables.set_link(waiting.index, namespace=self._station.descriptor)
        self._is_away = False
        self._station.call(switch_off_offloads, self._inside)
