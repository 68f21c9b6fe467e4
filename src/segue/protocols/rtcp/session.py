"""One participant's RTCP: when to report, what, and what the peer's reports say (RFC 3550 sections 6.2 to 6.4).

`RtcpSession` is a machine. It counts nothing itself: `RtpSender` and `RtpSource` do, and it reads them when a
report is due. Secrets, addresses and the clock on the wall are not known here; `wall_offset` is what turns
machine time into the NTP time of reports.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from segue.base.entropy import Entropy, fraction
from segue.base.trace import NO_TRACE, Trace
from segue.protocols.rtcp.interval import SHORTEST, deterministic_interval, randomised
from segue.protocols.rtcp.packets import (
    CNAME,
    MOST,
    Application,
    Bye,
    Chunk,
    GenericNack,
    ReceiverReport,
    RtcpPacket,
    SenderReport,
    SourceDescription,
    write_rtcp,
)
from segue.protocols.rtcp.resume import Resume, read_resume, write_resume
from segue.protocols.rtp.receiver import RtpSource
from segue.protocols.rtp.report_block import ReportBlock
from segue.protocols.rtp.sender import RtpSender

NTP_EPOCH = 2_208_988_800  # seconds from 1900 to 1970
LOWER_LAYERS = 28  # octets of IPv4 and UDP header, part of what RTCP may use (section 6.2)
TIMEOUT = 5  # intervals without a sign after which a member has left (section 6.3.5)
MEMBERS = 64  # other participants that are kept; a call has one
SOURCES = 32
OUR_SHARE = 0.5  # of RTCP's bandwidth: a call has two participants
FEEDBACK_BURST = 1000  # octets of feedback that may leave at once


class PeerReport(NamedTuple):
    """What the peer says of our stream. `round_trip` in seconds, None when the report does not tell."""

    ssrc: int  # of the reporter
    block: ReportBlock
    round_trip: float | None


class PacketsMissing(NamedTuple):
    """The peer asks for packets of ours again (generic NACK)."""

    sequences: tuple[int, ...]


class ResumeWanted(NamedTuple):
    """The peer has moved, and wants our stream from behind that packet on."""

    resume: Resume


class PeerLeft(NamedTuple):
    """BYE."""

    ssrc: int
    reason: str


RtcpEvent = PeerReport | PacketsMissing | ResumeWanted | PeerLeft


class RtcpSession:
    """Reports for `ssrc` under the canonical name `cname`.

    `sender`: whose packets sender reports count; `sent` is to be called for each of them. `bandwidth`: octets a
    second for the RTCP of all participants, 5 % of the session's. `wall_offset`: Unix time minus machine time,
    in seconds. `round_trip`: the latest, in seconds. `peer_cnames`: SSRC to canonical name. `reduced_size`: send
    feedback without a report (RFC 5506). `feedback_bandwidth`: octets a second for it, by default our share of RTCP's
    (RFC 3550 section 6.2). `report_interval`: seconds that reports are apart at least on average
    (T_rr_interval of RFC 4585 section 3.4).
    """

    def __init__(
        self,
        ssrc: int,
        cname: str,
        entropy: Entropy,
        now: float,
        *,
        wall_offset: float = 0.0,
        sender: RtpSender | None = None,
        bandwidth: float = 500.0,
        reduced_size: bool = False,
        trace: Trace = NO_TRACE,
    ) -> None:
        self.ssrc = ssrc
        self.cname = cname
        self.round_trip: float | None = None
        self.peer_cnames: dict[int, str] = {}
        self.reduced_size = reduced_size
        self.report_interval = 0.0
        self.feedback_bandwidth = bandwidth * OUR_SHARE
        self._entropy = entropy
        self._wall_offset = wall_offset
        self._sender = sender
        self._bandwidth = bandwidth
        self._trace = trace
        self._sources: dict[int, RtpSource] = {}
        self._members: dict[int, float] = {}  # others, and when they gave a sign
        self._reports: dict[int, tuple[int, float]] = {}  # last sender report: middle of NTP time, arrival
        self._own_reports: deque[int] = deque(maxlen=16)
        self._sent_at = float("-inf")
        self._spoke = False
        self._reported = False
        self._left = False
        self._credit = float(FEEDBACK_BURST)  # octets of feedback
        self._credited_at = now
        self._feedback_waits = False
        self._events: deque[RtcpEvent] = deque(maxlen=256)
        self._transmits: list[bytes] = []
        self._initial = True
        self._last_interval = SHORTEST
        self._average_size = float(LOWER_LAYERS + 44 + len(cname))
        self._previous_members = 1
        self._previous = now  # tp
        self._next: float = now + self._interval(now)  # tn

    # What others tell

    def add_source(self, source: RtpSource) -> None:
        """Report on this source as well, from now on, whenever packets of it have come."""
        self._sources[source.ssrc] = source
        if len(self._sources) > SOURCES:
            del self._sources[min(self._sources, key=lambda ssrc: self._sources[ssrc].heard_at)]

    def sent(self, now: float) -> None:
        """An RTP packet of ours has left (section 6.3.8)."""
        self._sent_at = now
        self._spoke = True

    def receive(self, packets: list[RtcpPacket], now: float, octets: int | None = None) -> None:
        """Take the packets of one datagram, `octets` long, that came from the peer and is authentic."""
        size = len(write_rtcp(packets)) if octets is None else octets
        self._average_size += (size + LOWER_LAYERS - self._average_size) / 16
        for packet in packets:
            match packet:
                case SenderReport() | ReceiverReport():
                    self._receive_report(packet, now)
                case SourceDescription(chunks):
                    self._receive_names(chunks)
                case Bye(ssrcs, reason):
                    self._receive_bye(ssrcs, reason, now)
                case GenericNack(_, media_ssrc, lost) if media_ssrc == self.ssrc:
                    self._events.append(PacketsMissing(lost))
                case Application() if (resume := read_resume(packet)) and resume.media_ssrc == self.ssrc:
                    self._events.append(ResumeWanted(resume))
                case _:
                    pass

    def _receive_report(self, report: SenderReport | ReceiverReport, now: float) -> None:
        if report.ssrc == self.ssrc:
            self._trace.drop("rtcp", "own SSRC", ssrc=report.ssrc)
            return
        if report.ssrc not in self._members and len(self._members) >= MEMBERS:
            self._trace.drop("rtcp", "too many members", ssrc=report.ssrc)
            return
        self._members[report.ssrc] = now
        if isinstance(report, SenderReport):
            self._reports[report.ssrc] = (report.ntp_time >> 16 & 0xFFFFFFFF, now)
        for block in report.blocks:
            if block.ssrc == self.ssrc:
                round_trip = self._round_trip(block, now)
                self.round_trip = self.round_trip if round_trip is None else round_trip
                self._events.append(PeerReport(report.ssrc, block, round_trip))

    def _round_trip(self, block: ReportBlock, now: float) -> float | None:
        """Section 6.4.1, only for a report that was really sent: the peer's fields prove nothing by themselves."""
        if not block.last_sr or block.last_sr not in self._own_reports:
            return None
        passed = ((self._ntp(now) >> 16) - block.last_sr - block.delay) & 0xFFFFFFFF
        # Clocks that tick apart, or rounding, may make it a little less than nothing.
        return passed / 65536 if passed < 0x80000000 else 0.0

    def _receive_names(self, chunks: tuple[Chunk, ...]) -> None:
        for chunk in chunks:
            if chunk.cname is not None and (chunk.ssrc in self._members or chunk.ssrc in self._sources):
                self.peer_cnames[chunk.ssrc] = chunk.cname

    def _receive_bye(self, ssrcs: tuple[int, ...], reason: str, now: float) -> None:
        for ssrc in ssrcs:
            if ssrc != self.ssrc and (ssrc in self._members or ssrc in self._sources):
                self._members.pop(ssrc, None)
                self._reports.pop(ssrc, None)
                self.peer_cnames.pop(ssrc, None)
                self._events.append(PeerLeft(ssrc, reason))
        self._reconsider(now)

    # When

    def _counts(self, now: float) -> tuple[int, int, bool]:
        """Members, senders, and whether we are one (section 6.3.8: within the last two intervals)."""
        recently = now - 2 * self._last_interval
        senders = {ssrc for ssrc, source in self._sources.items() if source.heard_at > recently}
        we_sent = self._sent_at > recently
        return 1 + len(self._members.keys() | senders), len(senders) + we_sent, we_sent

    def _interval(self, now: float) -> float:
        """Seconds, drawn anew at each call (section 6.3.1)."""
        members, senders, we_sent = self._counts(now)
        interval = deterministic_interval(
            members, senders, self._bandwidth, we_sent, self._average_size, self._initial
        )
        interval = max(interval, self.report_interval)
        self._last_interval = interval
        return randomised(interval, fraction(self._entropy))

    def _reconsider(self, now: float) -> None:
        """Reverse reconsideration (section 6.3.4)."""
        members = self._counts(now)[0]
        if members < self._previous_members:
            share = members / self._previous_members
            self._next = now + share * (self._next - now)
            self._previous = now - share * (now - self._previous)
            self._previous_members = members

    def deadline(self) -> float | None:
        """When the next report may be due; None after `bye`."""
        return None if self._left else self._next

    def expire(self, now: float) -> None:
        """Timer reconsideration (section 6.3.6)."""
        if self._left or now < self._next:
            return
        self._time_out(now)
        due = self._previous + self._interval(now)
        if due <= now:
            self._send(self._report(now))
            self._reported = True
            self._previous = now
            self._next = now + self._interval(now)
            self._initial = False
        else:
            self._next = due
        self._previous_members = self._counts(now)[0]

    def _time_out(self, now: float) -> None:
        """Section 6.3.5. A source that went silent is kept, only not counted: a path may be down, and what its
        statistics say must go on when it comes back."""
        members, senders, _ = self._counts(now)
        interval = deterministic_interval(members, senders, self._bandwidth, False, self._average_size, False)
        since = now - TIMEOUT * max(interval, self.report_interval)
        for ssrc, heard in list(self._members.items()):
            source = self._sources.get(ssrc)
            if heard < since and (source is None or source.heard_at < since):
                del self._members[ssrc]
                self._reports.pop(ssrc, None)
        self._reconsider(now)

    # What

    def _ntp(self, now: float) -> int:
        return int((now + self._wall_offset + NTP_EPOCH) * 0x1_0000_0000) & 0xFFFFFFFFFFFFFFFF

    def _report(self, now: float) -> list[RtcpPacket]:
        since = now - 2 * self._last_interval
        blocks = []
        for ssrc, source in list(self._sources.items())[-MOST:]:
            if source.heard_at > since:
                last_sr, arrived = self._reports.get(ssrc, (0, now))
                delay = max(0, min(int((now - arrived) * 65536), 0xFFFFFFFF))
                blocks.append(source.report_block(last_sr, delay))
        report: SenderReport | ReceiverReport = ReceiverReport(self.ssrc, tuple(blocks))
        sender = self._sender
        if sender is not None and self._sent_at > since:
            ntp_time = self._ntp(now)
            self._own_reports.append(ntp_time >> 16 & 0xFFFFFFFF)
            timestamp = sender.timestamp + int((now - self._sent_at) * sender.clock_rate) & 0xFFFFFFFF
            report = SenderReport(
                self.ssrc, ntp_time, timestamp, sender.packets, sender.octets, tuple(blocks)
            )
        name = (CNAME, self.cname.encode())
        return [report, SourceDescription((Chunk(self.ssrc, (name,)),))]

    def _send(self, packets: list[RtcpPacket]) -> int:
        octets = write_rtcp(packets)
        self._average_size += (len(octets) + LOWER_LAYERS - self._average_size) / 16
        self._transmits.append(octets)
        self._spoke = True
        return len(octets)

    # Feedback: at once between two parties (RFC 4585 sections 3.3 and 3.5.2: T_dither_max is 0)

    def may_give_feedback(self, now: float) -> bool:
        """Whether the bandwidth of feedback has something left (section 3.3: N <= B * T / R)."""
        earned = (now - self._credited_at) * self.feedback_bandwidth
        self._credit = min(self._credit + earned, FEEDBACK_BURST)
        self._credited_at = now
        return self._credit > 0 and not self._left

    def nack(self, media_ssrc: int, sequences: tuple[int, ...], now: float) -> None:
        """Ask for packets again."""
        if sequences:
            self._give_feedback([GenericNack(self.ssrc, media_ssrc, sequences)], now)

    def ask_to_resume(self, resume: Resume, missing: tuple[int, ...], now: float) -> None:
        """We have moved: the peer is to go on there, and to send again what was `missing` before."""
        packets: list[RtcpPacket] = [write_resume(self.ssrc, resume)]
        if missing:
            packets.append(GenericNack(self.ssrc, resume.media_ssrc, missing))
        self._give_feedback(packets, now)

    def _give_feedback(self, packets: list[RtcpPacket], now: float) -> None:
        """A report comes with it, unless reduced size was agreed and a report has been sent (RFC 5506 section 4)."""
        if self._left:
            return
        octets = self._send(
            packets if self.reduced_size and self._reported else [*self._report(now), *packets]
        )
        self._reported = True
        self._credit -= octets + LOWER_LAYERS
        self._feedback_waits = True

    @property
    def feedback_waits(self) -> bool:
        """Something that should leave now, not at the next occasion."""
        return self._feedback_waits

    def bye(self, now: float, reason: str = "") -> None:
        """Leave: a last report and BYE at once, nothing afterwards. Who never sent anything says nothing
        (section 6.3.7); groups of 50 and more, which would have to wait, do not occur in calls."""
        if not self._left and self._spoke:
            self._send([*self._report(now), Bye((self.ssrc,), reason)])
        self._left = True

    def transmits(self) -> list[bytes]:
        octets, self._transmits = self._transmits, []
        self._feedback_waits = False
        return octets

    def events(self) -> list[RtcpEvent]:
        """At most the latest 256."""
        events = list(self._events)
        self._events.clear()
        return events
