"""The attributes of ICE (RFC 8839 section 5, RFC 8838 section 13, RFC 8840 section 4): candidates, credentials,
options.

A candidate that cannot be used (a name instead of an address, another transport than UDP, an unknown type, a
figure out of its range) is left out, as section 5.1 demands for what is not supported: the others may do.
Credentials that are wrong are an error, as nothing works without.
"""

from __future__ import annotations

import ipaddress
import re

from segue.base.address import Address
from segue.base.ice_description import Candidate, CandidateType, IceDescription
from segue.base.secret import Secret
from segue.protocols.sdp.description import (
    Attribute,
    MediaDescription,
    SdpSyntaxError,
    SessionDescription,
    parse_number,
)

_ICE_CHARS = r"[A-Za-z0-9+/]"
_FOUNDATION = re.compile(_ICE_CHARS + "{1,32}")
_UFRAG = re.compile(_ICE_CHARS + "{4,256}")
_PASSWORD = re.compile(_ICE_CHARS + "{22,256}")
_TYPES = {kind.value: kind for kind in CandidateType}
_OPTIONS = 32  # tokens that are read
_DEFAULT_PACING = 50  # ms


def parse_candidate(value: str) -> Candidate | None:
    """Section 5.1; None for one that is to be ignored."""
    fields = value.strip(" ").split(" ")
    if len(fields) < 8 or fields[2].upper() != "UDP" or fields[6] != "typ":
        return None
    kind, address = _TYPES.get(fields[7]), _address(fields[4], fields[5])
    extensions = dict(zip(fields[8::2], fields[9::2], strict=False))
    try:
        component = parse_number(fields[1], 256, "component")
        priority = parse_number(fields[3], 2**31 - 1, "priority")
    except SdpSyntaxError:
        return None
    if (
        kind is None
        or address is None
        or not component
        or not priority
        or not _FOUNDATION.fullmatch(fields[0])
    ):
        return None
    related = _address(extensions.get("raddr", ""), extensions.get("rport", ""), any_port=True)
    return Candidate(fields[0], component, priority, address, kind, related)


def write_candidate(candidate: Candidate) -> str:
    """The related address of one that must have it and keeps it to itself is 0.0.0.0 or ::, port 9."""
    host, port = candidate.address
    text = f"{candidate.foundation} {candidate.component} UDP {candidate.priority} {host} {port}"
    text += f" typ {candidate.type.value}"
    if candidate.type is CandidateType.HOST:
        return text
    related = candidate.related or Address("::" if ":" in host else "0.0.0.0", 9)
    return f"{text} raddr {related.host} rport {related.port}"


def ice_of(description: SessionDescription, media: MediaDescription) -> IceDescription | None:
    """What a peer says of its ICE in an offer or answer; None when it does not speak it (section 4.2.5)."""
    ufrag, password = (_either(description, media, name) for name in ("ice-ufrag", "ice-pwd"))
    if ufrag is None or password is None:
        return None
    if not _UFRAG.fullmatch(ufrag) or not _PASSWORD.fullmatch(password):
        raise SdpSyntaxError(
            "ice-ufrag or ice-pwd is too short, too long or has other characters than it may"
        )
    options = (f"{description.value('ice-options') or ''} {media.value('ice-options') or ''}").split()
    parsed = (parse_candidate(value) for value in media.values("candidate"))
    pacing = parse_number(description.value("ice-pacing") or str(_DEFAULT_PACING), 10**10, "ice-pacing")
    return IceDescription(
        ufrag,
        Secret(password),
        frozenset(options[:_OPTIONS]),
        lite=description.has("ice-lite"),
        candidates=tuple(candidate for candidate in parsed if candidate is not None),
        ended=media.has("end-of-candidates") or description.has("end-of-candidates"),
        pacing=pacing / 1000,
        remote_candidates=tuple(
            pair for value in media.values("remote-candidates") for pair in parse_remote_candidates(value)
        ),
        mismatch=media.has("ice-mismatch"),
    )


def parse_remote_candidates(value: str) -> list[tuple[int, Address]]:
    """Section 5.2: component and address, again and again; what cannot be read is left out."""
    fields = value.split()
    found = []
    for component, host, port in zip(fields[::3], fields[1::3], fields[2::3], strict=False):
        address = _address(host, port)
        if address is not None and component in ("1", "2"):
            found.append((int(component), address))
    return found


def write_ice(ice: IceDescription) -> tuple[Attribute, ...]:
    """For the media part; a full implementation has nothing to say in the session part."""
    attributes = [Attribute("ice-ufrag", ice.ufrag), Attribute("ice-pwd", ice.password.reveal().decode())]
    if ice.options:
        attributes.append(Attribute("ice-options", " ".join(sorted(ice.options))))
    attributes += [Attribute("candidate", write_candidate(each)) for each in ice.candidates]
    if ice.remote_candidates:
        text = " ".join(
            f"{component} {address.host} {address.port}" for component, address in ice.remote_candidates
        )
        attributes.append(Attribute("remote-candidates", text))
    if ice.ended:
        attributes.append(Attribute("end-of-candidates"))
    return tuple(attributes)


def _either(description: SessionDescription, media: MediaDescription, name: str) -> str | None:
    """Media level before session level (section 5.4)."""
    return media.value(name) if media.has(name) else description.value(name)


def _address(host: str, port: str, *, any_port: bool = False) -> Address | None:
    """A numeric unicast address of a host, IPv4-mapped IPv6 as IPv4. None for a name, which nobody will look up."""
    if not (port.isascii() and port.isdigit()) or len(port) > 5 or int(port) > 65_535:
        return None
    try:
        address = ipaddress.ip_address("" if "%" in host else host)
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    if not any_port and (not int(port) or address.is_unspecified or address.is_multicast):
        return None
    return Address(str(address), int(port))
