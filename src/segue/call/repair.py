"""What is lost on the way is sent again, both ways: the rules of one call (RFC 4585, or two Segue phones). Pure.

`SentPackets` has what we sent, `MissingPackets` what did not come; here they meet RTCP, which carries what each end
asks for. Only RTCP that SRTP has authenticated gets here, unless the call is in the clear.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from segue.call.feedback import NO_FEEDBACK, Feedback
from segue.call.missing_packets import MissingPackets
from segue.call.sent_packets import SentPackets
from segue.protocols.rtcp.resume import Resume
from segue.protocols.rtcp.session import PacketsMissing, ResumeWanted, RtcpEvent, RtcpSession

BANDWIDTH = 1000  # octets a second of feedback between two Segue phones, where one packet in five is lost
NOTICED = 0.04  # seconds that a link may be gone before it is noticed
UNDER_WAY = 0.1  # seconds at most that a packet is on its way over the link
HEARD_AGAIN = 0.5  # seconds after a loss of the link from which media that comes shows that there is one
UNANSWERED = 3  # requests in reduced size in a row without an answer: something on the way drops them


@dataclass
class RepairStatistics:
    """Packets."""

    resent: int = 0  # copies of ours beyond the first: the peer asked, or the link was lost right behind them
    sent_late: int = 0  # of ours that could not leave when they were made
    asked_for: int = 0  # of the peer's, that were missing
    recovered: int = 0  # of these, that came then


class Repair:
    """`limit`: seconds that our listener waits for late speech; 0: not at all."""

    def __init__(self, rtcp: RtcpSession, limit: float) -> None:
        self._rtcp = rtcp
        self._limit = limit
        self._feedback: Feedback = NO_FEEDBACK
        self._sent = SentPackets()
        self._missing: MissingPackets | None = None  # of the source heard last
        self._lost_at: float | None = None  # when the link went, while it is gone
        self._resume: Resume | None = None  # that the peer asked for
        self._resume_came = False
        self._past = RepairStatistics()  # of sources that are not heard any more

    def use(self, feedback: Feedback) -> None:
        """What holds from now on."""
        self._feedback = feedback
        self._rtcp.reduced_size = feedback.reduced_size
        self._rtcp.report_interval = feedback.report_interval
        if feedback.resumes:
            self._rtcp.feedback_bandwidth = BANDWIDTH
        if not feedback.answers:
            self._sent.clear()
            self._resume = None
        if not feedback.asks:
            self._missing = None

    @property
    def statistics(self) -> RepairStatistics:
        """A snapshot."""
        asked, recovered = self._past.asked_for, self._past.recovered
        if self._missing is not None:
            asked, recovered = asked + self._missing.asked, recovered + self._missing.recovered
        return RepairStatistics(self._sent.resent, self._sent.sent_late, asked, recovered)

    # What we send

    def link_lost(self, now: float) -> None:
        """Nothing can leave."""
        self._lost_at = now

    def path_back(self, now: float) -> None:
        """It can again; what the peer's listener would not wait for is left out. What left just before the link was
        lost, or was on its way, may be lost with it: the listener should not have to ask."""
        lost_at, self._lost_at = self._lost_at, None
        if lost_at is not None and self._feedback.peer_waits:
            under_way = min((self._rtcp.round_trip or 1.0) / 2, UNDER_WAY)
            self._sent.doubt(lost_at - under_way - NOTICED, lost_at)
        self._sent.drop_held(now - self._feedback.peer_waits)

    def out(self, octets: bytes, duration: float, now: float) -> bytes | None:
        """A sealed packet of `duration` seconds: itself when it is to leave now. With a peer that would not wait for
        it, it leaves into nowhere as ever."""
        feedback = self._feedback
        if self._lost_at is not None and feedback.peer_waits:
            self._sent.held(octets, duration, now)
            return None
        if feedback.answers:
            self._sent.left(octets, duration, now)
        return octets

    def late(self, now: float, may_send: Callable[[int], bool]) -> list[bytes]:
        """What leaves late, now."""
        return [] if self._lost_at is not None else self._sent.late(now, may_send)

    def take(self, event: RtcpEvent, now: float) -> None:
        """What the peer's RTCP asked for."""
        round_trip = self._rtcp.round_trip
        if isinstance(event, PacketsMissing) and self._feedback.answers:
            self._sent.ask(event.sequences, now, round_trip)
        elif isinstance(event, ResumeWanted) and self._feedback.resumes:
            self._resume, self._resume_came = event.resume, True

    def resume_came(self) -> bool:
        """Whether the peer has moved, and asked to go on there, since this was asked last."""
        came, self._resume_came = self._resume_came, False
        return came

    def resume(self, now: float) -> None:
        """We send to where the peer is now: what it missed goes there."""
        resume, self._resume = self._resume, None
        if resume is not None:
            self._sent.resume_after(resume.after, resume.oldest, now, self._rtcp.round_trip)

    # What we receive

    def heard(self, ssrc: int, extended: int, media_time: float, now: float) -> None:
        """The first copy of a packet has come; `media_time` is its timestamp in seconds."""
        if self._lost_at is not None and now - self._lost_at > HEARD_AGAIN:
            self.path_back(now)
        if not self._feedback.asks:
            return
        missing = self._missing
        if missing is None or missing.ssrc != ssrc:
            if missing is not None:
                self._past.asked_for += missing.asked
                self._past.recovered += missing.recovered
            missing = self._missing = MissingPackets(ssrc, self._limit)
        missing.received(extended, media_time, now)
        self.ask(now)

    def ask(self, now: float) -> None:
        """Ask for what is missing, if anything is and it is time."""
        missing, rtcp = self._missing, self._rtcp
        if missing is None or not missing or not rtcp.may_give_feedback(now):
            return
        if sequences := missing.due(now, rtcp.round_trip):
            self._choose_size(missing)
            rtcp.nack(missing.ssrc, sequences, now)

    def given_up(self) -> list[int]:
        """Sequence numbers that are not asked for any more, since the last call."""
        return self._missing.given_up() if self._missing is not None else []

    def ask_to_resume(self, now: float) -> None:
        """We have moved."""
        missing = self._missing
        found = missing.resume(now) if missing is not None else None
        if missing is None or found is None:
            return
        after, before = found
        self._choose_size(missing)
        if self._feedback.resumes:
            self._rtcp.ask_to_resume(Resume(missing.ssrc, after, self._limit), before, now)
        elif before:
            self._rtcp.nack(missing.ssrc, before, now)

    def _choose_size(self, missing: MissingPackets) -> None:
        """RFC 5506 section 4.2.1: middleboxes may drop what does not begin with a report."""
        self._rtcp.reduced_size = self._feedback.reduced_size and missing.unanswered <= UNANSWERED
