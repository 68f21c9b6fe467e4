"""One move from near: packets around the gap, its phases, and its figures beside what physics asks for."""

from __future__ import annotations

import itertools
from html import escape
from typing import Any

from segue.lab.report.folder import Arrival, Moment, Record, RunFolder, is_number
from segue.lab.report.svg import WIDE, Scale, both, line, plain, rectangle, svg, text, time_axis, value_axis
from segue.lab.report.timeline import high_delay, packet_marks

PHASES = ("link", "address", "session")


def milliseconds(value: Any) -> str:
    """For tables; "–" for what was not measured."""
    if not is_number(value):
        return "–"
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.1f}"


def count(value: Any) -> str:
    return str(value) if is_number(value) else "–"


def part(record: Record, key: str) -> Record:
    value = record.get(key)
    return value if isinstance(value, dict) else {}


def table(heads: list[str], rows: list[list[str]]) -> str:
    """Cells are HTML already; the first of each row names it. No head when all of it is empty."""
    head = "".join(f"<th>{h}</th>" for h in heads)
    head = f"<thead><tr>{head}</tr></thead>" if any(heads) else ""
    body = "".join(
        f'<tr><th scope="row">{row[0]}</th>{"".join(f"<td>{c}</td>" for c in row[1:])}</tr>' for row in rows
    )
    return f'<div class="scroll"><table>{head}<tbody>{body}</tbody></table></div>'


def physics_ms(move: Record, direction: str) -> float | None:
    """The least gap that any phone could have; None when the figures it needs are missing.

    Soft: only what the longer path adds. Hard, away from the mover: link + address + what the longer path adds,
    since the first voice packet can leave at once. Hard, towards the mover: link + address + one direct round
    trip on the new path, since the other end cannot know the new address earlier.
    """
    figures = part(move, direction)
    old, new = figures.get("owd_old_ms"), figures.get("owd_new_ms")
    longer = max(0.0, new - old) if is_number(old) and is_number(new) else None
    if move.get("kind") == "soft":
        return longer
    phases = part(move, "phase_ms")
    link, address, trip = phases.get("link"), phases.get("address"), move.get("direct_rtt_ms")
    if not is_number(link) or not is_number(address):
        return None
    from_mover = (direction == "uplink") == (move.get("mover", "mn") == "mn")
    if from_mover:
        return None if longer is None else float(link + address + longer)
    return float(link + address + trip) if is_number(trip) else None


def moves(run: RunFolder) -> str:
    if not run.moments:
        return '<p class="absent">The result names no moves.</p>'
    return "".join(_move(run, moment) for moment in run.moments)


def title(moment: Moment) -> str:
    move = moment.record
    who = "" if move.get("mover", "mn") == "mn" else " (cn moves)"
    return f"Move {moment.number}: {move.get('from', '?')} → {move.get('to', '?')}{who}"


def _move(run: RunFolder, moment: Moment) -> str:
    move = moment.record
    meaning = {"hard": "break before make", "soft": "make before break"}.get(str(move.get("kind")), "")
    facts = [f"<b>{escape(str(move.get('kind', '?')))}</b> {f'({meaning})' if meaning else ''}"]
    facts.append(f"at {moment.begin - run.zero:.2f} s")
    if move.get("role"):
        facts.append(f"ICE role {escape(str(move['role']))}")
    facts.append(f"direct round trip {milliseconds(move.get('direct_rtt_ms'))} ms")
    facts.append(f"signalling done after {milliseconds(move.get('signalling_ms'))} ms")
    return (
        f'<article class="card" id="move-{moment.number}"><h3>{escape(title(moment))}</h3>'
        f'<p class="facts">{" · ".join(facts)}</p>'
        f"{_packets(run, moment)}{_phases(move)}{_figures(move)}</article>"
    )


def _packets(run: RunFolder, moment: Moment) -> str:
    if not any(run.series.values()):
        return '<p class="absent">No packet series: the packets around this move cannot be drawn.</p>'
    gaps = [part(moment.record, d).get("gap_ms") for d in ("uplink", "downlink")]
    longest = max([float(g) for g in gaps if is_number(g)], default=0.0) / 1000
    begin, end = moment.begin - 0.4, moment.end + min(5.0, longest + 0.6)
    return both(lambda width: _zoom(run, moment, begin, end, width))


def _zoom(run: RunFolder, moment: Moment, begin: float, end: float, width: float) -> str:
    """Two panels with a dot for each packet; time counts from the begin of the move."""
    wide = width == WIDE
    left = 58.0 if wide else 34.0
    x = Scale(begin - moment.begin, end - moment.begin, left, width - 8)
    nearby = [p for packets in run.series.values() for p in packets if begin <= p.time <= end]
    tallest = high_delay(nearby)
    parts: list[str] = []
    panels = []
    y = 16.0
    for direction, way in (("uplink", "mn → cn"), ("downlink", "cn → mn")):
        packets = run.series.get(direction, [])
        parts.append(
            text(4 if wide else 0, y + 12, f"{direction.capitalize()} ({way}), one-way delay", "panel")
        )
        top, bottom = y + 20, y + 20 + (78 if wide else 66)
        scale = Scale(0.0, tallest, bottom, top)
        parts += value_axis(scale, left, width - 8, "ms" if wide else "", 2)
        parts += _gap_band(packets, moment, begin, end, x, top, bottom)
        parts += packet_marks(run, packets, x, scale, moment.begin, "big")
        panels.append((top, bottom))
        y = bottom + 24
    bottom = y - 18
    unit, factor = "ms", 1000
    axis_scale = Scale(x.low * factor, x.high * factor, x.begin, x.end)
    axis = time_axis(axis_scale, bottom, 36, 12 if wide else 5, unit)
    edges = _edges(run, moment, begin, end, x, panels)
    return svg(width, bottom + 24, [*axis, *parts, *edges], f"packets around move {moment.number}")


def widest_silence(packets: list[Arrival], begin: float, end: float) -> tuple[float, float] | None:
    """The two arrivals with the most time between them."""
    times = sorted(p.time for p in packets if not p.lost and begin <= p.time <= end)
    pairs = list(itertools.pairwise(times))
    return max(pairs, key=lambda pair: pair[1] - pair[0]) if pairs else None


def _gap_band(
    packets: list[Arrival], moment: Moment, begin: float, end: float, x: Scale, top: float, bottom: float
) -> list[str]:
    silence = widest_silence(packets, begin, end)
    if silence is None or silence[1] - silence[0] < 0.035:
        return []
    first, second = x(silence[0] - moment.begin), x(silence[1] - moment.begin)
    words = f"{(silence[1] - silence[0]) * 1000:.0f} ms without a packet"
    band = rectangle(first, top, second - first, bottom - top, "gap-band", words)
    fits = second - first > 6.2 * len(words)
    label = text((first + second) / 2, bottom - 8, words, "gap-label", "middle") if fits else ""
    return [band, label]


def _edges(
    run: RunFolder, moment: Moment, begin: float, end: float, x: Scale, panels: list[tuple[float, float]]
) -> list[str]:
    """Detach and attach of the mover's interfaces."""
    host = moment.record.get("mover", "mn")
    found = [(a.begin, f"attach {a.network}") for a in run.attachments if a.host == host]
    found += [(a.end, f"detach {a.network}") for a in run.attachments if a.host == host]
    made, taken = [], -1e9
    for at, words in sorted(edge for edge in found if begin <= edge[0] <= end):
        place = x(at - moment.begin)
        made += [line(place, top, place, bottom, "edge") for top, bottom in panels]
        right = place > x.end - 90
        start = place + 4 if right else max(place - 4, taken + 10)
        made.append(text(start, 10, words, "edge-label", "end" if right else "start"))
        taken = start + (0 if right else 6 * len(words))
    return made


def _phases(move: Record) -> str:
    values = [(name, part(move, "phase_ms").get(name)) for name in PHASES]
    known = [(name, float(value)) for name, value in values if is_number(value)]
    total = sum(value for _, value in known)
    if not known:
        return '<p class="absent">Phases: not measured.</p>'
    shares = "".join(
        f'<span class="phase p{PHASES.index(name)}" style="flex-grow:{max(value, 0.001):.3f}" '
        f'title="{name} {milliseconds(value)} ms"></span>'
        for name, value in known
        if value > 0
    )
    words = "".join(
        f'<span><i class="key p{PHASES.index(name)}"></i>{name} {milliseconds(value)}</span>'
        for name, value in values
    )
    return (
        f'<div class="phases"><div class="phase-bar">{shares}</div>'
        f'<p class="legend">{words} <span>= {milliseconds(total)} ms</span></p></div>'
    )


_FIGURES = (
    "gap, ms",
    "physics asks for",
    "beyond it",
    "gap without a move",
    "delay, old → new",
    "lost",
    "recovered",
    "duplicates",
    "unheard, ms",
)


def _figures(move: Record) -> str:
    """A table that lies on wide screens and stands on narrow ones."""
    rows = {direction: _cells(move, direction) for direction in ("uplink", "downlink")}
    lying = table(["", *_FIGURES], [[name, *cells] for name, cells in rows.items()])
    standing = table(["", *rows], [list(row) for row in zip(_FIGURES, *rows.values(), strict=True)])
    return f'<div class="wide">{lying}</div><div class="narrow">{standing}</div>'


def _cells(move: Record, direction: str) -> list[str]:
    figures = part(move, direction)
    gap, floor = figures.get("gap_ms"), physics_ms(move, direction)
    beyond = max(0.0, gap - floor) if is_number(gap) and floor is not None else None
    delays = f"{milliseconds(figures.get('owd_old_ms'))} → {milliseconds(figures.get('owd_new_ms'))}"
    return [
        f"<b>{milliseconds(gap)}</b>",
        milliseconds(floor),
        milliseconds(beyond),
        milliseconds(figures.get("gap_without_move_ms")),
        delays,
        *[count(figures.get(key)) for key in ("lost", "recovered", "duplicates")],
        milliseconds(figures.get("unheard_ms")),
    ]


def gap_bars(run: RunFolder) -> str:
    """All moves at one glance: each gap as a bar, what physics asks for as a mark on it."""
    rows = [
        (moment, direction, float(part(moment.record, direction)["gap_ms"]))
        for moment in run.moments
        for direction in ("uplink", "downlink")
        if is_number(part(moment.record, direction).get("gap_ms"))
    ]
    if not rows or len(rows) > 40:
        return ""
    return both(lambda width: _bars(rows, width))


def _bars(rows: list[tuple[Moment, str, float]], width: float) -> str:
    wide = width == WIDE
    left = 260.0 if wide else 8.0
    row_height = 24.0 if wide else 38.0
    floors = [physics_ms(m.record, d) or 0.0 for m, d, _ in rows]
    x = Scale(0.0, max([gap for *_, gap in rows] + floors + [20.0]) * 1.08, left, width - 60)
    bottom = row_height * len(rows) + 6
    parts = time_axis(x, bottom, 0, 10 if wide else 4, "ms")
    for row, ((moment, direction, gap), floor) in enumerate(zip(rows, floors, strict=True)):
        y = row * row_height + 4
        move = moment.record
        name = f"{moment.number}. {move.get('from', '?')} → {move.get('to', '?')}, {direction}"
        bar_y = y if wide else y + 16
        parts.append(text(left - 10 if wide else left, y + 12, name, "row-name", "end" if wide else "start"))
        said = f"{name}: {plain(round(gap, 1))} ms; physics asks for {plain(round(floor, 1))} ms"
        parts.append(rectangle(left, bar_y, max(1.0, x(gap) - left), 15, f"gap {direction}", said, 2))
        parts.append(line(x(floor), bar_y - 3, x(floor), bar_y + 18, "floor"))
        parts.append(text(max(x(gap), x(floor)) + 6, bar_y + 12, milliseconds(gap), "value"))
    return svg(width, bottom + 22, parts, "gap of each move and direction")
