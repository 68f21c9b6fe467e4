"""`segue answer`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from segue.cli.phone_options import phone_options

if TYPE_CHECKING:
    from segue.phone.config import PhoneConfig


@click.command()
@phone_options(answering=True)
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
    segue answer --config bob.toml --once --events > events.jsonl

    Exit status: 0 stopped, or the one call is over; 1 the server did not want; 2 something here is to be changed.
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
