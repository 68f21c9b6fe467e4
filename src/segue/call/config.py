"""What a call is told about its media. Frozen, validated at construction."""

from __future__ import annotations

from dataclasses import dataclass, replace

from segue.base.errors import LocalError
from segue.base.keying import Suite
from segue.call.extensions import Extension
from segue.call.formats import CODEC_NAMES
from segue.protocols.sdes import DEFAULT_SUITES

SPEECH = ("continuous", "complete")
LONGEST_LIMIT = 10.0  # seconds: what the other end keeps (call.sent_packets)
PACKET_TIMES = (10, 20, 40, 60)  # ms: whole frames of every codec we have (RFC 7587 section 4.2, RFC 3551)


@dataclass(frozen=True)
class MediaConfig:
    """How the audio of a call is negotiated.

    `codecs` and `suites` are in order of preference; every one of them is offered, so that a later change of
    codec needs no negotiation. `packet_time` is what we like to receive, in ms. `keying` is read by
    `call.keying`. `ice`: whether paths are checked, and moves need no signalling with a peer that can do the same;
    `duplicate`: whether encrypted media goes both ways while a soft handover lasts. `speech`: "complete", every word
    is heard, if need be late, or "continuous", what is late is dropped; `speech_limit`: seconds that a word may be
    late by. Raises LocalError for what does not exist.
    """

    codecs: tuple[str, ...] = ("opus", "G722", "PCMA", "PCMU")
    keying: str = "sdes"
    suites: tuple[Suite, ...] = DEFAULT_SUITES
    packet_time: int = 20
    telephone_events: bool = True
    rtcp_mux: bool = True
    ice: bool = True
    duplicate: bool = True
    extensions: tuple[Extension, ...] = tuple(Extension)
    speech: str = "complete"
    speech_limit: float = 3.0
    # A constant bit rate is asked for: with a varying one the sizes of encrypted packets tell words (RFC
    # 6562).
    opus_parameters: str = "useinbandfec=1;cbr=1"

    def __post_init__(self) -> None:
        canonical = tuple(CODEC_NAMES.get(name.lower(), "") for name in self.codecs)
        if not canonical or not all(canonical) or len(set(canonical)) < len(canonical):
            raise LocalError(
                f"no such list of codecs: {', '.join(self.codecs) or 'empty'}",
                f"name each once, among {', '.join(CODEC_NAMES.values())}",
            )
        object.__setattr__(self, "codecs", canonical)
        if not self.suites:
            raise LocalError("no SRTP suite to offer", f"name some of {', '.join(s.value for s in Suite)}")
        if self.packet_time not in PACKET_TIMES:
            raise LocalError(
                f"no packets of {self.packet_time} ms", f"choose among {', '.join(map(str, PACKET_TIMES))}"
            )

        if self.speech not in SPEECH:
            raise LocalError(f"no speech {self.speech!r}", f"choose among {', '.join(SPEECH)}")
        if not 0 < self.speech_limit <= LONGEST_LIMIT:
            raise LocalError(
                f"speech cannot be {self.speech_limit:g} s late", f"choose up to {LONGEST_LIMIT:g} s"
            )

    @property
    def waits(self) -> float:
        """Seconds that our listener waits for late speech; 0: not at all."""
        return self.speech_limit if self.speech == "complete" else 0.0

    def preferring(self, codec: str) -> MediaConfig:
        """The same with `codec` first; the others stay as alternatives."""
        first = CODEC_NAMES.get(codec.lower(), codec)
        return replace(self, codecs=(first, *(name for name in self.codecs if name != first)))
