"""RTP, RTCP, telephone events and SRTP with whatever octets come: a value or RemoteError, nothing else."""

from __future__ import annotations

from contextlib import suppress

from hypothesis import given, settings
from hypothesis import strategies as st

from segue.base.errors import RemoteError
from segue.base.keying import MasterKey, Suite
from segue.base.secret import Secret
from segue.protocols.demux import Kind, sort
from segue.protocols.rtcp.packets import GenericNack, parse_rtcp, write_rtcp
from segue.protocols.rtcp.session import RtcpSession
from segue.protocols.rtp.packet import RtpPacket, header_length, parse_rtp
from segue.protocols.rtp.receiver import RtpSource
from segue.protocols.rtp.telephone_event import DtmfReceiver
from segue.protocols.srtp.context import SrtpReceiver, SrtpSender
from segue.testing.entropy import SeededEntropy

RTP_LIKE = st.builds(
    lambda first, rest: bytes([0x80 | first]) + rest, st.integers(0, 63), st.binary(max_size=120)
)
RTCP_LIKE = st.lists(
    st.builds(
        lambda flags, kind, words, cut: (
            bytes([0x80 | flags, kind]) + (len(words) // 4 + cut).to_bytes(2, "big") + words
        ),
        st.integers(0, 63),
        st.integers(198, 208),
        st.binary(max_size=60).map(lambda octets: octets[: len(octets) // 4 * 4]),
        st.sampled_from([0, 0, 0, 1]),
    ),
    max_size=4,
).map(b"".join)
SUITES = st.sampled_from([Suite.AES_CM_128_HMAC_SHA1_80, Suite.AEAD_AES_256_GCM])


def master(suite: Suite, mki: bytes = b"") -> MasterKey:
    return MasterKey(Secret(bytes(suite.key_length)), Secret(bytes(suite.salt_length)), mki)


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.binary(max_size=100), RTP_LIKE))
def test_rtp(octets: bytes) -> None:
    with suppress(RemoteError):
        packet = parse_rtp(octets)
        assert 12 <= header_length(octets) <= len(octets)
        assert parse_rtp(packet.to_bytes()) == packet
        RtpSource(1, 8000).receive(packet, 1.0)
        DtmfReceiver().receive(packet.payload, packet.timestamp)


@settings(max_examples=400, deadline=None)
@given(st.one_of(st.binary(max_size=100), RTCP_LIKE))
def test_rtcp(octets: bytes) -> None:
    session = RtcpSession(1, "x", SeededEntropy(), 0.0)
    with suppress(RemoteError):
        packets = parse_rtcp(octets)
        session.receive(packets, 1.0)
        again = parse_rtcp(write_rtcp(packets))
        assert [type(packet) for packet in again] == [type(packet) for packet in packets]
        assert [p for p in again if not isinstance(p, GenericNack)] == [
            p for p in packets if not isinstance(p, GenericNack)
        ]


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=40))
def test_sorting(octets: bytes) -> None:
    assert isinstance(sort(octets), Kind)


@settings(max_examples=300, deadline=None)
@given(SUITES, st.one_of(st.binary(max_size=200), RTP_LIKE, RTCP_LIKE), st.sampled_from([b"", b"\1\2\3\4"]))
def test_srtp_garbage(suite: Suite, octets: bytes, mki: bytes) -> None:
    receiver = SrtpReceiver(suite, [master(suite, mki)])
    sender = SrtpSender(suite, master(suite, mki))
    known = sender.protect(RtpPacket(0, False, 1, 1, int.from_bytes(octets[8:12], "big"), b"x").to_bytes())
    assert receiver.unprotect(octets) is None
    assert receiver.unprotect(known)
    assert receiver.unprotect(octets) is None
    assert receiver.unprotect_rtcp(octets) is None


@settings(max_examples=200, deadline=None)
@given(SUITES, st.lists(st.tuples(st.integers(0, 400), st.integers(0, 3)), max_size=60))
def test_any_order_of_packets_over_the_wrap(suite: Suite, order: list[tuple[int, int]]) -> None:
    """Each genuine packet once, nothing forged, in whatever order they come."""
    sender, receiver = SrtpSender(suite, master(suite)), SrtpReceiver(suite, [master(suite)])
    packets = [RtpPacket(0, False, n & 0xFFFF, n, 9, b"x").to_bytes() for n in range(65336, 65737)]
    sealed = [sender.protect(packet) for packet in packets]
    assert receiver.unprotect(sealed[0]) == packets[0]
    seen = {0}
    for number, change in order:
        if change:
            forged = bytearray(sealed[number])
            forged[-change] ^= change
            assert receiver.unprotect(bytes(forged)) is None
        else:
            assert receiver.unprotect(sealed[number]) == (None if number in seen else packets[number])
            seen.add(number)
