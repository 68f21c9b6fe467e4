"""The programs of a scenario: the server on its host, the phones on theirs, as a user would start them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from segue.base.errors import LocalError
from segue.lab.modes import phone_options
from segue.lab.networks.network import Network
from segue.lab.networks.topology import DOMAIN
from segue.lab.options import RunOptions
from segue.testing.certificates import make_ca, make_certificate

START_TIMEOUT = 30.0  # seconds; a busy machine takes its time to start a program
USERS = {"mn": "alice", "cn": "bob"}


def segue_command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "segue", *map(str, arguments)]


class Office:
    """What the phones need: a domain with a certificate, accounts, and the server."""

    def __init__(self, network: Network, folder: Path) -> None:
        self._network = network
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        authority = make_ca(folder, "Lab CA")
        self.ca = authority.file
        self.certificate = make_certificate(authority, uris=[f"sip:{DOMAIN}"], names=[DOMAIN])
        self._passwords = {user: os.urandom(12).hex() for user in USERS.values()}

    def password_file(self, user: str) -> Path:
        path = self._folder / f"{user}.password"
        _write_secret(path, self._passwords[user] + "\n")
        return path

    def start_server(self, *options: object) -> subprocess.Popen[Any]:
        """Returns when it listens. `options`: more of `segue server`."""
        users = self._folder / "users"
        _write_secret(users, "".join(f"{u}:{p}\n" for u, p in self._passwords.items()))
        listens: list[str] = []
        for family in (6, 4):
            host = str(self._network.address("proxy", family))
            host = f"[{host}]" if family == 6 else host
            for transport, port in (("tls", 5061), ("tcp", 5060), ("udp", 5060), ("stun", 3478)):
                listens += ["--listen", f"{transport}:{host}:{port}"]
        command = segue_command(
            "server",
            *("--domain", DOMAIN),
            *listens,
            *("--cert", self.certificate.certificate_file, "--key", self.certificate.key_file),
            *("--db", self._folder / "server.db", "--users", users),
            *options,
        )
        log = self._folder / "server.log"
        with open(log, "w") as file:
            process = self._network.hosts["proxy"].popen(command, stdout=file, stderr=file)
        _await(lambda: log.read_text().count("listening on") == len(listens) // 2, process, log)
        return process


class LabPhone:
    """`segue call` or `segue answer` on a host; its event lines are in `events_file`."""

    def __init__(
        self, network: Network, office: Office, host: str, folder: Path, options: RunOptions
    ) -> None:
        self.host = host
        self.folder = folder
        self.events_file = folder / "phones" / f"{host}.jsonl"
        self.recording = folder / f"{host}.wav"
        self.keys_file = folder / "phones" / f"{host}.keys"
        self.radio = folder / f"{host}.radio"
        self.user = USERS[host]
        self._network = network
        self._office = office
        self._options = options
        self._read = 0
        self._process: subprocess.Popen[Any] | None = None
        self.events_file.parent.mkdir(parents=True, exist_ok=True)

    def start(
        self,
        *arguments: object,
        resolvers: str = "",
        program: Sequence[str] = ("-m", "segue"),
        any_family: bool = False,
    ) -> None:
        """`arguments`: the command and what only it takes, for instance ("call", "bob", "--duration", 20). `program`:
        what Python runs in its place. `any_family`: not only the scenario's."""
        options = self._options
        wanted: list[object] = [
            *("--aor", f"sip:{self.user}@{DOMAIN}", "--password-file", self._office.password_file(self.user)),
            *("--transport", options.signalling, "--ca", self._office.ca),
            *(() if any_family else ("--family", options.family)),
            *("--keying", options.agreed_keying, "--codec", options.codec),
            *("--audio-in", options.talk, "--audio-out", self.recording),
            *("--state-dir", self.folder / "phones", "--radio", self.radio, "--events"),
            *phone_options(options.mode, options.speech),
        ]
        if options.suite:
            wanted += ["--suite", options.suite]
        if resolvers:
            wanted += ["--resolver-dir", resolvers]
        if options.initial_sequence is not None:
            wanted += ["--initial-sequence", options.initial_sequence]
        if options.agreed_keying != "none":
            wanted += ["--srtp-keys-to", self.keys_file]
        command = [sys.executable, *program, *map(str, arguments), *map(str, wanted)]
        with open(self.events_file, "w") as events, open(self._errors_file, "w") as errors:
            self._process = self._network.hosts[self.host].popen(
                command, stdout=events, stderr=errors, stdin=subprocess.DEVNULL
            )

    @property
    def _errors_file(self) -> Path:
        return self.events_file.with_suffix(".err")

    @property
    def words(self) -> str:
        """The last line of what it said to its user."""
        return " ".join(self._errors_file.read_text().strip().splitlines()[-1:])

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def lines(self) -> Iterator[dict[str, Any]]:
        """All event lines so far."""
        for line in self.events_file.read_text().splitlines(keepends=True):
            if line.endswith("\n") and line.startswith("{"):
                yield json.loads(line)

    def said(self, event: str) -> dict[str, Any] | None:
        """The first line of that event."""
        return next((line for line in self.lines() if line["event"] == event), None)

    def wait_for(self, event: str, timeout: float = START_TIMEOUT) -> dict[str, Any]:
        """Raises LocalError with the phone's own words when it does not come."""
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            line = self.said(event)
            if line is not None:
                return line
            ended = self.said("ended")
            if ended is not None and event != "ended":
                raise LocalError(
                    f"the call of {self.host} ended: {ended['reason']}", f"see {self.events_file}"
                )
            if self._process is not None and self._process.poll() is not None:
                break
            time.sleep(0.02)
        raise LocalError(
            f"the phone of {self.host} was never {event!r}: {self.words}", f"see {self.events_file}"
        )

    def wait(self, timeout: float) -> int | None:
        """Its exit status; None when it runs on."""
        assert self._process is not None
        try:
            return self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            return None

    def finish(self, timeout: float = 10.0) -> None:
        """Wait until it has hung up; end it when it does not."""
        if self._process is None:
            return
        try:
            self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            self._process.terminate()
            self._process.wait(5)


def _write_secret(path: Path, text: str) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "w") as file:
        file.write(text)


def _await(ready: Any, process: subprocess.Popen[Any], log: Path) -> None:
    end = time.monotonic() + START_TIMEOUT
    while time.monotonic() < end:
        if ready():
            return
        if process.poll() is not None:
            break
        time.sleep(0.02)
    words = log.read_text().strip().splitlines()[-1:]
    raise LocalError(f"the server did not start: {' '.join(words)}", f"see {log}")
