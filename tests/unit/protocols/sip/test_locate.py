"""RFC 3263: which questions are asked, and in which order servers come out."""

from __future__ import annotations

from collections import Counter

from segue.protocols.sip.locate import Answer, Location, Naptr, Question, Srv
from segue.protocols.sip.uri import SipUri
from segue.testing import SeededEntropy

ZONE: dict[tuple[str, str], list[Answer]] = {
    ("example.org", "NAPTR"): [
        Naptr(20, 0, "s", "SIP+D2T", "_sip._tcp.example.org."),
        Naptr(10, 0, "s", "SIPS+D2T", "_sips._tcp.example.org."),
        Naptr(30, 0, "s", "SIP+D2U", "_sip._udp.example.org."),
    ],
    ("_sips._tcp.example.org", "SRV"): [Srv(2, 0, 5061, "b.example.org."), Srv(1, 0, 5071, "a.example.org.")],
    ("_sip._tcp.example.org", "SRV"): [Srv(1, 0, 5060, "a.example.org.")],
    ("a.example.org", "A"): ["192.0.2.1"],
    ("a.example.org", "AAAA"): ["2001:db8::1"],
    ("b.example.org", "A"): ["192.0.2.2"],
    ("plain.example", "A"): ["192.0.2.9"],
    ("only-srv.example", "A"): ["192.0.2.8"],
    ("_sip._udp.only-srv.example", "SRV"): [Srv(1, 0, 5070, "only-srv.example.")],
}


def locate(
    uri: str,
    transports: tuple[str, ...] = ("TLS", "TCP", "UDP"),
    families: tuple[int, ...] = (6, 4),
    seed: int = 1,
) -> tuple[list[str], list[Question]]:
    location = Location(SipUri.parse(uri), SeededEntropy(seed), transports=transports, families=families)
    asked = []
    while questions := location.questions():
        for question in questions:
            asked.append(question)
            location.receive(question, ZONE.get((question.name, question.kind), []))
    assert location.places is not None
    return [f"{place.transport} {place.address}" for place in location.places], asked


def test_naptr_order_then_srv_priority_then_family() -> None:
    places, _ = locate("sip:bob@example.org")
    assert places[:3] == ["TLS [2001:db8::1]:5071", "TLS 192.0.2.1:5071", "TLS 192.0.2.2:5061"]
    assert places[3:] == ["TCP [2001:db8::1]:5060", "TCP 192.0.2.1:5060"]


def test_sips_and_transport_tls_never_leave_tls() -> None:
    for uri in ("sips:bob@example.org", "sip:bob@example.org;transport=tls"):
        places, _ = locate(uri)
        assert places and all(place.startswith("TLS") for place in places)
    assert locate("sips:bob@example.org", transports=("UDP", "TCP"))[0] == []


def test_an_address_asks_nothing() -> None:
    assert locate("sip:192.0.2.7", transports=("UDP",)) == (["UDP 192.0.2.7:5060"], [])
    assert locate("sip:[2001:db8::7]:5099;transport=tcp") == (["TCP [2001:db8::7]:5099"], [])


def test_a_port_skips_naptr_and_srv() -> None:
    places, asked = locate("sip:plain.example:5080", transports=("UDP",))
    assert places == ["UDP 192.0.2.9:5080"]
    assert {question.kind for question in asked} == {"A", "AAAA"}


def test_without_naptr_srv_is_asked_and_without_srv_the_host_itself() -> None:
    assert locate("sip:only-srv.example", transports=("UDP",))[0] == ["UDP 192.0.2.8:5070"]
    assert locate("sip:plain.example", transports=("TLS",))[0] == ["TLS 192.0.2.9:5061"]


def test_nobody_answers() -> None:
    assert locate("sip:nowhere.example")[0] == []


def test_families_that_the_network_has_not_are_not_asked() -> None:
    places, asked = locate("sip:bob@example.org", transports=("TLS",), families=(4,))
    assert places == ["TLS 192.0.2.1:5071", "TLS 192.0.2.2:5061"]
    assert not any(question.kind == "AAAA" for question in asked)


def test_weights_share_the_load() -> None:
    ZONE["_sip._udp.load.example", "SRV"] = [Srv(1, 90, 1, "plain.example."), Srv(1, 10, 2, "plain.example.")]
    first = Counter(locate("sip:load.example", transports=("UDP",), seed=seed)[0][0] for seed in range(300))
    assert 230 < first["UDP 192.0.2.9:1"] < 299


def test_answers_that_nobody_asked_for_change_nothing() -> None:
    location = Location(SipUri.parse("sip:192.0.2.7"), SeededEntropy(1), transports=("UDP",))
    before = location.places
    location.receive(Question("evil.example", "A"), ["203.0.113.1"])
    assert location.places == before
