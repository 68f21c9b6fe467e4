"""Calls between our phone and other people's, through our server: what each heard of the other is in recordings."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from segue.lab.peers.bed import Bed, Peer, count_of
from segue.lab.peers.program import wait_until
from segue.lab.peers.sound import Recording, await_silence
from segue.lab.phones import LabPhone

pytestmark = pytest.mark.peers
PEERS = [
    pytest.param("baresip", marks=pytest.mark.peers("baresip")),
    pytest.param("linphonec", marks=pytest.mark.peers("linphonec")),
]
PRESSING = """
import asyncio, sys
from segue import Phone

async def main(ca, aor, callee, keys):
    async with Phone(aor, password=sys.stdin.readline().strip(), ca=ca, codec="PCMA", family=4) as phone:
        await phone.registered()
        call = await phone.call(callee)
        await asyncio.sleep(0.5)
        await call.press(keys)
        await call.ended()

asyncio.run(main(*sys.argv[1:]))
"""
ALICE, BOB = "sip:alice@example.org", "sip:bob@example.org"


OFFERED_TO = {
    "baresip": "AEAD_AES_256_GCM",
    "linphonec": "AES_256_CM_HMAC_SHA1_80",
}  # what each takes of ours
OFFERED_BY = "AES_CM_128_HMAC_SHA1_80"  # both


def called_by_us(bed: Bed, kind: str, *arguments: object) -> tuple[LabPhone, Peer]:
    """A call that is up, and in which both are heard."""
    peer = bed.peer(kind)
    ours = bed.segue("call", BOB, *arguments)
    return _talking(bed, ours, peer, OFFERED_TO[kind])


def called_by_peer(bed: Bed, kind: str, *arguments: object) -> tuple[LabPhone, Peer]:
    peer = bed.peer(kind)
    ours = bed.answering(*arguments)
    peer.call(ALICE)
    return _talking(bed, ours, peer, OFFERED_BY)


CALLERS = [pytest.param(called_by_us, id="we-call"), pytest.param(called_by_peer, id="peer-calls")]


def _talking(bed: Bed, ours: LabPhone, peer: Peer, suite: str) -> tuple[LabPhone, Peer]:
    assert ours.wait_for("up")["suite"] == (suite if bed.transport == "tls" else "")
    peer.wait_up()
    both_heard(ours, peer)
    return ours, peer


def both_heard(ours: LabPhone, peer: Peer) -> None:
    """Each hears a second of the other's words from now on."""
    we_hear(ours)
    peer.heard.await_sound()


def we_hear(ours: LabPhone) -> None:
    Recording(ours.recording).await_sound()


def neither_hears(ours: LabPhone, peer: Peer) -> None:
    await_silence(peer.heard, Recording(ours.recording))


def we_hang_up(bed: Bed, ours: LabPhone, peer: Peer) -> None:
    bed.end(ours)
    peer.wait_closed()
    assert count_of(ours, "problem") == 0


def peer_hangs_up(ours: LabPhone, peer: Peer) -> None:
    peer.hang_up()
    assert ours.wait_for("ended")["by"] == "peer"
    peer.wait_closed()
    assert count_of(ours, "problem") == 0


@pytest.mark.parametrize("call", CALLERS)
@pytest.mark.parametrize("kind", PEERS)
def test_we_hang_up(kind, call, tmp_path: Path) -> None:
    with Bed(tmp_path) as bed:
        ours, peer = call(bed, kind)
        we_hang_up(bed, ours, peer)


@pytest.mark.parametrize("call", CALLERS)
@pytest.mark.parametrize("kind", PEERS)
def test_peer_holds_resumes_and_hangs_up(kind, call, tmp_path: Path) -> None:
    with Bed(tmp_path) as bed:
        ours, peer = call(bed, kind)
        peer.hold()
        assert "peer" in ours.wait_for("hold_changed")["held_by"]
        if kind == "linphonec":
            await_silence(peer.heard)
            we_hear(ours)  # what it was told to play is its music on hold
        else:
            neither_hears(ours, peer)
        peer.resume()
        both_heard(ours, peer)
        assert count_of(ours, "hold_changed") == 2
        peer_hangs_up(ours, peer)


@pytest.mark.parametrize("call", CALLERS)
@pytest.mark.parametrize("kind", PEERS)
def test_we_hold_and_resume(kind, call, tmp_path: Path) -> None:
    with Bed(tmp_path) as bed:
        ours, peer = call(bed, kind, "--hold-at", 4, "--hold-for", 4)
        assert ours.wait_for("hold_changed")["held_by"] == "us"
        neither_hears(ours, peer)
        wait_until(lambda: count_of(ours, "hold_changed") == 2, 5, "the end of the hold")
        both_heard(ours, peer)
        peer_hangs_up(ours, peer)


@pytest.mark.parametrize("call", CALLERS)
@pytest.mark.parametrize("kind", PEERS)
def test_hard_move(kind, call, tmp_path: Path) -> None:
    with Bed(tmp_path) as bed:
        ours, peer = call(bed, kind)
        assert bed.hard_move(ours)["kind"] == "hard"
        both_heard(ours, peer)
        peer_hangs_up(ours, peer)


@pytest.mark.parametrize("call", CALLERS)
@pytest.mark.parametrize("kind", PEERS)
def test_soft_move(kind, call, tmp_path: Path) -> None:
    with Bed(tmp_path) as bed:
        ours, peer = call(bed, kind)
        assert bed.soft_move(ours)["kind"] == "soft"
        both_heard(ours, peer)
        we_hang_up(bed, ours, peer)


def rings(line: dict[str, Any]) -> bool:
    return bool(line["line"].startswith("SIP/2.0 180"))


@pytest.mark.parametrize("kind", PEERS)
def test_hard_move_while_it_rings(kind, tmp_path: Path) -> None:
    """The call is placed anew from the new address, and the first INVITE cancelled."""
    with Bed(tmp_path) as bed:
        peer = bed.peer(kind, answers=False)
        ours = bed.segue("call", BOB)
        ours.wait_for("ringing")
        peer.wait_ringing()
        assert bed.hard_move(ours)["ok"]
        wait_until(lambda: count_of(ours, "sip_received", rings) == 2, 5, "the second ringing")
        peer.answer()
        _talking(bed, ours, peer, OFFERED_TO[kind])
        peer_hangs_up(ours, peer)


@pytest.mark.parametrize("call", CALLERS)
@pytest.mark.parametrize("transport", ["udp", "tcp"])
@pytest.mark.parametrize("kind", PEERS)
def test_in_the_clear(kind, transport, call, tmp_path: Path) -> None:
    with Bed(tmp_path, transport=transport) as bed:
        ours, peer = call(bed, kind)
        bed.hard_move(ours)
        both_heard(ours, peer)
        peer_hangs_up(ours, peer)


@pytest.mark.parametrize("kind", PEERS)
def test_over_ipv6(kind, tmp_path: Path) -> None:
    with Bed(tmp_path, family=6) as bed:
        ours, peer = called_by_peer(bed, kind)
        bed.hard_move(ours)
        both_heard(ours, peer)
        we_hang_up(bed, ours, peer)


@pytest.mark.parametrize("codec", ["opus", "G722", "PCMU"])
@pytest.mark.parametrize("kind", PEERS)
def test_codecs(kind, codec, tmp_path: Path) -> None:
    with Bed(tmp_path, codec=codec) as bed:
        ours, peer = called_by_us(bed, kind)
        assert ours.wait_for("up")["codec"] == codec
        peer_hangs_up(ours, peer)


@pytest.mark.parametrize("kind", PEERS)
def test_digits_of_the_peer(kind, tmp_path: Path) -> None:
    with Bed(tmp_path) as bed:
        ours, peer = called_by_us(bed, kind)
        peer.digit("5")
        assert ours.wait_for("digit")["digit"] == "5"
        we_hang_up(bed, ours, peer)


@pytest.mark.parametrize("kind", PEERS)
def test_digits_of_ours(kind, tmp_path: Path) -> None:
    """By the library: the command has no keys."""
    with Bed(tmp_path) as bed:
        peer = bed.peer(kind)
        program = bed.network.hosts["mn"].popen(
            [sys.executable, "-c", PRESSING, bed.office.ca, ALICE, BOB, "5#"],
            stdin=subprocess.PIPE,
            text=True,
        )
        assert program.stdin is not None
        program.stdin.write(bed.password("alice") + "\n")
        program.stdin.flush()
        peer.wait_up()
        for key in "5#":
            peer.wait_digit(key)
        peer.hang_up()
        assert program.wait(10) == 0
