"""One agent and the octets it answers with: the status each wrong check gets, peers of other kinds, restarts,
limits."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest

from segue.base.address import Address, LocalPort, Path
from segue.base.ice_description import Candidate, CandidateType, IceDescription
from segue.base.secret import Secret
from segue.base.trace import MemoryTrace
from segue.protocols.ice.agent import IceAgent
from segue.protocols.ice.events import CandidateFound, Gathered, PathLost, PathSelected
from segue.protocols.stun.attributes import (
    ICE_CONTROLLED,
    ICE_CONTROLLING,
    MOVED,
    NOMINATION,
    PRIORITY,
    USE_CANDIDATE,
    USERNAME,
    XOR_MAPPED_ADDRESS,
)
from segue.protocols.stun.message import (
    Class,
    Integrity,
    Method,
    StunMessage,
    error_response,
    parse_stun,
    success_response,
)
from segue.testing.entropy import SeededEntropy

HERE, THERE, OTHER = (Address(host, 4000) for host in ("192.0.2.1", "198.51.100.2", "198.51.100.3"))
PORT = LocalPort("eth0", HERE)
PATH, SECOND = Path("eth0", HERE, THERE), Path("eth0", HERE, OTHER)
THEIRS = IceDescription(
    "theirs",
    Secret("p" * 22),
    frozenset({"ice2"}),
    candidates=(
        Candidate("1", 1, 2130706431, THERE, CandidateType.HOST),
        Candidate("2", 1, 2130706175, OTHER, CandidateType.HOST),
    ),
    ended=True,
)
CONTROL = {True: ICE_CONTROLLED, False: ICE_CONTROLLING}  # what the peer of one that does, or does not, says


class Bench:
    """An agent with one port, and a peer of which only its checks are there."""

    def __init__(self, *, controlling: bool = False, known: bool = True, **options: object) -> None:
        self.trace = MemoryTrace()
        self.now = 100.0
        self.agent = IceAgent(
            controlling=controlling, entropy=SeededEntropy(), now=self.now, trace=self.trace, **options
        )  # type: ignore[arg-type]
        self.agent.add_port(PORT, self.now)
        self.theirs = THEIRS
        if known:
            self.agent.set_remote(self.theirs, self.now)
        self.agent.events()
        self.count = 0

    def request(self, **options: object) -> StunMessage:
        self.count += 1
        request = StunMessage(Class.REQUEST, Method.BINDING, self.count.to_bytes(12, "big"))
        request.add(USERNAME, options.get("username", f"{self.agent.credentials.ufrag}:theirs"))
        request.add(PRIORITY, options.get("priority", 1862270975))
        request.add(CONTROL[self.agent.controlling], options.get("tie_breaker", 1))
        if options.get("nominate"):
            request.add(USE_CANDIDATE, True)
        for attribute, name in ((NOMINATION, "nomination"), (MOVED, "moved")):
            if name in options:
                request.add(attribute, options[name])
        return request

    def check(self, path: Path = PATH, **options: object) -> StunMessage | None:
        """Send one with the right password; the answer."""
        return self.put(
            self.request(**options).write(self.agent.credentials.password, fingerprint=True), path
        )

    def put(self, octets: bytes, path: Path = PATH) -> StunMessage | None:
        """Send some octets; the answer."""
        identifier = octets[8:20]
        self.agent.receive(octets, path, self.now)
        answers = [parse_stun(sent) for where, sent in self.sent() if where == path]
        found = [
            each for each in answers if each.kind is not Class.REQUEST and each.transaction == identifier
        ]
        return found[0] if found else None

    def sent(self) -> list[tuple[Path, bytes]]:
        out = self.agent.transmits()
        self.asked = [
            (path, message) for path, octets in out if (message := parse_stun(octets)).kind is Class.REQUEST
        ]
        return out

    def answer_all(self, seconds: float = 1.0, *, code: int = 0, mapped: Address = HERE) -> list[StunMessage]:
        """Let time pass, in which the peer answers each check; the checks."""
        seen = []
        end = self.now + seconds
        while self.now <= end:
            self.sent()
            for path, request in self.asked:
                seen.append(request)
                answer = error_response(request, code) if code else success_response(request)
                answer.add(XOR_MAPPED_ADDRESS, mapped)
                self.agent.receive(answer.write(self.theirs.password, fingerprint=True), path, self.now)
            self.now += 0.01
            self.agent.expire(self.now)
        return seen


def code(answer: StunMessage | None) -> int | None:
    return answer.error.code if answer is not None and answer.error is not None else None


def test_a_check_is_answered_with_where_it_came_from() -> None:
    bench = Bench()
    answer = bench.check()
    assert answer is not None
    assert answer.kind is Class.SUCCESS
    assert answer.get(XOR_MAPPED_ADDRESS) == THERE
    assert answer.verify(bench.agent.credentials.password)
    assert answer.fingerprint
    assert answer.get(USERNAME) is None


def test_a_check_with_sha256_is_answered_with_it() -> None:
    bench = Bench()
    password = bench.agent.credentials.password
    answer = bench.put(bench.request().write(password, integrity=(Integrity.SHA256,), fingerprint=True))
    assert answer is not None
    assert answer.integrity is Integrity.SHA256
    assert answer.verify(password)


@pytest.mark.parametrize(
    ("username", "password", "status"),
    [("other:theirs", None, 401), (None, "wrong" * 5, 401), ("nocolon", None, 401)],
)
def test_wrong_credentials_get_401(username: str | None, password: str | None, status: int) -> None:
    bench = Bench()
    options = {"username": username} if username else {}
    key = Secret(password) if password else bench.agent.credentials.password
    answer = bench.put(bench.request(**options).write(key, fingerprint=True))
    assert code(answer) == status
    assert answer is not None
    assert answer.integrity is None


def test_no_credentials_get_400() -> None:
    bench = Bench()
    assert code(bench.put(bench.request().write(fingerprint=True))) == 400
    bare = StunMessage(Class.REQUEST, Method.BINDING, b"n" * 12)
    assert code(bench.put(bare.write(bench.agent.credentials.password, fingerprint=True))) == 400


def test_no_fingerprint_gets_silence() -> None:
    bench = Bench()
    assert bench.put(bench.request().write(bench.agent.credentials.password)) is None
    assert bench.trace.drops["ice", "no fingerprint"] == 1


def test_an_unknown_attribute_that_must_be_understood_gets_420() -> None:
    bench = Bench()
    request = bench.request()
    request.attributes.append((replace(PRIORITY, number=0x7777, name="?"), 7))
    answer = bench.put(request.write(bench.agent.credentials.password, fingerprint=True))
    assert code(answer) == 420
    assert answer is not None
    assert answer.verify(bench.agent.credentials.password)


def test_other_methods_and_indications_get_silence() -> None:
    bench = Bench()
    for kind, method in ((Class.REQUEST, Method.ALLOCATE), (Class.INDICATION, Method.BINDING)):
        message = StunMessage(kind, method, b"m" * 12)
        assert bench.put(message.write(bench.agent.credentials.password, fingerprint=True)) is None


def test_a_port_that_is_not_ours_answers_nothing() -> None:
    bench = Bench()
    elsewhere = Path("eth1", Address("192.0.2.9", 1), THERE)
    assert bench.check(elsewhere) is None


@pytest.mark.parametrize("controlling", [True, False])
def test_a_conflict_of_roles(controlling: bool) -> None:
    """RFC 8445 section 7.3.1.1: the greater tie-breaker controls."""
    ours = Bench(controlling=controlling).agent._state.tie_breaker
    for theirs, refused in ((ours - 1, controlling), (ours + 1, not controlling)):
        bench = Bench(controlling=controlling)
        kind = ICE_CONTROLLING if controlling else ICE_CONTROLLED
        request = bench.request()
        request.attributes = [pair for pair in request.attributes if pair[0] is not CONTROL[controlling]]
        request.add(kind, theirs)
        answer = bench.put(request.write(bench.agent.credentials.password, fingerprint=True))
        assert (code(answer) == 487) is refused
        assert bench.agent.controlling is (controlling if refused else not controlling)


@pytest.mark.parametrize("controlling", [True, False])
def test_a_487_makes_us_switch_with_a_new_tie_breaker(controlling: bool) -> None:
    bench = Bench(controlling=controlling)
    before = bench.agent._state.tie_breaker
    bench.answer_all(0.005, code=487)
    assert bench.agent.controlling is not controlling
    assert bench.agent._state.tie_breaker != before


def test_a_check_of_another_fork_changes_nothing() -> None:
    bench = Bench()
    answer = bench.check(SECOND, username=f"{bench.agent.credentials.ufrag}:fork", nominate=True)
    assert answer is not None
    assert answer.kind is Class.SUCCESS
    assert bench.trace.drops["ice", "another fork's check"] == 1
    assert bench.agent.selected is None


def test_checks_before_the_peers_description_are_answered_and_kept() -> None:
    bench = Bench(known=False)
    for number in range(100):
        answer = bench.check(Path("eth0", HERE, Address("203.0.113.1", 1000 + number)))
        assert answer is not None
        assert answer.kind is Class.SUCCESS
    assert len(bench.agent._state.newest.early) == 16
    assert not bench.asked
    bench.agent.set_remote(THEIRS, bench.now)
    assert bench.answer_all(1.0)


def test_the_controlled_end_selects_what_is_nominated() -> None:
    bench = Bench()
    bench.answer_all(0.3)
    assert bench.agent.selected is not None  # the first that works, RFC 8445 section 12.1
    assert not bench.agent.completed
    bench.check(SECOND, nominate=True)
    assert bench.agent.completed
    assert bench.agent.selected == SECOND


def test_a_peer_that_nominates_once_is_not_believed_twice() -> None:
    bench = Bench()
    bench.answer_all(0.3)
    bench.check(SECOND, nominate=True)
    bench.check(PATH, nominate=True)
    bench.answer_all(0.3)
    assert bench.agent.selected == SECOND


def test_of_several_nominations_by_an_older_peer_the_best_counts() -> None:
    """RFC 8445 section 8.1.1, for peers of RFC 5245 with aggressive nomination."""
    bench = Bench(known=False)
    bench.agent.set_remote(replace(THEIRS, options=frozenset()), bench.now)
    bench.answer_all(0.3)
    for path in (SECOND, PATH, SECOND):
        bench.check(path, nominate=True)
    assert bench.agent.selected == PATH


def test_a_peer_that_renominates_is_followed_when_the_path_is_proven() -> None:
    """As libwebrtc and pion do it, without an agreement to migrate: the newest count holds."""
    bench = Bench(known=False)
    bench.agent.set_remote(replace(THEIRS, options=frozenset({"ice2", "renomination"})), bench.now)
    bench.answer_all(0.3)
    for path, count, selected in ((PATH, 1, PATH), (SECOND, 2, SECOND), (PATH, 1, SECOND), (PATH, 3, PATH)):
        bench.check(path, nominate=True, nomination=count)
        assert bench.agent.selected == selected
    fresh = Path("eth0", HERE, Address("203.0.113.9", 1))
    bench.check(fresh, nominate=True, nomination=4)
    assert bench.agent.selected == PATH
    bench.answer_all(1.0)
    assert bench.agent.selected == fresh


def test_moved_is_nothing_to_who_has_not_agreed() -> None:
    bench = Bench(controlling=True)
    bench.answer_all(1.0)
    assert bench.agent.selected == PATH
    bench.check(Path("eth0", HERE, Address("203.0.113.9", 1)), moved=1)
    bench.answer_all(1.0)
    assert bench.agent.selected == PATH


def test_the_controlling_end_nominates_once_and_the_best() -> None:
    bench = Bench(controlling=True)
    checks = bench.answer_all(3.0)
    nominations = [check for check in checks if check.get(USE_CANDIDATE)]
    assert len(nominations) == 1
    assert nominations[0].get(NOMINATION) is None  # the peer did not list renomination
    assert bench.agent.completed
    assert bench.agent.selected == PATH
    assert bench.agent.remote_candidates == ((1, THERE),)
    bench.agent.restart(bench.now)
    assert bench.agent.remote_candidates == ()
    assert [event for event in bench.agent.events() if isinstance(event, PathSelected)][-1].proven


def test_checks_are_paced() -> None:
    bench = Bench(controlling=True, known=False)
    named = tuple(
        Candidate(str(number), 1, 2**30 - number, Address("203.0.113.1", number + 1), CandidateType.HOST)
        for number in range(30)
    )
    bench.agent.set_remote(replace(THEIRS, candidates=named), bench.now)
    first = {}
    for _ in range(2000):
        for path, _octets in bench.sent():
            first.setdefault(path, bench.now)
        bench.now += 0.001
        bench.agent.expire(bench.now)
    times = sorted(first.values())
    assert len(times) == 30
    assert all(later - earlier >= 0.0499 for earlier, later in pairwise(times))


def test_a_peer_may_ask_for_a_slower_pace_within_reason() -> None:
    for asked, used in ((0.02, 0.05), (0.1, 0.1), (3600.0, 1.0)):
        bench = Bench(known=False)
        bench.agent.set_remote(replace(THEIRS, pacing=asked), bench.now)
        assert bench.agent._state.pacing == used


def test_403_ends_the_consent_at_once() -> None:
    """RFC 7675 section 5.2."""
    bench = Bench(controlling=True)
    bench.answer_all(1.0)
    assert bench.agent.may_send(PATH, 172)
    bench.answer_all(7.0, code=403)
    assert not bench.agent.may_send(PATH, 172)
    assert any(isinstance(event, PathLost) for event in bench.agent.events())
    bench.agent.check(PATH, bench.now)
    assert not bench.sent()  # nor is it asked again


def test_nothing_may_be_sent_before_a_check_is_answered() -> None:
    bench = Bench(controlling=True)
    bench.agent.received_media(PATH, 10_000, bench.now)
    assert not bench.agent.may_send(PATH, 1)
    assert not bench.agent.may_send(Path("eth9", HERE, THERE), 1)
    bench.answer_all(1.0)
    assert bench.agent.may_send(PATH, 172)


def test_a_restart_changes_both_credentials_and_the_old_ones_last_for_a_while() -> None:
    bench = Bench(controlling=True)
    bench.answer_all(1.0)
    old = bench.agent.credentials
    bench.agent.restart(bench.now)
    new = bench.agent.credentials
    assert old.ufrag != new.ufrag
    assert old.password != new.password
    assert bench.agent.selected == PATH
    old_check = bench.request(username=f"{old.ufrag}:theirs").write(old.password, fingerprint=True)
    answer = bench.put(old_check)
    assert answer is not None
    assert answer.kind is Class.SUCCESS
    bench.theirs = replace(THEIRS, ufrag="again", password=Secret("q" * 22))
    bench.agent.set_remote(bench.theirs, bench.now)
    bench.answer_all(5.0)
    assert bench.agent.completed
    assert code(bench.put(old_check)) == 401


def test_a_restart_that_was_not_taken_can_be_undone() -> None:
    """Our offer met one of the peer's (491): the session before it goes on."""
    bench = Bench(controlling=True)
    bench.answer_all(1.0)
    old = bench.agent.credentials
    bench.agent.restart(bench.now)
    assert bench.agent.undo_restart()
    assert bench.agent.credentials == old
    assert not bench.agent.undo_restart()
    assert bench.agent.credentials == old


def test_a_peer_that_restarts_is_joined() -> None:
    bench = Bench()
    bench.answer_all(0.3)
    old = bench.agent.credentials
    bench.agent.set_remote(replace(THEIRS, ufrag="again", password=Secret("q" * 22)), bench.now)
    assert bench.agent.credentials != old


def test_what_is_told_to_the_peer() -> None:
    bench = Bench()
    told = bench.agent.description
    assert told.options == {"ice2", "trickle", "renomination"}
    assert [each.address for each in told.candidates] == [HERE]
    assert told.ended
    assert 4 <= len(told.ufrag) <= 32  # RFC 8839 section 5.4
    assert 22 <= len(told.password) <= 256
    assert told.password.reveal().decode() not in repr(told)


def test_a_port_that_comes_is_found_and_one_that_goes_is_forgotten() -> None:
    bench = Bench()
    port = LocalPort("eth1", Address("192.0.2.7", 4000))
    bench.agent.add_port(port, bench.now)
    events = bench.agent.events()
    assert [event.candidate.address for event in events if isinstance(event, CandidateFound)] == [
        port.address
    ]
    assert any(isinstance(event, Gathered) for event in events)
    bench.agent.remove_port(port, bench.now)
    assert [each.address for each in bench.agent.candidates] == [HERE]


def test_one_authenticated_check_pays_for_an_answer_a_check_and_a_packet_of_voice() -> None:
    """Why our user name fragments are long: who has moved hears us after one round trip, though it be silent
    itself."""
    bench = Bench(controlling=True, migration=True)
    bench.theirs = replace(THEIRS, ufrag="t" * 24)
    bench.agent.set_remote(bench.theirs, bench.now)
    bench.answer_all(1.0)
    fresh = Path("eth0", HERE, Address("203.0.113.9", 1))
    request = bench.request(username=f"{bench.agent.credentials.ufrag}:{'t' * 24}", moved=1)
    bench.put(request.write(bench.agent.credentials.password, fingerprint=True), fresh)
    assert bench.agent.selected == fresh
    assert not bench.agent.proven(fresh)
    assert bench.agent.may_send(fresh, 182)
    assert not bench.agent.may_send(fresh, 182)
