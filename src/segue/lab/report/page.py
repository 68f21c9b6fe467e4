"""The report of a run: one HTML page that opens without a network, and a table for the terminal.

`write_report(folder)` reads what the run left there (see `folder`) and writes `report.html` beside it.
Figures are those of `result.json`; the drawings are made from logs, series and recordings. What is not there is
said to be missing.
"""

from __future__ import annotations

from html import escape
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from segue.base.errors import LocalError
from segue.lab.report.folder import Record, RunFolder, file_size, is_number, read_run
from segue.lab.report.moves import count, gap_bars, moves, part, physics_ms
from segue.lab.report.sequence import ladders
from segue.lab.report.sound import Recording, data_uri, read_recording
from segue.lab.report.tables import command_line, headline_tiles, headlines, how, security, setup, void_links
from segue.lab.report.timeline import time_line

if TYPE_CHECKING:
    from rich.console import Console


def write_report(folder: Path) -> Path:
    """Write `folder`/report.html and return its path. Raises LocalError without a readable result.json, or when
    the page cannot be written."""
    run = read_run(folder)
    heard = _recordings(run)
    path = folder / "report.html"
    page = _page(run, heard)
    try:
        partial = path.with_suffix(".partial")
        partial.write_text(page, encoding="utf-8")
        partial.replace(path)
    except OSError as error:
        raise LocalError(f"cannot write {path}: {error.strerror}", "give another --report") from None
    return path


def _recordings(run: RunFolder) -> dict[str, Recording]:
    heard = {}
    for host in ("mn", "cn"):
        recording = read_recording(run.folder / f"{host}.wav")
        if recording is None or not len(recording.samples):
            run.missing.append(f"{host}.wav: what {host} heard")
        else:
            heard[host] = recording
    return heard


def _page(run: RunFolder, heard: dict[str, Recording]) -> str:
    result = run.result
    name = f"Segue lab: {result.get('scenario', 'a run')}"
    body = [
        _header(run, name),
        headline_tiles(result),
        _section("Gap of each move", _card(_GAP_KEY + gap_bars(run)) if gap_bars(run) else ""),
        _section("The walk", _card(time_line(run, heard))),
        _section("What was heard", _sounds(run, heard)),
        _section("Moves from near", moves(run)),
        _section("Signalling", ladders(run)),
        _section("Set-up", _card(setup(run))),
        _section("Security", _card(security(run))),
        _section("Topology", _topology(run)),
        _section("How it was measured", _card(how(run))),
    ]
    return html_page(name, body)


def html_page(name: str, body: list[str]) -> str:
    """The whole page, with its style and script."""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(name)}</title><style>{_template('page.css')}</style></head>\n"
        f"<body><main>{''.join(body)}<footer>Made by <code>segue lab</code> from the files of this folder; "
        f"nothing is loaded from elsewhere.</footer></main>\n<script>{_template('page.js')}</script>"
        "</body></html>\n"
    )


_GAP_KEY = (
    '<p class="legend"><span><i class="key n0"></i>uplink, mn → cn</span><span><i class="key n3"></i>downlink, '
    "cn → mn</span><span><b>│</b> what physics asks for; a packet time (20 ms) less when the packets lie "
    "well</span></p>"
)


def _template(name: str) -> str:
    return files("segue.lab.report").joinpath(name).read_text(encoding="utf-8")


def _section(title: str, content: str) -> str:
    return f"<section><h2>{title}</h2>{content}</section>" if content else ""


def _card(content: str) -> str:
    return f'<div class="card">{content}</div>'


def _header(run: RunFolder, name: str) -> str:
    result = run.result
    facts = [
        ("mode", "mode"),
        ("signalling", "signalling"),
        ("keying", "keying"),
        ("suite", ""),
        ("codec", ""),
    ]
    said = [f"{label} {result[key]}".strip() for key, label in facts if result.get(key)]
    if "seed" in result:
        said.append(f"seed {result['seed']}")
    void = void_links(result)
    warning = (
        f'<p class="warning"><b>Void.</b> The delay of {escape(", ".join(void))} was off by more than 2 ms at the '
        "99th percentile: the machine was too busy, and the figures of this run do not count.</p>"
        if void
        else ""
    )
    return (
        f'<header class="top"><h1>{escape(name)}</h1><p>{escape(" · ".join(said))}</p>'
        f'<button id="theme" type="button" hidden></button></header>{warning}'
    )


def _topology(run: RunFolder) -> str:
    picture = run.result.get("topology")
    if not isinstance(picture, str) or not picture.strip():
        return '<p class="absent">The result has no picture of the topology.</p>'
    return _card(f"<pre>{escape(picture.strip(chr(10)))}</pre>")


def _sounds(run: RunFolder, heard: dict[str, Recording]) -> str:
    cards = []
    for host, speaker in (("cn", "mn"), ("mn", "cn")):
        title = f"{host} heard ({speaker} speaks)"
        if host not in heard:
            cards.append(
                f'<div class="card"><h3>{title}</h3><p class="absent">{host}.wav is missing.</p></div>'
            )
            continue
        cards.append(_player(run, host, title, heard[host]))
    return f'<div class="sound">{"".join(cards)}</div>{_SOUND_NOTE}'


_SOUND_NOTE = (
    '<p class="note">Each recording is what that phone played, from the moment when it says that the call is up. '
    "While one plays, a line runs over the walk above; click there to listen from that place.</p>"
)


def _player(run: RunFolder, host: str, title: str, recording: Recording) -> str:
    up = run.up(host)
    place = f' data-at="{up - run.zero:.3f}"' if up is not None else ""
    source = data_uri(recording.path)
    sound = f'<audio controls preload="metadata" src="{source}"{place}></audio>'
    if not source:
        sound = f'<p>Too large for the page ({file_size(recording.path)}): <a href="{host}.wav">{host}.wav</a></p>'
    facts = f"{recording.seconds:.1f} s, {recording.rate} Hz"
    return f'<div class="card"><h3>{title}</h3>{sound}<p class="facts">{facts}</p></div>'


def print_table(result: Record, console: Console) -> None:
    """The run in the terminal: a row for each move, then the totals. "–" is what was not measured."""
    from rich import box
    from rich.table import Table

    moved = [m for m in result.get("moves") or [] if isinstance(m, dict)]
    table = Table(
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        padding=(0, 1, 0, 0),
        title_justify="left",
        title=_table_title(result),
    )
    for head in ("move", "", "link+addr+session", "gap up", "gap down", "lost", "unheard"):
        table.add_column(head, justify="left" if head in ("move", "") else "right", no_wrap=True)
    for number, move in enumerate(moved, 1):
        table.add_row(*_terminal_row(number, move))
    console.print(table)
    console.print(
        "[dim]ms; in brackets: what physics asks for; lost and unheard: up/down[/dim]", highlight=False
    )
    for name, value, unit, note, good in headlines(result)[1:]:
        sign = {True: "[green]✓[/green]", False: "[red]![/red]", None: " "}[good]
        console.print(f" {sign} {name:22} [bold]{value}[/bold] {unit}  [dim]{note}[/dim]", highlight=False)
    for link in void_links(result):
        console.print(f"[red]![/red] void: the delay of link {link} was off by more than 2 ms")
    console.print("again: ", command_line(result), style="dim", soft_wrap=True, highlight=False, markup=False)


def _table_title(result: Record) -> str:
    words = [result.get(key) for key in ("scenario", "mode", "signalling", "keying", "suite", "codec")]
    return ", ".join(str(word) for word in words if word)


def _terminal_row(number: int, move: Record) -> list[str]:
    from rich.markup import escape as escape_markup

    phases, up, down = part(move, "phase_ms"), part(move, "uplink"), part(move, "downlink")
    gaps = [
        f"[bold]{_short(part(move, d).get('gap_ms'))}[/bold] ({_short(physics_ms(move, d))})"
        for d in ("uplink", "downlink")
    ]
    return [
        escape_markup(f"{number} {move.get('from', '?')} → {move.get('to', '?')}"),
        escape_markup(str(move.get("kind", ""))),
        "+".join(_short(phases.get(name)) for name in ("link", "address", "session")),
        *gaps,
        f"{count(up.get('lost'))}/{count(down.get('lost'))}",
        f"{_short(up.get('unheard_ms'))}/{_short(down.get('unheard_ms'))}",
    ]


def _short(value: object) -> str:
    """As narrow as a terminal needs."""
    if not is_number(value):
        return "–"
    return f"{value:.0f}" if value >= 10 or value == 0 else f"{value:.1f}"
