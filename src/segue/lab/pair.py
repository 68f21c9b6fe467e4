"""Two phones of ours in the lab, both of which may move: what happens to a call is up to whoever holds the pair.

    with Pair(folder) as pair:
        pair.call()
        pair.move("mn", "wwan0", "umts", leaving="wlan0")
        pair.wait(3)
        pair.hang_up("mn")
    pair.lost("uplink")

alice's phone is at `mn`, which has a WLAN, a 3G and an Ethernet interface, bob's at `cn`, with a WLAN and a 3G one.
Unlike a `scenario` it follows no plan, and its calls are as short as the question allows. What it tells afterwards is
read from captures and recordings.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import time
import wave
from collections.abc import Callable
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from segue.lab.measure import measures, security
from segue.lab.measure.address_monitor import Heard as Said
from segue.lab.measure.address_monitor import read_monitor
from segue.lab.measure.capture import read_captures
from segue.lab.measure.measures import Delivery, Sighting, is_media
from segue.lab.measure.open_sockets import Bound, bound_sockets
from segue.lab.measure.unheard import listen
from segue.lab.modes import AS_THEY_COME
from segue.lab.networks.links import LinkEvent
from segue.lab.networks.network import LINK_TIME, Network
from segue.lab.networks.topology import (
    DOMAIN,
    OFFICE_TO_CAFE,
    StationInterface,
    Topology,
    with_moving_correspondent,
    with_nats,
)
from segue.lab.options import CODED, RunOptions
from segue.lab.peers.kamailio import start_kamailio
from segue.lab.phones import USERS, LabPhone, Office
from segue.media.coded_signal import Heard, analyse

OTHER = {"mn": "cn", "cn": "mn"}
PATIENCE = 10.0  # seconds


def _topology() -> Topology:
    moving = with_moving_correspondent(OFFICE_TO_CAFE)
    mn, cn = StationInterface("mn", "eth0"), StationInterface("cn", "wwan0")
    return replace(moving, stations=(mn, *moving.stations, cn))


class Pair:
    """`families`: which of 4 and 6 there are; the phones use the first one, or with `any_family` what they find.
    `start` is where the mobile node is attached at first. `only`: mobile node's interfaces that know one family only.
    With `agent` false nobody but its kernel looks after the mobile node's addresses. `server`: "segue" or "kamailio",
    which serves signalling only. More `options` are those of `RunOptions`: `nat` for instance, for a NAT before
    "home" (cn), before all other networks (mn), or both."""

    def __init__(
        self,
        folder: Path,
        *,
        transport: str = "tls",
        families: tuple[int, ...] = (6,),
        any_family: bool = False,
        caller: str = "mn",
        start: tuple[str, str] = ("wlan0", "office"),
        only: dict[str, int] | None = None,
        agent: bool = True,
        server: str = "segue",
        seed: int = 1,
        **options: Any,
    ) -> None:
        self.folder = folder
        known: dict[str, Any] = {"mode": AS_THEY_COME} | options
        self.options = RunOptions(signalling=transport, family=families[0], seed=seed, **known)
        self.caller, self.callee = caller, OTHER[caller]
        self._families = families
        self._any_family = any_family
        self._start_at = start
        self._only = only or {}
        self._agent = agent
        self._server = server
        self._ends = contextlib.ExitStack()
        self._history: list[LinkEvent] = []

    def __enter__(self) -> Pair:
        try:
            self._start()
        except BaseException:
            self._ends.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._history = self.network.links.history()
            self._capture.stop()
        finally:
            self._ends.close()

    def _start(self) -> None:
        self.network = self._ends.enter_context(
            Network(with_nats(_topology(), self.options.nats), seed=self.options.seed, folder=self.folder)
        )
        self.office = Office(self.network, self.folder / "office")
        if self._server == "kamailio":
            kamailio = start_kamailio(self.network, self.office, self.folder / "kamailio")
            self._ends.callback(kamailio.stop)
        else:
            self.office.start_server()
        self._capture = self.network.start_capture(hosts=("mn", "cn"))
        self._monitors = {host: self.network.start_address_monitor(host) for host in USERS}
        self._resolvers = {host: self.folder / f"resolvers-{host}" for host in USERS}
        for folder in self._resolvers.values():
            folder.mkdir()
        self._start_agents()
        self.network.attach("mn", *self._start_at)
        self.phones = {
            host: LabPhone(self.network, self.office, host, self.folder, self.options) for host in USERS
        }

    def _start_agents(self) -> None:
        all_families = ",".join(map(str, self._families))
        self._start_agent("cn", ("wlan0", "wwan0"), all_families)
        interfaces = {s.interface: all_families for s in self.network.topology.stations if s.host == "mn"}
        if not self._agent:
            for name in interfaces:
                for setting in ("accept_ra", "autoconf"):
                    self.network.hosts["mn"].sysctl(f"ipv6/conf/{name}/{setting}", 1)
            return
        interfaces |= {name: str(family) for name, family in self._only.items()}
        for families in dict.fromkeys(interfaces.values()):
            self._start_agent("mn", tuple(i for i, f in interfaces.items() if f == families), families)

    def _start_agent(self, host: str, interfaces: tuple[str, ...], families: str) -> None:
        self.network.start_attachment_agent(
            host,
            interfaces,
            families=families,
            resolvers=str(self._resolvers[host]),
            dad=self.options.dad,
        )

    # --- calls

    def ring(
        self,
        *arguments: object,
        answer: tuple[object, ...] = (),
        answer_after: float = 0.2,
        program: tuple[str, ...] = ("-m", "segue"),
    ) -> None:
        """One calls, as soon as the other is registered. `arguments` are more of the caller's, `answer` of the
        callee's, which `program` is."""
        callee, caller = self.phones[self.callee], self.phones[self.caller]
        self._run(callee, "answer", "--once", "--answer-after", answer_after, *answer, program=program)
        callee.wait_for("registered")
        self._run(caller, "call", f"sip:{callee.user}@{DOMAIN}", *arguments)

    def call(self, *arguments: object, **how: Any) -> None:
        """The same; returns when the call has been up for a second and a half."""
        self.ring(*arguments, **how)
        for phone in self.phones.values():
            phone.wait_for("up")
        self.wait(1.5)

    def _run(self, phone: LabPhone, *arguments: object, program: tuple[str, ...] = ("-m", "segue")) -> None:
        phone.start(
            *arguments,
            resolvers=str(self._resolvers[phone.host]),
            program=program,
            any_family=self._any_family,
        )

    def hang_up(self, host: str) -> None:
        """By its user, with Ctrl-C; both phones have ended by themselves when this returns."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.phones[host].pid, signal.SIGINT)
        self.finish()

    def finish(self) -> None:
        """Both phones end. Raises AssertionError for one that does not, or that does not end as it should."""
        for phone in self.phones.values():
            assert phone.wait(PATIENCE) == 0, f"the phone of {phone.host} ended badly: {phone.words}"

    # --- what happens to them

    def wait(self, seconds: float) -> None:
        time.sleep(seconds)

    def until(self, condition: Callable[[], object], what: str, patience: float = PATIENCE) -> None:
        """Raises AssertionError when it does not come true in time."""
        end = time.monotonic() + patience
        while not condition():
            assert time.monotonic() < end, f"waited {patience:g} s for {what}; see {self.folder}"
            time.sleep(0.01)

    def until_said(self, host: str, event: str, count: int = 1, **facts: object) -> dict[str, Any]:
        """The `count`-th line of its phone that says so."""
        self.until(lambda: len(self.said(host, event, **facts)) >= count, f"{event} of {host} {facts}")
        return self.said(host, event, **facts)[count - 1]

    def said(self, host: str, event: str, **facts: object) -> list[dict[str, Any]]:
        """The event lines of its phone so far that have these values."""
        return [
            line
            for line in self.phones[host].lines()
            if line["event"] == event and all(line.get(name) == value for name, value in facts.items())
        ]

    def messages(self, host: str, direction: str, beginning: str) -> list[dict[str, Any]]:
        """SIP messages that its phone "sent" or "received", by the beginning of their first lines."""
        return [line for line in self.said(host, f"sip_{direction}") if line["line"].startswith(beginning)]

    def move(
        self,
        host: str,
        interface: str,
        network: str,
        *,
        leaving: str = "",
        how: str = "carrier",
        link_time: float = LINK_TIME,
        at: float | None = None,
    ) -> float:
        """Break before make: leave with one interface, attach with another or the same. When it leaves, on the
        monotonic scale; returns when that has been planned."""
        when = time.monotonic() + 0.02 if at is None else at
        self.network.detach(host, leaving or interface, how, when)
        self.network.attach(host, interface, network, when + link_time)
        return when

    def rebind(self, network: str) -> float:
        """Its NAT forgets every mapping; when (Unix time)."""
        self.network.rebind(network)
        return [e for e in self.network.links.history() if e.event == "rebound"][-1].wall

    def report_signal(self, network: str, dbm: float, host: str = "mn") -> None:
        """What the driver of a host's WLAN interface says of its radio."""
        report = {"interface": "wlan0", "dbm": dbm, "network": network}
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as radio:
            radio.sendto(json.dumps(report).encode(), str(self.phones[host].radio))

    @staticmethod
    def monotonic(wall: float) -> float:
        """A Unix time on the scale that `move` plans by."""
        return wall - time.time() + time.monotonic()

    def moved(self, host: str, count: int = 1) -> dict[str, Any]:
        """Wait for its phone's `count`-th move to be over; it was a good one."""
        line = self.until_said(host, "move_ended", count)
        assert line["ok"], line
        return line

    def sockets(self, host: str) -> list[Bound]:
        """Its phone's open UDP and TCP sockets, as the kernel has them."""
        return self.network.hosts[host].call(bound_sockets, self.phones[host].pid)

    # --- afterwards

    def link_events(self, event: str, host: str = "mn") -> list[LinkEvent]:
        """ "attached" or "detached": all of the host's, in order, by the link process' own log."""
        history = self._history or self.network.links.history()
        return [e for e in history if e.event == event and e.station.startswith(f"{host}-")]

    def monitored(self, host: str) -> list[Said]:
        """What the host's kernel said of links, addresses and routes."""
        return read_monitor(self._monitors[host])

    @cached_property
    def sightings(self) -> dict[str, dict[str, list[Sighting]]]:
        """The two phones' media at each host, "sent" and "received"."""
        found: dict[str, dict[str, list[Sighting]]] = {h: {"sent": [], "received": []} for h in USERS}
        for captured in read_captures(self.folder / "captures"):
            host = captured.place.partition(" ")[0]
            packet = captured.packet()
            if packet is not None and is_media(packet):
                side = "received" if captured.received else "sent"
                found[host][side].append(Sighting(captured.time, captured.place, packet.payload))
        sources = {measures.main_ssrc(found[host]["sent"]) for host in USERS}
        return {
            host: {
                side: [s for s in seen if measures.ssrc_of(s.octets) in sources]
                for side, seen in sides.items()
            }
            for host, sides in found.items()
        }

    @cached_property
    def streams(self) -> dict[str, list[Delivery]]:
        """ "uplink" is from mn to cn, "downlink" from cn to mn."""
        seen = self.sightings
        return {
            "uplink": measures.deliveries(seen["mn"]["sent"], seen["cn"]["received"]),
            "downlink": measures.deliveries(seen["cn"]["sent"], seen["mn"]["received"]),
        }

    def lost(self, side: str) -> int:
        """Packets of the whole call but its last 0.3 s that were numbered and never arrived."""
        stream = self.streams[side]
        return measures.lost(stream, stream[0].sent_at, stream[-1].sent_at - 0.3)

    def gap_ms(self, side: str, began: float, ended: float, after: float = 2.0) -> float:
        """The largest silence from 0.5 s before `began` to `after` seconds after `ended` (Unix times), less one
        packet time."""
        return measures.gap(self.streams[side], began - 0.5, ended + after) * 1000

    def step_ms(self, side: str, began: float, ended: float) -> float:
        """What the path that was longer afterwards adds to that."""
        old = self.delay_ms(side, began - 1.0, began - 0.05)
        return max(0.0, self.delay_ms(side, ended + 0.8, ended + 2.5) - old)

    def delay_ms(self, side: str, begin: float, end: float) -> float:
        """The median one-way delay of what was sent then."""
        delay = measures.delay(self.streams[side], begin, end)
        assert delay is not None, f"no {side} from {begin} to {end}"
        return delay * 1000

    def verdict(self) -> dict[str, Any]:
        """libsrtp's: `clear_rtp_packets`, `keys_changed`."""
        sent = {host: self.sightings[host]["sent"] for host in USERS}
        up = self.said("mn", "up")[0]
        return security.verdict(self.folder, self.streams["uplink"], self.streams["downlink"], sent, up)

    def heard(self, host: str) -> list[tuple[float, Heard]]:
        """What it recorded of the other's coded signal, with Unix times."""
        begin = self.said(host, "up")[0]["time"]
        with wave.open(str(self.phones[host].recording)) as file:
            samples = np.frombuffer(file.readframes(file.getnframes()), dtype=np.int16)
            pieces = analyse(samples, file.getframerate())
        return [(begin + piece.position, piece) for piece in pieces]

    def unheard_ms(self, host: str, began: float, ended: float) -> float:
        """Milliseconds of the other's signal between these times that its recording does not contain."""
        begin = self.said(host, "up")[0]["time"]
        return listen(self.phones[host].recording, CODED, begin).between_ms(began, ended)
