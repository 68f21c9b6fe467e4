"""A restart of ICE whose offer met one of the peer's (491): both ends go on with the credentials that they have."""

from __future__ import annotations

from dataclasses import replace

from segue.base.address import Address, LocalPort
from segue.base.ice_description import Candidate, CandidateType, IceDescription
from segue.base.secret import Secret
from segue.call.agreement import LocalMedia, MediaAgreement
from segue.call.connectivity import Connectivity
from segue.call.path import MediaPaths
from segue.protocols.sdp import Attribute, Direction
from segue.testing.entropy import SeededEntropy

HERE, NEW, THERE = (Address(host, 4000) for host in ("192.0.2.1", "192.0.2.2", "198.51.100.2"))
WLAN, CELL = LocalPort("wlan0", HERE), LocalPort("wwan0", NEW)
THEIRS = IceDescription(
    "theirs",
    Secret("p" * 22),
    frozenset({"ice2"}),
    candidates=(Candidate("1", 1, 2130706431, THERE, CandidateType.HOST),),
)


def agreement() -> MediaAgreement:
    """With a peer that knows ICE and no moves without signalling."""
    return MediaAgreement(
        local=LocalMedia(HERE),
        remote=THERE,
        remote_rtcp=THERE,
        rtcp_mux=True,
        profile="RTP/SAVP",
        secure=True,
        codecs=(),
        telephone_events=(),
        receive_types={},
        direction=Direction.SENDRECV,
        held_locally=False,
        held_remotely=False,
        packet_time=20,
        ice=THEIRS,
    )


def ufrag(attributes: tuple[Attribute, ...]) -> str | None:
    return next((each.value for each in attributes if each.name == "ice-ufrag"), None)


def test_an_answer_repeats_the_credentials_that_hold() -> None:
    call = Connectivity(
        MediaPaths(WLAN), SeededEntropy(), enabled=True, migration=True, duplicates=True, stun_servers=()
    )
    call.opened(WLAN, 0.0)
    first = ufrag(call.offer(0.0))
    call.adopt(agreement(), 1000, 0.1, answer=True)
    for _ in range(100):
        call.transmits()
    agent = call._agent
    assert agent is not None
    agent._state.selection(1).nominated = True  # as a nomination would
    call.opened(CELL, 1.0)
    call.move(CELL, 1.0, soft=False)
    restarting = ufrag(call.offer(1.0))
    assert restarting != first
    assert ufrag(call.answer(THEIRS, "audio", 1.1)) == first
    assert ufrag(call.offer(1.2)) not in (first, restarting)


def test_a_candidate_that_is_found_after_the_offer_is_checked_by_the_peer() -> None:
    caller, callee = (
        Connectivity(MediaPaths(port), SeededEntropy(name), enabled=True, migration=True, duplicates=True)
        for port, name in ((WLAN, "caller"), (LocalPort("eth0", THERE), "callee"))
    )
    caller.opened(WLAN, 0.0)
    callee.opened(LocalPort("eth0", THERE), 0.0)
    offer = caller.offer(0.0)
    assert offer[0] == Attribute("mid", "audio") and caller._agent is not None
    said = caller._agent.description
    assert callee.answer(said, "audio", 0.1)[0] == Attribute("mid", "audio")
    callee.adopt(replace(agreement(), ice=said, remote=HERE, remote_rtcp=HERE), 1000, 0.1, answer=False)
    assert not caller.fragment(), "nothing new"
    caller.opened(CELL, 0.2)
    callee.take_fragment(caller.fragment(), 0.3)
    assert not caller.fragment()
    checked = set()
    for tick in range(10):
        callee.expire(0.3 + tick / 10)
        checked |= {path.remote for path, _ in callee.transmits()}
    assert NEW in checked


def test_an_offer_that_cannot_be_accepted_restarts_nothing() -> None:
    call = Connectivity(MediaPaths(WLAN), SeededEntropy(), enabled=True, migration=True, duplicates=True)
    call.opened(WLAN, 0.0)
    first = ufrag(call.offer(0.0))
    call.adopt(agreement(), 1000, 0.1, answer=True)
    agent = call._agent
    assert agent is not None
    before = agent.controlling, agent.components
    answered = call.answer(replace(THEIRS, ufrag="another"), "other", 1.0, mux=False)
    assert ufrag(answered) != first
    call.refused(1.0)
    assert (agent.controlling, agent.components) == before
    again = call.offer(1.1)
    assert ufrag(again) == first and Attribute("mid", "audio") in again


def test_a_first_offer_that_cannot_be_accepted_leaves_nothing() -> None:
    call = Connectivity(MediaPaths(WLAN), SeededEntropy(), enabled=True, migration=True, duplicates=True)
    call.opened(WLAN, 0.0)
    assert call.answer(THEIRS, "audio", 0.1)
    call.refused(0.1)
    assert call._agent is None and call.transmits() == []
