"""STUN Binding messages: the RFC's own, ours read back, and what is none."""

from __future__ import annotations

import pytest

from segue.base.address import Address
from segue.base.errors import RemoteError
from segue.protocols.stun.binding import (
    BindingRequest,
    BindingResponse,
    is_stun,
    parse_binding,
    write_request,
    write_response,
)

ID = bytes.fromhex("b7e7a701bc34d686fa87dfae")
# RFC 5769 sections 2.1 to 2.3
REQUEST = bytes.fromhex(
    "000100582112a442b7e7a701bc34d686fa87dfae80220010"
    "5354554e207465737420636c69656e74002400046e0001ff80290008932ff9b151263b36"
    "00060009" "6576746a3a683676592020200008" "00149aeaa70cbfd8cb56781ef2b5b2d3f249c1b571a280280004e57a3bcf"
)  # fmt: skip
RESPONSE_4 = bytes.fromhex(
    "0101003c2112a442b7e7a701bc34d686fa87dfae8022000b7465737420766563746f7220"
    "002000080001a147e112a643000800142b91f599fd9e90c38c7489f92af9ba53f06be7d780280004c07d4c96"
)
RESPONSE_6 = bytes.fromhex(
    "010100482112a442b7e7a701bc34d686fa87dfae8022000b7465737420766563746f7220"
    "002000140002a1470113a9faa5d3f179bc25f4b5bed2b9d9"
    "00080014a382954e4be67bf11784c97c8292c275bfe3ed4180280004c8fb0b4c"
)


def test_the_responses_of_rfc_5769() -> None:
    assert parse_binding(RESPONSE_4) == BindingResponse(ID, Address("192.0.2.1", 32853))
    long = Address("2001:db8:1234:5678:11:2233:4455:6677", 32853)
    assert parse_binding(RESPONSE_6) == BindingResponse(ID, long)


def test_the_request_of_rfc_5769_asks_for_what_only_ice_knows() -> None:
    request = parse_binding(REQUEST)
    assert request == BindingRequest(ID, (0x0024,))
    assert isinstance(request, BindingRequest)
    refused = write_response(request, Address("192.0.2.1", 1))
    assert parse_binding(refused) == BindingResponse(ID, None)
    assert b"\0\x0a\0\2\0\x24" in refused  # UNKNOWN-ATTRIBUTES: PRIORITY


@pytest.mark.parametrize("source", [Address("192.0.2.7", 40000), Address("2001:db8::7", 1)])
def test_what_we_answer_is_read_back(source: Address) -> None:
    request = parse_binding(write_request(ID))
    assert request == BindingRequest(ID) and isinstance(request, BindingRequest)
    assert parse_binding(write_response(request, source)) == BindingResponse(ID, source)


@pytest.mark.parametrize("cut", range(len(RESPONSE_4)))
def test_what_is_cut_off_is_no_message(cut: int) -> None:
    with pytest.raises(RemoteError):
        parse_binding(RESPONSE_4[:cut])


def test_sip_is_not_taken_for_stun() -> None:
    assert is_stun(write_request(ID)) and is_stun(RESPONSE_6)
    assert not is_stun(b"OPTIONS sip:example.org SIP/2.0\r\n\r\n") and not is_stun(b"\r\n\r\n")
    assert not is_stun(write_request(ID)[:19]) and not is_stun(b"\0\1" + bytes(18))
