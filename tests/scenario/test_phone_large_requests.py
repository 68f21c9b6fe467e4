"""Requests that are too large for a datagram (RFC 3261 section 18.1.1): they go by TCP where the server takes it, and
as they are where it does not. A call in the clear, because keys do not go over UDP."""

from __future__ import annotations

import dataclasses

import pytest

from segue.call import events as say
from segue.phone.config import PhoneConfig
from segue.testing.phones import SentMessage, Street, phone_config


def street(padding: int = 700, streams: bool = True) -> Street:
    s = Street(_padded("alice", padding), _padded("bob", 0), transport="UDP")
    s.streams = streams
    return s


def _padded(name: str, padding: int) -> PhoneConfig:
    config = phone_config(name, register=True, keying="none")
    return dataclasses.replace(config, user_agent="Segue " + "x" * padding)


def invites(s: Street, sender: str = "first") -> list[SentMessage]:
    return [m for m in s.messages if m.sender == sender and m.start.startswith("INVITE")]


def test_a_large_invite_goes_by_tcp_and_the_call_comes_up() -> None:
    s = street()
    s.meet()
    (invite,) = invites(s)
    assert invite.flow.transport == "TCP" and b"Via: SIP/2.0/TCP 192.0.2.1:" in invite.octets
    assert s.phones[0].is_up and s.phones[0].hears() and s.phones[1].hears()
    small = [m for m in s.messages if m.sender == "first" and m.start.startswith("ACK")]
    assert small and {m.flow.transport for m in small} == {"UDP"}, "only what is large goes by the stream"
    others = {m.flow.transport for m in s.messages if m.sender == "second"}
    assert others == {"UDP"}


def test_what_fits_stays_in_datagrams() -> None:
    s = street(padding=0)
    s.meet()
    assert s.phones[0].is_up and {m.flow.transport for m in s.messages} == {"UDP"}


def test_where_the_server_takes_no_stream_the_call_comes_up_all_the_same() -> None:
    s = street(streams=False)
    s.meet()
    assert [m.flow.transport for m in invites(s)] == ["TCP", "UDP"]
    assert s.phones[0].is_up and s.phones[0].hears()
    s.phones[0].agent.hold(s.phones[0].call.id, s.now)
    s.run(1)
    assert invites(s)[-1].flow.transport == "UDP", "it is not tried again on this flow"


@pytest.mark.parametrize("streams", [True, False])
def test_a_hard_move_tells_the_peer_with_a_large_request(streams: bool) -> None:
    s = street(streams=streams)
    s.meet()
    a, b = s.phones
    a.leave("wlan0")
    a.join("wwan0", "198.51.100.1")
    s.run(2)
    assert [e.ok for e in a.said(say.MoveEnded)] == [True]
    assert invites(s)[-1].flow.transport == ("TCP" if streams else "UDP")
    assert a.hears() and b.hears()


def test_a_stream_that_dies_with_the_network_does_not_take_the_call_with_it() -> None:
    """The re-INVITE is on its way over TCP when the network goes: it is sent again on the next."""
    s = street()
    s.meet()
    a, b = s.phones
    a.join("wwan0", "198.51.100.1", metric=600)
    s.run(1)
    a.agent.hold(a.call.id, s.now)
    s.run(0.01)
    assert invites(s)[-1].flow.transport == "TCP" and invites(s)[-1].flow.interface == "wlan0"
    a.leave("wlan0")
    s.run(3)
    assert invites(s)[-1].flow.interface == "wwan0" and b.is_up
    assert [e.held_by for e in b.said(say.HoldChanged)][-1:] == ["peer"]
