"""DHCP messages (RFC 2131 section 2) and the options an address needs (RFC 2132)."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from ipaddress import IPv4Address

from segue.base.cursor import Cursor
from segue.base.errors import RemoteError
from segue.protocols.dhcp.datagram import ANY

_COOKIE = b"\x63\x82\x53\x63"
_MAX_OPTION_OCTETS = 4096


class MessageType(IntEnum):
    """RFC 2132 section 9.6."""

    DISCOVER = 1
    OFFER = 2
    REQUEST = 3
    DECLINE = 4
    ACK = 5
    NAK = 6
    RELEASE = 7
    INFORM = 8


class Code(IntEnum):
    """Option codes."""

    SUBNET_MASK = 1
    ROUTER = 3
    DNS_SERVERS = 6
    HOST_NAME = 12
    DOMAIN_NAME = 15
    INTERFACE_MTU = 26
    REQUESTED_ADDRESS = 50
    LEASE_TIME = 51
    OVERLOAD = 52
    MESSAGE_TYPE = 53
    SERVER_IDENTIFIER = 54
    PARAMETER_LIST = 55
    MESSAGE = 56
    RENEWAL_TIME = 58
    REBINDING_TIME = 59
    CLIENT_IDENTIFIER = 61
    RAPID_COMMIT = 80
    DOMAIN_SEARCH = 119


FROM_CLIENT = 1  # op BOOTREQUEST
FROM_SERVER = 2  # op BOOTREPLY


@dataclass(frozen=True)
class DhcpMessage:
    """`options` maps codes to their octets, message type included in `kind`, not there."""

    kind: MessageType
    transaction: int
    client: bytes  # chaddr
    options: dict[int, bytes] = field(default_factory=dict)
    client_address: IPv4Address = ANY  # ciaddr
    your_address: IPv4Address = ANY  # yiaddr
    relay: IPv4Address = ANY  # giaddr
    seconds: int = 0
    broadcast: bool = False

    @property
    def operation(self) -> int:
        return (
            FROM_SERVER if self.kind in (MessageType.OFFER, MessageType.ACK, MessageType.NAK) else FROM_CLIENT
        )

    def address(self, code: Code) -> IPv4Address | None:
        """An option that is one address; None when it is missing or malformed."""
        octets = self.options.get(code, b"")
        return IPv4Address(octets) if len(octets) == 4 else None

    def addresses(self, code: Code) -> tuple[IPv4Address, ...]:
        octets = self.options.get(code, b"")
        return tuple(IPv4Address(octets[i : i + 4]) for i in range(0, len(octets) - 3, 4))

    def seconds_of(self, code: Code) -> int | None:
        """An option that is a 32-bit time."""
        octets = self.options.get(code, b"")
        return int.from_bytes(octets, "big") if len(octets) == 4 else None


def parse_message(octets: bytes) -> DhcpMessage:
    """The payload of a UDP datagram. Raises RemoteError for anything that is no DHCP message."""
    cursor = Cursor(octets)
    operation, hardware, length, _hops = cursor.u8(), cursor.u8(), cursor.u8(), cursor.u8()
    if operation not in (FROM_CLIENT, FROM_SERVER) or hardware != 1 or length != 6:
        raise RemoteError("no DHCP over Ethernet")
    transaction, seconds, flags = cursor.u32(), cursor.u16(), cursor.u16()
    client_address, your_address = IPv4Address(cursor.take(4)), IPv4Address(cursor.take(4))
    cursor.skip(4)
    relay = IPv4Address(cursor.take(4))
    client = cursor.take(16)[:6]
    server_name, file = cursor.take(64), cursor.take(128)
    if cursor.take(4) != _COOKIE:
        raise RemoteError("BOOTP without DHCP options")
    options = _parse_options(cursor.rest(), server_name, file)
    kind = options.pop(Code.MESSAGE_TYPE, b"")
    if len(kind) != 1 or kind[0] not in MessageType._value2member_map_:
        raise RemoteError("no DHCP message type")
    message = DhcpMessage(
        MessageType(kind[0]),
        transaction,
        client,
        options,
        client_address,
        your_address,
        relay,
        seconds,
        bool(flags & 0x8000),
    )
    if message.operation != operation:
        raise RemoteError("a DHCP message type that the other side sends")
    return message


def _parse_options(octets: bytes, server_name: bytes, file: bytes) -> dict[int, bytes]:
    options: dict[int, bytes] = {}
    _read_options(octets, options)
    overload = options.pop(Code.OVERLOAD, b"\0")[:1]
    # RFC 2131 section 4.1: `file` before `sname`.
    if overload in (b"\1", b"\3"):
        _read_options(file, options)
    if overload in (b"\2", b"\3"):
        _read_options(server_name, options)
    return options


def _read_options(octets: bytes, options: dict[int, bytes]) -> None:
    """Repeated options are put together (RFC 3396 section 5)."""
    cursor = Cursor(octets)
    while cursor.remaining:
        code = cursor.u8()
        if code == 255:
            return
        if code == 0:
            continue
        value = options.get(code, b"") + cursor.take(cursor.u8())
        if len(value) > _MAX_OPTION_OCTETS:
            raise RemoteError("DHCP option too long")
        options[code] = value


def write_message(message: DhcpMessage) -> bytes:
    """The payload of a UDP datagram, padded to the 300 octets that BOOTP relays expect."""
    head = bytes([message.operation, 1, 6, 0]) + message.transaction.to_bytes(4, "big")
    head += message.seconds.to_bytes(2, "big") + (message.broadcast << 15).to_bytes(2, "big")
    head += message.client_address.packed + message.your_address.packed + bytes(4) + message.relay.packed
    head += message.client.ljust(16, b"\0") + bytes(192) + _COOKIE
    body = bytes([Code.MESSAGE_TYPE, 1, message.kind])
    for code, value in message.options.items():
        body += bytes([code, len(value)]) + value
    return (head + body + b"\xff").ljust(300, b"\0")
