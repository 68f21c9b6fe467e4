"""`segue doctor` on the machine that runs the tests, whatever that has."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from segue.cli.doctor_checks import _applies, _requirement
from segue.cli.main import cli


def doctor() -> tuple[int, dict[str, dict[str, Any]]]:
    """Exit status, and the findings by name."""
    result = CliRunner().invoke(cli, ["doctor", "--json"])
    told = json.loads(result.output)
    assert told["works"] == (result.exit_code == 0)
    return result.exit_code, {finding["check"]: finding for finding in told["checks"]}


def test_every_part_is_looked_at_and_every_fault_has_a_remedy() -> None:
    _, found = doctor()
    assert {
        "Python", "libraries", "Opus", "microphone", "loudspeaker", "network", "binding to interfaces", "IPv6", "DNS",
        "clock", "state folder", "real-time priority", "namespaces", "TUN",
    } <= set(found)  # fmt: skip
    assert all(finding["remedy"] for finding in found.values() if finding["state"] != "good")
    assert found["libraries"]["state"] == "good"  # or these tests would not run


def test_it_leaves_everything_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    before = os.sched_getscheduler(0), os.readlink("/proc/self/ns/net")
    _, found = doctor()
    assert found["state folder"]["state"] == "good"
    assert (os.sched_getscheduler(0), os.readlink("/proc/self/ns/net")) == before
    assert not (tmp_path / "state").exists()


def test_a_state_folder_that_cannot_be_is_in_the_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", "/dev/null")
    status, found = doctor()
    assert status == 1
    assert found["state folder"]["state"] == "bad" and "--state-dir" in found["state folder"]["remedy"]


def test_a_state_folder_open_to_others_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "segue").mkdir()
    (tmp_path / "segue").chmod(0o777)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert doctor()[1]["state folder"]["remedy"] == f"chmod 700 {tmp_path}/segue"


def test_a_clock_of_long_ago_is_in_the_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: 1_000_000_000.0)
    status, found = doctor()
    assert status == 1 and "2001-09-09" in found["clock"]["found"]


def test_the_table_has_a_line_for_each_check() -> None:
    result = CliRunner().invoke(cli, ["doctor"], terminal_width=100)
    for name in doctor()[1]:
        assert name in result.output
    assert ("Calls can be made" in result.output) == (result.exit_code == 0)


def test_requirements_of_other_machines_do_not_count() -> None:
    assert _requirement("miniaudio>=1.61; platform_machine == 'x86_64'")[:2] == ("miniaudio", "1.61")
    assert not _applies("platform_machine == 'pdp11'")
    assert _applies("")
