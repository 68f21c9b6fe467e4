"""STUN messages (RFC 8489 sections 5, 6.3, 7 and 14): read, written, and checked against a key."""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field
from enum import Enum, IntEnum
from struct import Struct
from typing import Any, TypeVar
from zlib import crc32

from segue.base.errors import RemoteError
from segue.base.secret import Secret
from segue.protocols.stun.attributes import (
    ATTRIBUTES,
    COOKIE,
    ERROR_CODE,
    FINGERPRINT,
    MESSAGE_INTEGRITY,
    MESSAGE_INTEGRITY_SHA256,
    OPTIONAL,
    UNKNOWN_ATTRIBUTES,
    Attribute,
    ErrorCode,
)

Value = TypeVar("Value")
HEADER = 20  # octets
TRANSACTION = 12  # octets of a transaction identifier
_HEAD, _SHORTS = Struct(">HH4s12s"), Struct(">HH")
_FINGERPRINT_MASK = 0x5354554E
_SHA1, _SHA256, _FINGERPRINT = (
    each.number for each in (MESSAGE_INTEGRITY, MESSAGE_INTEGRITY_SHA256, FINGERPRINT)
)
_FINGERPRINT_OCTETS = 8
REASONS = {
    300: "Try Alternate",
    400: "Bad Request",
    401: "Unauthenticated",
    403: "Forbidden",
    420: "Unknown Attribute",
    437: "Allocation Mismatch",
    438: "Stale Nonce",
    440: "Address Family not Supported",
    487: "Role Conflict",
    500: "Server Error",
    508: "Insufficient Capacity",
}


class Class(IntEnum):
    """Section 5: two bits of a message's type."""

    REQUEST = 0
    INDICATION = 1
    SUCCESS = 2
    ERROR = 3


class Method(IntEnum):
    """RFC 8489 section 18.2, RFC 8656 section 17."""

    BINDING = 0x001
    ALLOCATE = 0x003
    REFRESH = 0x004
    SEND = 0x006
    DATA = 0x007
    CREATE_PERMISSION = 0x008
    CHANNEL_BIND = 0x009


class Integrity(Enum):
    """Which hash proves who sent a message: MESSAGE-INTEGRITY or MESSAGE-INTEGRITY-SHA256."""

    SHA1 = "sha1"
    SHA256 = "sha256"


# The class is in bits 4 and 8 of the type, the method in the others (section 5, figure 3).
_CLASSES = (Class.REQUEST, Class.INDICATION, Class.SUCCESS, Class.ERROR)
_CLASS_BITS = (0x000, 0x010, 0x100, 0x110)
_METHODS = {method.value: method for method in Method}


@dataclass(slots=True)
class StunMessage:
    """A message; of one that was read, also what it proves.

    `attributes`: those that are known, in their order; those of integrity and fingerprint are not among them, nor any
    that followed an integrity, which mean nothing (sections 14.5 and 14.6).
    `unknown`: numbers of attributes that must be understood and are not (section 6.3.1): answered with 420 after
    authentication.
    `integrity`: the hash to answer with: the stronger that the message came with (section 9.1.3).
    `fingerprint`: it came with a FINGERPRINT, which was right.
    """

    kind: Class
    method: Method
    transaction: bytes
    attributes: list[tuple[Attribute[Any], Any]] = field(default_factory=list)
    unknown: tuple[int, ...] = ()
    integrity: Integrity | None = field(default=None, compare=False)
    fingerprint: bool = field(default=False, compare=False)
    _octets: bytes = field(default=b"", repr=False, compare=False)
    _proof_at: int = field(default=0, repr=False, compare=False)

    def get(self, attribute: Attribute[Value]) -> Value | None:
        """The value of its first occurrence (section 14); None when there is none."""
        for each, value in self.attributes:
            if each is attribute:
                return value  # type: ignore[no-any-return]
        return None

    def all(self, attribute: Attribute[Value]) -> list[Value]:
        return [value for each, value in self.attributes if each is attribute]

    def add(self, attribute: Attribute[Value], value: Value) -> StunMessage:
        self.attributes.append((attribute, value))
        return self

    @property
    def error(self) -> ErrorCode | None:
        return self.get(ERROR_CODE)

    def verify(self, key: Secret) -> bool:
        """Whether who made this message has the key; of two integrities the SHA-256 decides (section 9.1.3)."""
        if self.integrity is None:
            return False
        start = self._proof_at
        length = int.from_bytes(self._octets[start + 2 : start + 4], "big")
        if length != (20 if self.integrity is Integrity.SHA1 else 32):
            return False  # section 14.6: no usage of ours allows less than the whole
        head = self._octets[:2] + (start + 4 + length - HEADER).to_bytes(2, "big")
        proof = hmac.digest(key.reveal(), head + self._octets[4:start], self.integrity.value)
        return hmac.compare_digest(proof, self._octets[start + 4 : start + 4 + length])

    def write(
        self,
        key: Secret | None = None,
        *,
        integrity: tuple[Integrity, ...] = (Integrity.SHA1,),
        fingerprint: bool = False,
    ) -> bytes:
        """Its octets, proven when there is a key: both ways when the peer's is unknown (section 9.1.2)."""
        transaction = self.transaction
        parts = []
        for attribute, value in self.attributes:
            octets = attribute.write(value, transaction)
            parts.append(_SHORTS.pack(attribute.number, len(octets)) + octets + bytes(-len(octets) & 3))
        kind = self.method & 0xF | (self.method & 0x70) << 1 | (self.method & 0xF80) << 2
        first = (kind | _CLASS_BITS[self.kind]).to_bytes(2, "big")
        rest = COOKIE + transaction + b"".join(parts)
        if key is not None:
            for each in integrity:
                rest += _integrity(first, rest, key, each)
        if fingerprint:
            length = len(rest) + 4 + _FINGERPRINT_OCTETS - HEADER
            whole = first + length.to_bytes(2, "big") + rest
            check = crc32(whole) ^ _FINGERPRINT_MASK
            return whole + _SHORTS.pack(_FINGERPRINT, 4) + check.to_bytes(4, "big")
        return first + (len(rest) + 4 - HEADER).to_bytes(2, "big") + rest


def _integrity(first: bytes, rest: bytes, key: Secret, kind: Integrity) -> bytes:
    """Sections 14.5 and 14.6: the length in the header ends with this attribute."""
    number, length = (_SHA1, 20) if kind is Integrity.SHA1 else (_SHA256, 32)
    head = first + (len(rest) + 4 + 4 + length - HEADER).to_bytes(2, "big")
    return _SHORTS.pack(number, length) + hmac.digest(key.reveal(), head + rest, kind.value)


def is_stun(datagram: bytes) -> bool:
    """Whether a datagram is STUN and nothing it shares a port with (section 5): no SIP message and no keep-alive
    of SIP begins with an octet below 4 (RFC 5626 section 8)."""
    return len(datagram) >= HEADER and datagram[0] < 4 and datagram[4:8] == COOKIE


def parse_stun(datagram: bytes) -> StunMessage:
    """Raises RemoteError for what is no STUN message, or one that is to be discarded silently (section 6.3): with a
    wrong fingerprint, a method that nobody here knows, or an attribute that is cut off or of a wrong form."""
    if len(datagram) < HEADER:
        raise RemoteError("no STUN message: too short")
    kind, length, cookie, transaction = _HEAD.unpack_from(datagram)
    if kind >= 0x4000 or cookie != COOKIE or length != len(datagram) - HEADER or length & 3:
        raise RemoteError("no STUN message")
    method = _METHODS.get(kind & 0xF | (kind & 0xE0) >> 1 | (kind & 0x3E00) >> 2)
    if method is None:
        raise RemoteError("a STUN method that is not known")
    message = StunMessage(
        _CLASSES[(kind & 0x100) >> 7 | (kind & 0x10) >> 4], method, transaction, _octets=datagram
    )
    _read_attributes(message, datagram)
    return message


def _read_attributes(message: StunMessage, datagram: bytes) -> None:
    """Those behind an integrity are skipped, but for a stronger one and the fingerprint (sections 14.5 and 14.6)."""
    position, end = HEADER, len(datagram)
    transaction, attributes = message.transaction, message.attributes
    unknown: dict[int, None] = {}  # each once, in order
    while position < end:
        number, length = _SHORTS.unpack_from(datagram, position)
        start, stop = position + 4, position + 4 + length
        if stop > end:
            raise RemoteError("a STUN attribute is cut off")
        if number == _FINGERPRINT:
            _check_fingerprint(datagram, position)
            message.fingerprint = True
        elif number in (_SHA1, _SHA256):
            _note_integrity(message, number, position, length)
        elif message.integrity is None:
            attribute = ATTRIBUTES.get(number)
            if attribute is not None:
                attributes.append((attribute, attribute.read(datagram[start:stop], transaction)))
            elif number < OPTIONAL:
                unknown[number] = None
        position = stop + (-length & 3)
    message.unknown = tuple(unknown)


def _note_integrity(message: StunMessage, number: int, position: int, length: int) -> None:
    if number == _SHA1:
        if message.integrity is None:
            if length != 20:
                raise RemoteError("a STUN integrity has a wrong length")
            message.integrity, message._proof_at = Integrity.SHA1, position
    elif message.integrity is not Integrity.SHA256:
        if length & 3 or not 16 <= length <= 32:
            raise RemoteError("a STUN integrity has a wrong length")
        message.integrity, message._proof_at = Integrity.SHA256, position


def _check_fingerprint(datagram: bytes, position: int) -> None:
    """Section 14.7: the last attribute."""
    last = (
        position + _FINGERPRINT_OCTETS == len(datagram) and datagram[position + 2 : position + 4] == b"\0\4"
    )
    check = crc32(datagram[:position]) ^ _FINGERPRINT_MASK
    if not last or datagram[position + 4 :] != check.to_bytes(4, "big"):
        raise RemoteError("a STUN fingerprint is wrong")


def success_response(request: StunMessage) -> StunMessage:
    return StunMessage(Class.SUCCESS, request.method, request.transaction)


def error_response(request: StunMessage, code: int, reason: str = "") -> StunMessage:
    """With what was not understood, when that is the error (section 6.3.1)."""
    response = StunMessage(Class.ERROR, request.method, request.transaction)
    response.add(ERROR_CODE, ErrorCode(code, reason or REASONS.get(code, "")))
    if code == 420:
        response.add(UNKNOWN_ATTRIBUTES, request.unknown)
    return response
