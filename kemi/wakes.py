"""When what a sender has put off is due: the sweeper looks too seldom for it."""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable
from typing import Final

_STEPS_A_SECOND: Final = 50
"Times are rounded up to steps, so that a thousand deliveries do not cost a look at Redis each."


class Wakes:
    """Steps of time at which something is due, each once."""

    def __init__(self) -> None:
        self._steps: list[int] = []
        self._known: set[int] = set()

    def add(self, now: float, waits_ms: Iterable[int]) -> None:
        """Note that something is due after so many ms."""
        for wait_ms in waits_ms:
            step = math.ceil((now + wait_ms / 1000) * _STEPS_A_SECOND)
            if step not in self._known:
                self._known.add(step)
                heapq.heappush(self._steps, step)

    def is_due(self, now: float) -> bool:
        """Tell, once for each step, whether something is due now."""
        due = False
        while self._steps and self._steps[0] <= now * _STEPS_A_SECOND:
            self._known.remove(heapq.heappop(self._steps))
            due = True
        return due
