"""Calls with other phones that speak plain ICE (RFC 5245): ours moves ten times, hard and soft, and each hears the
other after every move. Which words were said on the media path is read from captures.

Each move is an ICE restart by re-INVITE. What either peer makes of it, and the figures, which `-rP` prints:
docs/interop.md.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import NamedTuple

import pytest

from segue.lab.measure.capture import Captured, read_captures
from segue.lab.measure.measures import (
    Delivery,
    Sighting,
    deliveries,
    gap,
    is_check,
    is_media,
    is_report,
    lost,
    main_ssrc,
    ssrc_of,
)
from segue.lab.measure.packets import Packet
from segue.lab.peers.bed import Bed, Peer, count_of
from segue.lab.peers.sound import Recording
from segue.lab.phones import LabPhone
from segue.protocols.stun.attributes import USERNAME
from segue.protocols.stun.message import Class, is_stun, parse_stun

pytestmark = pytest.mark.peers
KINDS = [
    pytest.param("baresip", marks=pytest.mark.peers("baresip")),
    pytest.param("linphonec", marks=pytest.mark.peers("linphonec")),
]
ALICE, BOB = "sip:alice@example.org", "sip:bob@example.org"
SUITE = (
    "--suite",
    "AES_CM_128_HMAC_SHA1_80",
)  # the only one that baresip 1.0.0 answers with when it speaks ICE


def hard(network: str) -> Callable[[Bed, LabPhone], object]:
    return lambda bed, ours: bed.hard_move(ours, network)


def soft_return(network: str) -> Callable[[Bed, LabPhone], object]:
    return lambda bed, ours: bed.soft_return(ours, network)


TEN_MOVES = (
    *(hard("cafe"), Bed.soft_move, soft_return("office"), hard("cafe"), hard("office")),
    *(Bed.soft_move, soft_return("cafe"), hard("office"), Bed.soft_move, soft_return("office")),
)
HARD = (0, 3, 4, 7)


@dataclass
class Ice:
    """A call with a peer that speaks ICE, and afterwards what was on the wire. `moved`: when each move began and had
    ended; Unix times."""

    bed: Bed
    ours: LabPhone
    peer: Peer
    moved: list[tuple[float, float]]

    def both_heard(self) -> None:
        Recording(self.ours.recording).await_sound()
        self.peer.heard.await_sound()

    def move(self, move: Callable[[Bed, LabPhone], object]) -> None:
        began = time.time()
        move(self.bed, self.ours)
        self.moved.append((began, time.time()))
        self.both_heard()


@contextlib.contextmanager
def call(folder: Path, kind: str, *, we_call: bool, transport: str = "tls") -> Iterator[Ice]:
    with Bed(folder, transport=transport) as bed:
        capture = bed.network.start_capture(hosts=("mn", "cn"))
        try:
            peer = bed.peer(kind, ice=True)
            if we_call:
                ours = bed.segue("call", BOB, *(SUITE if kind == "baresip" and transport == "tls" else ()))
            else:
                ours = bed.answering()
                peer.call(ALICE)
            ours.wait_for("up")
            peer.wait_up()
            made = Ice(bed, ours, peer, [])
            made.both_heard()
            yield made
            assert count_of(ours, "problem") == 0
            peer.hang_up()
            assert ours.wait_for("ended")["by"] == "peer"
        finally:
            capture.stop()


class Seen(NamedTuple):
    time: float
    place: str
    received: bool
    packet: Packet


class Wire:
    """What was between the two phones."""

    def __init__(self, folder: Path) -> None:
        frames = [(frame, packet) for frame in read_captures(folder) if (packet := self._between(frame))]
        self.seen = [Seen(frame.time, frame.place, frame.received, packet) for frame, packet in frames]

    @staticmethod
    def _between(frame: Captured) -> Packet | None:
        packet = frame.packet()
        if packet is None or 3478 in (packet.source_port, packet.destination_port):
            return None
        udp = is_media(packet) or is_check(packet) or is_report(packet) or is_stun(packet.payload)
        return packet if udp else None

    def at(self, host: str, received: bool) -> list[Seen]:
        return [each for each in self.seen if each.place.startswith(host) and each.received is received]

    def answered(self) -> list[Seen]:
        """Checks of ours that the peer answered, as they came back."""
        return [each for each in self.at("mn", True) if _is(each.packet, Class.SUCCESS)]

    def peer_sessions(self) -> list[str]:
        """User fragments of the peer, in the order in which our checks named them."""
        checks = [each.packet for each in self.at("mn", False) if _is(each.packet, Class.REQUEST)]
        names = [(parse_stun(packet.payload).get(USERNAME) or "").partition(":")[0] for packet in checks]
        return list(dict.fromkeys(names))

    def reports(self, host: str, since: float) -> set[tuple[int, int]]:
        """Ports, of the sender and of the receiver, of RTCP that came to a host after that."""
        return {
            (each.packet.source_port, each.packet.destination_port)
            for each in self.at(host, True)
            if each.time > since and is_report(each.packet)
        }

    def media_ports(self, host: str) -> set[tuple[int, int]]:
        return {
            (each.packet.source_port, each.packet.destination_port)
            for each in self.at(host, True)
            if is_media(each.packet)
        }

    def stream(self, sender: str, receiver: str) -> list[Delivery]:
        sent, received = (
            [Sighting(s.time, s.place, s.packet.payload) for s in self.at(*side) if is_media(s.packet)]
            for side in ((sender, False), (receiver, True))
        )
        source = main_ssrc(sent)
        return deliveries(sent, [each for each in received if ssrc_of(each.octets) == source])


def _is(packet: Packet, kind: Class) -> bool:
    return is_stun(packet.payload) and parse_stun(packet.payload).kind is kind


def above(ports: set[tuple[int, int]]) -> set[tuple[int, int]]:
    return {(source + 1, destination + 1) for source, destination in ports}


@pytest.mark.parametrize("we_call", [True, False], ids=["we-call", "peer-calls"])
@pytest.mark.parametrize("kind", KINDS)
def test_ten_moves(kind: str, we_call: bool, tmp_path: Path) -> None:
    """linphonec restarts ICE with us. baresip does not, and answers checks all the same. RTCP follows by the second
    port, which has candidates of its own, since neither multiplexes."""
    with call(tmp_path, kind, we_call=we_call) as made:
        for move in TEN_MOVES:
            made.move(move)
        assert count_of(made.ours, "move_begun") == len(TEN_MOVES), "no move is done twice"
    wire = Wire(tmp_path / "captures")
    for began, ended in made.moved:
        to = {each.packet.destination_port % 2 for each in wire.answered() if began < each.time < ended + 1.5}
        assert to == {0, 1}, "checks of both components are answered after each move"
    assert len(wire.peer_sessions()) == (1 if kind == "baresip" else len(TEN_MOVES) + 1)
    first_move = made.moved[0][1]
    for host in ("mn", "cn"):
        assert wire.reports(host, first_move), f"RTCP comes to {host}"
        assert wire.reports(host, first_move) <= above(wire.media_ports(host))
    tell(kind, we_call, wire, made.moved)


def tell(kind: str, we_call: bool, wire: Wire, moved: list[tuple[float, float]]) -> None:
    """Figures for docs/interop.md."""
    for side, ends in {"uplink": ("mn", "cn"), "downlink": ("cn", "mn")}.items():
        stream = wire.stream(*ends)
        for what, wanted in (("hard", True), ("soft", False)):
            chosen = [times for number, times in enumerate(moved) if (number in HARD) is wanted]
            gaps = sorted(1000 * gap(stream, began, ended + 0.5) for began, ended in chosen)
            missing = sorted(lost(stream, began, ended + 0.5) for began, ended in chosen)
            print(
                f"{kind}, {'we call' if we_call else 'it calls'}, {what}, {side}: gap "
                f"{gaps[0]:.0f} / {median(gaps):.0f} / {gaps[-1]:.0f} ms, lost {missing[0]} to {missing[-1]}"
            )
