"""Somebody who listens on every link and tries to get the speech, from captures alone.

Whatever looks like RTP is decoded as the codec that its payload type stands for (static types; others as captured
SDP says, else Opus), written as WAV, and compared with what was spoken. Of an encrypted call that is noise. Besides,
every captured octet is searched for speech in G.711, keys in signalling and passwords.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from segue.base.coded_signal import BLOCK, coded_signal
from segue.base.errors import RemoteError
from segue.base.frame import Frame, Samples
from segue.base.resample import resample
from segue.devices.wav_sink import WavSink
from segue.lab.attacks.attack import read_log
from segue.lab.attacks.forgeries import codec_name
from segue.lab.attacks.verdict import AttackResult
from segue.lab.measure.capture import Captured, read_captures
from segue.lab.measure.measures import is_media
from segue.lab.measure.packets import TCP, UDP, Packet
from segue.lab.measure.spoken import spoken_signal
from segue.lab.options import CODED
from segue.media.codecs import codec_for
from segue.media.coded_signal import analyse
from segue.media.level import level_dbov
from segue.protocols.rtp.packet import RtpPacket, parse_rtp

EAVESDROPPING = "eavesdropping"
SHORTEST = 25  # packets: of less than half a second nothing is said
PACKET_TIME = 0.02  # seconds
RATE = 8000  # Hz, of comparisons
ALIKE = 0.5  # normalised correlation at which a second of speech was got
SILENT = -50.0  # dBov
PIECE = 40  # octets of G.711 that are searched for: 5 ms, which nothing else has by chance
PIECES = 120
_RTPMAP = re.compile(rb"a=rtpmap:(\d{1,3}) ([A-Za-z0-9.-]+)/")


class Overheard(NamedTuple):
    """One stream on one link. `share`: of what was sent there, the part whose speech was got (0 to 1)."""

    link: str  # host and interface
    received: bool  # by that host; else sent
    ssrc: int
    codec: str
    packets: int
    share: float
    wav: Path | None


class Report(NamedTuple):
    streams: list[Overheard]
    found: dict[str, int]  # how often each thing searched for is in the captures

    @property
    def got_speech(self) -> float:
        """The largest share of any stream; 0.0 when nothing of any was got."""
        return max((stream.share for stream in self.streams), default=0.0)


def eavesdrop(
    captures: Path,
    out: Path | None = None,
    *,
    talkers: Iterable[str] = (CODED,),
    secrets: Mapping[str, bytes] | None = None,
    injected: Path | None = None,
) -> Report:
    """Listen to all captures of a folder. `out` gets a WAV file of each stream. `talkers`: what was spoken, as
    their phones were told (`devices.open`). `secrets`: what must not be in the captures besides speech and keys, by
    name. `injected`: the log of attacks on the same call, whose forgeries are no speech. Raises LocalError for what
    cannot be read."""
    seen = [(c, packet) for c in read_captures(captures) if (packet := c.packet()) is not None]
    if injected is not None:
        seen = _without_forgeries(seen, injected)
    spoken = list(talkers)
    types = announced_types(seen)
    streams = [
        _listen(link, received, ssrc, packets, types, spoken, out)
        for (link, received, ssrc), packets in rtp_streams(seen).items()
        if len(packets) >= SHORTEST
    ]
    needles = {"SDES key (inline:)": [b"inline:"]}
    needles |= {name: [value] for name, value in (secrets or {}).items()}
    needles["speech in G.711"] = [piece for talker in spoken for piece in g711_pieces(talker)]
    return Report(streams, search(seen, needles))


def _without_forgeries(seen: list[tuple[Captured, Packet]], injected: Path) -> list[tuple[Captured, Packet]]:
    forged = {line["sha256"] for line in read_log(injected) if line["kind"].startswith("forged")}
    return [(c, packet) for c, packet in seen if hashlib.sha256(packet.payload).hexdigest() not in forged]


def as_attack(report: Report, least: float = 0.0) -> AttackResult:
    """Listening as one of the attacks: streams of which more than `least` was got, and what was searched for and
    found, of all streams."""
    got = sum(stream.share > least for stream in report.streams)
    got = min(len(report.streams), got + sum(count > 0 for count in report.found.values()))
    found = "; ".join(f"{name}: {count}" for name, count in report.found.items())
    share = f"at most {100 * report.got_speech:.1f} % of a stream's speech; {found}"
    return AttackResult(EAVESDROPPING, len(report.streams), got, share)


def rtp_streams(
    seen: Iterable[tuple[Captured, Packet]],
) -> dict[tuple[str, bool, int], list[tuple[int, RtpPacket]]]:
    """First copies by extended sequence number, of each SSRC on each link and direction."""
    found: dict[tuple[str, bool, int], dict[int, RtpPacket]] = {}
    highest: dict[tuple[str, bool, int], int] = {}
    for captured, packet in seen:
        if not is_media(packet):
            continue
        try:
            rtp = parse_rtp(packet.payload)
        except RemoteError:
            continue
        key = (captured.place, captured.received, rtp.ssrc)
        last = highest.get(key, rtp.sequence + 0x10000)
        number = last + ((rtp.sequence - last + 0x8000) & 0xFFFF) - 0x8000
        highest[key] = max(last, number)
        found.setdefault(key, {}).setdefault(number, rtp)
    return {key: sorted(packets.items()) for key, packets in found.items()}


def announced_types(seen: Iterable[tuple[Captured, Packet]]) -> dict[int, str]:
    """Payload types that SDP in the clear speaks of."""
    types: dict[int, str] = {}
    for _, packet in seen:
        if b"a=rtpmap:" in packet.payload:
            for number, name in _RTPMAP.findall(packet.payload):
                types[int(number)] = name.decode()
    return types


def _listen(
    link: str,
    received: bool,
    ssrc: int,
    packets: list[tuple[int, RtpPacket]],
    types: Mapping[int, str],
    spoken: list[str],
    out: Path | None,
) -> Overheard:
    heard, rate, codec = decode([rtp for _, rtp in packets], types)
    wav = None
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        wav = out / f"{link.replace(' ', '-')}-{'to' if received else 'from'}-{ssrc:08x}.wav"
        sink = WavSink(str(wav), rate)
        sink.write(Frame(heard, rate))
        sink.close()
    shares = [
        coded_share(heard, rate, len(packets))
        if talker == CODED
        else speech_share(heard, rate, _spoken(talker))
        for talker in spoken
    ]
    return Overheard(link, received, ssrc, codec, len(packets), round(max(shares, default=0.0), 4), wav)


def decode(packets: list[RtpPacket], types: Mapping[int, str]) -> tuple[Samples, int, str]:
    """What they sound like, its rate and the codec; payloads that the codec refuses are left out."""
    number = max({p.payload_type for p in packets}, key=[p.payload_type for p in packets].count)
    name = types.get(number, codec_name(number)) if number >= 96 else codec_name(number)
    if name.lower() == "telephone-event":
        name = "opus"
    codec = codec_for(name)
    pieces: list[Samples] = []
    for packet in packets:
        if packet.payload_type == number:
            try:
                pieces.append(codec.decode(packet.payload))
            except RemoteError:
                continue
    heard = np.concatenate(pieces) if pieces else np.zeros(0, dtype=np.int16)
    return heard, codec.sample_rate, codec.name


def coded_share(heard: Samples, rate: int, packets: int) -> float:
    """Of the blocks that so many packets carry, those that can be recognised."""
    blocks = {piece.block for piece in analyse(heard, rate)}
    return min(1.0, len(blocks) * BLOCK / (packets * PACKET_TIME))


def speech_share(heard: Samples, rate: int, spoken: Samples) -> float:
    """Of the seconds of `heard` that are not silent, those that are somewhere in `spoken` (at RATE)."""
    samples = resample(heard, rate, RATE)
    seconds = [samples[at : at + RATE] for at in range(0, len(samples) - RATE + 1, RATE)]
    loud = [second for second in seconds if level_dbov(second) > SILENT]
    if not loud or len(spoken) < RATE:
        return 0.0
    return sum(likeness(second, spoken) > ALIKE for second in loud) / len(loud)


def likeness(piece: Samples, spoken: Samples) -> float:
    """The largest normalised correlation of a piece with any part of what was spoken, repeated without end."""
    whole = np.concatenate((spoken, spoken[: len(piece)])).astype(np.float64)
    wanted = piece.astype(np.float64)
    size = 1 << (len(whole) + len(wanted)).bit_length()
    product = np.fft.irfft(np.fft.rfft(whole, size) * np.conj(np.fft.rfft(wanted, size)), size)
    sums = np.concatenate(([0.0], np.cumsum(whole**2)))
    energy: NDArray[np.float64] = sums[len(wanted) :] - sums[: -len(wanted)]
    floor = 32768.0**2 * 10 ** (SILENT / 10) * len(wanted)
    norm = np.sqrt(np.maximum(energy, floor) * max(float((wanted**2).sum()), floor))
    return float((np.abs(product[: len(norm)]) / norm).max())


def g711_pieces(talker: str) -> list[bytes]:
    """Pieces out of the middle of packets of 20 ms, in A-law and mu-law."""
    spoken = _spoken(talker)
    frames = len(spoken) // 160
    loud = [n for n in range(frames) if level_dbov(spoken[n * 160 : n * 160 + 160]) > -35]
    chosen = loud[:: max(1, len(loud) // PIECES)][:PIECES]
    pieces = []
    for name in ("PCMA", "PCMU"):
        octets = codec_for(name).encode(spoken)
        pieces += [octets[n * 160 + 60 : n * 160 + 60 + PIECE] for n in chosen]
    return pieces


def search(seen: Iterable[tuple[Captured, Packet]], needles: Mapping[str, list[bytes]]) -> dict[str, int]:
    """How many of each name's octet strings are in what UDP and TCP carried on a link, over all packets of each flow.
    What ICMP errors quote was in such a packet before."""
    flows: dict[tuple[object, ...], list[bytes]] = {}
    for captured, packet in seen:
        if packet.protocol in (UDP, TCP):
            flows.setdefault((captured.place, *packet[:5]), []).append(packet.payload)
    whole = [b"".join(parts) for parts in flows.values()]
    return {
        name: sum(any(needle in octets for octets in whole) for needle in values if needle)
        for name, values in needles.items()
    }


def _spoken(talker: str) -> Samples:
    if talker == CODED:
        return coded_signal(0, 1500, RATE)  # a minute
    return spoken_signal(talker, RATE)
