"""kamailio 5.6.3 as Debian has it, as registrar and proxy in the place of ours: digest, TLS, TCP, UDP."""

from __future__ import annotations

from pathlib import Path

from segue.lab.network import Network
from segue.lab.peers.program import Program
from segue.lab.phones import Office


class Kamailio:
    def __init__(self, network: Network, office: Office, folder: Path) -> None:
        self.program = Program(network.hosts["proxy"], folder, "kamailio")

    def start(self) -> None: ...

    def stop(self) -> None:
        self.program.stop()
