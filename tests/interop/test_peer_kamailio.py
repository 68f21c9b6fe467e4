"""Our phones with kamailio as registrar and proxy in the place of our server."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from segue.lab.pair import OTHER, Pair
from segue.lab.peers.bed import Bed, count_of
from segue.lab.peers.program import wait_until
from segue.lab.peers.sound import Recording, await_silence
from segue.lab.phones import LabPhone

pytestmark = pytest.mark.peers("kamailio")
ALICE, BOB = "sip:alice@example.org", "sip:bob@example.org"
SIGNALLING = ["tls", "tcp", "udp"]


def talking(bed: Bed, mover_calls: bool, *arguments: object) -> tuple[LabPhone, LabPhone]:
    """A call between alice, who will move, and bob; both are heard. `arguments` are of the caller."""
    mover_host, other_host = "mn", "cn"
    if mover_calls:
        other = bed.answering(host=other_host)
        mover = bed.segue("call", BOB, *arguments, host=mover_host)
    else:
        mover = bed.answering(host=mover_host)
        other = bed.segue("call", ALICE, *arguments, host=other_host)
    for phone in (mover, other):
        up = phone.wait_for("up")
        assert bool(up["suite"]) == (bed.transport == "tls")
    both_heard(mover, other)
    return mover, other


def both_heard(*phones: LabPhone) -> None:
    for phone in phones:
        Recording(phone.recording).await_sound()


def hangs_up(bed: Bed, first: LabPhone, second: LabPhone) -> None:
    bed.end(first)
    assert second.wait_for("ended")["by"] == "peer"
    assert count_of(first, "problem") == count_of(second, "problem") == 0


@pytest.mark.parametrize("mover_calls", [True, False], ids=["mover-calls", "mover-is-called"])
@pytest.mark.parametrize("transport", SIGNALLING)
def test_hard_move_and_goodbye_of_the_other(transport, mover_calls, tmp_path: Path) -> None:
    with Bed(tmp_path, transport=transport, server="kamailio") as bed:
        mover, other = talking(bed, mover_calls)
        move = bed.hard_move(mover)
        assert (move["kind"], move["ok"]) == ("hard", True)
        both_heard(mover, other)
        hangs_up(bed, other, mover)


@pytest.mark.parametrize("mover_calls", [True, False], ids=["mover-calls", "mover-is-called"])
@pytest.mark.parametrize("transport", SIGNALLING)
def test_soft_move_and_goodbye_of_the_mover(transport, mover_calls, tmp_path: Path) -> None:
    with Bed(tmp_path, transport=transport, server="kamailio") as bed:
        mover, other = talking(bed, mover_calls)
        move = bed.soft_move(mover)
        assert (move["kind"], move["ok"]) == ("soft", True)
        both_heard(mover, other)
        hangs_up(bed, mover, other)


@pytest.mark.parametrize("mover_calls", [True, False], ids=["mover-calls", "mover-is-called"])
def test_hold_and_resume(mover_calls, tmp_path: Path) -> None:
    with Bed(tmp_path, server="kamailio") as bed:
        mover, other = talking(bed, mover_calls, "--hold-at", 4, "--hold-for", 4)
        holder, held = (mover, other) if mover_calls else (other, mover)
        assert holder.wait_for("hold_changed")["held_by"] == "us"
        assert held.wait_for("hold_changed")["held_by"] == "peer"
        await_silence(Recording(holder.recording), Recording(held.recording))
        wait_until(lambda: count_of(held, "hold_changed") == 2, 5, "the end of the hold")
        both_heard(holder, held)
        hangs_up(bed, holder, held)


def test_over_ipv6(tmp_path: Path) -> None:
    with Bed(tmp_path, family=6, server="kamailio") as bed:
        mover, other = talking(bed, mover_calls=True)
        assert bed.hard_move(mover)["ok"]
        both_heard(mover, other)
        hangs_up(bed, other, mover)


def test_what_does_not_work_is_said_in_one_line(tmp_path: Path) -> None:
    with Bed(tmp_path, server="kamailio") as bed:
        # The INVITE does not wait for the REGISTER: the answer to either may be the one that is told.
        status, words = bed.said_by_call(BOB, "wrong")
        assert status == 1 and words.startswith("segue: the password is wrong, or the user unknown"), words
        assert words.endswith(": check user and password")
        assert bed.said_by_call("sip:nobody@example.org") == (
            1,
            "segue: nobody has that address (404 Not Found): check the address",
        )
        assert bed.said_by_call(BOB) == (
            1,
            "segue: not reachable now (480 Temporarily Unavailable): try again later",
        )


@pytest.mark.parametrize(("transport", "caller"), [("tls", "mn"), ("udp", "cn")])
def test_both_ends_move_within_100_ms(transport: str, caller: str, tmp_path: Path) -> None:
    """Media is back within a second of the later address, as with our own server."""
    with Pair(tmp_path, transport=transport, caller=caller, server="kamailio") as pair:
        pair.call()
        at = time.monotonic() + 0.1
        pair.move("mn", "wwan0", "umts", leaving="wlan0", at=at)
        pair.move("cn", "wlan0", "cafe", at=at + 0.05)
        pair.moved("mn")
        pair.moved("cn")
        pair.wait(4.0)
        pair.hang_up("cn")
    left = min(pair.link_events("detached", host)[0].wall for host in OTHER)
    later = max(pair.link_events("attached", host)[-1].wall for host in OTHER)
    for side in ("uplink", "downlink"):
        assert pair.gap_ms(side, left, later, after=4.0) <= (later - left + 1.0) * 1000
