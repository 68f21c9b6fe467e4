"""`segue`: each command is a module of its own, imported when it is used, so that the first answer comes fast."""

from __future__ import annotations

import importlib
import os
import sys
from typing import NoReturn

import click

from segue import __version__
from segue.base.errors import SegueError

_COMMANDS = {
    "demo": "a call that walks from the office over 3G to a café, measured",
    "call": "call somebody, and keep the call while you move",
    "answer": "wait for calls and answer them",
    "server": "registrar and proxy for a small office",
    "lab": "hosts, networks, walks and attacks on this machine, measured",
    "attach": "attach interfaces to networks quickly (privileged)",
    "keys": "a certificate authority and certificates for a small office",
    "doctor": "what works on this machine, and what to do about the rest",
    "completion": "completion for your shell",
}
_STOPPED = 130  # as shells say of a program that SIGINT ended


class _Lazy(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in _COMMANDS:
            return None
        module = importlib.import_module(f"segue.cli.{cmd_name}")
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Without importing any of them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            from difflib import get_close_matches

            close = get_close_matches(args[0], _COMMANDS, 1)
            if close:
                raise click.UsageError(f"{error.message} Did you mean {close[0]!r}?", ctx) from None
            raise


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="segue")
def cli() -> None:
    """Voice calls that carry on to the next network without a pause, and without being less safe there.

    \b
    segue demo                                the whole thing on this machine, in two minutes
    segue doctor                              is everything here that it needs?
    segue call bob@example.org --aor sip:alice@example.org --password-file secret

    \b
    Exit status: 0 done; 1 the other end or the network did not want, or a run did not succeed;
    2 something here is to be changed, and one line says what; 130 stopped with Ctrl-C.
    """


def main(arguments: list[str] | None = None) -> NoReturn:
    """The entry point; what is wrong is said in one line. Exit status as in the help above."""
    try:
        status = cli.main(args=arguments, prog_name="segue", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        sys.exit(2)
    except click.UsageError as error:
        where = error.ctx.command_path if error.ctx is not None else "segue"
        text = " ".join(error.format_message().split()).rstrip(".")
        click.echo(f"segue: {text}: see {where} --help", err=True)
        sys.exit(2)
    except click.Abort:
        sys.exit(_STOPPED)
    except SegueError as error:
        click.echo(f"segue: {error}", err=True)
        sys.exit(2)
    except BrokenPipeError:  # who read what we print has enough of it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    sys.exit(status if isinstance(status, int) else 0)
