"""From facts to moves: what a phone does when its networks change."""

import pytest

from segue.mobility.conductor import (
    CheckWanted,
    Conductor,
    MoveExpected,
    MoveWanted,
    Offline,
    OriginLost,
    WarmUp,
)
from segue.mobility.observation import (
    AddressFact,
    AnswerFact,
    Fact,
    LinkFact,
    MediaFact,
    Observation,
    RouteFact,
    SignalFact,
    SpeechFact,
)
from segue.mobility.policy import Kind, Policy

OFFICE = "2001:db8:1::10"
CAFE = "2001:db8:2::10"
CELL = "2001:db8:3::10"


def attach(interface: str, address: str, metric: int) -> list[Fact]:
    family = 6 if ":" in address else 4
    return [
        LinkFact(interface, carrier=True),
        AddressFact(interface, address, usable=True),
        RouteFact(interface, family, "fe80::1", metric),
    ]


class Phone:
    """A conductor and the moves it asked for."""

    def __init__(self) -> None:
        self.conductor = Conductor(Observation(), Policy())
        self.now = 100.0
        self.said: list[object] = []

    def sees(self, *facts: Fact) -> None:
        for fact in facts:
            self.conductor.receive(fact, self.now)
        self.conductor.settle(self.now)
        self.said += self.conductor.events()

    def waits(self, seconds: float) -> None:
        end = self.now + seconds
        while (due := self.conductor.deadline()) is not None and due <= end and due > self.now:
            self.now = due
            self.conductor.expire(self.now)
            self.said += self.conductor.events()
        self.now = end
        self.conductor.expire(self.now)
        self.said += self.conductor.events()

    def wanted(self) -> list[MoveWanted]:
        return [event for event in self.said if isinstance(event, MoveWanted)]

    def passes(self, seconds: float) -> None:
        """Time goes on by steps of a packet, and at each the phone looks."""
        for _ in range(round(seconds / 0.02)):
            self.waits(0.02)

    def move(self) -> tuple[str, Kind]:
        """The one move that was asked for; it succeeds."""
        wanted = [event for event in self.said if isinstance(event, MoveWanted)]
        self.said = [event for event in self.said if not isinstance(event, MoveWanted)]
        assert len(wanted) == 1, wanted
        self.conductor.moved(self.now)
        self.said += self.conductor.events()
        return wanted[0].decision.target.address, wanted[0].decision.kind


def at_the_office() -> Phone:
    phone = Phone()
    phone.sees(*attach("wlan0", OFFICE, 100))
    assert phone.move()[0] == OFFICE
    return phone


def test_a_lost_carrier_moves_the_call_at_once_though_address_and_route_stay() -> None:
    phone = at_the_office()
    phone.sees(*attach("wwan0", CELL, 200))
    phone.said.clear()
    phone.sees(LinkFact("wlan0", carrier=False))
    assert phone.move() == (CELL, Kind.HARD)


def test_a_removed_address_and_a_vanished_interface_are_losses_too() -> None:
    for fact in (
        AddressFact("wlan0", OFFICE, usable=True, present=False),
        LinkFact("wlan0", carrier=False, present=False),
    ):
        phone = at_the_office()
        phone.sees(*attach("wwan0", CELL, 200))
        phone.sees(fact)
        assert phone.move() == (CELL, Kind.HARD)


def test_with_nothing_left_the_user_is_told_once_and_the_call_waits() -> None:
    phone = at_the_office()
    phone.sees(LinkFact("wlan0", carrier=False))
    phone.sees(LinkFact("eth0", carrier=False))
    assert [type(event) for event in phone.said] == [Offline]
    phone.said.clear()
    phone.sees(*attach("wwan0", CELL, 200))
    assert phone.move() == (CELL, Kind.HARD)


def test_a_preferred_network_is_taken_softly_once_it_has_lasted() -> None:
    phone = Phone()
    phone.sees(*attach("wwan0", CELL, 200))
    phone.move()
    phone.sees(*attach("wlan0", CAFE, 100))
    assert not phone.said
    phone.waits(0.2)
    assert phone.move() == (CAFE, Kind.SOFT)


def test_a_less_preferred_network_is_left_alone() -> None:
    phone = at_the_office()
    phone.sees(*attach("wwan0", CELL, 200))
    phone.waits(10)
    assert not phone.said


def test_a_weak_signal_moves_softly_before_the_network_is_lost() -> None:
    phone = at_the_office()
    phone.sees(*attach("wwan0", CELL, 200))
    phone.sees(SignalFact("wlan0", -72.0))
    assert phone.wanted() == []
    phone.sees(SignalFact("wlan0", -78.0))
    assert phone.move() == (CELL, Kind.SOFT)


def test_a_flapping_signal_does_not_make_the_call_flap() -> None:
    phone = at_the_office()
    phone.sees(*attach("wwan0", CELL, 200))
    moves = 0
    for step in range(100):  # ten seconds of a signal that swings around the edge
        phone.now += 0.1
        phone.sees(SignalFact("wlan0", -76.0 if step % 2 else -69.0))
        if any(isinstance(event, MoveWanted) for event in phone.said):
            phone.move()
            moves += 1
    assert 1 <= moves <= 6


def test_events_during_a_soft_move_wait_and_a_loss_does_not() -> None:
    phone = at_the_office()
    phone.sees(*attach("wwan0", CELL, 200))
    phone.sees(SignalFact("wlan0", -78.0))
    phone.sees(*attach("eth0", "2001:db8:4::10", 10))
    phone.waits(5)
    assert len([event for event in phone.said if isinstance(event, MoveWanted)]) == 1
    phone.sees(LinkFact("wwan0", carrier=False))
    last = phone.said[-1]
    assert isinstance(last, MoveWanted)
    assert last.decision.target.interface == "eth0"


def test_a_soft_move_whose_origin_fails_becomes_hard() -> None:
    phone = at_the_office()
    phone.sees(*attach("wwan0", CELL, 200))
    phone.sees(SignalFact("wlan0", -78.0))
    phone.sees(LinkFact("wlan0", carrier=False))
    phone.sees(SignalFact("wwan0", -60.0))
    assert [type(event) for event in phone.said if not isinstance(event, WarmUp)] == [
        MoveExpected,
        MoveWanted,
        OriginLost,
    ]


def test_a_failed_soft_move_leaves_the_call_where_it_was() -> None:
    phone = at_the_office()
    phone.sees(*attach("wwan0", CELL, 200))
    phone.sees(SignalFact("wlan0", -78.0))
    phone.conductor.move_failed(phone.now)
    assert phone.conductor.active is not None
    assert phone.conductor.active.address == OFFICE


def test_a_failed_hard_move_goes_elsewhere_and_comes_back_in_turn() -> None:
    phone = at_the_office()
    phone.sees(*attach("wwan0", CELL, 150), *attach("eth0", CAFE, 200))
    phone.sees(LinkFact("wlan0", carrier=False))
    tried = []
    for _ in range(3):
        assert phone.conductor.has_alternative
        (wanted,) = phone.said
        assert isinstance(wanted, MoveWanted) and wanted.decision.kind is Kind.HARD
        tried.append(wanted.decision.target.interface)
        phone.now += 4.0
        phone.conductor.move_failed(phone.now)
        phone.said = list(phone.conductor.events())
    assert tried == ["wwan0", "eth0", "wwan0"]
    phone.sees(LinkFact("wwan0", carrier=False))
    assert not phone.conductor.has_alternative


def test_the_old_address_is_not_trusted_on_a_carrier_that_came_back() -> None:
    phone = at_the_office()
    phone.sees(LinkFact("wlan0", carrier=False))
    phone.sees(LinkFact("wlan0", carrier=True))
    phone.waits(0.2)
    assert not [event for event in phone.said if isinstance(event, MoveWanted)]
    phone.sees(AddressFact("wlan0", CAFE, usable=True))
    assert phone.move() == (CAFE, Kind.HARD)


def test_a_cable_plugged_back_in_works_again_without_a_word_from_the_kernel() -> None:
    phone = at_the_office()
    phone.sees(LinkFact("wlan0", carrier=False))
    phone.sees(LinkFact("wlan0", carrier=True))
    phone.waits(1.1)
    assert phone.move() == (OFFICE, Kind.HARD)


def test_a_tentative_address_waits_and_link_local_ones_never_count() -> None:
    phone = Phone()
    phone.sees(LinkFact("wlan0", carrier=True), RouteFact("wlan0", 6, "fe80::1", 100))
    phone.sees(AddressFact("wlan0", "fe80::10", usable=True), AddressFact("wlan0", OFFICE, usable=False))
    assert not phone.said
    phone.sees(AddressFact("wlan0", OFFICE, usable=True))
    assert phone.move()[0] == OFFICE


def test_ten_moves_in_a_row() -> None:
    phone = at_the_office()
    for number in range(10):
        address = f"2001:db8:{number + 10:x}::10"
        phone.sees(LinkFact("wlan0", carrier=False))
        phone.sees(LinkFact("wlan0", carrier=True), AddressFact("wlan0", address, usable=True))
        assert phone.move() == (address, Kind.HARD)


def test_a_move_between_families() -> None:
    phone = at_the_office()
    phone.sees(LinkFact("wlan0", carrier=False), *attach("wwan0", "192.0.2.10", 200))
    assert phone.move() == ("192.0.2.10", Kind.HARD)


# What is about to be


def weakening(phone: Phone, begin: float, a_second: float, until: float) -> None:
    """The signal of the WLAN falls, told ten times a second."""
    dbm = begin
    while dbm > until:
        dbm -= a_second / 10
        phone.sees(SignalFact("wlan0", dbm))
        phone.waits(0.1)


def test_a_move_by_choice_is_announced_and_waits_for_a_pause() -> None:
    phone = at_the_office()
    phone.sees(*attach("wwan0", CELL, 200), SpeechFact(True))
    weakening(phone, -74.0, 1.0, -75.05)
    assert [type(event) for event in phone.said] == [WarmUp, MoveExpected]
    phone.passes(0.1)
    assert phone.wanted() == []
    phone.sees(SpeechFact(False))
    assert phone.move() == (CELL, Kind.SOFT)


def test_it_waits_no_longer_than_that() -> None:
    phone = at_the_office()
    phone.sees(*attach("wwan0", CELL, 200), SpeechFact(True))
    weakening(phone, -74.0, 1.0, -75.05)
    began = phone.now
    while not phone.wanted():
        phone.passes(0.02)
    assert phone.now - began <= 0.21
    assert phone.move() == (CELL, Kind.SOFT)


@pytest.mark.parametrize(("a_second", "waits"), [(1.0, True), (30.0, False)])
def test_a_signal_that_falls_fast_is_not_waited_for(a_second: float, waits: bool) -> None:
    phone = at_the_office()
    phone.sees(*attach("wwan0", CELL, 200), SpeechFact(True))
    weakening(phone, -66.0, a_second, -75.01)
    at_once = len(phone.wanted())
    assert at_once == (0 if waits else 1)


def test_who_speaks_matters_as_soon_as_a_move_may_come() -> None:
    phone = at_the_office()
    assert not phone.conductor.heeds_speech
    phone.sees(*attach("wwan0", CELL, 200), SignalFact("wlan0", -71.0))
    assert phone.conductor.heeds_speech, "another may be needed"
    phone.sees(SignalFact("wlan0", -60.0))
    assert not phone.conductor.heeds_speech
    phone.sees(*attach("eth0", CAFE, 50))
    assert phone.conductor.heeds_speech, "something better must last for a moment"
    phone.sees(SpeechFact(True))
    phone.waits(0.2)
    assert phone.wanted() == []
    phone.sees(SpeechFact(False))
    assert phone.move() == (CAFE, Kind.SOFT)
    phone.waits(3)
    assert not phone.conductor.heeds_speech


def test_silence_at_once_when_nobody_speaks() -> None:
    phone = at_the_office()
    phone.sees(*attach("wwan0", CELL, 200))
    phone.sees(SignalFact("wlan0", -78.0))
    assert [type(event) for event in phone.said] == [WarmUp, MoveExpected, MoveWanted]


def test_a_loss_during_the_wait_moves_at_once_and_a_recovery_calls_it_off() -> None:
    phone = at_the_office()
    phone.sees(*attach("wwan0", CELL, 200), SpeechFact(True))
    phone.sees(SignalFact("wlan0", -76.0))
    phone.sees(LinkFact("wlan0", carrier=False))
    assert phone.move() == (CELL, Kind.HARD)
    phone = at_the_office()
    phone.sees(*attach("wwan0", CELL, 200), SpeechFact(True))
    phone.sees(SignalFact("wlan0", -76.0))
    phone.sees(SignalFact("wlan0", -60.0))
    phone.passes(2.0)
    assert phone.wanted() == []


def test_the_others_are_warmed_up_before_they_are_needed_and_kept_awake() -> None:
    phone = at_the_office()
    phone.sees(*attach("wwan0", CELL, 200))
    phone.sees(SignalFact("wlan0", -69.0))
    assert not phone.said
    phone.sees(SignalFact("wlan0", -71.0))
    assert [event.attachment.address for event in phone.said if isinstance(event, WarmUp)] == [CELL]
    phone.passes(10.0)
    assert len([event for event in phone.said if isinstance(event, WarmUp)]) == 4
    phone.sees(SignalFact("wlan0", -60.0))
    phone.said.clear()
    phone.passes(10.0)
    assert not phone.said


# Nothing comes, and no event tells why


def silent_at_the_office() -> Phone:
    phone = at_the_office()
    phone.sees(*attach("wwan0", CELL, 200))
    phone.said.clear()
    phone.sees(MediaFact("wlan0", silent=True))
    return phone


def test_a_silence_is_checked_again_and_again_and_moves_nobody_by_itself() -> None:
    phone = silent_at_the_office()
    phone.passes(3.1)
    checks = [event for event in phone.said if isinstance(event, CheckWanted)]
    assert len(checks) == len(phone.said) == 4
    assert checks[0].attachment.address == OFFICE
    phone.sees(AnswerFact("wlan0", OFFICE, answered=True))
    assert phone.wanted() == [], "the peer has moved, or is gone"
    phone.sees(MediaFact("wlan0", silent=False))
    phone.said.clear()
    phone.passes(5.0)
    assert not phone.said


def test_a_network_that_answers_nothing_is_left_for_another() -> None:
    phone = silent_at_the_office()
    phone.sees(AnswerFact("wlan0", OFFICE, answered=False))
    assert phone.move() == (CELL, Kind.HARD)
    phone.passes(4.0)
    assert phone.wanted() == [], "and not taken again at once, though it is preferred"


def test_answers_of_another_network_and_silence_elsewhere_say_nothing() -> None:
    phone = silent_at_the_office()
    phone.sees(AnswerFact("wwan0", CELL, answered=False))
    phone.sees(AnswerFact("wlan0", CAFE, answered=False))
    assert phone.wanted() == []
    other = at_the_office()
    other.sees(*attach("wwan0", CELL, 200), MediaFact("wwan0", silent=True))
    assert not other.said


def test_where_nobody_answers_anywhere_the_call_does_not_run_in_circles() -> None:
    phone = silent_at_the_office()
    moves = 0
    for _ in range(600):
        for interface, address in (("wlan0", OFFICE), ("wwan0", CELL)):
            active = phone.conductor.active
            assert active is not None
            if active.interface == interface:
                phone.sees(MediaFact(interface, silent=True))
                phone.sees(AnswerFact(interface, address, answered=False))
            if phone.wanted():
                phone.move()
                moves += 1
        phone.waits(0.5)
    assert moves <= 9, "in five minutes"


# Routes, tunnels


def test_a_default_route_that_vanishes_alone_is_a_loss_but_not_while_it_is_replaced() -> None:
    phone = at_the_office()
    phone.sees(*attach("wwan0", CELL, 200))
    phone.said.clear()
    phone.sees(RouteFact("wlan0", 6, "fe80::1", 100, present=False))
    phone.waits(0.05)
    assert not phone.said
    phone.sees(RouteFact("wlan0", 6, "fe80::1", 100))
    phone.waits(1.0)
    assert not phone.said
    phone.sees(RouteFact("wlan0", 6, "fe80::1", 100, present=False))
    phone.waits(0.11)
    assert phone.move() == (CELL, Kind.HARD)


def test_a_second_default_route_is_enough() -> None:
    phone = at_the_office()
    phone.sees(*attach("wwan0", CELL, 200), RouteFact("wlan0", 6, "fe80::2", 150))
    phone.said.clear()
    phone.sees(RouteFact("wlan0", 6, "fe80::1", 100, present=False))
    phone.waits(3.0)
    assert not phone.wanted()


def test_a_tunnel_that_comes_is_preferred_by_its_metric_and_left_when_it_goes() -> None:
    phone = at_the_office()
    phone.sees(*attach("tun0", "2001:db8:9::7", 50))
    phone.waits(0.2)
    assert phone.move() == ("2001:db8:9::7", Kind.SOFT)
    phone.sees(LinkFact("tun0", carrier=False, present=False))
    assert phone.move() == (OFFICE, Kind.HARD)


# A network that flaps


def test_a_network_that_flaps_must_last_before_it_is_taken_again() -> None:
    phone = at_the_office()
    phone.sees(*attach("wwan0", CELL, 200))
    phone.waits(60)
    moves = []
    for _ in range(240):  # two minutes: half a second there, half a second not
        phone.sees(LinkFact("wlan0", carrier=False))
        if phone.wanted():
            moves.append(phone.move()[0])
        phone.waits(0.25)
        phone.sees(LinkFact("wlan0", carrier=True), AddressFact("wlan0", OFFICE, usable=True))
        phone.waits(0.25)
        if phone.wanted():
            moves.append(phone.move()[0])
    assert moves == [CELL, OFFICE, CELL]
    phone.waits(2.0)
    assert phone.move() == (OFFICE, Kind.SOFT)


def test_a_flap_now_and_then_costs_more_each_time_and_is_forgotten() -> None:
    phone = at_the_office()
    phone.sees(*attach("wwan0", CELL, 200))
    waits = []
    for stay in (1.0, 1.0, 1.0, 10.0, 1.0):
        phone.waits(stay)
        phone.sees(LinkFact("wlan0", carrier=False))
        phone.move()
        phone.waits(5)
        phone.sees(LinkFact("wlan0", carrier=True), AddressFact("wlan0", OFFICE, usable=True))
        since = phone.now
        while not phone.wanted():
            phone.waits(0.1)
        phone.move()
        waits.append(round(phone.now - since, 1))
    assert waits == pytest.approx([2.0, 4.0, 8.0, 0.1, 2.0], abs=0.15)
