"""The DHCP client (RFC 2131 section 4.4), with rapid commit (RFC 4039)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from ipaddress import IPv4Address, IPv4Network

from segue.base.entropy import Entropy, fraction, number
from segue.base.errors import RemoteError
from segue.base.machine import earliest
from segue.base.trace import NO_TRACE, Trace
from segue.protocols.dhcp.datagram import (
    ANY,
    BROADCAST_LINK,
    CLIENT_PORT,
    LIMITED_BROADCAST,
    SERVER_PORT,
    Datagram,
    parse_datagram,
    write_datagram,
    write_frame,
)
from segue.protocols.dhcp.messages import Code, DhcpMessage, MessageType, parse_message, write_message


class ClientState(Enum):
    """RFC 2131 figure 5."""

    INIT = "init"
    SELECTING = "selecting"
    REQUESTING = "requesting"
    BOUND = "bound"
    RENEWING = "renewing"
    REBINDING = "rebinding"


WHEN_TIMER_ENDS = {ClientState.BOUND: ClientState.RENEWING, ClientState.RENEWING: ClientState.REBINDING}
ACCEPTS_ACK = frozenset({ClientState.REQUESTING, ClientState.RENEWING, ClientState.REBINDING})


@dataclass(frozen=True)
class ClientTimers:
    """Seconds. `first` is shorter than the 4 s that RFC 2131 section 4.1 gives as its example for Ethernet:
    the delay is to suit the network, and a call waits for this one."""

    first: float = 0.5
    longest: float = 16.0


@dataclass(frozen=True)
class Lease:
    """What a server granted. Times are of the machine's own scale."""

    address: IPv4Address
    network: IPv4Network
    router: IPv4Address | None
    dns_servers: tuple[IPv4Address, ...]
    domain: str
    server: IPv4Address
    server_link: bytes  # link-layer source of the acknowledgement
    server_source: IPv4Address  # network-layer source of the acknowledgement
    renew_at: float
    rebind_at: float
    expires_at: float


@dataclass(frozen=True)
class Bound:
    """`renewed`: the same address as before, for longer."""

    lease: Lease
    renewed: bool


@dataclass(frozen=True)
class Expired:
    """The address is no longer ours."""

    address: IPv4Address


ClientEvent = Bound | Expired

_WANTED = bytes([Code.SUBNET_MASK, Code.ROUTER, Code.DNS_SERVERS, Code.DOMAIN_NAME, Code.LEASE_TIME])


class DhcpClient:
    """A machine: Ethernet frames in and out. `start` at link up, `stop` at link down.

    The first message leaves at once: RFC 2131 section 4.4.1's 1 to 10 s of waiting are for machines that
    power on together.
    """

    def __init__(
        self,
        link_address: bytes,
        entropy: Entropy,
        rapid_commit: bool = True,
        timers: ClientTimers = ClientTimers(),
        trace: Trace = NO_TRACE,
    ) -> None:
        self.state = ClientState.INIT
        self.lease: Lease | None = None
        self._link = link_address
        self._entropy = entropy
        self._rapid = rapid_commit
        self._timers = timers
        self._trace = trace
        self._transaction = 0
        self._offer: DhcpMessage | None = None
        self._asked_at = 0.0
        self._interval = 0.0
        self._retransmit_at: float | None = None
        self._running = False
        self._transmits: list[bytes] = []
        self._events: list[ClientEvent] = []

    def start(self, now: float) -> None:
        """Ask for an address: for the one we have, if this network can give it."""
        self._transaction = number(self._entropy, 1 << 32)
        self._asked_at = now
        self._interval = self._timers.first
        self._offer = None
        self._running = True
        self.state = ClientState.SELECTING
        self._send(self._discover(), now)

    def stop(self) -> None:
        """The link is down: what we have stays ours until it expires, nothing more is sent."""
        self._running = False
        self._retransmit_at = None
        self._transmits.clear()
        self.state = ClientState.BOUND if self.lease else ClientState.INIT

    def release(self) -> None:
        """Forget the lease, tell the server (RFC 2131 section 4.4.6)."""
        if self.lease is not None:
            message = DhcpMessage(
                MessageType.RELEASE,
                number(self._entropy, 1 << 32),
                self._link,
                {Code.SERVER_IDENTIFIER: self.lease.server.packed},
                client_address=self.lease.address,
            )
            self._transmits.append(self._frame(message, self.lease))
        self._forget()

    def decline(self, now: float) -> None:
        """Another host has the address: tell the server and begin anew (RFC 2131 section 3.1, step 5)."""
        if self.lease is None:
            return
        options: dict[int, bytes] = {
            Code.REQUESTED_ADDRESS: self.lease.address.packed,
            Code.SERVER_IDENTIFIER: self.lease.server.packed,
        }
        message = DhcpMessage(MessageType.DECLINE, number(self._entropy, 1 << 32), self._link, options)
        self._transmits.append(self._frame(message, None))
        self._forget()
        self._running = True
        self.state = ClientState.SELECTING
        self._transaction = number(self._entropy, 1 << 32)
        self._retransmit_at = now + 10  # section 3.1: at least ten seconds before a new attempt
        self._interval = self._timers.first

    def receive(self, frame: bytes, source: object, now: float) -> None:  # noqa: ARG002
        """An Ethernet frame with IPv4 that came in on the interface."""
        try:
            datagram = parse_datagram(frame[14:])
            if datagram.destination_port != CLIENT_PORT:
                return
            message = parse_message(datagram.payload)
        except RemoteError as error:
            self._trace.drop("dhcp", "malformed", problem=error.problem)
            return
        if message.transaction != self._transaction or message.client != self._link:
            self._trace.drop("dhcp", "not ours")
        elif message.kind is MessageType.OFFER:
            self._receive_offer(message, now)
        elif message.kind is MessageType.ACK:
            self._receive_ack(message, frame[6:12], datagram.source, now)
        elif message.kind is MessageType.NAK:
            self._receive_nak(message, now)

    def transmits(self) -> list[bytes]:
        """Ethernet frames."""
        transmits, self._transmits = self._transmits, []
        return transmits

    def deadline(self) -> float | None:
        candidates = [self._retransmit_at]
        if self.lease is not None:
            candidates.append(self.lease.expires_at)
            if self._running and self.state in WHEN_TIMER_ENDS:
                candidates.append(self._next_phase(self.lease))
        return earliest(*candidates)

    def expire(self, now: float) -> None:
        if self.lease is not None and now >= self.lease.expires_at:
            running = self._running
            self._forget()
            if running:
                self.start(now)
        elif not self._running:
            return
        elif self.lease and self.state in WHEN_TIMER_ENDS and now >= self._next_phase(self.lease):
            self._prolong(WHEN_TIMER_ENDS[self.state], now)
        elif self._retransmit_at is not None and now >= self._retransmit_at:
            self._send_again(now)

    def events(self) -> list[ClientEvent]:
        events, self._events = self._events, []
        return events

    def _next_phase(self, lease: Lease) -> float:
        return lease.renew_at if self.state is ClientState.BOUND else lease.rebind_at

    def _prolong(self, state: ClientState, now: float) -> None:
        assert self.lease is not None
        if self.state is ClientState.BOUND:
            self._transaction = number(self._entropy, 1 << 32)
        self.state = state
        self._asked_at = now
        self._send_again(now)

    def _send_again(self, now: float) -> None:
        if self.state is ClientState.SELECTING:
            self._send(self._discover(), now)
        elif self.state is ClientState.REQUESTING and self._offer is not None:
            self._send(self._request_offered(self._offer), now)
        elif self.lease is not None and self.state in ACCEPTS_ACK:
            unicast = self.lease if self.state is ClientState.RENEWING else None
            message = replace(self._request(None), client_address=self.lease.address)
            self._transmits.append(self._frame(message, unicast))
            # Section 4.4.5: half of what is left, at least a minute.
            end = self.lease.rebind_at if unicast else self.lease.expires_at
            self._retransmit_at = now + max(60.0, (end - now) / 2)

    def _receive_offer(self, message: DhcpMessage, now: float) -> None:
        if self.state is not ClientState.SELECTING or message.address(Code.SERVER_IDENTIFIER) is None:
            return
        self._offer = message
        self.state = ClientState.REQUESTING
        self._interval = self._timers.first
        self._send(self._request_offered(message), now)

    def _receive_ack(self, message: DhcpMessage, link: bytes, source: IPv4Address, now: float) -> None:
        rapid = self.state is ClientState.SELECTING and self._rapid and Code.RAPID_COMMIT in message.options
        if not rapid and self.state not in ACCEPTS_ACK:
            return
        lease = _lease(message, link, source, self._asked_at, now)
        if lease is None:
            self._trace.drop("dhcp", "acknowledgement without what an address needs")
            return
        previous = self.lease
        self.lease = lease
        self.state = ClientState.BOUND
        self._retransmit_at = None
        if previous is not None and previous.address != lease.address:
            self._events.append(Expired(previous.address))
        self._events.append(Bound(lease, previous is not None and previous.address == lease.address))

    def _receive_nak(self, message: DhcpMessage, now: float) -> None:
        if self.state not in ACCEPTS_ACK:
            return
        offered = self._offer.address(Code.SERVER_IDENTIFIER) if self._offer else None
        if self.state is ClientState.REQUESTING and message.address(Code.SERVER_IDENTIFIER) != offered:
            return  # another server's refusal of somebody else's offer
        self._forget()
        self.start(now)

    def _forget(self) -> None:
        if self.lease is not None:
            self._events.append(Expired(self.lease.address))
        self.lease = None
        self._retransmit_at = None
        self.state = ClientState.INIT

    def _discover(self) -> DhcpMessage:
        options: dict[int, bytes] = {Code.PARAMETER_LIST: _WANTED}
        if self.lease is not None:
            options[Code.REQUESTED_ADDRESS] = self.lease.address.packed
        if self._rapid:
            options[Code.RAPID_COMMIT] = b""
        return DhcpMessage(MessageType.DISCOVER, self._transaction, self._link, options)

    def _request(self, address: IPv4Address | None) -> DhcpMessage:
        options: dict[int, bytes] = {Code.PARAMETER_LIST: _WANTED}
        if address is not None:
            options[Code.REQUESTED_ADDRESS] = address.packed
        return DhcpMessage(MessageType.REQUEST, self._transaction, self._link, options)

    def _request_offered(self, offer: DhcpMessage) -> DhcpMessage:
        request = self._request(offer.your_address)
        request.options[Code.SERVER_IDENTIFIER] = offer.options[Code.SERVER_IDENTIFIER]
        return request

    def _send(self, message: DhcpMessage, now: float) -> None:
        """Broadcast, and plan to do so again (section 4.1: doubled each time, randomised)."""
        self._transmits.append(self._frame(message, None))
        self._retransmit_at = now + self._interval * (0.75 + 0.5 * fraction(self._entropy))
        self._interval = min(2 * self._interval, self._timers.longest)

    def _frame(self, message: DhcpMessage, lease: Lease | None) -> bytes:
        source = message.client_address if lease else ANY
        if message.client_address != ANY:
            source = message.client_address
        destination = lease.server if lease else LIMITED_BROADCAST
        payload = write_message(message)
        packet = write_datagram(Datagram(source, CLIENT_PORT, destination, SERVER_PORT, payload))
        return write_frame(packet, self._link, lease.server_link if lease else BROADCAST_LINK)


def _lease(
    message: DhcpMessage, link: bytes, source: IPv4Address, asked_at: float, now: float
) -> Lease | None:
    """The lease runs from when it was asked for (section 4.4.1); None when something it needs is missing."""
    server = message.address(Code.SERVER_IDENTIFIER)
    seconds = message.seconds_of(Code.LEASE_TIME)
    mask = message.address(Code.SUBNET_MASK)
    if server is None or not seconds or message.your_address == ANY:
        return None
    try:
        network = IPv4Network(f"{message.your_address}/{mask or '255.255.255.255'}", strict=False)
    except ValueError:
        return None
    renew = message.seconds_of(Code.RENEWAL_TIME) or seconds * 0.5
    rebind = message.seconds_of(Code.REBINDING_TIME) or seconds * 0.875
    routers = message.addresses(Code.ROUTER)
    domain = message.options.get(Code.DOMAIN_NAME, b"").rstrip(b"\0")
    return Lease(
        message.your_address,
        network,
        routers[0] if routers else None,
        message.addresses(Code.DNS_SERVERS),
        domain.decode("ascii") if domain.replace(b"-", b"").replace(b".", b"").isalnum() else "",
        server,
        link,
        source,
        max(now, asked_at + min(renew, seconds)),
        max(now, asked_at + min(max(rebind, renew), seconds)),
        asked_at + seconds,
    )
