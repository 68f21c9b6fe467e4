"""When a call moves, and when it had better not: real kernels and phones, and what captures and recordings say."""

from __future__ import annotations

import os
import signal
import time
import wave
from ipaddress import IPv6Address, IPv6Network
from pathlib import Path

import numpy as np
import pytest

from segue.lab.measure.capture import read_captures
from segue.lab.networks.namespaces import Namespace, can_make_namespaces
from segue.lab.pair import Pair
from segue.net.netlink import LinkEvent, RouteEvent
from segue.net.rtnetlink_write import default_network
from segue.phone.move_tone import BEGUN, ENDED, LENGTH

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(not can_make_namespaces(), reason="needs root or a user namespace for the lab"),
]

PACKET = 0.02  # seconds
TUNNEL = IPv6Network("2001:db8:99::/64")
SPARE = 0.02  # seconds that a loaded machine may take


def test_a_loss_is_acted_on_within_one_packet_time(tmp_path: Path) -> None:
    """From the kernel's event to the first packet on the other network, while they talk."""
    moves = 5
    with Pair(tmp_path, talk="silence") as pair:
        pair.network.attach("mn", "wwan0", "umts")
        pair.call("--move-tone")
        for number in range(moves):
            pair.network.detach("mn", "wlan0")
            pair.moved("mn", 2 * number + 1)
            pair.wait(0.3)
            pair.network.attach("mn", "wlan0", "office")
            pair.moved("mn", 2 * number + 2)
            pair.wait(2.4)
        pair.hang_up("mn")
    up = pair.said("mn", "up")[0]["time"]
    events = [said for said in pair.monitored("mn") if isinstance(said.event, LinkEvent) and said.wall > up]
    lost = [said.wall for said in events if said.event.interface == "wlan0" and not said.event.carrier]
    sent = [s.time for s in pair.sightings["mn"]["sent"] if s.place == "mn wwan0"]
    took = sorted(min(t for t in sent if t > at - 0.002) - at for at in lost)
    print([round(t * 1000, 1) for t in took], "ms")
    assert len(took) == moves
    assert took[moves // 2] <= PACKET and took[-1] <= PACKET + SPARE
    judge_tones(pair)


def judge_tones(pair: Pair) -> None:
    """Nobody speaks: what mn recorded is the tones, at the beginning and at the end of each move; cn hears none."""
    chosen = [line for line in pair.said("mn", "move_begun") if line["kind"] == "soft"]
    expected = pair.said("mn", "move_expected")
    assert len(expected) == len(chosen), "a move by choice is announced"
    for before, begun in zip(expected, chosen, strict=True):
        assert 0 <= begun["time"] - before["time"] <= 0.35 and before["target"] == begun["target"]
    for host, loud in (("mn", True), ("cn", False)):
        begin = pair.said(host, "up")[0]["time"]
        for event, pitch in (("move_begun", BEGUN), ("move_ended", ENDED)):
            for line in pair.said("mn", event):
                heard = strength(pair.phones[host].recording, line["time"] - begin, pitch)
                assert (heard > 0.02) if loud else (heard < 0.001), (host, line, heard)


def strength(recording: Path, at: float, pitch: float) -> float:
    """The loudest 60 ms of this pitch in the half second from `at` seconds on, as part of full scale."""
    with wave.open(str(recording)) as file:
        rate = file.getframerate()
        samples = np.frombuffer(file.readframes(file.getnframes()), dtype=np.int16) / 32768
    count, found = int(LENGTH / 2 * rate), 0.0
    turns = np.exp(-2j * np.pi * pitch * np.arange(count) / rate)
    for start in range(int((at - 0.05) * rate), int((at + 0.5) * rate), count // 4):
        piece = samples[start : start + count]
        if len(piece) == count:
            found = max(found, 2 * abs(np.dot(piece, turns)) / count)
    return found


def test_a_network_that_falls_silent_is_left_and_a_peer_that_does_is_not(tmp_path: Path) -> None:
    """No event tells: first the peer's network carries nothing for a second, then ours for good."""
    with Pair(tmp_path) as pair:
        pair.network.attach("mn", "wwan0", "umts")
        pair.call()
        pair.network.detach("cn", "wlan0", "silent")
        pair.wait(1.0)
        pair.network.attach("cn", "wlan0", "cafe")
        pair.moved("cn")
        pair.wait(1.0)
        assert pair.said("mn", "move_begun") == [], "it was the peer that moved"
        pair.network.detach("mn", "wlan0", "silent")
        detached = pair.link_events("detached")[-1].wall
        pair.moved("mn")
        pair.wait(1.0)
        pair.hang_up("mn")
    (begun,) = pair.said("mn", "move_begun")
    assert begun["kind"] == "hard" and begun["target"].startswith("wwan0")
    took = begun["time"] - detached
    print(f"noticed and acted on after {took * 1000:.0f} ms")
    # Three to five packet times, and what the server has to answer a probe.
    assert took <= 0.1 + 0.5 + 0.2


def test_a_second_radio_is_awake_when_the_first_weakens(tmp_path: Path) -> None:
    """3G sleeps after a second and takes 0.6 s to wake. The WLAN weakens, when the phone wakes the other, and
    is lost a second later."""
    with Pair(tmp_path) as pair:
        pair.network.attach("mn", "wwan0", "umts")
        pair.network.links.impair("mn-wwan0-umts", sleep_after_ms=1000, wake_ms=600)
        pair.call()
        pair.wait(2.5)
        weakened = time.time()
        pair.report_signal("office", -72)  # weak, but not left by choice
        pair.wait(1.0)
        pair.network.detach("mn", "wlan0")
        pair.moved("mn", 1)
        pair.wait(1.0)
        pair.hang_up("mn")
    (begun,) = pair.said("mn", "move_begun")
    assert (begun["kind"], begun["target"].split()[0]) == ("hard", "wwan0")
    captured = read_captures(tmp_path / "captures")
    sent = [c.time for c in captured if c.place == "mn wwan0" and not c.received]
    woken = [at for at in sent if weakened <= at < begun["time"]]
    assert woken and min(woken) - weakened <= 0.1, "a packet wakes it as soon as the other weakens"
    arrived = [
        d.received_at - begun["time"]
        for d in pair.streams["uplink"]
        if d.received_at is not None and d.sent_at >= begun["time"] and d.sent_from == "mn wwan0"
    ]
    print(f"from the decision to the peer: {min(arrived) * 1000:.0f} ms")
    assert min(arrived) <= 0.055 + PACKET + SPARE, "one way by 3G and the core, and the next packet"


def test_a_network_that_flaps_does_not_make_the_call_flap(tmp_path: Path) -> None:
    """The WLAN comes and goes twelve times in six seconds, 3G is there all the time."""
    with Pair(tmp_path) as pair:
        pair.network.attach("mn", "wwan0", "umts")
        pair.call()
        for _ in range(12):
            pair.network.detach("mn", "wlan0")
            pair.wait(0.25)
            pair.network.attach("mn", "wlan0", "office")
            pair.wait(0.25)
        pair.wait(3.0)
        pair.hang_up("mn")
    begun = [(line["kind"], line["target"].split()[0]) for line in pair.said("mn", "move_begun")]
    print(begun)
    assert begun[0] == ("hard", "wwan0")
    # Away, back by choice when the first rest is over, and away again: then it has to last. At the end it does.
    assert begun == [("hard", "wwan0"), ("soft", "wlan0"), ("hard", "wwan0"), ("soft", "wlan0")][: len(begun)]
    assert begun[-1][1] == "wlan0", "where it has stayed"
    ended = pair.said("mn", "ended")[0]["time"]
    for host in ("mn", "cn"):
        assert pair.unheard_ms(host, ended - 1.0, ended - 0.1) == 0


def test_a_default_route_that_goes_alone_and_a_tunnel_that_comes_and_goes(tmp_path: Path) -> None:
    with Pair(tmp_path) as pair:
        pair.network.attach("mn", "wwan0", "umts")
        pair.call()
        make_tunnel(pair)
        begun = pair.until_said("mn", "move_begun", 1)
        assert (begun["kind"], begun["target"].split()[0]) == ("soft", "vpn0")
        pair.moved("mn", 1)
        pair.wait(1.0)
        remove(pair, "vpn0")
        begun = pair.until_said("mn", "move_begun", 2)
        assert (begun["kind"], begun["target"].split()[0]) == ("hard", "wlan0")
        pair.moved("mn", 2)
        pair.wait(1.0)
        remove_default_route(pair, "wlan0")
        begun = pair.until_said("mn", "move_begun", 3)
        assert (begun["kind"], begun["target"].split()[0]) == ("hard", "wwan0")
        pair.moved("mn", 3)
        pair.wait(1.0)
        pair.hang_up("mn")
    ended = pair.said("mn", "ended")[0]["time"]
    for host in ("mn", "cn"):
        assert pair.unheard_ms(host, ended - 0.8, ended - 0.1) == 0


def remove_default_route(pair: Pair, interface: str) -> None:
    """From the main table and the interface's own; address and carrier stay."""
    said = [entry.event for entry in pair.monitored("mn") if isinstance(entry.event, RouteEvent)]
    route = next(event for event in reversed(said) if event.interface == interface)
    with pair.network.hosts["mn"].rtnetlink() as tables:
        link = tables.link(interface)
        assert link is not None and route.present
        for table, metric in ((254, route.metric), (1000 + link.index, 0)):
            tables.delete_route(
                link.index, default_network(6), gateway=IPv6Address(route.router), metric=metric, table=table
            )


def make_tunnel(pair: Pair) -> None:
    """A tunnel from the mobile node's WLAN to the core, whose default route is better than the WLAN's."""
    outer = next(
        said.event.address
        for said in pair.monitored("mn")
        if getattr(said.event, "address", "").startswith("2001:db8:1:")
    )
    core = str(pair.network.topology.server("proxy").host6(1))
    ends = {"mn": (outer, core, 2), "core": (core, outer, 1)}
    spaces = {"mn": pair.network.hosts["mn"], "core": pair.network.routers["core"]}
    for name, (local, remote, number) in ends.items():
        over = ["dev", "wlan0"] if name == "mn" else []
        kind = ["type", "vxlan", "id", "7", "dstport", "4789", "local", local, "remote", remote, *over]
        run(spaces[name], ["ip", "link", "add", "vpn0", *kind])
        run(spaces[name], ["ip", "address", "add", f"{TUNNEL[number]}/64", "dev", "vpn0", "nodad"])
        run(spaces[name], ["ip", "link", "set", "vpn0", "mtu", "1400", "up"])
    run(
        spaces["mn"],
        ["ip", "-6", "route", "add", "default", "via", str(TUNNEL[1]), "dev", "vpn0", "metric", "50"],
    )


def run(space: Namespace, words: list[str]) -> None:
    assert space.popen(words).wait(5) == 0, words


def remove(pair: Pair, interface: str) -> None:
    run(pair.network.hosts["mn"], ["ip", "link", "delete", interface])


def test_a_phone_that_slept_finds_its_call_and_its_networks(tmp_path: Path) -> None:
    """It does not run for three seconds, in which the office is left and the café reached."""
    with Pair(tmp_path) as pair:
        pair.call()
        phone = pair.phones["mn"].pid
        os.kill(phone, signal.SIGSTOP)
        pair.wait(0.5)
        pair.move("mn", "wlan0", "cafe")
        pair.wait(2.5)
        os.kill(phone, signal.SIGCONT)
        pair.moved("mn")
        pair.wait(2.0)
        pair.hang_up("mn")
    ended = pair.said("mn", "ended")[0]["time"]
    assert pair.said("mn", "ended")[0]["by"] == "us"
    for host in ("mn", "cn"):
        assert pair.unheard_ms(host, ended - 1.0, ended - 0.1) == 0
