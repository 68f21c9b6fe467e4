"""Options from a TOML file: the names of a command's flags, each with a value of the kind that its flag takes.

`config_option` adds `--config FILE` to a command: what stands in the file is as if it were a default, so flags go
over it, and click judges both alike.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click

from segue.base.errors import LocalError

Command = TypeVar("Command", bound=Callable[..., Any])
_TABLES = "segue.cli.option_file"

_KINDS = {
    str: "text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    list: "a list of texts",
}


def read_option_file(path: str, kinds: Mapping[str, type], remedy: str) -> dict[str, Any]:
    """`kinds`: what each option is, by its name with underscores: str, int, float, bool, list (of texts; one alone
    will do) or dict (a table, whose content is the caller's). Raises LocalError."""
    try:
        options = tomllib.loads(Path(path).read_text())
    except OSError as error:
        raise LocalError(f"cannot read {path} ({error.strerror})", remedy) from None
    except (ValueError, RecursionError) as error:
        raise LocalError(f"{path} is no TOML ({error})", remedy) from None
    options = {name.replace("-", "_"): value for name, value in options.items()}
    for name in options:
        if name not in kinds:
            raise LocalError(f"{path}: unknown option {name!r}", remedy)
    return {name: fitting(path, name, kinds[name], value) for name, value in options.items()}


def fitting(path: str, name: str, kind: type, value: Any) -> Any:
    """`value` when it is of this kind. Raises LocalError."""
    if kind is list and isinstance(value, str):
        value = [value]
    fits = isinstance(value, kind) and (kind is bool or not isinstance(value, bool))
    if kind is float and type(value) is int:
        value, fits = float(value), True
    texts = value if kind is list and fits else [value] if isinstance(value, str) else []
    if not fits or not all(isinstance(text, str) and text.isprintable() for text in texts):
        raise LocalError(f"{path}: {name} is not {_KINDS.get(kind, 'a table')}", "correct the file")
    return value


def config_option(
    *, tables: Collection[str] = (), others: Mapping[str, type] | None = None, remedy: str
) -> Callable[[Command], Command]:
    """The option itself. `tables`: those that the command takes as they are (`table_of`); `others`: what may stand
    in the file too, and is not this command's."""

    def take(context: click.Context, _option: click.Parameter, path: str | None) -> None:
        if path is None:
            return
        own = {option.name or "": _kind(option) for option in context.command.params if option.expose_value}
        content = read_option_file(path, {**(others or {}), **own, **dict.fromkeys(tables, dict)}, remedy)
        context.meta[_TABLES] = {name: (path, content.pop(name)) for name in tables if name in content}
        context.default_map = {name: value for name, value in content.items() if name in own}

    return click.option(
        "--config",
        metavar="FILE",
        type=click.Path(),
        is_eager=True,
        expose_value=False,
        callback=take,
        help="TOML file with these options (names as here); flags go over it.",
    )


def table_of(context: click.Context, name: str) -> tuple[str, dict[str, Any]]:
    """The file, and a table of it."""
    found: tuple[str, dict[str, Any]] = context.meta.get(_TABLES, {}).get(name, ("", {}))
    return found


def _kind(option: click.Parameter) -> type:
    """What an option is in a file."""
    if isinstance(option, click.Option) and option.is_flag:
        return bool
    if option.multiple:
        return list
    if isinstance(option.type, click.Choice) and all(str(choice).isdigit() for choice in option.type.choices):
        return object  # family = 4 and family = "4"
    if isinstance(option.type, click.types.FloatParamType):
        return float
    return int if isinstance(option.type, click.types.IntParamType) else str
