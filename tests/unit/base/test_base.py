"""The words everyone shares."""

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segue.base.address import Address, source_key
from segue.base.cursor import Cursor
from segue.base.entropy import fraction, number, token
from segue.base.errors import LocalError, RemoteError
from segue.base.keying import Suite
from segue.base.machine import earliest
from segue.base.secret import Secret
from segue.base.trace import MemoryTrace
from segue.testing import ManualClock, SeededEntropy


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("192.0.2.1:5060", "192.0.2.1", 5060),
        ("[2001:db8::1]:5061", "2001:db8::1", 5061),
        ("[2001:DB8:0::1]", "2001:db8::1", 7),
        ("2001:db8::1", "2001:db8::1", 7),
        ("192.0.2.1", "192.0.2.1", 7),
    ],
)
def test_an_address_is_read_as_people_write_it(text: str, host: str, port: int) -> None:
    assert Address.parse(text, default_port=7) == Address(host, port)


@pytest.mark.parametrize(
    "text",
    ["", "phone.example.org:5060", "192.0.2.1:x", "192.0.2.1:99999", "[2001:db8::1]5060", "1.2.3.4:-1"],
)
def test_anything_else_is_refused_with_a_remedy(text: str) -> None:
    with pytest.raises(LocalError) as refused:
        Address.parse(text, default_port=7)
    assert refused.value.remedy


def test_a_missing_port_needs_a_default() -> None:
    with pytest.raises(LocalError):
        Address.parse("192.0.2.1")


def test_an_address_prints_as_it_is_read() -> None:
    for text in ("192.0.2.1:5060", "[2001:db8::1]:5061"):
        assert str(Address.parse(text)) == text


def test_an_ipv6_host_cannot_choose_among_its_addresses() -> None:
    assert source_key("2001:db8::1") == source_key("2001:db8::ffff:2") != source_key("2001:db8:0:1::1")
    assert source_key("192.0.2.1") != source_key("192.0.2.2")


@given(
    st.binary(max_size=40), st.lists(st.sampled_from(["u8", "u16", "u24", "u32", "u64", "rest"]), max_size=12)
)
def test_a_cursor_never_reads_past_the_end(data: bytes, reads: list[str]) -> None:
    cursor = Cursor(data)
    try:
        for read in reads:
            getattr(cursor, read)()
    except RemoteError:
        pass
    assert 0 <= cursor.position <= len(data)


def test_a_cursor_reads_big_endian() -> None:
    cursor = Cursor(bytes(range(1, 19)))
    assert (cursor.u8(), cursor.u16(), cursor.u24(), cursor.u32()) == (1, 0x0203, 0x040506, 0x0708090A)
    assert cursor.u64() == 0x0B0C0D0E0F101112
    with pytest.raises(RemoteError):
        cursor.take(-1)


def test_a_secret_does_not_print_and_is_not_pickled() -> None:
    secret = Secret("hunter2")
    assert "hunter2" not in f"{secret} {secret!r} {[secret]}"
    assert secret.reveal() == b"hunter2"
    assert secret == Secret(b"hunter2") != Secret(b"hunter3")
    with pytest.raises(TypeError):
        pickle.dumps(secret)


def test_the_trace_counts_drops_and_stays_bounded() -> None:
    trace = MemoryTrace(limit=100)
    for _ in range(1000):
        trace.drop("srtp", "replayed", ssrc=1)
    assert trace.drops["srtp", "replayed"] == 1000
    assert len(trace.records) <= 100


def test_seeded_dice_repeat_and_cover_their_range() -> None:
    first, second = SeededEntropy(7), SeededEntropy(7)
    assert [token(first) for _ in range(5)] == [token(second) for _ in range(5)]
    assert token(SeededEntropy(8)) != token(SeededEntropy(7))
    dice = SeededEntropy(1)
    assert {number(dice, 6) for _ in range(200)} == set(range(6))
    assert all(0 <= fraction(dice) < 1 for _ in range(200))


def test_the_manual_clock_moves_only_when_told() -> None:
    clock = ManualClock(now=5.0, wall=10.0)
    assert clock.advance(2.5) == clock.now() == 7.5
    assert clock.wall() == 12.5


def test_key_lengths_are_those_of_the_rfcs() -> None:
    assert (Suite.AES_CM_128_HMAC_SHA1_80.key_length, Suite.AES_CM_128_HMAC_SHA1_80.salt_length) == (16, 14)
    assert (Suite.AES_256_CM_HMAC_SHA1_32.key_length, Suite.AES_256_CM_HMAC_SHA1_32.salt_length) == (32, 14)
    assert (Suite.AEAD_AES_128_GCM.key_length, Suite.AEAD_AES_256_GCM.salt_length) == (16, 12)


def test_the_earliest_deadline() -> None:
    assert earliest(None, 3.0, 2.0) == 2.0
    assert earliest(None) is None
