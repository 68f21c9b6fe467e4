"""What the sound of one call costs: microseconds a packet or frame, best of several rounds.

    python benchmarks/media_path.py [CODEC ...]

First the whole packet path with SRTP and sockets, then parts of it: `receive` is a packet's way from RTP payload to
PCM frame, `Playout.put` and `Playout.get`; `send` is `Codec.encode`. One call makes 50 of each a second; a core has
20,000 µs for each. Times are of a process that does nothing else: in a call the caches are cold, and the event loop
comes on top (`call_cpu.py`).
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable
from time import process_time

import numpy as np

from segue.base.address import Address
from segue.base.frame import Frame, Samples
from segue.base.keying import MasterKey, SrtpKeys, Suite
from segue.base.secret import Secret
from segue.call.agreement import LocalMedia
from segue.call.config import MediaConfig
from segue.call.media_session import MediaIdentity, MediaSession
from segue.call.negotiation import Negotiation
from segue.media.codecs import codec_for
from segue.media.coded_signal import coded_signal
from segue.media.jitter_buffer import JitterBuffer
from segue.media.playout import Playout
from segue.net.entropy import SystemEntropy
from segue.protocols.demux import sort

PACKETS = 2000
ROUNDS = 7


def best(work: Callable[[], None]) -> float:
    """Microseconds a packet in the fastest round: others measure what else the machine did."""
    fastest = float("inf")
    for _ in range(ROUNDS):
        begin = process_time()
        work()
        fastest = min(fastest, process_time() - begin)
    return fastest / PACKETS * 1e6


def frames_of(rate: int) -> list[Samples]:
    signal = coded_signal(0, PACKETS // 2, rate)
    return list(signal.reshape(PACKETS, -1))


def buffer_only() -> float:
    def work() -> None:
        buffer = JitterBuffer(8000)
        for index in range(PACKETS):
            now = index * 0.020
            buffer.put(index, index * 160, b"", now, 160)
            buffer.get(now + 0.005)

    return best(work)


def measure(name: str) -> None:
    frames = frames_of(codec_for(name).sample_rate)
    payloads: list[bytes] = []

    def send() -> None:
        codec = codec_for(name)
        payloads.clear()
        payloads.extend(codec.encode(frame) for frame in frames)

    def decode() -> None:
        codec = codec_for(name)
        for payload in payloads:
            codec.decode(payload)

    def receive(lost: int = 0, jitter: float = 0.0) -> None:
        codec = codec_for(name)
        playout = Playout({0: codec})
        late = np.random.default_rng(1).random(PACKETS) * jitter
        for index, payload in enumerate(payloads):
            now = index * 0.020
            if not lost or index % lost:
                playout.put(0, index, index * codec.frame_ticks, payload, now + float(late[index]))
            playout.get(now + 0.0199)

    sent, decoded = best(send), best(decode)
    received = best(receive)
    lossy, jittery = best(lambda: receive(lost=20)), best(lambda: receive(jitter=0.019))
    share = 50 * (sent + received) / 1e4
    print(
        f"{name:6} send {sent:6.1f}  decode {decoded:6.1f}  receive {received:6.1f}  "
        f"(5 % lost {lossy:6.1f}, jitter {jittery:6.1f}) µs; one call {share:.2f} % of a core"
    )


def ends(suite: Suite) -> tuple[MediaSession, MediaSession]:
    """Both ends of a call that has agreed on PCMU, with keys of this suite."""
    config, entropy = MediaConfig(codecs=("PCMU",), keying="none"), SystemEntropy()
    asking, answering = (Negotiation(config, None, entropy) for _ in range(2))
    near, far = (MediaSession(MediaIdentity.draw(entropy), entropy, 0.0) for _ in range(2))
    offer = asking.make_offer(LocalMedia(Address("192.0.2.1", 4000)), 0.0)
    answer = answering.receive_offer(offer, LocalMedia(Address("192.0.2.2", 4000)), 0.0)
    near.use(asking.receive_answer(answer, 0.0), 0.0)
    assert answering.agreement is not None
    far.use(answering.agreement, 0.0)
    one, two = (
        MasterKey(Secret(os.urandom(suite.key_length)), Secret(os.urandom(suite.salt_length)))
        for _ in range(2)
    )
    near.install(SrtpKeys(suite, one, two), 0.0)
    far.install(SrtpKeys(suite, two, one), 0.0)
    return near, far


def whole_path(suite: Suite) -> None:
    """One call of G.711 by its `MediaSession`: frame to sealed datagram to socket, and datagram from the socket to
    frame."""
    frames = [Frame(samples, 8000) for samples in frames_of(8000)]
    out, back = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
    back.bind(("127.0.0.1", 0))
    out.connect(back.getsockname())
    spent = {"send": float("inf"), "receive": float("inf")}
    for _ in range(ROUNDS):
        near, far = ends(suite)
        sending = receiving = 0.0
        for begin in range(0, PACKETS, 50):
            start = process_time()
            for index in range(begin, begin + 50):
                packet = near.send(frames[index], index * 0.020)
                assert packet is not None
                out.send(packet)
            sending += process_time() - start
            start = process_time()
            for index in range(begin, begin + 50):
                datagram = back.recv(2048)
                assert far.receive(datagram, sort(datagram), index * 0.020)
                far.play(index * 0.020 + 0.005)
            receiving += process_time() - start
        assert far.statistics is not None
        assert far.statistics.received == PACKETS
        spent["send"] = min(spent["send"], sending)
        spent["receive"] = min(spent["receive"], receiving)
    out.close()
    back.close()
    send, receive = (1e6 * seconds / PACKETS for seconds in spent.values())
    print(
        f"PCMU over {suite.value} and UDP: frame to socket {send:.1f} µs, {1e6 / send:,.0f} packets a second; "
        f"socket to frame {receive:.1f} µs, {1e6 / receive:,.0f} a second"
    )


def main() -> None:
    whole_path(Suite.AES_CM_128_HMAC_SHA1_80)
    whole_path(Suite.AEAD_AES_128_GCM)
    print(f"jitter buffer alone, put + get: {buffer_only():.1f} µs")
    for name in sys.argv[1:] or ("PCMU", "PCMA", "G722", "opus"):
        measure(name)


if __name__ == "__main__":
    main()
