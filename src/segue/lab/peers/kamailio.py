"""kamailio 5.6.3 as Debian has it: registrar and proxy in the place of ours. Its routing is in `kamailio.cfg`."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Mapping, Sequence
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

from segue.base.errors import LocalError
from segue.lab.networks.namespaces import Namespace
from segue.lab.networks.network import Network
from segue.lab.networks.topology import DOMAIN
from segue.lab.peers.program import Program, wait_until
from segue.lab.phones import USERS, Office

_ROUTING = Path(__file__).with_name("kamailio.cfg")


class Kamailio:
    """Serves `domain` on every address by UDP, TCP and TLS; `passwords` by user."""

    def __init__(
        self,
        host: Namespace,
        folder: Path,
        *,
        domain: str,
        addresses: Sequence[IPv4Address | IPv6Address],
        certificate: str,
        key: str,
        passwords: Mapping[str, str],
    ) -> None:
        self.program = Program(host, folder, "kamailio")
        self._host = host
        self._addresses = addresses
        shutil.copy(_ROUTING, folder / "kamailio.cfg")
        written = [f"[{address}]" if address.version == 6 else str(address) for address in addresses]
        lines = [
            f'alias="{domain}"',
            *(
                f"listen={transport}:{address}:{port}"
                for address in written
                for transport, port in (("udp", 5060), ("tcp", 5060), ("tls", 5061))
            ),
            f'modparam("tls", "certificate", "{certificate}")',
            f'modparam("tls", "private_key", "{key}")',
            "event_route[htable:mod-init] {",
            *(f'\t$sht(passwords=>{user}) = "{password}";' for user, password in passwords.items()),
            "}",
        ]
        settings = folder / "settings.cfg"
        settings.touch(0o600)
        settings.write_text("\n".join(lines) + "\n")

    def start(self, timeout: float = 10.0) -> None:
        """Returns when it listens."""
        folder = self.program.folder
        self.program.launch(
            ["kamailio", "-f", f"{folder}/kamailio.cfg", "-DD", "-E", "-m", "32", "-Y", str(folder)]
        )
        wait_until(lambda: all(map(self._listens, self._addresses)), timeout, "kamailio", self.program.log)

    def _listens(self, address: IPv4Address | IPv6Address) -> bool:
        if not self.program.running:
            raise LocalError("kamailio has ended", f"see {self.program.log}")
        family = socket.AF_INET6 if address.version == 6 else socket.AF_INET
        with self._host.socket(family, socket.SOCK_STREAM) as probe:
            return probe.connect_ex((str(address), 5061)) == 0

    def stop(self) -> None:
        self.program.stop()


def start_kamailio(network: Network, office: Office, folder: Path) -> Kamailio:
    """In the place of the office's own server, for the same users. Returns when it listens."""
    server = Kamailio(
        network.hosts["proxy"],
        folder,
        domain=DOMAIN,
        addresses=[network.address("proxy", family) for family in (4, 6)],
        certificate=office.certificate.certificate_file,
        key=office.certificate.key_file,
        passwords={user: office.password_file(user).read_text().strip() for user in USERS.values()},
    )
    server.start()
    return server
