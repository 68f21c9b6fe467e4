"""SRTP packets a second on one core: ours of every suite, and libsrtp's (through pylibsrtp) in the same run.

    python benchmarks/srtp_packets.py [--json] [--packets N]

A packet is 20 ms of G.711: 12 octets of header, 160 of payload. `protect` and `unprotect` are SRTP alone;
`send` is RtpSender.packet and protect, `receive` is unprotect, parse_rtp and RtpSource.receive. Best of several
rounds, processor time.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from time import process_time

from segue.base.keying import MasterKey, Suite
from segue.base.secret import Secret
from segue.protocols.rtp.packet import parse_rtp
from segue.protocols.rtp.receiver import RtpSource
from segue.protocols.rtp.sender import RtpSender
from segue.protocols.srtp.context import SrtpReceiver, SrtpSender
from segue.testing.entropy import SeededEntropy

try:
    import pylibsrtp
except ImportError:  # an oracle, not a dependency
    pylibsrtp = None

ROUNDS = 7
PAYLOAD = bytes(160)
Row = dict[str, int]


def rate(count: int, prepare: Callable[[], Callable[[], object]]) -> int:
    """Packets a second in the fastest round; `prepare` is not timed."""
    fastest = float("inf")
    for _ in range(ROUNDS):
        work = prepare()
        begin = process_time()
        work()
        fastest = min(fastest, process_time() - begin)
    return round(count / fastest)


def packets(count: int) -> list[bytes]:
    sender = RtpSender(0xCAFEBABE, 1, 0, 0, 8000)
    return [sender.packet(PAYLOAD, 160) for _ in range(count)]


def master_for(suite: Suite) -> MasterKey:
    entropy = SeededEntropy(suite.value)
    return MasterKey(Secret(entropy.octets(suite.key_length)), Secret(entropy.octets(suite.salt_length)))


def ours(suite: Suite, clear: list[bytes]) -> Row:
    master, count = master_for(suite), len(clear)
    protect = SrtpSender(suite, master).protect
    sealed = [protect(packet) for packet in clear]

    def protecting() -> Callable[[], object]:
        protect = SrtpSender(suite, master).protect
        return lambda: [protect(packet) for packet in clear]

    def unprotecting() -> Callable[[], object]:
        unprotect = SrtpReceiver(suite, [master]).unprotect
        return lambda: [unprotect(packet) for packet in sealed]

    def sending() -> Callable[[], object]:
        protect, sender = SrtpSender(suite, master).protect, RtpSender(0xCAFEBABE, 1, 0, 0, 8000)
        return lambda: [protect(sender.packet(PAYLOAD, 160)) for _ in range(count)]

    def receiving() -> Callable[[], object]:
        unprotect, source = SrtpReceiver(suite, [master]).unprotect, RtpSource(0xCAFEBABE, 8000)
        return lambda: [source.receive(parse_rtp(unprotect(packet) or b""), 0.0) for packet in sealed]

    def refusing() -> Callable[[], object]:
        receiver = SrtpReceiver(suite, [master])
        receiver.unprotect(sealed[0])
        forged = [packet[:-1] + bytes([packet[-1] ^ 1]) for packet in sealed[1:]]
        return lambda: [receiver.unprotect(packet) for packet in forged]

    return {
        "protect": rate(count, protecting),
        "unprotect": rate(count, unprotecting),
        "send": rate(count, sending),
        "receive": rate(count, receiving),
        "refuse_forged": rate(count, refusing),
    }


def libsrtp(suite: Suite, clear: list[bytes]) -> Row:
    """Empty for suites that pylibsrtp has not."""
    policy = pylibsrtp.Policy if pylibsrtp is not None else None
    profiles = {
        Suite.AES_CM_128_HMAC_SHA1_80: "SRTP_PROFILE_AES128_CM_SHA1_80",
        Suite.AES_CM_128_HMAC_SHA1_32: "SRTP_PROFILE_AES128_CM_SHA1_32",
        Suite.AEAD_AES_128_GCM: "SRTP_PROFILE_AEAD_AES_128_GCM",
        Suite.AEAD_AES_256_GCM: "SRTP_PROFILE_AEAD_AES_256_GCM",
    }
    if policy is None or suite not in profiles:
        return {}
    master = master_for(suite)
    key, profile = master.key.reveal() + master.salt.reveal(), getattr(policy, profiles[suite])

    def session(kind: int) -> pylibsrtp.Session:
        return pylibsrtp.Session(policy(key=key, ssrc_type=kind, srtp_profile=profile))

    outbound = session(policy.SSRC_ANY_OUTBOUND)
    sealed = [outbound.protect(packet) for packet in clear]

    def protecting() -> Callable[[], object]:
        protect = session(policy.SSRC_ANY_OUTBOUND).protect
        return lambda: [protect(packet) for packet in clear]

    def unprotecting() -> Callable[[], object]:
        unprotect = session(policy.SSRC_ANY_INBOUND).unprotect
        return lambda: [unprotect(packet) for packet in sealed]

    return {"protect": rate(len(clear), protecting), "unprotect": rate(len(clear), unprotecting)}


def main() -> None:
    parser = argparse.ArgumentParser(description="SRTP packets a second on one core")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    parser.add_argument("--packets", type=int, default=20_000, help="packets a round")
    options = parser.parse_args()
    clear = packets(options.packets)
    rows = {suite.value: {"segue": ours(suite, clear), "pylibsrtp": libsrtp(suite, clear)} for suite in Suite}
    if options.json:
        print(json.dumps({"octets": len(clear[0]), "packets_per_second": rows}, indent=1))
        return
    print(f"{'packets of ' + str(len(clear[0])) + ' octets a second':32} protect  unprotect  ", end="")
    print("send     receive  forged   pylibsrtp protect, unprotect")
    for name, row in rows.items():
        figures = " ".join(f"{figure:9,}" for figure in row["segue"].values())
        print(
            f"{name:28} {figures}   {' '.join(f'{figure:9,}' for figure in row['pylibsrtp'].values()) or '-'}"
        )


if __name__ == "__main__":
    main()
