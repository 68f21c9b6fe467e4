"""What both ends of a call have agreed about its one audio stream."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from segue.base.address import Address
from segue.base.ice_description import IceDescription
from segue.call.extensions import Extension
from segue.call.feedback import NO_FEEDBACK, Feedback
from segue.call.formats import Format
from segue.protocols.sdp import Attribute, Direction


class LocalMedia(NamedTuple):
    """Where we receive: RTP, RTCP for a peer without rtcp-mux (None: the next port), and attributes that
    others than the negotiation want in our audio part (ICE candidates)."""

    rtp: Address
    rtcp: Address | None = None
    attributes: tuple[Attribute, ...] = ()


class AgreedFormat(NamedTuple):
    """A format that both ends can do, with what each calls it and what each wants of it (`a=fmtp` text)."""

    format: Format
    send_type: int
    receive_type: int
    send_parameters: str = ""  # the peer's wishes for what we send
    receive_parameters: str = ""  # ours


@dataclass(frozen=True)
class MediaAgreement:
    """The outcome of the last offer and answer, as this end sees it.

    `codecs` are in order of preference, the first is to be sent unless there is a reason; any of them may
    come and may be sent at any time. `remote` is None when the peer wants nothing sent (c=0.0.0.0). Times
    are in ms.
    """

    local: LocalMedia
    remote: Address | None
    remote_rtcp: Address | None
    rtcp_mux: bool
    profile: str
    secure: bool  # nothing may be sent or played before the key agreement has yielded keys
    codecs: tuple[AgreedFormat, ...]
    telephone_events: tuple[AgreedFormat, ...]
    receive_types: Mapping[int, Format]  # every payload type we have announced in this call
    direction: Direction  # of media, as we see it
    held_locally: bool
    held_remotely: bool
    packet_time: int  # of what we send
    extensions: frozenset[Extension] = frozenset()
    feedback: Feedback = NO_FEEDBACK
    remote_changed: bool = False  # against the agreement before; also true for the first one
    ice: IceDescription | None = None  # the peer's

    @property
    def held_by(self) -> str:
        """Who holds the call: "" (nobody), "us", "peer" or "both"."""
        if self.held_locally:
            return "both" if self.held_remotely else "us"
        return "peer" if self.held_remotely else ""

    @property
    def sends(self) -> bool:
        """Whether media may leave: the direction allows it and there is somewhere to send to."""
        return self.direction.sends and self.remote is not None
