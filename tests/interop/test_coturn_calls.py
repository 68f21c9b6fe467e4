"""Calls that only a relay can carry: nothing passes between the two phones but by coturn, beside the server."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from pyroute2 import IPRoute

from segue.lab.networks.namespaces import Namespace
from segue.lab.networks.topology import CORE_ROUTER
from segue.lab.peers.bed import Bed
from segue.lab.peers.coturn import PASSWORD, USER, Coturn
from segue.lab.peers.sound import Recording
from segue.lab.phones import LabPhone

pytestmark = pytest.mark.peers("turnserver")
BOB = "sip:bob@example.org"
PORT = 3500  # the lab's own STUN server has the usual one


@contextmanager
def parted(folder: Path) -> Iterator[Bed]:
    """Phones that speak ICE, and may not reach one another."""
    bed = Bed(folder)
    bed.options = replace(bed.options, mode="migrate")
    with bed:
        part(bed)
        yield bed


def part(bed: Bed) -> None:
    """No network of mn reaches cn, nor cn any of them; both reach the server."""
    away = [str(bed.network.topology.network(name).network) for name in ("office", "umts", "cafe")]
    home = str(bed.network.topology.network("home").network)

    def refuse() -> None:
        with IPRoute() as rules:
            for priority, subnet in enumerate(away, 10):
                for src, dst in ((subnet, home), (home, subnet)):
                    rules.rule("add", priority=priority, src=src, dst=dst, action="unreachable")

    bed.network.routers[CORE_ROUTER].call(refuse)


def relay(bed: Bed, *options: str) -> tuple[Coturn, list[str]]:
    """coturn beside the server, and the options of a phone that uses it."""
    host: Namespace = bed.network.hosts["proxy"]
    address = str(bed.network.address("proxy", 4))
    folder = bed.folder / "coturn"
    folder.mkdir()
    server = Coturn(host, folder, hosts=[address], port=PORT, options=options)
    server.start()
    bed._ends.callback(server.stop)
    secret = bed.folder / "relay-password"
    secret.touch(0o600)
    secret.write_text(PASSWORD)
    return server, ["--turn-user", USER, "--turn-password-file", str(secret), "--turn"]


def both_heard(*phones: LabPhone) -> None:
    for phone in phones:
        Recording(phone.recording).await_sound()


@pytest.mark.parametrize("form", [f"turn:{{}}:{PORT}", f"turn:{{}}:{PORT}?transport=tcp"], ids=["udp", "tcp"])
def test_a_call_that_has_no_other_way(form: str, tmp_path: Path) -> None:
    with parted(tmp_path) as bed:
        server, options = relay(bed)
        other = bed.answering(host="cn")
        ours = bed.segue("call", BOB, *options, form.format(bed.network.address("proxy", 4)))
        ours.wait_for("up")
        both_heard(ours, other)
        bed.end(ours)
        other.wait_for("ended")
        assert "CHANNEL_BIND processed, success" in server.program.printed()


@pytest.mark.parametrize("options", [["mobility"], []], ids=["ticket", "no-ticket"])
def test_a_move_of_a_call_that_has_no_other_way(options: list[str], tmp_path: Path) -> None:
    """With a ticket the relayed address stays and the other end notices nothing; without it gets another one."""
    with parted(tmp_path) as bed:
        _, flags = relay(bed, *options)
        other = bed.answering(host="cn")
        ours = bed.segue("call", BOB, *flags, f"turn:{bed.network.address('proxy', 4)}:{PORT}")
        ours.wait_for("up")
        both_heard(ours, other)
        bed.hard_move(ours)
        both_heard(ours, other)
        bed.end(ours)
        other.wait_for("ended")
