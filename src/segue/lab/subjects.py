"""The phones of a scenario: ours, or somebody else's in its place. All of them are measured alike."""

from __future__ import annotations

import contextlib
import json
import shutil
import time
from pathlib import Path
from typing import Protocol

from segue.base.errors import LocalError
from segue.lab.networks.network import Network
from segue.lab.options import CODED, RunOptions
from segue.lab.peers.phones import make_peer
from segue.lab.phones import USERS, LabPhone, Office

RINGING = 0.3  # seconds before ours answers


class Subject(Protocol):
    """One phone on one host. `radio`: the socket that its radio's signal is reported to."""

    user: str
    radio: Path

    def answer(self, resolvers: str) -> None:
        """Registered when it returns; it takes the next call."""

    def call(self, uri: str, duration: float, resolvers: str) -> None:
        """Begin a call that is to last `duration` seconds."""

    def wait_up(self) -> None:
        """Raises LocalError when its call does not come up."""

    def finish(self) -> None:
        """At the end of the call: the phone is gone, and what it heard is in FOLDER/HOST.wav."""


def subject(
    kind: str, network: Network, office: Office, host: str, folder: Path, options: RunOptions
) -> Subject:
    if kind == "segue":
        return OurPhone(network, office, host, folder, options)
    return OtherPhone(kind, network, office, host, folder, options)


class OurPhone(LabPhone):
    """`segue answer` or `segue call`; hangs up by itself."""

    def answer(self, resolvers: str) -> None:
        self.start("answer", "--once", "--answer-after", RINGING, resolvers=resolvers)
        self.wait_for("registered")

    def call(self, uri: str, duration: float, resolvers: str) -> None:
        self.start("call", uri, "--duration", duration, resolvers=resolvers)

    def wait_up(self) -> None:
        self.wait_for("up")


class OtherPhone:
    """A phone of others, which talks the coded signal. It is told to hang up; what it does when the network changes
    is its own affair."""

    def __init__(
        self, kind: str, network: Network, office: Office, host: str, folder: Path, options: RunOptions
    ) -> None:
        if options.talk != CODED:
            raise LocalError(f"{kind} talks the coded signal only", "leave out --talk")
        self.user = USERS[host]
        self.radio = folder / f"{host}.radio"
        self._recording = folder / f"{host}.wav"
        self._events = folder / "phones" / f"{host}.jsonl"
        self._events.parent.mkdir(parents=True, exist_ok=True)
        self._options = options
        self._calls = False
        self._phone = make_peer(kind, network, office, host, folder / "phones" / host, options)

    def answer(self, resolvers: str) -> None:  # noqa: ARG002 (it is given the server's address)
        self._phone.start()

    def call(self, uri: str, duration: float, resolvers: str) -> None:  # noqa: ARG002
        self._phone.start()
        self._calls = True
        self._phone.call(uri)

    def wait_up(self) -> None:
        self._phone.wait_up()
        line = {"event": "up", "time": time.time(), "codec": self._options.codec}
        self._events.write_text(json.dumps(line) + "\n")

    def finish(self) -> None:
        if self._calls:
            self._phone.hang_up()
        with contextlib.suppress(LocalError):
            self._phone.wait_closed(3.0)
        self._phone.stop()
        if self._phone.heard.path.exists():
            shutil.copy(self._phone.heard.path, self._recording)
