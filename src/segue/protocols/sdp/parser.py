"""Octets to `SessionDescription`: tolerant of what deployed peers write, bounded against what others do."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterable
from typing import TypeVar

from segue.protocols.sdp.description import (
    PERMANENT,
    Attribute,
    Bandwidth,
    Connection,
    MediaDescription,
    Origin,
    SdpSyntaxError,
    SessionDescription,
    TimeDescription,
    parse_number,
)

MAX_OCTETS = 65_536
MAX_LINES = 2_000
MAX_MEDIA = 64
MAX_FORMATS = 256
_UINT64 = (1 << 64) - 1

_TOKEN = re.compile(r"[!#$%&'*+\-.0-9A-Z^_`a-z{|}~]+")
_PROTOCOL = re.compile(r"[!#$%&'*+\-.0-9A-Z^_`a-z{|}~/]+")
_TYPED_TIME = re.compile(r"-?[0-9]{1,20}[dhms]?")

_SESSION_LETTERS = "vosiuepcbtrzka"
_MEDIA_LETTERS = "micbka"

_Line = tuple[str, str]
_T = TypeVar("_T")


def parse_sdp(body: bytes) -> SessionDescription:
    """Read one session description (RFC 8866 section 5, RFC 3264 section 5: exactly one per body).

    Raises SdpSyntaxError, whose status is 400. Attribute values are not looked into: that is done on demand
    by `attributes`, so that a stream we refuse anyway cannot spoil one that we take.
    """
    lines = lines_of(body)
    if not lines or lines[0] != ("v", "0"):
        raise SdpSyntaxError("does not start with v=0")
    starts = [index for index, (letter, _) in enumerate(lines) if letter == "m"]
    if len(starts) > MAX_MEDIA:
        raise SdpSyntaxError(f"over {MAX_MEDIA} media parts")
    bounds = [*starts, len(lines)]
    media = tuple(_media(lines[start:end]) for start, end in itertools.pairwise(bounds))
    return _session(lines[: bounds[0]], media)


def lines_of(body: bytes) -> list[_Line]:
    """Type letters and values, in order."""
    if len(body) > MAX_OCTETS:
        raise SdpSyntaxError(f"over {MAX_OCTETS} octets")
    # Not splitlines(): that also cuts at form feeds and Unicode separators, which are part of a value here.
    raw = body.decode("utf-8", "surrogateescape").split("\n")
    if len(raw) > MAX_LINES:
        raise SdpSyntaxError(f"over {MAX_LINES} lines")
    lines = []
    for text in raw:
        line = text.removesuffix("\r")
        if not line:
            continue
        if line[1:2] != "=" or "\r" in line or "\0" in line:
            raise SdpSyntaxError(f"{line[:40]!r} is no line")
        lines.append((line[0], line[2:]))
    return lines


def _grouped(lines: Iterable[_Line], allowed: str, single: str) -> dict[str, list[str]]:
    """Values by type letter: the order among letters carries no meaning, so peers that mix it up are
    understood."""
    groups: dict[str, list[str]] = {letter: [] for letter in allowed}
    for letter, value in lines:
        if letter not in groups:
            raise SdpSyntaxError(f"type letter {letter!r} does not belong here")
        groups[letter].append(value)
    for letter in single:
        if len(groups[letter]) > 1:
            raise SdpSyntaxError(f"more than one {letter}= line")
    return groups


def _session(lines: list[_Line], media: tuple[MediaDescription, ...]) -> SessionDescription:
    groups = _grouped(lines, _SESSION_LETTERS, "vosiuc")
    if not groups["o"]:
        raise SdpSyntaxError("no o= line")
    return SessionDescription(
        origin=_origin(groups["o"][0]),
        name=_only(groups["s"]) or "-",
        information=_only(groups["i"]),
        uri=_only(groups["u"]),
        emails=tuple(groups["e"]),
        phones=tuple(groups["p"]),
        connection=next(iter(_each(_connection, groups["c"])), None),
        bandwidths=_each(_bandwidth, groups["b"]),
        times=_times(lines),
        attributes=_each(_attribute, groups["a"]),
        media=media,
    )


def _media(lines: list[_Line]) -> MediaDescription:
    groups = _grouped(lines, _MEDIA_LETTERS, "mi")
    fields = _fields(groups["m"][0])
    if len(fields) < 4:
        raise SdpSyntaxError(f"m= line without formats: {groups['m'][0][:60]!r}")
    if len(fields) - 3 > MAX_FORMATS:
        raise SdpSyntaxError(f"over {MAX_FORMATS} formats")
    port, count = _ports(fields[1])
    return MediaDescription(
        media=_match(_TOKEN, fields[0], "media type"),
        port=port,
        port_count=count,
        protocol=_match(_PROTOCOL, fields[2], "protocol"),
        formats=tuple(_match(_TOKEN, text, "format") for text in fields[3:]),
        title=_only(groups["i"]),
        connections=_each(_connection, groups["c"]),
        bandwidths=_each(_bandwidth, groups["b"]),
        attributes=_each(_attribute, groups["a"]),
    )


def _ports(text: str) -> tuple[int, int]:
    first, slash, many = text.partition("/")
    port = parse_number(first, 65_535, "port")
    count = parse_number(many, 32_768, "port count") if slash else 1
    # `count` pairs of RTP and RTCP ports follow one another (RFC 8866 section 5.14).
    if count == 0 or port + 2 * (count - 1) > 65_535:
        raise SdpSyntaxError(f"ports {text[:40]!r}")
    return port, count


def _origin(value: str) -> Origin:
    fields = _fields(value)
    if len(fields) < 6:
        raise SdpSyntaxError(f"o= line {value[:60]!r}")
    username, rest = " ".join(fields[:-5]), fields[-5:]
    return Origin(
        username,
        parse_number(rest[0], _UINT64, "session id"),
        parse_number(rest[1], _UINT64, "session version"),
        _match(_TOKEN, rest[2], "network type"),
        _match(_TOKEN, rest[3], "address type"),
        rest[4],
    )


def _connection(value: str) -> Connection:
    fields = _fields(value)
    if len(fields) != 3:
        raise SdpSyntaxError(f"c= line {value[:60]!r}")
    return Connection(
        _match(_TOKEN, fields[0], "network type"), _match(_TOKEN, fields[1], "address type"), fields[2]
    )


def _bandwidth(value: str) -> Bandwidth:
    kind, _, number = value.partition(":")
    return Bandwidth(
        _match(_TOKEN, kind, "bandwidth type"), parse_number(number.strip(" "), _UINT64, "bandwidth")
    )


def _times(lines: list[_Line]) -> tuple[TimeDescription, ...]:
    times: list[TimeDescription] = []
    for letter, value in lines:
        if letter == "t":
            times.append(_time(value))
        elif letter in "rz":
            if not times:
                raise SdpSyntaxError(f"{letter}= before t=")
            times[-1] = _repeated(times[-1], letter, value)
    return tuple(times) or (PERMANENT,)


def _time(value: str) -> TimeDescription:
    fields = _fields(value)
    if len(fields) != 2:
        raise SdpSyntaxError(f"t= line {value[:60]!r}")
    return TimeDescription(parse_number(fields[0], _UINT64, "time"), parse_number(fields[1], _UINT64, "time"))


def _repeated(time: TimeDescription, letter: str, value: str) -> TimeDescription:
    fields = _fields(value)
    enough = len(fields) >= 3 if letter == "r" else len(fields) >= 2 and len(fields) % 2 == 0
    if not enough or not all(_TYPED_TIME.fullmatch(text) for text in fields):
        raise SdpSyntaxError(f"{letter}= line {value[:60]!r}")
    if letter == "r":
        return time._replace(repeats=(*time.repeats, " ".join(fields)))
    return time._replace(zone=" ".join(fields))


def _attribute(value: str) -> Attribute:
    name, _, text = value.partition(":")
    return Attribute(_match(_TOKEN, name, "attribute"), text or None)


def _fields(value: str) -> list[str]:
    """Subfields; more than one space between them is forgiven. Only spaces separate: the rest is content."""
    return [text for text in value.split(" ") if text]


def _match(pattern: re.Pattern[str], text: str, what: str) -> str:
    if not pattern.fullmatch(text):
        raise SdpSyntaxError(f"{what} {text[:40]!r}")
    return text


def _only(values: list[str]) -> str | None:
    return values[0] if values else None


def _each(read: Callable[[str], _T], values: list[str]) -> tuple[_T, ...]:
    return tuple(read(value) for value in values)
