"""What two Segue phones agree upon beyond the standards: `a=x-segue:token token …` in the audio part.

An offer lists what this phone can do, an answer those of them that the other can do too; what the answer
lists holds from then on. Phones that do not know the attribute ignore it (RFC 8866 section 5.13) and
nothing changes for them. Tokens may be added; unknown ones are ignored.

- `keep-keys`: SRTP keys, SSRCs and rollover counters outlive a change of media address. A moving offer or
  answer repeats the key, where RFC 4568 section 7.1.4 would want a new one.
- `resend`: what could not leave during an outage, or is missing at the other end, is sent again, the identical
  packet. It means what RTP/SAVPF with `a=rtcp-fb:* nack` (RFC 4585) and `a=rtcp-rsize` (RFC 5506) would, and the
  RTCP message of `protocols.rtcp.resume`, though the profile is RTP/SAVP. Beside it `a=x-segue-wait:MS` says for
  how many milliseconds this phone's listener waits for late speech: 0 means that nothing late is wanted.
- `migrate`: a check from a new address, with the credentials of this session, is a move (`protocols.ice`). Means
  nothing without ICE.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum

ATTRIBUTE = "x-segue"
WAIT_ATTRIBUTE = "x-segue-wait"
LONGEST_WAIT = 10_000  # ms


class Extension(Enum):
    KEEP_KEYS = "keep-keys"
    RESEND = "resend"
    MIGRATE = "migrate"


_TOKENS = {extension.value: extension for extension in Extension}


def parse_extensions(value: str | None) -> frozenset[Extension]:
    """The tokens that we know."""
    return frozenset(_TOKENS[token] for token in (value or "")[:1_000].split() if token in _TOKENS)


def write_extensions(extensions: Iterable[Extension]) -> str:
    return " ".join(sorted(extension.value for extension in extensions))


def parse_wait(value: str | None) -> float:
    """Seconds; 0 for what is missing or no number."""
    text = (value or "").strip(" ")
    if not text.isascii() or not text.isdigit() or len(text) > 9:
        return 0.0
    return min(int(text), LONGEST_WAIT) / 1000


def write_wait(seconds: float) -> str:
    return str(min(round(seconds * 1000), LONGEST_WAIT))
