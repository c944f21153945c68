"""Plots as SVG, made here: no script draws them, and the page's own colours hold in both themes. Pure.

All that goes into one is numbers, dates and words of ours.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from markupsafe import Markup, escape

# People notice a wait that is longer.
SLOW_MS = 1000
_BAR_WIDTH, _BAR_GAP, _BARS_HEIGHT = 10, 4, 32
_HIGHEST_MS = 1000
# More of them go on below: on a phone a bar is still three pixels wide.
_BARS_A_ROW = 60

# Of a plot over days, as it is drawn where there is room.
_WIDTH, _HEIGHT = 400, 170
_LEFT, _RIGHT, _TOP, _BOTTOM = 58, 6, 10, 24
_GRID = 4


@dataclass(frozen=True)
class Line:
    """A line of a plot; ``None`` leaves a gap. ``kind`` is its class in the style sheet."""

    name: str
    kind: str
    values: Sequence[float | None]


def turn_bars(turns: Sequence[tuple[float, bool]]) -> Markup:
    """How long each turn of a call waited for its answer: a bar each, with the figure in its title.

    Args:
        turns: milliseconds, and whether the turn interrupted the agent.
    """
    bars = []
    highest_ms = max([_HIGHEST_MS, *(wait_ms for wait_ms, _ in turns)])
    for number, (wait_ms, barge_in) in enumerate(turns):
        height = max(2.0, wait_ms / highest_ms * _BARS_HEIGHT)
        kind = "slow" if wait_ms > SLOW_MS else "quick"
        note = " ⤳" if barge_in else ""
        row, place = divmod(number, _BARS_A_ROW)
        foot = row * (_BARS_HEIGHT + _BAR_GAP) + _BARS_HEIGHT
        bars.append(
            f'<rect class="{kind}" x="{place * (_BAR_WIDTH + _BAR_GAP)}" y="{foot - height:.1f}" '
            f'width="{_BAR_WIDTH}" height="{height:.1f}" rx="2">'
            f"<title>{number + 1}: {wait_ms:.0f} ms{note}</title></rect>"
        )
    width = max(1, min(len(turns), _BARS_A_ROW) * (_BAR_WIDTH + _BAR_GAP))
    rows = max(1, math.ceil(len(turns) / _BARS_A_ROW))
    all_high = rows * (_BARS_HEIGHT + _BAR_GAP) - _BAR_GAP
    figures = ", ".join(f"{wait_ms:.0f}" for wait_ms, _ in turns)
    return Markup(  # noqa: S704
        f'<svg class="bars" viewBox="0 0 {width} {all_high}" width="{width}" height="{all_high}" '
        f'role="img" aria-label="{figures} ms">{"".join(bars)}</svg>'
    )


def columns(name: str, days: Sequence[date], values: Sequence[float], unit: str) -> Markup:
    """A column for each day.

    Args:
        name: what is plotted, for those who do not see it.
        unit: how a value is written, e.g. ``{:.0f} ms``.
    """
    frame = _Frame(days, max(values), unit)
    width = frame.step * 0.7
    drawn = [
        f'<rect class="main" x="{frame.x(n) - width / 2:.1f}" y="{frame.y(value):.1f}" width="{width:.1f}" '
        f'height="{frame.y(0) - frame.y(value):.1f}" rx="1.5">'
        f"<title>{day}: {unit.format(value)}</title></rect>"
        for n, (day, value) in enumerate(zip(days, values, strict=True))
        if value
    ]
    return frame.around(name, drawn)


def lines(name: str, days: Sequence[date], drawn: Sequence[Line], unit: str) -> Markup:
    """Lines over days, each with a point where there is a value. Arguments as of ``columns``."""
    known = [value for line in drawn for value in line.values if value is not None]
    frame = _Frame(days, max(known, default=0.0), unit)
    parts = []
    for line in drawn:
        path, pen = [], "M"
        for n, (day, value) in enumerate(zip(days, line.values, strict=True)):
            if value is None:
                pen = "M"
                continue
            x, y = frame.x(n), frame.y(value)
            path.append(f"{pen}{x:.1f} {y:.1f}")
            pen = "L"
            parts.append(
                f'<circle class="{line.kind}" cx="{x:.1f}" cy="{y:.1f}" r="2.5">'
                f"<title>{day} {line.name}: {unit.format(value)}</title></circle>"
            )
        parts.append(f'<path class="{line.kind}" d="{"".join(path)}"/>')
    return frame.around(name, parts)


class _Frame:
    """The axes of a plot over days, and where things lie in it."""

    def __init__(self, days: Sequence[date], highest: float, unit: str) -> None:
        self.days = days
        self.unit = unit
        self.highest = highest
        self.top = _round_up(highest)
        self.step = (_WIDTH - _LEFT - _RIGHT) / len(days)

    def x(self, number: int) -> float:
        """The middle of a day."""
        return _LEFT + (number + 0.5) * self.step

    def y(self, value: float) -> float:
        return _HEIGHT - _BOTTOM - value / self.top * (_HEIGHT - _TOP - _BOTTOM)

    def around(self, name: str, drawn: Sequence[str]) -> Markup:
        grid = []
        for part in range(_GRID + 1):
            value = self.top * part / _GRID
            y = self.y(value)
            grid.append(f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
            if part == 0 or (part % 2 == 0 and self.highest > 0):
                label = escape(self.unit.format(value))
                grid.append(f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{label}</text>')
        last = len(self.days) - 1
        for number, anchor in ((0, "start"), (last // 2, "middle"), (last, "end")):
            at = {"start": _LEFT, "middle": self.x(number), "end": _WIDTH - _RIGHT}[anchor]
            day = self.days[number]
            grid.append(
                f'<text x="{at:.1f}" y="{_HEIGHT - 6}" text-anchor="{anchor}">{day.month}/{day.day}</text>'
            )
        return Markup(  # noqa: S704
            f'<svg class="plot" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(name)}">'
            f"{''.join(grid)}{''.join(drawn)}</svg>"
        )


def _round_up(highest: float) -> float:
    """The next number that is easily read, as its half is, and at least a little above nothing."""
    if highest <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(highest))
    factors = (2, 4, 6, 8, 10) if power <= 1 else (1, 2, 4, 5, 8, 10)  # there is no half of a call
    return next(power * factor for factor in factors if power * factor >= highest)
