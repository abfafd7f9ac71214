"""
Plots as SVG elements, to stand in an HTML page: bars against goals, costs in stacks, lines over time.

Colours and letters are classes of the page's style sheet, so that they follow its light or dark.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Final, NamedTuple

WIDTH: Final = 860
_LABEL: Final = 190
"Room for names, left of what is drawn."
_RIGHT: Final = 120
"Room for what is said behind a bar."
_ROW: Final = 30
_BAR: Final = 14
_AXIS: Final = 24
SHADES: Final = 8
"Classes `shade0` and on, which parts of a stack take in turn."


class Bar(NamedTuple):
    """One figure against what it has to reach, all in parts of that."""

    label: str
    part: float
    low: float
    high: float
    aim: float
    said: str
    "What stands behind the bar."
    kind: str
    "Class of the bar: `missed`, `reached`, `aim`."


class Stack(NamedTuple):
    """What one thing costs, by part."""

    label: str
    parts: Mapping[str, float]


class Point(NamedTuple):
    """One run in a history."""

    label: str
    value: float
    low: float
    high: float


def bars(rows: Sequence[Bar]) -> str:
    """Return bars on one scale, a line at 1 that all have to reach, and a mark at the aim of each."""
    most = max([1.0, *(max(row.part, row.high, row.aim) for row in rows)])
    scale = (WIDTH - _LABEL - _RIGHT) / most
    drawn = []
    for number, row in enumerate(rows):
        top = number * _ROW + (_ROW - _BAR) / 2
        middle = top + _BAR / 2
        drawn += [
            _text(_LABEL - 8, middle, row.label, "name"),
            _box(_LABEL, top, row.part * scale, row.kind, f"{row.label}: {row.said}"),
            _line(_LABEL + row.low * scale, middle, _LABEL + row.high * scale, middle, "spread"),
            _line(_LABEL + row.aim * scale, top - 3, _LABEL + row.aim * scale, top + _BAR + 3, "aim-mark"),
            _text(_LABEL + max(row.part, row.high, row.aim) * scale + 8, middle, row.said),
        ]
    height = len(rows) * _ROW
    drawn.append(_line(_LABEL + scale, 0, _LABEL + scale, height, "least-mark"))
    drawn.append(_text(_LABEL + scale, height + _AXIS / 2, "to reach", "middle"))
    return _svg(height + _AXIS, drawn)


def stacks(rows: Sequence[Stack], unit: str) -> str:
    """Return bars made of parts, one shade for each kind of part, with a legend."""
    kinds = list(dict.fromkeys(kind for row in rows for kind in row.parts))
    most = max(sum(row.parts.values()) for row in rows)
    scale = (WIDTH - _LABEL - _RIGHT) / (most or 1.0)
    drawn = []
    for number, row in enumerate(rows):
        top = number * _ROW + (_ROW - _BAR) / 2
        at = float(_LABEL)
        drawn.append(_text(_LABEL - 8, top + _BAR / 2, row.label, "name"))
        for kind, value in row.parts.items():
            shade = f"shade{kinds.index(kind) % SHADES}"
            drawn.append(_box(at, top, value * scale, shade, f"{kind}: {value:,.1f} {unit}"))
            at += value * scale
        drawn.append(_text(at + 8, top + _BAR / 2, f"{sum(row.parts.values()):,.0f} {unit}"))
    return _svg(len(rows) * _ROW, drawn) + _legend(kinds)


def history(points: Sequence[Point], goals: Sequence[float], form: str = ",.0f") -> str:
    """Return a line through the runs, oldest first, with the spread of each and a line at each goal."""
    values = [value for point in points for value in (point.low, point.high, point.value)]
    most = max([*values, *goals]) * 1.1 or 1.0
    height, inner = 150, 120

    def x(number: int) -> float:
        return _LABEL + (WIDTH - _LABEL - _RIGHT) * (number + 0.5) / len(points)

    def y(value: float) -> float:
        return inner * (1 - value / most) + 6

    drawn = [_line(_LABEL, y(goal), WIDTH - _RIGHT, y(goal), "least-mark") for goal in goals]
    drawn += [_text(WIDTH - _RIGHT + 8, y(goal), f"{goal:{form}}") for goal in goals]
    drawn.append(_line(_LABEL, y(0), WIDTH - _RIGHT, y(0), "axis"))
    path = " ".join(f"{x(number):.1f},{y(point.value):.1f}" for number, point in enumerate(points))
    drawn.append(f'<polyline class="run" points="{path}"/>')
    for number, point in enumerate(points):
        said = f"{point.label}: {point.value:{form}}"
        drawn.append(_line(x(number), y(point.low), x(number), y(point.high), "spread"))
        drawn.append(
            f'<circle class="run" cx="{x(number):.1f}" cy="{y(point.value):.1f}" r="4">'
            f"<title>{escape(said)}</title></circle>"
        )
        drawn.append(_text(x(number), height - 8, point.label, "middle small"))
    drawn.append(_text(_LABEL - 8, y(points[-1].value), f"{points[-1].value:{form}}", "name"))
    return _svg(height, drawn)


def _legend(kinds: Sequence[str]) -> str:
    square = '<svg><rect class="shade{}" width="12" height="12"/></svg>'
    words = (
        f"<span>{square.format(number % SHADES)} {escape(kind)}</span>" for number, kind in enumerate(kinds)
    )
    return f'<p class="legend">{" ".join(words)}</p>'


def _svg(height: float, drawn: Sequence[str]) -> str:
    return f'<svg viewBox="0 0 {WIDTH} {height:.0f}" role="img">{"".join(drawn)}</svg>'


def _box(x: float, y: float, width: float, kind: str, title: str) -> str:
    return (
        f'<rect class="{kind}" x="{x:.1f}" y="{y:.1f}" width="{max(width, 0.5):.1f}" height="{_BAR}">'
        f"<title>{escape(title)}</title></rect>"
    )


def _line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    return f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def _text(x: float, y: float, text: str, kind: str = "") -> str:
    named = f' class="{kind}"' if kind else ""
    return f'<text{named} x="{x:.1f}" y="{y:.1f}" dominant-baseline="central">{escape(text)}</text>'
