"""A short walk out of the office, over 3G, into the café, with voice-like packets all the way."""

from __future__ import annotations

import json
import socket
import time
from pathlib import Path

import pytest

from segue.emulator.links import preset
from segue.emulator.walk import Walk, WalkConfig
from segue.lab.measure.capture import read_captures
from segue.lab.networks.namespaces import can_make_namespaces
from segue.lab.networks.network import Network
from segue.lab.networks.topology import OFFICE_TO_CAFE
from segue.lab.walking import Walker, changes
from segue.testing.entropy import SeededEntropy

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(not can_make_namespaces(), reason="no permission to make network namespaces"),
]


def walk(name: str = "clean") -> Walk:
    """From the edge of the office to the edge of the café, running."""
    config = WalkConfig(start=12.0, end=66.0, speed=20.0, wait=1.0)
    return Walk(config, preset(name).radio, SeededEntropy(1))


def test_office_nothing_cafe() -> None:
    """The radio is lost 26.6 m and found 57.6 m along the line."""
    first, left, second = changes(walk(), link_time=0.05)
    assert (first.at, first.network) == (0.0, "office")
    assert left.network == "" and 1.7 < left.at < 1.9
    assert second.network == "cafe" and 3.2 < second.at < 3.4


@pytest.mark.parametrize("links", ["clean", "street"])
def test_packets_of_a_walk(tmp_path: Path, links: str) -> None:
    """One stream bound to each interface: WLAN packets arrive from the office, then from the café; 3G all the way."""
    radio = tmp_path / "radio"
    reports = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    reports.bind(str(radio))
    reports.setblocking(False)
    with Network(OFFICE_TO_CAFE, preset(links), seed=1, folder=tmp_path) as network:
        capture = network.start_capture(hosts=("mn", "cn"))
        network.start_attachment_agent("mn")
        receiver = network.hosts["cn"].socket(socket.AF_INET6, socket.SOCK_DGRAM)
        receiver.bind(("::", 4000))
        senders = []
        for interface in ("wlan0", "wwan0"):
            opened = network.hosts["mn"].socket(socket.AF_INET6, socket.SOCK_DGRAM)
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode())
            senders.append(opened)
        cn = (str(network.address("cn", 6)), 4000)
        walker = Walker(network, walk(links), radio=radio)
        number = 0
        heard: list[dict[str, object]] = []
        while time.monotonic() < walker.ends_at + 0.3:
            number += 1
            for opened in senders:
                try:
                    opened.sendto(number.to_bytes(2, "big") + bytes(170), cn)
                except OSError:
                    pass  # no address yet
            heard += read_reports(reports)
            time.sleep(0.02)
        time.sleep(0.1)
        for opened in (*senders, receiver):
            opened.close()
        assert set(capture.stop().values()) == {0}
        figures = network.links.report()
        events = [
            (event.event, event.network) for event in network.links.history() if "wlan" in event.station
        ]
    arrivals: dict[str, list[float]] = {}
    for captured in read_captures(tmp_path / "captures"):
        packet = captured.packet()
        if packet and packet.destination_port == 4000 and captured.place == "cn wlan0" and captured.received:
            arrivals.setdefault(packet.source.rsplit(":", 4)[0], []).append(captured.time)
    print({source: len(times) for source, times in arrivals.items()}, [f["p99_error_ms"] for f in figures])
    assert events[:3] == [("attached", "home"), ("attached", "office"), ("detached", "office")]
    assert events[-1] == ("attached", "cafe")
    assert set(arrivals) == {"2001:db8:1:0", "2001:db8:2:0", "2001:db8:3:0"}
    assert arrivals["2001:db8:1:0"][-1] < arrivals["2001:db8:3:0"][0]
    if links == "clean":
        assert len(events) == 4
        assert max(b - a for a, b in zip(arrivals["2001:db8:2:0"], arrivals["2001:db8:2:0"][1:])) < 0.06  # noqa: B905
    else:
        assert sum(figure["lost"] for figure in figures) > 0
    reports.close()
    assert heard[0]["network"] == "office" and heard[0]["interface"] == "wlan0"
    assert [h for h in heard if h["dbm"] is None] and heard[-1]["network"] == "cafe"


def read_reports(reports: socket.socket) -> list[dict[str, object]]:
    heard = []
    while True:
        try:
            heard.append(json.loads(reports.recv(1000)))
        except BlockingIOError:
            return heard
