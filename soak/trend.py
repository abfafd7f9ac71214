"""
Whether a series of samples grows: a slope that single samples cannot bend, and how sure it is.

The slope is the median of the slopes between all pairs of samples (Theil and Sen), its bounds are those of
Sen's test at 95 %. A series grows when even the lower bound is above what is tolerated: a leak goes on and
on, noise does not.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations, pairwise
from statistics import median
from typing import Final, NamedTuple

Points = Sequence[tuple[float, float]]
"Seconds from any start, and the value then; in order of time."

_HOUR_S: Final = 3_600.0
_Z_95: Final = 1.96
_MOST_POINTS: Final = 60
"Of longer series the medians of so many equal parts are judged: neighbours say nearly the same."
_LEAST_POINTS: Final = 8
"Of fewer no slope is sure."


class Tolerance(NamedTuple):
    """What may grow and is no leak, in the unit of the series."""

    an_hour: float
    share_an_hour: float
    "Of the level, besides."
    at_all: float
    "Growth over the whole time that is never judged: what an allocator takes at a time, or a count's noise."
    share_at_all: float = 0.0
    "Of the level, besides: a load that is not quite steady makes as much of what is remembered."

    def slope(self, level: float, hours: float) -> float:
        """Return the highest slope, an hour, that is tolerated over so many hours."""
        at_all = self.at_all + self.share_at_all * level
        return max(self.an_hour + self.share_an_hour * level, at_all / hours)


class Trend(NamedTuple):
    """What a series does."""

    level: float
    "Median of the last quarter."
    an_hour: float
    "Median slope."
    low: float
    high: float
    "Its bounds at 95 %; both infinite when there is too little to tell."
    tolerated: float
    "Slope an hour."

    @property
    def grows(self) -> bool:
        """Tell whether it is sure that more than what is tolerated is added."""
        return self.low > self.tolerated

    @property
    def is_known(self) -> bool:
        """Tell whether there were enough samples for a slope."""
        return math.isfinite(self.low)


def trend(points: Points, tolerance: Tolerance) -> Trend:
    """Return what the series does; one with fewer than 8 samples is never said to grow."""
    level = median(value for _, value in points[-max(len(points) // 4, 1) :]) if points else 0.0
    few = thinned(points, _MOST_POINTS)
    slopes = sorted(
        (there - here) / (later - earlier)
        for (earlier, here), (later, there) in combinations(few, 2)
        if later > earlier
    )
    if len(few) < _LEAST_POINTS or not slopes:
        return Trend(level, 0.0, -math.inf, math.inf, math.inf)
    hours = (points[-1][0] - points[0][0]) / _HOUR_S
    low, high = _bounds(slopes, len(few))
    tolerated = tolerance.slope(level, hours)
    return Trend(level, median(slopes) * _HOUR_S, low * _HOUR_S, high * _HOUR_S, tolerated)


def thinned(points: Points, most: int) -> list[tuple[float, float]]:
    """Return at most so many points: the medians of equal parts of the series."""
    if len(points) <= most:
        return list(points)
    cuts = [round(part * len(points) / most) for part in range(most + 1)]
    parts = [points[begin:end] for begin, end in pairwise(cuts)]
    return [(median(at for at, _ in part), median(value for _, value in part)) for part in parts]


def _bounds(slopes: Sequence[float], number: int) -> tuple[float, float]:
    """Return the slopes between which the true one lies, by the variance of Kendall's S."""
    spread = _Z_95 * math.sqrt(number * (number - 1) * (2 * number + 5) / 18)
    below = math.floor((len(slopes) - spread) / 2)
    above = math.ceil((len(slopes) + spread) / 2)
    return slopes[max(below, 0)], slopes[min(above, len(slopes) - 1)]
