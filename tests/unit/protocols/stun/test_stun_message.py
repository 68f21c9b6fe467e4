"""STUN messages: every attribute there and back, what proves them, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segue.base.address import Address
from segue.base.errors import RemoteError
from segue.base.secret import Secret
from segue.protocols.stun import attributes as a
from segue.protocols.stun.attributes import ATTRIBUTES, Attribute
from segue.protocols.stun.message import (
    Class,
    Integrity,
    Method,
    StunMessage,
    error_response,
    parse_stun,
)

ID = b"twelve bytes"
KEY = Secret("sesame")
PROOFS = {a.MESSAGE_INTEGRITY, a.MESSAGE_INTEGRITY_SHA256, a.FINGERPRINT}

addresses = st.one_of(
    st.builds(Address, st.ip_addresses(v=4).map(str), st.integers(0, 65535)),
    st.builds(Address, st.ip_addresses(v=6).map(str), st.integers(0, 65535)),
)
texts = st.text(max_size=127)
reasons = st.text(st.characters(categories=("L", "N", "P", "S")), max_size=127)
families = st.sampled_from([4, 6])
algorithm = st.builds(a.PasswordAlgorithm, st.integers(0, 65535), st.binary(max_size=9))
codes = st.integers(300, 699)


def u(bits: int) -> st.SearchStrategy[int]:
    return st.integers(0, (1 << bits) - 1)


VALUES: dict[Attribute[Any], st.SearchStrategy[Any]] = {
    a.MAPPED_ADDRESS: addresses,
    a.USERNAME: texts,
    a.ERROR_CODE: st.builds(a.ErrorCode, codes, reasons),
    a.UNKNOWN_ATTRIBUTES: st.lists(u(16), max_size=9).map(tuple),
    a.REALM: texts,
    a.NONCE: st.binary(max_size=127),
    a.PASSWORD_ALGORITHM: algorithm,
    a.USERHASH: st.binary(min_size=32, max_size=32),
    a.XOR_MAPPED_ADDRESS: addresses,
    a.PASSWORD_ALGORITHMS: st.lists(algorithm, max_size=3).map(tuple),
    a.ALTERNATE_DOMAIN: texts,
    a.SOFTWARE: texts,
    a.ALTERNATE_SERVER: addresses,
    a.PRIORITY: u(32),
    a.USE_CANDIDATE: st.just(True),
    a.ICE_CONTROLLED: u(64),
    a.ICE_CONTROLLING: u(64),
    a.NOMINATION: u(32),
    a.MOVED: u(32),
    a.CHANNEL_NUMBER: u(16),
    a.LIFETIME: u(32),
    a.XOR_PEER_ADDRESS: addresses,
    a.DATA: st.binary(max_size=300),
    a.XOR_RELAYED_ADDRESS: addresses,
    a.REQUESTED_ADDRESS_FAMILY: families,
    a.EVEN_PORT: st.booleans(),
    a.REQUESTED_TRANSPORT: u(8),
    a.DONT_FRAGMENT: st.just(True),
    a.RESERVATION_TOKEN: st.binary(min_size=8, max_size=8),
    a.ADDITIONAL_ADDRESS_FAMILY: families,
    a.ADDRESS_ERROR_CODE: st.builds(a.AddressError, families, codes, reasons),
    a.ICMP: st.builds(a.IcmpError, u(8), u(8), u(32)),
    a.MOBILITY_TICKET: st.binary(max_size=300),
}
values = st.one_of([st.tuples(st.just(each), drawn) for each, drawn in VALUES.items()])


def test_every_attribute_is_in_the_strategy() -> None:
    assert set(VALUES) | PROOFS == set(ATTRIBUTES.values())


@given(
    kind=st.sampled_from(Class),
    method=st.sampled_from(Method),
    transaction=st.binary(min_size=12, max_size=12),
    attributes=st.lists(values, max_size=6),
    integrity=st.sampled_from(
        [None, (Integrity.SHA1,), (Integrity.SHA256,), (Integrity.SHA1, Integrity.SHA256)]
    ),
    fingerprint=st.booleans(),
    broken=st.integers(0, 1 << 30),
)
def test_what_is_written_is_read_and_proven_and_nothing_else_is(
    kind: Class,
    method: Method,
    transaction: bytes,
    attributes: list[tuple[Attribute[Any], Any]],
    integrity: tuple[Integrity, ...] | None,
    fingerprint: bool,
    broken: int,
) -> None:
    message = StunMessage(kind, method, transaction, attributes)
    octets = message.write(KEY if integrity else None, integrity=integrity or (), fingerprint=fingerprint)
    read = parse_stun(octets)
    assert read == message and read.fingerprint is fingerprint
    assert read.integrity is (integrity[-1] if integrity else None)
    assert read.verify(KEY) is bool(integrity) and not read.verify(Secret("another"))
    for attribute, _ in attributes:
        assert read.get(attribute) == next(value for each, value in attributes if each is attribute)
        assert read.all(attribute) == [value for each, value in attributes if each is attribute]
    bit = broken % (len(octets) * 8)
    forged = bytearray(octets)
    forged[bit // 8] ^= 1 << bit % 8
    try:
        suspect = parse_stun(bytes(forged))
    except RemoteError:
        return
    last = {(Integrity.SHA1,): 24, (Integrity.SHA256,): 36}.get(integrity or (), 0)
    if last and bit // 8 < len(octets) - last - 8 * fingerprint:
        assert not suspect.verify(KEY)


@pytest.mark.parametrize("fingerprint", [False, True])
def test_what_is_cut_off_is_no_message(fingerprint: bool) -> None:
    message = StunMessage(Class.REQUEST, Method.BINDING, ID).add(a.USERNAME, "a:b").add(a.PRIORITY, 7)
    octets = message.write(KEY, fingerprint=fingerprint)
    for cut in range(len(octets)):
        with pytest.raises(RemoteError):
            parse_stun(octets[:cut])
    with pytest.raises(RemoteError):
        parse_stun(octets + bytes(4))


def test_what_follows_an_integrity_means_nothing() -> None:
    """Sections 14.5 and 14.6: someone on the way can append, and must not change anything by it."""
    message = StunMessage(Class.REQUEST, Method.BINDING, ID).add(a.PRIORITY, 7)
    proven = message.write(KEY)
    for added in (
        StunMessage(Class.REQUEST, Method.BINDING, ID).add(a.USE_CANDIDATE, True).write()[20:],
        bytes.fromhex("7abc000000080014") + bytes(20),  # unknown and required, a second integrity
    ):
        read = parse_stun(
            proven[:2] + (len(proven) + len(added) - 20).to_bytes(2, "big") + proven[4:] + added
        )
        assert read == message and read.unknown == () and read.verify(KEY)


def test_the_stronger_integrity_decides() -> None:
    """Section 9.1.3: a right SHA-1 beside a wrong SHA-256 proves nothing."""
    octets = bytearray(
        StunMessage(Class.REQUEST, Method.BINDING, ID).write(
            KEY, integrity=(Integrity.SHA1, Integrity.SHA256)
        )
    )
    octets[-1] ^= 1
    assert not parse_stun(bytes(octets)).verify(KEY)


def test_a_shortened_sha256_proves_nothing() -> None:
    octets = StunMessage(Class.REQUEST, Method.BINDING, ID).write(KEY, integrity=(Integrity.SHA256,))
    short = octets[:2] + (20).to_bytes(2, "big") + octets[4:22] + (16).to_bytes(2, "big") + octets[24:40]
    assert not parse_stun(short).verify(KEY)


def test_the_fingerprint_is_the_last_attribute() -> None:
    octets = StunMessage(Class.REQUEST, Method.BINDING, ID).write(fingerprint=True)
    more = octets[:2] + (16).to_bytes(2, "big") + octets[4:] + bytes.fromhex("8022000400000000")
    with pytest.raises(RemoteError):
        parse_stun(more)


def test_thousands_of_unknown_attributes_are_listed_once_each() -> None:
    body = 2 * b"".join(number.to_bytes(2, "big") + bytes(2) for number in range(0x4000, 0x5F00))
    head = bytes.fromhex("0001") + (len(body)).to_bytes(2, "big") + a.COOKIE + ID
    message = parse_stun(head + body)
    assert message.unknown == tuple(range(0x4000, 0x5F00))
    assert len(error_response(message, 420).write()) < len(head + body)


@pytest.mark.parametrize(
    "attribute",
    [
        "0020000800030000c0000201",  # no address family
        "002000070001000000000000",
        "000600020000ffff"[:8] + "ff000000",
        "0006000180000000",  # no UTF-8
        "000900040000020a",  # error class 2
        "0009000400000464",  # error number 100
        "0009000000000000",
        "0024000200010000",
        "0008000400000000",
        "001c000c" + "00" * 12,
        "001d0004000200ff",
        "80020003000200ff",
        "0017000403000000",
        "8004000400000000",
    ],
)
def test_an_attribute_of_a_wrong_form_is_a_malformed_message(attribute: str) -> None:
    body = bytes.fromhex(attribute)
    with pytest.raises(RemoteError):
        parse_stun(bytes.fromhex("0001") + len(body).to_bytes(2, "big") + a.COOKIE + ID + body)


def test_a_method_that_nobody_knows_is_discarded() -> None:
    with pytest.raises(RemoteError):
        parse_stun(bytes.fromhex("00020000") + a.COOKIE + ID)
