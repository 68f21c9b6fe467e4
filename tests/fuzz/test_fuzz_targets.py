"""Every target of `targets.py`, shortly: a value or the documented error, whatever comes; and in linear time."""

from __future__ import annotations

import runpy
import time
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from segue.testing.mutation import mutated

MODULE = runpy.run_path(str(Path(__file__).with_name("targets.py")))
TARGETS: dict[str, Any] = MODULE["TARGETS"]
SLOW = {"phone": 15, "negotiation": 60, "certificate": 100, "sip_transactions": 100, "sip_stream": 100}


@pytest.mark.parametrize("name", sorted(TARGETS))
def test_any_octets(name: str) -> None:
    target = TARGETS[name]
    for seed in target.seeds:
        target.run(seed)

    @settings(
        max_examples=SLOW.get(name, 200),
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow],
        database=None,
    )
    @given(st.one_of(st.binary(max_size=200), st.integers(0, 1 << 64).map(Random)))
    def feed(drawn: bytes | Random) -> None:
        target.run(mutated(target.seeds, drawn) if isinstance(drawn, Random) else drawn)

    feed()


LONG = (
    b"a=x:" + b"a" * 60_000,
    b"a=x\r\n" * 1_900,
    b"m=audio 5000 RTP/SAVP 0\r\n" + b"a=crypto:1 A inline:A\r\n" * 1_900,
    b"m=audio 5000 RTP/SAVP " + b"0 " * 30_000,
    (b"m=audio 5000 RTP/SAVP 0\r\n" + b"a=rtpmap:0 PCMU/8000\r\n" * 25) * 64,
    b"m=audio 5000 RTP/SAVP 0\r\na=crypto:1 A " + b"inline:A|" * 6_000,
)


@pytest.mark.parametrize("body", LONG, ids=range(len(LONG)))
def test_long_descriptions_take_linear_time(body: bytes) -> None:
    """What would make a careless pattern or a quadratic loop stall."""
    head = MODULE["SDP"][0].split(b"m=")[0]
    started = time.process_time()
    MODULE["negotiation"](head + body)
    MODULE["sdes_crypto"](body)
    assert time.process_time() - started < 2.0


@pytest.mark.parametrize(
    "field",
    [
        "<" * 30_000,
        '"' * 30_000,
        "\\" * 30_000,
        ";a" * 20_000,
        "a," * 30_000,
        " " * 60_000,
        "%41" * 15_000,
        "sip:" + ":" * 30_000,
    ],
    ids=lambda field: field[:4],
)
@pytest.mark.parametrize("name", ["To", "Via", "Contact", "Authorization", "X-Other"])
def test_long_header_fields_take_linear_time(name: str, field: str) -> None:
    head = MODULE["SIP"][0].replace(b"Content-Length: 0\r\n", f"{name}: {field}\r\n".encode())
    started = time.process_time()
    for target in ("sip_message", "server"):
        MODULE[target](head)
    for target in ("sip_field_values", "sip_uri", "sip_digest"):
        MODULE[target](field.encode())
    assert time.process_time() - started < 2.0
