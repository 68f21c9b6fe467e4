"""Who has not the call's ICE password changes no path, whatever it sends; who copies and relays genuine checks
is left again.

Each attack has its control: the same thing done by who may do it, or to an end that is open to it, does change
the path.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import pytest

from segue.base.address import Address, Path
from segue.base.ice_description import Candidate, CandidateType
from segue.base.secret import Secret
from segue.protocols.ice.limits import PAIRS, PATHS
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
from segue.protocols.stun.message import Class, Method, StunMessage, is_stun, parse_stun
from segue.testing.entropy import SeededEntropy
from segue.testing.ice_ends import VOICE, IceEnd, IceNetwork, Sent, port, talking

ROLES = ("controlling", "controlled")
NEW = "203.0.113.7"
EVIL, FAR = Address("203.0.113.66", 6666), Address("203.0.113.67", 6667)
TRIES = 1000


def pair(network: IceNetwork, role: str, **options: object) -> tuple[IceEnd, IceEnd]:
    alice, bob = talking(network, **options)
    return (alice, bob) if role == "controlling" else (bob, alice)


def check_to(victim: IceEnd, other: IceEnd, number: int, password: Secret | None, **changes: object) -> bytes:
    """A check that says the other end has moved, with this password; without one it has no integrity."""
    entropy = SeededEntropy(f"check {number}")
    request = StunMessage(Class.REQUEST, Method.BINDING, entropy.octets(12))
    ufrag = changes.get("ufrag", victim.agent.credentials.ufrag)
    request.add(USERNAME, f"{ufrag}:{other.agent.credentials.ufrag}").add(PRIORITY, 1_862_270_975)
    if other.agent.controlling:
        request.add(ICE_CONTROLLING, 5).add(USE_CANDIDATE, True).add(NOMINATION, 1_000_000 + number)
    else:
        request.add(ICE_CONTROLLED, 5).add(MOVED, 1_000_000 + number)
    return request.write(password, fingerprint=True)


def throw(network: IceNetwork, victim: IceEnd, make: Callable[[int], bytes], count: int = TRIES) -> None:
    """At the victim's selected port, from an address of the attacker's, over ten seconds."""
    assert victim.agent.selected is not None
    target = victim.agent.selected.local
    for number in range(count):
        network.put(EVIL, target, make(number))
        network.pass_time(10 / TRIES)


@pytest.mark.parametrize("role", ROLES)
def test_forged_checks_change_nothing(role: str) -> None:
    network = IceNetwork()
    other, victim = pair(network, role)
    before, count = victim.agent.selected, len(victim.selections)
    guess = Secret("A" * 32)
    throw(network, victim, lambda number: check_to(victim, other, number, guess))
    throw(network, victim, lambda number: check_to(victim, other, number, None))
    right = victim.agent.credentials.password
    throw(network, victim, lambda number: check_to(victim, other, number, right, ufrag="another"))
    assert victim.agent.selected == before
    assert len(victim.selections) == count
    assert victim.agent._state.paths.get(before._replace(remote=EVIL)) is None  # type: ignore[union-attr]
    network.pass_time(0.1)
    assert victim.trace.drops["ice", "not authenticated"] == 3 * TRIES
    # Control: with the right password the very same check is followed.
    throw(network, victim, lambda number: check_to(victim, other, number, right), count=1)
    network.pass_time(0.1)
    assert any(each.path.remote == EVIL for each in victim.selections)


@pytest.mark.parametrize("role", ROLES)
def test_refusals_are_few_and_small(role: str) -> None:
    """Their target may be somebody else, whose address the request was sent with."""
    network = IceNetwork()
    _, victim = pair(network, role)
    assert victim.agent.selected is not None
    at, target = network.now, victim.agent.selected.local
    for number in range(TRIES):
        request = StunMessage(Class.REQUEST, Method.BINDING, number.to_bytes(12, "big"))
        network.put(EVIL, target, request.write(fingerprint=True))
    network.pass_time(1.0)
    answers = [seen for seen in network.seen if seen.at >= at and seen.target == EVIL]
    assert 1 <= len(answers) <= 20
    codes = {error.code for seen in answers if (error := parse_stun(seen.octets).error) is not None}
    assert codes == {400}


@pytest.mark.parametrize("role", ROLES)
def test_replayed_checks_of_former_moves_change_nothing(role: str) -> None:
    network = IceNetwork()
    mover, victim = pair(network, role)
    for number in range(5):
        mover.move(port(f"203.0.113.{10 + number}"))
        network.pass_time(1.0)
    copies = genuine(network, mover, victim)
    before, count = victim.agent.selected, len(victim.selections)
    throw(network, victim, lambda number: copies[number % len(copies)])
    network.pass_time(3.0)
    assert victim.agent.selected == before
    assert len(victim.selections) == count
    assert not mover.agent._state.paths.get(Path("", EVIL, EVIL))
    # Control: of a move the victim has not heard of yet, the copy is believed until its source has to answer.
    fresh: list[bytes] = []

    def steal(source: Address, target: Address, octets: bytes) -> list[Sent]:
        if source.host == "203.0.113.20":
            fresh.append(octets)
            return []
        return [(source, target, octets)]

    network.bystander = steal
    mover.talks = False
    mover.move(port("203.0.113.20"))
    network.put(EVIL, victim.agent.selected.local, fresh[0])  # type: ignore[union-attr]
    network.pass_time(0.1)
    assert victim.agent.selected is not None
    assert victim.agent.selected.remote == EVIL
    assert not victim.agent.proven(victim.agent.selected)


def genuine(network: IceNetwork, sender: IceEnd, receiver: IceEnd) -> list[bytes]:
    """Every request that one end sent to the other."""
    here, there = ({each.address.host for each in end.ports} for end in (sender, receiver))
    return [
        seen.octets
        for seen in network.seen
        if seen.source.host in here
        and seen.target.host in there
        and is_stun(seen.octets)
        and parse_stun(seen.octets).kind is Class.REQUEST
    ]


@pytest.mark.parametrize("role", ROLES)
def test_forged_and_replayed_answers_prove_nothing(role: str) -> None:
    """A path whose checks are answered by who has not the password stays unproven, and is left."""
    network = IceNetwork()
    mover, victim = pair(network, role)

    def answer(source: Address, target: Address, octets: bytes) -> list[Sent]:
        if target.host != NEW or not is_stun(octets):
            return [(source, target, octets)] if source.host != NEW or first(octets) else []
        request = parse_stun(octets)
        if request.kind is not Class.REQUEST:
            return []
        forged = StunMessage(Class.SUCCESS, Method.BINDING, request.transaction).add(
            XOR_MAPPED_ADDRESS, source
        )
        return [(target, source, forged.write(Secret("B" * 32), fingerprint=True))]

    seen: list[bytes] = []

    def first(octets: bytes) -> bool:
        """The mover's first check gets through, nothing else of it."""
        seen.append(octets)
        return len(seen) == 1

    network.bystander = answer
    mover.move(port(NEW))
    network.pass_time(5.0)
    forged_path = next(each.path for each in victim.selections if each.path.remote.host == NEW)
    assert not victim.agent.proven(forged_path)
    assert victim.agent.selected != forged_path
    assert victim.trace.drops["ice", "answers no check of ours"]
    assert (together(mover, victim)) is True


def together(one: IceEnd, other: IceEnd) -> bool:
    here, there = one.agent.selected, other.agent.selected
    return (
        here is not None and there is not None and here.local == there.remote and here.remote == there.local
    )


class Relay:
    """Stands on the way between a mover's new address and the end that stays: copies the mover's checks and
    sends them from its own address, before or after the genuine ones, which it lets through or not. `mode`:
    what it does with what the victim sends to it.

    - copy: nothing
    - proxy: sends it on from another address of its own, and the answers back
    - disguise: sends it on with the victim's own address as its source, and the answers, which it intercepts, back
    """

    def __init__(self, network: IceNetwork, victim: IceEnd, mode: str, *, before: bool, blocks: bool) -> None:
        self.network = network
        self.mode = mode
        self.before = before
        self.blocks = blocks
        self.active = True
        assert victim.agent.selected is not None
        self.victim = victim.agent.selected.local
        self.mover = port(NEW).address

    def __call__(self, source: Address, target: Address, octets: bytes) -> list[Sent]:
        if not self.active:
            gone = {EVIL, FAR} & {source, target}
            return [] if gone else [(source, target, octets)]
        if source == self.mover and target == self.victim:
            return self._from_mover(octets)
        if target == EVIL:
            return self._to_mover(octets)
        if target == FAR:
            return [(EVIL, self.victim, octets)]
        if source == self.victim and target == self.mover:
            return [] if self.blocks else [(source, target, octets)]
        return [(source, target, octets)]

    def _from_mover(self, octets: bytes) -> list[Sent]:
        straight = [] if self.blocks else [(self.mover, self.victim, octets)]
        wanted = is_stun(octets) if self.mode != "disguise" else True
        copy: list[Sent] = [(EVIL, self.victim, octets)] if wanted else []
        return copy + straight if self.before else straight + copy

    def _to_mover(self, octets: bytes) -> list[Sent]:
        if self.mode == "copy":
            return []
        if is_stun(octets) and parse_stun(octets).kind is not Class.REQUEST:
            return [(self.victim, self.mover, octets)]  # so that the mover's check succeeds
        return [(FAR if self.mode == "proxy" else self.victim, self.mover, octets)]


def signal(network: IceNetwork, mover: IceEnd, victim: IceEnd) -> None:
    """The re-INVITE that follows a move."""
    victim.agent.add_remote(mover.agent.candidates, True, network.now)
    victim.drain()


def lands_at(network: IceNetwork, end: IceEnd, since: float) -> set[Address]:
    """Where an end's voice went."""
    hosts = {each.address.host for each in end.ports}
    return {
        seen.target
        for seen in network.seen
        if seen.at >= since and seen.source.host in hosts and len(seen.octets) == VOICE
    }


@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
@pytest.mark.parametrize("mode", ["copy", "proxy", "disguise"])
@pytest.mark.parametrize("role", ROLES)
def test_a_relayed_check_beside_the_genuine_one(role: str, mode: str, before: bool) -> None:
    """Voice is on the genuine path within a second, and stays. Who is faster than the genuine path with
    everything, and disguised, cannot be told from it before signalling has named one of the two."""
    network = IceNetwork()
    mover, victim = pair(network, role)
    network.bystander = Relay(network, victim, mode, before=before, blocks=False)
    network.access[EVIL.host] = network.access[FAR.host] = 0.0 if before else 0.01
    mover.move(port(NEW))
    at = network.now
    network.pass_time(0.3)
    if mode == "disguise":
        signal(network, mover, victim)
    network.pass_time(0.7)
    assert lands_at(network, victim, at + 1.0 - 0.001) <= {port(NEW).address}
    network.pass_time(10.0)
    assert lands_at(network, victim, at + 1.0) == {port(NEW).address}
    assert together(mover, victim)


@pytest.mark.parametrize("seconds", [0.5, 3.0, 20.0])
@pytest.mark.parametrize("mode", ["copy", "proxy", "disguise"])
@pytest.mark.parametrize("role", ROLES)
def test_a_relayed_check_instead_of_the_genuine_one(role: str, mode: str, seconds: float) -> None:
    """While the genuine path is blocked the relay may have the voice, which it cannot read. A second after it
    works again the voice is there, though the relay goes on."""
    network = IceNetwork()
    mover, victim = pair(network, role)
    relay = network.bystander = Relay(network, victim, mode, before=True, blocks=True)
    network.access[EVIL.host] = network.access[FAR.host] = 0.005
    old = mover.ports[0].address.host
    network.dead.add(old)
    at = network.now
    mover.move(port(NEW))
    network.pass_time(seconds)
    stolen = EVIL in lands_at(network, victim, at)
    assert stolen  # control: the attack does something
    if mode == "copy":
        sent = sum(len(seen.octets) for seen in network.seen if seen.at >= at and seen.target == EVIL)
        got = sum(
            len(seen.octets)
            for seen in network.seen
            if seen.at >= at and seen.source.host == NEW and is_stun(seen.octets)
        )
        assert sent <= 3 * got
    relay.blocks = False
    works = network.now
    network.pass_time(5.0)
    assert lands_at(network, victim, works + 1.0) == {port(NEW).address}
    assert together(mover, victim)


@pytest.mark.parametrize("role", ROLES)
def test_when_the_relay_stops_the_genuine_path_is_back_within_a_second(role: str) -> None:
    network = IceNetwork()
    mover, victim = pair(network, role)
    relay = network.bystander = Relay(network, victim, "proxy", before=True, blocks=True)
    network.dead.add(mover.ports[0].address.host)
    mover.move(port(NEW))
    network.pass_time(5.0)
    relay.active = False
    works = network.now
    network.pass_time(5.0)
    assert lands_at(network, victim, works + 1.0) == {port(NEW).address}
    assert together(mover, victim)


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("mode", ["copy", "proxy", "disguise"])
def test_a_relay_that_nobody_moved_for_gets_nothing(role: str, mode: str) -> None:
    """It copies the checks that keep consent fresh: they say what was said before."""
    network = IceNetwork()
    mover, victim = pair(network, role)
    mover.move(port(NEW))
    network.pass_time(2.0)
    signal(network, mover, victim)
    network.bystander = Relay(network, victim, mode, before=True, blocks=False)
    at = network.now
    network.pass_time(60.0)
    assert lands_at(network, victim, at) == {port(NEW).address}


def test_candidates_that_point_at_others_are_paced_and_counted() -> None:
    """A peer names a thousand addresses of one victim: 100 pairs at most, one request in 50 ms at most, and an
    end to it."""
    network = IceNetwork()
    alice = IceEnd.make(network, "alice", controlling=True, migration=True)
    bob = IceEnd.make(network, "bob", controlling=False)
    alice.add(port("192.0.2.1"), port("192.0.2.2"))
    named = tuple(
        Candidate(
            str(number), 1, 2**31 - 1 - number, Address("203.0.113.200", 1000 + number), CandidateType.HOST
        )
        for number in range(1000)
    )
    alice.agent.set_remote(replace(bob.agent.description, candidates=named, ended=True), network.now)
    alice.drain()
    network.pass_time(200)
    hits = [seen for seen in network.seen if seen.target.host == "203.0.113.200"]
    assert len(alice.agent._state.newest.check_list) <= PAIRS
    assert len({(seen.source, seen.target) for seen in hits}) <= PAIRS
    assert 100 <= len(hits) <= 7 * PAIRS
    assert hits[-1].at - hits[0].at < 180
    first = {}
    for seen in hits:
        first.setdefault((seen.source, seen.target), seen.at)
    starts = sorted(first.values())
    assert all(after - before >= 0.0499 for before, after in pairwise(starts))


@pytest.mark.parametrize("role", ROLES)
def test_copies_from_thousands_of_sources_take_bounded_memory_and_few_answers(role: str) -> None:
    """A genuine check, sent again with the addresses of many others as its source."""
    network = IceNetwork()
    mover, victim = pair(network, role)
    mover.move(port(NEW))
    network.pass_time(2.0)
    copy = genuine(network, mover, victim)[-1]
    assert victim.agent.selected is not None
    at, before, target = network.now, victim.agent.selected, victim.agent.selected.local
    for number in range(2000):
        network.put(Address(f"198.18.{number // 250}.{number % 250 + 1}", 5000), target, copy)
        network.pass_time(0.005)
    network.pass_time(1.0)
    state = victim.agent._state
    assert victim.agent.selected == before
    assert len(state.paths.table) <= PATHS
    assert len(state.newest.check_list) <= PAIRS
    assert len(state.checks) <= 2 * PAIRS
    assert lands_at(network, victim, at) == {before.remote}
    sent = sum(len(seen.octets) for seen in network.seen if seen.target.host.startswith("198.18."))
    assert sent <= 3 * 2000 * len(copy)


@pytest.mark.parametrize("role", ROLES)
def test_a_replayed_conflict_of_roles_changes_no_role(role: str) -> None:
    """Both ends began with one role and settled it; every request of that time is sent again."""
    for seed in range(6):
        network = IceNetwork(seed)
        alice = IceEnd.make(network, f"alice{seed}", controlling=role == "controlling", migration=True)
        bob = IceEnd.make(network, f"bob{seed}", controlling=role == "controlling", migration=True)
        alice.add(port("192.0.2.1"))
        bob.add(port("198.51.100.2"))
        bob.learn(alice)
        alice.learn(bob)
        network.pass_time(2.0)
        roles = alice.agent.controlling, bob.agent.controlling
        assert sum(roles) == 1
        old = list(network.seen)
        paths = alice.agent.selected, bob.agent.selected
        for seen in old:
            network.put(EVIL, seen.target, seen.octets)
            network.put(seen.source, seen.target, seen.octets)
            network.pass_time(0.05)
        network.pass_time(2.0)
        assert (alice.agent.controlling, bob.agent.controlling) == roles
        assert (alice.agent.selected, bob.agent.selected) == paths


def test_a_peer_that_claims_our_role_again_and_again_is_answered_and_no_more() -> None:
    network = IceNetwork()
    alice, bob = talking(network)
    right = alice.agent.credentials.password
    for number in range(300):
        entropy = SeededEntropy(number)
        request = StunMessage(Class.REQUEST, Method.BINDING, entropy.octets(12))
        request.add(USERNAME, f"{alice.agent.credentials.ufrag}:{bob.agent.credentials.ufrag}")
        request.add(PRIORITY, 1)
        kind = ICE_CONTROLLING if number % 2 else ICE_CONTROLLED
        request.add(kind, int.from_bytes(entropy.octets(8), "big"))
        network.put(
            port("198.51.100.2").address, port("192.0.2.1").address, request.write(right, fingerprint=True)
        )
        network.pass_time(0.01)
    network.pass_time(3.0)
    assert together(alice, bob)
    assert alice.agent.controlling is not bob.agent.controlling
