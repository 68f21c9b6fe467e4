"""Session Description Protocol: what two ends tell each other about media, as text.

- `description`: the dataclasses (`SessionDescription`, `MediaDescription`, `Attribute` …).
- `parser.parse_sdp`, `writer.write_sdp`: octets to description and back.
- `attributes`: the attributes this project acts upon, typed, read on demand.
- `trickle_fragment`: candidates that follow an offer or answer.
- `ice_attributes`: those of ICE, as a `base.ice_description.IceDescription`, and back.
- `format_parameters`: what `a=fmtp` means for telephone events and Opus.

Status card
  RFC 8866   done: 5 (all line types; `k=` is discarded as 5.12 demands), 6.4, 6.5 ptime and maxptime, 6.6
             rtpmap, 6.7 direction, 6.15 fmtp, 9 grammar. Other attributes are kept as text and written back
             unchanged. Reading is tolerant where deployed peers need it: bare LF, blank lines, any order
             within the session part and within a media part, missing `s=` and `t=`, empty `s=`, spaces in
             the user name of `o=`. Writing is strict. An unknown type letter is refused (section 5).
             not done: charset conversion (6.10; such text stays octets), multicast (5.7).
  RFC 3264   the offer/answer rules are in `segue.call.negotiation`.
  RFC 3605   done (`a=rtcp`)
  RFC 5761   `a=rtcp-mux` is read by name; the rules are in `segue.call.negotiation`.
  RFC 4585   done: 4.2 (`a=rtcp-fb`; which of it is taken is in `segue.call.feedback`)
  RFC 4733   done: 2.4.1 (event list)
  RFC 7587   done: 6.1 (parameters of Opus)
  RFC 8839   done: 5 (all attributes; `ice-mismatch` is read only). The rules are in `segue.call`.
  RFC 8840   done: 4.4, 8, 9 (`end-of-candidates`, the fragment); RFC 8838: option `trickle`
  as text    reachable by name: crypto (RFC 4568, see `protocols.sdes`), fingerprint, setup, tls-id (RFC 8122,
             4145, 8842), extmap (RFC 8285), label, group, mid.

What a peer may send in excess (CVE-2018-1000098, -1000099, CVE-2021-26906, CVE-2026-41416 are of this kind)
ends in `RemoteError` with status 400 (the text is wrong) or 488 (we cannot do it): bodies over 64 KiB, over
2,000 lines, over 64 media parts, ports over 65535, media without formats, numbers that no field can mean.
"""

from segue.protocols.sdp.attributes import (
    Direction,
    Fmtp,
    Rtcp,
    RtcpFeedback,
    RtpMap,
    direction_of,
    fmtps_of,
    maxptime_of,
    ptime_of,
    rtcp_feedback_of,
    rtcp_of,
    rtpmaps_of,
)
from segue.protocols.sdp.description import (
    Attribute,
    Bandwidth,
    Connection,
    MediaDescription,
    Origin,
    SdpSyntaxError,
    SessionDescription,
    TimeDescription,
)
from segue.protocols.sdp.format_parameters import OpusParameters, event_codes, opus_parameters
from segue.protocols.sdp.ice_attributes import (
    ice_of,
    parse_candidate,
    parse_remote_candidates,
    write_candidate,
    write_ice,
)
from segue.protocols.sdp.parser import parse_sdp
from segue.protocols.sdp.writer import write_sdp

__all__ = [
    "Attribute",
    "Bandwidth",
    "Connection",
    "Direction",
    "Fmtp",
    "MediaDescription",
    "OpusParameters",
    "Origin",
    "Rtcp",
    "RtcpFeedback",
    "RtpMap",
    "SdpSyntaxError",
    "SessionDescription",
    "TimeDescription",
    "direction_of",
    "event_codes",
    "fmtps_of",
    "ice_of",
    "maxptime_of",
    "opus_parameters",
    "parse_candidate",
    "parse_remote_candidates",
    "parse_sdp",
    "ptime_of",
    "rtcp_feedback_of",
    "rtcp_of",
    "rtpmaps_of",
    "write_candidate",
    "write_ice",
    "write_sdp",
]
