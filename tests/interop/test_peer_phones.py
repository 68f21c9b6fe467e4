"""Calls between our phone and other people's, through our server: what each heard of the other is in recordings."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from segue.lab.namespaces import can_make_namespaces
from segue.lab.peers.bed import Bed, count_of
from segue.lab.peers.program import available
from segue.lab.peers.sound import await_sound, heard

pytestmark = [
    pytest.mark.peers,
    pytest.mark.skipif(not can_make_namespaces(), reason="needs root or a user namespace for the lab"),
]
PROGRAMS = {"baresip": "baresip", "linphone": "linphonec"}
PEERS = [
    pytest.param(kind, marks=pytest.mark.skipif(not available(program), reason=f"there is no {program} here"))
    for kind, program in PROGRAMS.items()
]
ALICE, BOB = "sip:alice@example.org", "sip:bob@example.org"
ENOUGH = 25  # blocks of 40 ms: a second of speech


@pytest.mark.parametrize("kind", PEERS)
def test_segue_calls_and_hangs_up(kind: str, tmp_path: Path) -> None:
    with Bed(tmp_path) as bed:
        peer = bed.peer(kind)
        ours = bed.segue("call", BOB, "--duration", 4)
        assert ours.wait_for("up")["suite"]
        peer.wait_up()
        assert ours.wait_for("ended")["by"] == "us"
        peer.wait_closed()
        ours.finish()
        peer.stop()
        assert len(heard(ours.recording)) > ENOUGH
        assert len(heard(peer.recording)) > ENOUGH


@pytest.mark.parametrize("kind", PEERS)
def test_peer_calls_and_hangs_up(kind: str, tmp_path: Path) -> None:
    with Bed(tmp_path) as bed:
        peer = bed.peer(kind)
        ours = bed.answering()
        peer.call(ALICE)
        assert ours.wait_for("up")["suite"]
        await_sound(ours.recording)
        await_sound(peer.recording)
        peer.hang_up()
        assert ours.wait_for("ended")["by"] == "peer"
        ours.finish()
        assert count_of(ours, "problem") == 0
