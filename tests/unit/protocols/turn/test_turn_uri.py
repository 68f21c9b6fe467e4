"""How users name servers: the examples of RFC 7064 and RFC 7065 appendix A, and what is none."""

from __future__ import annotations

import pytest

from segue.base.errors import LocalError
from segue.protocols.turn.uri import ServerUri, parse_server_uri


@pytest.mark.parametrize(
    ("text", "uri", "port"),
    [
        ("stun:example.org", ServerUri(False, "example.org", 0, "udp"), 3478),
        ("stun:example.org:8000", ServerUri(False, "example.org", 8000, "udp"), 8000),
        ("turn:example.org", ServerUri(True, "example.org", 0, "udp"), 3478),
        ("turns:example.org", ServerUri(True, "example.org", 0, "tls"), 5349),
        ("turn:example.org:8000", ServerUri(True, "example.org", 8000, "udp"), 8000),
        ("turn:example.org?transport=tcp", ServerUri(True, "example.org", 0, "tcp"), 3478),
        ("TURNS:[2001:DB8::1]:443", ServerUri(True, "2001:db8::1", 443, "tls"), 443),
        ("turn:192.0.2.1", ServerUri(True, "192.0.2.1", 0, "udp"), 3478),
    ],
)
def test_what_is_a_server(text: str, uri: ServerUri, port: int) -> None:
    assert parse_server_uri(text) == uri and uri.usual_port == port
    assert parse_server_uri(str(uri)) == uri


def test_an_explicit_transport_that_is_the_usual_one() -> None:
    assert parse_server_uri("turn:a?transport=udp") == parse_server_uri("turn:a")
    assert parse_server_uri("turns:a?transport=tcp") == parse_server_uri("turns:a")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "example.org",
        "http://example.org",
        "turn://example.org",
        "turn:",
        "turn:a:0",
        "turn:a:65536",
        "turn:a?transport=sctp",
        "turns:a?transport=udp",
        "stuns:a",
        "stun:a?transport=tcp",
        "turn:[::1",
        "turn:1.2.3",
        "turn:[1::2::3]",
        "turn:alice@a",
    ],
)
def test_what_is_none_is_said_with_the_remedy(text: str) -> None:
    with pytest.raises(LocalError) as error:
        parse_server_uri(text)
    assert error.value.remedy
