"""`segue attach`."""

from __future__ import annotations

import signal
import socket
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from segue.base.secret import Secret


@click.command()
@click.argument("interfaces", nargs=-1, required=True)
@click.option("--family", type=click.Choice(["4", "6"]), help="Only IPv4 or only IPv6. [both]")
@click.option(
    "--dad",
    type=click.Choice(["optimistic", "full", "none", "proactive"]),
    default="optimistic",
    show_default=True,
    help="Duplicate address detection of IPv6: use the address meanwhile, wait a second for it, do without, "
    "or ask the next network's router beforehand.",
)
@click.option("--no-rapid-commit", is_flag=True, help="DHCP in four messages always (RFC 2131).")
@click.option(
    "--resolver-dir",
    type=click.Path(file_okay=False, exists=True, path_type=Path),
    metavar="DIR",
    help="Write INTERFACE.conf with the network's name servers there (segue call --resolver-dir).",
)
@click.option(
    "--radio",
    type=click.Path(),
    default="",
    metavar="SOCKET",
    help="Where drivers say which network they are associated with. [nowhere]",
)
@click.option(
    "--state-dir",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("/var/lib/segue"),
    show_default=True,
    metavar="DIR",
    help="Where the key is kept that makes this machine's IPv6 addresses.",
)
def command(
    interfaces: tuple[str, ...],
    family: str | None,
    dad: str,
    no_rapid_commit: bool,
    resolver_dir: Path | None,
    radio: str,
    state_dir: Path,
) -> None:
    """Attach INTERFACES to whatever network they reach, within a round trip, until interrupted.

    Takes the place of other network managers for these interfaces, and needs root. The first interface is
    preferred. Calls move without it too, only later. When it ends, addresses and routes stay, and the kernel's own
    autoconfiguration is as it was.

    \b
    segue attach wlan0 wwan0
    """
    from segue.mobility.attach_agent import run_attach

    ended = False

    def end(*_: object) -> None:
        nonlocal ended
        ended = True

    key = _key(state_dir)
    signal.signal(signal.SIGINT, end)
    signal.signal(signal.SIGTERM, end)
    run_attach(
        interfaces,
        (int(family),) if family else (6, 4),
        dad,
        rapid_commit=not no_rapid_commit,
        key=key,
        resolver_folder=resolver_dir,
        radio=radio,
        ready=lambda: click.echo(f"attaching {' '.join(interfaces)}{_missing(interfaces)}"),
        stop=lambda: ended,
    )


def _missing(interfaces: tuple[str, ...]) -> str:
    """A word about those that are not there, be it yet or because of their names."""
    there = {name for _, name in socket.if_nameindex()}
    missing = [name for name in interfaces if name not in there]
    return f" (waiting for {', '.join(missing)}, which is not there)" if missing else ""


def _key(folder: Path) -> Secret:
    """Made once, so that the machine has the same address on each visit to a network (RFC 7217)."""
    from segue.base.errors import LocalError
    from segue.base.secret import Secret
    from segue.net.entropy import SystemEntropy

    path = folder / "attach-key"
    try:
        if not path.exists():
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            path.touch(mode=0o600)
            path.write_bytes(SystemEntropy().octets(32))
        octets = path.read_bytes()
    except OSError as error:
        raise LocalError(
            f"cannot keep a key in {folder}: {error.strerror}", "run as root, or --state-dir"
        ) from None
    if len(octets) != 32:
        raise LocalError(f"{path} is not a key of 32 octets", "remove it, and a new one is made")
    return Secret(octets)
