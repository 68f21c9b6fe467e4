"""Whatever comes to a server, it raises nothing, and answers the next honest phone."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from segue.base.address import Address
from segue.base.secret import Secret
from segue.protocols.sip.flow import Flow
from segue.server.authentication import hashes_of
from segue.server.config import Listen, Policy, ServerConfig
from segue.server.core import ServerCore
from segue.server.flow_tokens import read_token, write_token
from segue.testing import SeededEntropy

DOMAIN = "example.org"
HERE, THERE = Address("192.0.2.1", 5060), Address("198.51.100.7", 4000)
FLOWS = (Flow("UDP", HERE, THERE), Flow("TCP", HERE, THERE, serial=1), Flow("TLS", HERE, THERE, serial=2))
METHODS = ("INVITE", "REGISTER", "OPTIONS", "ACK", "CANCEL", "BYE", "MESSAGE")
ODD_VALUES = """
*|<>|<sip:>|sip:|<sip:a@b;lr>|<sip:@192.0.2.1;lr>|"|<sips:bob@example.org>|-1|99999999999|tel:+1|\udcff
<sip:x@192.0.2.1;lr>|<sip:bob@example.org;gr>|<sip:bob@example.org;gr=%ff>|<sip:bob@192.0.2.1:77;ob>
Digest|Digest realm=|Digest realm="example.org", nonce="x.y.z", uri="", username="bob", response="é", qop=auth
"""
ODD = st.sampled_from(["", "a" * 2000, *ODD_VALUES.strip().replace("\n", "|").split("|")])
HONEST = {
    "Via": "SIP/2.0/UDP 198.51.100.7:4000;rport;branch=z9hG4bK1",
    "From": "<sip:bob@example.org>;tag=1",
    "To": "<sip:bob@example.org>",
    "Call-ID": "x",
    "CSeq": "1 {method}",
    "Max-Forwards": "70",
    "Contact": "<sip:bob@198.51.100.7>",
}
EXTRA = (
    "Route",
    "Record-Route",
    "Authorization",
    "Proxy-Authorization",
    "Expires",
    "Max-Breadth",
    "Require",
    "Supported",
)
URIS = (
    "sip:example.org",
    "sip:bob@example.org",
    "sip:bob@example.org;gr=u",
    "sip:x@192.0.2.1;lr",
    "tel:1",
    "sip:a@b",
    "sips:bob@example.org",
)


@st.composite
def messages(draw: st.DrawFn) -> bytes:
    method = draw(st.sampled_from(METHODS))
    fields = {name: value.format(method=method) for name, value in HONEST.items()}
    for name in draw(st.sets(st.sampled_from((*HONEST, *EXTRA)), max_size=4)):
        fields[name] = draw(ODD)
    start = f"{method} {draw(st.sampled_from(URIS))} SIP/2.0"
    if draw(st.integers(0, 9)) == 0:
        start = f"SIP/2.0 {draw(st.sampled_from((100, 200, 487, 699)))} x"
    lines = [start, *(f"{name}: {value}" for name, value in fields.items()), "Content-Length: 0", "", ""]
    octets = "\r\n".join(lines).encode("utf-8", "surrogateescape")
    cut = draw(st.integers(0, 60))
    return octets[: len(octets) - cut] if cut > 50 else octets


def make_core() -> ServerCore:
    listens = (Listen("UDP", HERE), Listen("TCP", HERE), Listen("TLS", HERE))
    policy = Policy(strangers=True, requests_rate=0.0)
    config = ServerConfig(DOMAIN, listens, ":memory:", certificate="-", key="-", policy=policy)
    core = ServerCore(config, {"bob": hashes_of("bob", DOMAIN, "x")}, Secret(b"k"), SeededEntropy(1))
    for flow in FLOWS[1:]:
        core.opened(flow, 1000.0)
    return core


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2), messages() | st.binary(max_size=200)), max_size=6))
def test_nothing_that_comes_raises(received: list[tuple[int, bytes]]) -> None:
    core = make_core()
    now = 1000.0
    for number, octets in received:
        now += 0.1
        core.receive(octets, FLOWS[number], now)
        if (batch := core.take_batch()) is not None:
            core.committed(batch, True, now)
    for flow in FLOWS[1:]:
        core.closed(flow, now)
    while (due := core.deadline()) is not None and due < now + 300:
        core.expire(due + 1e-6)
    core.transmits()
    core.receive(
        b"OPTIONS sip:example.org SIP/2.0\r\nVia: SIP/2.0/UDP 198.51.100.7:4000;rport;branch=z9hG4bKlast\r\n"
        b"From: <sip:a@b>;tag=1\r\nTo: <sip:example.org>\r\nCall-ID: last\r\nCSeq: 1 OPTIONS\r\n\r\n",
        FLOWS[0],
        now + 400,
    )
    assert core.transmits()[-1][1].startswith(b"SIP/2.0 200 OK")


@given(st.text(max_size=60) | st.binary(max_size=60).map(lambda b: b.hex()))
def test_no_text_is_a_flow_token_but_ours(text: str) -> None:
    assert read_token(text, Secret(b"k")) is None
    for flow in FLOWS:
        assert read_token(write_token(flow, Secret(b"k")), Secret(b"k")) == flow
        assert read_token(write_token(flow, Secret(b"other")), Secret(b"k")) is None
