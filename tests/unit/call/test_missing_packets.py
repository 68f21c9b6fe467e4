"""When a packet that did not come is asked for, and when no more."""

from __future__ import annotations

from itertools import pairwise

from segue.call.missing_packets import APART, ASKS, MOST, REORDERING_TIME, MissingPackets

PERIOD = 0.02
LIMIT = 3.0


class Listener:
    """Hears a talker who sends a packet a tick; what it asks for is in `asked`, by time."""

    def __init__(self, limit: float = LIMIT, round_trip: float | None = 0.1) -> None:
        self.missing = MissingPackets(7, limit)
        self.now = 0.0
        self.round_trip = round_trip
        self.asked: list[tuple[float, tuple[int, ...]]] = []

    def hears(self, *numbers: int) -> Listener:
        for number in numbers:
            self.missing.received(number, number * PERIOD, self.now)
            self.ask()
            self.now += PERIOD
        return self

    def waits(self, seconds: float) -> Listener:
        """While the talker goes on."""
        for _ in range(round(seconds / PERIOD)):
            self.hears(self.missing._highest + 1)
        return self

    def hears_nothing(self, seconds: float) -> Listener:
        for _ in range(round(seconds / PERIOD)):
            self.now += PERIOD
            self.ask()
        return self

    def ask(self) -> None:
        if sequences := self.missing.due(self.now, self.round_trip):
            self.asked.append((round(self.now, 3), sequences))


def test_what_is_only_overtaken_is_not_asked_for() -> None:
    listener = Listener().hears(0, 2, 1, 3, 5, 6, 4, 7).waits(1.0)
    assert listener.asked == []
    assert not len(listener.missing)


def test_a_hole_is_asked_for_when_three_have_come_behind_it_or_after_a_while() -> None:
    listener = Listener().hears(0, 1, 3)
    assert listener.asked == []
    listener.hears(4, 5)
    assert [sequences for _, sequences in listener.asked] == [(2,)]
    alone = Listener().hears(0, 1, 3)
    alone.hears_nothing(REORDERING_TIME)
    assert [sequences for _, sequences in alone.asked] == [(2,)]


def test_a_hole_too_long_for_reordering_is_asked_for_at_once() -> None:
    listener = Listener().hears(0, 20)
    assert listener.asked == [(0.02, tuple(range(1, 20)))]


def test_it_is_asked_for_again_after_a_round_trip_and_a_few_times_only() -> None:
    listener = Listener().hears(0, 1, 3, 4, 5).waits(2.9)
    of_one = [at for at, sequences in listener.asked if sequences == (2,)]
    assert len(of_one) == len(listener.asked) == ASKS
    assert all(0.1 <= later - earlier < 0.2 for earlier, later in pairwise(of_one))
    assert not len(listener.missing)


def test_while_nothing_comes_asking_is_no_use() -> None:
    listener = Listener().hears(0, 20).hears_nothing(2.0)
    assert len(listener.asked) == 1
    listener.waits(0.1)
    assert len(listener.asked) == 2


def test_a_request_names_all_that_was_asked_for_and_has_yet_to_come() -> None:
    """The one before may have been lost; the peer knows which copies are under way."""
    listener = Listener().hears(0, 1, 3, 4, 5, 7, 8, 9)
    assert [sequences for _, sequences in listener.asked] == [(2,), (2, 6)]


def test_requests_keep_apart() -> None:
    listener = Listener().hears(0, 101).waits(2.0)
    times = [at for at, _ in listener.asked]
    assert all(later - earlier >= APART for earlier, later in pairwise(times))


def test_what_came_after_all_is_not_asked_for_again_and_counts_as_recovered() -> None:
    listener = Listener().hears(0, 10, 1, 2, 3, 4, 5, 6, 7, 8, 9).waits(2.0)
    assert len(listener.asked) == 1
    assert (listener.missing.asked, listener.missing.recovered) == (9, 9)


def test_what_who_listens_would_not_wait_for_is_not_asked_for() -> None:
    listener = Listener(limit=1.0).hears(0, 501)
    ((_, sequences),) = listener.asked
    assert sequences == tuple(range(451, 501))
    listener.waits(1.0)
    assert not len(listener.missing)


def test_packets_of_sixty_milliseconds() -> None:
    missing = MissingPackets(7, 1.21)
    for number in (0, 1, 2, 100):
        missing.received(number, number * 0.06, number * 0.06)
    assert missing.due(6.0, 0.1) == tuple(range(80, 100))


def test_numbers_are_those_of_the_packets_over_the_wrap() -> None:
    listener = Listener().hears(65_533, 65_540)
    assert listener.asked[0][1] == (65_534, 65_535, 0, 1, 2, 3)


def test_memory_is_bounded_and_a_source_that_begins_anew_leaves_no_hole() -> None:
    listener = Listener(limit=10.0).hears(0, 2900)
    assert len(listener.missing) <= MOST
    listener.hears(1 << 17)
    assert len(listener.missing) == 0
    assert all(len(sequences) <= MOST for _, sequences in listener.asked)


def test_resuming_asks_for_what_is_missing_and_leaves_what_follows_to_the_peer() -> None:
    listener = Listener().hears(0, 1, 2, 3, 5)
    assert listener.missing.resume(listener.now) == (5, (4,))
    listener.hears(20)
    for oldest in range(6, 20, 2):  # two beside each new one
        for number in (oldest, oldest + 1):
            listener.missing.received(number, number * PERIOD, listener.now)
        listener.waits(PERIOD)
    assert listener.asked == [], "the peer knows already"
    unheard = Listener().hears(0, 1, 2, 3)
    unheard.missing.resume(unheard.now)
    unheard.hears(60, 61, 62)
    assert any(4 in sequences for _, sequences in unheard.asked), "it has not heard of it"


def test_resuming_before_anything_came_says_nothing() -> None:
    assert MissingPackets(7, LIMIT).resume(0.0) is None


def test_without_a_known_round_trip_it_is_asked_for_again_all_the_same() -> None:
    listener = Listener(round_trip=None).hears(0, 10).waits(0.5)
    assert len([at for at, sequences in listener.asked if 1 in sequences]) >= 2


def test_telephone_events_do_not_spoil_the_packet_time() -> None:
    """All packets of one event have its timestamp (RFC 4733 section 2.2)."""
    missing = MissingPackets(7, 1.01)
    for number in range(20):
        missing.received(number, 0.0, number * PERIOD)
    missing.received(200, 4.0, 4.0)
    assert missing.due(4.0, 0.1) == tuple(range(150, 200))
