"""What two Segue phones agree upon beyond the standards: `a=x-segue:token token …` in the audio part.

An offer lists what this phone can do, an answer those of them that the other can do too; what the answer
lists holds from then on. Phones that do not know the attribute ignore it (RFC 8866 section 5.13) and
nothing changes for them. Tokens may be added; unknown ones are ignored.

- `keep-keys`: SRTP keys, SSRCs and rollover counters outlive a change of media address. A moving offer or
  answer repeats the key, where RFC 4568 section 7.1.4 would want a new one.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum

ATTRIBUTE = "x-segue"


class Extension(Enum):
    KEEP_KEYS = "keep-keys"


_TOKENS = {extension.value: extension for extension in Extension}


def parse_extensions(value: str | None) -> frozenset[Extension]:
    """The tokens that we know."""
    return frozenset(_TOKENS[token] for token in (value or "")[:1_000].split() if token in _TOKENS)


def write_extensions(extensions: Iterable[Extension]) -> str:
    return " ".join(sorted(extension.value for extension in extensions))
