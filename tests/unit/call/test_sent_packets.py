"""What is kept of our own packets, and when which of them leave again."""

from __future__ import annotations

import pytest

from segue.call.sent_packets import AGE, BURST, COPIES, PACE, SLOTS, SentPackets
from segue.protocols.rtp.packet import RtpPacket

PERIOD = 0.02


def packet(sequence: int, size: int = 160) -> bytes:
    return RtpPacket(8, False, sequence & 0xFFFF, 0, 1, bytes(size)).to_bytes()


class Talker:
    """Sends a packet a tick, and what is late beside it."""

    def __init__(self, first: int = 0, size: int = 160) -> None:
        self.sent = SentPackets()
        self.now = 100.0
        self.next = first
        self.size = size
        self.lost = False

    def speak(self, ticks: int) -> list[list[int]]:
        """Sequence numbers that leave late, tick by tick."""
        return [self.tick() for _ in range(ticks)]

    def tick(self) -> list[int]:
        octets = packet(self.next, self.size)
        self.next += 1
        (self.sent.held if self.lost else self.sent.left)(octets, PERIOD, self.now)
        late = [] if self.lost else self.sent.late(self.now, bool)
        self.now += PERIOD
        return [octets[2] << 8 | octets[3] for octets in late]


def flat(ticks: list[list[int]]) -> list[int]:
    return [number for tick in ticks for number in tick]


def test_nothing_is_late_on_a_good_day() -> None:
    talker = Talker()
    assert flat(talker.speak(1000)) == []
    assert (talker.sent.resent, talker.sent.sent_late, talker.sent.waiting) == (0, 0, 0)


def test_what_could_not_leave_leaves_once_oldest_first_at_twice_real_time() -> None:
    talker = Talker(first=65_500)
    talker.speak(20)
    talker.lost = True
    talker.speak(100)
    talker.lost = False
    late = talker.speak(100)
    assert flat(late) == [(65_520 + n) & 0xFFFF for n in range(100)]
    assert len(late[0]) == round(BURST / PERIOD)
    assert {len(tick) for tick in late[1:48]} == {round(PACE)}
    assert talker.sent.sent_late == 100


def test_what_is_asked_for_leaves_as_it_was() -> None:
    talker = Talker()
    talker.speak(10)
    talker.sent.ask((3, 5), talker.now)
    assert talker.sent.late(talker.now, bool) == [packet(3), packet(5)]
    assert talker.sent.resent == 2


def test_sequence_numbers_asked_for_over_the_wrap() -> None:
    talker = Talker(first=65_530)
    talker.speak(12)
    talker.sent.ask((65_535, 0, 1), talker.now)
    assert flat(talker.speak(1)) == [65_535, 0, 1]


def test_what_was_never_sent_or_is_forgotten_cannot_be_had() -> None:
    talker = Talker()
    talker.speak(round(AGE / PERIOD) + 50)
    talker.sent.ask((10, 40_000, talker.next), talker.now)
    assert flat(talker.speak(5)) == []
    talker.sent.ask((60,), talker.now)
    assert flat(talker.speak(5)) == [60]


def test_a_copy_under_way_is_not_sent_again_within_a_round_trip() -> None:
    talker = Talker()
    talker.speak(10)
    talker.sent.ask((4,), talker.now, 0.1)
    assert flat(talker.speak(1)) == [4]
    talker.sent.ask((4,), talker.now, 0.1)
    assert flat(talker.speak(6)) == []
    talker.sent.ask((4,), talker.now, 0.1)
    assert flat(talker.speak(1)) == [4]


def test_a_peer_that_asks_for_ever_gets_so_many_copies() -> None:
    talker = Talker()
    talker.speak(10)
    late = []
    for _ in range(100):
        talker.sent.ask((4,), talker.now, 0.0)
        late += flat(talker.speak(1))
    assert late == [4] * COPIES


def test_a_peer_that_asks_for_everything_gets_no_more_than_was_sent() -> None:
    """No amplification: whatever is asked for, an octet for each octet, and PACE at most."""
    talker = Talker()
    talker.speak(500)
    octets, most = 0, 0
    for _ in range(300):
        talker.sent.ask(range(65_536), talker.now, 0.0)
        talker.sent.resume_after(0, 10.0, talker.now, 0.0)
        late = talker.tick()
        octets += len(late) * 172
        most = max(most, len(late))
    assert octets <= 800 * 172
    assert most <= round(BURST / PERIOD)


def test_memory_is_bounded_and_what_is_kept_longest_goes_first() -> None:
    talker = Talker()
    talker.lost = True
    talker.speak(5000)
    assert talker.sent.waiting == len(talker.sent._held) == SLOTS
    talker.lost = False
    late = flat(talker.speak(400))
    assert late[0] >= 5000 - AGE / PERIOD
    assert len(talker.sent._late) <= SLOTS


def test_who_has_moved_gets_all_behind_the_last_that_came() -> None:
    talker = Talker()
    talker.speak(50)
    talker.sent.resume_after(39, 3.0, talker.now)
    assert flat(talker.speak(10)) == list(range(40, 50))


def test_who_has_moved_gets_nothing_older_than_it_would_wait_for() -> None:
    talker = Talker()
    talker.speak(300)
    talker.sent.resume_after(9, 2.0, talker.now)
    assert flat(talker.speak(100))[0] == 200


def test_what_left_just_before_the_link_was_lost_leaves_again_first_and_holds_nothing_up() -> None:
    talker = Talker()
    talker.speak(50)
    lost_at = talker.now
    talker.lost = True
    talker.speak(20)
    talker.lost = False
    talker.sent.doubt(lost_at - 0.09, lost_at)
    first, second, *_ = talker.speak(3)
    assert first == [46, 47, 48, 49, 50, 51, 52], "those in doubt at once, and what may leave anyway"
    assert second == [53, 54]


def test_what_the_listener_would_not_wait_for_is_left_out() -> None:
    talker = Talker()
    talker.lost = True
    talker.speak(200)
    talker.lost = False
    talker.sent.drop_held(talker.now - 1.0)
    assert flat(talker.speak(100)) == list(range(150, 200))


def test_what_may_not_leave_yet_waits() -> None:
    talker = Talker()
    talker.speak(10)
    talker.sent.ask((1, 2), talker.now)
    assert talker.sent.late(talker.now, lambda _: False) == []
    asked: list[int] = []

    def once(octets: int) -> bool:
        asked.append(octets)
        return len(asked) == 1

    assert talker.sent.late(talker.now, once) == [packet(1)]
    assert asked == [172, 172]
    assert flat(talker.speak(1)) == [2]


@pytest.mark.parametrize("asked", [0, 300])
def test_a_tick_that_comes_late_is_not_made_up_for_by_a_burst(asked: int) -> None:
    talker = Talker()
    talker.speak(400)
    talker.sent.ask(range(asked), talker.now)
    talker.now += 1.0
    assert len(flat(talker.speak(1))) <= round(BURST / PERIOD)
