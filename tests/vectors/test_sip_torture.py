"""Every message of RFC 4475 and RFC 5118, and what those RFCs say is to become of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from segue.protocols.sip.message import Request, Response
from segue.protocols.sip.parser import check, parse_message
from segue.protocols.sip.syntax import SipSyntaxError
from segue.protocols.sip.uri import SipUri

HERE = Path(__file__).parent
# Refused while parsing or checking, with the status for the answer (RFC 4475 sections 3.1.2 and 3.3).
REFUSED = {
    "badaspec": 400, "baddn": 400, "badinv01": 400, "badvers": 505, "bigcode": 400, "clerr": 400, "escruri": 400,
    "insuf": 400, "ltgtruri": 400, "lwsruri": 400, "lwsstart": 400, "mcl01": 400, "mismatch01": 400,
    "mismatch02": 400, "multi01": 400, "ncl": 400, "quotbal": 400, "scalar02": 400, "scalarlg": 400, "trws": 400,
    "ipv6-bad": 400,
}  # fmt: skip
FILES = sorted([*(HERE / "rfc4475").glob("*.dat"), *(HERE / "rfc5118").glob("*.dat")])


def load(name: str) -> Request | Response:
    path = next(path for path in FILES if path.stem == name)
    message = parse_message(path.read_bytes())
    check(message)
    return message


def test_all_messages_are_here() -> None:
    assert len(list((HERE / "rfc4475").glob("*.dat"))) == 49
    assert len(list((HERE / "rfc5118").glob("*.dat"))) == 12


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_message_is_taken_or_refused_as_its_rfc_says(path: Path) -> None:
    if path.stem in REFUSED:
        with pytest.raises(SipSyntaxError) as refused:
            load(path.stem)
        assert refused.value.status == REFUSED[path.stem]
    else:
        load(path.stem)


@pytest.mark.parametrize("path", [p for p in FILES if p.stem not in REFUSED], ids=lambda path: path.stem)
@pytest.mark.parametrize("compact", [False, True])
def test_message_survives_being_written(path: Path, compact: bool) -> None:
    message = load(path.stem)
    again = parse_message(message.to_bytes(compact))
    check(again)
    assert again.start_line() == message.start_line()
    assert [f for f in again.headers.items() if f[0] != "Content-Length"] == [
        f for f in message.headers.items() if f[0] != "Content-Length"
    ]
    assert again.body == message.body
    assert (again.via, again.from_, again.to, again.cseq) == (
        message.via,
        message.from_,
        message.to,
        message.cseq,
    )


def test_white_space_and_folding_do_not_hide_anything() -> None:
    message = load("wsinv")
    assert isinstance(message, Request)
    assert message.to.tag == "1918181833n"
    assert message.from_.display == 'J Rosenberg \\"'
    assert message.from_.tag == "98asjd8"
    assert message.cseq == (9, "INVITE")
    assert message.max_forwards == 68
    assert [(via.host, via.port, via.branch) for via in message.vias] == [
        ("192.0.2.2", None, "390skdjuw"),
        ("spindle.example.com", None, "z9hG4bK9ikj8"),
        ("192.168.255.111", None, "z9hG4bK30239"),
    ]
    assert message.headers.get("NewFangledHeader") == "newfangled value continued newfangled value"
    assert message.routes[0].uri.params == {"lr": None, "unknownwith": "value", "unknown-no-value": None}  # type: ignore[union-attr]
    assert message.contacts[0].params == {"newparam": "newvalue", "secondparam": None, "q": "0.33"}
    assert message.body.startswith(b"v=0")


def test_every_octet_a_method_may_have() -> None:
    message = load("intmeth")
    assert isinstance(message, Request)
    assert message.method == "!interesting-Method0123456789_*+`.%indeed'~"
    uri = SipUri.parse(message.uri)
    assert uri.host == "example.com" and uri.user.startswith("1_unusual.URI")
    assert message.to.display == "BEL:\x07 NUL:\x00 DEL:\x7f"


def test_escapes_stay_in_the_user_part_and_do_not_move_the_host() -> None:
    message = load("esc01")
    assert isinstance(message, Request)
    assert SipUri.parse(message.uri).host == "example.net"
    assert SipUri.parse(message.uri).user == "sips%3Auser%40example.com"
    null = load("escnull")
    assert [str(c.uri) for c in null.contacts] == [
        "sip:%00@host5.example.com",
        "sip:%00%00@host5.example.com",
    ]
    percent = load("esc02")
    assert isinstance(percent, Request)
    assert percent.method == "RE%47IST%45R"


def test_semicolons_and_question_marks_of_a_user_part() -> None:
    message = load("semiuri")
    assert isinstance(message, Request)
    assert SipUri.parse(message.uri).user == "user;par=u%40example.net"


def test_second_request_in_one_datagram_is_ignored() -> None:
    message = load("dblreq")
    assert isinstance(message, Request)
    assert message.method == "REGISTER" and message.body == b""


def test_status_lines_with_strange_reasons() -> None:
    assert isinstance(plain := load("noreason"), Response) and (plain.status, plain.reason) == (100, "")
    assert isinstance(utf8 := load("unreason"), Response) and utf8.status == 200 and len(utf8.reason) > 20


def test_request_uris_of_other_schemes_are_416() -> None:
    for name in ("unkscm", "novelsc"):
        message = load(name)
        assert isinstance(message, Request)
        with pytest.raises(SipSyntaxError) as refused:
            SipUri.parse(message.uri)
        assert refused.value.status == 416


def test_contact_that_would_hide_header_fields_is_refused() -> None:
    with pytest.raises(SipSyntaxError):
        _ = load("regbadct").contacts
    escaped = load("regescrt").contacts[0].uri
    assert isinstance(escaped, SipUri) and escaped.headers == {"route": "%3Csip:sip.example.com%3E"}


def test_parameters_belong_to_contact_or_to_its_uri() -> None:
    outside, inside = load("cparam01").contacts[0], load("cparam02").contacts[0]
    assert (
        outside.params == {"unknownparam": None}
        and isinstance(outside.uri, SipUri)
        and not outside.uri.params
    )
    assert (
        isinstance(inside.uri, SipUri) and inside.uri.params == {"unknownparam": None} and not inside.params
    )


def test_max_forwards_zero_and_unknown_extensions_are_readable() -> None:
    assert load("zeromf").max_forwards == 0
    assert load("bext01").require == {"nothingsupportsthis", "nothingsupportsthiseither"}


def test_multipart_body_is_not_touched() -> None:
    message = load("mpart01")
    assert message.body.count(b"--7a9cbec02ceef655") == 3


def test_ipv6_references_and_ports() -> None:
    def uri(name: str) -> SipUri:
        message = load(name)
        assert isinstance(message, Request)
        return SipUri.parse(message.uri)

    assert (uri("ipv6-good").host, uri("ipv6-good").port) == ("2001:db8::10", None)
    assert (uri("port-ambiguous").host, uri("port-ambiguous").port) == ("2001:db8::10:5070", None)
    assert (uri("port-unambiguous").host, uri("port-unambiguous").port) == ("2001:db8::10", 5070)
    assert (
        uri("ipv6-bug-abnf-3-colons").host == uri("ipv6-correct-abnf-2-colons").host == "2001:db8::c000:201"
    )


@pytest.mark.parametrize("name", ["via-received-param-with-delim", "via-received-param-no-delim"])
def test_received_with_and_without_brackets(name: str) -> None:
    assert load(name).via.received == "2001:db8::9:255"


def test_mixed_families_in_one_message() -> None:
    assert [via.host for via in load("mult-ip-in-header").vias] == [
        "2001:db8::9:1",
        "192.0.2.1",
        "2001:db8::9:255",
    ]
    assert load("ipv4-mapped-ipv6").via.port == 19823
