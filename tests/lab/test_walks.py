"""Whole calls that move, in namespaces, judged by captures and recordings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from segue.lab.measure.results import result
from segue.lab.networks.namespaces import can_make_namespaces
from segue.lab.options import RunOptions
from segue.lab.scenario import Scenario

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(not can_make_namespaces(), reason="needs root or a user namespace for the lab"),
]

RTT_TO_PROXY = {"umts": 100.0, "office": 30.0, "cafe": 30.0, "a": 30.0, "b": 30.0}  # ms, by the links' delays
SPARE = 60.0  # ms that a loaded machine may take beyond what docs/measurements.md promises


def run(folder: Path, **options: Any) -> dict[str, Any]:
    settings = RunOptions(**({"speed": 6.0} | options))
    Scenario(settings, folder).run()
    return result(folder)


def check(figures: dict[str, Any]) -> None:
    """What holds for every walk on clean links."""
    secure = figures["keying"] != "none"
    assert figures["security"]["media_packets"] > 500
    if secure:
        assert figures["security"]["clear_rtp_packets"] == 0
        assert figures["security"]["keys_changed"] is False
    for move in figures["moves"]:
        address = move["phase_ms"]["address"]
        assert address is not None and move["phase_ms"]["session"] is not None
        step = {side: move[side]["step_ms"] for side in ("uplink", "downlink")}
        if move["kind"] == "soft":
            assert move["uplink"]["lost"] == move["downlink"]["lost"] == 0
            assert move["uplink"]["unheard_ms"] == move["downlink"]["unheard_ms"] == 0
            for side in ("uplink", "downlink"):
                assert move[side]["gap_ms"] <= step[side] + 20 + SPARE
            continue
        begun = move["phase_ms"]["link"] + address
        assert move["uplink"]["gap_ms"] <= begun + step["uplink"] + 40 + SPARE
        round_trip = RTT_TO_PROXY[move["to"]]
        told = round_trip / 2 + 15 + (move["downlink"]["owd_new_ms"] or 0)
        connecting = {"tls": 2, "tcp": 1, "udp": 0}[figures["signalling"]] * round_trip
        assert move["downlink"]["gap_ms"] <= begun + told + connecting + 60 + SPARE


def test_hard_walk_over_tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Into a folder named as `segue demo` names it: relative to where the user is."""
    monkeypatch.chdir(tmp_path)
    figures = run(Path("demo"))
    check(figures)
    assert [(m["from"], m["to"], m["kind"]) for m in figures["moves"]] == [
        ("office", "umts", "hard"),
        ("umts", "cafe", "hard"),
    ]


@pytest.mark.peers
def test_soft_walk_over_ipv4(tmp_path: Path) -> None:
    figures = run(tmp_path, mode="soft", family=4)
    check(figures)
    assert [move["kind"] for move in figures["moves"]] == ["soft", "soft"]
    assert figures["summary"]["lost"] == 0


@pytest.mark.peers
@pytest.mark.parametrize(
    "options",
    [
        {"signalling": "udp", "family": 4, "break_": "address", "caller": "cn"},
        {"signalling": "tcp", "family": 6, "break_": "interface"},
        {"codec": "opus", "suite": "AES_CM_128_HMAC_SHA1_80", "mode": "soft"},
        {"codec": "G722", "suite": "AES_256_CM_HMAC_SHA1_80", "dad": "full"},
    ],
    ids=lambda options: " ".join(map(str, options.values())),
)
def test_walks_of_every_kind(tmp_path: Path, options: dict[str, Any]) -> None:
    figures = run(tmp_path, **options)
    check(figures)
    if options.get("dad") == "full":
        # RFC 4862 section 5.1: a second without an address; 3G is point to point and has no duplicates.
        (slow,) = (move["phase_ms"]["address"] for move in figures["moves"] if move["to"] == "cafe")
        assert slow > 500


@pytest.mark.peers
def test_moves_between_two_subnets_over_the_sequence_wrap(tmp_path: Path) -> None:
    figures = run(tmp_path, scenario="two-subnets", rounds=4, initial_sequence=65_000, speed=0.0)
    check(figures)
    assert len(figures["moves"]) == 4
    assert figures["security"]["media_packets"] > 2 * 1000
    assert figures["security"]["keys_changed"] is False  # libsrtp followed it over the wrap with one key


@pytest.mark.peers
def test_street_links(tmp_path: Path) -> None:
    """Loss and jitter: the call stays up, secret, and understandable."""
    figures = run(tmp_path, links="street", mode="soft")
    assert figures["security"]["clear_rtp_packets"] == 0
    assert figures["summary"]["mos"]["before"] > 3.0
    assert figures["summary"]["unheard_ms"] < 3000
