"""How long a process that looks for work may sleep between two looks, and how long work on without one."""

from __future__ import annotations

import time

import overload

from omapush import clock

_SHORT_S = 0.003
"After work a moment ago."
_LONG_S = 0.010
"After a quiet second: the most that looking adds to a push's latency, for 1 % of a processor."
_SPARING_S = 0.050
"The same while requests are refused for overload: the processor is for those who have something to do."
_QUIET_S = 1.0
TURN_S = 0.1
"""
How long a process works on while there is always more to do, and goes on looking while there is nothing. Then
it comes round, which costs as much as some looks: between two turns it shows that it lives.
"""


class Pace:
    """The pace of one process."""

    def __init__(self) -> None:
        self._worked_at = clock.monotonic()
        self._turn_ends = self._worked_at + TURN_S

    def is_over(self) -> bool:
        """Tell whether the process has to come round, though there may be more to do; a new turn begins."""
        now = clock.monotonic()
        if now < self._turn_ends:
            return False
        self._turn_ends = now + TURN_S
        return True

    def worked(self) -> None:
        """Note that there was work."""
        self._worked_at = clock.monotonic()

    def rest(self) -> None:
        """Sleep: shortly while work comes in, longer when it has been quiet, longest then under overload."""
        time.sleep(self._rest_s())
        self._turn_ends = clock.monotonic() + TURN_S

    def _rest_s(self) -> float:
        if clock.monotonic() - self._worked_at <= _QUIET_S:
            return _SHORT_S
        return _SPARING_S if overload.is_shedding() else _LONG_S
