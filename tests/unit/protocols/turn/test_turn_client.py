"""An allocation's life, against a server that is scripted with the same messages a real one sends; the real one is in
tests/interop/test_coturn.py."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from segue.base.address import Address, Path
from segue.base.secret import Secret
from segue.base.trace import MemoryTrace
from segue.protocols.stun import attributes as a
from segue.protocols.stun.attributes import Attribute, ErrorCode
from segue.protocols.stun.credentials import LongTermCredentials, long_term_key
from segue.protocols.stun.message import Class, Method, StunMessage, parse_stun
from segue.protocols.turn.channel_data import parse_channel_data
from segue.protocols.turn.client import KEEP_ALIVE, TurnClient
from segue.protocols.turn.events import (
    Allocated,
    AllocationFailed,
    Moved,
    MoveFailed,
    PeerRefused,
    PeerUnreachable,
    Redirected,
)
from segue.protocols.turn.peers import CHANNELS, HOSTS
from segue.testing.entropy import SeededEntropy

SERVER = Address("192.0.2.1", 3478)
HERE = Path("wlan0", Address("198.51.100.7", 4000), SERVER)
ELSEWHERE = Path("wwan0", Address("203.0.113.9", 5000), SERVER)
RELAYED, RELAYED_6 = Address("192.0.2.1", 50000), Address("2001:db8::1", 50000)
PEER, PEER_6 = Address("203.0.113.77", 7000), Address("2001:db8::77", 7000)
KEY = long_term_key("alice", "example.org", Secret("sesame"))
RTP, STUN = b"\x80 voice", b"\0\1 check"


@dataclass
class Bench:
    """The client, and what it has sent that the test has not looked at."""

    client: TurnClient
    trace: MemoryTrace
    now: float = 0.0
    sent: list[tuple[Path, bytes]] = field(default_factory=list)

    def take(self) -> list[tuple[Path, StunMessage]]:
        """What it sends, but data on channels."""
        return [(path, parse_stun(octets)) for path, octets in self.client.transmits() if octets[0] < 4]

    def request(self) -> StunMessage:
        ((_, message),) = self.take()
        return message

    def answer(
        self,
        request: StunMessage,
        *attributes: tuple[Attribute[Any], Any],
        code: int = 0,
        key: Secret | None = KEY,
        path: Path = HERE,
    ) -> None:
        response = StunMessage(
            Class.ERROR if code else Class.SUCCESS, request.method, request.transaction, list(attributes)
        )
        if code:
            response.add(a.ERROR_CODE, ErrorCode(code, "why"))
        self.client.receive(response.write(key), path, self.now)

    def challenge(
        self, request: StunMessage, code: int = 401, nonce: bytes = b"n1", path: Path = HERE
    ) -> None:
        self.answer(request, (a.REALM, "example.org"), (a.NONCE, nonce), code=code, key=None, path=path)

    def run_until(self, end: float) -> None:
        while (due := self.client.deadline()) is not None and due <= end:
            self.now = due
            self.client.expire(due)
        self.now = end


def bench(**options: Any) -> Bench:
    trace = MemoryTrace()
    credentials = LongTermCredentials("alice", Secret("sesame"))
    return Bench(TurnClient(HERE, credentials, SeededEntropy(1), 0.0, trace=trace, **options), trace)


def allocated(
    *relayed: Address, lifetime: int = 600, ticket: bytes = b"", **options: Any
) -> tuple[Bench, StunMessage]:
    """One that is up, and the request that made it."""
    it = bench(**options)
    it.challenge(it.request())
    request = it.request()
    granted: list[tuple[Attribute[Any], Any]] = [
        (a.XOR_RELAYED_ADDRESS, address) for address in relayed or (RELAYED,)
    ]
    granted += [(a.XOR_MAPPED_ADDRESS, Address("203.0.113.5", 1)), (a.LIFETIME, lifetime)]
    if ticket:
        granted.append((a.MOBILITY_TICKET, ticket))
    it.answer(request, *granted)
    it.client.transmits()
    (event,) = it.client.events()
    assert event == Allocated(relayed or (RELAYED,), Address("203.0.113.5", 1), bool(ticket))
    return it, request


def permitted(it: Bench, peer: Address = PEER) -> None:
    it.client.permit([peer.host], it.now)
    it.answer(it.request())


def test_the_first_request_proves_nothing_and_the_second_all() -> None:
    it = bench()
    first = it.request()
    assert first.method is Method.ALLOCATE and first.integrity is None
    assert first.get(a.REQUESTED_TRANSPORT) == 17 and first.get(a.ADDITIONAL_ADDRESS_FAMILY) == 6
    assert first.get(a.MOBILITY_TICKET) == b""
    it.challenge(first)
    second = it.request()
    assert second.transaction != first.transaction and second.verify(KEY)
    assert second.attributes[: len(first.attributes)] == first.attributes


@pytest.mark.parametrize(
    ("families", "requested", "additional"), [((4,), None, None), ((6,), 6, None), ((4, 6), None, 6)]
)
def test_families_as_they_are_wanted(
    families: tuple[int, ...], requested: int | None, additional: int | None
) -> None:
    request = bench(families=families, mobility=False).request()
    assert request.get(a.REQUESTED_ADDRESS_FAMILY) == requested
    assert request.get(a.ADDITIONAL_ADDRESS_FAMILY) == additional
    assert request.get(a.MOBILITY_TICKET) is None


def test_a_wrong_password_ends_it_after_one_try() -> None:
    it = bench()
    it.challenge(it.request())
    it.challenge(it.request(), nonce=b"n2")
    assert it.client.events() == [AllocationFailed("the relay refuses the name or password", 401)]
    assert it.client.over and it.client.deadline() is None and it.client.transmits() == []


def test_stale_nonces_are_followed_but_not_for_ever() -> None:
    it = bench()
    it.challenge(it.request())
    tries = 1
    while requests := it.take():
        it.challenge(requests[0][1], code=438, nonce=b"n%d" % tries)
        tries += 1
    assert tries == 5
    (event,) = it.client.events()
    assert isinstance(event, AllocationFailed) and event.code == 438


@pytest.mark.parametrize(("reliable", "sent", "end"), [(False, 7, 39.5), (True, 1, 39.5)])
def test_a_server_that_does_not_answer(reliable: bool, sent: int, end: float) -> None:
    it = bench(reliable=reliable)
    it.run_until(end - 0.1)
    assert it.client.events() == []
    it.run_until(end)
    assert it.client.events() == [AllocationFailed("the relay does not answer")]
    allocates = [message for _, message in it.take() if message.method is Method.ALLOCATE]
    assert len(allocates) == sent


def test_an_answer_without_proof_is_as_if_it_had_never_come() -> None:
    it = bench()
    it.challenge(it.request())
    request = it.request()
    for key in (None, Secret("another")):
        it.answer(request, (a.XOR_RELAYED_ADDRESS, RELAYED), (a.LIFETIME, 600), key=key)
        it.answer(request, code=403, key=key)
    assert it.client.events() == [] and not it.client.relayed
    it.run_until(100.0)
    assert it.client.events() == [AllocationFailed("the relay's answers do not prove who it is")]
    assert it.trace.drops["turn", "unproven response"] == 4


def test_on_a_stream_it_ends_it() -> None:
    it = bench(reliable=True)
    it.challenge(it.request())
    it.answer(it.request(), code=403, key=None)
    assert it.client.events() == [AllocationFailed("the relay's answers do not prove who it is")]


@pytest.mark.parametrize("code", [400, 403, 437, 440, 442, 486, 500, 508, 699])
def test_a_refusal_is_told(code: int) -> None:
    it = bench()
    it.challenge(it.request())
    it.answer(it.request(), code=code)
    assert it.client.events() == [AllocationFailed("the relay refuses: why", code)]


def test_where_mobility_is_forbidden_it_does_without() -> None:
    it = bench()
    it.challenge(it.request())
    it.answer(it.request(), code=405)
    again = it.request()
    assert again.method is Method.ALLOCATE and again.get(a.MOBILITY_TICKET) is None and again.verify(KEY)
    it.answer(again, code=405)
    assert it.client.events() == [AllocationFailed("the relay refuses: why", 405)]


def test_another_server_is_named_with_proof_or_over_tls_only() -> None:
    other = Address("192.0.2.2", 3478)
    plain = bench()
    plain.answer(plain.request(), (a.ALTERNATE_SERVER, other), code=300, key=None)
    assert plain.client.events() == [AllocationFailed("the relay's answers do not prove who it is", 300)]
    proven = bench()
    proven.challenge(proven.request())
    proven.answer(proven.request(), (a.ALTERNATE_SERVER, other), code=300)
    secure = bench(reliable=True, secure=True)
    secure.answer(
        secure.request(), (a.ALTERNATE_SERVER, other), (a.ALTERNATE_DOMAIN, "b.example"), code=300, key=None
    )
    assert proven.client.events() == [Redirected(other, "")]
    assert secure.client.events() == [Redirected(other, "b.example")]


@pytest.mark.parametrize(
    "granted",
    [
        [],
        [(a.XOR_RELAYED_ADDRESS, RELAYED), (a.LIFETIME, 600)],
        [(a.XOR_RELAYED_ADDRESS, RELAYED), (a.XOR_MAPPED_ADDRESS, PEER)],
        [(a.XOR_RELAYED_ADDRESS, RELAYED), (a.XOR_MAPPED_ADDRESS, PEER), (a.LIFETIME, 0)],
    ],
)
def test_a_success_that_makes_no_sense(granted: list[tuple[Attribute[Any], Any]]) -> None:
    it = bench()
    it.challenge(it.request())
    it.answer(it.request(), *granted)
    assert it.client.events() == [AllocationFailed("the relay's answer makes no sense")]


def test_it_is_refreshed_a_minute_before_it_expires() -> None:
    it, _ = allocated(lifetime=600)
    it.run_until(539.9)
    assert not [each for _, each in it.take() if each.method is Method.REFRESH]
    it.run_until(540.0)
    refresh = it.request()
    assert refresh.method is Method.REFRESH and refresh.get(a.MOBILITY_TICKET) is None
    it.answer(refresh, (a.LIFETIME, 600))
    it.run_until(1079.0)
    it.take()
    it.run_until(1080.0)
    assert it.request().method is Method.REFRESH


def test_a_refresh_that_finds_nothing_ends_it() -> None:
    it, _ = allocated()
    it.run_until(540.0)
    refresh = next(each for _, each in it.take() if each.method is Method.REFRESH)
    it.answer(refresh, code=437)
    assert it.client.events() == [AllocationFailed("the relay refuses: why", 437)]


def test_data_goes_behind_the_permission_and_then_on_a_channel() -> None:
    it, _ = allocated()
    it.client.send(PEER, STUN, it.now)
    (_, permission), (_, indication) = it.take()
    assert permission.method is Method.CREATE_PERMISSION
    assert permission.all(a.XOR_PEER_ADDRESS) == [Address(PEER.host, 0)]
    assert indication.method is Method.SEND and indication.get(a.DATA) == STUN
    assert indication.get(a.XOR_PEER_ADDRESS) == PEER and indication.kind is Class.INDICATION
    it.answer(permission)
    it.client.send(PEER, RTP, it.now)
    (_, bind), (_, indication) = it.take()
    assert bind.method is Method.CHANNEL_BIND and bind.get(a.XOR_PEER_ADDRESS) == PEER
    number = bind.get(a.CHANNEL_NUMBER)
    assert indication.get(a.DATA) == RTP
    it.client.send(PEER, RTP, it.now)
    assert [each.method for _, each in it.take()] == [Method.SEND]  # the server has not agreed yet
    it.answer(bind)
    it.client.send(PEER, RTP, it.now)
    ((path, octets),) = it.client.transmits()
    assert path == HERE and parse_channel_data(octets) == (number, RTP) and len(octets) == 4 + len(RTP)


def test_on_a_stream_channel_data_is_padded() -> None:
    it, _ = allocated(reliable=True)
    it.client.send(PEER, RTP, it.now)
    it.answer(it.take()[0][1])
    it.client.send(PEER, RTP, it.now)
    ((_, octets),) = it.client.transmits()
    assert len(octets) % 4 == 0 and parse_channel_data(octets)[1] == RTP


def test_a_channel_that_is_refused_leaves_send_indications() -> None:
    it, _ = allocated()
    it.client.send(PEER, RTP, it.now)
    it.answer(it.take()[0][1], code=400)
    permission = it.request()
    assert permission.method is Method.CREATE_PERMISSION
    it.answer(permission)
    it.client.send(PEER, RTP, it.now)
    assert [each.method for _, each in it.take()] == [Method.SEND]
    assert it.client.events() == []


def test_permissions_and_channels_are_refreshed_before_they_expire() -> None:
    it, _ = allocated(lifetime=3600)
    permitted(it)
    it.client.send(PEER._replace(host="203.0.113.78"), RTP, it.now)
    it.answer(it.take()[0][1])
    asked: dict[Method, list[float]] = {}
    for second in range(1, 800):
        it.run_until(float(second))
        for _, each in it.take():
            if each.kind is Class.REQUEST:
                asked.setdefault(each.method, []).append(it.now)
                it.answer(each)
    assert asked == {Method.CREATE_PERMISSION: [240, 480, 720], Method.CHANNEL_BIND: [240, 480, 720]}


def test_a_host_that_is_refused_is_told_and_not_asked_for_at_once() -> None:
    it, _ = allocated()
    it.client.send(PEER, STUN, it.now)
    it.answer(it.take()[0][1], code=403)
    assert it.client.events() == [PeerRefused(PEER.host, 403, "the relay refuses: why")]
    it.client.send(PEER, STUN, it.now + 1)
    assert [each.method for _, each in it.take()] == [Method.SEND]
    it.run_until(60.0)
    assert Method.CREATE_PERMISSION in [each.method for _, each in it.take()]


def test_data_of_peers_that_we_permitted_comes_through_and_no_other() -> None:
    it, _ = allocated()
    permitted(it)

    def data(peer: Address, *more: tuple[Attribute[Any], Any]) -> bytes:
        message = StunMessage(
            Class.INDICATION, Method.DATA, b"twelve bytes", [(a.XOR_PEER_ADDRESS, peer), *more]
        )
        return message.write()

    assert it.client.unwrap(data(PEER, (a.DATA, RTP))) == (PEER, RTP)
    assert it.client.unwrap(data(PEER._replace(port=1), (a.DATA, b""))) == (PEER._replace(port=1), b"")
    assert it.client.unwrap(data(Address("203.0.113.1", 7000), (a.DATA, RTP))) is None
    assert it.client.unwrap(data(PEER)) is None
    assert it.client.unwrap(b"\x40\0\0\1x") is None  # a channel that nobody asked for
    assert it.client.unwrap(b"\x40\0\0\2x") is None and it.client.unwrap(b"") is None


def test_what_an_icmp_says_is_passed_on() -> None:
    it, _ = allocated()
    permitted(it)
    error = a.IcmpError(3, 3)
    for host in (PEER.host, "203.0.113.1"):
        message = StunMessage(Class.INDICATION, Method.DATA, b"twelve bytes")
        message.add(a.XOR_PEER_ADDRESS, Address(host, 9)).add(a.ICMP, error)
        assert it.client.unwrap(message.write()) is None
        it.client.receive(message.write(), HERE, it.now)
    assert it.client.events() == [PeerUnreachable(Address(PEER.host, 9), error)]


def test_two_families() -> None:
    it, _ = allocated(RELAYED, RELAYED_6)
    it.client.permit([PEER.host, PEER_6.host], it.now)
    assert len(it.request().all(a.XOR_PEER_ADDRESS)) == 2


def test_a_family_that_is_not_relayed_is_not_asked_for() -> None:
    it, _ = allocated()
    it.client.permit([PEER_6.host], it.now)
    it.client.send(PEER_6, RTP, it.now)
    assert it.client.transmits() == []


def test_what_is_permitted_before_there_is_an_allocation_is_asked_for_then() -> None:
    it = bench()
    first = it.request()
    it.client.permit([PEER.host], it.now)
    it.client.send(PEER, RTP, it.now)
    assert it.client.transmits() == []
    it.challenge(first)
    it.answer(it.request(), (a.XOR_RELAYED_ADDRESS, RELAYED), (a.XOR_MAPPED_ADDRESS, PEER), (a.LIFETIME, 600))
    assert it.request().method is Method.CREATE_PERMISSION


def test_thousands_of_peers_take_bounded_room() -> None:
    it, _ = allocated()
    permitted(it)
    it.client.send(PEER, RTP, it.now)
    it.answer(it.take()[0][1])
    for number in range(3000):
        it.now += 0.001
        it.client.send(Address(f"10.0.{number // 250}.{number % 250}", 1), RTP, it.now)
        it.client.transmits()
    client = it.client
    assert len(client._peers._permissions) <= HOSTS and len(client._peers._channels) <= CHANNELS
    client.send(PEER, RTP, it.now)
    assert [octets[0] >> 4 for _, octets in client.transmits()] == [4]  # who is in use stays


def test_a_nat_is_reminded_of_us() -> None:
    it, _ = allocated()
    it.run_until(KEEP_ALIVE)
    assert [(each.kind, each.method) for _, each in it.take()] == [(Class.INDICATION, Method.BINDING)]
    stream, _ = allocated(reliable=True)
    stream.run_until(100.0)
    assert stream.take() == []


def test_it_moves_with_its_ticket() -> None:
    it, _ = allocated(ticket=b"ticket 1")
    permitted(it)
    it.client.send(PEER, RTP, it.now)
    bind = it.take()[0][1]
    it.answer(bind)
    it.client.move(ELSEWHERE, it.now)
    ((path, refresh),) = it.take()
    assert path == ELSEWHERE and refresh.get(a.MOBILITY_TICKET) == b"ticket 1"
    it.client.send(PEER, RTP, it.now)
    assert it.client.transmits()[0][0] == HERE  # until the server has agreed
    it.challenge(refresh, code=438, nonce=b"n2", path=ELSEWHERE)
    ((path, refresh),) = it.take()
    assert path == ELSEWHERE and refresh.get(a.NONCE) == b"n2"
    it.answer(refresh, (a.LIFETIME, 600), (a.MOBILITY_TICKET, b"ticket 2"), path=HERE)
    assert it.client.events() == []  # an answer comes from where the question went
    it.answer(refresh, (a.LIFETIME, 600), (a.MOBILITY_TICKET, b"ticket 2"), path=ELSEWHERE)
    assert it.client.events() == [Moved(ELSEWHERE)]
    it.client.send(PEER, RTP, it.now)
    ((path, octets),) = it.client.transmits()
    assert path == ELSEWHERE and parse_channel_data(octets) == (bind.get(a.CHANNEL_NUMBER), RTP)
    it.client.move(HERE, it.now)
    assert it.request().get(a.MOBILITY_TICKET) == b"ticket 2"


def test_a_move_that_is_refused_leaves_it_where_it_was() -> None:
    it, _ = allocated(ticket=b"ticket")
    it.client.move(ELSEWHERE, it.now)
    it.answer(it.take()[0][1], code=405, path=ELSEWHERE)
    assert it.client.events() == [MoveFailed(ELSEWHERE, "the relay refuses: why", 405)]
    assert it.client.path == HERE and not it.client.over


def test_a_move_without_a_ticket_fails_at_once() -> None:
    it, _ = allocated()
    it.client.move(ELSEWHERE, it.now)
    assert (
        it.client.events() == [MoveFailed(ELSEWHERE, "the relay cannot follow a move")]
        and it.client.transmits() == []
    )


def test_of_two_moves_the_second_counts() -> None:
    it, _ = allocated(ticket=b"ticket")
    third = ELSEWHERE._replace(interface="eth0")
    it.client.move(ELSEWHERE, it.now)
    first = it.take()[0][1]
    it.client.move(third, it.now)
    second = it.take()[0][1]
    it.answer(first, (a.LIFETIME, 600), path=ELSEWHERE)
    it.answer(second, (a.LIFETIME, 600), path=third)
    assert it.client.events() == [Moved(third)]


def test_it_is_given_back() -> None:
    it, _ = allocated()
    it.client.close(it.now)
    refresh = it.request()
    assert refresh.method is Method.REFRESH and refresh.get(a.LIFETIME) == 0
    it.answer(refresh, (a.LIFETIME, 0))
    assert it.client.events() == [] and it.client.deadline() is None
    it.client.send(PEER, RTP, it.now)
    assert it.client.transmits() == []


def test_rubbish_changes_nothing() -> None:
    it, request = allocated()
    before = it.client.deadline()
    for octets in (b"", b"\0", bytes(20), STUN, RTP, request.write(KEY)[:-1]):
        it.client.receive(octets, HERE, it.now)
    it.answer(request, code=437)  # an answer again, whose transaction is over
    assert it.client.events() == [] and it.client.deadline() == before and not it.client.over
