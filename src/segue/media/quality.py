"""How a call sounds, estimated from delay and loss: the E-model of ITU-T G.107 and G.107.1.

R says how a conversation is rated; MOS is the mean opinion score that goes with it. Each codec belongs to
one scale: an R of the narrowband scale (at most 93.2) must not be compared with one of another; MOS may.

The impairments of Opus are those of Alahmadi et al. (ACM TOMM 2021), for the rates next to ours; that of
G.722 is G.113's (13 on the wideband scale), its robustness to loss an estimate, as G.113 gives none for the
concealment used here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from segue.base.errors import LocalError


class Scale(NamedTuple):
    """An E-model of one audio bandwidth."""

    name: str
    best: float  # R without impairment
    to_narrowband: float  # R is divided by this before it is turned into MOS


NARROWBAND = Scale("narrowband", 93.2, 1.0)  # G.107
WIDEBAND = Scale("wideband", 129.0, 1.29)  # G.107.1
FULLBAND = Scale("fullband", 148.0, 1.48)  # G.107.2


class Impairment(NamedTuple):
    """What a codec costs: Ie without loss, Bpl its robustness to packet loss (random, bursty)."""

    scale: Scale
    equipment: float  # Ie
    robustness: float  # Bpl for random loss
    bursty: float  # Bpl for bursty loss


IMPAIRMENTS: dict[str, Impairment] = {
    "PCMU": Impairment(NARROWBAND, 0.0, 25.1, 25.1),  # with concealment, G.113 appendix I
    "PCMA": Impairment(NARROWBAND, 0.0, 25.1, 25.1),
    "PCMU without concealment": Impairment(NARROWBAND, 0.0, 4.3, 4.3),
    "PCMA without concealment": Impairment(NARROWBAND, 0.0, 4.3, 4.3),
    "G722": Impairment(WIDEBAND, 13.0, 13.0, 13.0),
    "opus": Impairment(FULLBAND, 22.6, 10.6, 8.7),  # constant 25 kbit/s, super-wideband
    "opus variable": Impairment(FULLBAND, 20.2, 11.3, 9.2),
    "opus wideband": Impairment(WIDEBAND, 18.1, 18.7, 16.1),  # constant 15 kbit/s
    "opus narrowband": Impairment(NARROWBAND, 2.0, 16.0, 10.7),  # constant 11 kbit/s
}

CONVERSATION_SUFFERS = 177.3  # ms one way: from here delay costs more


@dataclass(frozen=True)
class Quality:
    r: float
    mos: float  # 1.0 to 4.5
    scale: str  # of r


def quality(codec: str, one_way_delay_ms: float, loss: float, burst_ratio: float = 1.0) -> Quality:
    """Quality of a call with this codec (a key of IMPAIRMENTS).

    `one_way_delay_ms` is mouth to ear: network, playout, codec. `loss` is the fraction of packets not played,
    0.0 to 1.0. `burst_ratio` is the mean length of loss bursts over that of random loss, 1.0 or more.
    Raises LocalError for a codec without a table entry.
    """
    try:
        impairment = IMPAIRMENTS[codec]
    except KeyError:
        raise LocalError(f"no quality table for {codec!r}", f"use one of {', '.join(IMPAIRMENTS)}") from None
    bursty = burst_ratio > 1.0
    robustness = impairment.bursty if bursty else impairment.robustness
    percent = 100.0 * min(1.0, max(0.0, loss))
    ie = impairment.equipment
    if percent:
        ie += (95.0 - ie) * percent / (percent / max(1.0, burst_ratio) + robustness)
    r = impairment.scale.best - delay_impairment(one_way_delay_ms) - ie
    return Quality(max(0.0, r), mos(r / impairment.scale.to_narrowband), impairment.scale.name)


def delay_impairment(one_way_delay_ms: float) -> float:
    """Id: what delay costs a conversation, without echo."""
    delay = max(0.0, one_way_delay_ms)
    return 0.024 * delay + 0.11 * max(0.0, delay - CONVERSATION_SUFFERS)


def mos(r: float) -> float:
    """Mean opinion score of an R on the narrowband scale (ITU-T G.107 annex B)."""
    if r <= 0.0:
        return 1.0
    if r >= 100.0:
        return 4.5
    return max(1.0, 1.0 + 0.035 * r + 7e-6 * r * (r - 60.0) * (100.0 - r))
