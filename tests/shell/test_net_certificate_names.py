"""Who a certificate speaks for: RFC 5922 sections 7.1 and 7.2."""

from __future__ import annotations

import pytest

from segue.net.certificate_names import certificate_names, is_current, matches
from segue.testing.certificates import Authority, make_ca, make_certificate


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return make_ca(tmp_path_factory.mktemp("ca"))


@pytest.mark.parametrize(
    ("uris", "names", "common_name", "expected"),
    [
        (["sip:example.com"], [], "", ["example.com"]),
        (["sip:Example.COM", "SIP:example.net;transport=tls"], [], "", ["example.com", "example.net"]),
        (["sip:example.com:5061", "sip:[2001:db8::1]:5061"], [], "", ["example.com", "2001:db8::1"]),
        (["sip:example.com"], ["proxy.example.com"], "cn.example", ["example.com"]),
        ([], ["proxy.example.com"], "cn.example", ["proxy.example.com"]),
        (["sips:example.com", "https://example.com"], ["dns.example"], "", ["dns.example"]),
        (["sip:alice@example.com"], ["dns.example"], "", ["dns.example"]),
        (["sip:alice@example.com"], [], "cn.example", []),
        ([], [], "CN.example", ["cn.example"]),
    ],
)
def test_names(
    ca: Authority, uris: list[str], names: list[str], common_name: str, expected: list[str]
) -> None:
    der = make_certificate(ca, uris=uris, names=names, common_name=common_name).der
    assert certificate_names(der) == expected


@pytest.mark.parametrize("octets", [b"", b"\x30", bytes(100), b"0\x82\x01\x00" + bytes(256)])
def test_what_is_no_certificate_has_no_names(octets: bytes) -> None:
    assert certificate_names(octets) == []
    assert not is_current(octets, 1.8e9)


def test_whole_names_match_whatever_their_case() -> None:
    assert matches(["example.com"], "EXAMPLE.com.")
    assert matches(["xn--bcher-kva.example"], "Bücher.example")
    for name, domain in [
        ("example.com", "foo.example.com"),
        ("foo.example.com", "example.com"),
        ("*.example.com", "foo.example.com"),
        (".example.com", "foo.example.com"),
        ("example.com\0.evil.example", "example.com"),
        ("", ""),
    ]:
        assert not matches([name], domain)
    assert not matches([], "example.com")
