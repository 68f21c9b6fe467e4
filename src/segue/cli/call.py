"""`segue call`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from segue.cli.phone_options import phone_options

if TYPE_CHECKING:
    from segue.phone.config import PhoneConfig


@click.command()
@click.argument("uri")
@phone_options
@click.option("--duration", type=float, metavar="S", help="Hang up after so many seconds.")
@click.option("--hold-at", type=float, metavar="S", help="Hold the other end then, for --hold-for seconds.")
@click.option(
    "--hold-for", type=float, default=2.0, show_default=True, metavar="S", help="Length of the hold."
)
@click.option("--events", is_flag=True, help="Print all that happens as JSON lines, with times.")
def command(
    uri: str,
    config: PhoneConfig,
    duration: float | None,
    hold_at: float | None,
    hold_for: float,
    events: bool,
) -> None:
    """Call URI (bob, bob@example.org or sip:bob@example.org) and talk until somebody hangs up.

    The call is encrypted, or it is not made: --keying none makes one that everybody on the way can hear.

    \b
    segue call bob --aor sip:alice@example.org --password-file secret
    segue call bob --config alice.toml --audio-in speech --audio-out heard.wav --duration 20
    """
    from segue.cli.phone_run import run_phone

    sys.exit(
        run_phone(
            config, target=uri, duration=duration, hold_at=hold_at, resume_after=hold_for, events=events
        )
    )
