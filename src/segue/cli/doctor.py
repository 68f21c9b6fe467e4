"""`segue doctor`."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from segue.cli.doctor_checks import Finding

_SIGNS = {"good": "[green]✓[/green]", "limited": "[yellow]–[/yellow]", "bad": "[red]![/red]"}


@click.command()
@click.option("--json", "as_json", is_flag=True, help="As JSON, for programs.")
def command(as_json: bool) -> None:
    """Say what works on this machine, and what to do about the rest. Changes nothing.

    \b
    segue doctor
    segue doctor --json

    Exit status: 0 calls can be made; 1 something is in their way.
    """
    from segue.cli.doctor_checks import BAD, examine

    findings = examine(_tell_progress if sys.stderr.isatty() and not as_json else lambda _: None)
    works = all(finding.state != BAD for finding in findings)
    if as_json:
        click.echo(
            json.dumps({"works": works, "checks": [finding._asdict() for finding in findings]}, indent=1)
        )
    else:
        _print(findings, works)
    sys.exit(0 if works else 1)


def _tell_progress(check: str) -> None:
    """One line that is written over, since name servers and sound cards may take seconds."""
    click.echo(f"\r\x1b[K{f'looking at: {check}' if check else ''}", nl=False, err=True)


def _print(findings: list[Finding], works: bool) -> None:
    from rich import box
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for head in ("", "check", "found", "what to do"):
        table.add_column(head, overflow="fold")
    for finding in findings:
        table.add_row(_SIGNS[finding.state], finding.check, escape(finding.found), escape(finding.remedy))
    console = Console()
    console.print(table)
    limited = sum(finding.state == "limited" for finding in findings)
    said = "Calls can be made" if works else "Something is in the way of calls: see the lines with !"
    console.print(
        f"{said}{f'; {limited} things go without, or not as well (–)' if limited and works else ''}."
    )
