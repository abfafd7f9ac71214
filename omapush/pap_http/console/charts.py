"""Charts of the last minutes as SVG: what is drawn, in the units of a box of 300 by 60."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

WIDTH: Final = 300
HEIGHT: Final = 60
_NICE: Final = (1, 2, 5, 10)


class Chart(NamedTuple):
    """One line over time, with what is below it filled."""

    lines: tuple[str, ...]
    "Points of each stretch without a gap, as `x,y x,y`."
    areas: tuple[str, ...]
    "The same as paths that close at the bottom."
    top: float
    "What the upper edge stands for."
    most: float
    last: float | None
    "None: there is no value now."


def chart(values: Sequence[float | None], length: int, least_top: float = 1.0) -> Chart:
    """
    Return the chart of values, the newest last and at the right edge; None is a gap.

    `length`: how many values the whole width is.
    """
    known = [value for value in values if value is not None]
    most = max(known, default=0.0)
    top = _nice(max(most, least_top))
    step = WIDTH / max(length - 1, 1)
    first = WIDTH - step * (len(values) - 1)
    lines: list[str] = []
    areas: list[str] = []
    for start, stretch in _stretches(values):
        points = [
            (first + step * (start + offset), HEIGHT - value / top * (HEIGHT - 2) - 1)
            for offset, value in enumerate(stretch)
        ]
        text = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        lines.append(text)
        areas.append(f"M{points[0][0]:.1f},{HEIGHT} L{text} L{points[-1][0]:.1f},{HEIGHT} Z")
    return Chart(tuple(lines), tuple(areas), top, most, values[-1] if values else None)


def _stretches(values: Sequence[float | None]) -> list[tuple[int, list[float]]]:
    found: list[tuple[int, list[float]]] = []
    for place, value in enumerate(values):
        if value is None:
            continue
        if not found or found[-1][0] + len(found[-1][1]) != place:
            found.append((place, []))
        found[-1][1].append(value)
    return found


def _nice(value: float) -> float:
    """The next of 1, 2, 5, 10, 20, 50 ... so that the edge is a number that one can read."""
    scale = 1.0
    while scale * _NICE[-1] < value:
        scale *= 10
    return next(scale * step for step in _NICE if scale * step >= value)
