"""Moves of calls that are not just talking, and moves at the worst moment; two phones of ours in namespaces."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from segue.lab.networks.namespaces import can_make_namespaces
from segue.lab.pair import OTHER, Pair

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(not can_make_namespaces(), reason="needs root or a user namespace for the lab"),
]
peers = pytest.mark.peers
# Without ICE the INVITE fits a datagram (RFC 3261 section 18.1.1), which these tests are about.
FITTING = {"mode": "soft"}
ASKING = str(Path(__file__).parent / "asking_phone.py")


def judge_call(pair: Pair, place: str) -> None:
    """One call at the callee; to its end both hear each other, the mobile node at `place`; nothing in the clear over
    TLS, and one key."""
    verdict = pair.verdict()
    if pair.options.signalling == "tls":
        assert verdict["clear_rtp_packets"] == 0 and verdict["keys_changed"] is False
    assert len(pair.said(pair.callee, "incoming_call")) == 1
    assert all(len(pair.said(host, "up")) == len(pair.said(host, "ended")) == 1 for host in OTHER)
    ended = min(pair.said(host, "ended")[0]["time"] for host in OTHER)
    for host in OTHER:
        assert pair.unheard_ms(host, ended - 1.0, ended - 0.15) == 0
    for side in ("sent", "received"):
        assert {s.place for s in pair.sightings["mn"][side] if ended - 1.0 < s.time < ended} == {place}


@pytest.mark.parametrize(
    ("transport", "after"),
    [
        ("tls", 0.06),
        pytest.param("udp", 0.06, marks=peers),
        pytest.param("tls", 0.02, marks=peers),
        pytest.param("udp", 0.02, marks=peers),
    ],
)
def test_the_caller_moves_while_dialling(tmp_path: Path, transport: str, after: float) -> None:
    """Before anything was heard of the callee, which sees one call: it is placed anew, and the first INVITE is
    cancelled. After 20 ms that has not left the mobile node's 3G link and is lost with it; after 60 ms it has."""
    with Pair(tmp_path, transport=transport, start=("wwan0", "umts"), **FITTING) as pair:
        pair.ring(answer_after=1.5)
        pair.until(lambda: pair.messages("mn", "sent", "INVITE"), "the INVITE")
        dialled = pair.monotonic(pair.messages("mn", "sent", "INVITE")[0]["time"])
        pair.move("mn", "wlan0", "office", leaving="wwan0", link_time=0.02, at=dialled + after)
        pair.moved("mn")
        pair.until_said("mn", "up")
        pair.wait(1.6)
        pair.hang_up("cn")
    begun = pair.said("mn", "move_begun")[0]["time"]
    assert begun < pair.said("mn", "ringing")[0]["time"]
    first, second = pair.messages("mn", "sent", "INVITE")[:2]
    assert first["call_id"] == second["call_id"] and first["cseq"] != second["cseq"]
    assert first["interface"] == "wwan0" and second["interface"] == "wlan0"
    (cancelled,) = pair.messages("mn", "sent", "CANCEL")
    assert cancelled["cseq"].split()[0] == first["cseq"].split()[0]
    if after > 0.04:
        judge_first_is_cancelled(pair)
    judge_call(pair, "mn wlan0")


def judge_first_is_cancelled(pair: Pair) -> None:
    """The callee got both INVITEs, ended the first one with 487, and accepted the second."""
    first, second = dict.fromkeys(m["cseq"] for m in pair.messages("cn", "received", "INVITE"))
    assert {m["cseq"] for m in pair.messages("cn", "sent", "SIP/2.0 487") if "INVITE" in m["cseq"]} == {first}
    assert {m["cseq"] for m in pair.messages("cn", "sent", "SIP/2.0 200") if "INVITE" in m["cseq"]} == {
        second
    }


@pytest.mark.parametrize(
    ("transport", "caller"),
    [
        pytest.param("tls", "mn", marks=peers),
        pytest.param("udp", "mn", marks=peers),
        pytest.param("tls", "cn", marks=peers),
        pytest.param("udp", "cn", marks=peers),
    ],
)
def test_caller_or_callee_moves_while_it_rings(tmp_path: Path, transport: str, caller: str) -> None:
    with Pair(tmp_path, transport=transport, caller=caller) as pair:
        pair.ring(answer_after=3.0)
        pair.until_said(caller, "ringing")
        pair.wait(0.3)
        pair.move("mn", "wwan0", "umts", leaving="wlan0")
        pair.moved("mn")
        pair.until_said("mn", "up")
        pair.wait(1.8)
        pair.hang_up(OTHER[caller])
    assert pair.said("mn", "move_begun")[0]["time"] < pair.said("mn", "up")[0]["time"]
    if caller == "mn":
        judge_first_is_cancelled(pair)
    judge_call(pair, "mn wwan0")


@pytest.mark.parametrize(
    ("holder", "kind", "transport"),
    [
        pytest.param("mn", "hard", "tls", marks=peers),
        pytest.param("cn", "hard", "udp", marks=peers),
        pytest.param("cn", "soft", "tls", marks=peers),
        pytest.param("mn", "soft", "tcp", marks=peers),
    ],
)
def test_a_held_call_stays_held(tmp_path: Path, holder: str, kind: str, transport: str) -> None:
    hold = ("--hold-at", 1.0, "--hold-for", 4.5)
    with Pair(tmp_path, transport=transport, start=("wwan0", "umts"), caller="cn") as pair:
        pair.call(*(hold if holder == "cn" else ()), answer=hold if holder == "mn" else ())
        pair.until_said("mn", "hold_changed")
        if kind == "hard":
            pair.move("mn", "wlan0", "office", leaving="wwan0")
        else:
            pair.network.attach("mn", "wlan0", "office")
        pair.moved("mn")
        pair.until_said("cn", "hold_changed", 2)
        pair.wait(1.8)
        pair.hang_up("cn")
    assert pair.said("mn", "move_begun")[0]["kind"] == kind
    moved = pair.said("mn", "move_ended")[0]["time"]
    for host, held_by in ((holder, "us"), (OTHER[holder], "peer")):
        changes = pair.said(host, "hold_changed")
        assert [line["held_by"] for line in changes] == [held_by, ""]
        assert changes[0]["time"] < moved < changes[1]["time"] - 1.0
    resumed = pair.said(holder, "hold_changed")[1]["time"]
    for host in OTHER:
        assert not [at for at, _ in pair.heard(host) if moved < at < resumed - 0.3], "nothing is heard"
    judge_call(pair, "mn wlan0")


@pytest.mark.parametrize(
    ("holder", "offset", "transport"),
    [
        pytest.param("mn", 0.01, "tls", marks=peers),
        pytest.param("cn", 0.02, "tls", marks=peers),
        pytest.param("mn", 0.05, "udp", marks=peers),
    ],
)
def test_a_move_amid_a_re_invite(tmp_path: Path, holder: str, offset: float, transport: str) -> None:
    """The network goes while the re-INVITE of a hold, of either end, is on its way: both wishes come true."""
    hold = ("--hold-at", 2.0, "--hold-for", 8.0)
    with Pair(tmp_path, transport=transport) as pair:
        pair.call(*(hold if holder == "mn" else ()), answer=hold if holder == "cn" else ())
        holds_at = pair.monotonic(pair.said(holder, "up")[0]["time"] + 2.0)
        pair.move("mn", "wwan0", "umts", leaving="wlan0", at=holds_at + offset)
        pair.moved("mn")
        for host in OTHER:
            pair.until_said(host, "hold_changed", held_by="us" if host == holder else "peer")
        pair.until_said("cn", "hold_changed", 2)
        pair.until_said("mn", "hold_changed", 2)
        pair.wait(2.0)
        pair.hang_up("mn")
    detached = pair.link_events("detached")[0].wall
    hold_sent = min(m["time"] for m in pair.messages(holder, "sent", "INVITE") if m["time"] > detached - 0.2)
    answers = [m["time"] for m in pair.messages(holder, "received", "SIP/2.0 200") if "INVITE" in m["cseq"]]
    assert hold_sent < detached and not [t for t in answers if hold_sent < t < detached]
    judge_call(pair, "mn wwan0")


@pytest.mark.parametrize(
    ("transport", "caller"), [pytest.param("tls", "mn", marks=peers), pytest.param("udp", "cn", marks=peers)]
)
def test_ten_moves_in_a_row(tmp_path: Path, transport: str, caller: str) -> None:
    """The last six begin before the one before has ended. Sequence numbers pass their wrap; no socket is left."""
    with Pair(tmp_path, transport=transport, caller=caller, initial_sequence=65_400) as pair:
        pair.call()
        at = time.monotonic() + 0.1
        for number in range(10):
            network = ("cafe", "office")[number % 2]
            pair.move("mn", "wlan0", network, link_time=0.02, at=at)
            at += 0.9 if number < 4 else 0.07
        pair.until(lambda: len(pair.link_events("attached")) == 11, "ten moves")
        pair.until_said("mn", "move_begun", 5)
        pair.wait(6.0)
        sockets = pair.sockets("mn")
        pair.hang_up("mn")
    begun = [(line["time"], "begun") for line in pair.said("mn", "move_begun")]
    ended = [(line["time"], "ended") for line in pair.said("mn", "move_ended")]
    steps = [what for _, what in sorted(begun + ended)]
    assert "begunbegun" in "".join(steps), "some began before the one before had ended"
    assert steps[-1] == "ended" and pair.said("mn", "move_ended")[-1]["ok"]
    assert {s.interface for s in sockets} == {"wlan0"}
    office = pair.network.topology.network("office").prefix
    assert all(str(office.network_address)[:-2] in s.address for s in sockets)
    assert len([s for s in sockets if s.kind == "udp"]) <= 3, sockets
    numbers = [d.sequence for d in pair.streams["uplink"]]
    assert numbers[0] == 65_400 and numbers[-1] > 65_536
    judge_call(pair, "mn wlan0")


@pytest.mark.parametrize("caller", [pytest.param("mn", marks=peers), pytest.param("cn", marks=peers)])
def test_ipv6_to_ipv4_and_back(tmp_path: Path, caller: str) -> None:
    """The WLANs know IPv6 only, 3G knows IPv4 only."""
    only = {"wlan0": 6, "wwan0": 4}
    with Pair(tmp_path, families=(6, 4), any_family=True, only=only, caller=caller) as pair:
        pair.call()
        pair.move("mn", "wwan0", "umts", leaving="wlan0")
        pair.moved("mn", 1)
        pair.wait(2.0)
        pair.move("mn", "wlan0", "cafe", leaving="wwan0")
        pair.moved("mn", 2)
        pair.wait(2.0)
        pair.hang_up(caller)
    targets = [line["target"] for line in pair.said("mn", "move_ended")]
    assert targets[0].startswith("wwan0 198.18.2.") and targets[1].startswith("wlan0 2001:db8:3:")
    between = [line["time"] for line in pair.said("mn", "move_ended")]
    for host in OTHER:
        assert pair.unheard_ms(host, between[0] + 0.6, between[0] + 1.9) == 0
    judge_call(pair, "mn wlan0")


@pytest.mark.parametrize(
    ("away", "caller"), [pytest.param(0.4, "mn", marks=peers), pytest.param(3.0, "cn", marks=peers)]
)
def test_ethernet_unplugged_and_plugged_in_again(tmp_path: Path, away: float, caller: str) -> None:
    """Without any other network the call waits for it."""
    with Pair(tmp_path, start=("eth0", "office"), caller=caller) as pair:
        pair.call()
        pair.move("mn", "eth0", "office", link_time=away)
        pair.until(lambda: len(pair.link_events("attached")) == 2, "the cable")
        pair.moved("mn")
        pair.wait(2.0)
        pair.hang_up(caller)
    unplugged, plugged = pair.link_events("detached")[0].wall, pair.link_events("attached")[1].wall
    assert pair.gap_ms("uplink", unplugged, plugged) <= away * 1000 + 150
    judge_call(pair, "mn eth0")


@peers
def test_ethernet_unplugged_with_a_wlan_there(tmp_path: Path) -> None:
    """The call goes to the WLAN at once, and back softly when the cable is in again."""
    with Pair(tmp_path, start=("eth0", "office")) as pair:
        pair.network.attach("mn", "wlan0", "cafe")
        pair.call()
        pair.network.detach("mn", "eth0")
        pair.moved("mn", 1)
        pair.wait(2.0)
        unplugged = pair.link_events("detached")[0].wall
        pair.network.attach("mn", "eth0", "office")
        pair.moved("mn", 2)
        pair.wait(2.0)
        pair.hang_up("mn")
    assert [line["kind"] for line in pair.said("mn", "move_begun")] == ["hard", "soft"]
    assert pair.gap_ms("uplink", unplugged, unplugged) <= 40 + 60
    assert pair.gap_ms("downlink", unplugged, unplugged) <= 30 + 30 + 60 + 60
    again = pair.said("mn", "move_begun")[1]["time"]
    for host in OTHER:
        assert pair.unheard_ms(host, again - 0.5, again + 1.5) == 0
    judge_call(pair, "mn eth0")


@pytest.mark.parametrize(
    ("transport", "caller", "apart"),
    [
        ("tls", "mn", 0.05),
        pytest.param("tls", "cn", 0.0, marks=peers),
        pytest.param("tls", "mn", 0.1, marks=peers),
        pytest.param("udp", "mn", 0.0, marks=peers),
        pytest.param("udp", "cn", 0.1, marks=peers),
    ],
)
def test_both_ends_move_at_once(tmp_path: Path, transport: str, caller: str, apart: float) -> None:
    """Neither re-INVITE finds the other where it was: media is back within a second of the later address."""
    with Pair(tmp_path, transport=transport, caller=caller) as pair:
        pair.call()
        at = time.monotonic() + 0.1
        pair.move("mn", "wwan0", "umts", leaving="wlan0", at=at)
        pair.move("cn", "wlan0", "cafe", at=at + apart)
        pair.moved("mn")
        pair.moved("cn")
        pair.wait(4.0)
        pair.hang_up("cn")
    left = min(pair.link_events("detached", host)[0].wall for host in OTHER)
    later = max(pair.link_events("attached", host)[-1].wall for host in OTHER)
    for side in ("uplink", "downlink"):
        assert pair.gap_ms(side, left, later, after=4.0) <= (later - left + 1.0) * 1000
    for host in OTHER:
        assert pair.said(host, "statistics")[0]["busy_ticks"] == 0, "the new TLS connection held up the voice"
    assert pair.said("mn", "peer_moved")[-1]["address"].startswith("[2001:db8:3:")
    assert pair.said("cn", "peer_moved")[-1]["address"].startswith("[2001:db8:2:")
    judge_call(pair, "mn wwan0")


@pytest.mark.parametrize(
    ("transport", "caller"),
    [
        pytest.param("tls", "mn", marks=peers),
        pytest.param("udp", "mn", marks=peers),
        pytest.param("tcp", "mn", marks=peers),
    ],
)
def test_what_the_peer_sends_after_the_move_reaches_us(tmp_path: Path, transport: str, caller: str) -> None:
    """OPTIONS and re-INVITE, and the BYE that ends it."""
    answer = ("--hold-at", 4.6, "--hold-for", 1.0, "--duration", 8.0)
    with Pair(tmp_path, transport=transport, caller=caller) as pair:
        pair.call(answer=answer, program=(ASKING, "4.2"))
        pair.move("mn", "wwan0", "umts", leaving="wlan0")
        pair.moved("mn")
        pair.finish()
    moved = pair.said("mn", "move_ended")[0]["time"]
    (asked,) = pair.messages("cn", "sent", "OPTIONS")
    assert asked["time"] > moved
    assert [m["interface"] for m in pair.messages("mn", "received", "OPTIONS")] == ["wwan0"]
    assert [m for m in pair.messages("cn", "received", "SIP/2.0 200") if m["cseq"] == asked["cseq"]]
    assert [line["held_by"] for line in pair.said("mn", "hold_changed")] == ["peer", ""]
    assert pair.said("mn", "ended")[0]["by"] == "peer"
    judge_call(pair, "mn wwan0")


@pytest.mark.parametrize("transport", [pytest.param("tls", marks=peers), pytest.param("udp", marks=peers)])
def test_every_socket_is_bound_to_its_interface(tmp_path: Path, transport: str) -> None:
    """While two networks are up, and after the move; media and signalling."""
    with Pair(tmp_path, transport=transport, start=("wwan0", "umts")) as pair:
        pair.call()
        before = pair.sockets("mn")
        pair.network.attach("mn", "wlan0", "office")
        pair.moved("mn")
        pair.wait(0.2)
        during = pair.sockets("mn")
        pair.network.detach("mn", "wwan0")
        pair.wait(2.5)
        after = pair.sockets("mn")
        pair.hang_up("mn")
    kinds = ["udp"] * (3 if transport == "udp" else 2) + ["tcp"] * (transport != "udp")
    for sockets in (before, after):  # a large INVITE opens a stream beside the datagrams
        found = sorted(s.kind for s in sockets)
        assert (found if transport != "udp" else [k for k in found if k == "udp"]) == sorted(kinds)
    assert {s.interface for s in before} == {"wwan0"}
    assert {s.interface for s in during} == {"wwan0", "wlan0"}
    assert {s.interface for s in after} == {"wlan0"}
    prefixes = {"wwan0": "2001:db8:2:", "wlan0": "2001:db8:1:"}
    assert all(s.address.startswith(prefixes[s.interface]) for s in (*before, *during, *after))
    judge_call(pair, "mn wlan0")


@peers
def test_the_phone_moves_without_the_agent(tmp_path: Path) -> None:
    """The kernel's own autoconfiguration makes the addresses (a second of duplicate address detection later)."""
    with Pair(tmp_path, agent=False) as pair:
        pair.call()
        pair.move("mn", "wlan0", "cafe")
        pair.moved("mn")
        pair.wait(2.0)
        pair.hang_up("mn")
    assert pair.said("mn", "move_ended")[0]["target"].startswith("wlan0 2001:db8:3:")
    judge_call(pair, "mn wlan0")
