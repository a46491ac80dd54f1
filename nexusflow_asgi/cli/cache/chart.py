"""Stacked bars as SVG: tokens that each request of a conversation read, wrote and paid in full."""

from collections.abc import Sequence
from itertools import pairwise

from nexusflow_core.caching import Counted

__all__ = ["COLOURS", "chart", "legend", "thousands"]

_WIDTH, _HEIGHT, _LEFT, _BOTTOM, _TOP = 720, 200, 72, 26, 16
_MOST_BARS = 90
_GRID_LINES = 2
_PARTS = {"read": "read from the cache", "written": "written to it", "uncached": "not cached"}

COLOURS = """
  .read { fill: #2f8f83 } .written { fill: #e0a030 } .uncached { fill: #c2485b }
  .axis { font: 12px system-ui, sans-serif; fill: currentColor; opacity: .75 }
  .grid { stroke: currentColor; opacity: .18 }
  @media (max-width: 600px) { .axis { font-size: 20px } }
"""
"""Styles of charts and legends, for a light and a dark background, and for colour-blind readers."""


def chart(turns: Sequence[Counted], *, title: str, most: int) -> str:
    """Returns one chart of a conversation. `most` is the number of tokens at the top of its scale.

    With more than 90 requests each bar is the mean of several neighbours.
    """
    bars = _bars(turns)
    wide = (_WIDTH - _LEFT) / max(1, len(bars))
    parts = [
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{title}">',
        f"<title>{title}</title>",
        *_axis(most, len(turns)),
    ]
    for number, (words, counts) in enumerate(bars):
        left, low = _LEFT + number * wide, float(_HEIGHT - _BOTTOM)
        parts.append(f"<g><title>{words}</title>")
        for name, tokens in zip(_PARTS, counts, strict=True):
            high = tokens / max(1, most) * (_HEIGHT - _BOTTOM - _TOP)
            if high > 0:
                low -= high
                parts.append(
                    f'<rect class="{name}" x="{left:.1f}" y="{low:.1f}" '
                    f'width="{max(0.5, wide * 0.86):.1f}" height="{high:.1f}"/>'
                )
        parts.append("</g>")
    return "".join([*parts, "</svg>"])


def legend() -> str:
    """Returns the meaning of the colours, as HTML."""
    items = (
        f'<span><svg width="12" height="12" aria-hidden="true">'
        f'<rect class="{name}" width="12" height="12"/></svg> {words}</span>'
        for name, words in _PARTS.items()
    )
    return f'<p class="legend">{" ".join(items)}</p>'


def thousands(tokens: int) -> str:
    """Returns a count in two or three digits: `950`, `12k`, `1.2M`."""
    if tokens < 1000:
        return str(tokens)
    if tokens < 1_000_000:
        return f"{tokens / 1000:.3g}k" if tokens < 999_500 else "1M"
    return f"{tokens / 1_000_000:.3g}M"


def _bars(turns: Sequence[Counted]) -> list[tuple[str, tuple[int, int, int]]]:
    """Returns each bar as a sentence and three counts of tokens."""
    count = min(len(turns), _MOST_BARS)
    edges = [round(number * len(turns) / max(1, count)) for number in range(count + 1)]
    bars: list[tuple[str, tuple[int, int, int]]] = []
    for start, end in pairwise(edges):
        some = turns[start:end]
        sums = (
            sum(request.read for request in some),
            sum(request.written for request in some),
            sum(request.uncached for request in some),
        )
        read, written, uncached = (total // len(some) for total in sums)
        which = f"request {end}" if end - start == 1 else f"requests {start + 1} to {end}, on average"
        words = f"{which}: {read:,} read, {written:,} written, {uncached:,} not cached"
        bars.append((words, (read, written, uncached)))
    return bars


def _axis(most: int, requests: int) -> list[str]:
    bottom = _HEIGHT - _BOTTOM
    parts: list[str] = []
    for step in range(_GRID_LINES + 1):
        y = bottom - step / _GRID_LINES * (bottom - _TOP)
        label = thousands(most * step // _GRID_LINES)
        parts.append(f'<line class="grid" x1="{_LEFT}" y1="{y:.1f}" x2="{_WIDTH}" y2="{y:.1f}"/>')
        parts.append(f'<text class="axis" x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{label}</text>')
    parts.append(f'<text class="axis" x="{_LEFT}" y="{_HEIGHT - 4}">request 1</text>')
    parts.append(f'<text class="axis" x="{_WIDTH}" y="{_HEIGHT - 4}" text-anchor="end">{requests:,}</text>')
    return parts
