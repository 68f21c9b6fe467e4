"""What a capture says about packets between two hosts of the lab."""

from __future__ import annotations

import socket
import statistics
import time
from pathlib import Path

import pytest

from segue.lab.measure.capture import read_captures
from segue.lab.networks.namespaces import can_make_namespaces
from segue.lab.networks.network import Network
from segue.lab.networks.topology import OFFICE_TO_CAFE

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(not can_make_namespaces(), reason="no permission to make network namespaces"),
]


@pytest.mark.parametrize("family", [6, 4])
def test_one_way_delay_of_each_packet(tmp_path: Path, family: int) -> None:
    """200 voice packets from the proxy to the correspondent: 10 ms of core and 5 ms of WLAN, each seen twice."""
    with Network(OFFICE_TO_CAFE, seed=1, folder=tmp_path) as network:
        capture = network.start_capture(hosts=("cn", "proxy"))
        kind = socket.AF_INET6 if family == 6 else socket.AF_INET
        receiver = network.hosts["cn"].socket(kind, socket.SOCK_DGRAM)
        receiver.bind(("", 4000))
        receiver.settimeout(2)
        sender = network.hosts["proxy"].socket(kind, socket.SOCK_DGRAM)
        cn = str(network.address("cn", family))
        for number in range(200):
            sender.sendto(number.to_bytes(2, "big") + bytes(170), (cn, 4000))
            time.sleep(0.005)
        got = [int.from_bytes(receiver.recv(500)[:2], "big") for _ in range(200)]
        dropped = capture.stop()
        report = network.links.report()
        receiver.close()
        sender.close()
    assert got == list(range(200))
    assert set(dropped.values()) == {0}
    sent, received = {}, {}
    for captured in read_captures(tmp_path / "captures"):
        packet = captured.packet()
        if packet is not None and packet.destination_port == 4000 and packet.destination == cn:
            seen = received if captured.received else sent
            assert captured.place == ("cn wlan0" if captured.received else "proxy eth0")
            seen[packet.payload[:2]] = captured.time
    delays = [(received[number] - sent[number]) * 1000 for number in sent]
    assert len(delays) == 200
    print(f"OWD {min(delays):.2f} {statistics.median(delays):.2f} {max(delays):.2f} ms", report)
    # The first waits for two address resolutions.
    assert min(delays) >= 15.0 and statistics.median(delays) < 17.0


def test_a_connection_with_large_segments_passes(tmp_path: Path) -> None:
    """TCP: the kernel must not put frames on the wire that no wire would carry."""
    with Network(OFFICE_TO_CAFE, folder=tmp_path) as network:
        capture = network.start_capture(hosts=("proxy",))
        with network.hosts["proxy"].socket(socket.AF_INET6, socket.SOCK_STREAM) as listener:
            listener.bind(("", 5061))
            listener.listen()
            client = network.hosts["cn"].socket(socket.AF_INET6, socket.SOCK_STREAM)
            client.settimeout(5)
            client.connect((str(network.address("proxy", 6)), 5061))
            server, _ = listener.accept()
            server.settimeout(5)
            octets = bytes(range(256)) * 256
            client.sendall(octets)
            heard = b""
            while len(heard) < len(octets):
                heard += server.recv(65536)
            client.close()
            server.close()
        capture.stop()
    assert heard == octets
    frames = [c for c in read_captures(tmp_path / "captures") if (p := c.packet()) and p.tcp]
    assert max(len(c.frame) for c in frames) <= 1514
    flags = {p.tcp.flags & 2 for c in frames if (p := c.packet()) and p.tcp}
    assert flags == {0, 2}
