"""What the sound of a call says about networks: packets that are missing, whether somebody speaks, and whether a link
is so bad that everything had better go two ways. Pure."""

from __future__ import annotations

from segue.base.address import Path
from segue.base.frame import Frame
from segue.call.call import Call, CallState
from segue.media.voice_activity import VoiceActivity
from segue.mobility.link_quality import LinkQuality
from segue.mobility.observation import CallFact, SpeechFact
from segue.mobility.silence import MediaSilence

JUDGED_EVERY = 50  # ticks: a second
MOST_EXPECTED = 500  # packets in that time; more is another source, or an outage


class Attention:
    """Of one call. `facts` tells what has changed."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._silence = MediaSilence()
        self._voices: tuple[VoiceActivity, VoiceActivity] | None = None  # ours, the peer's; while it matters
        self._speaks = False
        self._facts: list[CallFact] = []
        self._quality = LinkQuality()
        self._ticks = 0
        self._reports = 0
        self._counted = (0, 0)  # packets of the peer's, expected and lost
        self._path: Path | None = None

    def received(self, interface: str, octets: bytes, now: float) -> None:
        """An authentic RTP or SRTP packet, whose header is in the clear, came over `interface`."""
        sequence, timestamp = octets[2] << 8 | octets[3], int.from_bytes(octets[4:8], "big")
        self._silence.received(interface, sequence, timestamp, now)

    def tick(self, now: float) -> None:
        """Once a packet time."""
        agreement = self._call.media.agreement
        up = self._call.state is CallState.UP
        receives = agreement is not None and agreement.direction.receives and not agreement.held_by
        self._silence.expect(up and receives)
        self._silence.expire(now)
        self._facts += self._silence.events()
        self._ticks += 1
        if self._ticks % JUDGED_EVERY == 0:
            self._judge(now)

    def _judge(self, now: float) -> None:
        """Design decision 4: two ways not only during a move."""
        media, quality = self._call.media, self._quality
        path = media.paths.active
        if path != self._path:
            self._path = path
            quality.changed_path()
        (expected, lost), (before, lost_before) = media.session.received, self._counted
        self._counted = (expected, lost)
        if 0 <= expected - before < MOST_EXPECTED:
            quality.seen(expected - before, lost - lost_before, now)
        reports, part = media.session.reported
        if reports != self._reports:
            self._reports = reports
            quality.reported(part, now)
        quality.expire(now)
        media.connectivity.care(bad=quality.is_bad)

    def listen(self, spoken: Frame, heard: Frame | None) -> None:
        """While it matters whether somebody speaks: 20 ms of both ends."""
        if self._voices is None:
            self._voices = (VoiceActivity(), VoiceActivity())
        ours, theirs = self._voices
        speaks = ours.speech(spoken.samples, spoken.rate)
        if heard is not None:
            speaks = theirs.speech(heard.samples, heard.rate) or speaks
        self._tell(speaks)

    def rest(self) -> None:
        """It does not matter any more."""
        if self._voices is not None:
            self._voices = None
            self._tell(False)

    def facts(self) -> list[CallFact]:
        facts, self._facts = self._facts, []
        return facts

    def _tell(self, speaks: bool) -> None:
        if speaks != self._speaks:
            self._speaks = speaks
            self._facts.append(SpeechFact(speaks))
