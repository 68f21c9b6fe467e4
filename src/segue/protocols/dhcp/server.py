"""The DHCP server of one subnet (RFC 2131 section 4.3), with rapid commit (RFC 4039)."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

from segue.base.errors import LocalError, RemoteError
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


@dataclass(frozen=True)
class SubnetConfig:
    """What the server hands out. `pool` are addresses of `network` without the router's."""

    network: IPv4Network
    router: IPv4Address
    pool: tuple[IPv4Address, ...]
    dns_servers: tuple[IPv4Address, ...] = ()
    domain: str = ""
    lease_seconds: int = 3600
    rapid_commit: bool = True
    offer_seconds: float = 10.0

    def __post_init__(self) -> None:
        outside = [address for address in self.pool if address not in self.network or address == self.router]
        if outside or not self.pool:
            raise LocalError(f"DHCP pool of {self.network}", "list addresses of the subnet but the router's")


@dataclass
class _Binding:
    client: bytes
    address: IPv4Address
    expires_at: float
    committed: bool


@dataclass(frozen=True)
class Leased:
    """A client has (again) been given an address."""

    client: bytes
    address: IPv4Address


class DhcpServer:
    """A machine: Ethernet frames in and out. Its memory is bounded by its pool."""

    def __init__(self, config: SubnetConfig, link_address: bytes, trace: Trace = NO_TRACE) -> None:
        self.config = config
        self._link = link_address
        self._trace = trace
        self._bindings: dict[bytes, _Binding] = {}
        self._declined: set[IPv4Address] = set()
        self._transmits: list[bytes] = []
        self._events: list[Leased] = []

    def receive(self, frame: bytes, source: object, now: float) -> None:  # noqa: ARG002
        try:
            datagram = parse_datagram(frame[14:])
            if datagram.destination_port != SERVER_PORT:
                return
            message = parse_message(datagram.payload)
        except RemoteError as error:
            self._trace.drop("dhcp", "malformed", problem=error.problem)
            return
        if message.relay != ANY:
            self._trace.drop("dhcp", "relayed")
        elif message.kind is MessageType.DISCOVER:
            self._receive_discover(message, now)
        elif message.kind is MessageType.REQUEST:
            self._receive_request(message, now)
        elif message.kind is MessageType.DECLINE:
            self._receive_decline(message)
        elif message.kind is MessageType.RELEASE:
            self._receive_release(message, now)

    def transmits(self) -> list[bytes]:
        transmits, self._transmits = self._transmits, []
        return transmits

    def deadline(self) -> float | None:
        return None

    def expire(self, now: float) -> None:
        """Nothing is due by itself: expired bindings are found when an address is wanted."""

    def events(self) -> list[Leased]:
        events, self._events = self._events, []
        return events

    def _receive_discover(self, message: DhcpMessage, now: float) -> None:
        address = self._choose(message, now)
        if address is None:
            self._trace.drop("dhcp", "pool empty")
            return
        rapid = self.config.rapid_commit and Code.RAPID_COMMIT in message.options
        if rapid:
            self._commit(message, address, now)
            return
        self._bindings[_client(message)] = _Binding(
            _client(message), address, now + self.config.offer_seconds, False
        )
        self._answer(message, MessageType.OFFER, address)

    def _receive_request(self, message: DhcpMessage, now: float) -> None:
        server = message.address(Code.SERVER_IDENTIFIER)
        binding = self._bindings.get(_client(message))
        if server is not None and server != self.config.router:
            if binding is not None and not binding.committed:
                del self._bindings[_client(message)]  # the client took another server's offer
            return
        wanted = message.address(Code.REQUESTED_ADDRESS) or message.client_address
        if binding is not None and binding.address == wanted:
            self._commit(message, wanted, now)
        elif server is None and wanted in self.config.network and self._free(wanted, now):
            # A client that comes back after its binding was forgotten, or after our restart.
            self._commit(message, wanted, now)
        else:
            self._answer(message, MessageType.NAK, ANY)

    def _receive_decline(self, message: DhcpMessage) -> None:
        binding = self._bindings.pop(_client(message), None)
        if binding is not None and binding.address == message.address(Code.REQUESTED_ADDRESS):
            self._declined.add(binding.address)

    def _receive_release(self, message: DhcpMessage, now: float) -> None:
        binding = self._bindings.get(_client(message))
        if binding is not None and binding.address == message.client_address:
            binding.expires_at = now  # kept, so that the client gets the same address next time

    def _choose(self, message: DhcpMessage, now: float) -> IPv4Address | None:
        """Section 4.3.1: the client's own (current or former), what it asks for, any free one."""
        binding = self._bindings.get(_client(message))
        if binding is not None:
            return binding.address
        asked = message.address(Code.REQUESTED_ADDRESS)
        if asked is not None and self._free(asked, now):
            return asked
        for address in self.config.pool:
            if self._free(address, now, keep_former=True):
                return address
        return next((address for address in self.config.pool if self._free(address, now)), None)

    def _free(self, address: IPv4Address, now: float, keep_former: bool = False) -> bool:
        if address not in self.config.pool or address in self._declined:
            return False
        held = [b for b in self._bindings.values() if b.address == address]
        return not held if keep_former else all(b.expires_at <= now for b in held)

    def _commit(self, message: DhcpMessage, address: IPv4Address, now: float) -> None:
        client = _client(message)
        for other in [c for c, b in self._bindings.items() if b.address == address and c != client]:
            del self._bindings[other]  # an expired binding of somebody else
        self._bindings[client] = _Binding(client, address, now + self.config.lease_seconds, True)
        self._events.append(Leased(message.client, address))
        self._answer(message, MessageType.ACK, address)

    def _answer(self, message: DhcpMessage, kind: MessageType, address: IPv4Address) -> None:
        config = self.config
        options: dict[int, bytes] = {Code.SERVER_IDENTIFIER: config.router.packed}
        if kind is not MessageType.NAK:
            options |= {
                Code.LEASE_TIME: config.lease_seconds.to_bytes(4, "big"),
                Code.SUBNET_MASK: config.network.netmask.packed,
                Code.ROUTER: config.router.packed,
            }
            if config.dns_servers:
                options[Code.DNS_SERVERS] = b"".join(server.packed for server in config.dns_servers)
            if config.domain:
                options[Code.DOMAIN_NAME] = config.domain.encode("ascii")
        if kind is MessageType.ACK and message.kind is MessageType.DISCOVER:
            options[Code.RAPID_COMMIT] = b""
        answer = DhcpMessage(
            kind,
            message.transaction,
            message.client,
            options,
            client_address=message.client_address if kind is not MessageType.NAK else ANY,
            your_address=address,
            broadcast=message.broadcast,
        )
        self._send(answer, message)

    def _send(self, answer: DhcpMessage, asked: DhcpMessage) -> None:
        """Section 4.1: to the client's own address when it has one, else to the one it is given."""
        if answer.kind is MessageType.NAK or asked.broadcast:
            destination, link = LIMITED_BROADCAST, BROADCAST_LINK
        else:
            has_one = asked.client_address != ANY
            destination = asked.client_address if has_one else answer.your_address
            link = asked.client
        payload = write_message(answer)
        packet = write_datagram(Datagram(self.config.router, SERVER_PORT, destination, CLIENT_PORT, payload))
        self._transmits.append(write_frame(packet, self._link, link))


def _client(message: DhcpMessage) -> bytes:
    """What tells clients apart (section 4.2): the client identifier, else the hardware address."""
    return message.options.get(Code.CLIENT_IDENTIFIER, b"")[:255] or message.client
