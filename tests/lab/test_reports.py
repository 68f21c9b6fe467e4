"""What the phones report to each other by RTCP, against what captures at the reporting ends say (RFC 3550 section
6.4.1, appendices A.3 and A.8): a call in the clear over links with jitter and burst loss, with a move in it."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import pytest

from segue.base.errors import RemoteError
from segue.lab.measure.capture import read_captures
from segue.lab.measure.packets import UDP
from segue.lab.networks.namespaces import can_make_namespaces
from segue.lab.options import RunOptions
from segue.lab.scenario import Scenario
from segue.protocols.rtcp.packets import Bye, ReceiverReport, SenderReport, SourceDescription, parse_rtcp
from segue.protocols.rtp.packet import RtpPacket, parse_rtp
from segue.protocols.rtp.report_block import ReportBlock

pytestmark = [
    pytest.mark.lab,
    pytest.mark.peers,
    pytest.mark.skipif(not can_make_namespaces(), reason="needs root or a user namespace for the lab"),
]

CLOCK = 8000  # Hz
PCMA = 8
READ_LATE = 0.005  # seconds that a phone may look at a packet after the kernel has it


class Report(NamedTuple):
    at: float
    block: ReportBlock


class Arrival(NamedTuple):
    at: float
    packet: RtpPacket


class Seen:
    """What one host's captures tell of a call."""

    def __init__(self, folder: Path, host: str) -> None:
        self.arrivals: list[Arrival] = []
        self.reports: list[Report] = []
        self.kinds: list[type] = []  # of the RTCP packets sent, in their order
        for captured in sorted(read_captures(folder / "captures"), key=lambda each: each.time):
            datagram = captured.packet()
            if captured.place.partition(" ")[0] != host or datagram is None or datagram.protocol != UDP:
                continue
            octets = datagram.payload
            if captured.received and octets[0] == 0x80 and octets[1] & 0x7F == PCMA:
                self.arrivals.append(Arrival(captured.time, parse_rtp(octets)))
            elif not captured.received and octets[0] >> 6 == 2 and 200 <= octets[1] <= 203:
                self._take_reports(captured.time, octets)

    def _take_reports(self, at: float, octets: bytes) -> None:
        try:
            packets = parse_rtcp(octets)
        except RemoteError:
            return  # a DNS message may have such octets too
        self.kinds += [type(packet) for packet in packets]
        for packet in packets:
            if isinstance(packet, SenderReport | ReceiverReport):
                self.reports += [Report(at, block) for block in packet.blocks]

    def told_of(self, report: Report) -> list[Arrival]:
        """First copies of what the reporter knew: what came just before it wrote may not have been looked at."""
        arrivals = self._received_until(report.at, report.block.ssrc)
        told = report.block.extended_sequence & 0xFFFF
        while arrivals[-1].at > report.at - READ_LATE and highest_sequence(arrivals) != told:
            arrivals.pop()
        return arrivals

    def _received_until(self, at: float, ssrc: int) -> list[Arrival]:
        known: set[int] = set()
        arrivals = []
        for arrival in self.arrivals:
            if arrival.at > at or arrival.packet.ssrc != ssrc or arrival.packet.sequence in known:
                continue
            known.add(arrival.packet.sequence)
            arrivals.append(arrival)
        return arrivals


def jitter(arrivals: list[Arrival]) -> float:
    """Appendix A.8, in timestamp units."""
    value = 0.0
    for before, after in pairwise(arrivals):
        sent = after.packet.timestamp - before.packet.timestamp
        value += (abs((after.at - before.at) * CLOCK - sent) - value) / 16
    return value


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("reports")
    Scenario(RunOptions(signalling="udp", links="street", mode="soft", speed=4.0), folder).run()
    return folder


@pytest.mark.parametrize("host", ["mn", "cn"])
def test_loss_and_jitter_are_those_of_the_capture(folder: Path, host: str) -> None:
    seen = Seen(folder, host)
    assert len(seen.reports) >= 4
    first, last = seen.reports[0], seen.reports[-1]
    losses = 0
    for before, report in pairwise(seen.reports):
        block = report.block
        arrivals, earlier = seen.told_of(report), seen.told_of(before)
        expected = block.extended_sequence - before.block.extended_sequence
        lost = expected - (len(arrivals) - len(earlier))
        assert block.extended_sequence & 0xFFFF == highest_sequence(arrivals)
        assert block.lost - before.block.lost == lost
        assert block.fraction_lost == (max(lost, 0) << 8) // expected
        assert block.jitter == pytest.approx(jitter(arrivals), rel=0.2, abs=0.002 * CLOCK)
        losses += lost
    assert losses == last.block.lost - first.block.lost
    assert losses > 0, "no packet was lost: the links are to lose some"


def highest_sequence(arrivals: list[Arrival]) -> int:
    """The highest sequence number; over a wrap, counted from the newest."""
    newest = arrivals[-1].packet.sequence
    ahead = max(((each.packet.sequence - newest + 0x8000) & 0xFFFF) - 0x8000 for each in arrivals[-64:])
    return (newest + ahead) & 0xFFFF


@pytest.mark.parametrize("host", ["mn", "cn"])
def test_each_report_has_its_name_and_the_last_a_goodbye(folder: Path, host: str) -> None:
    kinds = Seen(folder, host).kinds
    assert kinds.count(SourceDescription) == kinds.count(SenderReport) + kinds.count(ReceiverReport)
    assert kinds.count(SenderReport) >= 4, "who sends media sends sender reports"
    assert kinds[-1] is Bye and kinds.count(Bye) == 1
