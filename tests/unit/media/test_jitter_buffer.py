"""The buffer by itself: 8 kHz clock, packets of 20 ms whose item is their number."""

from collections.abc import Iterable
from itertools import pairwise

import pytest

from segue.emulator.burst_loss import BurstLoss
from segue.emulator.link_model import LinkConfig, LinkModel
from segue.media.jitter_buffer import CAPACITY, JitterBuffer, Missing
from segue.media.speech_policy import SpeechPolicy
from segue.testing import SeededEntropy

PACKET = 0.020
COMPLETE = SpeechPolicy(complete=True, limit=3.0, resent=True)


def play(
    arrivals: Iterable[tuple[float, int]],
    ticks: int,
    buffer: JitterBuffer | None = None,
    phase: float = 0.007,
) -> tuple[list[object], JitterBuffer]:
    """What each tick of the packet clock finds; arrivals are (time, packet number), packet n is sent at 20 n ms."""
    buffer = JitterBuffer(8000) if buffer is None else buffer
    waiting = sorted(arrivals)
    found: list[object] = []
    for tick in range(ticks):
        now = tick * PACKET + phase
        while waiting and waiting[0][0] <= now:
            at, number = waiting.pop(0)
            buffer.put(number, number * 160, number, at)
        found.append(buffer.get(now))
    return found, buffer


def played(found: list[object]) -> list[int]:
    return [item for item in found if isinstance(item, int)]


def sent(numbers: Iterable[int], delay: float = 0.03) -> list[tuple[float, int]]:
    return [(number * PACKET + delay, number) for number in numbers]


def test_a_clean_path_plays_everything_in_order_and_waits_40_ms_at_most() -> None:
    found, buffer = play(sent(range(100)), 110)
    assert played(found) == list(range(100))
    assert found.index(0) * PACKET + 0.007 - 0.03 <= 0.060
    assert (buffer.received, buffer.missing, buffer.late, buffer.duplicates) == (100, 0, 0, 0)


def test_before_the_first_packet_there_is_nothing() -> None:
    assert JitterBuffer(8000).get(5.0) is Missing.BUFFERING


def test_reordered_packets_are_played_in_order() -> None:
    swapped = [(at + (0.025 if number % 10 == 3 else 0.0), number) for at, number in sent(range(100))]
    found, buffer = play(swapped, 110)
    assert played(found) == list(range(100))
    assert buffer.late == 0


def test_duplicates_are_played_once() -> None:
    found, buffer = play(sent(range(50)) + sent(range(50), 0.05), 60)
    assert played(found) == list(range(50))
    assert buffer.duplicates == 50


def test_numbers_wrap() -> None:
    buffer = JitterBuffer(8000)
    found: list[object] = []
    for step in range(200):
        now = step * PACKET
        buffer.put((65500 + step) & 0xFFFF, (0xFFFF_F000 + step * 160) & 0xFFFF_FFFF, step, now)
        found.append(buffer.get(now + 0.01))
    assert played(found) == list(range(played(found)[-1] + 1))
    assert buffer.discarded == buffer.restarts == 0


def test_a_hole_costs_its_length() -> None:
    found, buffer = play(sent(number for number in range(100) if number not in (40, 41, 42)), 100)
    assert played(found) == [number for number in range(max(played(found)) + 1) if number not in (40, 41, 42)]
    between = found[found.index(39) + 1 : found.index(43)]
    assert 1 <= len(between) <= 3 and set(between) <= {Missing.LOST, Missing.STARVED}
    assert buffer.delay(100 * PACKET + 0.007) > buffer.target - 0.01  # and not the delay that the path needs
    assert buffer.missing == 3


def test_a_pause_of_the_talker_is_no_loss() -> None:
    """RFC 3551 section 4.1: the timestamp jumps, the sequence number does not."""
    buffer = JitterBuffer(8000)
    found = []
    for tick in range(100):
        now = tick * PACKET
        if not 30 <= tick < 60:
            buffer.put(tick if tick < 30 else tick - 30, tick * 160, tick, now)
        found.append(buffer.get(now + 0.007))
    assert played(found) == [tick for tick in range(played(found)[-1] + 1) if not 30 <= tick < 60]
    assert buffer.missing == 0


def test_delay_follows_the_jitter_of_the_path() -> None:
    """As much delay as the path needs: over the jitter's 95 %, and no more than a packet over all of it."""
    for jitter_ms in (0.0, 30.0, 80.0):
        link = LinkModel(LinkConfig("path", 30.0, jitter_ms=jitter_ms, keep_order=False), SeededEntropy(7))
        arrivals = [(at, number) for number in range(1500) for at in link.offer(200, number * PACKET)]
        found, buffer = play(arrivals, 1500)
        assert jitter_ms / 1000 * 0.6 <= buffer.target <= jitter_ms / 1000 + 0.025
        assert played(found) == sorted(played(found))


def test_burst_loss_is_counted_and_nothing_else_is_lost() -> None:
    link = LinkModel(LinkConfig("path", 30.0, loss=BurstLoss(0.05, 3.0)), SeededEntropy(3))
    arrivals = [(at, number) for number in range(2000) for at in link.offer(200, number * PACKET)]
    found, buffer = play(arrivals, 2010)
    assert played(found) == [number for _, number in arrivals]
    assert abs(buffer.missing - link.lost) <= 3
    absent = sum(item in (Missing.LOST, Missing.STARVED) for item in found)
    assert absent <= link.lost + 15


def test_an_outage_that_is_sent_again_loses_no_packet() -> None:
    """Decision 5: what could not be sent comes at once when the path is back, then the newest."""
    for outage in (0.1, 0.3, 0.6, 1.0, 2.0):
        gone = range(100, 100 + round(outage / PACKET))
        back = gone.stop * PACKET + 0.029
        arrivals = sent(number for number in range(400) if number not in gone)
        arrivals += [(back + 0.0002 * index, number) for index, number in enumerate(gone)]
        found, buffer = play(arrivals, 560, JitterBuffer(8000, SpeechPolicy(limit=3.0)))
        assert played(found) == list(range(400))
        assert buffer.target <= 0.045  # no word after it waits longer


def test_what_is_asked_for_again_is_waited_for() -> None:
    """The newest packets come first, the missing ones a round trip later."""
    gone = range(100, 130)
    arrivals = sent(number for number in range(300) if number not in gone)
    arrivals += [(130 * PACKET + 0.03 + 0.1 + 0.0002 * index, number) for index, number in enumerate(gone)]
    found, buffer = play(arrivals, 400, JitterBuffer(8000, COMPLETE))
    assert played(found) == list(range(300))
    assert (buffer.given_up, buffer.missing, buffer.late) == (0.0, 0, 0)
    assert played(play(arrivals, 400)[0]) != list(range(300))  # who does not wait is too late


def test_what_will_not_be_sent_again_is_not_waited_for() -> None:
    """Once it is said: before the hole is reached it is concealed, later it is jumped over."""
    for said_at, jumped in ((98, 0.0), (115, 0.06)):
        buffer = JitterBuffer(8000, COMPLETE)
        buffer.expect_move(0.060, 0.0, 100.0)
        found = []
        for number in range(200):
            now = number * PACKET
            if number not in (100, 101, 102):
                buffer.put(number, number * 160, number, now)
            if number == said_at:
                buffer.abandon((100, 101, 102))
            found.append(buffer.get(now + 0.007))
        assert [each for each in played(found) if 95 < each < 106] == [96, 97, 98, 99, 103, 104, 105]
        assert buffer.given_up == pytest.approx(jumped)
        assert buffer.missing == 3


@pytest.mark.parametrize(("missing", "longest"), [(1, 0.36), (3, 0.36), (4, 3.0), (30, 3.0)])
def test_no_word_is_waited_for_longer_than_the_limit_and_no_scrap_longer_than_a_moment(
    missing: int, longest: float
) -> None:
    gone = range(100, 100 + missing)
    found, buffer = play(
        sent(number for number in range(500) if number not in gone), 700, JitterBuffer(8000, COMPLETE)
    )
    assert played(found) == [number for number in range(500) if number not in gone]
    late = found.index(gone.stop) * PACKET + 0.007 - (gone.stop * PACKET + 0.03)
    assert longest - 0.1 <= late <= longest + 0.02
    assert buffer.given_up == pytest.approx(missing * PACKET)


def test_a_single_lost_packet_is_not_waited_for_where_nothing_is_sent_again() -> None:
    found, _ = play(sent(number for number in range(200) if number % 50 != 10), 210)
    assert max(gap_lengths(found)) <= 1


def gap_lengths(found: list[object]) -> list[int]:
    """Ticks without a packet between two that had one."""
    at = [index for index, item in enumerate(found) if isinstance(item, int)]
    return [after - before - 1 for before, after in pairwise(at)]


def test_a_longer_path_is_a_new_anchor_not_jitter() -> None:
    arrivals = sent(range(100)) + sent(range(100, 400), 0.33)
    found, buffer = play(arrivals, 430)
    assert played(found) == list(range(400))
    assert buffer.target <= 0.045
    assert -0.02 <= buffer.delay(429 * PACKET) - 0.02 <= 0.06 or buffer.get(99.0) is Missing.STARVED


def test_a_shorter_path_loses_nothing() -> None:
    found, _ = play(sent(range(100), 0.4) + sent(range(100, 300), 0.03), 330)
    assert played(found) == list(range(300))


def test_a_sound_too_old_is_skipped_not_kept_for_ever() -> None:
    """Without sending again, a queue that held everything for 3 s must not put the talk 3 s behind."""
    late = [(250 * PACKET + 0.03, number) for number in range(100, 250)]
    buffer = JitterBuffer(8000)
    waiting = sorted(sent(range(100)) + late + sent(range(250, 500)))
    for tick in range(500):
        now = tick * PACKET + 0.007
        while waiting and waiting[0][0] <= now:
            at, number = waiting.pop(0)
            buffer.put(number, number * 160, number, at)
        buffer.surplus(buffer.delay(now), now)  # as playout does each tick
        buffer.get(now)
    assert buffer.delay(500 * PACKET) < 0.1
    assert buffer.discarded > 100


def test_a_stray_packet_changes_nothing() -> None:
    buffer = JitterBuffer(8000)
    play(sent(range(50)), 52, buffer)
    before = len(buffer)
    assert not buffer.put(9000, 77_000_000, "stray", 1.04)
    assert len(buffer) == before
    assert buffer.put(50, 50 * 160, 50, 1.05)


def test_restarted_timestamps_are_followed_by_the_second_packet() -> None:
    buffer = JitterBuffer(8000)
    play(sent(range(50)), 53, buffer)
    found = []
    for step in range(20):
        now = 1.06 + step * PACKET
        buffer.put(9000 + step, 77_000_000 + step * 160, f"new {step}", now)
        found.append(buffer.get(now + 0.005))
    assert [item for item in found if isinstance(item, str)][:3] == ["new 0", "new 1", "new 2"]
    assert buffer.restarts == 1


def test_a_new_source_takes_over_but_two_do_not_mix() -> None:
    buffer = JitterBuffer(8000)
    for number in range(20):
        buffer.put(number, number * 160, number, number * PACKET, source=1)
    assert not buffer.put(5, 12345, "other", 0.381, source=2)
    assert buffer.put(20, 20 * 160, 20, 0.4, source=1)
    assert buffer.put(5, 12345, "other", 0.6, source=2)  # the first one has been silent for 0.2 s
    assert buffer.restarts == 1


def test_memory_is_bounded() -> None:
    buffer = JitterBuffer(8000)
    for number in range(5 * CAPACITY):
        buffer.put(number, number * 160, number, number * PACKET)
    assert len(buffer) <= CAPACITY
    assert not buffer.put(1, 160, b"", 0.0, ticks=10**9)


def test_after_a_hole_there_is_as_much_delay_as_the_path_needs() -> None:
    buffer = JitterBuffer(8000)
    buffer.expect_move(0.060, 0.0, 100.0)
    found, _ = play(sent(number for number in range(200) if not 100 <= number < 108), 200, buffer)
    assert played(found)[-1] < 199  # it is still playing
    assert buffer.target >= 0.080
    assert buffer.delay(200 * PACKET + 0.007) > buffer.target - 0.01


def test_a_path_that_is_longer_by_more_than_the_limit_is_followed() -> None:
    for longer in (2.5, 4.0):
        arrivals = sent(range(100)) + sent(range(100, 900), 0.03 + longer)
        found, buffer = play(arrivals, 1200, JitterBuffer(8000, COMPLETE))
        assert played(found)[-1] == 899
        assert played(found) == sorted(set(played(found)))
        assert buffer.given_up <= (longer + 0.2 if longer > COMPLETE.limit else 0.0)
