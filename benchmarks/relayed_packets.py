"""What a relay costs each voice packet on one core: out by `Relays.wrap` on a channel, in by `Relays.unwrap`.

    python benchmarks/relayed_packets.py [--count N]

A packet is 20 ms of G.711 under SRTP, 182 octets. Best of several rounds, processor time, microseconds each.
"""

from __future__ import annotations

import argparse

from fastest import cost

from segue.base.address import Address, LocalPort, Path
from segue.base.secret import Secret
from segue.call.relays import Relays, RelayServer
from segue.protocols.stun.attributes import (
    ERROR_CODE,
    LIFETIME,
    NONCE,
    REALM,
    XOR_MAPPED_ADDRESS,
    XOR_RELAYED_ADDRESS,
    ErrorCode,
)
from segue.protocols.stun.credentials import long_term_key
from segue.protocols.stun.message import Class, StunMessage, parse_stun, success_response
from segue.protocols.turn.channel_data import FIRST_CHANNEL, write_channel_data
from segue.testing.entropy import SeededEntropy

PACKET = b"\x80" + bytes(181)
PATH = Path("wlan0", Address("198.51.100.7", 4000), Address("192.0.2.1", 3478))
RELAYED, PEER = Address("192.0.2.1", 50000), Address("203.0.113.77", 7000)
KEY = long_term_key("alice", "example.org", Secret("sesame"))


def answered(request: StunMessage) -> bytes:
    if request.integrity is None:
        refused = StunMessage(Class.ERROR, request.method, request.transaction)
        return refused.add(ERROR_CODE, ErrorCode(401)).add(REALM, "example.org").add(NONCE, b"nonce").write()
    granted = success_response(request).add(XOR_RELAYED_ADDRESS, RELAYED).add(XOR_MAPPED_ADDRESS, RELAYED)
    return granted.add(LIFETIME, 600).write(KEY)


def connected() -> Relays:
    """With a channel to the peer."""
    relays = Relays(SeededEntropy(1), families=(4,))
    relays.allocate(PATH, RelayServer("turn:192.0.2.1", "alice", Secret("sesame")), 0.0)
    for _ in range(2):
        for path, octets in relays.transmits():
            relays.unwrap(path, answered(parse_stun(octets)), 0.0)
    for path, octets in relays.wrap(Path("wlan0", RELAYED, PEER), PACKET, 0.0)[:1]:
        relays.unwrap(path, answered(parse_stun(octets)), 0.0)
    return relays


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--count", type=int, default=20_000)
    count = options.parse_args().count
    relays, way = connected(), Path(LocalPort("wlan0", RELAYED).interface, RELAYED, PEER)
    came = write_channel_data(FIRST_CHANNEL, PACKET)
    assert relays.wrap(way, PACKET, 1.0) == [(PATH, came)] and relays.unwrap(PATH, came, 1.0) == (way, PACKET)
    print(f"out           {cost(count, lambda: relays.wrap(way, PACKET, 1.0)):5.2f} us")
    print(f"in            {cost(count, lambda: relays.unwrap(PATH, came, 1.0)):5.2f} us")
    elsewhere = PATH._replace(remote=PEER)
    print(f"not relayed   {cost(count, lambda: relays.unwrap(elsewhere, PACKET, 1.0)):5.2f} us")


if __name__ == "__main__":
    main()
