"""ICE in SDP: candidates, credentials, options (RFC 8839 section 5), both ways, and what a peer may send
instead."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segue.base.address import Address
from segue.base.ice_description import Candidate, CandidateType, IceDescription
from segue.base.secret import Secret
from segue.protocols.sdp import (
    Attribute,
    SdpSyntaxError,
    ice_of,
    parse_candidate,
    parse_remote_candidates,
    parse_sdp,
    write_candidate,
    write_ice,
)

# RFC 8839 section 4.2.6, with its folded lines unfolded
EXAMPLE = b"""v=0
o=jdoe 2890844526 2890842807 IN IP4 203.0.113.141
s=
c=IN IP4 192.0.2.3
t=0 0
a=ice-options:ice2
a=ice-pacing:50
a=ice-pwd:asd88fgpdd777uzjYhagZg
a=ice-ufrag:8hhY
m=audio 45664 RTP/AVP 0
b=RS:0
b=RR:0
a=rtpmap:0 PCMU/8000
a=candidate:1 1 UDP 2130706431 203.0.113.141 8998 typ host
a=candidate:2 1 UDP 1694498815 192.0.2.3 45664 typ srflx raddr 203.0.113.141 rport 8998
"""


def read(text: bytes) -> IceDescription | None:
    description = parse_sdp(text)
    return ice_of(description, description.media[0])


def test_the_example_of_the_rfc_is_read() -> None:
    ice = read(EXAMPLE)
    assert ice is not None
    assert (ice.ufrag, ice.password) == ("8hhY", Secret("asd88fgpdd777uzjYhagZg"))
    assert ice.options == {"ice2"}
    assert (ice.lite, ice.ended, ice.pacing) == (False, False, 0.05)
    host, reflexive = ice.candidates
    assert host == Candidate("1", 1, 2130706431, Address("203.0.113.141", 8998), CandidateType.HOST)
    assert reflexive.type is CandidateType.SERVER_REFLEXIVE
    assert reflexive.related == Address("203.0.113.141", 8998)


def test_what_is_written_is_read_the_same() -> None:
    ice = read(EXAMPLE)
    assert ice is not None
    ice = replace(
        ice,
        options=frozenset({"ice2", "trickle", "renomination"}),
        ended=True,
        remote_candidates=((1, Address("192.0.2.9", 4000)), (2, Address("2001:db8::9", 4001))),
    )
    lines = EXAMPLE.decode().splitlines(keepends=True)
    kept = [line for line in lines if "ice-" not in line and "a=candidate" not in line]
    for attribute in write_ice(ice):
        kept.append(
            f"a={attribute.name}" + (f":{attribute.value}\n" if attribute.value is not None else "\n")
        )
    assert read("".join(kept).encode()) == ice


def test_the_password_does_not_print() -> None:
    assert "asd88" not in repr(read(EXAMPLE))


def test_the_media_part_goes_before_the_session_part() -> None:
    text = EXAMPLE + b"a=ice-ufrag:mine\na=ice-pwd:" + b"m" * 22 + b"\n"
    ice = read(text)
    assert ice is not None
    assert (ice.ufrag, ice.password) == ("mine", Secret("m" * 22))


def test_a_peer_without_ice_has_none() -> None:
    assert read(b"".join(line + b"\n" for line in EXAMPLE.splitlines() if b"ice-ufrag" not in line)) is None


def test_lite_mismatch_and_the_end_of_candidates_are_flags() -> None:
    lite = EXAMPLE.replace(b"a=ice-options:ice2\n", b"a=ice-lite\na=ice-options:ice2 trickle\n")
    ice = read(lite + b"a=end-of-candidates\na=ice-mismatch\n")
    assert ice is not None
    assert (ice.lite, ice.ended, ice.mismatch) == (True, True, True)
    assert ice.options == {"ice2", "trickle"}


@pytest.mark.parametrize("ufrag", ["abc", "a" * 257, "with space", "semi;colon"])
def test_wrong_credentials_are_refused(ufrag: str) -> None:
    with pytest.raises(SdpSyntaxError):
        read(EXAMPLE + f"a=ice-ufrag:{ufrag}\n".encode())


@pytest.mark.parametrize(
    "value",
    [
        "1 1 UDP 2130706431 phone.example.com 8998 typ host",  # a name: section 5.1
        "1 1 UDP 2130706431 8d41.local 8998 typ host",
        "1 1 TCP 2130706431 192.0.2.1 9 typ host tcptype active",
        "1 1 UDP 2130706431 192.0.2.1 8998 typ new",
        "1 1 UDP 2130706431 192.0.2.1 0 typ host",
        "1 1 UDP 2130706431 0.0.0.0 8998 typ host",
        "1 1 UDP 2130706431 224.0.0.1 8998 typ host",
        "1 1 UDP 2130706431 192.0.2.1 65536 typ host",
        "1 0 UDP 2130706431 192.0.2.1 8998 typ host",
        "1 257 UDP 2130706431 192.0.2.1 8998 typ host",
        "1 1 UDP 0 192.0.2.1 8998 typ host",
        "1 1 UDP 4294967296 192.0.2.1 8998 typ host",
        "1 1 UDP -1 192.0.2.1 8998 typ host",
        "1 1 UDP 2130706431 fe80::1%eth0 8998 typ host",
        "toolongafoundationtoolongafoundation 1 UDP 1 192.0.2.1 8998 typ host",
        "1 1 UDP 2130706431 192.0.2.1 8998",
        "",
    ],
)
def test_candidates_that_cannot_be_used_are_left_out(value: str) -> None:
    assert parse_candidate(value) is None
    ice = read(EXAMPLE + f"a=candidate:{value}\n".encode())
    assert ice is not None
    assert len(ice.candidates) == 2


def test_extensions_are_ignored_and_mapped_addresses_are_ipv4() -> None:
    text = "a+/9 2 udp 1 ::ffff:192.0.2.1 8998 typ relay raddr 0.0.0.0 rport 9 generation 0 ufrag abcd network-id"
    candidate = parse_candidate(text)
    assert candidate == Candidate(
        "a+/9", 2, 1, Address("192.0.2.1", 8998), CandidateType.RELAYED, Address("0.0.0.0", 9)
    )


def test_a_related_address_that_is_kept_secret_is_written_as_the_rfc_wants() -> None:
    four = Candidate("1", 1, 5, Address("192.0.2.1", 8998), CandidateType.RELAYED)
    six = replace(four, address=Address("2001:db8::1", 8998))
    assert write_candidate(four).endswith("typ relay raddr 0.0.0.0 rport 9")
    assert write_candidate(six).endswith("typ relay raddr :: rport 9")


def test_remote_candidates_may_stand_in_one_line_or_several() -> None:
    one = parse_remote_candidates("1 192.0.2.3 45664 2 192.0.2.3 45665")
    assert one == [(1, Address("192.0.2.3", 45664)), (2, Address("192.0.2.3", 45665))]
    assert parse_remote_candidates("1 192.0.2.3") == []
    assert parse_remote_candidates("9 192.0.2.3 4 1 name 5") == []


@given(
    foundation=st.text("abcXYZ019+/", min_size=1, max_size=32),
    component=st.integers(1, 256),
    priority=st.integers(1, 2**31 - 1),
    host=st.ip_addresses().filter(lambda each: not (each.is_unspecified or each.is_multicast)),
    port=st.integers(1, 65535),
    kind=st.sampled_from(CandidateType),
)
def test_every_candidate_survives_the_way_through_text(
    foundation: str, component: int, priority: int, host: object, port: int, kind: CandidateType
) -> None:
    if getattr(host, "ipv4_mapped", None) is not None:
        return
    related = None if kind is CandidateType.HOST else Address("192.0.2.77", 9)
    candidate = Candidate(foundation, component, priority, Address(str(host), port), kind, related)
    assert parse_candidate(write_candidate(candidate)) == candidate


@given(st.text(max_size=200))
def test_no_text_breaks_the_reader(value: str) -> None:
    parse_candidate(value)
    parse_remote_candidates(value)


def test_attributes_are_plain_ones() -> None:
    ice = IceDescription("ours", Secret("p" * 22), frozenset({"ice2"}))
    assert write_ice(ice) == (
        Attribute("ice-ufrag", "ours"),
        Attribute("ice-pwd", "p" * 22),
        Attribute("ice-options", "ice2"),
    )
