"""The offer/answer engine for the one audio stream of a call (RFC 3264, RFC 6337). Pure.

Everything a peer sends is either taken as a whole or raises RemoteError and changes nothing. The key
agreement's events are drained by whoever owns it, after each call here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from segue.base import keying as plug
from segue.base.entropy import Entropy
from segue.base.errors import RemoteError
from segue.base.keying import KeyAgreement
from segue.base.trace import NO_TRACE, Trace
from segue.call.agreement import AgreedFormat, LocalMedia, MediaAgreement
from segue.call.config import PACKET_TIMES, MediaConfig
from segue.call.extensions import Extension
from segue.call.feedback import Feedback, standard_answer, standard_feedback, standard_offer
from segue.call.formats import CODECS, EVENTS, Format, PayloadTypes, events_for
from segue.call.keying import accepts_profile
from segue.call.known_peers import keeps_first_key
from segue.call.local_media import AudioPart, LocalSession, own_parameters
from segue.call.remote_media import RemoteMedia, audio_parts, read_media
from segue.protocols.sdp import Direction, MediaDescription, SessionDescription, TimeDescription, parse_sdp


@dataclass(frozen=True)
class _Crossed:
    """Where the peer said to be in an offer that met ours, and in which version of its session."""

    version: int
    media: RemoteMedia


@dataclass(frozen=True)
class _Offer:
    """Our offer and what held before it, so that answers from several forks can be taken one after the
    other, also when one of them has made an offer of its own in between (RFC 3311 section 5.1)."""

    local: LocalMedia
    direction: Direction
    formats: tuple[tuple[Format, int], ...]
    rtcp_mux: bool
    new_key: bool  # of ours, in place of the one before
    before: MediaAgreement | None
    parts: tuple[MediaDescription, ...]
    slot: int


class Negotiation:
    """One call's agreement about media, over all its offers and answers.

    `keying` None: media in the clear. `agreement` is what holds now, None before the first exchange.
    """

    def __init__(
        self, config: MediaConfig, keying: KeyAgreement | None, entropy: Entropy, trace: Trace = NO_TRACE
    ) -> None:
        self.agreement: MediaAgreement | None = None
        self.keying = keying
        self._config = config
        self._trace = trace
        self._session = LocalSession(entropy)
        self._desired = Direction.SENDRECV
        self._types = PayloadTypes()
        self._parts: tuple[MediaDescription, ...] = ()  # every m= line of the session, refused form
        self._slot = 0
        self._peer: tuple[str, int] | None = None
        self._keeps_first_key = False  # the peer does
        self._replaced = False  # the peer was, and the new one has a key of ours that was in use before
        self._offer: _Offer | None = None
        self._open = False
        self._crossed: _Crossed | None = None
        mine = [CODECS[name] for name in config.codecs]
        self._formats: tuple[Format, ...] = (*mine, *(events_for(mine) if config.telephone_events else ()))

    # ------------------------------------------------------------------ what the user wants

    def hold(self, inactive: bool = False) -> None:
        """Hold the peer from the next offer or answer on. It may go on to receive (silence, music) unless
        `inactive`."""
        self._desired = Direction.INACTIVE if inactive else Direction.SENDONLY

    def resume(self) -> None:
        """End our hold with the next offer or answer. A hold by the peer stays until the peer ends it."""
        self._desired = Direction.SENDRECV

    @property
    def held(self) -> bool:
        """Whether we hold the peer, or will with the next exchange."""
        return self._desired is not Direction.SENDRECV

    @property
    def offer_is_open(self) -> bool:
        """Whether our offer waits for its answer."""
        return self._open

    @property
    def owes_new_key(self) -> bool:
        """Whether the peer needs another offer, with a new key of ours: it may not know our rollover counter."""
        return self.keying is not None and self._replaced and not self._keeps_first_key

    # ------------------------------------------------------------------ offers of ours

    def make_offer(self, local: LocalMedia, now: float) -> bytes:
        """An offer to receive at `local`: the first one, or a re-offer that keeps all that was agreed.

        A change of `local` is a move: hold state, codecs and their numbers stay, keys as RFC 4568 section
        7.1.4 and the peer's extensions say. An offer that is still open must be answered or rolled back
        before.
        """
        assert not self._open, "an offer is open"
        before = self.agreement
        rekey = self._must_rekey(local)
        keys = self.keying.offer(now, rekey) if self.keying else []
        mux = self._config.rtcp_mux and (before is None or before.rtcp_mux)
        formats = tuple((wanted, self._types.number(wanted)) for wanted in self._in_agreed_order())
        profile, extensions = self._offered_profile(), self._extensions_offered()
        feedback = standard_offer(profile)
        media = AudioPart(local, profile, formats, self._desired, mux, extensions, keys, feedback)
        parts = [*self._parts]
        parts[self._slot : self._slot + 1] = [media.describe(self._config)]
        self._offer = _Offer(local, self._desired, formats, mux, rekey, before, self._parts, self._slot)
        self._open = True
        return self._session.write(local, parts, (TimeDescription(),), keys)

    def receive_answer(self, body: bytes, now: float) -> MediaAgreement:
        """Take the answer to our last offer. A later answer to the same offer (another fork, or the same
        one in a 2xx after a 1xx) replaces the earlier.

        Raises RemoteError: 400 for what is not SDP, 488 for what cannot be accepted. Then all is as before
        the offer, which is closed.
        """
        offer = self._offer
        if offer is None:
            raise RemoteError("an answer without an offer", 400)
        self._open = False
        description = parse_sdp(body)
        if offer.slot >= len(description.media) or description.media[offer.slot].port == 0:
            raise RemoteError("the peer refused the audio stream", 488)
        part = description.media[offer.slot]
        if part.media != "audio" or not self._answers_profile(part.protocol):
            raise RemoteError(f"the answer changes the stream to {part.media[:20]} {part.protocol[:40]}", 488)
        media = read_media(description, part, {number: wanted for wanted, number in offer.formats})
        # RFC 3264 section 6.1 lets an answer add formats: those we did not offer are passed over.
        mine = dict(offer.formats)
        formats = [
            self._agreed(r.format, r.payload_type, mine[r.format], r.parameters)
            for r in media.formats
            if r.format in mine
        ]
        _demand_codec(formats)
        if self.keying is not None:
            self.keying.receive_answer(_for_keying(description, part), now)
        held = not media.direction.receives if offer.direction.sends else _held_remotely(offer.before)
        direction = Direction.of(
            sends=offer.direction.sends and media.direction.receives,
            receives=offer.direction.receives and media.direction.sends,
        )
        mux = offer.rtcp_mux and media.rtcp_mux
        replaced = self._replaced or (offer.before is not None and self._is_replaced(description))
        self._replaced = replaced and not offer.new_key
        media = self._newest(description, media)
        self._parts, self._slot = offer.parts, offer.slot
        self._peer, self._keeps_first_key = _identity(description), keeps_first_key(description)
        return self._conclude(offer.local, media, formats, direction, mux, held, offer.before)

    def rollback(self) -> None:
        """Our offer was refused, crossed the peer's, or its request failed: what held before it holds on."""
        self._offer = None
        self._open = False

    def take_back_hold(self) -> bool:
        """Our offer is refused for good: a wish to hold that was in it is none any more. True when there was one."""
        offer, agreement = self._offer, self.agreement
        held = agreement is not None and agreement.held_locally
        if offer is None or held or not self.held or offer.direction is not self._desired:
            return False
        self.resume()
        return True

    # ------------------------------------------------------------------ offers of the peer

    def receive_offer(self, body: bytes, local: LocalMedia, now: float) -> bytes:
        """Answer the peer's offer with `local` as our address; every other stream than our audio is refused.

        Raises RemoteError, and changes nothing: 400 for what is not SDP, 488 for what cannot be accepted (no
        common codec, no encryption where there must be some, no numeric address …), 491 when our own offer is
        open (RFC 3261 section 14.2).
        """
        if self._open:
            raise RemoteError("the offer crossed ours", 491)
        description = parse_sdp(body)
        problem: RemoteError | None = None
        for slot in audio_parts(description, self._slot if self.agreement else None):
            try:
                return self._answer(description, slot, local, now)
            except RemoteError as error:
                # Some phones offer the stream twice, encrypted and in the clear: one of the two will do.
                problem = problem or error
        assert problem is not None
        self._trace.drop("negotiation", "offer refused", problem=problem.problem)
        raise problem

    def receive_crossed(self, body: bytes) -> RemoteMedia | None:
        """Take from an offer that must not be answered, because it met another (491), where the peer is: it listens
        there already (RFC 3264 section 5.1). Nothing else of it counts. None when it says nothing new, or is not
        from whom we have agreed with."""
        before = self.agreement
        try:
            description = parse_sdp(body)
            part = description.media[self._slot] if self._slot < len(description.media) else None
            if before is None or part is None or part.media != "audio" or part.port == 0:
                return None
            media = read_media(description, part)
        except RemoteError as error:
            self._trace.drop("negotiation", "crossed offer", problem=error.problem)
            return None
        rtcp = media.rtp if before.rtcp_mux else media.rtcp
        if media.rtp is None or before.remote is None or self._is_replaced(description):
            return None
        if (media.rtp, rtcp) == (before.remote, before.remote_rtcp):
            return None
        self._crossed = _Crossed(description.origin.version, media)
        self.agreement = replace(before, remote=media.rtp, remote_rtcp=rtcp, remote_changed=True)
        return media

    def _newest(self, description: SessionDescription, answer: RemoteMedia) -> RemoteMedia:
        """An answer that the peer wrote before it moved may come after the offer that told of the move: the version
        in `o=` orders the two (RFC 3264 section 8), and the old address is not put back."""
        crossed, self._crossed = self._crossed, None
        if crossed is None or self._is_replaced(description) or description.origin.version >= crossed.version:
            return answer
        self._crossed = crossed
        return replace(answer, rtp=crossed.media.rtp, rtcp=crossed.media.rtcp)

    def refuse_offer(self, body: bytes, local: LocalMedia) -> bytes:
        """An answer that takes no stream at all, for an offer that came in a response and so cannot be
        answered by a status (RFC 6337 section 5.2.4). Raises RemoteError(400) for what is not SDP."""
        description = parse_sdp(body)
        parts = [part.refused() for part in description.media]
        return self._session.write(local, parts, description.times)

    def _answer(self, description: SessionDescription, slot: int, local: LocalMedia, now: float) -> bytes:
        part = description.media[slot]
        if not accepts_profile(self.keying, part.protocol):
            raise RemoteError(_profile_problem(self.keying, part.protocol), 488)
        media = read_media(description, part)
        types = self._types.copy()
        formats = [
            self._agreed(r.format, r.payload_type, types.number(r.format, r.payload_type), r.parameters)
            for r in media.formats
            if r.format in self._formats
        ]
        _demand_codec(formats)
        keys: list[plug.Attribute] = []
        if self.keying is not None:
            moved = self._is_replaced(description) or self._must_rekey(local)
            keys = self.keying.receive_offer(_for_keying(description, part), now, moved)
        self._replaced = False
        self._types, self._slot, self._peer = types, slot, _identity(description)
        self._keeps_first_key = keeps_first_key(description)
        self._parts = tuple(other.refused() for other in description.media)
        self._crossed = None
        theirs, desired = media.direction, self._desired
        direction = Direction.of(
            sends=desired.sends and theirs.receives, receives=desired.receives and theirs.sends
        )
        mux = media.rtcp_mux and self._config.rtcp_mux
        before = self.agreement
        agreement = self._conclude(local, media, formats, direction, mux, not theirs.receives, before)
        numbers = [(f.format, f.receive_type) for f in formats]
        names = {str(f.send_type): f.receive_type for f in formats}
        feedback = standard_answer(part.protocol, media.feedback, media.reduced_size, names)
        answered = AudioPart(
            local, part.protocol, numbers, direction, mux, agreement.extensions, keys, feedback
        )
        parts = [*self._parts]
        parts[slot] = answered.describe(self._config)
        return self._session.write(local, parts, description.times, keys)

    # ------------------------------------------------------------------ common to both

    def _conclude(
        self,
        local: LocalMedia,
        media: RemoteMedia,
        formats: Sequence[AgreedFormat],
        direction: Direction,
        mux: bool,
        held_remotely: bool,
        before: MediaAgreement | None,
    ) -> MediaAgreement:
        rtcp = media.rtp if mux else media.rtcp
        codecs = tuple(f for f in formats if f.format not in EVENTS)
        self.agreement = MediaAgreement(
            local=local,
            remote=media.rtp,
            remote_rtcp=rtcp,
            rtcp_mux=mux,
            profile=media.profile,
            secure=self.keying is not None,
            codecs=codecs,
            telephone_events=tuple(f for f in formats if f.format in EVENTS),
            receive_types=self._types.meaning,
            direction=direction,
            held_locally=self.held,
            # RFC 3264 section 8.4: the hold of RFC 2543 says it by address.
            held_remotely=held_remotely or media.rtp is None,
            packet_time=self._packet_time(media),
            extensions=media.extensions & self._extensions_offered(),
            feedback=self._feedback(media, [str(f.send_type) for f in (*codecs, *formats)]),
            remote_changed=before is None or (before.remote, before.remote_rtcp) != (media.rtp, rtcp),
            ice=media.ice,
        )
        return self.agreement

    def _feedback(self, media: RemoteMedia, types: Sequence[str]) -> Feedback:
        waits = self._config.waits > 0
        if Extension.RESEND in media.extensions & self._extensions_offered():
            return Feedback(answers=True, asks=waits, resumes=True, peer_waits=media.waits, reduced_size=True)
        return standard_feedback(media.profile, media.feedback, media.reduced_size, types, waits)

    def _packet_time(self, media: RemoteMedia) -> int:
        """What the peer asks for, in whole frames and not more than it can take; else what we like."""
        wanted = media.packet_time or self._config.packet_time
        limit = min(wanted, media.max_packet_time or wanted)
        return max((time for time in PACKET_TIMES if time <= limit), default=PACKET_TIMES[0])

    def _must_rekey(self, local: LocalMedia) -> bool:
        """RFC 4568 section 7.1.4: another address, another key; unless the peer has agreed to keep it, or would not
        take another."""
        if self.agreement is None or self._keeps_first_key:
            return False
        if self._replaced:
            return True
        if self.agreement.local.rtp == local.rtp:
            return False
        return Extension.KEEP_KEYS not in self.agreement.extensions

    def _is_replaced(self, description: SessionDescription) -> bool:
        """A new o= under the same dialog is a new endpoint behind a B2BUA: it has not our rollover counter."""
        return self._peer is not None and self._peer != _identity(description)

    def _extensions_offered(self) -> frozenset[Extension]:
        offered = frozenset(self._config.extensions)
        if not self._config.ice:
            offered -= {Extension.MIGRATE}
        return offered if self.keying else offered - {Extension.KEEP_KEYS}

    def _in_agreed_order(self) -> list[Format]:
        """All our formats, those in use first: a hold or a move must not change the codec."""
        agreed = [f.format for f in self.agreement.codecs] if self.agreement else []
        rest = [f for f in self._formats if f not in agreed and f not in EVENTS]
        return [*agreed, *rest, *(f for f in self._formats if f in EVENTS)]

    def _offered_profile(self) -> str:
        if self.agreement is not None:
            return self.agreement.profile
        return self.keying.profile if self.keying else "RTP/AVP"

    def _answers_profile(self, protocol: str) -> bool:
        """Whether an answer may bear it: what we offered, with or without feedback (RFC 5124)."""
        offered = self._offered_profile()
        return protocol in (offered, offered + "F", offered.removesuffix("F"))

    def _agreed(self, wanted: Format, theirs: int, mine: int, parameters: str) -> AgreedFormat:
        return AgreedFormat(wanted, theirs, mine, parameters, own_parameters(wanted, self._config))


def _demand_codec(formats: Iterable[AgreedFormat]) -> None:
    if all(agreed.format in EVENTS for agreed in formats):
        raise RemoteError("no codec in common", 488)


def _for_keying(description: SessionDescription, part: MediaDescription) -> list[plug.Attribute]:
    """The peer's attributes as the key agreements read them."""
    return [plug.Attribute(a.name, a.value or "") for a in part.attributes] + [
        plug.Attribute(a.name, a.value or "", session_level=True) for a in description.attributes
    ]


def _identity(description: SessionDescription) -> tuple[str, int]:
    # Not the address: phones that move write their new one there, although they must not.
    return description.origin.username, description.origin.session_id


def _held_remotely(agreement: MediaAgreement | None) -> bool:
    return agreement is not None and agreement.held_remotely


def _profile_problem(keying: KeyAgreement | None, protocol: str) -> str:
    if keying is None:
        return f"the peer wants encrypted media ({protocol[:40]!r}); here it is turned off (--keying none)"
    return f"media transport {protocol[:40]!r} does not go with our key agreement ({keying.profile})"
