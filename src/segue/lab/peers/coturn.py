"""coturn 4.6.1 as Debian has it: a STUN and TURN server over UDP, TCP and TLS."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from pathlib import Path

from segue.base.address import Address
from segue.base.errors import LocalError
from segue.lab.networks.namespaces import Namespace
from segue.lab.peers.program import Program, wait_until
from segue.protocols.turn.uri import PORT, TLS_PORT

USER, PASSWORD, REALM = "alice", "sesame", "example.org"


class Coturn:
    """Listens on every one of `hosts`, relays from them, and knows one user. `certificate` and `key`: PEM files for
    TLS. `options`: of turnserver, besides."""

    def __init__(
        self,
        host: Namespace,
        folder: Path,
        *,
        hosts: Sequence[str],
        port: int = PORT,
        certificate: str = "",
        key: str = "",
        options: Sequence[str] = (),
    ) -> None:
        self.program = Program(host, folder, "coturn")
        self._host = host
        self._hosts = hosts
        self._port = TLS_PORT if certificate else port  # where it is looked for
        settings = [
            f"listening-port={port}",
            f"tls-listening-port={TLS_PORT}",
            *(f"listening-ip={each}" for each in hosts),
            *(f"relay-ip={each}" for each in hosts),
            *((f"cert={certificate}", f"pkey={key}") if certificate else ("no-tls",)),
            "no-dtls",
            "no-cli",
            "lt-cred-mech",
            f"user={USER}:{PASSWORD}",
            f"realm={REALM}",
            f"userdb={folder}/coturn.db",
            f"pidfile={folder}/coturn.pid",
            "log-file=stdout",
            "simple-log",
            "verbose",
            *options,
        ]
        self._file = folder / "turnserver.conf"
        self._file.touch(0o600)
        self._file.write_text("\n".join(settings) + "\n")

    def start(self, timeout: float = 10.0) -> None:
        """Returns when it listens."""
        self.program.launch(["turnserver", "-c", str(self._file)])
        wait_until(lambda: all(map(self._listens, self._hosts)), timeout, "coturn", self.program.log)

    def _listens(self, host: str) -> bool:
        if not self.program.running:
            raise LocalError("coturn has ended", f"see {self.program.log}")
        family = socket.AF_INET6 if Address(host, 0).family == 6 else socket.AF_INET
        with self._host.socket(family, socket.SOCK_STREAM) as probe:
            return probe.connect_ex((host, self._port)) == 0

    def stop(self) -> None:
        self.program.stop()
