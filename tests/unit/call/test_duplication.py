"""Copies on a second path: while a handover lasts, while a link is bad, and not otherwise."""

from __future__ import annotations

from segue.base.address import Address, Path
from segue.call.duplication import ALIVE, Duplication
from segue.call.path import LINGER

PEER = Address("192.0.2.9", 4000)
WLAN = Path("wlan0", Address("192.0.2.1", 4000), PEER)
CELL = Path("wwan0", Address("198.51.100.1", 4000), PEER)


def handed_over(*, heard: float = 1.0, now: float = 1.0, **settings: object) -> Duplication:
    duplication = Duplication(**{"allowed": True, **settings})  # type: ignore[arg-type]
    duplication.received(WLAN, heard)
    duplication.switched(WLAN, CELL, now)
    return duplication


def test_the_old_path_gets_copies_for_a_while() -> None:
    duplication = handed_over()
    assert duplication.way(CELL, 200, 1.0) == duplication.way(CELL, 200, 0.99 + LINGER) == WLAN
    assert duplication.way(CELL, 200, 1.0 + LINGER) is None


def test_one_that_carries_nothing_any_more_gets_none() -> None:
    assert handed_over(heard=1.0, now=1.01 + ALIVE).way(CELL, 200, 1.2) is None


def test_nor_one_whose_port_is_gone() -> None:
    duplication = handed_over()
    duplication.forget(WLAN.port)
    assert duplication.way(CELL, 200, 1.0) is None


def test_no_copies_where_none_are_allowed_or_the_budget_is_spent() -> None:
    assert handed_over(allowed=False).way(CELL, 200, 1.0) is None
    asked = []

    def may(octets: int, now: float, interface: str) -> bool:
        asked.append((octets, now, interface))
        return False

    assert handed_over(may=may).way(CELL, 200, 1.0) is None
    assert asked == [(200, 1.0, "wlan0")]


def test_a_bad_link_is_helped_by_another_and_never_by_itself() -> None:
    duplication = Duplication(True)
    duplication.help(WLAN, [WLAN, CELL])
    assert duplication.way(WLAN, 200, 1.0) == CELL
    assert duplication.way(CELL, 200, 1.0) is None, "that is where it leaves already"
    duplication.rest()
    assert duplication.way(WLAN, 200, 1.0) is None
