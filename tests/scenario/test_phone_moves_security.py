"""Whole phones in virtual time: what moves do to keys, and what strangers can do to a call."""

from __future__ import annotations

from typing import Any

import pytest

from segue.base.address import Address, LocalPort
from segue.call import events as say
from segue.protocols.rtp.packet import parse_rtp
from segue.testing.phones import Street, TestPhone, phone_config

MOVERS = pytest.mark.parametrize("mover", [0, 1], ids=["caller moves", "callee moves"])


def street(*, knows: tuple[bool, bool] = (True, True), ice: bool = True, **options: Any) -> Street:
    """`knows`: which of the phones know our extensions."""
    media: list[dict[str, Any]] = [
        {"ice": ice, "duplicate": False} | ({} if known else {"extensions": ()}) for known in knows
    ]
    s = Street(
        phone_config("alice", sequence=65000, **media[0]),
        phone_config("bob", sequence=65000, **media[1]),
        **options,
    )
    s.meet()
    return s


def well(s: Street, seconds: float = 1.0) -> bool:
    since = s.now - seconds
    return all(p.is_up and p.heard_between(since, s.now) and p.silence(since, s.now) == 0 for p in s.phones)


def local_key(phone: TestPhone) -> object:
    keys = phone.call.media.session.exchanged_keys
    return keys[0] if keys else None


def unopened(phone: TestPhone) -> int:
    """What it dropped, but for the second copies of what came two ways."""
    return sum(count for (_, reason), count in phone.trace.drops.items() if reason != "replayed")


def move(phone: TestPhone, soft: bool, number: int = 1) -> None:
    if not soft:
        for interface in {a.interface for a in phone.agent.attachments()}:
            phone.leave(interface)
    phone.join(f"wwan{number}", f"198.51.100.{number}", 90 - number if soft else 200)


@MOVERS
@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("knows", [(False, True), (True, False), (False, False)])
@pytest.mark.parametrize("loss", [0.0, 0.1])
def test_with_a_peer_that_does_not_keep_keys_the_mover_draws_a_new_one(
    mover: int, soft: bool, knows: tuple[bool, bool], loss: float
) -> None:
    s = street(knows=knows)
    s.wire.loss = loss
    mn, cn = s.phones[mover], s.phones[1 - mover]
    for turn in range(4):
        before = local_key(mn), local_key(cn)
        drops = unopened(cn), unopened(mn)
        began = s.now
        move(mn, soft, turn + 1)
        s.run(4)
        assert mn.said(say.MoveEnded)[-1].ok
        assert local_key(mn) != before[0], "RFC 4568 section 7.1.4"
        if loss == 0:
            # Downlink of a hard move: connection and one round trip; a soft one is not heard.
            assert mn.silence(began, s.now) <= (0.0 if soft else 0.08 + 0.04 + 0.2)
            # What the mover sends is sealed with the old key until the answer, and accepted.
            assert cn.silence(began, s.now) <= (0.0 if soft else 0.2)
            assert (unopened(cn), unopened(mn)) == drops
            assert well(s)
    assert all(p.is_up for p in s.phones)
    s.wire.loss = 0.0
    s.run(60)
    assert well(s)


@MOVERS
def test_the_first_keys_are_the_last_when_both_keep_them(mover: int) -> None:
    s = street()
    before = [p.call.media.session.exchanged_keys for p in s.phones]
    for turn in range(4):
        move(s.phones[mover], turn % 2 == 0, turn + 1)
        s.run(4)
    assert [p.call.media.session.exchanged_keys for p in s.phones] == before


def lowered(octets: bytes) -> bytes:
    """The same offer, in the clear."""
    head, _, body = octets.partition(b"\r\n\r\n")
    lines = [line for line in body.split(b"\r\n") if not line.startswith(b"a=crypto")]
    body = b"\r\n".join(lines).replace(b"RTP/SAVP", b"RTP/AVP")
    kept = [line for line in head.split(b"\r\n") if not line.lower().startswith(b"content-length")]
    return b"\r\n".join([*kept, b"Content-Length: %d" % len(body)]) + b"\r\n\r\n" + body


@MOVERS
def test_a_reoffer_in_the_clear_is_refused_and_the_call_goes_on(mover: int) -> None:
    """Somebody between the phones takes the encryption out of the offer."""
    s = street()
    mn, cn = s.phones[mover], s.phones[1 - mover]
    keys = cn.call.media.session.exchanged_keys
    s.alter = lambda _sender, octets: lowered(octets) if octets.startswith(b"INVITE") else octets
    mn.agent.hold(mn.call.id, s.now)
    s.run(2)
    assert any(m.sender == cn.name and m.start.startswith("SIP/2.0 488") for m in s.messages)
    assert not cn.said(say.HoldChanged) and not mn.said(say.HoldChanged)
    assert cn.call.media.session.exchanged_keys == keys
    assert mn.said(say.HoldRefused) and well(s)
    for phone in s.phones:
        assert all(b"\x00" * 20 not in m.packet for m in phone.sent_media)
    s.alter = None
    mn.agent.hold(mn.call.id, s.now)
    s.run(2)
    assert cn.said(say.HoldChanged)[-1].held_by == "peer"


@MOVERS
def test_media_from_a_new_source_is_heard_before_signalling_and_redirects_nothing(mover: int) -> None:
    s = street(ice=False)
    mn, cn = s.phones[mover], s.phones[1 - mover]
    where = cn.call.media.paths.active
    assert where is not None
    s.connect_time = 3.0  # signalling takes its time on the new network
    lost = s.now
    move(mn, soft=False)
    s.run(2)
    assert not cn.said(say.PeerMoved)
    assert cn.silence(lost, s.now) == 0, "played at once"
    now = cn.call.media.paths.active
    assert now is not None and now.remote == where.remote, "but nothing is sent there on its word"
    s.run(4)
    assert cn.said(say.PeerMoved) and well(s)


def forge(packet: bytes, sequence_ahead: int = 50) -> bytes:
    """A datagram with the header of a real one and another payload."""
    header = bytearray(packet[:12])
    number = (int.from_bytes(header[2:4], "big") + sequence_ahead) % 65536
    header[2:4] = number.to_bytes(2, "big")
    return bytes(header) + b"\x5a" * (len(packet) - 12)


def test_forged_media_is_neither_played_nor_followed() -> None:
    s = street()
    a, b = s.phones
    since = s.now
    where = a.call.media.paths.active
    (port,) = a.call.media.paths.ports
    for turn in range(200):
        real = b.sent_media[-1].packet
        s.inject_media(a, port, forge(real, turn * 300))
        s.inject_media(a, port, real)  # a replay
        s.inject_media(a, port, bytes((0x80, 203)) + real[2:40])  # RTCP BYE
        s.inject_media(a, port, real[: turn % 40])
        s.run(0.02)
    assert a.call.media.paths.active == where
    assert a.is_up and a.silence(since, s.now) == 0
    assert max(a.heard_between(since, s.now)) < 6000, "only the tone"
    statistics = a.call.media.session.statistics
    assert statistics is not None
    assert sum(a.trace.drops.values()) >= 600
    ssrcs = {parse_rtp(m.packet).ssrc for m in b.sent_media}
    assert len(ssrcs) == 1


def test_forged_media_does_not_release_the_old_port_nor_feign_life() -> None:
    s = street()
    a, b = s.phones
    s.muted.add(b.name)
    move(a, soft=False)
    s.run(5)
    new = a.call.media.paths.sending
    for _ in range(26 * 5):
        if not a.agent.calls:
            break
        s.inject_media(a, new, forge(b.sent_media[-1].packet))
        s.run(0.2)
    assert [e.by for e in a.said(say.Ended)] == ["network"], "forged media is no sign of life"


FORGED = [
    "BYE sip:alice@192.0.2.1 SIP/2.0\r\nCSeq: 99 BYE\r\n",
    "INVITE sip:alice@192.0.2.1 SIP/2.0\r\nCSeq: 99 INVITE\r\nContact: <sip:x@203.0.113.66>\r\n",
    "CANCEL sip:alice@192.0.2.1 SIP/2.0\r\nCSeq: 1 CANCEL\r\n",
    "SIP/2.0 200 OK\r\nCSeq: 2 INVITE\r\nContact: <sip:x@203.0.113.66>\r\n",
    "UPDATE sip:alice@192.0.2.1 SIP/2.0\r\nCSeq: 99 UPDATE\r\nContact: <sip:x@203.0.113.66>\r\n",
]


@pytest.mark.parametrize("start", FORGED)
@pytest.mark.parametrize("tags", [("x", "y"), ("", "y"), ("right", "y"), ("x", "right")])
def test_messages_of_somebody_who_does_not_know_the_dialog_change_nothing(
    start: str, tags: tuple[str, str]
) -> None:
    s = street()
    a, b = s.phones
    leg = a.call.session.leg
    assert leg is not None
    local, remote = (
        tag if tag != "right" else known
        for tag, known in zip(tags, (leg.dialog.id.local_tag, leg.dialog.id.remote_tag), strict=True)
    )
    to = f"<sip:alice@example.org>{';tag=' + local if local else ''}"
    message = (
        f"{start}Via: SIP/2.0/TLS 203.0.113.66:5061;branch=z9hG4bKforged\r\nMax-Forwards: 70\r\n"
        f"From: <sip:bob@example.org>;tag={remote}\r\nTo: {to}\r\n"
        f"Call-ID: {a.call.id}\r\nContent-Length: 0\r\n\r\n"
    )
    s.inject_sip(a, message.encode())
    s.run(1)
    assert a.is_up and b.is_up and well(s, 0.5)
    assert not a.said(say.Ended) and len(a.agent.calls) == 1
    b.agent.hold(b.call.id, s.now)
    s.run(1)
    assert a.said(say.HoldChanged)[-1].held_by == "peer", "the true peer is still heard"


def test_octets_that_are_no_sip_change_nothing() -> None:
    s = street()
    a = s.phones[0]
    for octets in (
        b"",
        b"\x00" * 50,
        b"INVITE\r\n\r\n",
        b"SIP/2.0 200\r\n\r\n",
        b"BYE x SIP/2.0\r\nVia: x\r\n\r\n",
    ):
        s.inject_sip(a, octets)
    s.run(1)
    assert well(s, 0.5)


def test_in_the_clear_media_redirects_nothing_either() -> None:
    s = Street(phone_config("alice", keying="none"), phone_config("bob", keying="none"), transport="UDP")
    s.meet()
    a, b = s.phones
    where = a.call.media.paths.active
    (port,) = a.call.media.paths.ports
    for turn in range(20):
        s.inject_media(a, port, forge(b.sent_media[-1].packet, turn))
        s.run(0.02)
    assert a.call.media.paths.active == where


def test_media_at_a_port_of_another_call_or_of_none_is_dropped() -> None:
    s = street()
    a, b = s.phones
    s.inject_media(a, LocalPort("wlan0", Address("192.0.2.1", 9)), b.sent_media[-1].packet)
    s.run(1)
    assert well(s, 0.5)
