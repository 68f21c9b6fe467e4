"""RTCP packets (RFC 3550 section 6, RFC 4585 section 6): octets to values and back.

A datagram is a list of them: a compound packet (RFC 3550 section 6.1), or one of reduced size (RFC 5506).
"""

from __future__ import annotations

from collections.abc import Iterable
from struct import Struct
from typing import NamedTuple

from segue.base.cursor import Cursor
from segue.base.errors import RemoteError
from segue.protocols.rtp.report_block import ReportBlock

SENDER_REPORT = 200
RECEIVER_REPORT = 201
SOURCE_DESCRIPTION = 202
GOODBYE = 203
APPLICATION = 204
TRANSPORT_FEEDBACK = 205

CNAME = 1
GENERIC_NACK = 1  # feedback message type of transport feedback
MOST = 31  # what the count of five bits can say
MOST_LOST = 2048  # sequence numbers read from one NACK: no sender keeps more, and a datagram may name 278,000

_BLOCK = Struct("!IIIIII")
_SENDER_INFO = Struct("!QIII")


class SenderReport(NamedTuple):
    ssrc: int
    ntp_time: int  # 64 bits, 2**-32 s since 1900
    rtp_timestamp: int
    packets: int
    octets: int
    blocks: tuple[ReportBlock, ...] = ()


class ReceiverReport(NamedTuple):
    ssrc: int
    blocks: tuple[ReportBlock, ...] = ()


class Chunk(NamedTuple):
    """One source's items: (type, text)."""

    ssrc: int
    items: tuple[tuple[int, bytes], ...]

    @property
    def cname(self) -> str | None:
        """The canonical name; what is not UTF-8 in it is replaced."""
        return next((text.decode("utf-8", "replace") for kind, text in self.items if kind == CNAME), None)


class SourceDescription(NamedTuple):
    chunks: tuple[Chunk, ...]


class Bye(NamedTuple):
    ssrcs: tuple[int, ...]
    reason: str = ""


class Application(NamedTuple):
    """APP (section 6.7)."""

    subtype: int
    ssrc: int
    name: bytes  # four octets
    data: bytes = b""


class GenericNack(NamedTuple):
    """Packets of `media_ssrc` that are missing, by sequence number, in the order of the message."""

    sender_ssrc: int
    media_ssrc: int
    lost: tuple[int, ...]


class UnknownPacket(NamedTuple):
    """A packet of another type. `body`: everything behind the first four octets."""

    packet_type: int
    subtype: int  # or a count, or a message type
    body: bytes


RtcpPacket = (
    SenderReport | ReceiverReport | SourceDescription | Bye | Application | GenericNack | UnknownPacket
)


def parse_rtcp(octets: bytes) -> list[RtcpPacket]:
    """Every packet of a datagram, with the checks of appendix A.2. Reduced-size datagrams, which need not begin
    with a report, are taken too (RFC 5506 section 3.4.1). Raises RemoteError."""
    packets: list[RtcpPacket] = []
    position, length = 0, len(octets)
    while position < length:
        if position + 4 > length:
            raise RemoteError("truncated RTCP header")
        first, packet_type = octets[position], octets[position + 1]
        if first >> 6 != 2:
            raise RemoteError("not RTCP version 2")
        end = position + 4 + 4 * (octets[position + 2] << 8 | octets[position + 3])
        if end > length:
            raise RemoteError("an RTCP packet longer than its datagram")
        body = octets[position + 4 : end]
        if first & 0x20:
            if end != length:
                raise RemoteError("RTCP padding before the last packet")
            body = _without_padding(body)
        packets.append(_parse_one(packet_type, first & 0x1F, body))
        position = end
    if not packets:
        raise RemoteError("an RTCP datagram without a packet")
    return packets


def is_compound(packets: list[RtcpPacket]) -> bool:
    """Whether a datagram begins as RFC 3550 section 6.1 wants it, not as RFC 5506 allows it."""
    return bool(packets) and isinstance(packets[0], SenderReport | ReceiverReport)


def _without_padding(body: bytes) -> bytes:
    padding = body[-1] if body else 0
    if not padding or padding % 4 or padding > len(body):
        raise RemoteError("bad RTCP padding")
    return body[:-padding]


def _parse_one(packet_type: int, count: int, body: bytes) -> RtcpPacket:
    cursor = Cursor(body)
    if packet_type == SENDER_REPORT:
        ssrc = cursor.u32()
        ntp_time, rtp_timestamp, sent, octets = _SENDER_INFO.unpack(cursor.take(20))
        return SenderReport(ssrc, ntp_time, rtp_timestamp, sent, octets, _parse_blocks(cursor, count))
    if packet_type == RECEIVER_REPORT:
        return ReceiverReport(cursor.u32(), _parse_blocks(cursor, count))
    if packet_type == SOURCE_DESCRIPTION:
        return SourceDescription(tuple(_parse_chunk(cursor) for _ in range(count)))
    if packet_type == GOODBYE:
        ssrcs = tuple(cursor.u32() for _ in range(count))
        reason = cursor.take(cursor.u8()) if cursor.remaining else b""
        return Bye(ssrcs, reason.decode("utf-8", "replace"))
    if packet_type == APPLICATION:
        return Application(count, cursor.u32(), cursor.take(4), cursor.rest())
    if packet_type == TRANSPORT_FEEDBACK and count == GENERIC_NACK:
        return GenericNack(cursor.u32(), cursor.u32(), _parse_lost(cursor))
    return UnknownPacket(packet_type, count, body)


def _parse_blocks(cursor: Cursor, count: int) -> tuple[ReportBlock, ...]:
    """What follows the blocks is a profile's extension, and left alone."""
    blocks = []
    for _ in range(count):
        ssrc, loss, extended, jitter, last_sr, delay = _BLOCK.unpack(cursor.take(24))
        lost = (loss & 0xFFFFFF ^ 0x800000) - 0x800000
        blocks.append(ReportBlock(ssrc, loss >> 24, lost, extended, jitter, last_sr, delay))
    return tuple(blocks)


def _parse_chunk(cursor: Cursor) -> Chunk:
    ssrc = cursor.u32()
    items = []
    while kind := cursor.u8():
        items.append((kind, cursor.take(cursor.u8())))
    cursor.skip(-cursor.position % 4)
    return Chunk(ssrc, tuple(items))


def _parse_lost(cursor: Cursor) -> tuple[int, ...]:
    """RFC 4585 section 6.2.1: a first one, and a bit for each of the 16 that follow it."""
    lost: list[int] = []
    while cursor.remaining and len(lost) < MOST_LOST:
        first, more = cursor.u16(), cursor.u16()
        lost.append(first)
        lost += [(first + bit + 1) & 0xFFFF for bit in range(16) if more >> bit & 1]
    return tuple(lost)


def write_rtcp(packets: Iterable[RtcpPacket]) -> bytes:
    """One datagram; the caller sees to it that a compound packet begins with a report."""
    return b"".join(_write_one(packet) for packet in packets)


def _write_one(packet: RtcpPacket) -> bytes:
    match packet:
        case SenderReport(ssrc, ntp_time, rtp_timestamp, sent, octets, blocks):
            info = _SENDER_INFO.pack(ntp_time, rtp_timestamp, sent & 0xFFFFFFFF, octets & 0xFFFFFFFF)
            return _framed(SENDER_REPORT, len(blocks), _u32(ssrc) + info + _write_blocks(blocks))
        case ReceiverReport(ssrc, blocks):
            return _framed(RECEIVER_REPORT, len(blocks), _u32(ssrc) + _write_blocks(blocks))
        case SourceDescription(chunks):
            return _framed(SOURCE_DESCRIPTION, len(chunks), b"".join(map(_write_chunk, chunks)))
        case Bye(ssrcs, reason):
            text = reason.encode()[:255]
            ending = _padded(bytes([len(text)]) + text) if text else b""
            return _framed(GOODBYE, len(ssrcs), b"".join(map(_u32, ssrcs)) + ending)
        case Application(subtype, ssrc, name, data):
            return _framed(APPLICATION, subtype, _u32(ssrc) + name + _padded(data))
        case GenericNack(sender_ssrc, media_ssrc, lost):
            body = _u32(sender_ssrc) + _u32(media_ssrc) + _write_lost(lost)
            return _framed(TRANSPORT_FEEDBACK, GENERIC_NACK, body)
        case UnknownPacket(packet_type, subtype, body):
            return _framed(packet_type, subtype, _padded(body))


def _framed(packet_type: int, count: int, body: bytes) -> bytes:
    assert count <= MOST, f"{count} things in one RTCP packet"
    return bytes([0x80 | count, packet_type]) + (len(body) // 4).to_bytes(2, "big") + body


def _u32(value: int) -> bytes:
    return value.to_bytes(4, "big")


def _padded(octets: bytes) -> bytes:
    return octets + bytes(-len(octets) % 4)


def _write_blocks(blocks: tuple[ReportBlock, ...]) -> bytes:
    return b"".join(
        _BLOCK.pack(
            block.ssrc,
            block.fraction_lost << 24 | block.lost & 0xFFFFFF,
            block.extended_sequence,
            block.jitter,
            block.last_sr,
            block.delay,
        )
        for block in blocks
    )


def _write_chunk(chunk: Chunk) -> bytes:
    octets = _u32(chunk.ssrc)
    for kind, text in chunk.items:
        octets += bytes([kind, len(text[:255])]) + text[:255]
    return _padded(octets + b"\0")


def _write_lost(lost: tuple[int, ...]) -> bytes:
    """One entry for each run of 17 sequence numbers, counted from its first."""
    octets, waiting = b"", list(lost)
    while waiting:
        first = waiting.pop(0)
        more = 0
        while waiting and 0 < (waiting[0] - first) & 0xFFFF <= 16:
            more |= 1 << ((waiting.pop(0) - first) & 0xFFFF) - 1
        octets += first.to_bytes(2, "big") + more.to_bytes(2, "big")
    return octets
