"""`segue call`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from segue.base.errors import LocalError
from segue.cli.phone_options import phone_options

if TYPE_CHECKING:
    from segue.phone.config import PhoneConfig


@click.command()
@click.argument("uri")
@phone_options(answering=False)
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

    Exit status: 0 the call was up; 1 the other end or the network did not want; 2 something here is to be changed.
    """
    from segue.cli.phone_run import run_phone

    if not uri.strip():
        raise LocalError("there is nobody to call", "give a URI like bob@example.org")

    sys.exit(
        run_phone(
            config, target=uri, duration=duration, hold_at=hold_at, resume_after=hold_for, events=events
        )
    )
