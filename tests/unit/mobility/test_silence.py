"""Missing packets: noticed soon, and never mistaken for a talker's pause."""

import random

import pytest

from segue.mobility.observation import MediaFact
from segue.mobility.silence import MediaSilence

PACKET = 0.02
TICKS = 160


class Listener:
    """A peer that sends G.711 and somebody who listens; what was noticed, and when."""

    def __init__(self, jitter: float = 0.0) -> None:
        self.silence = MediaSilence()
        self.said: list[tuple[float, MediaFact]] = []
        self.now = 0.0
        self._jitter = jitter
        self._dice = random.Random(1)
        self._sequence, self._timestamp = 65_530, (1 << 32) - 4 * TICKS  # both wrap soon

    def hears(self, packets: int, interface: str = "wlan0", lost: frozenset[int] = frozenset()) -> None:
        for number in range(packets):
            self.passes(PACKET + self._dice.uniform(0, self._jitter) - self._jitter / 2)
            self._sequence = (self._sequence + 1) & 0xFFFF
            self._timestamp = (self._timestamp + TICKS) & 0xFFFFFFFF
            if number not in lost:
                self.silence.received(interface, self._sequence, self._timestamp, self.now)
                self._drain()

    def passes(self, seconds: float) -> None:
        end = self.now + seconds
        while (due := self.silence.deadline()) is not None and due <= end:
            self.now = due
            self.silence.expire(due)
            self._drain()
        self.now = end

    def pauses(self, seconds: float) -> None:
        """The talker says nothing and sends nothing."""
        self.passes(seconds)
        self._timestamp = (self._timestamp + round(seconds / PACKET) * TICKS) & 0xFFFFFFFF

    def _drain(self) -> None:
        self.said += [(self.now, fact) for fact in self.silence.events()]


def test_missing_packets_are_noticed_after_three_packet_times_and_told_once() -> None:
    listener = Listener()
    listener.hears(100)
    stopped = listener.now
    listener.passes(2.0)
    ((noticed, fact),) = listener.said
    assert fact == MediaFact("wlan0", silent=True)
    assert noticed - stopped == pytest.approx(0.06, abs=0.002)
    listener.hears(1, "wwan0")
    assert listener.said[-1][1] == MediaFact("wlan0", silent=False)


@pytest.mark.parametrize("jitter", [0.0, 0.01, 0.03])
def test_jitter_widens_the_limit_and_no_more_than_to_100_ms(jitter: float) -> None:
    listener = Listener(jitter)
    listener.hears(1000)
    assert not listener.said
    assert 0.06 <= listener.silence.limit <= 0.1 + 1e-9
    listener.passes(0.11)
    assert len(listener.said) == 1


def test_two_packets_lost_in_a_row_are_no_silence() -> None:
    listener = Listener(0.004)
    listener.hears(200, lost=frozenset({50, 51, 90, 150, 151}))
    assert not listener.said


def test_a_talker_who_pauses_is_taken_for_lost_once_at_most() -> None:
    listener = Listener()
    listener.hears(50)
    listener.pauses(0.4)
    listener.hears(50)
    assert [fact.silent for _, fact in listener.said] == [True, False], (
        "the first pause cannot be told from a loss"
    )
    for _ in range(5):
        listener.pauses(0.6)
        listener.hears(30)
    assert len(listener.said) == 2


def test_a_call_on_hold_is_not_expected_to_sound() -> None:
    listener = Listener()
    listener.hears(50)
    listener.silence.expect(False)
    listener.passes(20.0)
    assert not listener.said
    listener.silence.expect(True)
    listener.passes(5.0)
    assert not listener.said, "nothing came since: nobody knows that the peer sends"
    listener.hears(30)
    listener.passes(0.2)
    assert len(listener.said) == 1


def test_nothing_is_expected_of_a_peer_that_has_hardly_begun() -> None:
    listener = Listener()
    listener.hears(5)
    listener.passes(1.0)
    assert not listener.said


def test_a_duplicate_by_another_way_ends_the_silence_and_confuses_nothing() -> None:
    listener = Listener()
    listener.hears(50)
    silence = listener.silence
    for _ in range(3):
        silence.received("wwan0", listener._sequence, listener._timestamp, listener.now)
    listener.hears(50, "wwan0")
    listener.passes(0.2)
    assert [fact for _, fact in listener.said] == [MediaFact("wwan0", silent=True)]
