"""Binding without credentials: what is asked, answered and refused; and what is no STUN."""

from __future__ import annotations

import pytest

from segue.base.address import Address
from segue.base.errors import RemoteError
from segue.protocols.stun.attributes import MAPPED_ADDRESS, UNKNOWN_ATTRIBUTES
from segue.protocols.stun.binding import (
    binding_request,
    binding_response,
    is_binding_request,
    is_binding_response,
    mapped_address,
)
from segue.protocols.stun.message import is_stun, parse_stun, success_response

ID = bytes.fromhex("b7e7a701bc34d686fa87dfae")


@pytest.mark.parametrize("source", [Address("192.0.2.7", 40000), Address("2001:db8::7", 1)])
def test_what_we_answer_is_read_back(source: Address) -> None:
    request = parse_stun(binding_request(ID).write())
    assert is_binding_request(request)
    response = parse_stun(binding_response(request, source).write())
    assert is_binding_response(response) and not is_binding_request(response)
    assert response.transaction == ID and mapped_address(response) == source


def test_a_request_that_asks_for_what_nobody_knows_is_refused_with_420() -> None:
    octets = bytes.fromhex("000100082112a442") + ID + bytes.fromhex("7abc000100000000")
    refused = parse_stun(binding_response(parse_stun(octets), Address("192.0.2.1", 1)).write())
    assert refused.error == (420, "Unknown Attribute")
    assert refused.get(UNKNOWN_ATTRIBUTES) == (0x7ABC,)
    assert is_binding_response(refused) and mapped_address(refused) is None


def test_old_servers_tell_the_address_unmasked() -> None:
    response = success_response(binding_request(ID)).add(MAPPED_ADDRESS, Address("192.0.2.1", 5))
    assert mapped_address(parse_stun(response.write())) == Address("192.0.2.1", 5)


def test_a_success_without_an_address_tells_nothing() -> None:
    with pytest.raises(RemoteError):
        mapped_address(success_response(binding_request(ID)))


def test_sip_is_not_taken_for_stun() -> None:
    octets = binding_request(ID).write()
    assert is_stun(octets)
    assert not is_stun(b"OPTIONS sip:example.org SIP/2.0\r\n\r\n") and not is_stun(b"\r\n\r\n")
    assert not is_stun(octets[:19]) and not is_stun(b"\0\1" + bytes(18))
