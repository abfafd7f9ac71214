"""Lines over time as SVG, without a library: small pictures for a report."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final
from xml.sax.saxutils import escape

from soak.trend import Points, thinned

_WIDTH: Final = 860
_HEIGHT: Final = 300
_LEFT: Final = 70
_TOP: Final = 30
_BOTTOM: Final = 30
_LEGEND: Final = 230
_POINTS: Final = 240
_TICKS: Final = 4
_COLOURS: Final = (
    "#1f77b4", "#d62728", "#2ca02c", "#9467bd", "#ff7f0e",
    "#17becf", "#8c564b", "#e377c2", "#7f7f7f", "#bcbd22",
)  # fmt: skip


def svg(title: str, lines: Mapping[str, Points], *, from_s: float, scale: float = 1.0) -> str:
    """
    Return a picture of the lines, those highest at the end first in the legend.

    `from_s`: the end of the warm-up, a vertical line. `scale`: what values are divided by.
    """
    shown = {name: thinned(points, _POINTS) for name, points in lines.items() if points}
    ordered = sorted(shown, key=lambda name: -shown[name][-1][1])
    last_s = max((points[-1][0] for points in shown.values()), default=1.0) or 1.0
    highest = _round_up(max((value for points in shown.values() for _, value in points), default=1.0) / scale)
    across = _WIDTH - _LEFT - _LEGEND
    down = _HEIGHT - _TOP - _BOTTOM

    def place(at_s: float, value: float) -> tuple[float, float]:
        return _LEFT + across * at_s / last_s, _TOP + down * (1 - value / scale / highest)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" '
        'font-family="sans-serif" font-size="11">',
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="white"/>',
        f'<text x="{_LEFT}" y="18" font-size="13">{escape(title)}</text>',
    ]
    for tick in range(_TICKS + 1):
        value = highest * tick / _TICKS
        y = place(0, value * scale)[1]
        parts.append(f'<line x1="{_LEFT}" x2="{_LEFT + across}" y1="{y:.1f}" y2="{y:.1f}" stroke="#ddd"/>')
        parts.append(f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{value:,.4g}</text>')
        at_s = last_s * tick / _TICKS
        x = place(at_s, 0)[0]
        parts.append(f'<text x="{x:.1f}" y="{_HEIGHT - 10}" text-anchor="middle">{at_s / 60:.0f} min</text>')
    x = place(from_s, 0)[0]
    parts.append(
        f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP}" y2="{_TOP + down}" stroke="#888" stroke-dasharray="4"/>'
    )
    for index, name in enumerate(ordered):
        colour = _COLOURS[index % len(_COLOURS)]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in (place(*point) for point in shown[name]))
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.3"/>')
        if (y := _TOP + 8 + 12 * index) < _HEIGHT - 6:
            parts.append(f'<text x="{_LEFT + across + 10}" y="{y}" fill="{colour}">{escape(name)}</text>')
    return "\n".join([*parts, "</svg>", ""])


def _round_up(value: float) -> float:
    """Return the next of 1, 2, 2.5, 5 and 10 times a power of ten, so that ticks are round."""
    if value <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 2, 2.5, 5, 10) if step * power >= value * 0.9999)
