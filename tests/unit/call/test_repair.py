"""The rules by which one call asks for packets, and sends them again."""

from __future__ import annotations

from segue.call.feedback import NO_FEEDBACK, Feedback
from segue.call.repair import HEARD_AGAIN, UNANSWERED, Repair
from segue.protocols.rtcp.packets import Application, GenericNack, RtcpPacket, is_compound, parse_rtcp
from segue.protocols.rtcp.resume import Resume
from segue.protocols.rtcp.session import PacketsMissing, ResumeWanted, RtcpSession
from segue.protocols.rtp.packet import RtpPacket
from segue.testing.entropy import SeededEntropy

OURS, THEIRS = 1, 2
PERIOD = 0.02
SEGUE = Feedback(answers=True, asks=True, resumes=True, peer_waits=3.0, reduced_size=True)
STANDARD = Feedback(answers=True, asks=True)


class End:
    def __init__(self, feedback: Feedback) -> None:
        self.rtcp = RtcpSession(OURS, "x@segue.invalid", SeededEntropy(1), 0.0)
        self.repair = Repair(self.rtcp, 3.0)
        self.repair.use(feedback)
        self.now = 0.0
        self.sequence = 0

    def hears(self, *numbers: int, ssrc: int = THEIRS) -> End:
        for number in numbers:
            self.now += PERIOD
            self.repair.heard(ssrc, number, number * PERIOD, self.now)
        return self

    def says(self, count: int) -> int:
        """How many of `count` packets leave."""
        left = 0
        for _ in range(count):
            self.now += PERIOD
            packet = RtpPacket(8, False, self.sequence, 0, OURS, bytes(160)).to_bytes()
            self.sequence += 1
            left += self.repair.out(packet, PERIOD, self.now) is not None
        return left

    def late(self, ticks: int) -> list[int]:
        """Sequence numbers of what leaves late."""
        sequences = []
        for _ in range(ticks):
            self.now += PERIOD
            sequences += [o[2] << 8 | o[3] for o in self.repair.late(self.now, bool)]
        return sequences

    def asked(self) -> list[list[RtcpPacket]]:
        return [parse_rtcp(octets) for octets in self.rtcp.transmits()]


def test_what_is_missing_is_asked_for_by_rtcp() -> None:
    (packets,) = End(STANDARD).hears(0, 1, 3, 4, 5).asked()
    assert packets[-1] == GenericNack(OURS, THEIRS, (2,))
    assert is_compound(packets)


def test_nothing_is_asked_for_or_kept_without_an_agreement() -> None:
    end = End(NO_FEEDBACK).hears(0, 1, 30, 31)
    assert end.asked() == []
    end.says(10)
    end.repair.take(PacketsMissing((3,)), end.now)
    end.repair.link_lost(end.now)
    assert end.says(5) == 5, "as ever"
    end.repair.path_back(end.now)
    assert end.late(20) == []


def test_a_request_in_reduced_size_that_is_never_answered_gets_a_report() -> None:
    """RFC 5506 section 4.2.1: something on the way may drop it."""
    end = End(SEGUE)
    begins = []
    for hole in range(UNANSWERED + 3):
        end.now += 5.0
        end.hears(*range(100 * hole, 100 * hole + 50), 100 * hole + 99)
        begins += [is_compound(packets) for packets in end.asked()]
    assert begins[0] and begins[-1], "the first of all, and when nothing came of the others"
    assert False in begins
    end.hears(*range(100 * hole + 50, 100 * hole + 99), *range(100 * hole + 100, 100 * hole + 110))
    end.now += 5.0
    end.hears(100 * hole + 130)
    assert [is_compound(packets) for packets in end.asked()][-1] is False


def test_who_has_moved_asks_a_segue_phone_to_go_on_and_another_for_what_it_knows_is_missing() -> None:
    segue, standard = End(SEGUE).hears(0, 1, 2, 4), End(STANDARD).hears(0, 1, 2, 4)
    for end in (segue, standard):
        end.repair.ask_to_resume(end.now)
    (resume,), (nack,) = segue.asked(), standard.asked()
    assert [type(packet) for packet in resume[-2:]] == [Application, GenericNack]
    assert nack[-1] == GenericNack(OURS, THEIRS, (3,))
    assert not any(isinstance(packet, Application) for packet in nack)


def test_a_standard_peer_cannot_have_us_go_on_by_a_message_it_did_not_agree_on() -> None:
    end = End(STANDARD)
    end.says(20)
    end.repair.take(ResumeWanted(Resume(OURS, 5, 3.0)), end.now)
    assert not end.repair.resume_came()
    end.repair.resume(end.now)
    assert end.late(10) == []


def test_a_request_to_go_on_waits_until_the_way_is_known() -> None:
    end = End(SEGUE)
    end.says(20)
    end.repair.take(ResumeWanted(Resume(OURS, 16, 3.0)), end.now)
    assert end.repair.resume_came() and not end.repair.resume_came()
    assert end.late(5) == []
    end.repair.resume(end.now)
    assert end.late(5) == [17, 18, 19]


def test_another_source_is_another_stream_and_the_counts_go_on() -> None:
    end = End(SEGUE).hears(0, 1, 10).hears(*range(2, 10))
    end.hears(7000, 7020, ssrc=9)
    assert (end.repair.statistics.asked_for, end.repair.statistics.recovered) == (27, 8)
    assert [packets[-1] for packets in end.asked()][-1] == GenericNack(OURS, 9, tuple(range(7001, 7020)))


def test_media_that_comes_shows_that_the_link_is_there() -> None:
    """Should nobody have said so: nothing is kept back for ever."""
    end = End(SEGUE).hears(0, 1)
    end.repair.link_lost(end.now)
    end.hears(2)
    assert end.says(5) == 0, "that one was on its way"
    end.now += HEARD_AGAIN
    end.hears(3)
    assert end.says(5) == 5
    assert end.late(10) == list(range(5))
