"""Signalling against sipp, over UDP and TCP: our server, and through it our phone called and calling.

sipp counts a call as failed when a message comes that its script does not await, or one that it awaits does not come.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from segue.lab.peers.bed import Bed, count_of
from segue.lab.peers.sipp import Script, Sipp, Statistics
from segue.lab.peers.sound import Recording

pytestmark = pytest.mark.peers("sipp")
ALICE, BOB, DOMAIN = "sip:alice@example.org", "sip:bob@example.org", "sip:example.org"
TRANSPORTS = ["udp", "tcp"]


def goes_well(sipp: Sipp, script: Script) -> None:
    assert sipp.run(script) == Statistics(successful=1, failed=0), sipp.why()


def ends_well(sipp: Sipp) -> None:
    assert sipp.finish() == Statistics(successful=1, failed=0), sipp.why()


def registers(expires: int = 600) -> Script:
    script = Script()
    for challenged in (True, False):
        script.request("REGISTER", DOMAIN, f"Expires: {expires}")
        script.response(401 if challenged else 200, credentials=challenged)
    return script


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_registers_and_is_forgotten(transport, tmp_path: Path) -> None:
    with Bed(tmp_path, transport=transport) as bed:
        script = registers()
        script.request("OPTIONS", DOMAIN)
        script.response(200)
        script.request("REGISTER", DOMAIN, "Expires: 0")
        script.response(401, credentials=True)
        script.request("REGISTER", DOMAIN, "Expires: 0")
        script.response(200)
        goes_well(bed.sipp(), script)
        assert bed.said_by_call(BOB) == (
            1,
            "segue: not reachable now (480 Temporarily Unavailable): try again later",
        )


def test_a_wrong_password_registers_nothing(tmp_path: Path) -> None:
    with Bed(tmp_path, transport="udp") as bed:
        script = Script()
        for _ in range(2):
            script.request("REGISTER", DOMAIN)
            script.response(401, credentials=True)
        goes_well(bed.sipp(password="wrong"), script)


# sipp calls


def invites(script: Script, *headers: str) -> None:
    """The INVITE and its challenge."""
    for challenged in (True, False):
        script.request("INVITE", ALICE, *headers, sdp="sendrecv")
        if challenged:
            script.response(407, credentials=True)
            script.request("ACK")
    script.response(100, optional=True)


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_calls_holds_resumes_asks_and_hangs_up(transport, tmp_path: Path) -> None:
    script = Script()
    invites(script)
    script.response(180)
    script.response(200, "a=sendrecv")
    script.request("ACK")
    script.pause(2.5)
    script.request("INVITE", sdp="sendonly")
    script.response(100, optional=True)
    script.response(200, "a=recvonly")
    script.request("ACK")
    script.pause(0.5)
    script.request("UPDATE", sdp="sendrecv")
    script.response(200, "a=sendrecv")
    script.request("OPTIONS")
    script.response(200, "Allow: .*UPDATE")
    script.request("BYE")
    script.response(200)
    with Bed(tmp_path, transport=transport) as bed:
        ours = bed.answering()
        sipp = bed.sipp()
        sipp.start(script)
        ours.wait_for("up")
        Recording(ours.recording).await_sound()  # our own words, which sipp echoes
        ends_well(sipp)
        assert ours.wait_for("ended")["by"] == "peer"
        assert [line["held_by"] for line in ours.lines() if line["event"] == "hold_changed"] == ["peer", ""]


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_rings_and_is_cancelled(transport, tmp_path: Path) -> None:
    script = Script()
    invites(script)
    script.response(180)
    script.pause(0.3)
    script.request("CANCEL")
    script.response(200)
    script.response(487)
    script.request("ACK")
    with Bed(tmp_path, transport=transport) as bed:
        ours = bed.answering("--answer-after", 20)
        goes_well(bed.sipp(), script)
        assert ours.wait_for("ended")["by"] == "peer"
        assert count_of(ours, "incoming_call") == 1 and count_of(ours, "up") == 0


def test_reliable_provisional_responses(tmp_path: Path) -> None:
    script = Script()
    invites(script, "Require: 100rel")
    script.response(180, reliable=True)
    script.request("PRACK")
    script.response(200)
    script.response(200)
    script.request("ACK")
    script.request("BYE")
    script.response(200)
    with Bed(tmp_path, transport="udp") as bed:
        ours = bed.answering("--answer-after", 1)
        goes_well(bed.sipp(), script)
        assert ours.wait_for("ended")["by"] == "peer"
        assert count_of(ours, "up") == 1


def test_no_codec_in_common(tmp_path: Path) -> None:
    script = Script(codec="G729")
    invites(script)
    script.response(488)
    script.request("ACK")
    with Bed(tmp_path, transport="udp") as bed:
        ours = bed.answering()
        goes_well(bed.sipp(), script)
        assert count_of(ours, "incoming_call") == 0
