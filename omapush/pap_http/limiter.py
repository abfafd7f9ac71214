"""How often something may happen within a minute, counted for each name, for a bounded number of names."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from omapush import clock

_WINDOW_S: Final = 60.0
_MOST_NAMES: Final = 10_000
"The name whose minute began first is forgotten for one more."


class Limiter:
    """Counts; one for each thing that is limited."""

    def __init__(self, most: int, now: Callable[[], float] = clock.monotonic) -> None:
        self._most = most
        self._now = now
        self._counts: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def takes(self, name: str) -> bool:
        """Count one more for `name`; False when that is above the limit of its minute."""
        began, number = self._minute(name)
        self._counts[name] = began, number + 1
        if len(self._counts) > _MOST_NAMES:
            self._counts.popitem(last=False)
        return number < self._most

    def is_used_up(self, name: str) -> bool:
        """Tell whether one more would be above the limit."""
        return self._minute(name)[1] >= self._most

    def _minute(self, name: str) -> tuple[float, int]:
        now = self._now()
        began, number = self._counts.get(name, (now, 0))
        if now - began >= _WINDOW_S:
            self._counts.pop(name, None)
            return now, 0
        return began, number
