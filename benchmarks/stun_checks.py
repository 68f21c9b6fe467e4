"""Connectivity checks a second on one core: a Binding request as ICE sends it (RFC 8445 section 7.2.2).

    python benchmarks/stun_checks.py [--count N]

`receive` is parse_stun (with FINGERPRINT) and verify, `answer` the response with XOR-MAPPED-ADDRESS, `write` the
request. Best of several rounds, processor time, microseconds each.
"""

from __future__ import annotations

import argparse
from functools import partial

from fastest import cost

from segue.base.address import Address
from segue.base.secret import Secret
from segue.protocols.stun.attributes import (
    ICE_CONTROLLING,
    NOMINATION,
    PRIORITY,
    USE_CANDIDATE,
    USERNAME,
    XOR_MAPPED_ADDRESS,
)
from segue.protocols.stun.message import Class, Method, StunMessage, parse_stun, success_response

KEY = Secret("VOkJxbRl1RmTxUk/WvJxBt")
SOURCES = {
    "IPv4": Address("192.0.2.1", 32853),
    "IPv6": Address("2001:db8:1234:5678:11:2233:4455:6677", 32853),
}


def check() -> StunMessage:
    request = StunMessage(Class.REQUEST, Method.BINDING, b"twelve bytes")
    request.add(USERNAME, "evtj:h6vY").add(PRIORITY, 0x6E0001FF).add(ICE_CONTROLLING, 0x932FF9B151263B36)
    return request.add(USE_CANDIDATE, True).add(NOMINATION, 7)


def receive(octets: bytes) -> bool:
    return parse_stun(octets).verify(KEY)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--count", type=int, default=2000)
    count = options.parse_args().count
    octets = check().write(KEY, fingerprint=True)
    request = parse_stun(octets)
    print(f"receive          {cost(count, partial(receive, octets)):6.1f} us")
    print(f"write            {cost(count, lambda: check().write(KEY, fingerprint=True)):6.1f} us")
    for family, source in SOURCES.items():
        answer = success_response(request).add(XOR_MAPPED_ADDRESS, source)
        write = partial(answer.write, KEY, fingerprint=True)
        print(f"answer {family}      {cost(count, write):6.1f} us")
        print(f"be answered {family} {cost(count, partial(receive, write())):6.1f} us")


if __name__ == "__main__":
    main()
