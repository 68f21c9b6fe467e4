"""What the kernel and the radio report, as facts; and a socket for the radio."""

from __future__ import annotations

import asyncio
import json
import socket
from pathlib import Path

import pytest

from segue.base.errors import LocalError
from segue.mobility.observation import AddressFact, Fact, LinkFact, RouteFact, SignalFact
from segue.mobility.service import MobilityService, SleepWatch, fact_of, signal_of
from segue.net import netlink
from segue.net.netlink import AddressEvent, LinkEvent, NeighbourEvent, RouteEvent


def test_each_report_of_the_kernel_is_a_fact_or_nothing() -> None:
    assert fact_of(LinkEvent("wlan0", True, False, b"", 3, 0)) == LinkFact("wlan0", False)
    assert fact_of(LinkEvent("wlan0", False, False, b"", 3, 0, present=False)) == LinkFact(
        "wlan0", False, present=False
    )
    assert fact_of(AddressEvent("wlan0", "2001:db8::1", 64, False, False, False, False)) == AddressFact(
        "wlan0", "2001:db8::1", False
    )
    gone = AddressEvent("wlan0", "192.0.2.1", 24, True, False, True, False, present=False)
    assert fact_of(gone) == AddressFact("wlan0", "192.0.2.1", True, present=False, deprecated=True)
    assert fact_of(RouteEvent("wlan0", 4, "192.0.2.254", 600)) == RouteFact("wlan0", 4, "192.0.2.254", 600)
    assert fact_of(NeighbourEvent("wlan0", "192.0.2.254", b"\x02")) is None


def test_the_radio_reports_in_lines_of_json() -> None:
    report = json.dumps({"interface": "wlan0", "dbm": -61, "network": "office"}).encode()
    assert signal_of(report) == SignalFact("wlan0", -61.0, "office")
    assert signal_of(b'{"interface": "wlan0", "dbm": null}') == SignalFact("wlan0", None)


@pytest.mark.parametrize(
    "report",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"7",
        b'{"dbm": -60}',
        b'{"interface": "w", "dbm": "strong"}',
        b"\xff\xfe",
        b"[" * 4000,
    ],
)
def test_a_report_that_is_none_is_no_fact(report: bytes) -> None:
    assert signal_of(report) is None


async def test_a_report_reaches_who_listens(tmp_path: Path) -> None:
    bursts: list[list[Fact]] = []
    path = str(tmp_path / "radio")
    service = MobilityService(lambda facts, _now: bursts.append(facts), radio=path)
    service.start()
    try:
        assert LinkFact("lo", True) in bursts[0] or any(f.interface == "lo" for f in bursts[0])
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as radio:
            radio.connect(path)
            radio.send(b"nonsense")
            radio.send(b'{"interface": "wlan0", "dbm": -77}')
        async with asyncio.timeout(5):
            while SignalFact("wlan0", -77.0) not in [fact for burst in bursts for fact in burst]:  # noqa: ASYNC110
                await asyncio.sleep(0)
    finally:
        service.close()


async def test_a_radio_that_cannot_be_listened_to_is_said(tmp_path: Path) -> None:
    with pytest.raises(LocalError, match="--radio"):
        MobilityService(lambda _facts, _now: None, radio=str(tmp_path / "none" / "radio"))


async def test_the_socket_of_a_phone_that_was_killed_is_taken_over(tmp_path: Path) -> None:
    path = tmp_path / "radio"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as killed:
        killed.bind(str(path))
        with pytest.raises(LocalError, match="in use"):  # somebody listens there
            MobilityService(lambda _facts, _now: None, radio=str(path))
    assert path.is_socket()
    service = MobilityService(lambda _facts, _now: None, radio=str(path))
    service.start()
    service.close()
    assert not path.exists()


async def test_a_file_in_the_way_of_the_radio_stays(tmp_path: Path) -> None:
    path = tmp_path / "radio"
    path.write_text("mine")
    with pytest.raises(LocalError, match="in use"):
        MobilityService(lambda _facts, _now: None, radio=str(path))
    assert path.read_text() == "mine"


def test_a_machine_that_slept_is_noticed_once() -> None:
    watch = SleepWatch(100.0)
    assert not watch.slept(100.0)
    assert not watch.slept(100.000004), "two clocks are read one after the other"
    assert watch.slept(3700.0)
    assert not watch.slept(3700.0)


async def test_a_kernel_that_tells_no_changes_is_asked_and_that_is_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Subscriptions are refused, as in some containers; everything else is the real kernel."""
    genuine = netlink._open

    def refuse(groups: int) -> socket.socket:
        if groups:
            raise PermissionError(1, "Operation not permitted")
        return genuine(groups)

    monkeypatch.setattr(netlink, "_open", refuse)
    bursts: list[list[Fact]] = []
    problems: list[LocalError] = []
    service = MobilityService(lambda facts, _now: bursts.append(facts), radio="", on_problem=problems.append)
    service.start()
    try:
        assert any(fact.interface == "lo" for fact in bursts[0] if isinstance(fact, LinkFact))
        (problem,) = problems
        assert "does not tell" in problem.problem and "0.2 s late" in problem.remedy
        # Something has changed since: the next question tells, and only that.
        forgotten = next(key for key, event in service._netlink._known.items() if event.interface == "lo")
        del service._netlink._known[forgotten]
        count = len(bursts)
        async with asyncio.timeout(5):
            while len(bursts) == count:  # noqa: ASYNC110
                await asyncio.sleep(0)
        assert [fact.interface for fact in bursts[count] if isinstance(fact, LinkFact)] == ["lo"]
        assert not [fact for fact in bursts[count] if isinstance(fact, AddressFact)], "which confirm nothing"
    finally:
        service.close()
