"""The shape of the code: who may import whom, how long files and functions may be, what pure rooms may not touch."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src" / "segue"
FILES = sorted(SOURCE.rglob("*.py"))
FILE_LIMIT, FUNCTION_LIMIT = 700, 80
PURE = ("base", "protocols", "media", "emulator", "call")
FORBIDDEN = {
    "asyncio",
    "socket",
    "select",
    "ssl",
    "threading",
    "time",
    "random",
    "secrets",
    "subprocess",
    "os",
}


def test_rooms_import_downward_only() -> None:
    command = [
        Path(sys.executable).parent / "lint-imports",
        "--config",
        "tests/architecture/importlinter.ini",
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_no_file_swallows_everything(path: Path) -> None:
    text = path.read_text()
    assert text.count("\n") <= FILE_LIMIT
    for function in functions(ast.parse(text)):
        length = (function.end_lineno or function.lineno) - function.lineno + 1
        assert length <= FUNCTION_LIMIT, f"{function.name} has {length} lines"


@pytest.mark.parametrize("room", PURE)
def test_pure_rooms_have_no_clock_dice_loop_or_socket(room: str) -> None:
    for path in sorted((SOURCE / room).rglob("*.py")):
        found = imported(ast.parse(path.read_text())) & FORBIDDEN
        allowed = {"os"} if path.name in ("opus.py",) else set()  # where the shared library is
        assert not found - allowed, f"{path.relative_to(SOURCE)} imports {found - allowed}"


def test_every_package_says_what_it_does() -> None:
    for path in sorted(SOURCE.rglob("__init__.py")):
        if list(path.parent.glob("*.py")) != [path]:
            assert ast.get_docstring(ast.parse(path.read_text())), (
                f"{path.relative_to(SOURCE)} has no status card"
            )


def functions(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def imported(tree: ast.Module) -> set[str]:
    """Top-level names of what a module imports when it is loaded or used."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.partition(".")[0])
    return names
