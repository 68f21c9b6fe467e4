"""What the path layer of a call costs for each packet of voice, beside the voice path of `media_path.py`.

    python benchmarks/ice_path.py [--json FILE]

`received_media` and `may_send` of an agent with a selected path, a second one that is proven, and what a long call
leaves behind; then the checks themselves, which come a few times a minute.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path as File
from time import process_time

from media_path import ROUNDS, ends, frames_of

from segue.base.address import Address, Path
from segue.base.frame import Frame
from segue.base.keying import Suite
from segue.protocols.demux import sort
from segue.protocols.ice.agent import IceAgent
from segue.testing.ice_ends import IceNetwork, port, talking

PACKETS = 20_000
VOICE = 182  # octets
SECOND = "203.0.113.7"


def best(work: Callable[[], None], count: int) -> float:
    """Microseconds each, in the fastest round."""
    fastest = float("inf")
    for _ in range(ROUNDS):
        begin = process_time()
        work()
        fastest = min(fastest, process_time() - begin)
    return fastest / count * 1e6


def moved_agent() -> tuple[IceNetwork, IceAgent, Path]:
    """Of an end whose peer has moved ten times, with two proven paths."""
    network = IceNetwork()
    mover, stays = talking(network)
    for number in range(10):
        mover.move(port(f"203.0.113.{100 + number}"))
        network.pass_time(0.5)
    mover.add(port(SECOND))
    network.pass_time(1.0)
    selected = stays.agent.selected
    assert selected is not None
    assert len(stays.agent.paths) >= 2
    return network, stays.agent, selected


def path_layer() -> tuple[float, float, float, float]:
    """Microseconds: a packet received, a packet sent, one received while both paths carry voice, and asking the
    agent, which has nothing to say, for what it has to send, its events and its deadline."""
    network, agent, selected = moved_agent()
    other = next(path for path in agent.paths if path != selected)
    now = network.now
    # As they come from a socket: equal to the path, but never the same object.
    fresh = [
        Path(str(selected.interface), Address(*selected.local), Address(*selected.remote)) for _ in range(100)
    ]

    def receive() -> None:
        for index in range(PACKETS):
            agent.received_media(fresh[index % 100], VOICE, now)

    def send() -> None:
        for index in range(PACKETS):
            agent.may_send(fresh[index % 100], VOICE)

    def both() -> None:
        for _ in range(PACKETS // 2):
            agent.received_media(selected, VOICE, now)
            agent.received_media(other, VOICE, now)

    def ask() -> None:
        for _ in range(PACKETS):
            agent.transmits()
            agent.events()
            agent.deadline()

    agent.expire(now)
    return best(receive, PACKETS), best(send, PACKETS), best(both, PACKETS), best(ask, PACKETS)


def check() -> float:
    """Microseconds of one check at the end that answers: read, authenticated, answered."""
    network, agent, selected = moved_agent()
    requests = [
        seen.octets for seen in network.seen if seen.target == selected.local and len(seen.octets) > 100
    ]
    request = next(octets for octets in reversed(requests) if octets[:2] == b"\0\1")

    def answer() -> None:
        for index in range(1000):
            agent.receive(request, selected, network.now + index / 1e6)
            agent.transmits()

    return best(answer, 1000)


def voice_path(suite: Suite) -> tuple[float, float]:
    """Microseconds without sockets: frame to sealed packet, and packet to frame."""
    frames = [Frame(samples, 8000) for samples in frames_of(8000)]
    spent = [float("inf"), float("inf")]
    for _ in range(ROUNDS):
        near, far = ends(suite)
        begin = process_time()
        packets = [near.send(frame, index * 0.020) for index, frame in enumerate(frames)]
        middle = process_time()
        for index, packet in enumerate(packets):
            assert packet is not None
            assert far.receive(packet, sort(packet), index * 0.020)
            far.play(index * 0.020 + 0.005)
        spent = [min(spent[0], middle - begin), min(spent[1], process_time() - middle)]
    return spent[0] / len(frames) * 1e6, spent[1] / len(frames) * 1e6


def main() -> None:
    received, sent, two, asked = path_layer()
    sending, receiving = voice_path(Suite.AES_CM_128_HMAC_SHA1_80)
    share_in, share_out = received / receiving, sent / sending
    print(f"received_media {received:.2f} µs of {receiving:.1f} µs a packet: {share_in:.1%}")
    print(f"may_send       {sent:.2f} µs of {sending:.1f} µs a packet: {share_out:.1%}")
    print(f"received_media with voice on two paths {two:.2f} µs")
    print(f"asked for output, events and deadline, with nothing to say {asked:.2f} µs")
    print(f"a check read, authenticated and answered {check():.0f} µs")
    if "--json" in sys.argv:
        figures = {
            "received_media_us": received,
            "may_send_us": sent,
            "received_media_two_paths_us": two,
            "asked_us": asked,
            "voice_receive_us": receiving,
            "voice_send_us": sending,
            "share_receive": share_in,
            "share_send": share_out,
        }
        File(sys.argv[sys.argv.index("--json") + 1]).write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
