"""Which codecs there are, and how to get one. A codec is loaded when it is first asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

from segue.base.errors import LocalError

if TYPE_CHECKING:
    from segue.base.frame import Samples


class Codec(Protocol):
    """One direction or both of one stream; encoder, decoder and concealment keep state between frames."""

    name: str  # encoding name, as in SDP
    sample_rate: int  # Hz of PCM
    clock_rate: int  # Hz of RTP timestamps
    frame_samples: int  # PCM samples in 20 ms
    frame_ticks: int  # RTP timestamp units in 20 ms
    redundant: bool  # whether packets may repeat the one before them

    def encode(self, samples: Samples) -> bytes:
        """20 ms of int16 mono PCM at `sample_rate` as one RTP payload."""

    def decode(self, payload: bytes) -> Samples:
        """A payload's PCM, int16 mono. Raises RemoteError for one that is no such payload."""

    def ticks(self, payload: bytes) -> int:
        """How long a payload lasts in units of `clock_rate`, without decoding it; 0 when it is malformed."""

    def conceal(self, count: int) -> Samples:
        """`count` samples in place of a packet that did not come, continuing what was decoded last."""

    def recover(self, count: int, next_payload: bytes, /) -> Samples | None:
        """The last `count` samples before `next_payload`, from its redundancy; None when it has none."""


class Description(NamedTuple):
    """What SDP says of a codec (RFC 3551 section 6, RFC 7587 section 7)."""

    name: str
    clock_rate: int
    channels: int  # as written in a=rtpmap
    payload_type: int | None  # static payload type
    frame_ticks: int  # RTP timestamp units in 20 ms

    @property
    def rtpmap(self) -> str:
        return f"{self.name}/{self.clock_rate}" + (f"/{self.channels}" if self.channels > 1 else "")


# G.722 samples at 16 kHz but counts at 8: an error of RFC 1890 that RFC 3551 section 4.5.2 keeps.
# Opus is always written opus/48000/2, whatever it carries (RFC 7587 section 7).
DESCRIPTIONS: dict[str, Description] = {
    "PCMU": Description("PCMU", 8000, 1, 0, 160),
    "PCMA": Description("PCMA", 8000, 1, 8, 160),
    "G722": Description("G722", 8000, 1, 9, 160),
    "opus": Description("opus", 48000, 2, None, 960),
}

_SPELLINGS = {name.lower(): name for name in DESCRIPTIONS} | {"g.722": "G722", "ulaw": "PCMU", "alaw": "PCMA"}


@dataclass(frozen=True)
class OpusSettings:
    """How an Opus codec works; `fmtp` of either side is mapped to it by `call`.

    A constant bit rate is the default: packet lengths of a variable one tell an eavesdropper what is said
    (RFC 6562 section 3), and so does DTX.
    """

    sample_rate: int = 48000  # of PCM: 8000, 12000, 16000, 24000 or 48000 Hz
    bitrate: int = 32000  # bit/s: the least that carries wide-band sound and its LBRR without spoiling either
    constant_bitrate: bool = True
    forward_error_correction: bool = True  # LBRR: each packet repeats the one before it, coarsely
    expected_loss: int = 10  # percent; below 8 libopus adds no LBRR at this rate
    discontinuous_transmission: bool = False
    complexity: int = 5  # 0 to 10

    def __post_init__(self) -> None:
        if self.sample_rate not in (8000, 12000, 16000, 24000, 48000):
            raise LocalError(f"Opus has no rate of {self.sample_rate} Hz", "use 8, 12, 16, 24 or 48 kHz")
        if not 6000 <= self.bitrate <= 510_000:
            raise LocalError(f"Opus has no bit rate of {self.bitrate} bit/s", "use 6000 to 510000")
        if not 0 <= self.expected_loss <= 100 or not 0 <= self.complexity <= 10:
            raise LocalError("Opus loss is 0 to 100 percent, complexity 0 to 10", "correct the settings")


def describe(name: str) -> Description:
    """The description of a codec by its encoding name, in any case. Raises LocalError for an unknown one."""
    try:
        return DESCRIPTIONS[_SPELLINGS[name.lower()]]
    except KeyError:
        raise LocalError(f"no codec {name!r}", f"choose from {', '.join(DESCRIPTIONS)}") from None


def codec_for(name: str, clock_rate: int | None = None, opus: OpusSettings | None = None) -> Codec:
    """A new codec by its encoding name (in any case) and, when given, its RTP clock rate in Hz.

    Raises LocalError for an unknown name or rate, and when Opus' library is not there.
    """
    description = describe(name)
    if clock_rate not in (None, description.clock_rate):
        raise LocalError(f"no codec {name}/{clock_rate}", f"the rate of {name} is {description.clock_rate}")
    if description.name in ("PCMU", "PCMA"):
        from segue.media.codecs.g711 import ALaw, MuLaw

        return MuLaw() if description.name == "PCMU" else ALaw()
    if description.name == "G722":
        from segue.media.codecs.g722 import G722

        return G722()
    from segue.media.codecs.opus import Opus

    return Opus(opus or OpusSettings())
