"""`segue answer`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from segue.cli.phone_options import phone_options

if TYPE_CHECKING:
    from segue.phone.config import PhoneConfig


@click.command()
@phone_options
@click.option(
    "--answer-after", type=float, default=0.5, show_default=True, metavar="S", help="Seconds that it rings."
)
@click.option("--duration", type=float, metavar="S", help="Hang up after so many seconds.")
@click.option("--hold-at", type=float, metavar="S", help="Hold the other end then, for --hold-for seconds.")
@click.option(
    "--hold-for", type=float, default=2.0, show_default=True, metavar="S", help="Length of the hold."
)
@click.option("--once", is_flag=True, help="Stop after the first call.")
@click.option("--events", is_flag=True, help="Print all that happens as JSON lines, with times.")
def command(
    config: PhoneConfig,
    answer_after: float,
    duration: float | None,
    hold_at: float | None,
    hold_for: float,
    once: bool,
    events: bool,
) -> None:
    """Register, wait for calls, and answer each.

    \b
    segue answer --aor sip:bob@example.org --password-file secret --audio-in speech --audio-out heard.wav
    """
    from segue.cli.phone_run import run_phone

    sys.exit(
        run_phone(
            config,
            answer_after=answer_after,
            duration=duration,
            hold_at=hold_at,
            resume_after=hold_for,
            once=once,
            events=events,
        )
    )
