"""Which RTCP feedback both ends have agreed on: RTP/SAVPF and its `a=rtcp-fb`, or what two Segue phones say instead.

The standard way (RFC 4585 section 4.2, RFC 5124) is for peers that offer it. We offer RTP/SAVP, which every phone
takes, with `resend` in `a=x-segue` (`extensions`); nothing of it is for a peer that lists neither.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from segue.protocols.sdp import Attribute, RtcpFeedback

NACK = "nack"  # without a parameter: the generic one (section 6.2.1)
REPORT_INTERVAL = "trr-int"
REDUCED_SIZE = "rtcp-rsize"
LONGEST_INTERVAL = 60.0  # seconds: a longer silence of RTCP is nobody's wish


@dataclass(frozen=True)
class Feedback:
    """`answers`: the peer may ask for packets again, and gets them. `asks`: so may we. `peer_waits`: seconds that the
    peer's listener waits for what could not leave in time; 0: not at all. `resumes`: our own message, by which who
    has moved asks the peer to go on. `report_interval` in seconds."""

    answers: bool = False
    asks: bool = False
    resumes: bool = False
    peer_waits: float = 0.0
    reduced_size: bool = False
    report_interval: float = 0.0


NO_FEEDBACK = Feedback()


def has_feedback(profile: str) -> bool:
    """RTP/AVPF (RFC 4585) and what is made of it."""
    return profile.endswith("F")


def standard_offer(profile: str) -> list[Attribute]:
    """What a re-offer of ours says in a session with feedback, which the peer began."""
    if not has_feedback(profile):
        return []
    return [Attribute("rtcp-fb", str(RtcpFeedback("*", NACK))), Attribute(REDUCED_SIZE)]


def standard_answer(
    profile: str, offered: Sequence[RtcpFeedback], reduced_size: bool, types: dict[str, int]
) -> list[Attribute]:
    """Of the peer's lines those that we understand, unaltered; none is added (RFC 4585 section 4.2). `types`: our
    number for each of the peer's payload types."""
    if not has_feedback(profile):
        return []
    lines = []
    for line in offered:
        ours = "*" if line.format == "*" else str(types.get(line.format, ""))
        if ours and (line.value == NACK or (ours == "*" and _interval(line.value) is not None)):
            lines.append(Attribute("rtcp-fb", str(RtcpFeedback(ours, line.value))))
    return [*lines, Attribute(REDUCED_SIZE)] if reduced_size else lines


def standard_feedback(
    profile: str, said: Sequence[RtcpFeedback], reduced_size: bool, types: Sequence[str], waits: bool
) -> Feedback:
    """What holds: `said` is the peer's offer or answer, `types` are the payload types that were agreed, in its words,
    the one that is spoken first, and `waits` whether our listener wants late speech. A peer that may ask for some
    of them, as for telephone events (RFC 4585 section 4.4), gets all that it asks for: which one a packet is cannot
    be told from its number."""
    if not has_feedback(profile):
        return NO_FEEDBACK
    nacks = {line.format for line in said if line.value == NACK}
    interval = max((_interval(line.value) or 0.0 for line in said if line.format == "*"), default=0.0)
    return Feedback(
        answers=bool(nacks & {"*", *types}),
        asks=waits and bool(nacks & {"*", *types[:1]}),
        reduced_size=reduced_size,
        report_interval=interval,
    )


def _interval(value: str) -> float | None:
    """Seconds of "trr-int MS"; None for another value."""
    name, _, number = value.partition(" ")
    if name != REPORT_INTERVAL or not number.isascii() or not number.isdigit() or len(number) > 9:
        return None
    return min(int(number) / 1000, LONGEST_INTERVAL)
