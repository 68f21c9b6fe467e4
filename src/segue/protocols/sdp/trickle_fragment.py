"""`application/trickle-ice-sdpfrag`: candidates that follow an offer or answer (RFC 8840 sections 4.4 and 9).

A body repeats all candidates of its ICE generation, in the order in which they were found; who receives it takes
what is new. Which generation it is for its ufrag and password say.
"""

from __future__ import annotations

import itertools
from typing import NamedTuple

from segue.base.ice_description import Candidate, IceDescription
from segue.base.secret import Secret
from segue.protocols.sdp.description import SdpSyntaxError
from segue.protocols.sdp.ice_attributes import parse_candidate, write_candidate
from segue.protocols.sdp.parser import MAX_MEDIA, lines_of

CONTENT_TYPE = "application/trickle-ice-sdpfrag"


class TricklePart(NamedTuple):
    """What is said of one m= line, which `mid` names; "" in a body that says no more than that all has ended."""

    mid: str
    ufrag: str
    password: Secret
    candidates: tuple[Candidate, ...]
    ended: bool


def parse_fragment(body: bytes) -> tuple[TricklePart, ...]:
    """Raises SdpSyntaxError. Attributes that are not known, and candidates that cannot be used, are passed over."""
    lines = lines_of(body)
    starts = [index for index, (letter, _) in enumerate(lines) if letter == "m"]
    if len(starts) > MAX_MEDIA:
        raise SdpSyntaxError(f"over {MAX_MEDIA} media parts")
    if any(letter not in "am" for letter, _ in lines):
        raise SdpSyntaxError("a fragment has other lines than a= and m=")
    session = _attributes(lines[: starts[0]] if starts else lines)
    parts = [_attributes(lines[start + 1 : end]) for start, end in itertools.pairwise([*starts, len(lines)])]
    return tuple(_part(part, session) for part in parts or [[]])


def _attributes(lines: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Names in lower case (section 9.2), and values."""
    split = (value.partition(":") for _, value in lines)
    return [(name.strip().lower(), value) for name, _, value in split]


def _part(part: list[tuple[str, str]], session: list[tuple[str, str]]) -> TricklePart:
    values = {**dict(reversed(session)), **dict(reversed(part))}
    parsed = (parse_candidate(value) for name, value in part if name == "candidate")
    ufrag, password = values.get("ice-ufrag", "").strip(), values.get("ice-pwd", "").strip()
    if not ufrag or not password:
        raise SdpSyntaxError("a fragment without ice-ufrag and ice-pwd")
    return TricklePart(
        dict(part).get("mid", "").strip(),
        ufrag,
        Secret(password),
        tuple(candidate for candidate in parsed if candidate is not None),
        "end-of-candidates" in values,
    )


def write_fragment(ice: IceDescription, mid: str) -> bytes:
    """Ours, of the one m= line whose `a=mid` this is; credentials as we give them in offers, in the media part."""
    lines = [
        "m=audio 9 RTP/AVP 0",
        f"a=ice-ufrag:{ice.ufrag}",
        f"a=ice-pwd:{ice.password.reveal().decode()}",
        f"a=mid:{mid}",
        *(f"a=candidate:{write_candidate(candidate)}" for candidate in ice.candidates),
        *(["a=end-of-candidates"] if ice.ended else []),
    ]
    return "".join(f"{line}\r\n" for line in lines).encode()


def news(part: TricklePart, known: IceDescription) -> tuple[Candidate, ...]:
    """What a part adds to what is known of the peer, in its order: nothing when it is of another ICE generation. Two
    candidates are one when address and component are the same (section 4.4)."""
    if (part.ufrag, part.password.reveal()) != (known.ufrag, known.password.reveal()):
        return ()
    seen = {(candidate.component, candidate.address) for candidate in known.candidates}
    fresh: dict[tuple[int, object], Candidate] = {}
    for candidate in part.candidates:
        key = (candidate.component, candidate.address)
        if key not in seen:
            fresh.setdefault(key, candidate)
    return tuple(fresh.values())
