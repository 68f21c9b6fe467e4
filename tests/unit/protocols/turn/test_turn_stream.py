"""Messages of TURN out of a stream, byte by byte and all at once; and ChannelData."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segue.base.errors import RemoteError
from segue.protocols.stun.attributes import DATA
from segue.protocols.stun.message import Class, Method, StunMessage
from segue.protocols.turn.channel_data import TurnStream, parse_channel_data, write_channel_data

datas = st.binary(max_size=60)
messages = st.one_of(
    st.builds(
        lambda data: StunMessage(Class.INDICATION, Method.SEND, b"twelve bytes").add(DATA, data).write(),
        datas,
    ),
    st.builds(
        lambda number, data: write_channel_data(number, data, padded=True), st.integers(0x4000, 0x4FFF), datas
    ),
)


@given(st.lists(messages, max_size=6), st.integers(1, 50))
def test_whole_messages_come_out_however_they_came_in(wanted: list[bytes], step: int) -> None:
    stream, octets = TurnStream(), b"".join(wanted)
    found = [
        message for at in range(0, len(octets), step) for message in stream.receive(octets[at : at + step])
    ]
    assert found == wanted


@pytest.mark.parametrize("octets", [b"\x80\0\0\0", b"\x50\0\0\0", b"\0\1\0\3", b"SSH-2.0-x"])
def test_anything_else_ends_the_stream(octets: bytes) -> None:
    with pytest.raises(RemoteError):
        TurnStream().receive(octets)


@given(st.integers(0x4000, 0x4FFF), datas, st.booleans())
def test_channel_data_there_and_back(number: int, data: bytes, padded: bool) -> None:
    assert parse_channel_data(write_channel_data(number, data, padded=padded)) == (number, data)


@pytest.mark.parametrize("octets", [b"", b"\x40\0\0", b"\x40\0\0\1", b"\x3f\0\0\0", b"\x50\0\0\0"])
def test_what_is_no_channel_data(octets: bytes) -> None:
    with pytest.raises(RemoteError):
        parse_channel_data(octets)
