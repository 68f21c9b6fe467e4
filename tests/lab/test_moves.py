"""Two phones of ours in namespaces, one of which moves while they talk: what captures and recordings say."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from segue.lab.measure.address_monitor import address_phase
from segue.lab.networks.namespaces import can_make_namespaces
from segue.lab.pair import OTHER, Pair

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(not can_make_namespaces(), reason="needs root or a user namespace for the lab"),
]

TO_PROXY = {"umts": 100.0, "office": 30.0, "cafe": 30.0}  # ms, round trip by the links' delays
SPARE = 60.0  # ms that a loaded machine may take beyond what docs/measurements.md promises
PLAYOUT = 200.0  # ms by which what was not heard may exceed what did not arrive
CONNECTING = {"tls": 2, "tcp": 1, "udp": 0}  # round trips to the proxy before the re-INVITE leaves


def judge_hard_move(pair: Pair, number: int) -> None:
    """The `number`-th move of the mobile node: the figures of docs/measurements.md, and their order."""
    detached = pair.link_events("detached")[number]
    attached = pair.link_events("attached")[number + 1]
    began, ended = detached.wall, attached.wall
    interface = attached.station.removeprefix("mn-")
    network = pair.network.topology.network(attached.network)
    family = pair.options.family
    address = address_phase(pair.monitored("mn"), attached, interface, network, family)
    assert address is not None
    begun = (attached.wall - detached.wall + address) * 1000
    assert pair.gap_ms("uplink", began, ended) <= begun + pair.step_ms("uplink", began, ended) + 40 + SPARE
    round_trip = TO_PROXY[attached.network]
    told = round_trip / 2 + 15 + pair.delay_ms("downlink", ended + 0.8, ended + 2.5)
    connecting = CONNECTING[pair.options.signalling] * round_trip
    assert pair.gap_ms("downlink", began, ended) <= begun + told + connecting + 60 + SPARE
    judge_order(pair, number, ended + address, f"mn {interface}")


def judge_order(pair: Pair, number: int, usable_at: float, place: str) -> None:
    """Uplink leaves at once, from the new address, without waiting for an answer; the peer hears of the move before
    the server does."""
    first = min(
        s.time for s in pair.sightings["mn"]["sent"] if s.time >= usable_at - 0.2 and s.place == place
    )
    assert first <= usable_at + 0.04 + SPARE / 1000
    begun = pair.said("mn", "move_begun")[number]["time"]
    told = next(m for m in pair.messages("mn", "sent", "INVITE") if m["time"] >= begun - 0.02)
    registered = next(m for m in pair.messages("mn", "sent", "REGISTER") if m["time"] >= begun - 0.02)
    answered = next(m for m in pair.messages("mn", "received", "SIP/2.0 200") if m["cseq"] == told["cseq"])
    assert told["time"] <= registered["time"]
    assert first < answered["time"]
    assert told["local"] != pair.said("mn", "sip_sent")[0]["local"]


def judge_call(pair: Pair) -> None:
    """Nothing in the clear over TLS, one key, one call, and both hear each other to the end."""
    verdict = pair.verdict()
    assert verdict["media_packets"] > 200
    if pair.options.signalling == "tls":
        assert verdict["clear_rtp_packets"] == 0 and verdict["keys_changed"] is False
    assert len(pair.said(pair.callee, "incoming_call")) == 1
    ended = min(pair.said(host, "ended")[0]["time"] for host in OTHER)
    for host in OTHER:
        assert [line["by"] for line in pair.said(host, "ended")] in (["us"], ["peer"])
        assert pair.unheard_ms(host, ended - 1.0, ended - 0.1) == 0


@pytest.mark.parametrize(
    ("how", "transport", "family", "caller"),
    [
        ("carrier", "tls", 6, "mn"),
        pytest.param("carrier", "udp", 4, "cn", marks=pytest.mark.peers),
        pytest.param("address", "tls", 4, "cn", marks=pytest.mark.peers),
        pytest.param("address", "tcp", 6, "mn", marks=pytest.mark.peers),
        pytest.param("interface", "tls", 6, "cn", marks=pytest.mark.peers),
        pytest.param("interface", "udp", 6, "mn", marks=pytest.mark.peers),
        pytest.param("carrier", "tcp", 4, "mn", marks=pytest.mark.peers),
    ],
)
def test_hard_moves(tmp_path: Path, how: str, transport: str, family: int, caller: str) -> None:
    """Office WLAN to 3G to the café's WLAN; the old network goes in each of the three ways."""
    with Pair(tmp_path, transport=transport, families=(family,), caller=caller) as pair:
        pair.call()
        pair.move("mn", "wwan0", "umts", leaving="wlan0", how=how)
        pair.moved("mn", 1)
        pair.wait(2.6)
        pair.move("mn", "wlan0", "cafe", leaving="wwan0", how=how)
        pair.moved("mn", 2)
        pair.wait(2.6)
        pair.hang_up(caller)
    assert [line["kind"] for line in pair.said("mn", "move_begun")] == ["hard", "hard"]
    for number in (0, 1):
        judge_hard_move(pair, number)
    judge_call(pair)


@pytest.mark.parametrize(
    ("transport", "family", "caller"),
    [
        ("tls", 4, "cn"),
        pytest.param("tls", 6, "mn", marks=pytest.mark.peers),
        pytest.param("udp", 6, "cn", marks=pytest.mark.peers),
        pytest.param("tcp", 4, "mn", marks=pytest.mark.peers),
    ],
)
def test_soft_moves(tmp_path: Path, transport: str, family: int, caller: str) -> None:
    """3G to the WLAN that is better, and back to 3G when that fades: nothing is lost, and nothing is not heard."""
    with Pair(
        tmp_path, transport=transport, families=(family,), caller=caller, start=("wwan0", "umts")
    ) as pair:
        pair.call()
        pair.network.attach("mn", "wlan0", "office")
        pair.moved("mn", 1)
        pair.wait(1.5)
        pair.network.detach("mn", "wwan0")
        pair.wait(1.0)
        pair.network.attach("mn", "wwan0", "umts")
        pair.wait(1.0)
        pair.report_signal("office", -82)
        pair.moved("mn", 2)
        pair.wait(1.5)
        pair.network.detach("mn", "wlan0")
        pair.wait(1.5)
        pair.hang_up(caller)
    assert [line["kind"] for line in pair.said("mn", "move_begun")] == ["soft", "soft"]
    assert pair.lost("uplink") == pair.lost("downlink") == 0
    ended = min(pair.said(host, "ended")[0]["time"] for host in OTHER)
    for host in OTHER:
        assert pair.unheard_ms(host, pair.said(host, "up")[0]["time"] + 1, ended - 0.1) == 0
    for number in (0, 1):
        judge_soft_move(pair, number)
    judge_call(pair)


def judge_soft_move(pair: Pair, number: int) -> None:
    """The old path is heard until media flows on the new one; ours comes to that once and for good, and leaves the
    old one as well: at once, or when both have had it for a while."""
    begun = pair.said("mn", "move_begun")[number]
    old, new = (f"mn {begun[end].split()[0]}" for end in ("origin", "target"))
    began = begun["time"]
    for side in ("uplink", "downlink"):
        assert pair.gap_ms(side, began, began) <= pair.step_ms(side, began, began + 0.5) + 20 + SPARE
    told = next(m["time"] for m in pair.messages("mn", "sent", "INVITE") if m["time"] >= began - 0.02)
    arrived = [(s.time, s.place) for s in pair.sightings["mn"]["received"] if s.time > told]
    first = min(t for t, place in arrived if place == new)
    assert [t for t, place in arrived if place == old and t < first]
    left = sorted(
        (s.time, s.place) for s in pair.sightings["mn"]["sent"] if began - 0.5 < s.time < began + 1.5
    )
    times = {place: [t for t, each in left if each == place] for place in (old, new)}
    assert times[old][0] < times[new][0] and times[old][-1] <= times[new][-1]
    for each in times.values():
        assert max(after - before for before, after in pairwise(each)) < 0.06
