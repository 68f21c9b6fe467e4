"""`segue lab`: scenarios in network namespaces, measured from captures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click


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
def list_scenarios() -> None:
    """Say which scenarios, modes and links there are."""
    from segue.emulator.links import PRESETS
    from segue.lab.options import MODES, SCENARIOS
    from segue.lab.topology import TOPOLOGIES

    for name, what in SCENARIOS.items():
        click.echo(f"{name:12} {what}")
    click.echo("\nmodes: " + "; ".join(f"{name} ({what})" for name, what in MODES.items()))
    click.echo("links: " + ", ".join(PRESETS))
    for topology in TOPOLOGIES.values():
        click.echo("\n" + topology.picture())


@command.command("run")
@click.argument("scenario")
@click.option("--mode", default="reinvite", show_default=True, help="reinvite (hard) or soft.")
@click.option("--signalling", default="tls", show_default=True, help="tls, tcp or udp.")
@click.option("--family", type=int, default=6, show_default=True, help="4 or 6.")
@click.option("--keying", default="", help="sdes or none. [sdes over TLS, else none]")
@click.option("--suite", default="", help="SRTP suite. [the phones' first choice]")
@click.option("--codec", default="PCMA", show_default=True, help="opus, G722, PCMA or PCMU.")
@click.option("--links", default="clean", show_default=True, help="clean, or street: jitter, loss, fading.")
@click.option("--link-time", type=float, default=50, show_default=True, metavar="MS", help="Old link to new.")
@click.option(
    "--overlap", type=float, default=2000, show_default=True, metavar="MS", help="Of soft handovers."
)
@click.option(
    "--break", "break_", default="carrier", show_default=True, help="carrier, address or interface."
)
@click.option("--rounds", type=int, default=1, show_default=True, help="Walks there and back, or moves.")
@click.option("--seed", type=int, default=1, show_default=True)
@click.option("--speed", type=float, default=0, metavar="M/S", help="Of the walk. [2, repeated walks 4]")
@click.option("--caller", default="mn", show_default=True, help="mn or cn.")
@click.option("--mn", default="segue", show_default=True, help="The phone that moves.")
@click.option("--cn", default="segue", show_default=True, help="The phone that stays.")
@click.option("--talk", default="coded", show_default=True, help="coded, speech, or a WAV file.")
@click.option("--dad", default="optimistic", show_default=True, help="Duplicate address detection.")
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
@click.option("--json", "json_file", metavar="FILE", help="Write the result there; - is standard output.")
@click.option("--report", "report_dir", metavar="DIR", help="Keep everything there, with report.html.")
@click.option("--pcap", "pcap_dir", metavar="DIR", help="Keep the captures there.")
def run(json_file: str | None, report_dir: str | None, pcap_dir: str | None, **given: Any) -> None:
    """Run SCENARIO (see `segue lab list`) and print its figures. Needs root, or user namespaces."""
    from segue.lab.namespaces import enter_user_namespace
    from segue.lab.options import RunOptions
    from segue.lab.run import run_scenario

    enter_user_namespace()
    options = RunOptions(**given)
    quiet = json_file == "-"
    result = run_scenario(options, report_dir, pcap_dir, quiet=quiet)
    if json_file == "-":
        click.echo(json.dumps(result, indent=1))
    elif json_file:
        Path(json_file).write_text(json.dumps(result, indent=1) + "\n")


@command.command("report")
@click.argument("folder", type=click.Path(exists=True, file_okay=False))
def report(folder: str) -> None:
    """Make report.html (and result.json) of FOLDER again, from what a run left there."""
    from segue.lab.run import write_results

    click.echo(f"{write_results(Path(folder))}")
