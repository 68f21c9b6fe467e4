"""STUN attributes (RFC 8489 section 14): each is a number, a name, and how its value is read and written.

Those of ICE (RFC 8445 section 16.1), TURN (RFC 8656 section 18) and mobility with TURN (RFC 8016) are here too, as
they share one space of numbers. An attribute that is not here is unknown.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Generic, NamedTuple, TypeVar

from segue.base.address import Address
from segue.base.errors import RemoteError

Value = TypeVar("Value")
COOKIE = bytes.fromhex("2112a442")
_PORT_MASK = 0x2112
TEXT_LIMIT = 763  # octets that are read of a text: 128 characters of the longest kind (section 14.3)
OPTIONAL = 0x8000  # numbers from here may be ignored (section 14)


@dataclass(frozen=True, slots=True, eq=False)
class Attribute(Generic[Value]):
    """`read` and `write` turn octets into a value and back; the transaction's identifier masks addresses."""

    number: int
    name: str
    read: Callable[[bytes, bytes], Value]
    write: Callable[[Value, bytes], bytes]

    def __repr__(self) -> str:
        return self.name


class ErrorCode(NamedTuple):
    """Section 14.8. `code`: 300 to 699."""

    code: int
    reason: str = ""


class AddressError(NamedTuple):
    """ADDRESS-ERROR-CODE: why there is no relayed address of a family (RFC 8656 section 18.12)."""

    family: int
    code: int
    reason: str = ""


class PasswordAlgorithm(NamedTuple):
    """Section 18.5; MD5 and SHA-256 have no parameters."""

    number: int
    parameters: bytes = b""


class IcmpError(NamedTuple):
    """ICMP: what a relay's packet met with (RFC 8656 section 18.13); `data` is the next link's MTU, or 0."""

    type: int
    code: int
    data: int = 0


# How values are read and written. `_` stands for the transaction, which only masked addresses need.


def _read_text(octets: bytes, _: bytes) -> str:
    if len(octets) > TEXT_LIMIT:
        raise RemoteError("a STUN text is too long")
    try:
        return octets.decode()
    except UnicodeDecodeError:
        raise RemoteError("a STUN text is no UTF-8") from None


def _write_text(text: str, _: bytes) -> bytes:
    return text.encode()


def _read_octets(octets: bytes, _: bytes) -> bytes:
    if len(octets) > TEXT_LIMIT:
        raise RemoteError("a STUN attribute is too long")
    return octets


def _read_data(octets: bytes, _: bytes) -> bytes:
    return octets


def _write_octets(octets: bytes, _: bytes) -> bytes:
    return octets


def _fixed(length: int) -> Callable[[bytes, bytes], bytes]:
    def read(octets: bytes, _: bytes) -> bytes:
        if len(octets) != length:
            raise RemoteError("a STUN attribute has a wrong length")
        return octets

    return read


def _read_flag(_octets: bytes, _: bytes) -> bool:
    return True


def _write_flag(_value: bool, _: bytes) -> bytes:
    return b""


def _number(length: int, padding: int = 0) -> Any:
    """An unsigned integer of `length` octets, with octets behind it that mean nothing."""

    def read(octets: bytes, _: bytes) -> int:
        if len(octets) != length + padding:
            raise RemoteError("a STUN attribute has a wrong length")
        return int.from_bytes(octets[:length], "big")

    def write(value: int, _: bytes) -> bytes:
        return value.to_bytes(length, "big") + bytes(padding)

    return read, write


@lru_cache(maxsize=1024)
def _packed(host: str) -> bytes:
    return ipaddress.ip_address(host).packed


def _family_of(octets: bytes) -> int:
    """Section 14.1: 1 is IPv4, 2 is IPv6, as 4 and 6."""
    if len(octets) != 4 or octets[0] not in (1, 2):
        raise RemoteError("a STUN attribute of no known address family")
    return 2 + 2 * octets[0]


def _read_family(octets: bytes, _: bytes) -> int:
    return _family_of(octets)


def _write_family(family: int, _: bytes) -> bytes:
    return bytes((1 if family == 4 else 2, 0, 0, 0))


def _read_address(octets: bytes, _: bytes) -> Address:
    """Section 14.1."""
    length = len(octets)
    if length == 8 and octets[1] == 1:
        return Address(".".join(map(str, octets[4:])), octets[2] << 8 | octets[3])
    if length == 20 and octets[1] == 2:
        return Address(str(ipaddress.IPv6Address(octets[4:])), octets[2] << 8 | octets[3])
    raise RemoteError("a STUN address of no known family")


def _write_address(address: Address, _: bytes) -> bytes:
    octets = _packed(address.host)
    return (b"\0\1" if len(octets) == 4 else b"\0\2") + address.port.to_bytes(2, "big") + octets


def _mask(octets: bytes, transaction: bytes) -> bytes:
    """Section 14.2: what masks also unmasks."""
    key = COOKIE[:2] + (COOKIE if len(octets) == 8 else COOKIE + transaction)
    plain = int.from_bytes(octets[2:], "big") ^ int.from_bytes(key, "big")
    return octets[:2] + plain.to_bytes(len(octets) - 2, "big")


def _read_masked(octets: bytes, transaction: bytes) -> Address:
    if len(octets) not in (8, 20):
        raise RemoteError("a STUN address of no known family")
    return _read_address(_mask(octets, transaction), transaction)


def _write_masked(address: Address, transaction: bytes) -> bytes:
    return _mask(_write_address(address, transaction), transaction)


def _read_code(octets: bytes) -> int:
    """Class and number of an error: the lower 11 bits of four octets."""
    if len(octets) < 4 or not 3 <= octets[2] & 7 <= 6 or octets[3] > 99:
        raise RemoteError("a STUN error of no known class")
    return (octets[2] & 7) * 100 + octets[3]


def _reason(octets: bytes) -> str:
    """For people: what cannot be shown is left out, and what is no UTF-8 shown as such."""
    if len(octets) > TEXT_LIMIT:
        raise RemoteError("a STUN text is too long")
    return "".join(filter(str.isprintable, octets.decode(errors="replace")))


def _read_error(octets: bytes, _: bytes) -> ErrorCode:
    return ErrorCode(_read_code(octets), _reason(octets[4:]))


def _write_error(error: ErrorCode, _: bytes) -> bytes:
    return bytes((0, 0, error.code // 100, error.code % 100)) + error.reason.encode()


def _read_address_error(octets: bytes, _: bytes) -> AddressError:
    return AddressError(_family_of(octets[:4]), _read_code(octets), _reason(octets[4:]))


def _write_address_error(error: AddressError, transaction: bytes) -> bytes:
    return _write_family(error.family, transaction)[:1] + _write_error(ErrorCode(*error[1:]), transaction)[1:]


def _read_numbers(octets: bytes, _: bytes) -> tuple[int, ...]:
    if len(octets) % 2:
        raise RemoteError("a STUN attribute has a wrong length")
    return tuple(octets[at] << 8 | octets[at + 1] for at in range(0, len(octets), 2))


def _write_numbers(numbers: tuple[int, ...], _: bytes) -> bytes:
    return b"".join(number.to_bytes(2, "big") for number in numbers)


def _read_algorithms(octets: bytes, _: bytes) -> tuple[PasswordAlgorithm, ...]:
    """Section 14.11. Some senders leave the padding of the last one out."""
    if len(octets) > TEXT_LIMIT:
        raise RemoteError("a STUN attribute is too long")
    found, position = [], 0
    while position < len(octets):
        number = int.from_bytes(octets[position : position + 2], "big")
        length = int.from_bytes(octets[position + 2 : position + 4], "big")
        start = position + 4
        if start + length > len(octets):
            raise RemoteError("a STUN password algorithm is cut off")
        found.append(PasswordAlgorithm(number, octets[start : start + length]))
        position = start + length + (-length & 3)
    return tuple(found)


def _write_algorithms(algorithms: tuple[PasswordAlgorithm, ...], _: bytes) -> bytes:
    return b"".join(
        each.number.to_bytes(2, "big")
        + len(each.parameters).to_bytes(2, "big")
        + each.parameters
        + bytes(-len(each.parameters) & 3)
        for each in algorithms
    )


def _read_algorithm(octets: bytes, transaction: bytes) -> PasswordAlgorithm:
    found = _read_algorithms(octets, transaction)
    if len(found) != 1:
        raise RemoteError("a STUN attribute has a wrong length")
    return found[0]


def _write_algorithm(algorithm: PasswordAlgorithm, transaction: bytes) -> bytes:
    return _write_algorithms((algorithm,), transaction)


def _read_icmp(octets: bytes, _: bytes) -> IcmpError:
    if len(octets) != 8:
        raise RemoteError("a STUN attribute has a wrong length")
    return IcmpError(octets[2], octets[3], int.from_bytes(octets[4:], "big"))


def _write_icmp(error: IcmpError, _: bytes) -> bytes:
    return bytes((0, 0, error.type, error.code)) + error.data.to_bytes(4, "big")


def _read_even_port(octets: bytes, _: bytes) -> bool:
    if len(octets) != 1:
        raise RemoteError("a STUN attribute has a wrong length")
    return octets[0] >> 7 == 1


def _write_even_port(reserve: bool, _: bytes) -> bytes:
    return b"\x80" if reserve else b"\0"


# RFC 8489 section 18.3
MAPPED_ADDRESS: Attribute[Address] = Attribute(0x0001, "MAPPED-ADDRESS", _read_address, _write_address)
USERNAME: Attribute[str] = Attribute(0x0006, "USERNAME", _read_text, _write_text)
MESSAGE_INTEGRITY: Attribute[bytes] = Attribute(0x0008, "MESSAGE-INTEGRITY", _fixed(20), _write_octets)
ERROR_CODE: Attribute[ErrorCode] = Attribute(0x0009, "ERROR-CODE", _read_error, _write_error)
UNKNOWN_ATTRIBUTES: Attribute[tuple[int, ...]] = Attribute(
    0x000A, "UNKNOWN-ATTRIBUTES", _read_numbers, _write_numbers
)
REALM: Attribute[str] = Attribute(0x0014, "REALM", _read_text, _write_text)
NONCE: Attribute[bytes] = Attribute(0x0015, "NONCE", _read_octets, _write_octets)
MESSAGE_INTEGRITY_SHA256: Attribute[bytes] = Attribute(
    0x001C, "MESSAGE-INTEGRITY-SHA256", _read_octets, _write_octets
)
PASSWORD_ALGORITHM: Attribute[PasswordAlgorithm] = Attribute(
    0x001D, "PASSWORD-ALGORITHM", _read_algorithm, _write_algorithm
)
USERHASH: Attribute[bytes] = Attribute(0x001E, "USERHASH", _fixed(32), _write_octets)
XOR_MAPPED_ADDRESS: Attribute[Address] = Attribute(0x0020, "XOR-MAPPED-ADDRESS", _read_masked, _write_masked)
PASSWORD_ALGORITHMS: Attribute[tuple[PasswordAlgorithm, ...]] = Attribute(
    0x8002, "PASSWORD-ALGORITHMS", _read_algorithms, _write_algorithms
)
ALTERNATE_DOMAIN: Attribute[str] = Attribute(0x8003, "ALTERNATE-DOMAIN", _read_text, _write_text)
SOFTWARE: Attribute[str] = Attribute(0x8022, "SOFTWARE", _read_text, _write_text)
ALTERNATE_SERVER: Attribute[Address] = Attribute(0x8023, "ALTERNATE-SERVER", _read_address, _write_address)
FINGERPRINT: Attribute[int] = Attribute(0x8028, "FINGERPRINT", *_number(4))

# RFC 8445 section 16.1; libwebrtc's and pion's nomination; and ours: the controlled end's "moved" counter.
PRIORITY: Attribute[int] = Attribute(0x0024, "PRIORITY", *_number(4))
USE_CANDIDATE: Attribute[bool] = Attribute(0x0025, "USE-CANDIDATE", _read_flag, _write_flag)
ICE_CONTROLLED: Attribute[int] = Attribute(0x8029, "ICE-CONTROLLED", *_number(8))
ICE_CONTROLLING: Attribute[int] = Attribute(0x802A, "ICE-CONTROLLING", *_number(8))
NOMINATION: Attribute[int] = Attribute(0xC001, "NOMINATION", *_number(4))
MOVED: Attribute[int] = Attribute(0xC0DE, "MOVED", *_number(4))

# RFC 8656 section 18, and RFC 8016
CHANNEL_NUMBER: Attribute[int] = Attribute(0x000C, "CHANNEL-NUMBER", *_number(2, 2))
LIFETIME: Attribute[int] = Attribute(0x000D, "LIFETIME", *_number(4))
XOR_PEER_ADDRESS: Attribute[Address] = Attribute(0x0012, "XOR-PEER-ADDRESS", _read_masked, _write_masked)
DATA: Attribute[bytes] = Attribute(0x0013, "DATA", _read_data, _write_octets)
XOR_RELAYED_ADDRESS: Attribute[Address] = Attribute(
    0x0016, "XOR-RELAYED-ADDRESS", _read_masked, _write_masked
)
REQUESTED_ADDRESS_FAMILY: Attribute[int] = Attribute(
    0x0017, "REQUESTED-ADDRESS-FAMILY", _read_family, _write_family
)
EVEN_PORT: Attribute[bool] = Attribute(0x0018, "EVEN-PORT", _read_even_port, _write_even_port)
REQUESTED_TRANSPORT: Attribute[int] = Attribute(0x0019, "REQUESTED-TRANSPORT", *_number(1, 3))
DONT_FRAGMENT: Attribute[bool] = Attribute(0x001A, "DONT-FRAGMENT", _read_flag, _write_flag)
RESERVATION_TOKEN: Attribute[bytes] = Attribute(0x0022, "RESERVATION-TOKEN", _fixed(8), _write_octets)
ADDITIONAL_ADDRESS_FAMILY: Attribute[int] = Attribute(
    0x8000, "ADDITIONAL-ADDRESS-FAMILY", _read_family, _write_family
)
ADDRESS_ERROR_CODE: Attribute[AddressError] = Attribute(
    0x8001, "ADDRESS-ERROR-CODE", _read_address_error, _write_address_error
)
ICMP: Attribute[IcmpError] = Attribute(0x8004, "ICMP", _read_icmp, _write_icmp)
MOBILITY_TICKET: Attribute[bytes] = Attribute(0x8030, "MOBILITY-TICKET", _read_data, _write_octets)

ATTRIBUTES: dict[int, Attribute[Any]] = {
    each.number: each for each in list(globals().values()) if isinstance(each, Attribute)
}
