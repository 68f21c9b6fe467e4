"""The same walk in several modes, side by side: a page, and a table for the terminal.

`write_comparison(folder)` reads `folder`/MODE/ of each mode that was run (see `folder`), and writes `compare.html`
and `compare.json` in `folder`. Every figure is one of the runs' own results.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from segue.lab.modes import MODES
from segue.lab.options import RunOptions
from segue.lab.report.folder import Moment, Record, RunFolder, is_number, read_run
from segue.lab.report.moves import milliseconds, part, physics_ms, table
from segue.lab.report.page import html_page
from segue.lab.report.svg import WIDE, Scale, both, line, svg, text, time_axis
from segue.lab.report.tables import void_links

if TYPE_CHECKING:
    from rich.console import Console

PAGE, FIGURES = "compare.html", "compare.json"
DIRECTIONS = ("uplink", "downlink")
_SAME = (
    *("scenario", "signalling", "family", "keying", "suite", "codec", "speech", "nat", "seed", "links"),
    "topology",
)
_BEFORE, _AFTER = 0.3, 1.9  # seconds around a move that its packets are drawn for


class Row(NamedTuple):
    """A figure of every mode; `cells` as they are shown."""

    name: str
    cells: list[str]


def comparison(results: dict[str, Record]) -> Record:
    """The JSON: what was the same, and of each mode its summary and all of its moves."""
    first = next(iter(results.values()))
    again = replace(RunOptions.from_json(first["options"]), mode="reinvite").command()
    return {key: first[key] for key in _SAME if key in first} | {
        "command": f"{again} --mode {','.join(results)}",
        "modes": {
            mode: {
                "summary": _summary(result),
                "moves": result["moves"],
                "security": result["security"],
                "setup_ms": result["setup_ms"],
            }
            for mode, result in results.items()
        },
    }


def _summary(result: Record) -> Record:
    """The run's own, and what only its moves tell."""
    moves = result["moves"]
    more: Record = {}
    for side in DIRECTIONS:
        for key in ("recovered", "duplicates", "extra_bytes"):
            more.setdefault(key, 0)
            more[key] += sum(int(part(move, side).get(key) or 0) for move in moves)
    asked = [move["signalling_ms"] for move in moves if is_number(move.get("signalling_ms"))]
    more["signalling_ms"] = round(statistics.median(asked), 1) if asked else None
    return {**part(result, "summary"), **more}


def write_comparison(folder: Path) -> Path:
    """Write both files and return the page's path. Raises LocalError when a run has left no result."""
    runs = {path.name: read_run(path) for path in sorted(folder.iterdir(), key=_order) if path.name in MODES}
    found = comparison({mode: run.result for mode, run in runs.items()})
    (folder / FIGURES).write_text(json.dumps(found, indent=1) + "\n")
    page = folder / PAGE
    page.write_text(_page(runs, found), encoding="utf-8")
    return page


def _order(path: Path) -> int:
    return list(MODES).index(path.name) if path.name in MODES else -1


def rows(found: Record) -> list[Row]:
    """The figures that modes differ in."""
    modes: dict[str, Record] = found["modes"]
    made = []
    for side, way in (("uplink", "up"), ("downlink", "down")):
        for which in ("median", "max"):
            cells = [milliseconds(part(m["summary"], f"{side}_gap_ms").get(which)) for m in modes.values()]
            made.append(Row(f"gap {way}, {'longest' if which == 'max' else which} (ms)", cells))
    for key, name in (
        ("lost", "packets lost"),
        ("unheard_ms", "speech unheard (ms)"),
        ("repeated_ms", "speech heard twice (ms)"),
        ("recovered", "packets recovered"),
        ("duplicates", "copies received"),
        ("extra_bytes", "octets sent again"),
        ("signalling_ms", "re-INVITE to 200, median (ms)"),
    ):
        made.append(Row(name, [_plain(m["summary"].get(key)) for m in modes.values()]))
    mos = [part(m["summary"], "mos").get("around_moves") for m in modes.values()]
    made.append(Row("MOS around moves", [f"{value:.2f}" if is_number(value) else "–" for value in mos]))
    return made


def _plain(value: Any) -> str:
    return f"{value:g}" if is_number(value) else "–"


def print_comparison(found: Record, console: Console) -> None:
    """In the terminal: a row for each figure, a column for each mode."""
    from rich import box
    from rich.table import Table

    shown = Table(
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        title=f"{found['scenario']}, the same seed ({found['seed']}) in {len(found['modes'])} modes",
        title_justify="left",
    )
    shown.add_column("")
    for mode in found["modes"]:
        shown.add_column(mode, justify="right")
    for name, cells in rows(found):
        shown.add_row(name, *cells)
    console.print(shown)
    console.print("again: ", found["command"], style="dim", soft_wrap=True, highlight=False, markup=False)


# The page


def _page(runs: dict[str, RunFolder], found: Record) -> str:
    name = f"Segue lab: {found['scenario']}, side by side"
    facts = [
        f"{key} {found[key]}"
        for key in ("signalling", "keying", "codec", "nat", "speech", "seed")
        if found.get(key)
    ]
    void = {mode: void_links(run.result) for mode, run in runs.items() if void_links(run.result)}
    warning = "".join(
        f'<p class="warning"><b>Void.</b> In {escape(mode)} the delay of {escape(", ".join(links))} was off by more '
        "than 2 ms at the 99th percentile: its figures do not count.</p>"
        for mode, links in void.items()
    )
    picture = escape(str(found.get("topology", "")))
    body = [
        f'<header class="top"><h1>{escape(name)}</h1><p>{escape(" · ".join(facts))}</p>'
        f'<button id="theme" type="button" hidden></button></header>{warning}',
        f'<section><h2>In figures</h2><div class="card">{_figures(runs, found)}</div></section>',
        f'<section><h2>Gap of every move</h2><div class="card">{_GAPS}{_gap_picture(runs)}</div></section>',
        f"<section><h2>Packets around the moves</h2>{_PACKETS}{_strips(runs)}</section>",
        f'<section><h2>How it was measured</h2><div class="card"><p>Each mode has a report of its own: '
        f"follow its name in the table. To run all of it again:</p>"
        f'<pre class="command">{escape(str(found["command"]))} --report DIR</pre></div></section>',
        f'<section><h2>Topology</h2><div class="card"><pre>{picture}</pre></div></section>',
    ]
    return html_page(name, body)


_GAPS = (
    '<p class="legend"><span>a dot is a move, a bar the median of a mode</span>'
    "<span><b>│</b> what physics asks for; a packet time (20 ms) less when the packets lie well</span></p>"
)
_PACKETS = (
    '<p class="note">A stroke is a media packet that arrived; time counts from the begin of the move.</p>'
)


def _figures(runs: dict[str, RunFolder], found: Record) -> str:
    heads = ["", *(f'<a href="{escape(mode)}/report.html">{escape(mode)}</a>' for mode in runs)]
    lines = [[escape(name), *map(escape, cells)] for name, cells in rows(found)]
    said = "".join(f"<dt>{escape(mode)}</dt><dd>{escape(MODES[mode].what)}</dd>" for mode in runs)
    return f"{table(heads, lines)}<dl>{said}</dl>"


class _Group(NamedTuple):
    """Moves of one direction of the walk, and one direction of media: of each mode its gaps and floors, ms."""

    name: str
    gaps: dict[str, list[float]]
    floors: dict[str, list[float]]


def _kind(moment: Moment) -> tuple[str, str]:
    return str(moment.record.get("from")), str(moment.record.get("to"))


def _groups(runs: dict[str, RunFolder]) -> Iterator[_Group]:
    kinds = dict.fromkeys(_kind(moment) for run in runs.values() for moment in run.moments)
    for origin, target in kinds:
        for side in DIRECTIONS:
            gaps: dict[str, list[float]] = {}
            floors: dict[str, list[float]] = {}
            for mode, run in runs.items():
                moved = [m.record for m in run.moments if _kind(m) == (origin, target)]
                known = [m for m in moved if is_number(part(m, side).get("gap_ms"))]
                gaps[mode] = [float(part(m, side)["gap_ms"]) for m in known]
                floors[mode] = [floor for m in moved if (floor := physics_ms(m, side)) is not None]
            yield _Group(f"{origin} → {target}, {side}", gaps, floors)


def _gap_picture(runs: dict[str, RunFolder]) -> str:
    groups = list(_groups(runs))
    return both(lambda width: _draw_gaps(groups, list(runs), width)) if groups else ""


_ROW, _HEAD = 22.0, 26.0


def _draw_gaps(groups: list[_Group], modes: list[str], width: float) -> str:
    wide = width == WIDE
    left = 150.0 if wide else 106.0
    highest = max([gap for group in groups for gaps in group.gaps.values() for gap in gaps], default=20.0)
    x = Scale(0.0, max(20.0, highest) * 1.06, left, width - 52)
    parts: list[str] = []
    y = 0.0
    for group in groups:
        parts.append(text(0, y + 16, group.name, "panel"))
        y += _HEAD
        for mode in modes:
            parts += _gap_row(group, mode, modes.index(mode), x, y)
            y += _ROW
        y += 10
    axis = time_axis(x, y, 0, 10 if wide else 4, "ms")
    return svg(width, y + 22, [*axis, *parts], "gaps of all moves in each mode")


def _gap_row(group: _Group, mode: str, color: int, x: Scale, y: float) -> list[str]:
    gaps, floors = group.gaps[mode], group.floors[mode]
    middle = y + _ROW / 2
    made = [text(x.begin - 8, middle + 4, mode, "row-name", "end")]
    floor = x(statistics.median(floors)) if floors else x.begin
    if floors:
        made.append(line(floor, y + 2, floor, y + _ROW - 2, "floor"))
    for gap in gaps:
        made.append(
            f'<circle cx="{x(max(0.0, gap)):.1f}" cy="{middle:.1f}" r="3.5" class="mode n{color}">'
            f"<title>{milliseconds(gap)} ms</title></circle>"
        )
    if gaps:
        median = statistics.median(gaps)
        made.append(line(x(median), y + 3, x(median), y + _ROW - 3, f"median n{color}"))
        made.append(text(max(x(max(gaps)), floor) + 8, middle + 4, milliseconds(median), "value"))
    return made


def _strips(runs: dict[str, RunFolder]) -> str:
    """One picture for the first move of each direction of the walk."""
    seen: set[tuple[str, str]] = set()
    made = []
    first = next(iter(runs.values()), None)
    for index, moment in enumerate(first.moments if first else []):
        kind = _kind(moment)
        if kind in seen:
            continue
        seen.add(kind)
        at = {mode: run.moments[index] for mode, run in runs.items() if index < len(run.moments)}
        title = escape(f"Move {moment.number}: {kind[0]} → {kind[1]}")
        picture = both(partial(_draw_strips, runs, at))
        made.append(f'<div class="card"><h3>{title}</h3>{picture}</div>')
    return "".join(made)


def _draw_strips(runs: dict[str, RunFolder], at: dict[str, Moment], width: float) -> str:
    wide = width == WIDE
    after = _AFTER if wide else _AFTER / 2
    x = Scale(-_BEFORE * 1000, after * 1000, 190.0 if wide else 122.0, width - 8)
    y, parts = 4.0, []
    for color, (mode, moment) in enumerate(at.items()):
        for side in DIRECTIONS:
            words = f"{mode} {'↑' if side == 'uplink' else '↓'}"
            parts.append(text(x.begin - 8, y + 13, words, "row-name", "end"))
            times = [p.time - moment.begin for p in runs[mode].series.get(side, []) if not p.lost]
            inside = [x(t * 1000) for t in times if -_BEFORE <= t <= after]
            strokes = "".join(f"M{place:.1f} {y + 1:.1f}v15" for place in inside)
            parts.append(f'<path class="stroke n{color}" d="{strokes}"/>')
            y += 19
        y += 7
    axis = time_axis(x, y, 0, 11 if wide else 4, "ms")
    begin = line(x(0), 0, x(0), y, "edge")
    return svg(width, y + 22, [*axis, begin, *parts], "packets around a move in each mode")
