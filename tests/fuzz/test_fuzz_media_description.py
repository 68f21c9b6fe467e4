"""Fuzz targets of SDP, of the crypto attribute and of the offer/answer engine: a value or a RemoteError,
quickly.

Each `fuzz_…(data)` fits a coverage-guided fuzzer as it is; here they get random octets and mutated real
bodies.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from segue.base.address import Address
from segue.base.errors import RemoteError
from segue.call.agreement import LocalMedia
from segue.call.config import MediaConfig
from segue.call.keying import Keying
from segue.call.negotiation import Negotiation
from segue.protocols.sdes import parse_crypto, write_crypto
from segue.protocols.sdp import (
    fmtps_of,
    maxptime_of,
    opus_parameters,
    parse_sdp,
    ptime_of,
    rtcp_of,
    rtpmaps_of,
    write_sdp,
)
from segue.testing import SeededEntropy

VECTORS = Path(__file__).parents[1] / "vectors"
BODIES = [path.read_bytes() for path in sorted(VECTORS.glob("*.sdp"))]
CRYPTO = (VECTORS / "rfc4568_crypto.txt").read_bytes().splitlines()
HERE = LocalMedia(Address("192.0.2.1", 40000))
SPLICES = (
    b"\r\n",
    b"\0",
    b"9" * 400,
    b"-1",
    b"65536",
    b"4294967296",
    b"\xff\xfe",
    "٣".encode(),
    b"a=crypto:1 x inline:A\r\n",
    b"a=fmtp:\r\n",
    b"a=ptime:\r\n",
    b"m=audio 0 RTP/SAVP 0\r\n",
    b"m=audio 5000 RTP/AVP\r\n",
    b"|2^99",
    b"inline:",
    b" " * 200,
)


def fuzz_sdp(data: bytes) -> None:
    try:
        description = parse_sdp(data)
    except RemoteError:
        return
    for media in description.media:
        for read in (rtpmaps_of, ptime_of, maxptime_of, rtcp_of):
            try:
                read(media)
            except RemoteError:
                pass
        try:
            for parameters in fmtps_of(media).values():
                opus_parameters(parameters)
        except RemoteError:
            pass
    if description.connection is not None:
        assert parse_sdp(write_sdp(description)) == description


def fuzz_crypto(data: bytes) -> None:
    try:
        attribute = parse_crypto(data.decode("utf-8", "surrogateescape"))
    except RemoteError:
        return
    assert parse_crypto(write_crypto(attribute)) == attribute


def fuzz_negotiation(data: bytes) -> None:
    """The body as first offer, as re-offer in a call that is up, and as answer."""
    for name in ("sdes", "none"):
        config, entropy = MediaConfig(keying=name), SeededEntropy(1)
        keying = Keying(config, entropy)
        ours = Negotiation(config, keying.to_offer(True), entropy)
        peer = Negotiation(config, Keying(config, SeededEntropy(2)).to_offer(True), SeededEntropy(2))
        try:
            parse_sdp(ours.receive_offer(data, HERE, 0.0))
        except RemoteError as error:
            assert error.status in (400, 488)
        body = peer.make_offer(HERE, 0.0)
        fresh = Negotiation(config, keying.to_answer(True), entropy)
        peer.receive_answer(fresh.receive_offer(body, HERE, 0.0), 0.0)
        up = fresh.agreement
        try:
            fresh.receive_offer(data, HERE, 1.0)
        except RemoteError as error:
            assert error.status in (400, 488)
        try:
            peer.receive_answer(data, 1.0)
        except RemoteError as error:
            assert error.status in (400, 488)
        assert up is not None
        assert fresh.agreement is not None
        assert fresh.agreement.secure == up.secure


def inputs(corpus: list[bytes], count: int, seed: int) -> list[bytes]:
    """Random octets, and members of the corpus with pieces cut, repeated, swapped and spliced in."""
    dice = random.Random(seed)
    made = [dice.randbytes(dice.randrange(200)) for _ in range(count // 10)]
    while len(made) < count:
        data = bytearray(dice.choice(corpus))
        for _ in range(dice.randrange(1, 6)):
            at = dice.randrange(len(data) + 1)
            cut = dice.randrange(30)
            kind = dice.randrange(5)
            if kind == 0:
                data[at : at + cut] = b""
            elif kind == 1:
                data[at:at] = dice.choice(SPLICES)
            elif kind == 2:
                data[at : at + 1] = bytes([dice.randrange(256)])
            elif kind == 3:
                data[at:at] = data[at : at + cut * 10]
            else:
                other = dice.choice(corpus)
                data[at : at + cut] = other[(start := dice.randrange(len(other))) : start + cut * 4]
        made.append(bytes(data))
    return made


@pytest.mark.parametrize(
    ("fuzz", "corpus", "count"),
    [(fuzz_sdp, BODIES, 4_000), (fuzz_crypto, CRYPTO, 8_000), (fuzz_negotiation, BODIES, 700)],
    ids=["sdp", "crypto", "negotiation"],
)
def test_random_and_mutated_input(fuzz: Callable[[bytes], None], corpus: list[bytes], count: int) -> None:
    for number, data in enumerate([*corpus, *inputs(corpus, count, seed=2026)]):
        started = time.perf_counter()
        try:
            fuzz(data)
        except Exception as error:
            raise AssertionError(f"input {number}: {data!r}") from error
        assert time.perf_counter() - started < 1.0, f"input {number} took too long: {data[:200]!r}"


def test_long_input_is_read_in_linear_time() -> None:
    """What would make a careless pattern or a quadratic loop stall."""
    head = BODIES[0].split(b"m=")[0]
    started = time.perf_counter()
    for body in (
        head + b"a=x:" + b"a" * 60_000,
        head + b"a=x\r\n" * 1_900,
        head + b"m=audio 5000 RTP/SAVP 0\r\n" + b"a=crypto:1 A inline:A\r\n" * 1_900,
        head + b"m=audio 5000 RTP/SAVP " + b"0 " * 30_000,
        head + (b"m=audio 5000 RTP/SAVP 0\r\n" + b"a=rtpmap:0 PCMU/8000\r\n" * 25) * 64,
        head + b"m=audio 5000 RTP/SAVP 0\r\na=crypto:1 A " + b"inline:A|" * 6_000,
    ):
        fuzz_negotiation(body)
        fuzz_crypto(body[len(head) :])
    assert time.perf_counter() - started < 5.0
