"""A signalling flow, as SIP cores name it (RFC 5626 section 3).

`net` opens and closes flows; `call.flows` decides which should exist; transactions and dialogs only carry
them about. The serial tells a new connection between the same two addresses from an old one.
"""

from __future__ import annotations

from typing import NamedTuple

from segue.base.address import Address


class Flow(NamedTuple):
    transport: str  # "UDP", "TCP" or "TLS", as in a Via header
    local: Address
    remote: Address
    interface: str = ""
    serial: int = 0
    name: str = ""  # the name TLS verified this connection for; never reused for another (CVE-2020-15260)

    @property
    def reliable(self) -> bool:
        """Whether the transport itself delivers or fails (RFC 3261 section 17.1.1.2)."""
        return self.transport != "UDP"

    @property
    def stream(self) -> Flow:
        """For a datagram flow the stream to the same place, which takes what is too large for a datagram (RFC 3261
        section 18.1.1). Its `local` is where the datagrams come from; the connection leaves from any port."""
        return self._replace(transport="TCP") if self.transport == "UDP" else self

    @property
    def secure(self) -> bool:
        return self.transport == "TLS"
