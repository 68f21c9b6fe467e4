"""Attacks on a call that moves achieve nothing; the same attacks without the defence achieve everything."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from segue.lab.attacks.attack import start_attacks
from segue.lab.attacks.attacker import KINDS, REPLAYED_SIP
from segue.lab.attacks.controls import run_controls
from segue.lab.attacks.eavesdropper import eavesdrop
from segue.lab.attacks.verdict import AttackResult, judge
from segue.lab.networks.namespaces import can_make_namespaces
from segue.lab.networks.network import Network
from segue.lab.networks.topology import OFFICE_TO_CAFE
from segue.lab.options import RunOptions
from segue.lab.phones import LabPhone, Office

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(not can_make_namespaces(), reason="no permission to make network namespaces"),
]


PROTECTED = set(KINDS) - {REPLAYED_SIP}  # what is tried on a call over TLS


def _attacked_call(folder: Path, options: RunOptions, seconds: float) -> list[AttackResult]:
    """A call over TLS with SRTP that moves from the office to the café while it is attacked."""
    with Network(OFFICE_TO_CAFE, seed=1, folder=folder) as network:
        office = Office(network, folder / "office")
        office.start_server()
        capture = network.start_capture(folder / "captures", ("mn", "cn"))
        resolvers = folder / "resolvers"
        resolvers.mkdir()
        network.start_attachment_agent("mn", families=str(options.family), resolvers=str(resolvers))
        network.attach("mn", "wlan0", "office")
        attacks = start_attacks(
            network,
            folder,
            seconds=seconds - 2.5,
            total=400,
            delay=0.3,
            checks=True,
            beginning=100,
            relays=True,
        )
        phones = {host: LabPhone(network, office, host, folder, options) for host in ("mn", "cn")}
        phones["cn"].start("answer", "--once", "--answer-after", 0.1)
        phones["cn"].wait_for("registered")
        phones["mn"].start("call", "bob", "--duration", seconds, resolvers=str(resolvers))
        up = phones["mn"].wait_for("up")["time"]
        time.sleep(seconds / 2)
        network.move("mn", "wlan0", "cafe")
        phones["mn"].finish()
        phones["cn"].finish()
        attacks.stop()
        capture.stop()
        return judge(folder, until=up + seconds)


def test_no_attack_on_a_protected_call_succeeds(tmp_path: Path) -> None:
    results = _attacked_call(tmp_path, RunOptions(family=6, signalling="tls"), 10.0)
    print(*results, sep="\n")
    assert sum(result.tried for result in results) >= 350
    assert {result.kind: result.accepted for result in results} == dict.fromkeys(PROTECTED, 0)
    passwords = {p.stem: p.read_bytes().strip() for p in (tmp_path / "office").glob("*.password")}
    report = eavesdrop(tmp_path / "captures", secrets=passwords, injected=tmp_path / "attacks.jsonl")
    assert len(report.streams) >= 4
    assert report.got_speech == 0.0
    assert len(report.found) == 4 and set(report.found.values()) == {0}


def test_every_attack_succeeds_without_the_defence(tmp_path: Path) -> None:
    results = run_controls(tmp_path)
    print(*results, sep="\n")
    assert {result.kind for result in results} == {*PROTECTED, "eavesdropping"}
    for result in results:
        assert result.accepted >= 0.95 * result.tried, result
    assert sum(result.tried for result in results) > 200
    report = eavesdrop(tmp_path / "clear" / "captures", injected=tmp_path / "clear" / "attacks.jsonl")
    assert report.found["speech in G.711"] > 0
