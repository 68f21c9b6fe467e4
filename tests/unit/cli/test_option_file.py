"""Options from files: what does not fit is said in one line, with the option's name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from segue.base.errors import LocalError
from segue.cli.option_file import read_option_file

KINDS = {"aor": str, "codec": list, "port": int, "rate": float, "strangers": bool, "policy": dict}


def read(tmp_path: Path, text: str | bytes) -> dict[str, Any]:
    file = tmp_path / "options.toml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_option_file(str(file), KINDS, "see the page")


def test_each_kind(tmp_path: Path) -> None:
    text = 'aor = "sip:a@b"\ncodec = "PCMA"\nport = 5\nrate = 2\nstrangers = true\n[policy]\nx = 1'
    assert read(tmp_path, text) == {
        "aor": "sip:a@b",
        "codec": ["PCMA"],
        "port": 5,
        "rate": 2.0,
        "strangers": True,
        "policy": {"x": 1},
    }


@pytest.mark.parametrize(
    "text",
    [
        "aor = 5",
        'aor = "a\\u0000b"',
        'aor = "a\\r\\nX: y"',
        "codec = [5]",
        "codec = 5",
        'port = "5"',
        "port = true",
        "port = 1.5",
        'rate = "fast"',
        'strangers = "no"',
        "policy = 1",
        "colour = 1",
        "not TOML",
        b"aor = '\xff'",
        "aor = " + "[" * 5000,
    ],
)
def test_what_does_not_fit(tmp_path: Path, text: str | bytes) -> None:
    with pytest.raises(LocalError) as error:
        read(tmp_path, text)
    assert "\n" not in str(error.value) and error.value.remedy


def test_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(LocalError, match="cannot read"):
        read_option_file(str(tmp_path / "none"), KINDS, "give one")
