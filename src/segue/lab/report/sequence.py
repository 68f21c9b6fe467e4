"""SIP as it happened: a ladder of mn, proxy and cn for each set-up and each move, from the phones' own events.

Each message is drawn where a phone says that it sent or received it, at that phone's time. What the proxy did in
between is not in the phones' events, and is not drawn.
"""

from __future__ import annotations

from html import escape
from typing import NamedTuple

from segue.lab.report.folder import Record, RunFolder
from segue.lab.report.moves import title
from segue.lab.report.svg import WIDE, both, line, svg, text

_ROW = 30.0
_MOST = 60  # messages of one ladder
_EVENTS = {
    "registered": "registered",
    "dialling": "dials",
    "incoming_call": "rings",
    "ringing": "hears ringing",
    "up": "call is up",
    "move_begun": "begins to move",
    "move_ended": "has moved",
    "peer_moved": "sees the peer moved",
    "hold_changed": "hold changed",
    "hold_refused": "hold refused",
    "ended": "call ended",
}


class Step(NamedTuple):
    """A message (`to` is a host) or something that happened at one host (`to` is empty)."""

    time: float
    begin: str
    to: str
    words: str
    detail: str
    host: str  # whose event it is


def ladders(run: RunFolder) -> str:
    """All ladders, or a sentence about what is missing."""
    if not any(run.phones.values()):
        return '<p class="absent">The phones left no events: there is no SIP to draw.</p>'
    steps = _steps(run)
    calls = _calls(run)
    parts = [_registrations(steps, calls)]
    for number, (call_id, begin, end) in enumerate(calls, 1):
        chosen = [s for s in steps if s.detail.startswith(call_id) and begin - 1 <= s.time <= end]
        name = "Call set-up" if len(calls) == 1 else f"Set-up of call {number}"
        parts.append(_figure(name, chosen, is_open=number == 1))
    for index, moment in enumerate(run.moments):
        following = run.moments[index + 1].begin if index + 1 < len(run.moments) else moment.end + 30
        until = min(following - 0.3, moment.end + 10)
        chosen = [s for s in steps if moment.begin - 0.3 <= s.time <= until]
        parts.append(_figure(title(moment), chosen, is_open=index == 0))
    parts.append(_endings(steps, calls, run))
    return "".join(parts)


def _steps(run: RunFolder) -> list[Step]:
    """Of both phones, by time."""
    local_of_cn = {str(e.get("local")) for e in run.phones.get("cn", []) if "local" in e}
    local_of_mn = {str(e.get("local")) for e in run.phones.get("mn", []) if "local" in e}
    made = []
    for host, theirs in (("mn", local_of_cn), ("cn", local_of_mn)):
        other = "cn" if host == "mn" else "mn"
        for event in run.phones.get(host, []):
            name = event["event"]
            if name in ("sip_sent", "sip_received"):
                far = other if str(event.get("remote")) in theirs else "proxy"
                ends = (host, far) if name == "sip_sent" else (far, host)
                made.append(_message(event, ends, host))
            elif name in _EVENTS:
                made.append(
                    Step(
                        float(event["time"]), host, "", _happened(event), str(event.get("call_id", "")), host
                    )
                )
    return sorted(made, key=lambda step: step.time)


def _message(event: Record, ends: tuple[str, str], host: str) -> Step:
    line_ = str(event.get("line", ""))
    method = str(event.get("cseq", "")).partition(" ")[2]
    words = (
        f"{line_.partition(' ')[2]} ({method})" if line_.startswith("SIP/2.0") else line_.partition(" ")[0]
    )
    if event.get("body"):
        words += " + SDP"
    detail = f"{event.get('call_id', '')} {event.get('cseq', '')}, {event.get('transport', '')}"
    detail += f" {event.get('interface', '')} {event.get('local', '')} – {event.get('remote', '')}: {line_}"
    return Step(float(event["time"]), *ends, words, detail, host)


def _happened(event: Record) -> str:
    words = _EVENTS[event["event"]]
    if event["event"] == "registered":
        return f"{words} ({event.get('interface', '')})"
    if event["event"] in ("move_begun", "move_ended"):
        return f"{words}: {event.get('kind') or ('done' if event.get('ok') else 'failed')}"
    return words


def _calls(run: RunFolder) -> list[tuple[str, float, float]]:
    """(Call-ID, first event, half a second after the last phone is up) of each call."""
    begins: dict[str, float] = {}
    ends: dict[str, float] = {}
    for events in run.phones.values():
        for event in events:
            call_id = str(event.get("call_id", ""))
            if event["event"] in ("dialling", "incoming_call"):
                begins[call_id] = min(begins.get(call_id, float(event["time"])), float(event["time"]))
            if event["event"] in ("up", "ended"):
                ends.setdefault(call_id, float(event["time"]))
            if event["event"] == "up":
                ends[call_id] = max(ends[call_id], float(event["time"]))
    return [
        (c, begin, ends.get(c, begin + 10) + 0.5) for c, begin in sorted(begins.items(), key=lambda i: i[1])
    ]


def _registrations(steps: list[Step], calls: list[tuple[str, float, float]]) -> str:
    first = calls[0][1] if calls else float("inf")
    chosen = [
        s for s in steps if s.time < first and ("REGISTER" in s.detail or s.words.startswith("registered"))
    ]
    return _figure("Registration", chosen, is_open=False) if chosen else ""


def _endings(steps: list[Step], calls: list[tuple[str, float, float]], run: RunFolder) -> str:
    if not calls:
        return ""
    after = max([m.end for m in run.moments] + [calls[-1][2]])
    byes = [s.time for s in steps if s.words.startswith("BYE") and s.time > after]
    if not byes:
        return ""
    chosen = [s for s in steps if s.time >= byes[0] - 0.05 and ("BYE" in s.detail or s.words == "call ended")]
    return _figure("End of the call", chosen, is_open=False)


def _figure(name: str, steps: list[Step], is_open: bool) -> str:
    if not steps:
        return f'<p class="absent">{escape(name)}: no SIP message and no event in this time.</p>'
    shown = steps[:_MOST]
    count = sum(bool(s.to) for s in steps)
    more = f"; the first {_MOST} lines of {len(steps)}" if len(steps) > _MOST else ""
    note = f"{count} message{'' if count == 1 else 's'} seen at the phones, {_span(steps)} ms{more}"
    return (
        f'<details class="card ladder"{" open" if is_open else ""}><summary><b>{escape(name)}</b> '
        f"<span>{note}</span></summary>{both(lambda width: _draw(shown, width))}</details>"
    )


def _span(steps: list[Step]) -> str:
    return f"{(steps[-1].time - steps[0].time) * 1000:.0f}"


def _draw(steps: list[Step], width: float) -> str:
    wide = width == WIDE
    columns = (
        {"mn": 190.0, "proxy": 560.0, "cn": 930.0} if wide else {"mn": 62.0, "proxy": 196.0, "cn": 330.0}
    )
    bottom = 40 + _ROW * len(steps)
    parts = []
    for name, x in columns.items():
        parts.append(line(x, 26, x, bottom, "life"))
        parts.append(text(x, 18, name, "host", "middle"))
    start = steps[0].time
    for row, step in enumerate(steps):
        y = 56 + _ROW * row
        parts.append(
            text(
                0 if not wide else 96,
                y + 3,
                _offset(step.time - start),
                "tick",
                "start" if not wide else "end",
            )
        )
        parts.append(_arrow(step, columns, y, wide) if step.to else _note(step, columns, y, wide))
    return svg(width, bottom + 8, parts, "SIP messages between mn, proxy and cn")


def _offset(seconds: float) -> str:
    return f"{seconds * 1000:.1f}" if seconds < 10 else f"{seconds * 1000:.0f}"


def _arrow(step: Step, columns: dict[str, float], y: float, wide: bool) -> str:
    begin, end = columns[step.begin], columns[step.to]
    sign = 1 if end > begin else -1
    head = f"M{end - 8 * sign:.1f} {y - 4:.1f}L{end:.1f} {y:.1f}L{end - 8 * sign:.1f} {y + 4:.1f}"
    room = abs(end - begin) - 12
    words = _fit(step.words, room, 7.0 if wide else 5.9)
    kind = "reply" if step.words[:1].isdigit() else "ask"
    return (
        f"<g><title>{escape(step.detail)}</title>"
        f"{line(begin, y, end, y, f'arrow {kind}')}<path class='arrow-head {kind}' d='{head}'/>"
        f"{text((begin + end) / 2, y - 5, words, 'message', 'middle')}</g>"
    )


def _note(step: Step, columns: dict[str, float], y: float, wide: bool) -> str:
    x = columns[step.begin]
    dot = f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" class="happened"/>'
    right = step.begin == "cn"
    words = _fit(step.words, 230 if wide else 120, 6.6)
    label = text(x - 10 if right else x + 10, y + 4, words, "event", "end" if right else "start")
    return dot + label


def _fit(words: str, room: float, letter: float) -> str:
    most = max(4, int(room / letter))
    return words if len(words) <= most else words[: most - 1] + "…"
