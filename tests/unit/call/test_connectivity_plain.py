"""A call with a peer that speaks plain ICE: two ports, an old standard's roles, a session that goes on, lite."""

from __future__ import annotations

from dataclasses import replace

import pytest

from segue.base.address import Address, LocalPort, Path
from segue.base.ice_description import IceDescription
from segue.call.agreement import LocalMedia, MediaAgreement
from segue.call.connectivity import Connectivity
from segue.call.path import MediaPaths, rtcp_port
from segue.protocols.ice.agent import IceAgent
from segue.protocols.sdp import Attribute, Direction
from segue.testing.entropy import SeededEntropy

WLAN = LocalPort("wlan0", Address("192.0.2.1", 4000))
CELL = LocalPort("wwan0", Address("192.0.2.2", 5000))
THERE = LocalPort("eth0", Address("198.51.100.2", 6000))
STEP = 0.01


class Call:
    """Ours, and the agent of a peer at THERE; everything arrives after 10 ms. `peer_calls`: the first offer is its,
    and it wins every conflict of roles. `restarts`: it does with us, and offers and answers as of RFC 5245."""

    def __init__(
        self, *, mux: bool = False, restarts: bool = True, peer_calls: bool = False, lite: bool = False
    ) -> None:
        self.now = 0.0
        self.paths = MediaPaths(WLAN)
        self.ours = Connectivity(
            self.paths, SeededEntropy("ours"), enabled=True, migration=True, duplicates=True
        )
        self.peer = IceAgent(controlling=peer_calls, entropy=SeededEntropy("peer"), now=0.0, components=2)
        self.peer._state.tie_breaker = (1 << 64) - 1 if peer_calls else 0
        self.mux, self.restarts, self.lite, self.peer_calls = mux, restarts, lite, peer_calls
        self.ours.opened(WLAN, 0.0)
        self.peer.add_port(THERE, 0.0)
        if not mux:
            self.peer.add_port(rtcp_port(THERE), 0.0, component=2)
        self.first: IceDescription | None = None

    def agree(self) -> tuple[Attribute, ...]:
        """Our offer and the peer's answer, or the other way round."""
        first = self.first is None
        if first and self.peer_calls:
            theirs = replace(self.peer.description, options=frozenset())
            offer = self.ours.answer(theirs, "audio", self.now, mux=self.mux)
        else:
            offer = self.ours.offer(self.now)
        assert self.ours._agent is not None
        said = self.ours._agent.description
        if self.first is not None and self.restarts:
            self.peer.set_controlling(False)  # RFC 5245 section 5.2
            self.peer.restart(self.now)
        if self.first is None or self.restarts:
            self.peer.set_remote(said, self.now)
        else:
            self.peer._state.newest.remote = said  # it checks our new name and password, and begins nothing
        answer = replace(self.peer.description, options=frozenset(), lite=self.lite)
        self.first = self.first or answer
        self.ours.adopt(self._agreement(answer), 1000, self.now, answer=True)
        return offer

    def _agreement(self, answer: IceDescription) -> MediaAgreement:
        return MediaAgreement(
            local=LocalMedia(self.paths.sending.address),
            remote=THERE.address,
            remote_rtcp=rtcp_port(THERE).address,
            rtcp_mux=self.mux,
            profile="RTP/SAVP",
            secure=True,
            codecs=(),
            telephone_events=(),
            receive_types={},
            direction=Direction.SENDRECV,
            held_locally=False,
            held_remotely=False,
            packet_time=20,
            ice=answer,
        )

    def run(self, seconds: float) -> None:
        end = self.now + seconds
        while self.now < end:
            there, here = self.ours.transmits(), [] if self.lite else self.peer.transmits()
            self.now += STEP
            for path, octets in there:
                self.peer.receive(octets, Path("eth0", path.remote, path.local), self.now)
            for path, octets in here + (self._answers() if self.lite else []):
                port = next(p for p in (WLAN, CELL, rtcp_port(WLAN), rtcp_port(CELL)) if p[1] == path.remote)
                self.ours.receive(octets, Path(*port, path.local), self.now)
            self.ours.expire(self.now)
            self.peer.expire(self.now)

    def _answers(self) -> list[tuple[Path, bytes]]:
        """A lite peer has no checks of its own: only its responses leave (their first two bits and class say so)."""
        return [(path, octets) for path, octets in self.peer.transmits() if octets[0] == 1]

    def move(self) -> None:
        """Softly, told by an offer."""
        self.ours.opened(CELL, self.now)
        self.ours.move(CELL, self.now, soft=True)
        self.agree()
        self.run(1)


def components(attributes: tuple[Attribute, ...]) -> list[int]:
    candidates = (each.value or "" for each in attributes if each.name == "candidate")
    return sorted(int(value.split()[1]) for value in candidates)


def test_rtcp_has_candidates_until_the_peer_shares_one_port() -> None:
    call = Call(mux=True)
    assert components(call.agree()) == [1, 2]
    call.run(1)
    assert components(call.agree()) == [1]


def test_rtcp_of_a_peer_with_two_ports_takes_a_path_of_its_own() -> None:
    call = Call()
    call.agree()
    call.run(1)
    assert call.paths.rtcp == Path(*rtcp_port(WLAN), rtcp_port(THERE).address)
    assert components(call.agree()) == [1, 2]
    call.move()
    assert call.paths.active == Path(*CELL, THERE.address)
    assert call.paths.rtcp == Path(*rtcp_port(CELL), rtcp_port(THERE).address)


@pytest.mark.parametrize("peer_calls", [True, False])
@pytest.mark.parametrize("restarts", [True, False])
def test_a_soft_move_ends_where_it_went(peer_calls: bool, restarts: bool) -> None:
    """Also when the peer is of RFC 5245, or nominates nothing more since it goes on with its first session."""
    call = Call(peer_calls=peer_calls, restarts=restarts)
    call.agree()
    call.run(1)
    assert call.paths.active == Path(*WLAN, THERE.address)
    call.move()
    assert call.paths.active == Path(*CELL, THERE.address)
    assert call.ours._agent is not None
    assert call.ours._agent.controlling is (restarts or not peer_calls)


def test_a_lite_peer_is_moved_to_by_us() -> None:
    """It sends no checks, so that only ours prove and nominate a path, the second time as the first."""
    call = Call(lite=True)
    call.agree()
    call.run(1)
    assert call.ours.is_proven(WLAN)
    call.move()
    assert call.paths.active == Path(*CELL, THERE.address)
    assert call.paths.rtcp == Path(*rtcp_port(CELL), rtcp_port(THERE).address)
