"""Signalling against sipp, over UDP and TCP: our server, and through it our phone called and calling.

sipp counts a call as failed when a message comes that its script does not await, or one that it awaits does not come.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from segue.lab.peers.bed import Bed, count_of
from segue.lab.peers.sipp import Script, Sipp, Statistics, registers
from segue.lab.peers.sound import Recording
from segue.lab.phones import LabPhone

pytestmark = pytest.mark.peers("sipp")
ALICE, BOB, DOMAIN = "sip:alice@example.org", "sip:bob@example.org", "sip:example.org"
# The scripts read header fields by their long names. A request of over 1,300 octets has the short ones (RFC 3261
# sections 7.3.3 and 18.1.1), and an offer with ICE makes it one; sipp has no ICE to say anything about.
TRANSPORTS = ["udp", "tcp"]
WITHOUT_ICE = {"mode": "reinvite"}


def goes_well(sipp: Sipp, script: Script) -> None:
    assert sipp.run(script) == Statistics(successful=1, failed=0), sipp.why()


def ends_well(sipp: Sipp) -> None:
    assert sipp.finish() == Statistics(successful=1, failed=0), sipp.why()


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_registers_and_is_forgotten(transport, tmp_path: Path) -> None:
    with Bed(tmp_path, transport=transport, **WITHOUT_ICE) as bed:
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
    with Bed(tmp_path, transport="udp", **WITHOUT_ICE) as bed:
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
    with Bed(tmp_path, transport=transport, **WITHOUT_ICE) as bed:
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
    with Bed(tmp_path, transport=transport, **WITHOUT_ICE) as bed:
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
    with Bed(tmp_path, transport="udp", **WITHOUT_ICE) as bed:
        ours = bed.answering("--answer-after", 1)
        goes_well(bed.sipp(), script)
        assert ours.wait_for("ended")["by"] == "peer"
        assert count_of(ours, "up") == 1


def test_no_codec_in_common(tmp_path: Path) -> None:
    script = Script(codec="G729")
    invites(script)
    script.response(488)
    script.request("ACK")
    with Bed(tmp_path, transport="udp", **WITHOUT_ICE) as bed:
        ours = bed.answering()
        goes_well(bed.sipp(), script)
        assert count_of(ours, "incoming_call") == 0


# sipp is called


def called(bed: Bed, script: Script, *arguments: object) -> tuple[LabPhone, Sipp]:
    """bob is registered, and alice calls him."""
    sipp = bed.sipp()
    sipp.await_call(script)
    return bed.segue("call", BOB, *arguments), sipp


def answers(script: Script) -> None:
    script.awaited("INVITE", "a=sendrecv")
    script.respond(180, "Ringing", invite=True)
    script.respond(200, "OK", sdp="sendrecv", invite=True)
    script.awaited("ACK")


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_answers_holds_resumes_and_hangs_up(transport, tmp_path: Path) -> None:
    script = Script()
    answers(script)
    script.pause(2.5)
    script.request("INVITE", sdp="sendonly")
    script.response(100, optional=True)
    script.response(200, "a=recvonly")
    script.request("ACK")
    script.pause(0.5)
    script.request("UPDATE", sdp="sendrecv")
    script.response(200, "a=sendrecv")
    script.request("BYE")
    script.response(200)
    with Bed(tmp_path, transport=transport, **WITHOUT_ICE) as bed:
        ours, sipp = called(bed, script)
        ours.wait_for("up")
        Recording(ours.recording).await_sound()
        ends_well(sipp)
        assert ours.wait_for("ended")["by"] == "peer"
        assert [line["held_by"] for line in ours.lines() if line["event"] == "hold_changed"] == ["peer", ""]
        assert count_of(ours, "ringing") == 1


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_is_told_of_a_hard_move(transport, tmp_path: Path) -> None:
    script = Script()
    answers(script)
    script.awaited("INVITE", "c=IN IP4 198.18.3.")  # the café
    script.respond(200, "OK", sdp="sendrecv", invite=True)
    script.awaited("ACK")
    script.awaited("BYE")
    script.respond(200, "OK")
    with Bed(tmp_path, transport=transport, **WITHOUT_ICE) as bed:
        ours, sipp = called(bed, script)
        ours.wait_for("up")
        Recording(ours.recording).await_sound()
        assert bed.hard_move(ours)["ok"]
        Recording(ours.recording).await_sound()
        bed.end(ours)
        ends_well(sipp)


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_answers_reliably_and_we_hang_up(transport, tmp_path: Path) -> None:
    script = Script()
    script.awaited("INVITE", "Supported: [a-z, ]*100rel")
    script.respond(183, "Session Progress", "Require: 100rel", "RSeq: 1", sdp="sendrecv", invite=True)
    script.awaited("PRACK", "RAck: 1 ")
    script.respond(200, "OK")
    script.pause(0.5)
    script.respond(200, "OK", invite=True)
    script.awaited("ACK")
    script.awaited("BYE")
    script.respond(200, "OK")
    with Bed(tmp_path, transport=transport, **WITHOUT_ICE) as bed:
        ours, sipp = called(bed, script, "--duration", 2)
        ours.wait_for("early_media")
        ours.wait_for("up")
        Recording(ours.recording).await_sound()
        ends_well(sipp)
        assert ours.wait_for("ended")["by"] == "us"


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_is_cancelled(transport, tmp_path: Path) -> None:
    script = Script()
    script.awaited("INVITE")
    script.respond(180, "Ringing", invite=True)
    script.awaited("CANCEL")
    script.respond(200, "OK")
    script.respond(487, "Request Terminated", invite=True)
    script.awaited("ACK")
    with Bed(tmp_path, transport=transport, **WITHOUT_ICE) as bed:
        ours, sipp = called(bed, script)
        ours.wait_for("ringing")
        bed.end(ours)
        ends_well(sipp)
        assert ours.said("ended")["by"] == "us"


@pytest.mark.parametrize(
    ("status", "reason", "words"),
    [
        (486, "Busy Here", "segue: busy (486 Busy Here): try again later"),
        (603, "Decline", "segue: declined (603 Decline)"),
    ],
)
def test_refuses(status, reason, words, tmp_path: Path) -> None:
    script = Script()
    script.awaited("INVITE")
    script.respond(status, reason, invite=True)
    script.awaited("ACK")
    with Bed(tmp_path, transport="udp", **WITHOUT_ICE) as bed:
        sipp = bed.sipp()
        sipp.await_call(script)
        assert bed.said_by_call(BOB) == (1, words)
        ends_well(sipp)
