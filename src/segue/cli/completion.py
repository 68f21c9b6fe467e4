"""`segue completion`: what to put into the shell's start-up file."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]), default="bash")
def command(shell: str) -> None:
    """Print what makes your shell complete commands, options, their values and file names.

    \b
    segue completion bash >> ~/.bashrc
    segue completion zsh >> ~/.zshrc
    segue completion fish > ~/.config/fish/completions/segue.fish
    """
    from segue.cli.main import cli

    made = get_completion_class(shell)
    assert made is not None
    click.echo(made(cli, {}, "segue", "_SEGUE_COMPLETE").source())
