"""Two hosts in namespaces of their own, and an emulated link between them."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
import time
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

import pytest

from segue.base.errors import LocalError
from segue.emulator.link_model import LinkConfig
from segue.lab.networks.echo import round_trips
from segue.lab.networks.links import Links, link_json
from segue.lab.networks.namespaces import Namespace, can_make_namespaces, inside_lab
from segue.net.packet_socket import switch_off_offloads
from segue.net.rtnetlink_write import IFA_F_NODAD

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(not can_make_namespaces(), reason="no permission to make network namespaces"),
]


def plug(host: Namespace, wire: Namespace, name: str, number: int) -> None:
    """An interface `eth0` with addresses, its far end `name` on the wire."""
    with wire.rtnetlink() as tables:
        tables.add_veth(
            name, "eth0", index=100 + number, peer_index=200 + number, peer_namespace=host.descriptor
        )
        tables.set_link(100 + number, up=True)
    wire.call(switch_off_offloads, name)
    host.call(switch_off_offloads, "eth0")
    with host.rtnetlink() as tables:
        tables.set_link(200 + number, up=True)
        tables.replace_address(200 + number, IPv4Address(f"198.18.0.{number}"), 24)
        tables.replace_address(200 + number, IPv6Address(f"2001:db8::{number}"), 64, flags=IFA_F_NODAD)


def test_ping_over_a_link_of_5_ms(tmp_path: Path) -> None:
    with Namespace.create("wire") as wire, Namespace.create("a") as a, Namespace.create("b") as b:
        wire.sysctl("ipv6/conf/default/disable_ipv6", 1)
        plug(a, wire, "far-a", 1)
        plug(b, wire, "far-b", 2)
        links = Links(wire, tmp_path / "links.jsonl")
        config = LinkConfig("a-b", one_way_delay_ms=5)
        links.configure(
            seed=1,
            log=str(links.log),
            networks={},
            stations={},
            links={"a-b": link_json("far-a", "far-b", config)},
        )
        noise = 0.0
        for address in ("198.18.0.2", "2001:db8::2"):
            times = round_trips(a, address, count=10, interval=0.02)
            assert len(times) == 10 and 10.0 <= min(times) < 12.0
            noise = max(noise, max(times) - 10.0)
        report = links.report()[0]
        print(report)
        assert report["name"] == "a-b" and report["frames"] >= 40 and report["lost"] == 0
        assert report["p99_error_ms"] < 5 + noise  # what a busy machine adds, the requests met too
        links.close()


def test_marker_is_inside_only() -> None:
    assert not inside_lab()
    with Namespace.create("a") as a:
        code = "from segue.lab.networks.namespaces import inside_lab; print(inside_lab())"
        assert a.run([sys.executable, "-c", code]).strip() == "True"


def test_processes_see_their_own_resolver(tmp_path: Path) -> None:
    (tmp_path / "resolv.conf").write_text("nameserver 198.18.18.2\n")
    with Namespace.create("a") as a:
        a.resolver = tmp_path / "resolv.conf"
        assert a.run(["cat", "/etc/resolv.conf"]) == "nameserver 198.18.18.2\n"
        assert a.run(["ls", "/sys/class/net"]).split() == ["lo"]
    assert "198.18.18.2" not in Path("/etc/resolv.conf").read_text()


async def test_a_program_that_asyncio_waits_for() -> None:
    with Namespace.create("a") as a:
        process = await a.start("cat", "/proc/net/dev", stdout=asyncio.subprocess.PIPE)
        output, _ = await process.communicate()
        interfaces = [line.partition(b":")[0].strip() for line in output.splitlines()[2:]]
        assert interfaces == [b"lo"]


def test_a_program_that_fails_is_said_so() -> None:
    with Namespace.create("a") as a, pytest.raises(LocalError, match="false failed in a"):
        a.run(["false"])


def test_nothing_outlives_a_lab_that_is_killed() -> None:
    """SIGKILL to the process that made a namespace ends what ran inside."""
    program = textwrap.dedent("""
        import time
        from segue.lab.networks.namespaces import Namespace
        a = Namespace.create("a")
        print(a.popen(["sleep", "60"]).pid, flush=True)
        time.sleep(60)
    """)
    lab = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    inside = int(lab.stdout.readline())
    os.kill(lab.pid, signal.SIGKILL)
    lab.wait()
    lab.stdout.close()
    until = time.monotonic() + 2
    while _runs(inside) and time.monotonic() < until:
        time.sleep(0.01)
    assert not _runs(inside)


def test_no_process_of_a_whole_network_outlives_it() -> None:
    """SIGKILL to a program with links, routers, agents and captures running."""
    program = textwrap.dedent("""
        import os, time
        from segue.lab.networks.network import Network
        with Network() as network:
            network.start_attachment_agent("mn")
            network.start_capture()
            print(*open(f"/proc/self/task/{os.getpid()}/children").read().split(), flush=True)
            time.sleep(60)
    """)
    lab = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    inside = [int(process) for process in lab.stdout.readline().split()]
    assert len(inside) == 5
    os.kill(lab.pid, signal.SIGKILL)
    lab.wait()
    lab.stdout.close()
    until = time.monotonic() + 2
    while any(map(_runs, inside)) and time.monotonic() < until:
        time.sleep(0.01)
    assert not any(map(_runs, inside))


def _runs(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False
