"""What `a=fmtp` means, for the formats that have something to say."""

from __future__ import annotations

from dataclasses import dataclass

from segue.base.errors import RemoteError
from segue.protocols.sdp.description import parse_number

DTMF_EVENTS = frozenset(range(16))


def event_codes(parameters: str) -> frozenset[int]:
    """The telephone events that the other end understands (RFC 4733 section 2.4.1): "0-15,66,70".

    Without a list these are the DTMF events 0 to 15 (section 2.5.1.1). Raises RemoteError(488) for anything
    else.
    """
    text = parameters.removeprefix("events=").strip(" ")
    if not text:
        return DTMF_EVENTS
    codes: set[int] = set()
    for part in text.split(","):
        first, dash, last = part.strip(" ").partition("-")
        try:
            low = parse_number(first, 255, "event")
            high = parse_number(last, 255, "event") if dash else low
        except RemoteError:
            raise RemoteError(f"telephone events {parameters[:40]!r}", 488) from None
        if high < low:
            raise RemoteError(f"telephone events {parameters[:40]!r}", 488)
        codes.update(range(low, high + 1))
    return frozenset(codes)


@dataclass(frozen=True)
class OpusParameters:
    """What the other end's decoder would like (RFC 7587 section 6.1)."""

    max_playback_rate: int = 48_000  # Hz
    max_average_bitrate: int | None = None  # bit/s
    stereo: bool = False
    constant_bitrate: bool = False
    inband_fec: bool = False
    dtx: bool = False


def opus_parameters(parameters: str) -> OpusParameters:
    """Read the parameters of Opus. They are hints: unknown ones and values out of range are ignored, as RFC
    7587 sections 6.1 and 7.1 ask."""
    options: dict[str, str] = {}
    for part in parameters[:2_000].split(";"):
        name, _, value = part.partition("=")
        options.setdefault(name.strip(" ").lower(), value.strip(" "))
    return OpusParameters(
        max_playback_rate=_within(options.get("maxplaybackrate"), 8_000, 48_000) or 48_000,
        max_average_bitrate=_within(options.get("maxaveragebitrate"), 6_000, 510_000),
        stereo=options.get("stereo") == "1",
        constant_bitrate=options.get("cbr") == "1",
        inband_fec=options.get("useinbandfec") == "1",
        dtx=options.get("usedtx") == "1",
    )


def _within(text: str | None, low: int, high: int) -> int | None:
    if text is None or not text.isascii() or not text.isdigit() or len(text) > 9:
        return None
    return int(text) if low <= int(text) <= high else None
