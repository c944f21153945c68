"""Plots as SVG, made here: no script draws them, and the page's own colours hold in both themes. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup, escape

# People notice a wait that is longer.
SLOW_MS = 1000
_BAR_WIDTH, _BAR_GAP, _BARS_HEIGHT = 10, 4, 32
_HIGHEST_MS = 1000


def turn_bars(turns: Sequence[tuple[float, bool]]) -> Markup:
    """How long each turn of a call waited for its answer: a bar each, with the figure in its title.

    Args:
        turns: milliseconds, and whether the turn interrupted the agent.
    """
    bars = []
    highest_ms = max(_HIGHEST_MS, *(wait_ms for wait_ms, _ in turns)) if turns else _HIGHEST_MS
    for number, (wait_ms, barge_in) in enumerate(turns):
        height = max(2.0, wait_ms / highest_ms * _BARS_HEIGHT)
        kind = "slow" if wait_ms > SLOW_MS else "quick"
        note = " ⤳" if barge_in else ""
        bars.append(
            f'<rect class="{kind}" x="{number * (_BAR_WIDTH + _BAR_GAP)}" y="{_BARS_HEIGHT - height:.1f}" '
            f'width="{_BAR_WIDTH}" height="{height:.1f}" rx="2">'
            f"<title>{number + 1}: {wait_ms:.0f} ms{escape(note)}</title></rect>"
        )
    width = max(1, len(turns) * (_BAR_WIDTH + _BAR_GAP))
    figures = ", ".join(f"{wait_ms:.0f}" for wait_ms, _ in turns)
    # All that goes in is numbers and our own words.
    return Markup(  # noqa: S704
        f'<svg class="bars" viewBox="0 0 {width} {_BARS_HEIGHT}" width="{width}" height="{_BARS_HEIGHT}" '
        f'role="img" aria-label="{figures} ms">{"".join(bars)}</svg>'
    )
