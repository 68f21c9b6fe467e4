"""What the peer's audio part says, checked and in our words."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

from segue.base.address import Address
from segue.base.errors import RemoteError
from segue.base.ice_description import IceDescription
from segue.call.extensions import ATTRIBUTE, WAIT_ATTRIBUTE, Extension, parse_extensions, parse_wait
from segue.call.feedback import REDUCED_SIZE
from segue.call.formats import STATIC_TYPES, Format, find_format
from segue.protocols.sdp import (
    Connection,
    Direction,
    MediaDescription,
    RtcpFeedback,
    SdpSyntaxError,
    SessionDescription,
    direction_of,
    event_codes,
    fmtps_of,
    maxptime_of,
    ptime_of,
    rtcp_feedback_of,
    rtcp_of,
    rtpmaps_of,
)
from segue.protocols.sdp.attributes import parse_payload_type
from segue.protocols.sdp.ice_attributes import ice_of

_UNSPECIFIED = ("0.0.0.0", "::")
_DISCARD = 9  # what stands for candidates that are still to come (RFC 8840 section 4.1.1)


class RemoteFormat(NamedTuple):
    format: Format
    payload_type: int
    parameters: str


@dataclass(frozen=True)
class RemoteMedia:
    """`rtp` is None when the peer wants nothing sent to it (RFC 3264 section 8.4: c=0.0.0.0)."""

    profile: str
    rtp: Address | None
    rtcp: Address | None  # without rtcp-mux
    rtcp_mux: bool
    formats: tuple[RemoteFormat, ...]  # those that we know, in the peer's order
    direction: Direction  # as the peer sees it
    packet_time: float | None  # ms
    max_packet_time: float | None
    extensions: frozenset[Extension]
    waits: float  # seconds, for late speech (`a=x-segue-wait`)
    feedback: tuple[RtcpFeedback, ...]
    reduced_size: bool  # RTCP (RFC 5506)
    ice: IceDescription | None


def read_media(
    description: SessionDescription, media: MediaDescription, known: dict[int, Format] | None = None
) -> RemoteMedia:
    """Read one audio part. `known` are the payload types of our own offer: some answers leave out their
    rtpmap.

    Raises RemoteError: 400 for what is not SDP, 488 for what we cannot do.
    """
    connection = description.connection_of(media)
    if connection is None:
        raise SdpSyntaxError("audio without c=")
    mux = media.has("rtcp-mux")
    rtp = _address(connection, media.port)
    return RemoteMedia(
        profile=media.protocol,
        rtp=rtp,
        rtcp=_rtcp(media, rtp) if rtp else None,
        rtcp_mux=mux,
        formats=_formats(media, {**STATIC_TYPES, **(known or {})}, mux),
        direction=direction_of(description, media),
        packet_time=ptime_of(media),
        max_packet_time=maxptime_of(media),
        extensions=parse_extensions(media.value(ATTRIBUTE)),
        waits=parse_wait(media.value(WAIT_ATTRIBUTE)),
        feedback=rtcp_feedback_of(media),
        reduced_size=media.has(REDUCED_SIZE),
        ice=read_ice(description, media, rtp),
    )


def read_ice(
    description: SessionDescription, media: MediaDescription, rtp: Address | None
) -> IceDescription | None:
    """What the peer says of ICE; a `mismatch` when somebody on the way has changed its address and not its candidates
    (RFC 8839 section 4.2.5). Raises SdpSyntaxError."""
    ice = ice_of(description, media)
    if ice is None or not ice.candidates or rtp is None or rtp.port == _DISCARD:
        return ice
    known = any(candidate.address == rtp for candidate in ice.candidates)
    return ice if known else replace(ice, mismatch=True)


def _address(connection: Connection, port: int) -> Address | None:
    host = connection.host()
    return None if host in _UNSPECIFIED else Address(host, port)


def _rtcp(media: MediaDescription, rtp: Address) -> Address | None:
    """Where RTCP goes without rtcp-mux: as `a=rtcp` says (RFC 3605), else the next port. None: nowhere."""
    said = rtcp_of(media)
    if said is None:
        return Address(rtp.host, rtp.port + 1) if rtp.port < 65_535 else None
    if said.port == 0:
        return None
    return _address(said.connection, said.port) if said.connection else Address(rtp.host, said.port)


def _formats(media: MediaDescription, known: dict[int, Format], mux: bool) -> tuple[RemoteFormat, ...]:
    mappings = rtpmaps_of(media)
    parameters = fmtps_of(media)
    found: dict[Format, RemoteFormat] = {}
    for text in media.formats:
        number = parse_payload_type(text)
        if mux and 64 <= number <= 95:
            continue  # cannot be told from RTCP (RFC 5761 section 4)
        mapping = mappings.get(number)
        wanted = find_format(mapping) if mapping else known.get(number)
        if wanted is not None and wanted not in found:
            found[wanted] = RemoteFormat(wanted, number, parameters.get(text, ""))
            _check(found[wanted])
    return tuple(found.values())


def _check(remote: RemoteFormat) -> None:
    if remote.format.name == "telephone-event":
        event_codes(remote.parameters)


def audio_parts(description: SessionDescription, slot: int | None) -> list[int]:
    """Indices of the parts that could carry our call, the one that carries it now first.

    Raises RemoteError(488) when there is none.
    """
    usable = [
        index for index, media in enumerate(description.media) if media.media == "audio" and media.port != 0
    ]
    if not usable:
        raise RemoteError("no audio is offered", 488)
    return sorted(usable, key=lambda index: index != slot)
