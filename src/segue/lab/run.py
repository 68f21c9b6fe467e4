"""One command's worth of lab: run a scenario, make its figures, print them, write the report."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from segue.base.errors import LocalError
from segue.lab.attacks.scenario import AttackedScenario, conclude
from segue.lab.measure.results import result, write_series
from segue.lab.modes import MODES
from segue.lab.options import RunOptions
from segue.lab.report.comparison import FIGURES, PAGE, print_comparison, write_comparison
from segue.lab.report.page import print_table, write_report
from segue.lab.scenario import LEFT_BEHIND, Scenario


def run_scenario(
    options: RunOptions,
    report_dir: str | None = None,
    pcap_dir: str | None = None,
    *,
    quiet: bool = False,
    console: Console | None = None,
) -> dict[str, Any]:
    """Returns the result. Without `report_dir` what the run leaves is thrown away, but for the captures in
    `pcap_dir`. Raises LocalError."""
    console = console or Console(stderr=quiet)
    kept = _emptied(Path(report_dir)) if report_dir else None
    folder = kept or Path(tempfile.mkdtemp(prefix="segue-run-"))
    try:
        _run(options, folder, console)
        figures = result(folder)
        (folder / "result.json").write_text(json.dumps(figures, indent=1) + "\n")
        if kept:
            write_series(folder)
            page = write_report(folder)
        if pcap_dir:
            shutil.copytree(folder / "captures", pcap_dir, dirs_exist_ok=True)
    finally:
        if not kept:
            shutil.rmtree(folder, ignore_errors=True)
    if not quiet:
        print_table(figures, console)
        if kept:
            console.print(f"report: {page}")
    return figures


def compare_modes(
    options: Sequence[RunOptions],
    report_dir: str | None = None,
    pcap_dir: str | None = None,
    *,
    quiet: bool = False,
) -> dict[str, Any]:
    """One run after another, each in a folder of its own that is named by its mode; the result is of all of them.
    Raises LocalError."""
    console = Console(stderr=quiet)
    kept = _emptied(Path(report_dir)) if report_dir else None
    folder = kept or Path(tempfile.mkdtemp(prefix="segue-runs-"))
    try:
        for each in options:
            place = folder / each.mode
            captures = str(Path(pcap_dir) / each.mode) if pcap_dir else None
            figures = run_scenario(each, str(place), captures, quiet=True, console=console)
            if not quiet:
                print_table(figures, console)
        page = write_comparison(folder)
        found: dict[str, Any] = json.loads((folder / FIGURES).read_text())
    finally:
        if not kept:
            shutil.rmtree(folder, ignore_errors=True)
    if not quiet:
        print_comparison(found, console)
        if kept:
            console.print(f"report: {page}")
    return found


def write_results(folder: Path) -> Path:
    """Figures and report of a run, or of several side by side, that were kept."""
    if (folder / FIGURES).exists():
        for mode in MODES:
            if (folder / mode).exists():
                write_results(folder / mode)
        return write_comparison(folder)
    (folder / "result.json").write_text(json.dumps(result(folder), indent=1) + "\n")
    write_series(folder)
    return write_report(folder)


def _emptied(folder: Path) -> Path:
    """Without what an earlier run left there. LocalError when it has something else in it."""
    if folder.exists() and any(folder.iterdir()):
        if not (folder / "options.json").exists() and not (folder / FIGURES).exists():
            raise LocalError(f"{folder} is not empty, and not of an earlier run", "give another --report")
        for path in map(folder.joinpath, (*LEFT_BEHIND, *MODES, PAGE, FIGURES)):
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    return folder


def _run(options: RunOptions, folder: Path, console: Console) -> None:
    columns = (
        TextColumn("{task.description:32}"),
        BarColumn(30),
        TextColumn("{task.completed:5.1f} of {task.total:5.1f} s"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(options.scenario, total=1.0)

        def tell(what: str, done: float, total: float) -> None:
            progress.update(task, description=what, completed=min(done, total), total=total)

        scenario = AttackedScenario if options.attacked else Scenario
        scenario(options, folder, tell).run()
        conclude(folder, options, tell)
