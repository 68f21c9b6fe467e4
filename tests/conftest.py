"""Shared by all tests: each that was not run is named with the reason, and is a failure where everything must run
(SEGUE_REQUIRE_ALL=1)."""

from __future__ import annotations

import os

import pytest


def _not_run(config: pytest.Config) -> dict[str, str]:
    """What was left out (a test, or a whole file) and why."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    skipped = reporter.stats.get("skipped", []) if reporter else []
    return {
        report.nodeid: str(report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr)
        .removeprefix("Skipped: ")
        .strip()
        for report in skipped
    }


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    if os.environ.get("SEGUE_REQUIRE_ALL") and session.exitstatus == 0 and _not_run(session.config):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    not_run = _not_run(config)
    for name, reason in sorted(not_run.items()):
        terminalreporter.write_line(f"not run: {name}: {reason}")
    if not_run and os.environ.get("SEGUE_REQUIRE_ALL"):
        terminalreporter.write_line(f"failed: {len(not_run)} not run, and SEGUE_REQUIRE_ALL is set", red=True)
