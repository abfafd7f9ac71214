"""Pushes that a device takes twice: the newest are remembered, in memory that does not grow."""

from __future__ import annotations

from array import array
from typing import Final

_PLACES: Final = 1 << 18
"Of so many pushes the last one in each place is known: of 200 a second those of twenty minutes."


class Repeats:
    """Numbers of pushes, and when each was taken."""

    def __init__(self) -> None:
        # Written in full now: what would be filled while the devices are watched looks like a leak.
        self._numbers = array("q", [-1]) * _PLACES
        self._taken_s = array("d", [0.0]) * _PLACES

    def take(self, number: int, now_s: float) -> float | None:
        """Note that a push was taken; returns how long ago it was taken before, None if it was not."""
        place = number % _PLACES
        before_s = self._taken_s[place] if self._numbers[place] == number else None
        self._numbers[place], self._taken_s[place] = number, now_s
        return None if before_s is None else now_s - before_s
