"""Options from a TOML file: the names of a command's flags, each with a value of the kind that its flag takes."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from segue.base.errors import LocalError

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
