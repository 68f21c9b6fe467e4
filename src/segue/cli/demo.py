"""`segue demo`: the main job in one command."""

from __future__ import annotations

import click


@click.command()
@click.option(
    "--into",
    type=click.Path(),
    default="demo",
    show_default=True,
    metavar="DIR",
    help="Where the report goes.",
)
@click.option("--hard", is_flag=True, help="One radio: the old network is gone before the next one comes.")
@click.option(
    "--links",
    type=click.Choice(["clean", "street"]),
    default="clean",
    show_default=True,
    help="street: with jitter, loss and fading.",
)
@click.option("--seed", type=int, default=1, show_default=True, help="The same one gives the same links.")
def command(into: str, hard: bool, links: str, seed: int) -> None:
    """Walk out of the office in the middle of a call, and see that it goes on.

    A phone in the office WLAN calls another one, over TLS through a registrar, with encrypted media. Both play
    recorded speech. Its owner walks out of the WLAN's range, goes on over 3G, and arrives in the WLAN of a café;
    an eavesdropper sits on every link, and an attacker forges and replays packets, which he then does again to phones
    without the defence. Then the figures, a report page, and what each end heard. It runs in network namespaces on
    this machine and takes about two minutes.

    \b
    segue demo
    segue demo --hard --links street --into street
    """
    from segue.cli.output_path import writable_folder
    from segue.lab.networks.namespaces import enter_user_namespace
    from segue.lab.options import RunOptions
    from segue.lab.run import run_scenario

    writable_folder(into, "--into")
    enter_user_namespace()
    click.echo("A walk out of the office in the middle of a call, in network namespaces on this machine:\n")
    click.echo("  office WLAN  ·····>  3G  ·····>  café WLAN\n")
    options = RunOptions(mode="migrate" if hard else "soft+duplicate", links=links, seed=seed, talk="speech")
    run_scenario(options, into)
    click.echo(f"listen: what the other end heard is in {into}/cn.wav, what you heard in {into}/mn.wav")
    if not hard:
        click.echo(
            "and with one radio, where the old network is gone before the next one comes: segue demo --hard"
        )
