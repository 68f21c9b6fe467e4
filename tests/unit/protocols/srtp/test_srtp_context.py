"""SRTP contexts: replay, forgery, rollover, keys."""

from __future__ import annotations

import pytest

from segue.base.errors import LocalError
from segue.base.keying import MasterKey, Suite
from segue.base.secret import Secret
from segue.base.trace import MemoryTrace
from segue.protocols.rtp.packet import Extension, RtpPacket
from segue.protocols.srtp.context import SrtpReceiver, SrtpSender
from segue.testing.entropy import SeededEntropy

CM80 = Suite.AES_CM_128_HMAC_SHA1_80
SSRC = 0xCAFEBABE


def master(suite: Suite = CM80, seed: int = 1, mki: bytes = b"", lifetime: int = 1 << 48) -> MasterKey:
    entropy = SeededEntropy(seed)
    return MasterKey(
        Secret(entropy.octets(suite.key_length)), Secret(entropy.octets(suite.salt_length)), mki, lifetime
    )


def rtp(sequence: int, ssrc: int = SSRC, payload: bytes = b"voice" * 32) -> bytes:
    return RtpPacket(0, False, sequence & 0xFFFF, sequence * 160 & 0xFFFFFFFF, ssrc, payload).to_bytes()


def rtcp(ssrc: int = SSRC) -> bytes:
    return (
        bytes.fromhex("80c90001")
        + ssrc.to_bytes(4, "big")
        + bytes.fromhex("81ca0003aabbccdd01046e616d650000")
    )


def pair(suite: Suite = CM80, **options: object) -> tuple[SrtpSender, SrtpReceiver, MemoryTrace]:
    trace = MemoryTrace()
    return (
        SrtpSender(suite, master(suite)),
        SrtpReceiver(suite, [master(suite)], trace=trace, **options),  # type: ignore[arg-type]
        trace,
    )


@pytest.mark.parametrize("suite", Suite)
@pytest.mark.parametrize("mki", [b"", b"\x00\x07"])
def test_round_trip_over_the_wrap(suite: Suite, mki: bytes) -> None:
    sender = SrtpSender(suite, master(suite, mki=mki))
    receiver = SrtpReceiver(suite, [master(suite, mki=mki)])
    for sequence in range(65500, 65600):
        sealed = sender.protect(rtp(sequence))
        assert b"voice" not in sealed
        assert receiver.unprotect(sealed) == rtp(sequence)
        assert receiver.unprotect_rtcp(sender.protect_rtcp(rtcp())) == rtcp()
    assert sender.rollover_counter(SSRC) == receiver.rollover_counter(SSRC) == 1


@pytest.mark.parametrize("suite", Suite)
def test_lengths_of_tags(suite: Suite) -> None:
    sender = SrtpSender(suite, master(suite))
    tag = 16 if suite.value.startswith("AEAD") else 4 if suite.value.endswith("_32") else 10
    rtcp_tag = 16 if suite.value.startswith("AEAD") else 10  # RFC 4568 section 6.2.2
    assert len(sender.protect(rtp(1))) == len(rtp(1)) + tag
    assert len(sender.protect_rtcp(rtcp())) == len(rtcp()) + 4 + rtcp_tag


@pytest.mark.parametrize("suite", [CM80, Suite.AEAD_AES_128_GCM])
def test_headers_with_csrcs_and_extension_stay_clear(suite: Suite) -> None:
    sender, receiver, _ = pair(suite)
    packet = RtpPacket(
        0, True, 9, 9, SSRC, b"voice" * 9, (1, 2), Extension(0xBEDE, b"\x10\x7f\0\0")
    ).to_bytes()
    sealed = sender.protect(packet)
    assert sealed[:28] == packet[:28] and b"voice" not in sealed
    assert receiver.unprotect(sealed) == packet


@pytest.mark.parametrize("suite", Suite)
def test_replays_are_refused(suite: Suite) -> None:
    sender, receiver, trace = pair(suite)
    sealed = [sender.protect(rtp(sequence)) for sequence in range(65000, 66000)]
    assert all(receiver.unprotect(packet) for packet in sealed)
    assert not any(receiver.unprotect(packet) for packet in sealed)
    assert trace.drops == {("srtp", "replayed"): 1000}


@pytest.mark.parametrize("suite", Suite)
def test_forged_packets_are_refused_and_change_nothing(suite: Suite) -> None:
    sender, receiver, trace = pair(suite)
    assert receiver.unprotect(sender.protect(rtp(65530)))
    genuine = [sender.protect(rtp(sequence)) for sequence in (65531, 65540)]
    for forged_sequence in (65531, 5, 30000, 32768, 64000, 65535):
        forged = bytearray(genuine[0])
        forged[2:4] = forged_sequence.to_bytes(2, "big")
        forged[-1] ^= 1
        assert receiver.unprotect(bytes(forged)) is None
    for position in (0, 1, 5, 9, 12, 40, len(genuine[0]) - 1):
        forged = bytearray(genuine[0])
        forged[position] ^= 0x01
        assert receiver.unprotect(bytes(forged)) is None
    assert receiver.rollover_counter(SSRC) == 0
    assert receiver.rollover_counter(SSRC ^ 0x01000000) is None
    assert set(trace.drops) <= {("srtp", "not authentic"), ("srtp", "too old"), ("srtp", "too short")}
    assert [receiver.unprotect(packet) for packet in genuine] == [rtp(65531), rtp(65540)]


def test_reordering_within_the_window_over_the_wrap() -> None:
    sender, receiver, trace = pair()
    sealed = {sequence: sender.protect(rtp(sequence)) for sequence in range(65500, 65600)}
    order = sorted(sealed, key=lambda sequence: (sequence * 37) % 100)
    first = order.index(min(order[:3]))
    order.insert(0, order.pop(first))
    assert order != sorted(order)
    assert [receiver.unprotect(sealed[sequence]) for sequence in order] == [rtp(each) for each in order]
    assert receiver.rollover_counter(SSRC) == 1
    assert not trace.drops


def test_window_is_as_wide_as_asked() -> None:
    for window in (64, 1000, 1024, 32767):
        sender, receiver, trace = pair(window=window)
        sealed = [sender.protect(rtp(sequence)) for sequence in range(60000, 60002 + window)]
        assert receiver.unprotect(sealed[0])
        assert receiver.unprotect(sealed[3])
        assert receiver.unprotect(sealed[-1])
        assert receiver.unprotect(sealed[1]) is None
        assert receiver.unprotect(sealed[2]) == rtp(60002)
        assert receiver.unprotect(sealed[2]) is None
        assert trace.drops == {("srtp", "too old"): 1, ("srtp", "replayed"): 1}


def test_window_out_of_range_is_the_users_fault() -> None:
    for window in (63, 32769):
        with pytest.raises(LocalError):
            SrtpReceiver(CM80, [master()], window=window)


def test_key_of_a_wrong_length_is_the_users_fault() -> None:
    with pytest.raises(LocalError):
        SrtpSender(Suite.AES_256_CM_HMAC_SHA1_80, master(CM80))


def test_an_outage_over_the_wrap() -> None:
    sender, receiver, _ = pair()
    sealed = [sender.protect(rtp(sequence)) for sequence in range(50000, 80000)]
    assert receiver.unprotect(sealed[0])
    assert receiver.unprotect(sealed[-1]) == rtp(79999)
    assert receiver.rollover_counter(SSRC) == 1


def test_beginning_lost_up_to_the_first_wrap() -> None:
    sender, receiver, _ = pair()
    sealed = [sender.protect(rtp(sequence)) for sequence in range(65500, 65600)]
    assert receiver.unprotect(sealed[60]) == rtp(65560)
    assert receiver.unprotect(sealed[30]) == rtp(65530)
    assert receiver.rollover_counter(SSRC) == 1


def test_many_sources_share_a_key_and_an_unknown_one_costs_nothing() -> None:
    sender, receiver, _ = pair(limit=4)
    sealed = [sender.protect(rtp(7, ssrc)) for ssrc in range(10)]
    assert [receiver.unprotect(packet) for packet in sealed] == [rtp(7, ssrc) for ssrc in range(10)]
    assert [receiver.rollover_counter(ssrc) for ssrc in range(10)] == [None] * 6 + [0] * 4
    assert not any(receiver.unprotect(packet) for packet in sealed)  # given up, but not forgotten
    assert receiver.unprotect(sender.protect(rtp(8, 0))) == rtp(8, 0)
    assert receiver.unprotect(sealed[0]) is None
    for ssrc in range(1000, 1100):
        forged = rtp(1, ssrc) + bytes(10)
        assert receiver.unprotect(forged) is None
    assert receiver.rollover_counter(9) == 0


def successor(sender: SrtpSender, key: MasterKey, sequence: int, *, keep_rollover: bool = True) -> SrtpSender:
    """The sender of the next key; whether its rollover counter goes on (RFC 3711 section 3.3.1) is agreed upon."""
    after = SrtpSender(sender.suite, key)
    if keep_rollover:
        after.begin_at(SSRC, sequence >> 16)
    after.take_over(sender, SSRC, sequence & 0xFFFF)
    return after


@pytest.mark.parametrize("keep_rollover", [True, False])
@pytest.mark.parametrize("mki", [b"", b"\x01"])
def test_change_of_key(keep_rollover: bool, mki: bytes) -> None:
    sender = SrtpSender(CM80, master(mki=mki))
    receiver = SrtpReceiver(CM80, [master(mki=mki)])
    old = [sender.protect(rtp(sequence)) for sequence in range(65500, 65600)]
    assert all(receiver.unprotect(packet) for packet in old[:-3])
    new = master(seed=2, mki=b"\x02" if mki else b"")
    receiver.add_key(new)
    assert receiver.unprotect(old[-3])
    sender = successor(sender, new, 65600, keep_rollover=keep_rollover)
    assert receiver.unprotect(sender.protect(rtp(65600))) == rtp(65600)
    assert receiver.unprotect(old[-2]) == rtp(65598)  # still under way
    assert receiver.unprotect(old[-2]) is None
    assert receiver.rollover_counter(SSRC) == sender.rollover_counter(SSRC) == (1 if keep_rollover else 0)
    receiver.retire_old()
    assert receiver.unprotect(old[-1]) is None
    assert receiver.unprotect(sender.protect(rtp(65601))) == rtp(65601)


def test_rollover_counter_outlives_a_key_that_was_retired_before_the_new_one_was_used() -> None:
    sender, receiver, _ = pair()
    for end in (sender, receiver):
        end.begin_at(SSRC, 4)
    for sequence in range(65530, 65540):
        assert receiver.unprotect(sender.protect(rtp(sequence)))
    receiver.add_key(master(seed=2))
    receiver.retire_old()
    sender = successor(sender, master(seed=2), 5 << 16 | 4)
    assert receiver.unprotect(sender.protect(rtp(65540))) == rtp(65540)
    assert receiver.rollover_counter(SSRC) == 5


def test_the_same_key_again_changes_nothing() -> None:
    sender, receiver, _ = pair()
    sealed = sender.protect(rtp(1))
    assert receiver.unprotect(sealed)
    receiver.add_key(master())
    receiver.retire_old()
    assert receiver.unprotect(sealed) is None
    assert receiver.unprotect(sender.protect(rtp(2)))


def test_unknown_mki() -> None:
    trace = MemoryTrace()
    receiver = SrtpReceiver(CM80, [master(mki=b"\x01")], trace=trace)
    sender = SrtpSender(CM80, master(mki=b"\x02"))
    assert receiver.unprotect(sender.protect(rtp(1))) is None
    assert receiver.unprotect_rtcp(sender.protect_rtcp(rtcp())) is None
    assert trace.drops == {("srtp", "unknown mki"): 1, ("srtcp", "unknown mki"): 1}


@pytest.mark.parametrize("suite", [CM80, Suite.AEAD_AES_256_GCM])
def test_a_changed_mki_is_refused_although_no_tag_covers_it(suite: Suite) -> None:
    trace = MemoryTrace()
    receiver = SrtpReceiver(suite, [master(suite, mki=b"\x01")], trace=trace)
    sender = SrtpSender(suite, master(suite, mki=b"\x01"))
    assert receiver.unprotect(sender.protect(rtp(1)))
    sealed = bytearray(sender.protect(rtp(2)))
    sealed[-1 if suite is Suite.AEAD_AES_256_GCM else -11] ^= 2
    assert receiver.unprotect(bytes(sealed)) is None
    assert trace.drops == {("srtp", "unknown mki"): 1}


@pytest.mark.parametrize("suite", [CM80, Suite.AEAD_AES_256_GCM])
def test_every_short_packet_is_refused(suite: Suite) -> None:
    sender, receiver, _ = pair(suite)
    sealed, control = sender.protect(rtp(1)), sender.protect_rtcp(rtcp())
    for length in range(len(sealed)):
        assert receiver.unprotect(sealed[:length]) is None
    for length in range(len(control)):
        assert receiver.unprotect_rtcp(control[:length]) is None
    assert receiver.unprotect(sealed) and receiver.unprotect_rtcp(control)
    for length in range(len(sealed)):
        assert receiver.unprotect(sealed[:length]) is None


def test_a_source_that_sets_its_rollover_counter_back() -> None:
    sender, receiver, trace = pair()
    before = [sender.protect(rtp(sequence)) for sequence in range(65000, 65800)]
    assert all(receiver.unprotect(packet) for packet in before)
    reset = SrtpSender(CM80, master())
    after = [reset.protect(rtp(sequence)) for sequence in range(264, 270)]
    assert receiver.unprotect(after[0]) is None
    receiver.allow_rollover_reset()
    assert receiver.unprotect(after[1]) == rtp(265)
    assert receiver.rollover_counter(SSRC) == 0
    assert not any(receiver.unprotect(packet) for packet in before + after[:2] if packet != after[0])
    assert receiver.unprotect(after[5])
    assert ("srtp", "replayed") in trace.drops


def test_sequence_numbers_are_not_used_twice() -> None:
    sender, _, _ = pair()
    sender.protect(rtp(10))
    for sequence in (10, 9, 40000):
        with pytest.raises(LocalError):
            sender.protect(rtp(sequence))
    sender.protect(rtp(12))


def test_lifetime_of_a_key() -> None:
    sender = SrtpSender(CM80, master(lifetime=3))
    receiver = SrtpReceiver(CM80, [master(lifetime=2)])
    sealed = [sender.protect(rtp(sequence)) for sequence in (1, 2, 3)]
    with pytest.raises(LocalError, match="key"):
        sender.protect(rtp(4))
    assert sender.packets_left == 0
    assert [receiver.unprotect(packet) is not None for packet in sealed] == [True, True, False]
    for _ in range(3):
        sender.protect_rtcp(rtcp())
    with pytest.raises(LocalError, match="key"):
        sender.protect_rtcp(rtcp())


def test_last_index_of_a_key() -> None:
    sender, receiver, _ = pair()
    sender.begin_at(SSRC, 0xFFFFFFFF)
    receiver.begin_at(SSRC, 0xFFFFFFFF)
    assert receiver.unprotect(sender.protect(rtp(0xFFFE))) == rtp(0xFFFE)
    assert receiver.unprotect(sender.protect(rtp(0xFFFF))) == rtp(0xFFFF)
    with pytest.raises(LocalError):
        sender.protect(rtp(0))
    assert receiver.unprotect(rtp(0) + bytes(10)) is None


@pytest.mark.parametrize("suite", [CM80, Suite.AEAD_AES_128_GCM])
def test_rtcp_replay_forgery_and_clear(suite: Suite) -> None:
    sender, receiver, trace = pair(suite)
    sealed = [sender.protect_rtcp(rtcp()) for _ in range(200)]
    assert receiver.unprotect_rtcp(sealed[1]) == rtcp()
    assert receiver.unprotect_rtcp(sealed[0]) == rtcp()
    assert receiver.unprotect_rtcp(sealed[0]) is None
    assert receiver.unprotect_rtcp(sealed[2][:-1] + bytes([sealed[2][-1] ^ 1])) is None
    assert receiver.unprotect_rtcp(sealed[199]) == rtcp()
    assert receiver.unprotect_rtcp(sealed[2]) is None
    assert set(trace.drops) == {("srtcp", "replayed"), ("srtcp", "not authentic"), ("srtcp", "too old")}
    clear = sender.protect_rtcp(rtcp(), encrypt=False)
    assert clear.startswith(rtcp())
    assert receiver.unprotect_rtcp(clear) is None
    willing = SrtpReceiver(suite, [master(suite)], unencrypted_rtcp=True)
    assert willing.unprotect_rtcp(clear) == rtcp()


def test_rtcp_index_goes_on_under_a_new_key() -> None:
    sender, receiver, _ = pair()
    first = sender.protect_rtcp(rtcp())
    sender = successor(sender, master(seed=2), 0)
    receiver.add_key(master(seed=2))
    second = sender.protect_rtcp(rtcp())
    assert [int.from_bytes(packet[-14:-10], "big") & 0x7FFFFFFF for packet in (first, second)] == [0, 1]
    assert receiver.unprotect_rtcp(second) == receiver.unprotect_rtcp(first) == rtcp()


@pytest.mark.parametrize("away", [1, 40])
def test_a_key_that_comes_back_is_the_newest_again_and_its_replays_stay_refused(away: int) -> None:
    """To a music server and back: the peer's first key again."""
    sender, receiver, trace = pair()
    heard = [sender.protect(rtp(sequence)) for sequence in range(65500, 65550)]
    reports = [sender.protect_rtcp(rtcp()) for _ in range(3)]
    assert all(receiver.unprotect(packet) for packet in heard)
    assert all(receiver.unprotect_rtcp(packet) for packet in reports)
    for number in range(away):  # the first key is retired on the way when there are many
        receiver.add_key(master(seed=2 + number))
    receiver.add_key(master())
    receiver.retire_old()
    assert not any(receiver.unprotect(packet) for packet in heard)
    assert not any(receiver.unprotect_rtcp(packet) for packet in reports)
    assert set(trace.drops) <= {("srtp", "replayed"), ("srtcp", "replayed")}
    assert receiver.unprotect(sender.protect(rtp(65550))) == rtp(65550)
    assert receiver.unprotect_rtcp(sender.protect_rtcp(rtcp())) == rtcp()


def test_a_key_that_comes_back_after_it_was_retired_goes_on_with_its_rollover_counter() -> None:
    sender, receiver, _ = pair()
    heard = [sender.protect(rtp(sequence)) for sequence in range(65500, 65600)]
    assert all(receiver.unprotect(packet) for packet in heard)
    receiver.add_key(master(seed=2))
    receiver.retire_old()
    assert receiver.unprotect(sender.protect(rtp(65600))) is None
    receiver.add_key(master())
    assert not any(receiver.unprotect(packet) for packet in heard)
    assert receiver.unprotect(sender.protect(rtp(65601))) == rtp(65601)
    assert receiver.rollover_counter(SSRC) == 1


def test_keys_of_several_suites_are_accepted_beside_each_other() -> None:
    other = Suite.AEAD_AES_256_GCM
    sender, receiver, trace = pair()
    second = SrtpSender(other, master(other))
    old = [sender.protect(rtp(sequence)) for sequence in range(65530, 65540)]
    assert all(receiver.unprotect(packet) for packet in old[:-1])
    receiver.add_key(master(other), other)
    assert receiver.unprotect(second.protect(rtp(65540))) == rtp(65540)
    assert receiver.unprotect(old[-1]) == rtp(65539)  # still under way
    assert not any(receiver.unprotect(packet) for packet in old)
    assert receiver.unprotect_rtcp(second.protect_rtcp(rtcp())) == rtcp()
    assert set(trace.drops) == {("srtp", "replayed")}


def test_the_next_key_begins_with_a_rollover_counter_of_zero_and_goes_on_with_the_srtcp_index() -> None:
    """RFC 4568 section 7.1.4, RFC 3711 section 3.4."""
    first, second = SrtpSender(CM80, master()), SrtpSender(CM80, master(seed=2))
    for sequence in (65534, 65535):
        first.protect(rtp(sequence))
    first.protect_rtcp(rtcp())
    second.take_over(first, SSRC, 0)
    receiver = SrtpReceiver(CM80, [master(seed=2)])
    assert receiver.unprotect(second.protect(rtp(0))) == rtp(0)
    assert second.rollover_counter(SSRC) == 0
    assert rtcp_index(second.protect_rtcp(rtcp())) == 1


@pytest.mark.parametrize("between", [1, 0x7FFF, 0x8000, 0xFFFE, 0xFFFF, 0x10000])
def test_a_sender_whose_key_comes_back_uses_no_index_twice(between: int) -> None:
    first, second = SrtpSender(CM80, master()), SrtpSender(CM80, master(seed=2))
    first.protect(rtp(7))
    first.protect_rtcp(rtcp())
    second.take_over(first, SSRC, 8)
    second.protect_rtcp(rtcp())
    first.take_over(second, SSRC, 8 + between & 0xFFFF)
    receiver = SrtpReceiver(CM80, [master()])
    receiver.begin_at(SSRC, 8 + between >> 16)
    assert receiver.unprotect(first.protect(rtp(8 + between))) == rtp(8 + between)
    assert rtcp_index(first.protect_rtcp(rtcp())) == 2


def rtcp_index(packet: bytes) -> int:
    """Of an SRTCP packet of CM80."""
    return int.from_bytes(packet[-14:-10], "big") & 0x7FFFFFFF
