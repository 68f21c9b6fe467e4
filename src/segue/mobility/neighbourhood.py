"""Asking the router where we are about the networks nearby, before we go there (thesis section 6.3). Pure.

The new router is asked over the old link, through the old router: which prefix it has, and whether the addresses that
we would have there are anybody's. So a network never visited is known like one seen before, and its address is proven
before it is used. It is asked again from time to time: what is free now may not be for ever.
"""

from __future__ import annotations

from ipaddress import IPv6Address

from segue.base.entropy import Entropy, number
from segue.base.errors import RemoteError
from segue.protocols.nd.packet import write_frame
from segue.protocols.nd.proxy_advertisement import (
    MAX_NEARBY,
    NearbyRouter,
    ProxyAdvertisement,
    ProxySolicitation,
    parse_proxy_message,
    write_proxy_solicitation,
)

RETRIES = 3  # RFC 4068 section 7: RTSOLPR_RETRIES
FIRST_WAIT = 0.1  # seconds, doubled each time (section 6.1.1)
ASK_AGAIN = 20.0  # seconds


class Neighbourhood:
    """A machine: `start` at a router's first word, `stop` at link down; packets in, Ethernet frames out."""

    def __init__(self, link: bytes, entropy: Entropy) -> None:
        self._link = link
        self._entropy = entropy
        self._router: tuple[IPv6Address, bytes] | None = None
        self._source: IPv6Address | None = None
        self._proposed: tuple[IPv6Address, ...] = ()
        self._identifier = 0
        self._tries = 0
        self._deadline: float | None = None
        self._transmits: list[bytes] = []

    def start(self, source: IPv6Address, router: tuple[IPv6Address, bytes], now: float) -> None:
        """Ask this router, from our link-local address. Nothing when it is being asked."""
        if self._router != router:
            self._router, self._source = router, source
            self._begin(now)

    def stop(self) -> None:
        self._router = self._deadline = None
        self._transmits.clear()

    def propose(self, addresses: list[IPv6Address], now: float) -> None:
        """The addresses that we would have nearby; asked about at once when they are others than before."""
        proposed = tuple(addresses[:MAX_NEARBY])
        if proposed != self._proposed:
            self._proposed = proposed
            self._begin(now)

    def receive(self, packet: bytes, now: float) -> tuple[NearbyRouter, ...]:
        """Who is nearby, by an answer to what was asked last."""
        try:
            message, source = parse_proxy_message(packet)
        except RemoteError:
            return ()
        asked = self._router is not None and source == self._router[0]
        if not asked or not isinstance(message, ProxyAdvertisement) or message.identifier != self._identifier:
            return ()
        self._tries, self._deadline = 0, now + ASK_AGAIN
        return message.nearby

    def transmits(self) -> list[bytes]:
        transmits, self._transmits = self._transmits, []
        return transmits

    def deadline(self) -> float | None:
        return self._deadline

    def expire(self, now: float) -> None:
        if self._deadline is None or now < self._deadline:
            return
        if self._tries == 0 or self._tries > RETRIES:
            self._begin(now)
        else:
            self._ask(now)

    def _begin(self, now: float) -> None:
        if self._router is not None:
            self._identifier = number(self._entropy, 1 << 16)
            self._tries = 0
            self._ask(now)

    def _ask(self, now: float) -> None:
        assert self._router is not None and self._source is not None
        router, link = self._router
        message = ProxySolicitation(self._identifier, self._link, self._proposed)
        packet = write_proxy_solicitation(message, self._source, router)
        self._transmits.append(write_frame(packet, self._link, link))
        self._tries += 1
        wait = FIRST_WAIT * 2 ** (self._tries - 1)
        self._deadline = now + (wait if self._tries <= RETRIES else ASK_AGAIN)
