"""Digest: the RFC's own numbers, reuse of nonces, and what is refused."""

from __future__ import annotations

import itertools
import re

import pytest

from segue.base.secret import Secret
from segue.protocols.sip.digest import DigestClient, DigestServer, _response, user_hash
from segue.protocols.sip.message import Headers, Request, Response
from segue.testing import SeededEntropy

REALM = "example.org"


@pytest.mark.parametrize(
    ("algorithm", "answer"),
    [
        ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
        ("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
    ],
)
def test_example_of_rfc_7616_section_3_9_1(algorithm: str, answer: str) -> None:
    fields: dict[str, str | None] = {
        "uri": "/dir/index.html",
        "nonce": "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v",
        "nc": "00000001",
        "cnonce": "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
        "qop": "auth",
    }
    a1 = user_hash("Mufasa", "http-auth@example.org", "Circle of Life", algorithm)
    assert _response(a1, algorithm, "GET", fields) == answer


def answered(client: DigestClient, request: Request, response: Response) -> bool:
    accepted = client.accept(request, response)
    if accepted:
        client.prepare(request)
    return accepted


class Exchange:
    """A client and a server that share a password, and what they say to each other."""

    def __init__(self, password: str = "sesame", algorithms: tuple[str, ...] = ("SHA-256", "MD5")) -> None:
        self.server = DigestServer(
            REALM, Secret("k" * 32), SeededEntropy("server"), algorithms=algorithms, lifetime=60
        )
        self.client = DigestClient("alice", Secret(password), SeededEntropy("client"))
        self.now = 1000.0

    def request(self) -> Request:
        request = Request("REGISTER", "sip:example.org", Headers())
        self.client.prepare(request)
        return request

    def answer(self, request: Request, response: Response) -> bool:
        """As the phone does, which sends the request again then."""
        return answered(self.client, request, response)

    def verify(self, request: Request, uri: str = "sip:example.org"):  # type: ignore[no-untyped-def]
        return self.server.verify(
            request.headers.get_all("Authorization"),
            request.method,
            uri,
            lambda user, algorithm: user_hash(user, REALM, "sesame", algorithm) if user == "alice" else None,
            self.now,
        )

    def challenge(self, stale: bool = False) -> Response:
        response = Response(401, "Unauthorized", Headers())
        for value in self.server.challenge(self.now, stale):
            response.headers.add("WWW-Authenticate", value)
        return response


@pytest.mark.parametrize("algorithm", ["MD5", "SHA-256", "SHA-512-256"])
def test_a_challenge_is_answered_and_its_nonce_used_again(algorithm: str) -> None:
    exchange = Exchange(algorithms=(algorithm,))
    request = exchange.request()
    assert exchange.verify(request).user is None
    assert exchange.answer(request, exchange.challenge())
    assert f"algorithm={algorithm}" in (request.headers.get("Authorization") or "")
    assert exchange.verify(request).user == "alice"
    for _ in range(5):
        assert exchange.verify(exchange.request()).user == "alice"


def test_strongest_algorithm_is_offered_first_and_taken() -> None:
    exchange = Exchange(algorithms=("SHA-512-256", "SHA-256", "MD5"))
    request = exchange.request()
    exchange.answer(request, exchange.challenge())
    assert "SHA-512-256" in (request.headers.get("Authorization") or "")


def test_a_captured_request_is_not_taken_twice() -> None:
    exchange = Exchange()
    request = exchange.request()
    exchange.answer(request, exchange.challenge())
    assert exchange.verify(request).user == "alice"
    again = exchange.verify(request)
    assert again.user is None and again.stale


def test_requests_that_overtake_each_other_are_taken_once_each() -> None:
    exchange = Exchange()
    first = exchange.request()
    exchange.answer(first, exchange.challenge())
    requests = [first, *(exchange.request() for _ in range(4))]
    for request in (requests[3], requests[0], requests[4], requests[1], requests[2]):
        assert exchange.verify(request).user == "alice"
    assert not any(exchange.verify(request).user for request in requests)


def test_wrong_password_is_refused_and_the_client_gives_up() -> None:
    exchange = Exchange(password="wrong")
    request = exchange.request()
    assert exchange.answer(request, exchange.challenge())
    assert exchange.verify(request).user is None
    assert not exchange.answer(request, exchange.challenge())


def test_a_nonce_that_is_over_is_called_stale_and_renewed() -> None:
    exchange = Exchange()
    request = exchange.request()
    exchange.answer(request, exchange.challenge())
    exchange.now += 61
    request = exchange.request()
    verdict = exchange.verify(request)
    assert verdict.user is None and verdict.stale
    assert exchange.answer(request, exchange.challenge(stale=True))
    assert exchange.verify(request).user == "alice"


def test_nonces_of_others_other_uris_and_forged_ones_are_refused() -> None:
    exchange = Exchange()
    request = exchange.request()
    exchange.answer(request, exchange.challenge())
    assert exchange.verify(request, uri="sip:other.example").user is None
    value = (request.headers.get("Authorization") or "").replace('nonce="', 'nonce="f')
    request.headers.set("Authorization", value)
    assert exchange.verify(request).user is None


def test_counts_that_were_forgotten_are_not_taken_again() -> None:
    exchange = Exchange()
    exchange.server._replays = 2
    old = exchange.request()
    exchange.answer(old, exchange.challenge())
    assert exchange.verify(old).user == "alice"
    for step in range(3):
        exchange.now += 1
        exchange.client = DigestClient("alice", Secret("sesame"), SeededEntropy(step))
        request = exchange.request()
        exchange.answer(request, exchange.challenge())
        assert exchange.verify(request).user == "alice"
    assert exchange.verify(old).user is None


def test_unknown_user_and_no_credentials() -> None:
    exchange = Exchange()
    exchange.client = DigestClient("mallory", Secret("sesame"), SeededEntropy(1))
    request = exchange.request()
    exchange.answer(request, exchange.challenge())
    assert exchange.verify(request).user is None
    bare = Response(401, "Unauthorized", Headers())
    assert not exchange.answer(request, bare)


def test_the_registrars_nonce_serves_for_the_first_call() -> None:
    exchange = Exchange()
    exchange.answer(exchange.request(), exchange.challenge())
    invite = Request("INVITE", "sip:bob@example.org", Headers())
    exchange.client.prepare(invite)
    assert "Authorization" not in invite.headers  # the callee would get it
    verdict = exchange.server.verify(
        invite.headers.get_all("Proxy-Authorization"),
        "INVITE",
        "sip:bob@example.org",
        lambda user, algorithm: user_hash(user, REALM, "sesame", algorithm),
        exchange.now,
    )
    assert verdict.user == "alice"


def test_a_callee_never_gets_an_answer_to_try_passwords_on() -> None:
    """CVE-2021-41158: it challenges the INVITE, or the BYE, with a realm and a nonce of its choice."""
    for realm, method in itertools.product(("mallory.example", REALM), ("INVITE", "BYE")):
        exchange = Exchange()
        exchange.answer(exchange.request(), exchange.challenge())
        exchange.client.behind_proxy()
        request = Request(method, "sip:bob@example.org", Headers())
        assert not exchange.answer(request, asked(401, realm))
        assert not request.headers.get_all("Authorization")


def test_a_proxy_of_another_realm_than_ours_gets_no_answer() -> None:
    exchange = Exchange()
    exchange.answer(exchange.request(), exchange.challenge())
    request = Request("INVITE", "sip:bob@example.org", Headers())
    assert not exchange.answer(request, asked(407, "mallory.example"))
    assert exchange.answer(request, asked(407, REALM))
    assert len(request.headers.get_all("Proxy-Authorization")) == 1


@pytest.mark.parametrize("method", ["BYE", "re-INVITE"])
def test_a_challenge_in_a_dialog_shows_nothing_and_gets_no_answer(method: str) -> None:
    exchange = Exchange()
    exchange.answer(exchange.request(), asked(401, REALM))
    headers = Headers([("Call-ID", "1"), ("To", "<sip:bob@example.org>;tag=b")])
    request = Request(method.removeprefix("re-"), "sip:bob@example.org", headers)
    assert not exchange.answer(request, asked(401, REALM, nonce="chosen"))
    assert not request.headers.get_all("Authorization")


def test_a_server_that_ends_calls_itself_may_ask_for_an_invite_with_401() -> None:
    """Asterisk does; once a proxy has asked with 407, a 401 is the callee's."""
    exchange = Exchange()
    exchange.answer(exchange.request(), asked(401, "asterisk"))
    invite = Request("INVITE", "sip:bob@example.org", Headers([("Call-ID", "1")]))
    assert exchange.answer(invite, asked(401, "asterisk", nonce="other"))
    assert invite.headers.get("Max-Forwards") == "0" and "Authorization" not in invite.headers
    assert exchange.answer(invite, asked(401, "asterisk", nonce="another"))
    assert invite.headers.get("Max-Forwards") == "70" and invite.headers.get_all("Authorization")
    again = Request("INVITE", "sip:bob@example.org", Headers([("Call-ID", "2")]))
    assert exchange.answer(again, asked(401, "asterisk", nonce="a third"))
    assert again.headers.get_all("Authorization"), "it has shown what it is"
    following = Request("BYE", "sip:bob@example.org", Headers())
    exchange.client.prepare(following)
    assert "Authorization" not in following.headers
    exchange.answer(Request("INVITE", "sip:bob@example.org", Headers()), asked(407, "asterisk"))
    late = Request("INVITE", "sip:bob@example.org", Headers())
    assert not exchange.answer(late, asked(401, "asterisk", nonce="third"))


def asked(status: int, realm: str, nonce: str = "n") -> Response:
    name = "WWW-Authenticate" if status == 401 else "Proxy-Authenticate"
    return Response(status, "", Headers([(name, f'Digest realm="{realm}", nonce="{nonce}", qop="auth"')]))


@pytest.mark.parametrize("odd", ["é", "\udcff", "\0"])
@pytest.mark.parametrize("field", ["nonce", "response", "cnonce", "nc", "username", "uri", "qop", "opaque"])
def test_octets_that_are_no_ascii_are_a_wrong_password_and_no_more(field: str, odd: str) -> None:
    """Once `compare_digest` raised for them."""
    exchange = Exchange()
    request = exchange.request()
    exchange.answer(request, exchange.challenge())
    value = request.headers.get("Authorization") or ""
    request.headers.set("Authorization", re.sub(f'{field}="?[^",]*', f"\\g<0>{odd}", value))
    request.headers.add("Authorization", f'Digest realm="{REALM}", {field}="{odd}"')
    assert exchange.verify(request).user is None or field == "opaque"


@pytest.mark.parametrize("odd", ["é", "\udcff"])
def test_a_challenge_in_any_octets_is_answered_or_not_and_raises_nothing(odd: str) -> None:
    client = DigestClient("alicé", Secret("sésame"), SeededEntropy(1))
    request = Request("REGISTER", "sip:example.org", Headers())
    assert answered(client, request, asked(401, f"realm {odd}", f"nonce {odd}"))
    assert odd in (request.headers.get("Authorization") or "")
    assert not answered(client, request, asked(401, f"realm {odd}", f"another {odd}"))


@pytest.mark.parametrize(
    "count", ["1", "-0000001", "+0000001", "0x000001", "0000_001", "00000001 ", "ffffffffff"]
)
def test_a_nonce_count_has_eight_digits(count: str) -> None:
    exchange = Exchange()
    request = exchange.request()
    exchange.answer(request, exchange.challenge())
    assert not exchange.server._count("a nonce", count, exchange.now)


def test_the_first_answer_to_a_challenge_has_the_count_one() -> None:
    """RFC 7616 section 3.4: servers that let a nonce serve once take no other."""
    exchange = Exchange()
    exchange.server = DigestServer(REALM, Secret("k" * 32), SeededEntropy("server"), uses=1)
    for _ in range(3):
        request = exchange.request()
        verdict = exchange.verify(request)
        assert verdict.user is None
        assert exchange.answer(request, exchange.challenge(stale=verdict.stale))
        assert "nc=00000001" in (request.headers.get("Authorization") or "")
        assert exchange.verify(request).user == "alice"
