"""Stacked bars as SVG, for a light and a dark background."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

__all__ = ["AXES", "MOST_BARS", "Bar", "legend", "stacked", "thousands"]

MOST_BARS = 90
"""A chart has no room for more."""

_WIDTH, _HEIGHT, _LEFT, _BOTTOM, _TOP = 720, 200, 72, 26, 16
_GRID_LINES = 2

AXES = """
  .axis { font: 12px system-ui, sans-serif; fill: currentColor; opacity: .75 }
  .grid { stroke: currentColor; opacity: .18 }
  @media (max-width: 600px) { .axis { font-size: 20px } }
"""
"""Styles of the axes. Each part of a bar has the class of its name."""


class Bar(NamedTuple):
    """One bar: what a pointer on it says, as HTML, and the height of each part from the bottom up."""

    words: str
    heights: Sequence[int]


def stacked(
    bars: Sequence[Bar],
    names: Sequence[str],
    *,
    title: str,
    most: int,
    label: Callable[[int], str],
    first: str,
    last: str,
) -> str:
    """Returns one chart. `names`: the class of each part of a bar. `most`: the height at the top of the scale.

    `label` names a height; `first` and `last` stand below the first and the last bar. All are HTML.
    """
    wide = (_WIDTH - _LEFT) / max(1, len(bars))
    parts = [
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{title}">',
        f"<title>{title}</title>",
        *_axes(most, label, first, last),
    ]
    for number, bar in enumerate(bars):
        left, low = _LEFT + number * wide, float(_HEIGHT - _BOTTOM)
        parts.append(f"<g><title>{bar.words}</title>")
        for name, height in zip(names, bar.heights, strict=True):
            high = height / max(1, most) * (_HEIGHT - _BOTTOM - _TOP)
            if high > 0:
                low -= high
                parts.append(
                    f'<rect class="{name}" x="{left:.1f}" y="{low:.1f}" '
                    f'width="{max(0.5, wide * 0.86):.1f}" height="{high:.1f}"/>'
                )
        parts.append("</g>")
    return "".join([*parts, "</svg>"])


def legend(names: Mapping[str, str]) -> str:
    """Returns the meaning of the colours, as HTML. `names`: a class and its words, as HTML."""
    items = (
        f'<span><svg width="12" height="12" aria-hidden="true">'
        f'<rect class="{name}" width="12" height="12"/></svg> {words}</span>'
        for name, words in names.items()
    )
    return f'<p class="legend">{" ".join(items)}</p>'


def thousands(count: int) -> str:
    """Returns a count in two or three digits: `950`, `12k`, `1.2M`."""
    if count < 1000:
        return str(count)
    if count < 1_000_000:
        return f"{count / 1000:.3g}k" if count < 999_500 else "1M"
    return f"{count / 1_000_000:.3g}M"


def _axes(most: int, label: Callable[[int], str], first: str, last: str) -> list[str]:
    bottom = _HEIGHT - _BOTTOM
    parts: list[str] = []
    for step in range(_GRID_LINES + 1):
        y = bottom - step / _GRID_LINES * (bottom - _TOP)
        words = label(most * step // _GRID_LINES)
        parts.append(f'<line class="grid" x1="{_LEFT}" y1="{y:.1f}" x2="{_WIDTH}" y2="{y:.1f}"/>')
        parts.append(f'<text class="axis" x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{words}</text>')
    parts.append(f'<text class="axis" x="{_LEFT}" y="{_HEIGHT - 4}">{first}</text>')
    parts.append(f'<text class="axis" x="{_WIDTH}" y="{_HEIGHT - 4}" text-anchor="end">{last}</text>')
    return parts
