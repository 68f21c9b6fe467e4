"""THE packet path of one call's audio: datagrams in, 20 ms of sound out, and the same backwards. Pure.

In: `demux` sorts, SRTP authenticates, RTP is numbered, the jitter buffer orders, a codec decodes. Out: a codec
encodes, RTP numbers, SRTP seals. Nothing here knows an address. Keys, SSRC, sequence numbers, rollover counters
and the jitter buffer live as long as the call, whatever path its packets take (design decision 1).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from segue.base.entropy import Entropy, number
from segue.base.errors import RemoteError
from segue.base.frame import Frame, Samples
from segue.base.keying import MasterKey, SrtpKeys, Suite
from segue.base.machine import earliest
from segue.base.resample import Resampler
from segue.base.secret import Secret
from segue.base.trace import NO_TRACE, Trace
from segue.call.agreement import AgreedFormat, MediaAgreement
from segue.call.formats import EVENTS, OPUS, Format
from segue.call.repair import Repair, RepairStatistics
from segue.media.codecs import Codec, OpusSettings, codec_for
from segue.media.playout import Playout, PlayoutStatistics
from segue.media.speech_policy import CONTINUOUS, SpeechPolicy
from segue.protocols.demux import Kind
from segue.protocols.rtcp.packets import parse_rtcp
from segue.protocols.rtcp.session import PeerLeft, PeerReport, RtcpSession
from segue.protocols.rtp.packet import RtpPacket, parse_rtp
from segue.protocols.rtp.receiver import RtpSource
from segue.protocols.rtp.sender import RtpSender
from segue.protocols.rtp.telephone_event import DtmfReceiver, DtmfSender
from segue.protocols.sdp.format_parameters import opus_parameters
from segue.protocols.srtp.context import SrtpReceiver, SrtpSender

FRAME = 0.02  # seconds
OLD_KEYS_LIVE = (
    30.0  # seconds that a remote key which was replaced is still accepted (RFC 4568 section 7.1.4)
)
MOVE_DELAY = 0.04  # seconds by which playout grows before a move: what another access network is slower
MOVE_LASTS = 3.0  # seconds that a move takes at most, from its announcement on
WRAP_IS_NEAR = 50  # packets before the wrap of sequence numbers, a second: no new key begins there
SENDERS = 256  # keys of ours whose use in this call is remembered: far more than any agreement may bring back
SOURCES = 4  # synchronisation sources of one peer whose statistics are kept


@dataclass(frozen=True)
class MediaIdentity:
    """How our stream begins. `sequence` is fixed by the lab only; RFC 3550 section 5.1 wants it random."""

    ssrc: int
    sequence: int
    timestamp: int
    cname: str

    @classmethod
    def draw(cls, entropy: Entropy, sequence: int | None = None) -> MediaIdentity:
        """All random; the canonical name per call, so that calls cannot be linked (RFC 7022 section 4.2). A first
        sequence number below 2**15 keeps the rollover counter of late joiners right (RFC 3711 section 3.3.1)."""
        first = number(entropy, 1 << 15) if sequence is None else sequence
        return cls(
            number(entropy, 1 << 32),
            first,
            number(entropy, 1 << 32),
            f"{entropy.octets(12).hex()}@segue.invalid",
        )


class MediaSession:
    """Made before there is an agreement; `use` and `install` may come any number of times, in any order.

    The packet path is `receive`, `play` and `send`; RTCP comes out of `transmits` and wants `deadline` and
    `expire`. `heard_at` is when authenticated media came last. While `holding`, silence leaves in place of our sound.
    """

    def __init__(
        self,
        identity: MediaIdentity,
        entropy: Entropy,
        now: float,
        *,
        wall_offset: float = 0.0,
        speech_limit: float = 0.0,
        trace: Trace = NO_TRACE,
    ) -> None:
        """`speech_limit`: seconds that our listener waits for late speech; 0: not at all."""
        self.identity = identity
        self.heard_at = now
        self.holding = False
        self.agreement: MediaAgreement | None = None
        self.keys: SrtpKeys | None = None
        self._at_report = (0, 0)  # packets of ours by then, and copies of them that left again
        self.reported = (
            0,
            0.0,
        )  # how many reports the peer has sent, and the part of our packets lost by the latest
        self._trace = trace
        self._sender = RtpSender(identity.ssrc, identity.sequence, identity.timestamp, 0, 8000)
        self._rtcp = RtcpSession(
            identity.ssrc, identity.cname, entropy, now, wall_offset=wall_offset, sender=self._sender
        )
        self._repair = Repair(self._rtcp, speech_limit)
        self._speech_limit = speech_limit
        self._sources: dict[int, RtpSource] = {}
        self._protect: Callable[[bytes], bytes] | None = None
        self._srtp_out: SrtpSender | None = None
        self._srtp_next: SrtpSender | None = None  # takes over when the sequence number has wrapped
        self._senders: dict[tuple[Suite, Secret, Secret], SrtpSender] = {}
        self._srtp_in: SrtpReceiver | None = None
        self._encoder: Codec | None = None
        self._encoding: AgreedFormat | None = None
        self._decoders: dict[int, Codec] = {}
        self._event_types: frozenset[int] = frozenset()
        self._playout: Playout | None = None
        self._resampler: Resampler | None = None
        self._bundle: list[bytes] = []
        self._frames_per_packet = 1
        self._paused = True
        self._dtmf_out: DtmfSender | None = None
        self._dtmf_in = DtmfReceiver()
        self._digits: list[str] = []
        self._left = False
        self._retire_at: float | None = None

    # What signalling says

    def use(self, agreement: MediaAgreement, now: float) -> None:
        """Send and receive as agreed from now on. Codecs that stay keep their state."""
        if self._playout is not None and not agreement.direction.receives:
            self._playout.stand_still()
        self.agreement = agreement
        self._use_encoder(agreement)
        self._use_decoders(agreement)
        self._repair.use(agreement.feedback)
        self._wait_for_late(agreement)
        self._event_types = frozenset(n for n, f in agreement.receive_types.items() if f in EVENTS)
        if agreement.held_by:
            self.heard_at = now  # silence while held counts from here when it ends

    def install(self, keys: SrtpKeys, now: float) -> None:
        """Send with these keys from now on. Keys that are installed already change nothing; keys that were used
        before go on where they were: forks of one offer share our key for a suite, and may answer in turns."""
        before, self.keys = self.keys, keys
        if before is None or self._srtp_in is None:
            self._srtp_in = SrtpReceiver(keys.suite, [keys.remote], trace=self._trace)
        elif (before.suite, before.remote) != (keys.suite, keys.remote):
            self._srtp_in.add_key(keys.remote, keys.suite)
            self._retire_at = now + OLD_KEYS_LIVE
        sender = self._sender_of(keys)
        if sender is self._srtp_out:
            self._srtp_next = None
        elif self._sender.packets and self._sender.sequence >= (1 << 16) - WRAP_IS_NEAR:
            # A peer whose new context begins with a rollover counter of zero (RFC 4568 section 7.1.4), and who misses
            # all that is left before the wrap, would stay at zero for good (section 6.4). The old key is still good.
            self._srtp_next = sender
        else:
            self._send_under(sender, self._sender.sequence)

    def _sender_of(self, keys: SrtpKeys) -> SrtpSender:
        """The one and only context of a key of ours."""
        name = (keys.suite, keys.local.key, keys.local.salt)
        sender = self._senders.pop(name, None) or SrtpSender(keys.suite, keys.local)
        self._senders[name] = sender
        if len(self._senders) > SENDERS:
            del self._senders[next(iter(self._senders))]
        return sender

    def _send_under(self, sender: SrtpSender, sequence: int) -> None:
        """`sequence`: of the first RTP packet."""
        if self._srtp_out is not None:
            sender.take_over(self._srtp_out, self.identity.ssrc, sequence)
        self._srtp_out, self._srtp_next = sender, None
        self._protect = sender.protect

    @property
    def exchanged_keys(self) -> tuple[MasterKey, MasterKey] | None:
        """Ours and the peer's, as they are now."""
        return (self.keys.local, self.keys.remote) if self.keys else None

    # The packet path

    def receive(self, datagram: bytes, kind: Kind, now: float) -> bool:
        """Take a datagram that came to one of our ports, RTP or RTCP as `demux.sort` says. True when it was authentic
        media of this call (any media, when the call is in the clear)."""
        return self._receive_rtp(datagram, now) if kind is Kind.RTP else self._receive_rtcp(datagram, now)

    def play(self, now: float) -> Frame | None:
        """The next 20 ms for the listener's ear; None until something is agreed."""
        return None if self._playout is None else self._playout.get(now)

    def expect_move(self, now: float) -> None:
        """A move is near: the listener's delay grows before it, and shrinks when it is over."""
        if self._playout is not None:
            self._playout.expect_move(MOVE_DELAY, now, MOVE_LASTS)

    def send(self, frame: Frame, now: float) -> bytes | None:
        """The packet that carries this 20 ms, ready to leave; None when nothing is to be sent now, or nothing can."""
        encoder, agreement = self._encoder, self.agreement
        if encoder is None or agreement is None:
            return None
        if not agreement.sends or (agreement.secure and self._protect is None):
            self._pause(encoder.frame_ticks)
            return None
        event = self._next_event()
        if event is not None:
            return self._repair.out(self._seal(event, now), FRAME, now)
        samples = self._resampled(frame, encoder)
        # Silence, not nothing: address translators and the peer's own timers stay content.
        payload = encoder.encode(np.zeros_like(samples) if self.holding else samples)
        if self._frames_per_packet > 1:
            self._bundle.append(payload)
            if len(self._bundle) < self._frames_per_packet:
                return None
            payload = b"".join(self._bundle)
            self._bundle.clear()
        packet = self._sender.packet(payload, encoder.frame_ticks * self._frames_per_packet, self._paused)
        self._paused = False
        return self._repair.out(self._seal(packet, now), FRAME * self._frames_per_packet, now)

    def late(self, now: float, may_send: Callable[[int], bool] = bool) -> list[bytes]:
        """To be asked right after each `send`: packets of before that leave (again) now, where `may_send` says that
        so many octets may; by default any number. What is missing of the peer's is asked for meanwhile."""
        self._repair.ask(now)
        if self._playout is not None and (given_up := self._repair.given_up()):
            self._playout.abandon(given_up)
        agreement = self.agreement
        return self._repair.late(now, may_send) if agreement is not None and agreement.sends else []

    def resume_came(self) -> bool:
        """Whether the peer has moved, and asked to go on with what it missed, since this was asked last: `resume` is
        to be called when the way there is known."""
        return self._repair.resume_came()

    def resume(self, now: float) -> None:
        """What the peer missed leaves with the next `late`."""
        self._repair.resume(now)

    def link_lost(self, now: float) -> None:
        """Nothing can leave or come from now on: what `send` makes is kept, when the peer would wait for it."""
        self._trace.note("media", "link lost", at=now)
        self._repair.link_lost(now)
        if self._playout is not None:
            self._playout.expect_outage(now)

    def path_back(self, now: float) -> None:
        """It can again."""
        self._repair.path_back(now)

    def ask_to_resume(self, now: float) -> None:
        """We have moved, and the peer is to send again what it sent to where we are not any more. RTCP says so, which
        `transmits` has now: it belongs right behind what tells the peer our new address."""
        self._repair.ask_to_resume(now)

    def press(self, digits: str) -> None:
        """Send keys as telephone events (RFC 4733). Raises RemoteError when the peer takes none."""
        agreement = self.agreement
        clock = self._encoding.format.clock_rate if self._encoding else 0
        events = [e for e in agreement.telephone_events if e.format.clock_rate == clock] if agreement else []
        if not events:
            raise RemoteError("the peer takes no telephone events")
        if self._dtmf_out is None:
            self._dtmf_out = DtmfSender(events[0].send_type, clock)
        self._dtmf_out.press(digits)

    @property
    def rate(self) -> int:
        """Hz of the frames that `send` takes without resampling."""
        return self._encoder.sample_rate if self._encoder else 8000

    @property
    def play_rate(self) -> int:
        """Hz of the frames that `play` gives."""
        return self._playout.rate if self._playout else 8000

    @property
    def codec(self) -> str:
        return self._encoding.format.name if self._encoding else ""

    @property
    def statistics(self) -> PlayoutStatistics | None:
        return self._playout.statistics if self._playout else None

    @property
    def received(self) -> tuple[int, int]:
        """Packets of the peer's so far: how many should have come, and how many of them did not at the first try."""
        sources = self._sources.values()
        lost = sum(source.lost for source in sources) + self._repair.statistics.recovered
        return sum(source.expected for source in sources), lost

    @property
    def repair_statistics(self) -> RepairStatistics:
        return self._repair.statistics

    # RTCP and events

    @property
    def feedback_waits(self) -> bool:
        """`transmits` has something that should leave now: the peer is asked for what is missing."""
        return self._rtcp.feedback_waits

    def transmits(self) -> list[bytes]:
        """RTCP to be sent, sealed."""
        return [self._seal_rtcp(octets) for octets in self._rtcp.transmits() if self._may_send()]

    def deadline(self) -> float | None:
        return earliest(self._rtcp.deadline(), self._retire_at)

    def expire(self, now: float) -> None:
        self._rtcp.expire(now)
        if self._retire_at is not None and self._retire_at <= now:
            self._retire_at = None
            if self._srtp_in is not None:
                self._srtp_in.retire_old()

    def digits(self) -> str:
        """Keys that the peer pressed since the last call."""
        digits, self._digits = "".join(self._digits), []
        return digits

    @property
    def digits_wait(self) -> bool:
        """The peer pressed keys that nobody has asked for yet."""
        return bool(self._digits)

    @property
    def peer_left(self) -> bool:
        """The peer's RTCP said BYE."""
        return self._left

    @property
    def round_trip(self) -> float | None:
        """Seconds to the peer and back over the media path, from RTCP; None when not known."""
        return self._rtcp.round_trip

    def bye(self, now: float) -> list[bytes]:
        """What to send when the call ends (RFC 3550 section 6.3.7)."""
        self._rtcp.bye(now)
        return self.transmits()

    # Receiving

    def _receive_rtp(self, datagram: bytes, now: float) -> bool:
        octets: bytes | None = datagram
        if self._srtp_in is not None:
            octets = self._srtp_in.unprotect(datagram)
        elif self.agreement is None or self.agreement.secure:
            self._trace.drop("media", "no keys yet")
            return False
        if octets is None:
            return False
        try:
            packet = parse_rtp(octets)
        except RemoteError as error:
            self._trace.drop("media", "malformed RTP", problem=error.problem)
            return False
        source = self._source(packet)
        extended = source.receive(packet, now)
        if extended is None:
            return False
        self.heard_at = now
        self._repair.heard(packet.ssrc, extended, packet.timestamp / source.clock_rate, now)
        if packet.payload_type in self._event_types:
            digit = self._dtmf_in.receive(packet.payload, packet.timestamp)
            if digit:
                self._digits.append(digit)
            if self._playout is not None:
                self._playout.abandon((packet.sequence,))  # no sound will come with that number
        elif self._playout is not None:
            self._playout.put(
                packet.payload_type, packet.sequence, packet.timestamp, packet.payload, now, packet.ssrc
            )
        return True

    def _source(self, packet: RtpPacket) -> RtpSource:
        source, codec = self._sources.get(packet.ssrc), self._decoders.get(packet.payload_type)
        if source is None:
            if len(self._sources) >= SOURCES:
                self._sources.pop(next(iter(self._sources)))
            # In the clear anybody can name a source: it is believed after two packets in a row (RFC 3550 A.1).
            clock = codec.clock_rate if codec is not None else 8000
            source = RtpSource(packet.ssrc, clock, probation=0 if self._srtp_in else 2)
            self._sources[packet.ssrc] = source
            self._rtcp.add_source(source)
        elif codec is not None and codec.clock_rate != source.clock_rate:
            source.change_clock_rate(codec.clock_rate)
        return source

    def _receive_rtcp(self, datagram: bytes, now: float) -> bool:
        octets: bytes | None = datagram
        if self._srtp_in is not None:
            octets = self._srtp_in.unprotect_rtcp(datagram)
        elif self.agreement is None or self.agreement.secure:
            return False
        if octets is None:
            return False
        try:
            packets = parse_rtcp(octets)
        except RemoteError as error:
            self._trace.drop("media", "malformed RTCP", problem=error.problem)
            return False
        self._rtcp.receive(packets, now, len(octets))
        for event in self._rtcp.events():
            self._left = self._left or isinstance(event, PeerLeft)
            if isinstance(event, PeerReport):
                self._note_report(event.block.fraction_lost / 256)
            self._repair.take(event, now)
        return False  # RTCP proves nothing about media

    def _note_report(self, lost: float) -> None:
        """What was sent again the peer does not count as lost; the path lost it all the same."""
        now = self._sender.packets, self._repair.statistics.resent
        packets, resent = (count - before for count, before in zip(now, self._at_report, strict=True))
        self._at_report = now
        again = resent / packets if packets else 0.0
        self.reported = (self.reported[0] + 1, min(lost + again, 1.0))

    # Sending

    def _seal(self, packet: bytes, now: float) -> bytes:
        self._rtcp.sent(now)
        if self._srtp_next is not None and (sequence := packet[2] << 8 | packet[3]) < 0x8000:
            self._send_under(self._srtp_next, sequence)
        return packet if self._protect is None else self._protect(packet)

    def _seal_rtcp(self, octets: bytes) -> bytes:
        return octets if self._srtp_out is None else self._srtp_out.protect_rtcp(octets)

    def _may_send(self) -> bool:
        agreement = self.agreement
        return agreement is not None and (not agreement.secure or self._srtp_out is not None)

    def _pause(self, ticks: int) -> None:
        if self._srtp_next is not None:
            self._send_under(self._srtp_next, self._sender.sequence)
        self._sender.skip(ticks)
        self._paused = True
        self._bundle.clear()

    def _next_event(self) -> bytes | None:
        """A telephone event takes the place of sound (RFC 4733 section 2.1)."""
        dtmf, encoder = self._dtmf_out, self._encoder
        if dtmf is None or encoder is None or not dtmf.busy:
            return None
        return dtmf.next_packet(self._sender, encoder.frame_ticks)

    def _resampled(self, frame: Frame, encoder: Codec) -> Samples:
        if frame.rate == encoder.sample_rate:
            return frame.samples
        resampler = self._resampler
        if resampler is None or (resampler.source_rate, resampler.target_rate) != (
            frame.rate,
            encoder.sample_rate,
        ):
            resampler = self._resampler = Resampler(frame.rate, encoder.sample_rate)
        return resampler.push(frame.samples)

    def _use_encoder(self, agreement: MediaAgreement) -> None:
        wanted = agreement.codecs[0]
        before = self._encoding
        if before is None or (before.format, before.send_parameters) != (
            wanted.format,
            wanted.send_parameters,
        ):
            self._encoder = _codec(wanted.format, wanted.send_parameters)
            self._bundle.clear()
        if before is None or before.send_type != wanted.send_type or before.format != wanted.format:
            self._sender.change_payload(wanted.send_type, wanted.format.clock_rate)
            self._dtmf_out = None
        self._encoding = wanted
        # Frames of G.711 and G.722 are put one after another; those of Opus are not (RFC 7587 section 4.2).
        single = wanted.format is OPUS
        self._frames_per_packet = 1 if single else max(1, round(agreement.packet_time / 20))

    def _wait_for_late(self, agreement: MediaAgreement) -> None:
        """The listener's ear waits for what is late, and at a hole only when the peer sends again what is missing."""
        assert self._playout is not None
        limit = self._speech_limit
        self._playout.policy = (
            SpeechPolicy(complete=True, limit=limit, resent=agreement.feedback.asks) if limit else CONTINUOUS
        )

    def _use_decoders(self, agreement: MediaAgreement) -> None:
        for payload_type, wanted in agreement.receive_types.items():
            if wanted not in EVENTS and payload_type not in self._decoders:
                self._decoders[payload_type] = _codec(wanted, "")
        if self._playout is None:
            first = agreement.codecs[0].receive_type
            ordered = {first: self._decoders[first]} | self._decoders
            self._playout = Playout(ordered, trace=self._trace)
        else:
            self._playout.use_codecs(self._decoders)


def _codec(wanted: Format, parameters: str) -> Codec:
    if wanted is not OPUS:
        return codec_for(wanted.name, wanted.clock_rate)
    asked = opus_parameters(parameters)
    # A varying bit rate tells words through the encryption (RFC 6562): constant, whatever the peer asks for.
    return codec_for("opus", opus=OpusSettings(forward_error_correction=asked.inband_fec))
