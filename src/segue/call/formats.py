"""The formats we speak and the payload types they go by in one call (RFC 3551, RFC 3264 section 8.3.2)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from segue.protocols.sdp import RtpMap


class Format(NamedTuple):
    """An encoding as SDP names it. The clock of G722 says 8000 although it samples at 16 kHz (RFC 3551
    4.5.2)."""

    name: str
    clock_rate: int  # Hz, of RTP timestamps
    channels: int = 1


PCMU = Format("PCMU", 8_000)
PCMA = Format("PCMA", 8_000)
G722 = Format("G722", 8_000)
OPUS = Format("opus", 48_000, 2)
EVENTS_8000 = Format("telephone-event", 8_000)
EVENTS_48000 = Format("telephone-event", 48_000)

CODECS = {codec.name: codec for codec in (OPUS, G722, PCMA, PCMU)}
CODEC_NAMES = {name.lower(): name for name in CODECS}
EVENTS = (EVENTS_8000, EVENTS_48000)
STATIC_TYPES = {0: PCMU, 8: PCMA, 9: G722}

# What we number a format when nobody has numbered it before. 101 is what phones expect for telephone events.
_USUAL_TYPES = {PCMU: 0, PCMA: 8, G722: 9, OPUS: 96, EVENTS_8000: 101, EVENTS_48000: 100}
_DYNAMIC_TYPES = (*range(96, 128), *range(35, 64))  # RFC 3551 section 3; RFC 5761 section 4 bars 64 to 95
_BY_NAME = {(f.name.lower(), f.clock_rate): f for f in _USUAL_TYPES}


def find_format(mapping: RtpMap) -> Format | None:
    """The format of ours that an rtpmap names, case-insensitively (RFC 4855 section 3); None if we have it
    not."""
    known = _BY_NAME.get((mapping.name.lower(), mapping.clock_rate))
    # Opus is always announced with two channels (RFC 7587 section 7); some phones forget.
    return known if known and (known.channels == mapping.channels or known is OPUS) else None


def events_for(codecs: Iterable[Format]) -> Iterator[Format]:
    """The telephone events that go with these codecs: of the same clock (RFC 4733 section 2.1)."""
    clocks = {codec.clock_rate for codec in codecs}
    return (events for events in EVENTS if events.clock_rate in clocks)


class PayloadTypes:
    """Which payload type we want each format under. A number, once told to the peer, keeps its meaning for
    the whole call (RFC 3264 section 8.3.2); a format may have several."""

    def __init__(self) -> None:
        self._meaning: dict[int, Format] = {}
        self._current: dict[Format, int] = {}

    @property
    def meaning(self) -> dict[int, Format]:
        """Every payload type we have ever announced: what may arrive."""
        return dict(self._meaning)

    def copy(self) -> PayloadTypes:
        twin = PayloadTypes()
        twin._meaning = dict(self._meaning)
        twin._current = dict(self._current)
        return twin

    def number(self, wanted: Format, theirs: int | None = None) -> int:
        """The payload type to announce for `wanted`; `theirs` is what the peer's offer calls it, which an
        answer repeats (RFC 3264 section 6.1) unless that number already means something else here."""
        if theirs is not None and self._meaning.get(theirs, wanted) == wanted:
            return self._announce(theirs, wanted)
        if wanted in self._current:
            return self._current[wanted]
        free = (n for n in (_USUAL_TYPES[wanted], *_DYNAMIC_TYPES) if self._meaning.get(n, wanted) == wanted)
        return self._announce(next(free), wanted)

    def _announce(self, number: int, meaning: Format) -> int:
        self._meaning[number] = meaning
        self._current[meaning] = number
        return number
