"""When reports are sent, what they say, and what is learned from the peer's."""

from __future__ import annotations

from itertools import pairwise

import pytest

from segue.protocols.rtcp.interval import deterministic_interval
from segue.protocols.rtcp.packets import (
    Bye,
    GenericNack,
    ReceiverReport,
    ReportBlock,
    SenderReport,
    SourceDescription,
    parse_rtcp,
)
from segue.protocols.rtcp.resume import Resume, write_resume
from segue.protocols.rtcp.session import (
    FEEDBACK_BURST,
    LOWER_LAYERS,
    OUR_SHARE,
    PacketsMissing,
    PeerLeft,
    PeerReport,
    ResumeWanted,
    RtcpSession,
)
from segue.protocols.rtp.packet import RtpPacket, parse_rtp
from segue.protocols.rtp.receiver import RtpSource
from segue.protocols.rtp.sender import RtpSender
from segue.testing.entropy import SeededEntropy


class End:
    """One party: sends sound every 20 ms, receives, reports."""

    def __init__(self, ssrc: int, peer: int, wall_offset: float = 1.7e9, **options: bool) -> None:
        self.sender = RtpSender(ssrc, 1, 0, 0, 8000)
        self.source = RtpSource(peer, 8000)
        self.session = RtcpSession(
            ssrc,
            f"{ssrc}@segue.invalid",
            SeededEntropy(ssrc),
            1000.0,
            wall_offset=wall_offset,
            sender=self.sender,
            **options,  # type: ignore[arg-type]
        )
        self.session.add_source(self.source)

    def speak(self, now: float) -> RtpPacket:
        self.session.sent(now)
        return parse_rtp(self.sender.packet(b"x" * 160, 160))

    def reports(self, now: float) -> list[bytes]:
        due = self.session.deadline()
        if due is not None and due <= now:
            self.session.expire(now)
        return self.session.transmits()


def call(
    one: End, other: End, seconds: float, begin: float = 1000.0, delay: float = 0.04, keep: int = 1
) -> list[tuple[float, End, bytes]]:
    """`keep`: of so many packets of `one`'s one is lost (1: none). Returns all RTCP, with when and who."""
    wire: list[tuple[float, End, RtpPacket | bytes]] = []
    sent: list[tuple[float, End, bytes]] = []
    for tick in range(int(seconds * 50)):
        now = begin + tick * 0.02
        while wire and wire[0][0] <= now:
            _, target, load = wire.pop(0)
            if isinstance(load, RtpPacket):
                target.source.receive(load, now)
            else:
                target.session.receive(parse_rtcp(load), now, len(load))
        for end, target in ((one, other), (other, one)):
            packet = end.speak(now)
            if end is other or keep == 1 or tick % keep:
                wire.append((now + delay, target, packet))
            for octets in end.reports(now):
                sent.append((now, end, octets))
                wire.append((now + delay, target, octets))
    return sent


def test_reports_of_a_call() -> None:
    one, other = End(1, 2), End(2, 1, wall_offset=5.0)
    sent = call(one, other, 60, keep=10)
    times = [when for when, end, _ in sent if end is one]
    gaps = [later - earlier for earlier, later in pairwise(times)]
    assert 7 <= len(times) <= 20
    assert 1000 + 1.02 <= times[0] <= 1000 + 3.1  # half of 2.5 s to one and a half, over 1.218
    assert all(2.04 <= gap <= 6.2 for gap in gaps)
    for _, end, octets in sent:
        report, description = parse_rtcp(octets)
        assert isinstance(report, SenderReport)
        assert isinstance(description, SourceDescription)
        assert description.chunks[0].cname == f"{end.session.ssrc}@segue.invalid"
    last = parse_rtcp([octets for _, end, octets in sent if end is other][-1])[0]
    assert isinstance(last, SenderReport)
    assert last.blocks[0].ssrc == 1
    assert last.blocks[0].fraction_lost == pytest.approx(256 / 10, abs=1.5)
    assert one.session.peer_cnames == {2: "2@segue.invalid"}


@pytest.mark.parametrize("delay", [0.04, 0.3])
def test_round_trip_time(delay: float) -> None:
    one, other = End(1, 2), End(2, 1, wall_offset=-500.0)
    call(one, other, 30, delay=delay)
    assert one.session.round_trip == pytest.approx(2 * delay, abs=0.021)
    assert other.session.round_trip == pytest.approx(2 * delay, abs=0.021)
    reports = [event for event in one.session.events() if isinstance(event, PeerReport)]
    assert reports[-1].round_trip == one.session.round_trip
    assert not one.session.events()


def test_a_report_read_just_after_ours_was_due_has_no_negative_delay() -> None:
    """Times of datagrams and of deadlines are taken apart from each other."""
    one, other = End(1, 2), End(2, 1)
    call(one, other, 10)
    due = one.session.deadline()
    assert due is not None
    one.source.receive(other.speak(due), due)
    other.session.bye(due)
    one.session.receive(parse_rtcp(other.session.transmits()[0])[:2], due + 0.001)
    one.session.sent(due)
    one.session.bye(due)
    report = parse_rtcp(one.session.transmits()[-1])[0]
    assert isinstance(report, SenderReport)
    assert report.blocks[0].delay == 0


def test_a_round_trip_that_was_made_up() -> None:
    one = End(1, 2)
    block = ReportBlock(1, 0, 0, 5, 0, last_sr=12345, delay=0)
    one.session.receive([ReceiverReport(2, (block,))], 1001.0)
    assert one.session.round_trip is None
    assert one.session.events() == [PeerReport(2, block, None)]


def test_ntp_and_rtp_times_of_a_sender_report() -> None:
    one = End(1, 2, wall_offset=1_700_000_000.0 - 1000.0)
    one.speak(1000.0)
    one.session.bye(1000.5)
    report = parse_rtcp(one.session.transmits()[0])[0]
    assert isinstance(report, SenderReport)
    assert report.ntp_time / 2**32 - 2_208_988_800 == pytest.approx(1_700_000_000.5, abs=1e-3)
    assert report.rtp_timestamp == 160 + 4000
    assert (report.packets, report.octets) == (1, 160)


def test_who_is_silent_sends_receiver_reports() -> None:
    one = End(1, 2)
    for tick in range(1000):
        now = 1000 + tick * 0.02
        one.source.receive(RtpPacket(0, False, tick, tick * 160, 2, b"x"), now)
        for octets in one.reports(now):
            report = parse_rtcp(octets)[0]
            assert isinstance(report, ReceiverReport)
            assert report.blocks[0].extended_sequence == tick


def test_sender_reports_end_some_time_after_the_sound() -> None:
    one, other = End(1, 2), End(2, 1)
    call(one, other, 20)
    kinds = []
    for tick in range(3000):
        for octets in one.reports(1020 + tick * 0.02):
            kinds.append(type(parse_rtcp(octets)[0]))
    assert kinds[0] is SenderReport
    assert kinds[-1] is ReceiverReport


def test_an_outage_is_reported_when_it_is_over() -> None:
    one, other = End(1, 2), End(2, 1)
    call(one, other, 20)
    for tick in range(1500):  # 30 s without a path
        one.speak(1020 + tick * 0.02)
        other.reports(1020 + tick * 0.02)
    sent = call(one, other, 20, begin=1050.0)
    reports = [parse_rtcp(octets)[0] for _, end, octets in sent if end is other]
    assert max(report.blocks[0].lost for report in reports if isinstance(report, SenderReport)) >= 1500


def test_bye() -> None:
    one, other = End(1, 2), End(2, 1)
    call(one, other, 10)
    one.session.bye(1010.0, "done")
    octets = one.session.transmits()[0]
    packets = parse_rtcp(octets)
    assert isinstance(packets[0], SenderReport) and packets[-1] == Bye((1,), "done")
    assert one.session.deadline() is None
    one.session.expire(2000.0)
    assert one.session.transmits() == []
    other.session.receive(packets, 1010.1, len(octets))
    assert other.session.events()[-1] == PeerLeft(1, "done")


def test_no_bye_from_who_said_nothing() -> None:
    one = End(1, 2)
    one.session.bye(1001.0)
    assert one.session.transmits() == []


def test_bye_of_somebody_else_or_in_our_name() -> None:
    one = End(1, 2)
    one.session.receive([Bye((1, 77))], 1001.0)
    assert one.session.events() == []


def test_our_own_reports_coming_back_change_nothing() -> None:
    one = End(1, 2)
    one.session.receive([ReceiverReport(1, (ReportBlock(1, 9, 9, 9, 9, 9, 9),))], 1001.0)
    assert one.session.events() == []


def test_missing_packets() -> None:
    one, other = End(1, 2), End(2, 1)
    call(one, other, 5)
    other.session.events()
    one.session.events()
    other.session.nack(1, (7, 8), 1005.0)
    octets = other.session.transmits()[-1]
    packets = parse_rtcp(octets)
    assert isinstance(packets[0], SenderReport) and packets[-1] == GenericNack(2, 1, (7, 8))
    one.session.receive(packets, 1005.1, len(octets))
    assert PacketsMissing((7, 8)) in one.session.events()
    other.session.receive(packets, 1005.1, len(octets))
    assert PacketsMissing((7, 8)) not in other.session.events()


def test_missing_packets_in_reduced_size() -> None:
    """RFC 5506 section 4: only when a compound packet was sent before."""
    other = End(2, 1, reduced_size=True)
    other.session.nack(1, (7,), 1001.0)
    assert other.session.feedback_waits
    assert isinstance(parse_rtcp(other.session.transmits()[0])[0], ReceiverReport)
    assert not other.session.feedback_waits
    other.session.nack(1, (8,), 1001.0)
    assert parse_rtcp(other.session.transmits()[0]) == [GenericNack(2, 1, (8,))]


def test_feedback_keeps_to_our_share_of_the_bandwidth() -> None:
    """RFC 4585 section 3.3: N <= B * T / R."""
    other = End(2, 1, reduced_size=True)
    octets = 0
    for tick in range(3000):
        now = 1000.0 + tick * 0.02
        if other.session.may_give_feedback(now):
            other.session.nack(1, (tick,), now)
        octets += sum(len(datagram) + LOWER_LAYERS for datagram in other.session.transmits())
    assert octets <= FEEDBACK_BURST + 60 * 500 * OUR_SHARE + 200


def test_who_has_moved_asks_to_go_on() -> None:
    one, other = End(1, 2), End(2, 1)
    one.speak(1000.0)
    other.session.ask_to_resume(Resume(1, 65_535, 3.0), (65_530,), 1000.0)
    (octets,) = other.session.transmits()
    one.session.receive(parse_rtcp(octets), 1000.1, len(octets))
    assert one.session.events() == [ResumeWanted(Resume(1, 65_535, 3.0)), PacketsMissing((65_530,))]
    third = End(3, 2)
    third.session.receive(parse_rtcp(octets), 1000.1, len(octets))
    assert third.session.events() == [], "another stream is meant"


def test_an_application_that_is_none_of_ours_is_passed_over() -> None:
    one = End(1, 2)
    ours = write_resume(2, Resume(1, 7, 3.0))
    for other in (ours._replace(name=b"ABCD"), ours._replace(subtype=2), ours._replace(data=ours.data[:4])):
        one.session.receive([other], 1000.0)
    assert one.session.events() == []


def test_reports_are_as_far_apart_as_was_agreed() -> None:
    """T_rr_interval (RFC 4585 section 3.4); and who reports seldom is not given up earlier."""
    one, other = End(1, 2), End(2, 1)
    for end in (one, other):
        end.session.report_interval = 20.0
    times = [at for at, end, _ in call(one, other, 300.0) if end is one]
    assert 300 / 30 <= len(times) <= 300 / 8
    assert one.session.peer_cnames


def test_memory_is_bounded() -> None:
    one = End(1, 2)
    for ssrc in range(1000, 3000):
        one.session.receive([ReceiverReport(ssrc, (ReportBlock(1, 0, 0, 0, 0, 0, 0),))], 1001.0)
        one.session.add_source(RtpSource(ssrc, 8000))
    assert len(one.session.events()) <= 256
    assert len(one.session._members) <= 64
    assert len(one.session._sources) <= 32


def test_members_that_fell_silent_make_room() -> None:
    one = End(1, 2)
    for ssrc in range(1000, 1064):
        one.session.receive([ReceiverReport(ssrc)], 1001.0)
    about_us = (ReportBlock(1, 0, 0, 0, 0, 0, 0),)
    one.session.receive([ReceiverReport(5000, about_us)], 1002.0)
    assert one.session.events() == []
    for tick in range(120):
        one.reports(1002.0 + tick)
    one.session.receive([ReceiverReport(5000, about_us)], 1122.0)
    assert [event.ssrc for event in one.session.events() if isinstance(event, PeerReport)] == [5000]


def test_reports_come_sooner_when_many_have_left() -> None:
    one = RtcpSession(1, "one", SeededEntropy(3), 0.0, bandwidth=50.0)
    members = range(1000, 1060)
    for ssrc in members:
        one.receive([ReceiverReport(ssrc)], 1.0)
    while len(one.transmits()) == 0:
        one.expire(one.deadline() or 0.0)
    before = one.deadline() or 0.0
    now = before - 20.0
    one.receive([Bye(tuple(members)[:31]), Bye(tuple(members)[31:])], now)
    assert now < (one.deadline() or 0.0) < now + 2


def test_intervals_of_large_groups() -> None:
    # 100 members, 10 senders, 100 octets each, 500 octets a second: receivers have 75 % of it.
    assert deterministic_interval(100, 10, 500, False, 100, False) == pytest.approx(90 * 100 / 375)
    assert deterministic_interval(100, 10, 500, True, 100, False) == pytest.approx(10 * 100 / 125)
    assert deterministic_interval(100, 50, 500, True, 100, False) == pytest.approx(100 * 100 / 500)
    assert deterministic_interval(2, 2, 500, True, 100, False) == 5
    assert deterministic_interval(2, 2, 500, True, 100, True) == 2.5
