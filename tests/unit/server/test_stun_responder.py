"""STUN for everybody: who asks too often, or something else, gets nothing."""

import pytest

from segue.base.address import Address
from segue.base.errors import LocalError
from segue.base.trace import MemoryTrace
from segue.protocols.stun.binding import binding_request, mapped_address
from segue.protocols.stun.message import Class, Method, StunMessage, parse_stun
from segue.server.config import Listen, ServerConfig
from segue.server.rate_limit import RateLimit
from segue.server.stun import StunResponder

PHONE = Address("203.0.113.1", 40000)
REQUEST = binding_request(b"twelve bytes").write()


def responder(burst: float = 100.0) -> StunResponder:
    return StunResponder(RateLimit(1.0, burst), MemoryTrace())


@pytest.mark.parametrize("source", [PHONE, Address("2001:db8::1", 40000)])
def test_the_answer_is_where_the_request_came_from(source: Address) -> None:
    answer = responder().answer(REQUEST, source, 0.0)
    assert answer is not None and mapped_address(parse_stun(answer)) == source


def test_a_flood_in_somebodys_name_sends_him_a_hundred_answers_and_then_one_a_second() -> None:
    server = responder()
    answers = [server.answer(REQUEST, PHONE, second / 100) for second in range(1000)]
    assert sum(answer is not None for answer in answers) == 109
    assert max(len(answer) for answer in answers if answer) <= len(REQUEST) + 12


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        b"OPTIONS sip:example.org SIP/2.0\r\n\r\n",
        REQUEST[:-1],
        StunMessage(Class.INDICATION, Method.BINDING, b"twelve bytes").write(),
        StunMessage(Class.SUCCESS, Method.BINDING, b"twelve bytes").write(),
        StunMessage(Class.REQUEST, Method.ALLOCATE, b"twelve bytes").write(),
    ],
)
def test_what_is_no_binding_request_gets_no_answer(octets: bytes) -> None:
    assert responder().answer(octets, PHONE, 0.0) is None


def test_what_has_to_be_understood_and_is_not_gets_420() -> None:
    unknown = bytes.fromhex("00010008") + REQUEST[4:] + bytes.fromhex("7fff000400000000")
    answer = responder().answer(unknown, PHONE, 0.0)
    assert answer is not None and len(answer) <= 2 * len(unknown)
    assert parse_stun(answer).kind is Class.ERROR


def test_a_stun_port_alone_is_no_server() -> None:
    assert Listen.parse("stun:[::]") == Listen("STUN", Address("::", 3478))
    with pytest.raises(LocalError, match="nothing to listen on"):
        ServerConfig("example.org", (Listen.parse("stun:[::]"),), ":memory:")
