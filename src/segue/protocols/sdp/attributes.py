"""The attributes that this project acts upon, typed. Each is read when asked for; errors are SdpSyntaxError
(400)."""

from __future__ import annotations

import re
from enum import Enum
from typing import NamedTuple

from segue.protocols.sdp.description import (
    Connection,
    MediaDescription,
    SdpSyntaxError,
    SessionDescription,
    parse_number,
)

_NAME = re.compile(r"[!#$%&'*+\-.0-9A-Z^_`a-z{|}~]{1,64}")
_MILLISECONDS = re.compile(r"[0-9]{1,5}(\.[0-9]{1,6})?")


class Direction(Enum):
    """Of media, as the one who says it sees it (RFC 8866 section 6.7)."""

    SENDRECV = "sendrecv"
    SENDONLY = "sendonly"
    RECVONLY = "recvonly"
    INACTIVE = "inactive"

    @classmethod
    def of(cls, sends: bool, receives: bool) -> Direction:
        if sends:
            return cls.SENDRECV if receives else cls.SENDONLY
        return cls.RECVONLY if receives else cls.INACTIVE

    @property
    def sends(self) -> bool:
        return self in (Direction.SENDRECV, Direction.SENDONLY)

    @property
    def receives(self) -> bool:
        return self in (Direction.SENDRECV, Direction.RECVONLY)

    @property
    def reversed(self) -> Direction:
        """The same media seen by the other end."""
        return Direction.of(sends=self.receives, receives=self.sends)


_DIRECTIONS = {direction.value: direction for direction in Direction}


class RtpMap(NamedTuple):
    """`a=rtpmap:payload_type name/clock_rate[/channels]` (RFC 8866 section 6.6)."""

    payload_type: int
    name: str
    clock_rate: int  # Hz
    channels: int = 1

    def __str__(self) -> str:
        channels = f"/{self.channels}" if self.channels != 1 else ""
        return f"{self.payload_type} {self.name}/{self.clock_rate}{channels}"


class Fmtp(NamedTuple):
    """`a=fmtp:format parameters` (RFC 8866 section 6.15)."""

    format: str
    parameters: str

    def __str__(self) -> str:
        return f"{self.format} {self.parameters}"


class Rtcp(NamedTuple):
    """`a=rtcp:port [address]` (RFC 3605 section 2.1)."""

    port: int
    connection: Connection | None = None

    def __str__(self) -> str:
        return f"{self.port} {' '.join(self.connection)}" if self.connection else str(self.port)


class RtcpFeedback(NamedTuple):
    """`a=rtcp-fb:format value` (RFC 4585 section 4.2). `format`: a payload type, or "*" for all."""

    format: str
    value: str

    def __str__(self) -> str:
        return f"{self.format} {self.value}"


def parse_payload_type(text: str) -> int:
    """0 to 127: seven bits of an RTP packet."""
    return parse_number(text, 127, "payload type")


def parse_rtpmap(value: str) -> RtpMap:
    number, _, mapping = value.strip(" ").partition(" ")
    name, *rest = mapping.strip(" ").split("/")
    if not _NAME.fullmatch(name) or not 1 <= len(rest) <= 2:
        raise SdpSyntaxError(f"rtpmap {value[:60]!r}")
    rate = parse_number(rest[0], 10_000_000, "clock rate")
    channels = parse_number(rest[1], 255, "channel count") if len(rest) == 2 else 1
    if not rate or not channels:
        raise SdpSyntaxError(f"rtpmap {value[:60]!r}")
    return RtpMap(parse_payload_type(number), name, rate, channels)


def parse_fmtp(value: str) -> Fmtp:
    name, _, parameters = value.strip(" ").partition(" ")
    if not _NAME.fullmatch(name) or not parameters.strip(" "):
        raise SdpSyntaxError(f"fmtp {value[:60]!r}")
    return Fmtp(name, parameters.strip(" "))


def parse_rtcp(value: str) -> Rtcp:
    fields = [text for text in value.split(" ") if text]
    if len(fields) not in (1, 4):
        raise SdpSyntaxError(f"rtcp {value[:60]!r}")
    port = parse_number(fields[0], 65_535, "RTCP port")
    return Rtcp(port, Connection(*fields[1:]) if len(fields) == 4 else None)


def parse_packet_time(value: str) -> float:
    """Milliseconds, greater than zero (RFC 8866 section 6.4), under 100 s."""
    text = value.strip(" ")
    if not _MILLISECONDS.fullmatch(text) or float(text) <= 0:
        raise SdpSyntaxError(f"packet time {value[:40]!r}")
    return float(text)


def rtpmaps_of(media: MediaDescription) -> dict[int, RtpMap]:
    """By payload type; of two for one type the first counts."""
    maps: dict[int, RtpMap] = {}
    for value in media.values("rtpmap"):
        mapping = parse_rtpmap(value)
        maps.setdefault(mapping.payload_type, mapping)
    return maps


def fmtps_of(media: MediaDescription) -> dict[str, str]:
    """Parameters by format; of two for one format the first counts."""
    parameters: dict[str, str] = {}
    for value in media.values("fmtp"):
        fmtp = parse_fmtp(value)
        parameters.setdefault(fmtp.format, fmtp.parameters)
    return parameters


def ptime_of(media: MediaDescription) -> float | None:
    """Milliseconds of sound that this end would like to receive in a packet."""
    return parse_packet_time(media.value("ptime") or "") if media.has("ptime") else None


def maxptime_of(media: MediaDescription) -> float | None:
    """Milliseconds of sound that this end can take in a packet (RFC 8866 section 6.5)."""
    return parse_packet_time(media.value("maxptime") or "") if media.has("maxptime") else None


def rtcp_of(media: MediaDescription) -> Rtcp | None:
    return parse_rtcp(media.value("rtcp") or "") if media.has("rtcp") else None


def rtcp_feedback_of(media: MediaDescription) -> tuple[RtcpFeedback, ...]:
    """What has the form of it; lines that are not understood have to be ignored (RFC 4585 section 4.2)."""
    found = []
    for value in media.values("rtcp-fb"):
        name, _, wanted = value.strip(" ").partition(" ")
        if wanted.strip(" ") and (name == "*" or _NAME.fullmatch(name)):
            found.append(RtcpFeedback(name, wanted.strip(" ")))
    return tuple(found)


def direction_of(description: SessionDescription, media: MediaDescription) -> Direction:
    """Media level before session level; sendrecv when neither says (RFC 8866 section 6.7)."""
    for level in (media, description):
        for attribute in level.attributes:
            if attribute.name in _DIRECTIONS:
                return _DIRECTIONS[attribute.name]
    return Direction.SENDRECV
