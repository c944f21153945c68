"""The plot of a load, an SVG by hand: delays second by second, and how they are distributed."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from xml.sax.saxutils import escape

from callapp.simulators.load.report import Report

_WIDTH, _HEIGHT = 760, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 60, 150, 36, 36
_COLOURS = ("#1f77b4", "#9ecae1", "#d62728", "#fcae91")
_DECADES = (0.01, 0.1, 1.0, 10.0, 100.0, 1000.0, 10000.0)

Line = tuple[str, Sequence[float | None]]


def plot(report: Report) -> str:
    """Draw a report."""
    server = report["server"]
    cost = f", {server['cpuMsPerCallSecond']:.2f} ms CPU per call-second" if server else ""
    series = report["series"]
    by_second: list[Line] = [
        (f"{words} {share}", [second[way][share] for second in series])
        for way, words in (("toModelMs", "to model"), ("toPhoneMs", "to phone"))
        for share in ("p99", "p50")
    ]
    shares = ("p50", "p95", "p99", "max")
    spread: list[Line] = [
        (words, [values[share] for share in shares])
        for words, values in (
            ("to model", report["delayMs"]["toModel"]),
            ("to phone", report["delayMs"]["toPhone"]),
            ("clear", report["clearMs"]),
            ("load, late", report["load"]["lateMs"]),
        )
    ]
    seconds = [
        str(second + 1) if second % max(1, len(series) // 10) == 0 else "" for second in range(len(series))
    ]
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {2 * _HEIGHT}" '
            'font-family="sans-serif" font-size="12">',
            f'<rect width="{_WIDTH}" height="{2 * _HEIGHT}" fill="white"/>',
            *_panel(0, f"{report['calls']} calls{cost}: delay in ms, by second", seconds, by_second),
            *_panel(_HEIGHT, "Delay in ms, by percentile", shares, spread),
            "</svg>",
        ]
    )


def _panel(top: int, title: str, ticks: Sequence[str], lines: Sequence[Line]) -> Iterable[str]:
    values = [value for _, line in lines for value in line if value is not None and value > 0]
    low = max((d for d in _DECADES if d <= min(values, default=0.1)), default=_DECADES[0])
    high = min((d for d in _DECADES if d >= max(values, default=10.0)), default=_DECADES[-1])
    high = max(high, low * 10)

    def x(at: int) -> float:
        return _LEFT + (_WIDTH - _LEFT - _RIGHT) * at / max(1, len(ticks) - 1)

    def y(value: float) -> float:
        share = (math.log10(max(value, low)) - math.log10(low)) / (math.log10(high) - math.log10(low))
        return top + _HEIGHT - _BOTTOM - (_HEIGHT - _TOP - _BOTTOM) * min(1.0, share)

    yield f'<text x="{_LEFT}" y="{top + 20}" font-size="14">{escape(title)}</text>'
    for decade in _DECADES:
        if low <= decade <= high:
            yield f'<path d="M{_LEFT} {y(decade):.1f}H{_WIDTH - _RIGHT}" stroke="#ddd"/>'
            yield f'<text x="{_LEFT - 6}" y="{y(decade) + 4:.1f}" text-anchor="end">{decade:g}</text>'
    for at, tick in enumerate(ticks):
        yield f'<text x="{x(at):.1f}" y="{top + _HEIGHT - 14}" text-anchor="middle">{escape(tick)}</text>'
    for at, (name, line) in enumerate(lines):
        points = " ".join(
            f"{x(place):.1f},{y(value):.1f}" for place, value in enumerate(line) if value is not None
        )
        colour = _COLOURS[at % len(_COLOURS)]
        yield f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>'
        place = top + _TOP + 18 * at
        yield f'<rect x="{_WIDTH - _RIGHT + 12}" y="{place}" width="14" height="4" fill="{colour}"/>'
        yield f'<text x="{_WIDTH - _RIGHT + 32}" y="{place + 7}">{escape(name)}</text>'
