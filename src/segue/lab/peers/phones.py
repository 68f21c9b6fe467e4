"""A phone of somebody else on a host of the lab, with an account at the server there."""

from __future__ import annotations

from pathlib import Path

from segue.lab.networks.network import Network
from segue.lab.networks.topology import DOMAIN
from segue.lab.options import RunOptions
from segue.lab.peers.baresip import Baresip
from segue.lab.peers.linphone import Linphone
from segue.lab.phones import USERS, Office

PORTS = {"tls": 5061, "tcp": 5060, "udp": 5060}
Peer = Baresip | Linphone
_KINDS: dict[str, type[Baresip] | type[Linphone]] = {"baresip": Baresip, "linphonec": Linphone}


def server_address(network: Network, options: RunOptions) -> str:
    """`HOST:PORT` of the server for the options' transport and family."""
    host = str(network.address("proxy", options.family))
    return f"{f'[{host}]' if options.family == 6 else host}:{PORTS[options.signalling]}"


def make_peer(
    kind: str,
    network: Network,
    office: Office,
    host: str,
    folder: Path,
    options: RunOptions,
    *,
    answers: bool = True,
    ice: bool = False,
) -> Peer:
    """`kind`: baresip or linphonec. It keeps its things in `folder`, and is not started yet."""
    return _KINDS[kind](
        network.hosts[host],
        folder,
        aor=f"sip:{USERS[host]}@{DOMAIN}",
        password=office.password_file(USERS[host]).read_text().strip(),
        proxy=server_address(network, options),
        transport=options.signalling,
        keying=options.agreed_keying,
        ca=office.ca,
        codec=options.codec,
        answers=answers,
        ice=ice,
    )
