"""A remedy that names a flag names one that the command which shows it has."""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

SOURCE = Path(__file__).parents[2] / "src" / "segue"
# Whose user reads the errors of a room.
READERS = {
    "call": ("call",),
    "devices": ("call",),
    "phone": ("call",),
    "mobility": ("call", "attach"),
    "net": ("call", "server", "keys"),
    "server": ("server",),
    "lab": ("lab", "call"),
}
OTHERS_FLAGS = {"--upgrade", "--peers"}  # pip's, tools/run_tests.py's


def flags_of(command: click.Command) -> Iterator[str]:
    for parameter in command.params:
        yield from parameter.opts + parameter.secondary_opts
    if isinstance(command, click.Group):
        for below in command.commands.values():
            yield from flags_of(below)


def flags(names: tuple[str, ...]) -> set[str]:
    return {flag for name in names for flag in flags_of(importlib.import_module(f"segue.cli.{name}").command)}


def named_flags(path: Path) -> set[str]:
    """Those in the arguments of `LocalError(…)`."""
    calls = [
        node
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "LocalError"
    ]
    texts = [
        part.value
        for call in calls
        for part in ast.walk(call)
        if isinstance(part, ast.Constant) and isinstance(part.value, str)
    ]
    return {flag for text in texts for flag in re.findall(r"--[a-z][a-z-]+", text)} - OTHERS_FLAGS


@pytest.mark.parametrize("room", sorted(READERS))
def test_flags_in_remedies_exist(room: str) -> None:
    known = flags(READERS[room])
    named = {path.name: named_flags(path) for path in sorted((SOURCE / room).rglob("*.py"))}
    assert {name: wrong for name, found in named.items() if (wrong := found - known)} == {}


def test_some_remedies_name_flags() -> None:
    assert {"--ca", "--cert", "--key"} <= named_flags(SOURCE / "net" / "tls_context.py")
