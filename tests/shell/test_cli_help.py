"""Help and pages: every command shows an example, and every example is a command line that exists."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from segue.cli.main import cli

REPOSITORY = Path(__file__).parents[2]
OUTPUT = REPOSITORY / "docs" / "measurements.md"  # its code blocks are what benchmarks printed
PAGES = [REPOSITORY / "README.md", *sorted({*(REPOSITORY / "docs").glob("*.md")} - {OUTPUT})]
_SHELL = re.compile(r"\s(?:\||>>?|<|&&|#)\s|\s{3,}")


def commands(
    command: click.Command, path: str, parent: click.Context | None = None
) -> Iterator[click.Context]:
    context = click.Context(command, parent, path)
    yield context
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            assert below is not None
            yield from commands(below, name, context)


ALL = {context.command_path: context for context in commands(cli, "segue")}


def examples(text: str) -> list[str]:
    """Lines that begin with `segue`, joined where they go on, without what a shell or a reader makes of the rest."""
    joined = re.sub(r"\\\n\s*", " ", text)
    lines = (line.strip().removeprefix("$ ") for line in joined.splitlines())
    return [_SHELL.split(f"{line} ", maxsplit=1)[0].strip() for line in lines if line.startswith("segue ")]


def check(line: str) -> None:
    """Every word that is a flag is one of the command's, or of a group's before it."""
    words = shlex.split(line)
    context, known = ALL["segue"], set[str]()
    for word in words[1:]:
        known |= {
            flag for option in context.command.params for flag in (*option.opts, *option.secondary_opts)
        }
        below = ALL.get(f"{context.command_path} {word}")
        if below is not None:
            context = below
        elif word.startswith("--") and word != "--help":
            assert word in known, f"{line}: {context.command_path} has no {word}"
        else:
            assert context.command_path != "segue" or word in ("-h", "--help", "--version", "COMMAND"), line


@pytest.mark.parametrize("path", ALL)
def test_help_says_what_it_does_by_an_example(path: str) -> None:
    context = ALL[path]
    text = context.get_help()
    assert text.startswith("Usage: ")
    shown = examples(text)
    assert any(example.startswith(path) for example in shown), f"{path} --help has no example"
    for example in shown:
        check(example)
    for option in context.command.params:
        assert not isinstance(option, click.Option) or option.help or isinstance(option.type, click.Choice), (
            option
        )


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_command_lines_of_the_pages_exist(page: Path) -> None:
    for example in examples(page.read_text()):
        check(example)


def test_a_command_line_that_does_not_exist_is_found() -> None:
    for wrong in ("segue call bob --password secret", "segue phone", "segue keys ca --domain x"):
        with pytest.raises(AssertionError):
            check(wrong)


@pytest.mark.parametrize("words", [["--help"], ["call", "--help"], ["server", "--help"], ["keys", "--help"]])
def test_help_comes_without_the_heavy_parts(words: list[str]) -> None:
    code = (
        "import sys\nfrom segue.cli.main import main\ntry: main(sys.argv[1:])\nexcept SystemExit: pass\n"
        "heavy = {'numpy', 'asyncio', 'ssl', 'cryptography', 'rich', 'pyroute2', 'sqlite3', 'dns'}\n"
        "print('HEAVY', sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("Usage: ") and done.stdout.rstrip().endswith("HEAVY []")


def completed(line: str) -> list[str]:
    """What the shell offers at the end of the line."""
    words = line.split(" ")
    asked = {"_SEGUE_COMPLETE": "bash_complete", "COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)}
    done = subprocess.run(
        [sys.executable, "-m", "segue"], capture_output=True, text=True, check=True, env=os.environ | asked
    )
    return done.stdout.split()


def test_completion() -> None:
    assert completed("segue ca") == ["plain,call"]
    assert completed("segue call bob --mod") == ["plain,--mode"]
    assert completed("segue lab run walk --links ") == ["plain,clean", "plain,street"]
    assert completed("segue call bob --ca keys/c") == ["file,keys/c"]
    for shell in ("bash", "zsh", "fish"):
        done = subprocess.run(
            [sys.executable, "-m", "segue", "completion", shell], capture_output=True, text=True, check=True
        )
        assert "_SEGUE_COMPLETE" in done.stdout


def test_results_for_machines(tmp_path: Path) -> None:
    import json

    def say(*words: str) -> object:
        done = subprocess.run(
            [sys.executable, "-m", "segue", *words, "--json"],
            capture_output=True,
            text=True,
            check=False,
            cwd=tmp_path,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    assert set(say("lab", "list")) == {"scenarios", "modes", "links", "topologies"}
    assert say("keys", "ca") == {"certificate": "keys/ca.pem", "key": "keys/ca.key"}
    made = say("keys", "server", "example.org")
    assert made == {"certificate": "keys/example.org.pem", "key": "keys/example.org.key"}
    assert (tmp_path / "keys/example.org.key").stat().st_mode & 0o777 == 0o600
    users = say("server", "user", "list", "--domain", "example.org", "--db", "server.db")
    assert users == {"domain": "example.org", "users": []}
