"""A stream cut into messages, however its octets fall into segments."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segue.protocols.sip.framing import BODY_LIMIT, PING, Ping, Pong, StreamReader
from segue.protocols.sip.message import Request, Response
from segue.protocols.sip.parser import HEAD_LIMIT


def request(name: str, body: bytes = b"", method: str = "MESSAGE") -> bytes:
    head = f"{method} sip:bob@example.org SIP/2.0\r\nCall-ID: {name}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def names(pieces: list[object]) -> list[str]:
    return [p.call_id if isinstance(p, Request | Response) else type(p).__name__ for p in pieces]


@given(st.lists(st.integers(1, 40), max_size=60))
def test_segments_do_not_matter(cuts: list[int]) -> None:
    stream = request("a", b"\r\n\r\nbody\r\n") + request("b") + PING + request("c", b"x" * 500)
    reader, pieces, start = StreamReader(), [], 0
    for cut in [*cuts, len(stream)]:
        pieces += reader.receive(stream[start : start + cut])
        start += cut
    # A ping whose halves come apart is told as a pong first: nothing depends on one too many.
    assert [name for name in names(pieces) if name != "Pong"] == ["a", "b", "Ping", "c"]
    bodies = [p.body for p in pieces if isinstance(p, Request)]
    assert bodies == [b"\r\n\r\nbody\r\n", b"", b"x" * 500] and reader.fault is None


@pytest.mark.parametrize(
    ("octets", "status"),
    [
        (b"what\r\n\r\n", 400),
        (b"MESSAGE sip:bob@example.org SIP/2.0\r\nCall-ID: b\r\n\r\n", 400),
        (b"MESSAGE sip:bob@example.org SIP/2.0\r\nContent-Length: -1\r\n\r\n", 400),
        (b"MESSAGE sip:b@b SIP/2.0\r\nContent-Length: 1\r\nl: 2\r\n\r\n", 400),
        (f"MESSAGE sip:b@b SIP/2.0\r\nContent-Length: {BODY_LIMIT + 1}\r\n\r\n".encode(), 513),
        (b"MESSAGE sip:b@b SIP/2.0\r\nX: " + b"x" * HEAD_LIMIT, 513),
    ],
)
def test_what_stands_before_a_fault_is_not_lost(octets: bytes, status: int) -> None:
    """An answer that comes in one segment with garbage is still the answer."""
    reader = StreamReader()
    assert names(reader.receive(request("a") + request("b", b"body") + octets)) == ["a", "b"]
    assert reader.fault is not None and reader.fault.status == status
    assert reader.receive(request("c")) == [], "nobody knows where a message begins after that"


def test_keep_alives() -> None:
    reader = StreamReader()
    assert names(reader.receive(PING)) == ["Ping"]
    assert names(reader.receive(b"\r\n")) == ["Pong"]
    assert reader.receive(request("a")) and Pong() in [*reader.receive(b"\r\n")]
    assert Ping() in StreamReader().receive(PING + b"\r\n")
