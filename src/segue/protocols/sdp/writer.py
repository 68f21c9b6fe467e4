"""`SessionDescription` to octets: strict, in the order of RFC 8866 section 5."""

from __future__ import annotations

from collections.abc import Iterable

from segue.protocols.sdp.description import (
    Attribute,
    Bandwidth,
    Connection,
    MediaDescription,
    SessionDescription,
)


def write_sdp(description: SessionDescription) -> bytes:
    """The body, lines ended by CRLF. Raises AssertionError for a description that SDP cannot express: those
    are made by us, what a peer sent has passed the parser."""
    everywhere = description.connection is not None
    lines = [
        "v=0",
        "o=" + " ".join(str(field) for field in description.origin),
        f"s={description.name or '-'}",
    ]
    lines += _optional("i", description.information) + _optional("u", description.uri)
    lines += [f"e={text}" for text in description.emails] + [f"p={text}" for text in description.phones]
    lines += _connections([description.connection] if description.connection else [])
    lines += _bandwidths(description.bandwidths)
    for time in description.times:
        lines.append(f"t={time.start} {time.stop}")
        lines += [f"r={text}" for text in time.repeats] + _optional("z", time.zone)
    lines += _attributes(description.attributes)
    for media in description.media:
        # RFC 8866 section 5.7: every media part has a c= line or the session has. A refused one needs none.
        _demand(everywhere or bool(media.connections) or media.port == 0, "media without c=")
        lines += _media(media)
    _demand(bool(description.times), "no t=")
    for line in lines:
        _demand(not any(octet in line for octet in "\r\n\0"), "a line break within a line")
    return ("\r\n".join(lines) + "\r\n").encode("utf-8", "surrogateescape")


def _media(media: MediaDescription) -> list[str]:
    _demand(bool(media.formats) and 0 <= media.port <= 65_535 and media.port_count >= 1, "m= line")
    ports = str(media.port) if media.port_count == 1 else f"{media.port}/{media.port_count}"
    return [
        f"m={media.media} {ports} {media.protocol} {' '.join(media.formats)}",
        *_optional("i", media.title),
        *_connections(media.connections),
        *_bandwidths(media.bandwidths),
        *_attributes(media.attributes),
    ]


def _optional(letter: str, text: str | None) -> list[str]:
    return [f"{letter}={text}"] if text else []


def _connections(connections: Iterable[Connection]) -> list[str]:
    return [f"c={' '.join(connection)}" for connection in connections]


def _bandwidths(bandwidths: Iterable[Bandwidth]) -> list[str]:
    return [f"b={kind}:{value}" for kind, value in bandwidths]


def _attributes(attributes: Iterable[Attribute]) -> list[str]:
    return [f"a={name}" if value is None else f"a={name}:{value}" for name, value in attributes]


def _demand(holds: bool, what: str) -> None:
    # Not an assert statement: what would let a line break through must also hold under -O.
    if not holds:
        raise AssertionError(f"not SDP: {what}")
