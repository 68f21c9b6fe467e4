"""What is known of a source: RFC 3550 appendices A.1, A.3, A.8."""

from __future__ import annotations

from itertools import islice

import pytest

from segue.protocols.rtp.packet import RtpPacket
from segue.protocols.rtp.receiver import MAX_DROPOUT, MAX_MISORDER, RtpSource


def packet(sequence: int, timestamp: int | None = None) -> RtpPacket:
    return RtpPacket(
        0, False, sequence & 0xFFFF, (sequence * 160 if timestamp is None else timestamp), 7, b""
    )


def fed(source: RtpSource, sequences: list[int]) -> list[int | None]:
    return [source.receive(packet(sequence), sequence * 0.02) for sequence in sequences]


def test_extended_sequence_over_two_wraps() -> None:
    source = RtpSource(7, 8000)
    sequences = list(range(65000, 65536 * 2 + 500, 50))
    assert fed(source, sequences) == sequences
    assert source.extended_sequence == sequences[-1]
    assert source.lost == source.expected - len(sequences)


def test_reordering_over_the_wrap() -> None:
    source = RtpSource(7, 8000)
    sequences = [65530, 65537, 65534, 65536, 65535, 65538, 65531]
    assert fed(source, sequences) == sequences
    assert (source.lost, source.received) == (2, 7)


def test_older_than_the_first() -> None:
    source = RtpSource(7, 8000)
    assert fed(source, [100, 99, 101]) == [100, 99, 101]
    assert (source.expected, source.lost) == (3, 0)


def test_below_zero_there_is_nothing() -> None:
    source = RtpSource(7, 8000)
    assert fed(source, [0, 65535, 1]) == [0, None, 1]


def test_second_copies_count_for_nothing() -> None:
    source = RtpSource(7, 8000)
    assert fed(source, [10, 10, 11, 12, 11, 10]) == [10, None, 11, 12, None, None]
    assert (source.received, source.duplicates, source.lost) == (3, 3, 0)
    assert source.report_block().fraction_lost == 0


def test_a_copy_of_every_packet_changes_no_report() -> None:
    single, double = RtpSource(7, 8000), RtpSource(7, 8000)
    for sequence in (n for n in range(500) if n % 10):
        single.receive(packet(sequence), sequence * 0.02)
        double.receive(packet(sequence), sequence * 0.02)
        double.receive(packet(sequence), sequence * 0.02 + 0.015)
    assert single.report_block() == double.report_block()
    assert single.lost == 49


def test_what_was_sent_again_after_an_outage_is_taken() -> None:
    source = RtpSource(7, 8000)
    fed(source, list(range(100)))
    assert source.receive(packet(1100), 22.0) == 1100
    assert source.lost == 1000
    assert fed(source, list(range(101, 1100))) == list(range(101, 1100))
    assert source.lost == 1
    assert source.receive(packet(1100 - MAX_MISORDER), 30.0) is None


def test_an_outage_that_is_made_good_changes_no_report_but_for_its_time() -> None:
    """Two seconds do not get through; then come the newest and twice as many old ones, each on two paths."""
    repaired, undisturbed = RtpSource(7, 8000), RtpSource(7, 8000)
    first = 65_400  # over the wrap
    for number in range(first, first + 500):
        undisturbed.receive(packet(number), number * 0.02 + 0.04)
    for number in range(first, first + 100):
        repaired.receive(packet(number), number * 0.02 + 0.04)
    during = repaired.report_block()
    late = iter(range(first + 100, first + 200))
    for number in range(first + 200, first + 500):
        now = number * 0.02 + 0.04
        for arrived in [number, *islice(late, 2)]:
            assert repaired.receive(packet(arrived), now) == arrived
            assert repaired.receive(packet(arrived), now + 0.007) is None
        assert repaired.extended_sequence == number
    assert repaired.duplicates == 400
    assert during.fraction_lost == 0
    assert repaired.report_block() == undisturbed.report_block()
    assert repaired.jitter < 1e-6


def test_packets_that_are_only_reordered_count_in_the_jitter() -> None:
    """RFC 3550 section 6.4.1: in the order of arrival, not of sequence."""
    source = RtpSource(7, 8000)
    source.receive(packet(1), 0.02)
    source.receive(packet(3), 0.06)
    source.receive(packet(2), 0.07)
    assert source.jitter == pytest.approx(240 / 16)


def test_a_jump_is_believed_when_the_next_packet_confirms_it() -> None:
    source = RtpSource(7, 8000)
    fed(source, [10, 11])
    far = 12 + MAX_DROPOUT
    assert source.receive(packet(far), 1.0) is None
    assert source.receive(packet(12), 1.0) == 12
    assert source.receive(packet(30000), 1.0) is None
    assert source.receive(packet(30001), 1.0) == 0x10000 + 30001
    assert source.lost == 0


def test_probation() -> None:
    source = RtpSource(7, 8000, probation=2)
    assert fed(source, [5, 9, 10, 11]) == [None, None, 10, 11]
    assert (source.received, source.expected) == (2, 2)


def test_fraction_lost_is_that_of_the_interval() -> None:
    source = RtpSource(7, 8000)
    fed(source, [n for n in range(100) if n % 4])
    block = source.report_block()
    assert block.lost == 24  # sequence number 0 was never missed: the first one seen was 1
    assert block.fraction_lost == 24 * 256 // 99
    fed(source, list(range(100, 200)))
    block = source.report_block()
    assert (block.lost, block.fraction_lost) == (24, 0)


def test_more_came_than_was_expected() -> None:
    source = RtpSource(7, 8000)
    fed(source, [10, 12])
    assert source.report_block().lost == 1
    fed(source, [11])
    block = source.report_block()
    assert (block.lost, block.fraction_lost) == (0, 0)


def test_no_jitter_when_packets_keep_time_over_the_timestamp_wrap() -> None:
    source = RtpSource(7, 8000)
    for n in range(100):
        source.receive(packet(n, (0xFFFFFF00 + n * 160) & 0xFFFFFFFF), n * 0.02)
    assert source.jitter == pytest.approx(0, abs=1e-3)


def test_jitter_of_alternating_delay() -> None:
    source = RtpSource(7, 8000)
    for n in range(400):
        source.receive(packet(n), n * 0.02 + (n % 2) * 0.005)
    assert source.jitter == pytest.approx(40, rel=0.01)  # 5 ms at 8 kHz
    assert source.report_block().jitter in {39, 40}


def test_repeated_timestamps_are_no_jitter() -> None:
    source = RtpSource(7, 8000)
    for n in range(10):
        source.receive(packet(n, 1600), n * 0.02)
    assert source.jitter == 0


def test_change_of_clock_rate() -> None:
    source = RtpSource(7, 8000)
    for n in range(400):
        source.receive(packet(n), n * 0.02 + (n % 2) * 0.005)
    source.change_clock_rate(48000)
    assert source.jitter == pytest.approx(240, rel=0.01)
    source.receive(packet(400, 5), 8.0)
    assert source.jitter == pytest.approx(240, rel=0.01)
