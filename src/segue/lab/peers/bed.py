"""A network with a server, a phone of ours that moves (mn) and another's phone (cn): where the interop tests call.

with Bed(folder) as bed:
    peer = bed.baresip()
    ours = bed.phone()
    bed.answering(ours); peer.call("sip:alice@example.org")
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

from segue.emulator.links import preset
from segue.lab.modes import AS_THEY_COME, phone_options
from segue.lab.networks.network import Network
from segue.lab.networks.topology import DOMAIN, OFFICE_TO_CAFE
from segue.lab.options import RunOptions
from segue.lab.peers.kamailio import start_kamailio
from segue.lab.peers.phones import Peer, make_peer, server_address
from segue.lab.peers.program import wait_until
from segue.lab.peers.sipp import Sipp
from segue.lab.phones import LabPhone, Office, segue_command

FADING = (-60, -84, 8.0)  # dBm at first, dBm at last, dB a second
OVERLAP = 1.0  # seconds from the end of a soft move until the old network is gone


class Bed:
    """`transport` and `family` hold for everybody; keys are agreed on over TLS only. `server`: "segue" or
    "kamailio"."""

    def __init__(
        self,
        folder: Path,
        *,
        transport: str = "tls",
        family: int = 4,
        codec: str = "PCMA",
        server: str = "segue",
        mode: str = AS_THEY_COME,
    ) -> None:
        self.folder = folder
        self.transport = transport
        self.family = family
        self.codec = codec
        self.server = server
        self.options = RunOptions(mode=mode, signalling=transport, family=family, codec=codec)
        self._ends = contextlib.ExitStack()

    def __enter__(self) -> Bed:
        try:
            self._start()
        except BaseException:
            self._ends.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._ends.close()

    def _start(self) -> None:
        self.network = self._ends.enter_context(Network(OFFICE_TO_CAFE, preset("clean"), 1, self.folder))
        self.office = Office(self.network, self.folder / "office")
        if self.server == "kamailio":
            kamailio = start_kamailio(self.network, self.office, self.folder / "kamailio")
            self._ends.callback(kamailio.stop)
        else:
            policy = self.folder / "policy.toml"
            policy.write_text('[policy]\ndigest = ["MD5"]\n')  # baresip 1.0.0 and sipp give up at others
            self.office.start_server("--config", policy)
        resolvers = self.folder / "resolvers"
        resolvers.mkdir(exist_ok=True)
        self.resolvers = str(resolvers)
        self.network.start_attachment_agent("mn", families=str(self.family), resolvers=self.resolvers)
        self.network.attach("mn", "wlan0", "office")

    # --- phones

    def password(self, user: str) -> str:
        return self.office.password_file(user).read_text().strip()

    @property
    def proxy(self) -> str:
        """`HOST:PORT` of the server for this transport."""
        return server_address(self.network, self.options)

    def peer(self, kind: str, *, answers: bool = True, ice: bool = False) -> Peer:
        """A registered phone at cn whose user is bob."""
        folder = self.folder / kind
        made = make_peer(
            kind, self.network, self.office, "cn", folder, self.options, answers=answers, ice=ice
        )
        self._ends.callback(made.stop)
        made.start()
        return made

    def segue(self, *arguments: object, host: str = "mn") -> LabPhone:
        """`segue call …` or `segue answer …`; alice at mn, bob at cn. Ends with the bed."""
        phone = LabPhone(self.network, self.office, host, self.folder, self.options)
        phone.start(*arguments, resolvers=self.resolvers if host == "mn" else "")
        self._ends.callback(self.end, phone)
        return phone

    def answering(self, *arguments: object, host: str = "mn") -> LabPhone:
        """`segue answer --once`, registered."""
        phone = self.segue("answer", "--once", "--answer-after", 0.2, *arguments, host=host)
        phone.wait_for("registered")
        return phone

    def end(self, phone: LabPhone) -> None:
        """As if its user pressed Ctrl-C: it hangs up and goes."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(phone.pid, signal.SIGINT)
        phone.finish(5)

    def sipp(self, password: str = "") -> Sipp:
        """At cn, as bob."""
        address = self.network.address("cn", 4)
        assert isinstance(address, IPv4Address)
        made = Sipp(
            self.network.hosts["cn"],
            self.folder / "sipp",
            address=address,
            server=self.proxy,
            transport=self.transport,
            user="bob",
            password=password or self.password("bob"),
        )
        self._ends.callback(made.stop)
        return made

    def said_by_call(self, callee: str, password: str = "") -> tuple[int, str]:
        """Exit status and last words of alice's `segue call` without --events."""
        typed = self.folder / "typed-password"
        typed.touch(0o600)
        typed.write_text(password or self.password("alice"))
        command = segue_command(
            *("call", callee, "--aor", f"sip:alice@{DOMAIN}"),
            *phone_options(self.options.mode, self.options.speech),
            *("--password-file", typed, "--ca", self.office.ca),
            *("--transport", self.transport, "--keying", self.options.agreed_keying, "--family", self.family),
            *("--audio-in", "silence", "--audio-out", "null", "--codec", self.codec),
            *("--resolver-dir", self.resolvers, "--state-dir", self.folder),
        )
        process = self.network.hosts["mn"].popen(command, stderr=subprocess.PIPE, text=True)
        _, words = process.communicate(timeout=20)
        return process.returncode, words.strip().splitlines()[-1]

    # --- moves

    def hard_move(self, ours: LabPhone, network: str = "cafe") -> dict[str, Any]:
        """The WLAN is gone, and 50 ms later another is there. What the phone said of the move."""
        before = count_of(ours, "move_ended")
        self.network.move("mn", "wlan0", network)
        return self._moved(ours, before)

    def soft_move(self, ours: LabPhone) -> dict[str, Any]:
        """3G comes up, the WLAN fades, and is gone a second after the move."""
        before = count_of(ours, "move_ended")
        self.network.attach("mn", "wwan0", "umts")
        first, last, speed = FADING
        begin = time.monotonic()
        while count_of(ours, "move_ended") == before and time.monotonic() < begin + 15:
            self._report_signal(ours, max(float(last), first - speed * (time.monotonic() - begin)), "office")
            time.sleep(0.1)
        move = self._moved(ours, before)
        time.sleep(OVERLAP)
        self.network.detach("mn", "wlan0")
        return move

    def soft_return(self, ours: LabPhone, network: str) -> dict[str, Any]:
        """A WLAN comes up beside 3G, which is gone a second after the move."""
        before = count_of(ours, "move_ended")
        self.network.attach("mn", "wlan0", network)
        self._report_signal(ours, FADING[0], network)
        move = self._moved(ours, before)
        time.sleep(OVERLAP)
        self.network.detach("mn", "wwan0")
        return move

    @staticmethod
    def _report_signal(ours: LabPhone, dbm: float, network: str) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as radio:
            report = {"interface": "wlan0", "dbm": round(dbm, 1), "network": network}
            radio.sendto(json.dumps(report).encode(), str(ours.radio))

    def _moved(self, ours: LabPhone, before: int) -> dict[str, Any]:
        """The lines `move_begun` and `move_ended` of the newest move, as one."""
        wait_until(
            lambda: count_of(ours, "move_ended") > before, 10.0, "the end of the move", ours.events_file
        )
        begun, ended = (
            [x for x in ours.lines() if x["event"] == f"move_{end}"][-1] for end in ("begun", "ended")
        )
        return begun | ended


def count_of(
    phone: LabPhone, event: str, matches: Callable[[dict[str, Any]], bool] = lambda _line: True
) -> int:
    """Event lines of a kind so far."""
    return sum(line["event"] == event and matches(line) for line in phone.lines())
