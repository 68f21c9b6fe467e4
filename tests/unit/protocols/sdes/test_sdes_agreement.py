"""SDES over the life of a call: offers, answers, moves, and keys that must not come twice."""

from __future__ import annotations

import tracemalloc

import pytest

from segue.base.errors import RemoteError
from segue.base.keying import (
    Assurance,
    Attribute,
    KeyAgreement,
    KeysReady,
    MasterKey,
    SrtpKeys,
    Suite,
    VerificationChanged,
)
from segue.base.secret import Secret
from segue.base.trace import MemoryTrace
from segue.protocols.sdes import DEFAULT_SUITES, KeyMemory, SdesAgreement, parse_crypto
from segue.testing import SeededEntropy

KEY = "d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj"


class Phone:
    """What two calls of one phone share."""

    def __init__(self, name: str) -> None:
        self.entropy = SeededEntropy(name)
        self.memory = KeyMemory()

    def call(self, *suites: Suite) -> SdesAgreement:
        return SdesAgreement(self.entropy, self.memory, suites or DEFAULT_SUITES)


def crypto(*values: str) -> list[Attribute]:
    return [Attribute("crypto", value) for value in values]


def keys_of(agreement: KeyAgreement) -> SrtpKeys | None:
    """The keys of the newest event, if there was one."""
    ready = [event.keys for event in agreement.events() if isinstance(event, KeysReady)]
    return ready[-1] if ready else None


def mirrored(keys: SrtpKeys | None) -> SrtpKeys | None:
    return SrtpKeys(keys.suite, keys.remote, keys.local) if keys else None


def connect(a: SdesAgreement, b: SdesAgreement) -> tuple[SrtpKeys, SrtpKeys]:
    a.receive_answer(b.receive_offer(a.offer(0.0), 0.0), 0.0)
    first, second = keys_of(a), keys_of(b)
    assert first is not None
    assert second is not None
    assert first == mirrored(second)
    return first, second


@pytest.fixture
def alice() -> Phone:
    return Phone("alice")


@pytest.fixture
def bob() -> Phone:
    return Phone("bob")


def test_offer_and_answer_give_both_ends_the_same_keys(alice: Phone, bob: Phone) -> None:
    keys, _ = connect(alice.call(), bob.call())
    assert keys.suite is Suite.AEAD_AES_256_GCM
    assert keys.local != keys.remote


def test_suites_are_offered_in_the_configured_order_with_a_key_each(alice: Phone) -> None:
    offered = [parse_crypto(a.value) for a in alice.call().offer(0.0)]
    assert [attribute.known_suite for attribute in offered] == list(DEFAULT_SUITES)
    assert len({attribute.tag for attribute in offered}) == 5
    assert len({attribute.keys[0].key_and_salt for attribute in offered}) == 5


def test_the_first_acceptable_suite_of_the_offer_wins_and_its_tag_is_echoed(alice: Phone, bob: Phone) -> None:
    narrow = bob.call(Suite.AES_CM_128_HMAC_SHA1_32, Suite.AES_CM_128_HMAC_SHA1_80)
    (answer,) = narrow.receive_offer(alice.call().offer(0.0), 0.0)
    attribute = parse_crypto(answer.value)
    assert (attribute.tag, attribute.known_suite) == (4, Suite.AES_CM_128_HMAC_SHA1_80)


def test_keys_passed_in_signalling_are_protected_hop_by_hop_only(alice: Phone, bob: Phone) -> None:
    answerer = bob.call()
    answerer.receive_offer(alice.call().offer(0.0), 0.0)
    (verification,) = [e.verification for e in answerer.events() if isinstance(e, VerificationChanged)]
    assert verification.assurance is Assurance.HOP_BY_HOP
    assert verification.method == "sdes"
    assert verification.peer == ""


def test_two_calls_never_share_a_key(alice: Phone, bob: Phone) -> None:
    first, _ = connect(alice.call(), bob.call())
    second, _ = connect(alice.call(), bob.call())
    assert len({first.local.key, first.remote.key, second.local.key, second.remote.key}) == 4


def test_a_reoffer_keeps_keys_and_says_nothing(alice: Phone, bob: Phone) -> None:
    a, b = alice.call(), bob.call()
    connect(a, b)
    b.receive_answer(a.receive_offer(b.offer(1.0), 1.0), 1.0)
    assert keys_of(a) is None
    assert keys_of(b) is None


def test_reoffers_that_change_nothing_are_the_same_text(alice: Phone, bob: Phone) -> None:
    a, b = alice.call(), bob.call()
    connect(a, b)
    assert a.offer(1.0) == a.offer(2.0)
    assert (
        a.offer(3.0)[0].value.split()[1] == a.offer(4.0, moved=True)[0].value.split()[1] == "AEAD_AES_256_GCM"
    )


def test_first_offers_never_repeat_a_key(alice: Phone) -> None:
    a = alice.call()
    lines = a.offer(0.0) + a.offer(1.0)
    assert len({line.value.split()[2] for line in lines}) == 10


def test_a_suite_comes_back_with_another_key(alice: Phone, bob: Phone) -> None:
    a, b = alice.call(), bob.call()
    first, _ = connect(a, b)
    narrow = [line for line in a.offer(1.0) if "AES_CM_128_HMAC_SHA1_80" in line.value]
    a.receive_answer(b.receive_offer(narrow, 1.0), 1.0)
    second = keys_of(a)
    assert second is not None
    assert second == mirrored(keys_of(b))
    wide = [line for line in a.offer(2.0) if "AEAD_AES_256_GCM" in line.value]
    a.receive_answer(b.receive_offer(wide, 2.0), 2.0)
    third = keys_of(a)
    assert third is not None
    assert third == mirrored(keys_of(b))
    used = [first.local, first.remote, second.local, second.remote, third.local, third.remote]
    assert len({key.key for key in used}) == 6


def test_a_moving_offer_brings_a_new_key_of_its_own_and_keeps_the_other(alice: Phone, bob: Phone) -> None:
    """RFC 4568 section 7.1.4."""
    a, b = alice.call(), bob.call()
    before, _ = connect(a, b)
    a.receive_answer(b.receive_offer(a.offer(1.0, moved=True), 1.0), 1.0)
    after = keys_of(a)
    assert after is not None
    assert after == mirrored(keys_of(b))
    assert after.local != before.local
    assert after.remote == before.remote
    assert after.suite is before.suite


def test_a_moving_answer_brings_a_new_key(alice: Phone, bob: Phone) -> None:
    a, b = alice.call(), bob.call()
    before, _ = connect(a, b)
    a.receive_answer(b.receive_offer(a.offer(1.0), 1.0, moved=True), 1.0)
    after = keys_of(a)
    assert after is not None
    assert after == mirrored(keys_of(b))
    assert (after.local, after.remote != before.remote) == (before.local, True)


def test_a_refused_moving_offer_leaves_the_old_keys(alice: Phone, bob: Phone) -> None:
    a, b = alice.call(), bob.call()
    before, _ = connect(a, b)
    a.offer(1.0, moved=True)  # refused: no answer comes
    a.receive_answer(b.receive_offer(a.offer(2.0), 2.0), 2.0)
    assert keys_of(a) is None  # nothing new: what was agreed first still holds
    a.receive_answer(b.receive_offer(a.offer(3.0, moved=True), 3.0), 3.0)
    after = keys_of(a)
    assert after is not None
    assert after.local != before.local


def test_a_key_of_another_call_is_refused(alice: Phone, bob: Phone) -> None:
    offer = alice.call().offer(0.0)
    bob.call().receive_offer(offer, 0.0)
    second = bob.call()
    with pytest.raises(RemoteError, match="used before") as caught:
        second.receive_offer(offer, 1.0)
    assert caught.value.status == 488
    assert second.events() == []


def test_a_key_of_another_call_is_refused_under_another_suite_too(bob: Phone) -> None:
    bob.call().receive_offer(crypto(f"1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}"), 0.0)
    with pytest.raises(RemoteError, match="used before"):
        bob.call().receive_offer(crypto(f"1 AES_CM_128_HMAC_SHA1_32 inline:{KEY}|2^31"), 0.0)


def test_the_same_call_may_repeat_its_key(alice: Phone, bob: Phone) -> None:
    offer = alice.call().offer(0.0)
    call = bob.call()
    assert call.receive_offer(offer, 0.0) == call.receive_offer(offer, 1.0)


def test_our_own_key_reflected_is_refused_in_the_answer(alice: Phone) -> None:
    a = alice.call()
    offer = a.offer(0.0)
    with pytest.raises(RemoteError, match="used before") as caught:
        a.receive_answer(offer[:1], 0.0)
    assert caught.value.status == 488


def test_our_own_key_reflected_is_refused_in_an_offer(alice: Phone) -> None:
    offer = alice.call().offer(0.0)
    with pytest.raises(RemoteError, match="used before"):
        alice.call().receive_offer(offer, 0.0)


def test_the_memory_of_keys_is_bounded() -> None:
    memory = KeyMemory(limit=10)
    keys = [MasterKey(Secret(bytes([n]) * 16), Secret(bytes(14))) for n in range(100)]
    for key in keys:
        memory.remember(key, "someone")
    assert len(memory) == 10
    assert memory.belongs_elsewhere(keys[99], "another")
    assert not memory.belongs_elsewhere(keys[0], "another")


def test_a_flood_of_calls_fills_little_memory_and_14000_of_them_make_nothing_forgotten() -> None:
    memory = KeyMemory()
    first = MasterKey(Secret(bytes(16)), Secret(bytes(14)))
    memory.remember(first, object())
    tracemalloc.start()
    try:
        for n in range(1, 120_000):
            memory.remember(MasterKey(Secret(n.to_bytes(16, "big")), Secret(b"")), object())
            assert n != 14_000 * 7 or memory.belongs_elsewhere(first, object())
        taken = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert taken < 16 << 20
    assert not memory.belongs_elsewhere(first, object())


def test_a_key_in_use_is_not_forgotten_for_newer_ones() -> None:
    memory = KeyMemory(limit=10)
    used = MasterKey(Secret(bytes(16)), Secret(bytes(14)))
    for n in range(1, 100):
        memory.remember(used, "call")
        memory.remember(MasterKey(Secret(bytes([n]) * 16), Secret(bytes(14))), "others")
    assert memory.belongs_elsewhere(used, "another")


@pytest.mark.parametrize(
    "values",
    [
        pytest.param([], id="no encryption"),
        pytest.param([f"1 F8_128_HMAC_SHA1_80 inline:{KEY}"], id="unknown suite"),
        pytest.param([f"1 NULL_HMAC_SHA1_80 inline:{KEY}"], id="no cipher"),
        pytest.param([f"1 AES_CM_128_HMAC_SHA1_80 inline:{KEY} UNENCRYPTED_SRTP"], id="clear SRTP"),
        pytest.param([f"1 AES_CM_128_HMAC_SHA1_80 inline:{KEY} UNENCRYPTED_SRTCP"], id="clear SRTCP"),
        pytest.param(
            [f"1 AES_CM_128_HMAC_SHA1_80 inline:{KEY} UNAUTHENTICATED_SRTP"], id="no authentication"
        ),
        pytest.param([f"1 AES_CM_128_HMAC_SHA1_80 inline:{KEY} KDR=10"], id="KDR"),
        pytest.param([f"1 AES_CM_128_HMAC_SHA1_80 inline:{KEY} FEC_KEY=inline:{KEY}"], id="FEC key"),
        pytest.param([f"1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}|1:4;inline:{KEY[4:]}AAAA|2:4"], id="two keys"),
        pytest.param([f"1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}|1000"], id="a key for 20 seconds"),
        pytest.param(["garbage"], id="garbage"),
        pytest.param([f"1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}"] * 2, id="one tag twice"),
    ],
)
def test_offers_that_cannot_be_accepted_get_488_and_change_nothing(bob: Phone, values: list[str]) -> None:
    call = bob.call()
    with pytest.raises(RemoteError) as caught:
        call.receive_offer(crypto(*values), 0.0)
    assert caught.value.status == 488
    assert call.events() == []
    assert len(bob.memory) == 0


def test_a_bad_attribute_does_not_spoil_a_good_one_and_is_traced(bob: Phone) -> None:
    trace = MemoryTrace()
    call = SdesAgreement(bob.entropy, bob.memory, trace=trace)
    good = f"3 AES_CM_128_HMAC_SHA1_80 inline:{KEY} FEC_ORDER=FEC_SRTP WSH=256 KDR=0 -NEW"
    offer = crypto("1 nonsense", f"2 AES_CM_128_HMAC_SHA1_80 inline:{KEY} UNENCRYPTED_SRTP", good)
    (answer,) = call.receive_offer(offer, 0.0)
    assert parse_crypto(answer.value).tag == 3
    assert trace.drops == {
        ("sdes", "invalid crypto attribute"): 1,
        ("sdes", "crypto attribute against policy"): 1,
    }
    assert KEY not in str(trace.records)


def test_crypto_on_session_level_does_not_count(bob: Phone) -> None:
    """RFC 4568 section 4: media level only."""
    with pytest.raises(RemoteError, match="no encryption"):
        bob.call().receive_offer(
            [Attribute("crypto", f"1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}", session_level=True)], 0.0
        )


def test_the_suite_is_answered_in_the_spelling_of_the_offer(bob: Phone) -> None:
    key = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJygpKissLQ=="
    (answer,) = bob.call().receive_offer(crypto(f"3 AES_CM_256_HMAC_SHA1_80 inline:{key}"), 0.0)
    assert answer.value.startswith("3 AES_CM_256_HMAC_SHA1_80 inline:")


def test_mki_and_lifetime_of_the_peer_go_with_its_key_only(bob: Phone) -> None:
    call = bob.call()
    (answer,) = call.receive_offer(crypto(f"1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}|2^31|1:4"), 0.0)
    keys = keys_of(call)
    assert keys is not None
    assert (keys.remote.mki, keys.remote.lifetime) == (b"\0\0\0\1", 1 << 31)
    assert (keys.local.mki, "|" in answer.value) == (b"", False)


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(f"9 AES_CM_128_HMAC_SHA1_80 inline:{KEY}", id="tag not offered"),
        pytest.param(f"1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}", id="suite of another tag"),
        pytest.param(f"5 AES_CM_128_HMAC_SHA1_32 inline:{KEY} UNENCRYPTED_SRTP", id="weakened"),
        pytest.param("", id="no key"),
    ],
)
def test_answers_that_do_not_accept_what_was_offered_fail(alice: Phone, answer: str) -> None:
    a = alice.call()
    a.offer(0.0)
    with pytest.raises(RemoteError) as caught:
        a.receive_answer(crypto(answer), 0.0)
    assert caught.value.status == 488
    assert a.events() == []


def test_answers_of_two_forks_are_taken_one_after_the_other(alice: Phone, bob: Phone) -> None:
    carol = Phone("carol")
    a, b, c = alice.call(), bob.call(), carol.call(Suite.AES_CM_128_HMAC_SHA1_80)
    offer = a.offer(0.0)
    a.receive_answer(b.receive_offer(offer, 0.0), 0.0)
    assert keys_of(a) == mirrored(keys_of(b))
    a.receive_answer(c.receive_offer(offer, 0.0), 0.1)
    assert keys_of(a) == mirrored(keys_of(c))


def test_the_example_of_section_7_1_5(alice: Phone) -> None:
    offer = crypto(
        "1 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz|2^20|1:4 "
        "FEC_ORDER=FEC_SRTP",
        "2 F8_128_HMAC_SHA1_80 inline:MTIzNDU2Nzg5QUJDREUwMTIzNDU2Nzg5QUJjZGVm|2^20|1:4;"
        "inline:QUJjZGVmMTIzNDU2Nzg5QUJDREUwMTIzNDU2Nzg5|2^20|2:4 FEC_ORDER=FEC_SRTP",
    )
    (answer,) = alice.call().receive_offer(offer, 0.0)
    assert answer.value.startswith("1 AES_CM_128_HMAC_SHA1_80 inline:")


def test_nothing_happens_on_the_media_path(alice: Phone) -> None:
    a = alice.call()
    a.receive(b"\x16\xfe\xfd", None, 0.0)
    a.expire(10.0)
    assert (a.transmits(), a.deadline(), a.events()) == ([], None, [])
