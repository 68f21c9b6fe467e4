"""The walk on one time axis: signals, association, path of the voice, delay of every packet, and what was heard."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable
from html import escape

from segue.lab.report.folder import Arrival, Attachment, RunFolder
from segue.lab.report.sound import Recording, envelope
from segue.lab.report.svg import (
    WIDE,
    Scale,
    both,
    curve,
    dots,
    line,
    rectangle,
    strike,
    svg,
    text,
    time_axis,
    value_axis,
)

_GAP, _TOP, _BOTTOM = 30.0, 26.0, 26.0
_LANE = 16.0


def network_class(run: RunFolder, network: str) -> str:
    """The colour of an access network: the same everywhere on the page."""
    names = run.networks()
    return f"n{min(names.index(network), 4)}" if network in names else "n4"


def legend(run: RunFolder) -> str:
    names = [f'<span><i class="key {network_class(run, n)}"></i>{escape(n)}</span>' for n in run.networks()]
    lost = '<span><i class="key lost"></i>lost packet</span>'
    return f'<p class="legend">{"".join(names)}{lost}</p>'


def time_line(run: RunFolder, heard: dict[str, Recording]) -> str:
    """Both drawings of the time line; a sentence instead when there is nothing to draw."""
    if run.end <= run.zero:
        return '<p class="absent">There is no packet series, signal or event to draw a time line from.</p>'
    return legend(run) + both(lambda width: _Board(run, heard, width).draw())


class _Board:
    """One drawing: panels one below the other."""

    def __init__(self, run: RunFolder, heard: dict[str, Recording], width: float) -> None:
        self.run = run
        self.heard = heard
        self.wide = width == WIDE
        self.width = width
        left = 58.0 if self.wide else 42.0
        self.x = Scale(0.0, run.end - run.zero, left, width - 8)
        self.y = _TOP
        self.parts: list[str] = []

    def draw(self) -> str:
        run = self.run
        if run.signals:
            self._signals()
        if run.attachments:
            self._associations()
        self._paths()
        tallest = high_delay(itertools.chain(*run.series.values()))
        for direction, way in (("uplink", "mn → cn"), ("downlink", "cn → mn")):
            if run.series.get(direction):
                title = f"{'One-way delay' if self.wide else 'Delay'} {direction} ({way}), each packet"
                self._delays(title, run.series[direction], tallest)
        for host, words in (("cn", "Heard by cn (mn speaks)"), ("mn", "Heard by mn (cn speaks)")):
            if host in self.heard and run.up(host) is not None:
                self._wave(words, self.heard[host], (run.up(host) or 0.0) - run.zero)
        bottom = self.y - _GAP + 8
        axis = time_axis(self.x, bottom, _TOP, 14 if self.wide else 6)
        height = bottom + _BOTTOM
        play = line(self.x.begin, _TOP - 6, self.x.begin, bottom, "playhead")
        attributes = (
            f'data-begin="{self.x.begin:.1f}" data-end="{self.x.end:.1f}" data-seconds="{self.x.high:.3f}" '
            'class="time-line"'
        )
        marks = self._moves(bottom)
        return svg(
            self.width, height, [*axis, *self.parts, *marks, play], "time line of the walk", attributes
        )

    def _panel(self, title: str, height: float) -> tuple[float, float]:
        """Top and bottom of a new panel."""
        self.parts.append(text(0 if not self.wide else 4, self.y + 12, title, "panel"))
        top = self.y + 20
        self.y = top + height + _GAP
        return top, top + height

    def _signals(self) -> None:
        run = self.run
        names = [k for k in run.signals[0] if k not in ("time", "position", "monotonic", "wall")]
        names = [n for n in names if isinstance(run.signals[0][n], int | float)]
        values = [float(s[n]) for s in run.signals for n in names if isinstance(s.get(n), int | float)]
        if not values:
            return
        top, bottom = self._panel("Signal of each WLAN, dBm", 84 if self.wide else 70)
        scale = Scale(
            max(-100.0, math.floor(min(values) / 10) * 10), math.ceil(max(values) / 10) * 10, bottom, top
        )
        self.parts += value_axis(scale, self.x.begin, self.x.end, "")
        for name in names:
            places = [
                (self.x.within(float(s["time"]) - run.zero), scale.within(float(s[name])))
                for s in run.signals
                if isinstance(s.get(name), int | float)
            ]
            places = places[:: max(1, len(places) // 600)]
            self.parts.append(curve(places, f"signal {network_class(run, name)}"))

    def _associations(self) -> None:
        own = [a for a in self.run.attachments if a.host == "mn"]
        interfaces = list(dict.fromkeys(a.interface for a in own))
        if not interfaces:
            return
        top, _ = self._panel("Attached to (mn)", (_LANE + 4) * len(interfaces))
        for row, interface in enumerate(interfaces):
            y = top + row * (_LANE + 4)
            self._lane_name(y, interface)
            for one in own:
                if one.interface == interface:
                    self._bar(one, y)

    def _lane_name(self, y: float, name: str) -> None:
        shown = name if self.wide else name[:5]
        self.parts.append(text(self.x.begin - 6, y + 12, shown, "tick", "end"))

    def _bar(self, one: Attachment, y: float) -> None:
        run = self.run
        begin = max(0.0, one.begin - run.zero)
        end = min(self.x.high, one.end - run.zero)
        if end <= begin:
            return
        x, width = self.x(begin), self.x(end) - self.x(begin)
        title = f"{one.interface} on {one.network}: {begin:.2f} s to {end:.2f} s"
        self.parts.append(
            rectangle(x, y, width - 1, _LANE, f"bar {network_class(run, one.network)}", title, 3)
        )
        if width > 8 * len(one.network) + 10:
            self.parts.append(text(x + 7, y + 12, one.network, "on-bar"))

    def _paths(self) -> None:
        """Over which network the voice went: stretches of packets of the same network, by the mn's interface."""
        rows = []
        for direction, word in (("uplink", "up"), ("downlink", "down")):
            packets = [p for p in self.run.series.get(direction, []) if p.place.startswith("mn")]
            if packets:
                rows.append((word, packets))
        if not rows:
            return
        top, _ = self._panel("Path of the voice", 12.0 * len(rows))
        for row, (word, packets) in enumerate(rows):
            y = top + 12 * row
            self.parts.append(text(self.x.begin - 6, y + 9, word, "tick", "end"))
            for network, begin, end in stretches(self.run, packets):
                x = self.x.within(begin - self.run.zero)
                width = self.x.within(end - self.run.zero) - x
                title = f"{word}: {network} from {begin - self.run.zero:.2f} s to {end - self.run.zero:.2f} s"
                self.parts.append(
                    rectangle(x, y, max(1.5, width), 9, f"bar {network_class(self.run, network)}", title)
                )

    def _delays(self, title: str, packets: list[Arrival], tallest: float) -> None:
        run = self.run
        top, bottom = self._panel(title, 90 if self.wide else 80)
        scale = Scale(0.0, tallest, bottom, top)
        self.parts += value_axis(scale, self.x.begin, self.x.end, "ms" if self.wide else "")
        self.parts += packet_marks(run, packets, self.x, scale, run.zero)

    def _wave(self, title: str, recording: Recording, begin: float) -> None:
        top, bottom = self._panel(title, 60 if self.wide else 48)
        middle = (top + bottom) / 2
        columns = int((self.x.end - self.x.begin) * (1.0 if self.wide else 1.5))
        shape = [
            (at + begin, low, high)
            for at, low, high in envelope(recording, columns)
            if 0 <= at + begin <= self.x.high
        ]
        loudest = max((max(-low, high) for _, low, high in shape), default=0.0)
        self.parts.append(line(self.x.begin, middle, self.x.end, middle, "grid"))
        if loudest < 1e-3:
            self.parts.append(text(self.x.begin + 8, middle - 6, "silence only", "tick"))
            return
        size = (bottom - top) / 2 / loudest
        over = [(self.x(at), middle - high * size) for at, _, high in shape]
        under = [(self.x(at), middle - low * size) for at, low, _ in reversed(shape)]
        self.parts.append(curve(over + under, "wave", close=True))

    def _moves(self, bottom: float) -> list[str]:
        made = []
        for moment in self.run.moments:
            begin = self.x.within(moment.begin - self.run.zero)
            end = self.x.within(moment.end - self.run.zero)
            made.append(rectangle(begin, _TOP - 4, max(1.0, end - begin), bottom - _TOP + 4, "move-band"))
            middle = (begin + end) / 2
            made.append(f'<circle cx="{middle:.1f}" cy="13" r="9" class="badge"/>')
            made.append(text(middle, 17, str(moment.number), "badge-number", "middle"))
        return made


def stretches(run: RunFolder, packets: list[Arrival]) -> list[tuple[str, float, float]]:
    """(network, begin, end) of neighbours that took the same network."""
    made: list[tuple[str, float, float]] = []
    for network, group in itertools.groupby(packets, key=lambda p: run.network_of(p.place, p.time)):
        members = list(group)
        made.append((network, members[0].time, members[-1].time))
    return made


def packet_marks(
    run: RunFolder, packets: list[Arrival], x: Scale, y: Scale, zero: float, size: str = ""
) -> list[str]:
    """A dot for each packet in the colour of its network, a cross at the top for each one lost."""
    inside = [p for p in packets if x.low <= p.time - zero <= x.high]
    by_network: dict[str, list[tuple[float, float]]] = {}
    for packet in inside:
        if not packet.lost:
            network = run.network_of(packet.place, packet.time)
            place = (x(packet.time - zero), y.within(packet.delay_ms))
            by_network.setdefault(network, []).append(place)
    made = [
        dots(places, f"{size} {network_class(run, network)}".strip())
        for network, places in by_network.items()
    ]
    crosses = "".join(
        strike(x(p.time - zero), min(y.begin, y.end) + 4, 3.5, "lost") for p in inside if p.lost
    )
    return [*made, crosses]


def high_delay(packets: Iterable[Arrival]) -> float:
    """A round top for the delay axis, so that a few late packets do not flatten the rest."""
    delays = sorted(p.delay_ms for p in packets if not p.lost)
    if not delays:
        return 100.0
    usual = delays[int(len(delays) * 0.99)] * 1.25
    top = max(20.0, min(usual, delays[-1] * 1.1))
    step = 20 if top <= 200 else 100
    return math.ceil(top / step) * step
