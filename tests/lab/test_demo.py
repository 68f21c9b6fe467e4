"""`segue demo`, as a newcomer runs it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from segue.lab.networks.namespaces import can_make_namespaces

pytestmark = [
    pytest.mark.lab,
    pytest.mark.peers,
    pytest.mark.skipif(not can_make_namespaces(), reason="needs root or a user namespace for the lab"),
]
CONTROL = 0.95  # of the attacks that succeed where there is no defence
PAUSES = 0.35  # of the speech, which nobody hears again when they are replayed
LATE = 60.0  # ms that a loaded machine may be late


def test_the_call_goes_on_all_the_way_and_nobody_gets_in(tmp_path: Path) -> None:
    folder = tmp_path / "walk"
    command = [sys.executable, "-m", "segue", "demo", "--into", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=True)
    print(done.stdout)
    result = json.loads((folder / "result.json").read_text())
    walk = [(move["from"], move["to"], move["kind"]) for move in result["moves"]]
    assert walk == [("office", "umts", "soft"), ("umts", "cafe", "soft")]
    assert result["summary"]["lost"] == 0 and result["summary"]["packets"] > 4000
    for side in ("uplink", "downlink"):
        assert all(0 < move[side]["gap_ms"] < move[side]["step_ms"] + LATE for move in result["moves"])
    assert result["summary"]["unheard_ms"] == result["summary"]["repeated_ms"] == 0
    security = result["security"]
    assert (
        security["clear_rtp_packets"] == security["clear_rtcp_packets"] == 0
        and security["keys_changed"] is False
    )
    attacks = {attack["kind"]: attack for attack in security["attacks"]}
    assert sum(a["tried"] for kind, a in attacks.items() if kind != "eavesdropping") >= 1000
    assert {kind: a["accepted"] for kind, a in attacks.items()} == dict.fromkeys(attacks, 0)
    for attack in attacks.values():
        assert attack["control_tried"] > 0
        least = CONTROL - (PAUSES if attack["kind"] == "replayed_media" else 0)
        assert attack["control_accepted"] >= least * attack["control_tried"], attack
    page = (folder / "report.html").read_text()
    assert "office" in page and "<audio" in page and "forged" in page
    assert str(folder / "cn.wav") in done.stdout and "MOS" in done.stdout


def test_a_call_in_the_clear_is_overheard_and_said_to_be(tmp_path: Path) -> None:
    folder = tmp_path / "clear"
    options = ["--signalling", "udp", "--talk", "speech", "--speed", "6", "--report", str(folder)]
    command = [sys.executable, "-m", "segue", "lab", "run", "walk", *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=True)
    print(done.stdout)
    security = json.loads((folder / "result.json").read_text())["security"]
    assert security["clear_rtp_packets"] == security["media_packets"] > 500
    [heard] = security["attacks"]
    assert heard["kind"] == "eavesdropping" and heard["accepted"] == heard["tried"] >= 4
    assert len(list((folder / "overheard").glob("*.wav"))) == heard["tried"]
