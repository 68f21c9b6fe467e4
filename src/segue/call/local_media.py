"""What we say of our own media: the audio part, and the session around it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from segue.base import keying as plug
from segue.base.address import Address
from segue.base.entropy import Entropy, number
from segue.call.agreement import LocalMedia
from segue.call.config import MediaConfig
from segue.call.extensions import ATTRIBUTE, WAIT_ATTRIBUTE, Extension, write_extensions, write_wait
from segue.call.formats import EVENTS, OPUS, Format
from segue.protocols.sdp import (
    Attribute,
    Connection,
    Direction,
    MediaDescription,
    Origin,
    RtpMap,
    SessionDescription,
    TimeDescription,
    write_sdp,
)

_DTMF = "0-15"  # RFC 4733 section 3.2


@dataclass(frozen=True)
class AudioPart:
    """All that our `m=audio` says. `formats` with our payload types, in order of preference."""

    local: LocalMedia
    profile: str
    formats: Sequence[tuple[Format, int]]
    direction: Direction
    rtcp_mux: bool
    extensions: frozenset[Extension]
    keys: Sequence[plug.Attribute]
    feedback: Sequence[Attribute] = ()

    def describe(self, config: MediaConfig) -> MediaDescription:
        attributes: list[Attribute] = []
        for wanted, payload_type in self.formats:
            attributes.append(Attribute("rtpmap", str(RtpMap(payload_type, *wanted))))
            if parameters := own_parameters(wanted, config):
                attributes.append(Attribute("fmtp", f"{payload_type} {parameters}"))
        attributes += [Attribute("ptime", str(config.packet_time)), Attribute(self.direction.value)]
        attributes += [Attribute("rtcp-mux")] if self.rtcp_mux else []
        attributes += _rtcp(self.local)
        attributes += _plain(key for key in self.keys if not key.session_level)
        attributes += self.feedback
        attributes += [Attribute(ATTRIBUTE, write_extensions(self.extensions))] if self.extensions else []
        if Extension.RESEND in self.extensions:
            attributes.append(Attribute(WAIT_ATTRIBUTE, write_wait(config.waits)))
        return MediaDescription(
            "audio",
            self.local.rtp.port,
            self.profile,
            tuple(str(payload_type) for _, payload_type in self.formats),
            attributes=(*attributes, *self.local.attributes),
        )


def own_parameters(wanted: Format, config: MediaConfig) -> str:
    """What we ask of a format that is sent to us (`a=fmtp`)."""
    if wanted is OPUS:
        return config.opus_parameters
    return _DTMF if wanted in EVENTS else ""


class LocalSession:
    """The session part of every body we send in one call.

    Its `o=` keeps all but the version (RFC 3264 section 8), also from IPv4 to IPv6 and back; the version
    grows by one when anything else differs from what we sent last, and not otherwise.
    """

    def __init__(self, entropy: Entropy) -> None:
        # RFC 3264 section 5: a 64-bit signed number. 62 random bits tell our sessions apart.
        self._session_id = number(entropy, 1 << 62)
        self._sent: SessionDescription | None = None

    def write(
        self,
        local: LocalMedia,
        parts: Sequence[MediaDescription],
        times: tuple[TimeDescription, ...],
        keys: Iterable[plug.Attribute] = (),
    ) -> bytes:
        connection = Connection.to_host(local.rtp.host)
        origin = self._sent.origin if self._sent else Origin("-", self._session_id, 1, *connection)
        description = SessionDescription(
            origin,
            connection=connection,
            times=times,
            attributes=tuple(_plain(key for key in keys if key.session_level)),
            media=tuple(parts),
        )
        if self._sent is not None and description != self._sent:
            description = replace(description, origin=origin._replace(version=origin.version + 1))
        self._sent = description
        return write_sdp(description)


def _plain(keys: Iterable[plug.Attribute]) -> list[Attribute]:
    return [Attribute(key.name, key.value or None) for key in keys]


def _rtcp(local: LocalMedia) -> list[Attribute]:
    """`a=rtcp`, needed where RTCP is not on the next port (RFC 3605 section 2.1)."""
    if local.rtcp is None or local.rtcp == Address(local.rtp.host, local.rtp.port + 1):
        return []
    if local.rtcp.host == local.rtp.host:
        return [Attribute("rtcp", str(local.rtcp.port))]
    return [Attribute("rtcp", " ".join((str(local.rtcp.port), *Connection.to_host(local.rtcp.host))))]
