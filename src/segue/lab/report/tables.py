"""Headline figures, set-up, security, links and how to run it again: the parts of the page without a time axis."""

from __future__ import annotations

import shlex
from html import escape
from typing import Any, NamedTuple

from segue.base.errors import LocalError
from segue.lab.options import RunOptions
from segue.lab.report.folder import Record, RunFolder, file_size, is_number
from segue.lab.report.moves import count, milliseconds, part, table

_VOID_MS = 2.0  # p99 error of a link that voids the figures


class Headline(NamedTuple):
    """`good`: True and False are said in words too, None has no judgement."""

    name: str
    value: str
    unit: str
    note: str
    good: bool | None = None


def headlines(result: Record) -> list[Headline]:
    """What the run comes to, in eight figures; "–" for what was not measured."""
    moves = [m for m in result.get("moves") or [] if isinstance(m, dict)]
    summary, security = part(result, "summary"), part(result, "security")
    hard = sum(m.get("kind") == "hard" for m in moves)
    made = [Headline("Moves", str(len(moves)), "", f"{hard} hard, {len(moves) - hard} soft")]
    for direction, way in (("uplink", "mn → cn"), ("downlink", "cn → mn")):
        spread = part(summary, f"{direction}_gap_ms")
        note = f"{way}; median {milliseconds(spread.get('median'))} ms"
        made.append(Headline(f"Longest gap {direction}", milliseconds(spread.get("max")), "ms", note))
    made.append(_zero("Lost packets", summary.get("lost"), "", "sequence numbers that never arrived"))
    made.append(
        _zero("Unheard speech", summary.get("unheard_ms"), "ms", "said, and not in the listener's recording")
    )
    clear = security.get("clear_rtp_packets")
    made.append(_zero("Clear packets", clear, "", "voice that an eavesdropper could play"))
    attacks = [a for a in security.get("attacks") or [] if isinstance(a, dict)]
    tried, accepted = _sum(attacks, "tried"), _sum(attacks, "accepted")
    if attacks:
        control = f"of {tried} tried; without the defence {_sum(attacks, 'control_accepted')} "
        made.append(_zero("Attacks accepted", accepted, "", control + f"of {_sum(attacks, 'control_tried')}"))
    else:
        made.append(Headline("Attacks accepted", "–", "", _no_attack(result)))
    mos = part(summary, "mos")
    shown = f"{mos['around_moves']:.2f}" if is_number(mos.get("around_moves")) else "–"
    before = f"{mos['before']:.2f}" if is_number(mos.get("before")) else "–"
    made.append(Headline("MOS around moves", shown, "", f"{before} before them (E-model)"))
    return made


def _no_attack(result: Record) -> str:
    asked = part(result, "options").get("attacks")
    return "attacks were asked for, but the result has none" if asked else "no attack was run"


def _sum(attacks: list[Record], key: str) -> int:
    return sum(int(a[key]) for a in attacks if is_number(a.get(key)))


def _zero(name: str, value: Any, unit: str, note: str) -> Headline:
    if not is_number(value):
        return Headline(name, "–", "", "not measured")
    shown = f"{value:.0f}" if float(value).is_integer() else f"{value:.1f}"
    return Headline(name, shown, unit, note, value == 0)


def headline_tiles(result: Record) -> str:
    tiles = []
    for name, value, unit, note, good in headlines(result):
        state = {True: "good", False: "bad", None: ""}[good]
        sign = {True: '<i class="sign">✓</i>', False: '<i class="sign">!</i>', None: ""}[good]
        shown = f"{value}<small> {unit}</small>" if unit else value
        tiles.append(
            f'<div class="tile {state}"><h2>{escape(name)}</h2><p class="figure">{shown}{sign}</p>'
            f"<p>{escape(note)}</p></div>"
        )
    return f'<section class="tiles">{"".join(tiles)}</section>'


def setup(run: RunFolder) -> str:
    given = part(run.result, "setup_ms")
    rows = [
        [
            "Post-dial delay",
            "from the first INVITE until the caller knows that it rings",
            milliseconds(given.get("post_dial")),
        ],
        [
            "First media",
            "from the answer (200) at the caller until its first voice packet arrives",
            milliseconds(given.get("first_media")),
        ],
    ]
    for key, value in given.items():
        if key not in ("post_dial", "first_media"):
            shown = {True: "yes", False: "no"}[value] if isinstance(value, bool) else milliseconds(value)
            rows.append([escape(key.replace("_", " ").capitalize()), "", shown])
    rows += _setup_by_phones(run)
    return table(["", "what", "ms"], rows)


def _setup_by_phones(run: RunFolder) -> list[list[str]]:
    """From the caller's own events; the measured ones above come from captures."""
    rows = []
    for host, events in run.phones.items():
        dialled = next((e for e in events if e["event"] == "dialling"), None)
        if dialled is None:
            continue
        for name, words in (("ringing", "Ringing"), ("up", "Up")):
            later = next((e for e in events if e["event"] == name and e["time"] >= dialled["time"]), None)
            if later:
                took = (float(later["time"]) - float(dialled["time"])) * 1000
                rows.append([words, f"since dialling, as the phone {host} says", milliseconds(took)])
    return rows


def security(run: RunFolder) -> str:
    result, found = run.result, part(run.result, "security")
    changed = found.get("keys_changed")
    keys = {
        True: "changed during the call",
        False: "the first exchange's keys opened every packet of the run",
    }
    rows = [
        ["Voice", _words(result.get("suite")), f"keys agreed by {_words(result.get('keying'))}"],
        ["Signalling", _words(result.get("signalling")).upper(), ""],
        ["Peer", _words(found.get("authenticated_peer")), f"authenticated: {_words(found.get('assurance'))}"],
        [
            "Keys",
            keys.get(changed, "not measured") if isinstance(changed, bool) else "not measured",
            "libsrtp's answer",
        ],
        [
            "Packets in the clear",
            count(found.get("clear_rtp_packets")),
            "in all captures, of both directions",
        ],
    ]
    attacks = [a for a in found.get("attacks") or [] if isinstance(a, dict)]
    parts = [table(["", "", ""], rows)]
    if attacks:
        parts.append("<h3>Attacks, and the same with the defence off</h3>")
        parts.append(table(_ATTACK_HEADS, [_attack(a) for a in attacks]))
        parts.append(
            '<p class="note">A control that fails says that the attack itself was no good, and proves nothing '
            "about the defence.</p>"
        )
    else:
        parts.append(f'<p class="absent">{_no_attack(result).capitalize()}.</p>')
    if run.attacks:
        parts.append(_attack_log(run))
    return "".join(parts)


_ATTACK_HEADS = ["attack", "accepted", "with the defence off", "verdict"]


def _attack(attack: Record) -> list[str]:
    accepted, control = attack.get("accepted"), attack.get("control_accepted")
    if not is_number(accepted) or not attack.get("tried"):
        verdict = '<span class="mark">not tried</span>'
    elif accepted:
        verdict = '<span class="mark bad">! got through</span>'
    elif not control:
        verdict = '<span class="mark">! control failed: proves nothing</span>'
    else:
        verdict = '<span class="mark good">✓ repelled</span>'
    figures = [
        f"{count(attack.get(f'{prefix}accepted'))} of {count(attack.get(f'{prefix}tried'))}"
        for prefix in ("", "control_")
    ]
    return [_words(attack.get("kind")), *figures, verdict]


def _attack_log(run: RunFolder) -> str:
    rows = []
    for record in run.attacks[:200]:
        at = record.get("time")
        when = f"{at - run.zero:.2f} s" if is_number(at) else "–"
        rest = {k: v for k, v in record.items() if k not in ("time", "kind")}
        details = ", ".join(f"{k} {v}" for k, v in rest.items())
        rows.append([when, _words(record.get("kind")), escape(details)])
    more = f"; the first 200 of {len(run.attacks)}" if len(run.attacks) > 200 else ""
    return (
        f"<details><summary>Log of the attacks{more}</summary>{table(['time', 'attack', ''], rows)}</details>"
    )


def _words(value: Any) -> str:
    return escape(str(value)) if value not in (None, "") else "–"


def links(run: RunFolder) -> str:
    rows = []
    for link in run.records("links"):
        error = link.get("p99_error_ms")
        void = is_number(error) and error > _VOID_MS
        shown = milliseconds(error) + (' <span class="mark bad">! void</span>' if void else "")
        numbers = [_plain(link.get(k)) for k in ("one_way_delay_ms", "jitter_ms", "loss", "rate_kbps")]
        if link.get("rate_kbps") == 0:
            numbers[-1] = "no limit"
        rows.append([_words(link.get("name")), *numbers, shown])
    if not rows:
        return '<p class="absent">The result names no links.</p>'
    heads = ["link", "one-way delay, ms", "jitter, ms", "loss", "rate, kbit/s", "error at p99, ms"]
    return table(heads, rows)


def _plain(value: Any) -> str:
    return f"{value:g}" if is_number(value) else "–"


def void_links(result: Record) -> list[str]:
    """Links whose delays were too far off for the figures to count (design section 5)."""
    return [
        str(link.get("name"))
        for link in result.get("links") or []
        if isinstance(link, dict) and is_number(link.get("p99_error_ms")) and link["p99_error_ms"] > _VOID_MS
    ]


def command_line(result: Record) -> str:
    """The command that makes this run again, from its options."""
    if isinstance(result.get("command"), str):
        return str(result["command"])
    options = part(result, "options")
    try:
        return RunOptions.from_json(options).command() + " --report DIR"
    except (TypeError, LocalError):
        pass  # of another version: all of them, then
    words = ["segue", "lab", "run", str(result.get("scenario", "?"))]
    for name, value in options.items():
        if value is None or value is False or value == "" or name in ("scenario", "report", "json", "pcap"):
            continue
        words.append(f"--{name.replace('_', '-')}")
        if value is not True:
            words.append(str(value))
    if "--seed" not in words and is_number(result.get("seed")):
        words += ["--seed", str(result["seed"])]
    return shlex.join([*words, "--report", "DIR"])


def how(run: RunFolder) -> str:
    captures = "".join(
        f'<li><a href="captures/{escape(p.name, quote=True)}">{escape(p.name)}</a> {file_size(p)}</li>'
        for p in run.captures
    )
    missing = "".join(f"<li>{escape(m)}</li>" for m in run.missing)
    options = part(run.result, "options")
    chosen = "".join(f"<dt>{escape(str(k))}</dt><dd>{escape(str(v))}</dd>" for k, v in options.items())
    return (
        f'<p>Run it again:</p><pre class="command"><code>{escape(command_line(run.result))}</code></pre>{_METHOD}'
        f"<h3>Links of this run</h3>{links(run)}"
        + (f"<details><summary>All options</summary><dl>{chosen}</dl></details>" if chosen else "")
        + (f"<h3>Captures</h3><ul>{captures}</ul>" if captures else "")
        + (f'<h3>Missing in the folder of this run</h3><ul class="absent">{missing}</ul>' if missing else "")
    )


_METHOD = """
<ul>
<li><b>Gap</b>: the largest time between first copies of voice packets at the receiver, over all its interfaces, from
0.5 s before a move to 5 s after it, less one packet time (20 ms). From captures at the receiver.</li>
<li><b>Lost</b>: sequence numbers that never arrived. <b>Unheard</b>: milliseconds of the talker's signal that the
listener's recording does not contain.</li>
<li><b>link</b>: from the old link's detach to the new link's attach, in the emulator's log. <b>address</b>: until the
mobile node has a usable address, a default route and its router's link-layer address, read from the kernel.
<b>session</b>: the rest, until media flows both ways.</li>
<li><b>Physics asks for</b>: in a soft move only what the longer path adds, max(0, new delay − old delay). In a hard
move, away from the mover: link + address + what the longer path adds; towards it: link + address + one direct round
trip, since the other end cannot know the new address earlier.</li>
<li><b>Clear packets</b> and <b>accepted attacks</b> are read from captures and recordings, not from the phones'
counters. Each attack is also run with the defence off, where it must succeed.</li>
<li>The phones are processes of their own in network namespaces of their own. A link whose delay was off by more than
2 ms at the 99th percentile voids the figures, and the page says so.</li>
</ul>
"""
