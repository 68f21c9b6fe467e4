"""Relayed addresses as local ports; the server is scripted, a real one is in tests/interop."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from segue.base.address import Address, LocalPort, Path
from segue.base.errors import LocalError
from segue.base.secret import Secret
from segue.call.relays import (
    REDIRECTIONS,
    RelayedPort,
    RelayedPortGone,
    RelayedPortMoved,
    RelayFailed,
    Relays,
    RelayServer,
    StreamWanted,
)
from segue.protocols.stun import attributes as a
from segue.protocols.stun.attributes import ErrorCode
from segue.protocols.stun.binding import binding_request
from segue.protocols.stun.credentials import long_term_key
from segue.protocols.stun.message import Class, Method, StunMessage, parse_stun, success_response
from segue.protocols.turn.channel_data import parse_channel_data, write_channel_data
from segue.testing.entropy import SeededEntropy

KEY = long_term_key("alice", "example.org", Secret("sesame"))
UDP = RelayServer("turn:192.0.2.1", "alice", Secret("sesame"))
TLS = RelayServer("turns:turn.example.org", "alice", Secret("sesame"))
SERVER, OTHER = Address("192.0.2.1", 3478), Address("192.0.2.2", 3478)
HERE, ELSEWHERE = (
    LocalPort("wlan0", Address("198.51.100.7", 4000)),
    LocalPort("wwan0", Address("203.0.113.9", 5000)),
)
PATH, NEW_PATH = Path(*HERE, SERVER), Path(*ELSEWHERE, SERVER)
RELAYED = Address("192.0.2.1", 50000)
PORT = LocalPort("wlan0", RELAYED)
PEER = Address("203.0.113.77", 7000)
VOICE = b"\x80 voice"
MAPPED = Address("203.0.113.5", 1)


@dataclass
class Server:
    """Answers what `relays` sends: with a challenge, and then with yes; `relayed` counts up. `redirect`: to whom it
    sends us. `mobile`: whether it gives tickets. `silent`: it answers nothing."""

    relays: Relays
    redirect: Address | None = None
    mobile: bool = False
    silent: bool = False
    given: int = 0
    data: list[tuple[Path, Address, bytes]] = field(default_factory=list)
    channels: dict[int, Address] = field(default_factory=dict)
    released: int = 0
    refuse_moves: bool = False

    def serve(self, now: float = 0.0) -> None:
        while sent := self.relays.transmits():
            self.take(sent, now)

    def take(self, sent: list[tuple[Path, bytes]], now: float = 0.0) -> None:
        for path, octets in sent:
            if octets[0] >= 64:
                number, data = parse_channel_data(octets)
                self.data.append((path, self.channels[number], data))
                continue
            message = parse_stun(octets)
            if message.kind is Class.REQUEST and not self.silent:
                found = self.relays.unwrap(path, self.answer(message), now)
                assert found is None or not self.relays.bases  # nobody waits for an answer to a goodbye
            elif message.method is Method.SEND:
                peer, data = message.get(a.XOR_PEER_ADDRESS), message.get(a.DATA)
                assert peer is not None and data is not None
                self.data.append((path, peer, data))

    def answer(self, request: StunMessage) -> bytes:
        if request.integrity is None:
            return self.error(request, 401).add(a.REALM, "example.org").add(a.NONCE, b"n").write()
        assert request.verify(KEY)
        response, ticket = success_response(request), request.get(a.MOBILITY_TICKET)
        if request.method is Method.ALLOCATE and self.redirect is not None:
            return self.error(request, 300).add(a.ALTERNATE_SERVER, self.redirect).write(KEY)
        if request.method is Method.REFRESH and ticket and self.refuse_moves:
            return self.error(request, 400).write(KEY)
        if request.method is Method.ALLOCATE:
            response.add(a.XOR_RELAYED_ADDRESS, RELAYED._replace(port=RELAYED.port + self.given))
            response.add(a.XOR_MAPPED_ADDRESS, MAPPED)
            self.given += 1
        if request.method in (Method.ALLOCATE, Method.REFRESH):
            lifetime = request.get(a.LIFETIME)
            self.released += lifetime == 0
            response.add(a.LIFETIME, 600 if lifetime is None else lifetime)
            if self.mobile and ticket is not None:
                response.add(a.MOBILITY_TICKET, b"ticket")
        if request.method is Method.CHANNEL_BIND:
            number, peer = request.get(a.CHANNEL_NUMBER), request.get(a.XOR_PEER_ADDRESS)
            assert number is not None and peer is not None
            self.channels[number] = peer
        return response.write(KEY)

    @staticmethod
    def error(request: StunMessage, code: int) -> StunMessage:
        return StunMessage(Class.ERROR, request.method, request.transaction).add(
            a.ERROR_CODE, ErrorCode(code)
        )

    def says(self, peer: Address, octets: bytes) -> bytes:
        number = next(number for number, each in self.channels.items() if each == peer)
        return write_channel_data(number, octets)


def up(server: RelayServer = UDP, **options: bool) -> tuple[Relays, Server]:
    relays = Relays(SeededEntropy(1), families=(4,))
    there = Server(relays, **options)
    relays.allocate(PATH, server, 0.0)
    there.serve()
    return relays, there


def test_a_relayed_address_is_a_local_port() -> None:
    relays, server = up()
    assert relays.events() == [RelayedPort(PORT, HERE, MAPPED, False)]
    assert list(relays.ports) == [PORT]
    path = Path(*PORT, PEER)
    server.take(relays.wrap(path, VOICE, 0.0))
    server.take(relays.wrap(path, VOICE, 0.0))
    assert server.data == [(PATH, PEER, VOICE)] * 2
    assert relays.unwrap(PATH, server.says(PEER, b"back"), 0.0) == (path, b"back")


def test_on_a_stream_where_we_seem_to_be_is_of_no_use() -> None:
    relays, _ = up(TLS)
    assert relays.events() == [RelayedPort(PORT, HERE, None, False)]


def test_what_is_not_of_a_relay_passes_untouched() -> None:
    relays, _ = up()
    elsewhere = Path(*HERE, PEER)
    assert relays.unwrap(elsewhere, VOICE, 0.0) == (elsewhere, VOICE)
    answer = success_response(binding_request(b"twelve bytes")).add(a.XOR_MAPPED_ADDRESS, MAPPED).write()
    assert relays.unwrap(PATH, answer, 0.0) == (PATH, answer)  # it is our STUN server too
    assert relays.unwrap(PATH, VOICE, 0.0) is None
    assert relays.wrap(elsewhere, VOICE, 0.0) == []


def test_a_second_wish_for_the_same_changes_nothing() -> None:
    relays, server = up()
    relays.allocate(PATH, UDP, 0.0)
    assert relays.transmits() == [] and server.given == 1


def test_it_is_given_back_with_its_port() -> None:
    relays, server = up()
    relays.close(HERE, 0.0)
    server.serve()
    assert server.released == 1 and list(relays.ports) == [] and relays.deadline() is None


def test_one_that_does_not_answer_is_told_once() -> None:
    relays = Relays(SeededEntropy(1))
    relays.allocate(PATH, UDP, 0.0)
    while (due := relays.deadline()) is not None:
        relays.expire(due)
    assert due is None
    assert relays.events() == [RelayFailed(UDP, HERE, "the relay does not answer")]


def test_a_silence_of_the_server_is_outlived_until_the_allocation_expires() -> None:
    relays, server = up()
    relays.events()
    server.silent = True
    while (due := relays.deadline()) is not None and due < 590.0:
        relays.expire(due)
        relays.transmits()
    assert relays.events() == []
    server.silent = False
    while (due := relays.deadline()) is not None and due < 900.0:
        relays.expire(due)
        server.serve(due)
    assert relays.events() == [] and list(relays.ports) == [PORT]


def test_it_goes_where_the_server_sends_it_but_not_for_ever() -> None:
    relays = Relays(SeededEntropy(1))
    server = Server(relays, redirect=OTHER)
    relays.allocate(PATH, UDP, 0.0)
    for octet in range(3, 9):
        if transmits := relays.transmits():
            server.take(transmits)
            server.take(relays.transmits())
        server.redirect = OTHER._replace(host=f"192.0.2.{octet}")
    (event,) = relays.events()
    assert isinstance(event, RelayFailed) and event.code == 300
    relays.allocate(PATH, UDP, 0.0, redirected=REDIRECTIONS - 1)
    server.take(relays.transmits())
    server.take(relays.transmits())
    assert [path.remote for path, _ in relays.transmits()] == [server.redirect]


def test_over_a_stream_another_one_is_wanted() -> None:
    relays, _ = up(TLS, redirect=OTHER)  # type: ignore[arg-type]
    assert relays.events() == [StreamWanted(TLS, HERE, OTHER, "", 1)]


def test_a_move_keeps_the_address_where_the_server_can() -> None:
    relays, server = up(mobile=True)
    relays.events()
    for _ in range(2):
        server.take(relays.wrap(Path(*PORT, PEER), VOICE, 0.0))
    assert relays.move(HERE, NEW_PATH, UDP, 1.0)
    server.serve()
    assert relays.events() == [RelayedPortMoved(PORT, ELSEWHERE)]
    server.data.clear()
    server.take(relays.wrap(Path(*PORT, PEER), VOICE, 1.0))
    assert server.data == [(NEW_PATH, PEER, VOICE)]
    for way in (PATH, NEW_PATH):  # what is under way comes by the old one still
        assert relays.unwrap(way, server.says(PEER, b"back"), 1.0) == (Path(*PORT, PEER), b"back")
    relays.lost(HERE, "gone")
    assert relays.events() == [] and list(relays.ports) == [PORT]
    relays.lost(ELSEWHERE, "gone")
    assert relays.events() == [RelayedPortGone(PORT, ELSEWHERE, "gone")]


def test_a_move_that_is_refused_gets_an_address_of_its_own() -> None:
    relays, server = up(mobile=True, refuse_moves=True)
    relays.events()
    relays.move(HERE, NEW_PATH, UDP, 1.0)
    server.serve()
    another = LocalPort("wwan0", RELAYED._replace(port=RELAYED.port + 1))
    assert relays.events() == [
        RelayedPortGone(PORT, HERE, "the relay refuses: no reason"),
        RelayedPort(another, ELSEWHERE, MAPPED, True),
    ]
    assert list(relays.ports) == [another]


def test_a_stream_that_breaks_while_it_is_moved_to_takes_the_address_along() -> None:
    relays, _ = up(TLS, mobile=True)
    relays.events()
    relays.move(HERE, NEW_PATH, TLS, 1.0)
    relays.lost(ELSEWHERE, "broken")
    assert relays.events() == [RelayedPortGone(PORT, HERE, "broken")]
    assert not relays.bases


def test_without_a_ticket_there_is_nothing_to_move() -> None:
    relays, _ = up()
    assert not relays.move(HERE, NEW_PATH, UDP, 1.0)


def test_the_old_network_may_go_while_it_moves() -> None:
    relays, server = up(mobile=True)
    relays.events()
    relays.move(HERE, NEW_PATH, UDP, 1.0)
    relays.lost(HERE, "gone")
    server.serve()
    assert relays.events() == [RelayedPortMoved(PORT, ELSEWHERE)]


def test_a_server_that_forgot_us_is_asked_anew() -> None:
    relays, server = up()
    relays.events()
    relays.expire(540.0)
    refresh = next(message for _, octets in relays.transmits() if (message := parse_stun(octets)).integrity)
    relays.unwrap(PATH, server.error(refresh, 437).write(KEY), 540.0)
    server.serve(540.0)
    gone, came = relays.events()
    assert isinstance(gone, RelayedPortGone) and isinstance(came, RelayedPort) and came.port != PORT


@pytest.mark.parametrize(
    ("uri", "name", "password"),
    [
        ("stun:a", "", ""),
        ("turn:", "", ""),
        ("turn:a", "a\x07", ""),
        ("turn:a", "", "\x07"),
        ("turns:192.0.2.1", "", ""),
    ],
)
def test_a_server_that_cannot_be_is_said_at_once(uri: str, name: str, password: str) -> None:
    with pytest.raises(LocalError):
        RelayServer(uri, name, Secret(password))


def test_a_password_is_not_printed() -> None:
    relays, _ = up()
    assert "sesame" not in repr(UDP) + repr(relays.events()) + repr(vars(relays))
