"""Other phones as the subjects of the lab: what `segue lab run --mn` and `--cn` measure of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from segue.lab.measure.results import result
from segue.lab.options import RunOptions
from segue.lab.scenario import Scenario

pytestmark = pytest.mark.peers
SKIPPED = 1  # number that linphonec may leave out when it follows us: it never gets onto its wire
BY_ITSELF = 10_000.0  # ms in which linphonec notices by itself: its timer has 5 s, then it registers first


def run(folder: Path, **options: Any) -> dict[str, Any]:
    Scenario(RunOptions(family=4, speed=6.0, **options), folder).run()
    return result(folder)


@pytest.mark.peers("linphonec")
def test_linphone_moves_by_itself_in_seconds(tmp_path: Path) -> None:
    figures = run(tmp_path, mn="linphonec", caller="cn")
    first, last = figures["moves"]
    assert first["kind"] == last["kind"] == "hard"
    assert 300 < max(move["downlink"]["gap_ms"] for move in figures["moves"]) < BY_ITSELF
    assert figures["security"]["clear_rtp_packets"] == 0
    assert figures["summary"]["unheard_ms"] > 300


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param("baresip", marks=pytest.mark.peers("baresip")),
        pytest.param("linphonec", marks=pytest.mark.peers("linphonec")),
    ],
)
def test_we_move_while_another_phone_listens(kind: str, tmp_path: Path) -> None:
    figures = run(tmp_path, cn=kind, mode="soft")
    assert [move["kind"] for move in figures["moves"]] == ["soft", "soft"]
    assert [move["uplink"]["lost"] for move in figures["moves"]] == [0, 0]
    assert max(move["downlink"]["lost"] for move in figures["moves"]) <= SKIPPED
    assert figures["security"]["clear_rtp_packets"] == 0
    assert figures["security"]["media_packets"] > 1000
