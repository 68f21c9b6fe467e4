"""Drawing: SVG as text. Colours are CSS classes of the page, so that one picture serves light and dark."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from html import escape
from typing import NamedTuple

WIDE, NARROW = 1120.0, 350.0  # units of the two drawings of each figure; a unit is a CSS pixel


class Scale(NamedTuple):
    """From a value to a place, straight."""

    low: float
    high: float
    begin: float
    end: float

    def __call__(self, value: float) -> float:
        span = self.high - self.low or 1.0
        return self.begin + (value - self.low) / span * (self.end - self.begin)

    def within(self, value: float) -> float:
        return self(min(max(value, self.low), self.high))


def ticks(low: float, high: float, wanted: int) -> list[float]:
    """Round values from `low` to `high`, about `wanted` of them."""
    span = high - low
    if span <= 0 or not math.isfinite(span):
        return [low]
    power = 10 ** math.floor(math.log10(span / max(1, wanted)))
    step = next((power * m for m in (1, 2, 5, 10) if span / (power * m) <= wanted), power * 10)
    first = math.ceil(low / step - 1e-9)
    return [round(n * step, 9) for n in range(first, math.floor(high / step + 1e-9) + 1)]


def plain(value: float) -> str:
    """A number without needless digits."""
    return f"{value:.2f}".rstrip("0").rstrip(".") if value % 1 else f"{value:.0f}"


def both(draw: Callable[[float], str]) -> str:
    """The figure for wide and for narrow screens; the page shows one of them."""
    return f'<div class="wide">{draw(WIDE)}</div><div class="narrow">{draw(NARROW)}</div>'


def svg(width: float, height: float, parts: Iterable[str], label: str, attributes: str = "") -> str:
    return (
        f'<svg viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" height="{height:.0f}" role="img" '
        f'aria-label="{escape(label)}" {attributes}>{"".join(parts)}</svg>'
    )


def text(x: float, y: float, words: str, kind: str = "", anchor: str = "start") -> str:
    side = "" if anchor == "start" else f' text-anchor="{anchor}"'
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}"{side}>{escape(words)}</text>'


def line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" class="{kind}"/>'


def rectangle(
    x: float, y: float, width: float, height: float, kind: str, title: str = "", radius: float = 0
) -> str:
    said = f"<title>{escape(title)}</title>" if title else ""
    round_ = f' rx="{radius:.0f}"' if radius else ""
    return (
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(0.0, width):.1f}" height="{height:.1f}" class="{kind}"{round_}>'
        f"{said}</rect>"
    )


def dots(places: Sequence[tuple[float, float]], kind: str) -> str:
    """Many points as one path: a few octets each."""
    if not places:
        return ""
    return f'<path class="dots {kind}" d="{"".join(f"M{x:.1f} {y:.1f}h0" for x, y in places)}"/>'


def curve(places: Sequence[tuple[float, float]], kind: str, close: bool = False) -> str:
    if not places:
        return ""
    steps = "L".join(f"{x:.1f} {y:.1f}" for x, y in places)
    return f'<path class="{kind}" d="M{steps}{"Z" if close else ""}"/>'


def strike(x: float, y: float, size: float, kind: str) -> str:
    """A cross: a packet that never came."""
    return (
        f'<path class="{kind}" d="M{x - size:.1f} {y - size:.1f}L{x + size:.1f} {y + size:.1f}'
        f'M{x - size:.1f} {y + size:.1f}L{x + size:.1f} {y - size:.1f}"/>'
    )


def value_axis(scale: Scale, left: float, right: float, unit: str, count: int = 3) -> list[str]:
    """Grid lines with numbers on their left; the highest one names the unit."""
    values = ticks(scale.low, scale.high, count)
    made = []
    for value in values:
        y = scale(value)
        label = plain(value)
        made.append(line(left, y, right, y, "grid"))
        made.append(text(left - 6, y + 4, label, "tick", "end"))
    if unit:
        made.append(text(right, min(scale.begin, scale.end) + 10, unit, "tick", "end"))
    return made


def time_axis(scale: Scale, y: float, top: float, count: int, unit: str = "s") -> list[str]:
    made = [line(scale.begin, y, scale.end, y, "axis")]
    for value in ticks(scale.low, scale.high, count):
        x = scale(value)
        made.append(line(x, top, x, y, "grid"))
        anchor = "end" if x > scale.end - 14 else "start" if x < 14 else "middle"
        made.append(text(x, y + 15, f"{plain(value)} {unit}", "tick", anchor))
    return made
