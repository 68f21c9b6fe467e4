"""Reading and writing SDP: the RFCs' examples both ways, deployed peers, and what attackers send."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segue.base.errors import RemoteError
from segue.protocols.sdp import (
    Attribute,
    Bandwidth,
    Connection,
    Direction,
    MediaDescription,
    Origin,
    SessionDescription,
    TimeDescription,
    direction_of,
    parse_sdp,
    write_sdp,
)

VECTORS = Path(__file__).parents[3] / "vectors"
EXAMPLES = sorted([*VECTORS.glob("rfc*.sdp"), *VECTORS.glob("sdp_*.sdp")])
MINIMAL = b"v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n"
AUDIO = MINIMAL + b"m=audio 49170 RTP/AVP 0\r\n"


def refusal(body: bytes) -> RemoteError:
    with pytest.raises(RemoteError) as caught:
        parse_sdp(body)
    return caught.value


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_examples_are_understood_and_written_back(path: Path) -> None:
    body = path.read_bytes()
    description = parse_sdp(body)
    assert description.media
    written = write_sdp(description)
    assert parse_sdp(written) == description
    assert sorted(written.split(b"\r\n")) == sorted(
        body.replace(b"\r\ns=\r\n", b"\r\ns=-\r\n").split(b"\r\n")
    )


@pytest.mark.parametrize("name", ["rfc8866_5", "rfc8866_6.7", "rfc4568_7.1.5_offer", "rfc5761_5.1.1"])
def test_examples_in_the_order_of_the_standard_come_back_octet_by_octet(name: str) -> None:
    body = (VECTORS / f"{name}.sdp").read_bytes()
    assert write_sdp(parse_sdp(body)) == body


def test_every_field_of_the_example_of_rfc8866() -> None:
    description = parse_sdp((VECTORS / "rfc8866_5.sdp").read_bytes())
    assert description.origin == Origin("jdoe", 3724394400, 3724394405, "IN", "IP4", "198.51.100.1")
    assert (description.name, description.information) == ("Call to John Smith", "SDP Offer #1")
    assert description.uri == "http://www.jdoe.example.com/home.html"
    assert description.emails == ("Jane Doe <jane@jdoe.example.com>",)
    assert description.phones == ("+1 617 555-6011",)
    assert description.connection == Connection("IN", "IP4", "198.51.100.1")
    first, second, video = description.media
    assert (first.media, first.port, first.protocol, first.formats) == ("audio", 49170, "RTP/AVP", ("0",))
    assert second.port == 49180
    assert description.connection_of(first) == Connection("IN", "IP4", "198.51.100.1")
    assert description.connection_of(video) == Connection("IN", "IP6", "2001:db8::2")
    assert video.attributes == (Attribute("rtpmap", "99 h263-1998/90000"),)


def test_direction_of_a_stream_overrides_that_of_the_session() -> None:
    description = parse_sdp((VECTORS / "rfc8866_6.7.sdp").read_bytes())
    directions = [direction_of(description, media) for media in description.media]
    assert directions == [Direction.SENDRECV, Direction.INACTIVE, Direction.INACTIVE]


def test_all_line_types_are_kept_except_the_obsolete_key() -> None:
    body = (
        b"v=0\r\no=- 1 2 IN IP4 192.0.2.1\r\ns=Lecture\r\ni=About sound\r\nu=https://example.org/\r\n"
        b"e=a@example.org\r\ne=b@example.org\r\np=+49 30 1234\r\nc=IN IP4 233.252.0.1/127/3\r\n"
        b"b=CT:128\r\nb=X-YZ:64\r\nt=3724394400 3730536000\r\nr=604800 3600 0 90000\r\nr=7d 1h 0 25h\r\n"
        b"z=3730928400 -1h 3749680800 0\r\nt=0 0\r\nk=prompt\r\na=charset:ISO-8859-1\r\n"
        b"a=unheard-of:\xe4\xf6\r\n"
        b"m=video 49170/2 RTP/AVP 31\r\ni=Slides\r\nc=IN IP4 233.252.0.1/127/2\r\nb=AS:64\r\nk=clear:x\r\n"
        b"a=recvonly\r\na=unknown\r\n"
    )
    description = parse_sdp(body)
    assert description.bandwidths == (Bandwidth("CT", 128), Bandwidth("X-YZ", 64))
    assert description.times == (
        TimeDescription(
            3724394400,
            3730536000,
            ("604800 3600 0 90000", "7d 1h 0 25h"),
            "3730928400 -1h 3749680800 0",
        ),
        TimeDescription(0, 0),
    )
    assert description.media[0].port_count == 2
    assert description.media[0].title == "Slides"
    assert write_sdp(description) == body.replace(b"k=prompt\r\n", b"").replace(b"k=clear:x\r\n", b"")


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(AUDIO.replace(b"\r\n", b"\n"), id="bare LF"),
        pytest.param(AUDIO + b"\r\n\r\n", id="blank lines at the end"),
        pytest.param(AUDIO.rstrip(b"\r\n"), id="no line end at the end"),
        pytest.param(AUDIO.replace(b"s=-\r\n", b"s=\r\n"), id="empty s="),
        pytest.param(AUDIO.replace(b"s=-\r\n", b""), id="no s="),
        pytest.param(AUDIO.replace(b"t=0 0\r\n", b""), id="no t="),
        pytest.param(
            AUDIO.replace(b"c=IN IP4 192.0.2.1\r\nt=0 0\r\n", b"t=0 0\r\nc=IN IP4 192.0.2.1\r\n"),
            id="c= after t=, as RFC 3264 section 9 itself has it",
        ),
        pytest.param(AUDIO.replace(b"t=0 0", b"t=0 0 "), id="space at the end of a line"),
    ],
)
def test_habits_of_deployed_peers_are_forgiven(body: bytes) -> None:
    assert parse_sdp(body) == parse_sdp(AUDIO)


def test_spaces_in_the_user_name_of_the_origin_are_forgiven() -> None:
    body = AUDIO.replace(b"o=- 1 1", b"o=Some Gateway 1 1")
    assert parse_sdp(body).origin[:3] == ("Some Gateway", 1, 1)


HUGE = b"9" * 5000


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"\r\n\r\n", id="blank"),
        pytest.param(b"o=- 1 1 IN IP4 192.0.2.1\r\nv=0\r\n", id="v= not first"),
        pytest.param(AUDIO.replace(b"v=0", b"v=1"), id="version 1"),
        pytest.param(MINIMAL.replace(b"o=- 1 1 IN IP4 192.0.2.1\r\n", b""), id="no origin"),
        pytest.param(MINIMAL + MINIMAL, id="two descriptions in one body"),
        pytest.param(MINIMAL + b"x=1\r\n", id="unknown type letter"),
        pytest.param(AUDIO + b"s=late\r\n", id="session line within media"),
        pytest.param(MINIMAL.replace(b"c=IN", b"c=IN IP4 192.0.2.2\r\nc=IN"), id="two c= for the session"),
        pytest.param(MINIMAL + b"m=audio 49170 RTP/AVP\r\n", id="no formats"),
        pytest.param(MINIMAL + b"m=audio 65536 RTP/AVP 0\r\n", id="port over 65535"),
        pytest.param(MINIMAL + b"m=audio 4294967297 RTP/AVP 0\r\n", id="port over 32 bits"),
        pytest.param(MINIMAL + b"m=audio -1 RTP/AVP 0\r\n", id="negative port"),
        pytest.param(MINIMAL + b"m=audio 65534/2 RTP/AVP 0\r\n", id="port pairs over 65535"),
        pytest.param(MINIMAL + b"m=audio 5000/0 RTP/AVP 0\r\n", id="no ports"),
        pytest.param(MINIMAL + b"m=audio 5000/99999999 RTP/AVP 0\r\n", id="millions of ports"),
        pytest.param(MINIMAL + b"m=audio " + HUGE + b" RTP/AVP 0\r\n", id="port of 5000 digits"),
        pytest.param(MINIMAL + "m=audio ٤٠٠٠ RTP/AVP 0\r\n".encode(), id="Arabic digits"),
        pytest.param(MINIMAL + "m=audio 5² RTP/AVP 0\r\n".encode(), id="superscript digits"),
        pytest.param(MINIMAL.replace(b"o=- 1 1", b"o=- 1 " + HUGE), id="huge version"),
        pytest.param(MINIMAL.replace(b"o=- 1 1", b"o=- 1 18446744073709551616"), id="version over 64 bits"),
        pytest.param(MINIMAL.replace(b"t=0 0", b"t=0"), id="half a time"),
        pytest.param(MINIMAL.replace(b"t=0 0", b"r=1 1 1"), id="r= without t="),
        pytest.param(MINIMAL + b"z=1\r\n", id="half a zone"),
        pytest.param(MINIMAL + b"b=AS:" + HUGE + b"\r\n", id="huge bandwidth"),
        pytest.param(MINIMAL + b"b=AS\r\n", id="bandwidth without value"),
        pytest.param(MINIMAL + b"a=\r\n", id="attribute without a name"),
        pytest.param(MINIMAL + b"a=sp ace:1\r\n", id="space in the name of an attribute"),
        pytest.param(MINIMAL + b"a=x:\0\r\n", id="NUL"),
        pytest.param(MINIMAL + b"a=x:a\rb\r\n", id="CR within a line"),
        pytest.param(MINIMAL + b"nonsense\r\n", id="no type"),
        pytest.param(MINIMAL + b"a=x:" + b"y" * 70_000 + b"\r\n", id="over 64 KiB"),
        pytest.param(MINIMAL + b"a=x\r\n" * 3_000, id="over 2,000 lines"),
        pytest.param(MINIMAL + b"m=audio 5000 RTP/AVP 0\r\n" * 65, id="over 64 streams"),
        pytest.param(MINIMAL + b"m=audio 5000 RTP/AVP" + b" 0" * 300 + b"\r\n", id="over 256 formats"),
    ],
)
def test_what_is_not_sdp_is_refused_with_400(body: bytes) -> None:
    assert refusal(body).status == 400


def test_separators_that_python_would_split_at_stay_within_a_line() -> None:
    body = MINIMAL + "a=note:one\u2028two\x0bthree\x85four\r\n".encode()
    assert parse_sdp(body).value("note") == "one\u2028two\x0bthree\x85four"


def test_octets_that_are_not_utf8_survive() -> None:
    body = MINIMAL.replace(b"s=-", b"s=caf\xe9") + b"a=x:\xff\xfe\r\n"
    assert write_sdp(parse_sdp(body)) == body


@pytest.mark.parametrize(
    ("line", "host"),
    [
        (b"c=IN IP4 192.0.2.1", "192.0.2.1"),
        (b"c=IN IP6 2001:DB8::0:1", "2001:db8::1"),
        (b"c=IN IP6 ::ffff:192.0.2.9", "192.0.2.9"),
        (b"c=IN IP4 0.0.0.0", "0.0.0.0"),
    ],
)
def test_numeric_addresses_are_read(line: bytes, host: str) -> None:
    connection = parse_sdp(MINIMAL.replace(b"c=IN IP4 192.0.2.1", line)).connection
    assert connection is not None
    assert connection.host() == host


@pytest.mark.parametrize(
    ("line", "status"),
    [
        (b"c=IN IP4 host.example.org", 488),
        (b"c=IN IP4 233.252.0.1/127", 488),
        (b"c=IN IP4 233.252.0.1", 488),
        (b"c=IN IP4 255.255.255.255", 488),
        (b"c=IN IP6 ff02::1", 488),
        (b"c=IN IP6 fe80::1%eth0", 488),
        (b"c=IN IP4 192.0.2.01", 488),
        (b"c=ATM NSAP 47.0091", 488),
        (b"c=IN IP4 2001:db8::1", 400),
        (b"c=IN IP6 192.0.2.1", 400),
    ],
)
def test_what_is_no_numeric_unicast_address_is_refused(line: bytes, status: int) -> None:
    connection = parse_sdp(MINIMAL.replace(b"c=IN IP4 192.0.2.1", line)).connection
    assert connection is not None
    with pytest.raises(RemoteError) as caught:
        connection.host()
    assert caught.value.status == status


def test_our_own_ipv4_mapped_address_is_written_as_ipv4() -> None:
    assert Connection.to_host("::ffff:192.0.2.1") == Connection("IN", "IP4", "192.0.2.1")


@pytest.mark.parametrize(
    "broken",
    [
        SessionDescription(Origin("-", 1, 1, "IN", "IP4", "192.0.2.1"), name="two\r\nlines"),
        SessionDescription(
            Origin("-", 1, 1, "IN", "IP4", "192.0.2.1"), attributes=(Attribute("x", "a\nm=audio 1 x 0"),)
        ),
        SessionDescription(
            Origin("-", 1, 1, "IN", "IP4", "192.0.2.1"),
            media=(MediaDescription("audio", 5000, "RTP/AVP", ("0",)),),
        ),
        SessionDescription(
            Origin("-", 1, 1, "IN", "IP4", "192.0.2.1"),
            connection=Connection.to_host("192.0.2.1"),
            media=(MediaDescription("audio", 5000, "RTP/AVP", ()),),
        ),
    ],
    ids=["line break in the name", "line break in an attribute", "no c=", "no formats"],
)
def test_what_sdp_cannot_say_is_not_written(broken: SessionDescription) -> None:
    with pytest.raises(AssertionError):
        write_sdp(broken)


LINES = st.sampled_from(
    [line for path in EXAMPLES for line in path.read_bytes().split(b"\r\n") if line]
) | st.binary(max_size=40)


@given(st.lists(LINES, max_size=30))
def test_any_lines_give_a_description_or_400(lines: list[bytes]) -> None:
    body = b"v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\n" + b"\r\n".join(lines)
    try:
        description = parse_sdp(body)
    except RemoteError as error:
        assert error.status == 400
        return
    everything = SessionDescription(**{**vars(description), "connection": Connection.to_host("192.0.2.1")})
    assert parse_sdp(write_sdp(everything)) == everything


@given(st.binary(max_size=300))
def test_any_octets_give_a_description_or_400(body: bytes) -> None:
    for text in (body, b"v=0\r\n" + body, MINIMAL + body):
        try:
            parse_sdp(text)
        except RemoteError as error:
            assert error.status == 400
