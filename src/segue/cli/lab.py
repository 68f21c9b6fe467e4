"""`segue lab`: scenarios in network namespaces, measured from captures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from segue.base.errors import LocalError
from segue.cli.output_path import writable_file, writable_folder
from segue.emulator.links import PRESETS
from segue.lab.modes import MODES, SPEECH
from segue.lab.options import BREAKS, MOVERS, PHONES, SCENARIOS, SIGNALLING

if TYPE_CHECKING:
    from segue.lab.options import RunOptions


@click.group()
def command() -> None:
    """Hosts, networks, walks and attacks on this machine, measured from packet captures.

    \b
    segue lab list
    segue lab run walk --report out            office WLAN, 3G, café WLAN, by hard handovers
    segue lab run walk --mode soft --rounds 5 --json soft.json
    segue lab run two-subnets --signalling udp --family 4 --rounds 10
    """


@command.command("list")
@click.option("--json", "as_json", is_flag=True, help="As JSON, for programs.")
def list_scenarios(as_json: bool) -> None:
    """Say which scenarios, modes and links there are.

    \b
    segue lab list
    segue lab list --json
    """
    from segue.lab.networks.topology import TOPOLOGIES

    if as_json:
        topologies = {name: topology.picture() for name, topology in TOPOLOGIES.items()}
        modes = {name: mode.what for name, mode in MODES.items()}
        facts = {"scenarios": SCENARIOS, "modes": modes, "links": list(PRESETS), "topologies": topologies}
        click.echo(json.dumps(facts, indent=1))
        return
    for name, what in SCENARIOS.items():
        click.echo(f"{name:12} {what}")
    click.echo("\nmodes:")
    for name, mode in MODES.items():
        click.echo(f"  {name:15} {mode.what}")
    click.echo("links: " + ", ".join(PRESETS))
    for topology in TOPOLOGIES.values():
        click.echo("\n" + topology.picture())


@command.command("run")
@click.argument("scenario", metavar="SCENARIO", type=click.Choice(list(SCENARIOS)))
@click.option(
    "--mode",
    "modes",
    default="migrate",
    show_default=True,
    metavar="MODE[,MODE…]",
    help="See segue lab list; several with commas: one after the other, compared.",
)
@click.option("--signalling", type=click.Choice(SIGNALLING), default="tls", show_default=True)
@click.option("--family", type=click.Choice(["4", "6"]), help="[6, with a NAT 4]")
@click.option("--keying", default="", metavar="NAME", help="sdes or none. [sdes over TLS, else none]")
@click.option("--suite", default="", metavar="NAME", help="SRTP suite. [the phones' first choice]")
@click.option("--codec", default="PCMA", show_default=True, metavar="NAME", help="opus, G722, PCMA or PCMU.")
@click.option(
    "--links",
    type=click.Choice(list(PRESETS)),
    default="clean",
    show_default=True,
    help="street: with jitter, loss and fading.",
)
@click.option(
    "--link-time",
    type=click.FloatRange(min=0),
    default=50,
    show_default=True,
    metavar="MS",
    help="Old link to new.",
)
@click.option(
    "--overlap",
    type=click.FloatRange(min=0),
    default=2000,
    show_default=True,
    metavar="MS",
    help="Of soft handovers.",
)
@click.option(
    "--break",
    "break_",
    type=click.Choice(BREAKS),
    default="carrier",
    show_default=True,
    help="How the old network goes.",
)
@click.option("--rounds", type=int, default=1, show_default=True, help="Walks there and back, or moves.")
@click.option("--seed", type=int, default=1, show_default=True, help="The same one gives the same links.")
@click.option("--speed", type=float, default=0, metavar="M/S", help="Of the walk. [2, repeated walks 4]")
@click.option("--caller", type=click.Choice(["mn", "cn"]), default="mn", show_default=True)
@click.option(
    "--mn", type=click.Choice(PHONES), default="segue", show_default=True, help="The phone that moves."
)
@click.option(
    "--cn", type=click.Choice(PHONES), default="segue", show_default=True, help="The phone that stays."
)
@click.option(
    "--talk", default="coded", show_default=True, metavar="FILE|coded|speech", help="What both talk."
)
@click.option(
    "--dad",
    type=click.Choice(["optimistic", "full", "none"]),
    default="optimistic",
    show_default=True,
    help="Duplicate address detection.",
)
@click.option(
    "--nat",
    default="",
    metavar="WHERE:KIND",
    help="mn, cn or both, and full-cone, port-restricted, symmetric …",
)
@click.option("--mover", type=click.Choice(list(MOVERS)), help="Who moves. [the scenario's own]")
@click.option(
    "--speech",
    type=click.Choice(list(SPEECH)),
    default="continuous",
    show_default=True,
    help="What becomes of late speech.",
)
@click.option("--challenge", is_flag=True, help="The server lets no nonce serve twice.")
@click.option("--initial-sequence", type=click.IntRange(0, 65535), help="First RTP sequence number.")
@click.option(
    "--attacks",
    type=click.IntRange(0, 20_000),
    default=1000,
    show_default=True,
    metavar="N",
    help="Packets to forge and replay in each walk.",
)
@click.option("--relayed", is_flag=True, help="The attacker relays the movers' checks, too.")
@click.option(
    "--json",
    "json_file",
    type=click.Path(),
    metavar="FILE",
    help="Write the result there; - is standard output.",
)
@click.option(
    "--report",
    "report_dir",
    type=click.Path(),
    metavar="DIR",
    help="Keep everything there, with report.html.",
)
@click.option("--pcap", "pcap_dir", type=click.Path(), metavar="DIR", help="Keep the captures there.")
def run(
    modes: str, json_file: str | None, report_dir: str | None, pcap_dir: str | None, **given: Any
) -> None:
    """Run SCENARIO (see `segue lab list`) and print its figures. Needs root, or user namespaces.

    \b
    segue lab run walk --report out
    segue lab run walk --mode soft --links street --json -
    segue lab run two-subnets --signalling udp --family 4 --rounds 10
    segue lab run walk --mode reinvite,soft,migrate,soft+duplicate --report out

    Exit status: 0 done; 2 it could not be run, and one line says why.
    """
    from segue.lab.networks.namespaces import enter_user_namespace
    from segue.lab.options import RunOptions
    from segue.lab.run import compare_modes, run_scenario

    given |= {"mover": given["mover"] or "", "family": int(given["family"] or 0)}
    runs = [RunOptions(**given, mode=mode) for mode in dict.fromkeys(modes.split(","))]
    _check_phone(runs[0])
    if json_file not in (None, "-"):
        writable_file(json_file, "--json")
    for folder, option in ((report_dir, "--report"), (pcap_dir, "--pcap")):
        if folder is not None:
            writable_folder(folder, option)
    enter_user_namespace()
    quiet = json_file == "-"
    if len(runs) > 1:
        result = compare_modes(runs, report_dir, pcap_dir, quiet=quiet)
    else:
        result = run_scenario(runs[0], report_dir, pcap_dir, quiet=quiet)
    if json_file == "-":
        click.echo(json.dumps(result, indent=1))
    elif json_file:
        Path(json_file).write_text(json.dumps(result, indent=1) + "\n")


def _check_phone(options: RunOptions) -> None:
    """What only the phones read, before a network is built for them. Raises LocalError."""
    from segue.call.config import MediaConfig
    from segue.call.keying import Keying
    from segue.cli.phone_options import suite_of
    from segue.devices.open import check_sound
    from segue.net.entropy import SystemEntropy

    Keying(MediaConfig(codecs=(options.codec,), keying=options.agreed_keying), SystemEntropy())
    if options.suite:
        suite_of(options.suite)
    check_sound(options.talk, "null")


@command.command("report")
@click.argument("folder", type=click.Path(exists=True, file_okay=False))
def report(folder: str) -> None:
    """Make report.html (and result.json) of FOLDER again, from what a run left there.

    \b
    segue lab report out
    """
    from segue.lab.run import write_results

    if not any((Path(folder) / name).exists() for name in ("options.json", "compare.json")):
        raise LocalError(f"{folder} holds no run", "give a folder that segue lab run --report has filled")
    click.echo(f"{write_results(Path(folder))}")
