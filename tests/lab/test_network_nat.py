"""NATs between access networks and the core, met by real packets of the kernel: UDP, TCP, ICMP, fragments."""

from __future__ import annotations

import errno
import socket
import threading
from collections.abc import Iterator

import pytest

from segue.base.errors import LocalError
from segue.lab.networks.echo import round_trips
from segue.lab.networks.namespaces import can_make_namespaces
from segue.lab.networks.network import Network
from segue.lab.networks.topology import OFFICE_TO_CAFE, StationInterface, Topology, with_nats

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(not can_make_namespaces(), reason="no permission to make network namespaces"),
]
OUTSIDE, CORRESPONDENT = "198.18.1.254", "198.18.4.10"
PLAIN = Topology(
    "nat",
    (OFFICE_TO_CAFE.network("office"), OFFICE_TO_CAFE.network("home")),
    (
        StationInterface("mn", "wlan0", "office", static=True),
        StationInterface("cn", "wlan0", "home", static=True),
    ),
)
PATIENCE = 1.0  # seconds; a round trip takes 40 ms


@pytest.fixture(scope="module", params=["port-restricted"])
def network(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    topology = with_nats(PLAIN, {"mn": request.param})
    with Network(topology, folder=tmp_path_factory.mktemp("nat")) as built:
        yield built


def udp(network: Network, host: str, family: int = 4, port: int = 0) -> socket.socket:
    kind = socket.AF_INET if family == 4 else socket.AF_INET6
    opened = network.hosts[host].socket(kind, socket.SOCK_DGRAM)
    opened.settimeout(PATIENCE)
    opened.bind(("", port))
    return opened


def arrives(target: socket.socket) -> tuple[bytes, tuple[str, int]] | None:
    target.settimeout(0.3)
    try:
        octets, source = target.recvfrom(65535)
        return octets, source[:2]
    except TimeoutError:
        return None
    finally:
        target.settimeout(PATIENCE)


def test_udp_goes_out_and_its_answer_comes_back_and_nothing_else(network: Network) -> None:
    with udp(network, "mn") as inside, udp(network, "cn", port=30000) as peer, udp(network, "cn") as other:
        inside.sendto(b"out", (CORRESPONDENT, 30000))
        octets, seen = peer.recvfrom(100)
        assert octets == b"out" and seen[0] == OUTSIDE
        peer.sendto(b"back", seen)
        assert inside.recvfrom(100) == (b"back", (CORRESPONDENT, 30000))
        other.sendto(b"stranger", seen)
        other.sendto(b"private", ("192.168.1.10", inside.getsockname()[1]))
        assert arrives(inside) is None


def test_large_datagrams_are_in_fragments_both_ways(network: Network) -> None:
    sent = bytes(range(256)) * 16
    with udp(network, "mn") as inside, udp(network, "cn", port=30000) as peer:
        inside.sendto(sent, (CORRESPONDENT, 30000))
        octets, seen = peer.recvfrom(65535)
        assert octets == sent
        peer.sendto(sent[::-1], seen)
        assert inside.recv(65535) == sent[::-1]


def test_tcp_carries_a_megabyte_each_way(network: Network) -> None:
    sent = bytes(range(256)) * 4096
    received: list[tuple[str, bytes]] = []
    with network.hosts["cn"].socket(socket.AF_INET, socket.SOCK_STREAM) as listener:
        listener.bind(("", 5061))
        listener.listen()
        listener.settimeout(PATIENCE)

        def serve() -> None:
            connection, source = listener.accept()
            with connection:
                octets = read_all(connection)
                received.append((source[0], octets))
                connection.sendall(octets[::-1])

        server = threading.Thread(target=serve)
        server.start()
        with network.hosts["mn"].socket(socket.AF_INET, socket.SOCK_STREAM) as client:
            client.settimeout(PATIENCE)
            client.connect((CORRESPONDENT, 5061))
            client.settimeout(10)
            client.sendall(sent)
            client.shutdown(socket.SHUT_WR)
            assert read_all(client) == sent[::-1]
        server.join(5)
    assert received == [(OUTSIDE, sent)]


def read_all(connection: socket.socket) -> bytes:
    connection.settimeout(10)
    read = bytearray()
    while octets := connection.recv(65536):
        read += octets
    return bytes(read)


@pytest.mark.parametrize("target", [CORRESPONDENT, "2001:db8:4::10"])
def test_echo_requests_return_and_none_reaches_inside(network: Network, target: str) -> None:
    times = round_trips(network.hosts["mn"], target, count=3)
    assert len(times) == 3 and min(times) >= 40
    inside = OUTSIDE if ":" not in target else "2001:db8:1::10"
    assert round_trips(network.hosts["cn"], inside, count=2, wait=0.3) == []


@pytest.mark.parametrize("family", [4, 6])
def test_a_port_unreachable_comes_back_to_who_sent(network: Network, family: int) -> None:
    """Unless the NAT passes the error and translates what it quotes, nothing is refused here."""
    target = CORRESPONDENT if family == 4 else "2001:db8:4::10"
    with udp(network, "mn", family) as inside:
        inside.connect((target, 9))
        inside.send(b"nobody listens")
        with pytest.raises(ConnectionRefusedError):
            inside.recv(100)


@pytest.mark.parametrize("family", [4, 6])
def test_a_port_unreachable_goes_out_to_the_peer(network: Network, family: int) -> None:
    host = CORRESPONDENT if family == 4 else "2001:db8:4::10"
    with udp(network, "cn", family, 30000) as peer:
        with udp(network, "mn", family) as inside:
            inside.sendto(b"out", (host, 30000))
            _, seen = peer.recvfrom(100)
        peer.connect(seen[:2])
        peer.send(b"too late")
        with pytest.raises(OSError) as refused:
            peer.recv(100)
        assert refused.value.errno == errno.ECONNREFUSED


def test_ipv6_is_filtered_and_not_translated(network: Network) -> None:
    with udp(network, "mn", 6, 20000) as inside, udp(network, "cn", 6, 30000) as peer:
        peer.sendto(b"unasked", ("2001:db8:1::10", 20000))
        assert arrives(inside) is None
        inside.sendto(b"out", ("2001:db8:4::10", 30000))
        octets, seen = peer.recvfrom(100)
        assert octets == b"out" and seen[:2] == ("2001:db8:1::10", 20000)
        peer.sendto(b"back", seen)
        assert inside.recv(100) == b"back"


def test_a_rebinding_makes_the_same_socket_another_source(network: Network) -> None:
    with udp(network, "mn") as inside, udp(network, "cn", port=30000) as peer:
        inside.sendto(b"1", (CORRESPONDENT, 30000))
        _, before = peer.recvfrom(100)
        network.rebind("office")
        peer.sendto(b"to the old port", before)
        assert arrives(inside) is None
        inside.sendto(b"2", (CORRESPONDENT, 30000))
        _, after = peer.recvfrom(100)
        assert after[0] == before[0] and after[1] != before[1]
        peer.sendto(b"back", after)
        assert inside.recv(100) == b"back"
    assert [e.network for e in network.links.history() if e.event == "rebound"] == ["office"]
    with pytest.raises(LocalError, match="no NAT"):
        network.rebind("home")


def test_hairpinning_between_two_sockets_of_one_network(network: Network) -> None:
    with udp(network, "mn") as one, udp(network, "mn") as other, udp(network, "cn", port=30000) as peer:
        seen = []
        for sender in (one, other):
            sender.sendto(b"who am I?", (CORRESPONDENT, 30000))
            seen.append(peer.recvfrom(100)[1])
        other.sendto(b"first opens its filter", seen[0])
        assert arrives(one) is None
        one.sendto(b"hello neighbour", seen[1])
        assert other.recvfrom(100) == (b"hello neighbour", seen[0])
