"""What one receiver counts of one source: RTCP reports carry it, `receiver` makes it."""

from __future__ import annotations

from typing import NamedTuple


class ReportBlock(NamedTuple):
    """What a receiver says of one source (RFC 3550 section 6.4.1)."""

    ssrc: int
    fraction_lost: int  # of 256, since the last report
    lost: int  # since the beginning, 24 bits with sign
    extended_sequence: int
    jitter: int  # units of the RTP clock
    last_sr: int  # middle 32 bits of the NTP time of the source's last sender report; 0: none yet
    delay: int  # since then, 1/65,536 s
