"""What the sound of one call costs: microseconds a packet or frame, best of several rounds.

    python benchmarks/media_path.py [CODEC ...]

`receive` is a packet's way from RTP payload to PCM frame: `Playout.put` and `Playout.get`. `send` is
`Codec.encode`. One call makes 50 of each a second; a core has 20,000 µs for each.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable
from time import process_time

import numpy as np

from segue.base.frame import Samples
from segue.base.keying import MasterKey, Suite
from segue.base.secret import Secret
from segue.media.codecs import codec_for
from segue.media.coded_signal import coded_signal
from segue.media.jitter_buffer import JitterBuffer
from segue.media.playout import Playout
from segue.protocols.demux import Kind, sort
from segue.protocols.rtp.packet import parse_rtp
from segue.protocols.rtp.receiver import RtpSource
from segue.protocols.rtp.sender import RtpSender
from segue.protocols.srtp.context import SrtpReceiver, SrtpSender

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


def whole_path(suite: Suite) -> None:
    """One call of G.711: frame to sealed datagram to socket, and datagram from the socket to frame."""
    key = MasterKey(Secret(os.urandom(suite.key_length)), Secret(os.urandom(suite.salt_length)))
    frames = frames_of(8000)
    near, far = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
    far.bind(("127.0.0.1", 0))
    near.connect(far.getsockname())
    spent = {"send": float("inf"), "receive": float("inf")}
    for _ in range(ROUNDS):
        codec, decoder = codec_for("PCMU"), codec_for("PCMU")
        sender, sealer = RtpSender(7, 1, 0, 0, 8000), SrtpSender(suite, key)
        opener, source, playout = SrtpReceiver(suite, [key]), RtpSource(7, 8000), Playout({0: decoder})
        sending = receiving = 0.0
        for begin in range(0, PACKETS, 50):
            start = process_time()
            for frame in frames[begin : begin + 50]:
                near.send(sealer.protect(sender.packet(codec.encode(frame), 160, False)))
            sending += process_time() - start
            start = process_time()
            for index in range(begin, begin + 50):
                now = index * 0.020
                datagram = far.recv(2048)
                octets = opener.unprotect(datagram) if sort(datagram) is Kind.RTP else None
                assert octets is not None
                packet = parse_rtp(octets)
                source.receive(packet, now)
                playout.put(
                    packet.payload_type, packet.sequence, packet.timestamp, packet.payload, now, packet.ssrc
                )
                playout.get(now + 0.005)
            receiving += process_time() - start
        spent["send"] = min(spent["send"], sending)
        spent["receive"] = min(spent["receive"], receiving)
    near.close()
    far.close()
    send, receive = (1e6 * seconds / PACKETS for seconds in spent.values())
    print(
        f"PCMU over {suite.value} and UDP: send {send:.1f}, receive {receive:.1f} µs "
        f"({1e6 / receive:,.0f} packets a second); one call {50 * (send + receive) / 1e4:.2f} % of a core"
    )


def main() -> None:
    whole_path(Suite.AES_CM_128_HMAC_SHA1_80)
    whole_path(Suite.AEAD_AES_128_GCM)
    print(f"jitter buffer alone, put + get: {buffer_only():.1f} µs")
    for name in sys.argv[1:] or ("PCMU", "PCMA", "G722", "opus"):
        measure(name)


if __name__ == "__main__":
    main()
