"""STUN Binding (RFC 8489 section 6): where does what I send seem to come from? Without credentials, as a server for
all and the keep-alive of signalling use it (RFC 5626 section 8)."""

from __future__ import annotations

from segue.base.address import Address
from segue.base.errors import RemoteError
from segue.protocols.stun.attributes import MAPPED_ADDRESS, XOR_MAPPED_ADDRESS
from segue.protocols.stun.message import Class, Method, StunMessage, error_response, success_response


def is_binding_request(message: StunMessage) -> bool:
    return message.method is Method.BINDING and message.kind is Class.REQUEST


def is_binding_response(message: StunMessage) -> bool:
    return message.method is Method.BINDING and message.kind in (Class.SUCCESS, Class.ERROR)


def binding_request(transaction: bytes) -> StunMessage:
    return StunMessage(Class.REQUEST, Method.BINDING, transaction)


def binding_response(request: StunMessage, source: Address) -> StunMessage:
    """The answer to a request that came from `source`: that, or 420 (section 6.3.1)."""
    if request.unknown:
        return error_response(request, 420)
    return success_response(request).add(XOR_MAPPED_ADDRESS, source)


def mapped_address(response: StunMessage) -> Address | None:
    """Where our request seemed to come from; None in an error.

    Raises RemoteError for a success that does not tell, or tells what has to be understood and is not
    (section 6.3.3).
    """
    if response.kind is Class.ERROR:
        return None
    mapped = response.get(XOR_MAPPED_ADDRESS) or response.get(MAPPED_ADDRESS)
    if mapped is None or response.unknown:
        raise RemoteError("a STUN response without an address")
    return mapped
