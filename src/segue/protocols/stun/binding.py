"""STUN Binding messages (RFC 8489): where does what I send seem to come from?"""

from __future__ import annotations

import ipaddress
from typing import NamedTuple

from segue.base.address import Address
from segue.base.cursor import Cursor
from segue.base.errors import RemoteError

COOKIE = 0x2112A442
TRANSACTION = 12  # octets of a transaction identifier
_REQUEST, _RESPONSE, _ERROR = 0x0001, 0x0101, 0x0111
_ERROR_CODE, _UNKNOWN_ATTRIBUTES, _XOR_MAPPED_ADDRESS = 0x0009, 0x000A, 0x0020
# Those below 0x8000 must be understood (section 14). These say nothing that a keep-alive depends on: MAPPED-ADDRESS,
# USERNAME and MESSAGE-INTEGRITY (which nobody has agreed credentials for), ERROR-CODE, REALM, NONCE.
_UNDERSTOOD = frozenset({0x0001, 0x0006, 0x0008, _ERROR_CODE, _UNKNOWN_ATTRIBUTES, 0x0014, 0x0015, 0x0020})


class BindingRequest(NamedTuple):
    """`unknown`: attributes that must be understood and are not; it is then to be refused with them."""

    transaction: bytes
    unknown: tuple[int, ...] = ()


class BindingResponse(NamedTuple):
    """`mapped`: where our request seemed to come from; None in an error."""

    transaction: bytes
    mapped: Address | None


def is_stun(datagram: bytes) -> bool:
    """Whether a datagram on a port of SIP is STUN: no SIP message begins with 0 or 1 (RFC 5626 section 8)."""
    return len(datagram) >= 20 and datagram[0] < 2 and datagram[4:8] == COOKIE.to_bytes(4, "big")


def parse_binding(datagram: bytes) -> BindingRequest | BindingResponse:
    """Raises RemoteError for anything else."""
    cursor = Cursor(datagram)
    kind, length, cookie = cursor.u16(), cursor.u16(), cursor.u32()
    transaction = cursor.take(TRANSACTION)
    if cookie != COOKIE or length != cursor.remaining or length % 4:
        raise RemoteError("no STUN message")
    mapped: Address | None = None
    unknown: list[int] = []
    while cursor.remaining:
        attribute, value = cursor.u16(), cursor.take(cursor.u16())
        cursor.skip(-len(value) % 4)
        if attribute == _XOR_MAPPED_ADDRESS and mapped is None:
            mapped = _unmask(value, transaction)
        elif attribute < 0x8000 and attribute not in _UNDERSTOOD:
            unknown.append(attribute)
    if kind == _REQUEST:
        return BindingRequest(transaction, tuple(unknown))
    if kind == _RESPONSE and mapped is not None and not unknown:
        return BindingResponse(transaction, mapped)
    if kind == _ERROR:
        return BindingResponse(transaction, None)
    raise RemoteError("a STUN message that a keep-alive does not know")


def write_request(transaction: bytes) -> bytes:
    return _message(_REQUEST, transaction, b"")


def write_response(request: BindingRequest, source: Address) -> bytes:
    """The answer to a request that came from `source`: that, or 420 (section 6.3.1)."""
    if request.unknown:
        numbers = b"".join(number.to_bytes(2, "big") for number in request.unknown[:8])
        error = _attribute(_ERROR_CODE, b"\0\0\4\x14Unknown Attribute")
        return _message(_ERROR, request.transaction, error + _attribute(_UNKNOWN_ATTRIBUTES, numbers))
    octets = ipaddress.ip_address(source.host).packed
    port = source.port ^ COOKIE >> 16
    family = b"\0\1" if len(octets) == 4 else b"\0\2"
    value = family + port.to_bytes(2, "big") + _xor(octets, request.transaction)
    return _message(_RESPONSE, request.transaction, _attribute(_XOR_MAPPED_ADDRESS, value))


def _message(kind: int, transaction: bytes, attributes: bytes) -> bytes:
    head = kind.to_bytes(2, "big") + len(attributes).to_bytes(2, "big") + COOKIE.to_bytes(4, "big")
    return head + transaction + attributes


def _attribute(number: int, value: bytes) -> bytes:
    return number.to_bytes(2, "big") + len(value).to_bytes(2, "big") + value + bytes(-len(value) % 4)


def _unmask(value: bytes, transaction: bytes) -> Address:
    """Section 14.2."""
    if len(value) not in (8, 20) or value[1] != (1 if len(value) == 8 else 2):
        raise RemoteError("a STUN address of no known family")
    host = ipaddress.ip_address(_xor(value[4:], transaction))
    return Address(str(host), int.from_bytes(value[2:4], "big") ^ COOKIE >> 16)


def _xor(octets: bytes, transaction: bytes) -> bytes:
    mask = COOKIE.to_bytes(4, "big") + transaction
    return bytes(a ^ b for a, b in zip(octets, mask, strict=False))
