"""Duplicate address detection of one address: full (RFC 4862), optimistic (RFC 4429) or none."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from ipaddress import IPv6Address

from segue.base.entropy import Entropy
from segue.base.trace import NO_TRACE, Trace
from segue.protocols.nd.messages import (
    NeighbourAdvertisement,
    NeighbourSolicitation,
    Received,
    write_message,
)
from segue.protocols.nd.options import Nonce
from segue.protocols.nd.packet import UNSPECIFIED, solicited_node


class DadMode(Enum):
    """`PROACTIVE`: the new router is asked beforehand, over the old link; where it was not, as `FULL`."""

    FULL = "full"
    OPTIMISTIC = "optimistic"
    NONE = "none"
    PROACTIVE = "proactive"


class AddressState(Enum):
    TENTATIVE = "tentative"  # not to be used
    OPTIMISTIC = "optimistic"  # to be used with care
    PREFERRED = "preferred"
    DUPLICATE = "duplicate"  # never to be used


INITIAL = {
    DadMode.FULL: AddressState.TENTATIVE,
    DadMode.OPTIMISTIC: AddressState.OPTIMISTIC,
    DadMode.NONE: AddressState.PREFERRED,
    DadMode.PROACTIVE: AddressState.TENTATIVE,
}
WHEN_UNIQUE = {
    AddressState.TENTATIVE: AddressState.PREFERRED,
    AddressState.OPTIMISTIC: AddressState.PREFERRED,
}
WHEN_CONTESTED = {
    AddressState.TENTATIVE: AddressState.DUPLICATE,
    AddressState.OPTIMISTIC: AddressState.DUPLICATE,
}


@dataclass(frozen=True)
class DadTimers:
    """RFC 4861 section 10 (RetransTimer) and RFC 4862 section 5.1 (DupAddrDetectTransmits)."""

    retransmit: float = 1.0
    transmits: int = 1


@dataclass(frozen=True)
class StateChanged:
    address: IPv6Address
    state: AddressState


class DuplicateAddressDetection:
    """A machine for one address. Begins with `start`.

    No random delay precedes the first solicitation: the router solicitation that brought the prefix was
    this interface's first message, and a node that has just moved alone to a link is in no herd (RFC 4862
    section 5.4.2 says SHOULD; the thousand others that the rule has in mind start at a power failure).
    """

    def __init__(
        self,
        address: IPv6Address,
        mode: DadMode,
        entropy: Entropy,
        timers: DadTimers = DadTimers(),
        trace: Trace = NO_TRACE,
    ) -> None:
        self.address = address
        self.state = INITIAL[mode]
        self._timers = timers
        self._nonce = entropy.octets(6)
        self._left = timers.transmits
        self._deadline: float | None = None
        self._transmits: list[bytes] = []
        self._events: list[StateChanged] = []
        self._trace = trace

    def start(self, now: float) -> None:
        self._events.append(StateChanged(self.address, self.state))
        if self.state in WHEN_UNIQUE:
            self._solicit(now)

    @property
    def usable(self) -> bool:
        """Whether packets may leave from the address."""
        return self.state in (AddressState.OPTIMISTIC, AddressState.PREFERRED)

    @property
    def override(self) -> bool:
        """The O flag of our advertisements (RFC 4429 section 3.3: cleared while optimistic)."""
        return self.state is AddressState.PREFERRED

    @property
    def gives_link_address(self) -> bool:
        """Whether solicitations from it carry our link-layer address (RFC 4429 section 3.2: not while
        optimistic, for that would overwrite the neighbour's entry of the genuine owner)."""
        return self.state is AddressState.PREFERRED

    def receive(self, received: Received, source: object, now: float) -> None:  # noqa: ARG002
        """A valid Neighbour Discovery message that arrived on the interface."""
        message = received.message
        if self.state not in WHEN_CONTESTED or not isinstance(
            message, NeighbourSolicitation | NeighbourAdvertisement
        ):
            return
        if message.target != self.address:
            return
        if isinstance(message, NeighbourSolicitation):
            if received.source != UNSPECIFIED:
                return  # address resolution: ignored while tentative (RFC 4862 section 5.4.3)
            nonce = message.option(Nonce)
            if nonce is not None and nonce.nonce == self._nonce:
                self._trace.drop("nd", "own solicitation looped back")
                return
        self._become(WHEN_CONTESTED[self.state])

    def transmits(self) -> list[bytes]:
        """IPv6 packets; their link-layer destination is the group's."""
        transmits, self._transmits = self._transmits, []
        return transmits

    def deadline(self) -> float | None:
        return self._deadline

    def expire(self, now: float) -> None:
        if self._deadline is None or now < self._deadline:
            return
        if self._left:
            self._solicit(now)
        elif self.state in WHEN_UNIQUE:
            self._become(WHEN_UNIQUE[self.state])

    def events(self) -> list[StateChanged]:
        events, self._events = self._events, []
        return events

    def _solicit(self, now: float) -> None:
        self._left -= 1
        self._deadline = now + self._timers.retransmit
        message = NeighbourSolicitation(self.address, (Nonce(self._nonce),))
        self._transmits.append(write_message(message, UNSPECIFIED, solicited_node(self.address)))

    def _become(self, state: AddressState) -> None:
        self.state = state
        self._deadline = None
        self._transmits.clear()
        self._events.append(StateChanged(self.address, state))
