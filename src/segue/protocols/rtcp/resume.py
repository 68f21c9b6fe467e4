"""Our own RTCP message, "I have moved: go on behind this packet": an APP (RFC 3550 section 6.7), SEGU, subtype 1.

It is sent between phones that have agreed on it, by the one who has moved, to where its new path leads. Its data are
eight octets: the SSRC whose packets are meant, the sequence number behind which to go on, and the age in milliseconds
above which packets are of no use any more.
"""

from __future__ import annotations

from struct import Struct
from typing import NamedTuple

from segue.protocols.rtcp.packets import Application

NAME = b"SEGU"
SUBTYPE = 1
_DATA = Struct("!IHH")


class Resume(NamedTuple):
    media_ssrc: int
    after: int  # sequence number
    oldest: float  # seconds, up to 65.535


def read_resume(application: Application) -> Resume | None:
    """None for an APP that is another."""
    if (application.name, application.subtype) != (NAME, SUBTYPE) or len(application.data) != _DATA.size:
        return None
    media_ssrc, after, oldest = _DATA.unpack(application.data)
    return Resume(media_ssrc, after, oldest / 1000)


def write_resume(ssrc: int, resume: Resume) -> Application:
    """`ssrc`: our own."""
    oldest = min(round(resume.oldest * 1000), 0xFFFF)
    return Application(SUBTYPE, ssrc, NAME, _DATA.pack(resume.media_ssrc, resume.after, oldest))
