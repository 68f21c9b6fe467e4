"""RFC 8840 sections 4.4 and 9: the body of an INFO that brings candidates."""

from __future__ import annotations

import pytest

from segue.base.address import Address
from segue.base.errors import RemoteError
from segue.base.ice_description import Candidate, CandidateType, IceDescription
from segue.base.secret import Secret
from segue.protocols.sdp.trickle_fragment import news, parse_fragment, write_fragment

FIGURE_7 = b"""a=ice-pwd:asd88fgpdd777uzjYhagZg\r
a=ice-ufrag:8hhY\r
m=audio 9 RTP/AVP 0\r
a=mid:1\r
a=candidate:1 1 UDP 2130706432 2001:db8:a0b:12f0::1 5000 typ host\r
a=candidate:1 2 UDP 2130706432 2001:db8:a0b:12f0::1 5001 typ host\r
a=candidate:1 1 UDP 2130706431 192.0.2.1 5010 typ host\r
a=candidate:1 2 UDP 2130706431 192.0.2.1 5011 typ host\r
a=candidate:2 1 UDP 1694498815 192.0.2.3 5010 typ srflx raddr 192.0.2.1 rport 8998\r
a=candidate:2 2 UDP 1694498815 192.0.2.3 5011 typ srflx raddr 192.0.2.1 rport 8998\r
a=end-of-candidates\r
m=audio 9 RTP/AVP 0\r
a=mid:2\r
a=candidate:1 1 UDP 2130706432 2001:db8:a0b:12f0::1 6000 typ host\r
"""
HOST = Candidate("1", 1, 2130706431, Address("192.0.2.1", 5010), CandidateType.HOST)
MAPPED = Candidate(
    "2", 1, 1694498815, Address("192.0.2.3", 5010), CandidateType.SERVER_REFLEXIVE, Address("192.0.2.1", 5010)
)


def ice(*candidates: Candidate, ended: bool = False, ufrag: str = "8hhY") -> IceDescription:
    return IceDescription(ufrag, Secret("asd88fgpdd777uzjYhagZg"), candidates=candidates, ended=ended)


def test_figure_7() -> None:
    first, second = parse_fragment(FIGURE_7)
    assert (first.mid, second.mid) == ("1", "2")
    assert {part.ufrag for part in (first, second)} == {"8hhY"}
    assert first.password.reveal() == second.password.reveal() == b"asd88fgpdd777uzjYhagZg"
    assert len(first.candidates) == 6 and len(second.candidates) == 1
    assert first.ended and not second.ended
    assert first.candidates[4].related == Address("192.0.2.1", 8998)


@pytest.mark.parametrize("ended", [True, False])
@pytest.mark.parametrize("candidates", [(), (HOST,), (HOST, MAPPED)])
def test_ours_and_back(candidates: tuple[Candidate, ...], ended: bool) -> None:
    body = write_fragment(ice(*candidates, ended=ended), "0")
    assert body.startswith(b"m=audio 9 RTP/AVP 0\r\n") and body.endswith(b"\r\n")
    (part,) = parse_fragment(body)
    assert (part.mid, part.ufrag, part.candidates, part.ended) == ("0", "8hhY", candidates, ended)


def test_credentials_of_the_part_come_before_those_of_the_session_and_the_end_of_all_is_of_each() -> None:
    body = (
        b"a=ice-ufrag:sess\na=ice-pwd:" + b"s" * 22 + b"\na=end-of-candidates\nm=audio 9 RTP/AVP 0\na=mid:a\n"
    )
    part, other = parse_fragment(
        body + b"a=ICE-UFRAG:part\nm=video 0 x y\na=mid:b\na=unknown:1\na=rtcp-mux\n"
    )
    assert (part.ufrag, other.ufrag) == ("part", "sess") and part.ended and other.ended
    (everything,) = parse_fragment(b"a=ice-ufrag:sess\na=ice-pwd:p\na=end-of-candidates\n")
    assert everything.mid == "" and everything.ended and not everything.candidates


def test_only_what_is_new_of_the_same_generation_in_its_order() -> None:
    (part,) = parse_fragment(write_fragment(ice(HOST, MAPPED, MAPPED), "0"))
    assert news(part, ice(HOST)) == (MAPPED,)
    assert news(part, ice()) == (HOST, MAPPED)
    assert news(part, ice(HOST, MAPPED)) == ()
    assert news(part, ice(ufrag="next")) == (), "before an ICE restart, or after it"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"v=0\r\n",
        b"m=audio 9 RTP/AVP 0\r\na=mid:0\r\n",
        b"a=ice-ufrag:abcd\r\n",
        b"a=ice-ufrag\r\na=ice-pwd\r\nm=\r\n",
        b"c=IN IP4 192.0.2.1\r\n" + FIGURE_7,
        b"a" * 70_000,
        b"a=x\r\n" * 3_000,
        FIGURE_7 + b"m=audio 9 RTP/AVP 0\r\n" * 65,
        b"\0=\r\n",
    ],
)
def test_what_is_no_fragment(body: bytes) -> None:
    with pytest.raises(RemoteError) as error:
        parse_fragment(body)
    assert error.value.status == 400


def test_candidates_that_cannot_be_used_are_passed_over() -> None:
    body = FIGURE_7.replace(b"UDP 2130706431 192.0.2.1 5010", b"TCP 2130706431 192.0.2.1 9")
    assert len(parse_fragment(body.replace(b"192.0.2.3", b"evil.example"))[0].candidates) == 3
