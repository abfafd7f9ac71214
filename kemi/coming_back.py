"""
When pushes that found the window of their next hop full are looked at again.

Who looks again costs as much as a push that leaves. Should ten thousand wait for a hop that takes nothing and
all look again every few seconds, their sender had no time left for the pushes to other hops. So they come one
after the other, at a rate that a sender does not feel, and that a hop which works again cannot feel either.
"""

from __future__ import annotations

from typing import Final

_BUSY_MS: Final = 100
"Least wait for a hop that is full but answers."
_SILENT_MS: Final = 5_000
"Least wait for a hop that is full and silent: its transactions end only after half a minute."
_PER_S: Final = 1_000
"So many come back in a second; for a hop that ends more than half as many, twice as many as it ends."
_LONGEST_MS: Final = 60_000
_SILENT: Final = ""
"All silent hops have their turns together: many of them cost no more than one."


class ComingBack:
    """Part of a sender process' window."""

    def __init__(self) -> None:
        self._next_ms: dict[str, float] = {}
        "When the next turn is free, by hop."

    def wait_ms(self, hop: str, now_ms: float, ended_per_s: float, *, is_moving: bool) -> int:
        """Return how long a push waits whose hop is full: until a turn of its own."""
        least_ms, turns = (_BUSY_MS, hop) if is_moving else (_SILENT_MS, _SILENT)
        turn_ms = max(self._next_ms.get(turns, 0.0), now_ms + least_ms)
        turn_ms = min(turn_ms, now_ms + _LONGEST_MS)
        self._next_ms[turns] = turn_ms + 1_000 / max(_PER_S, 2 * ended_per_s)
        return int(turn_ms - now_ms)

    def forget(self, hop: str) -> None:
        """Forget a hop to which nothing is in flight."""
        self._next_ms.pop(hop, None)
