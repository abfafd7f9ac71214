"""Turns of requests to one next hop: some may leave at once, the rest one after the other at a rate."""

from __future__ import annotations

import math
from itertools import islice
from typing import Final

MOST_TURNS: Final = 100_000
"Turns kept; who comes when there are so many asks again."
_ASK_AGAIN_MS: Final = 1_000
_FORGOTTEN_MS: Final = 60_000
"A turn that nobody takes for so long is lost: its push was ended, or is another process' by now."


class HopPace:
    """
    Turns in the order in which they were asked for.

    Who has to wait gets a turn of its own and comes back at it, rather than all coming again and again; so a
    hundred thousand pushes that are woken together cost two looks each, and nobody who comes later overtakes.
    """

    __slots__ = ("_late_ms", "_left_ms", "_next_ms", "_turns")

    def __init__(self) -> None:
        self._next_ms = 0.0
        "When the next turn would be were there no burst."
        self._left_ms = 0.0
        "The same, counted by who has left: some come back late, and all of those at once."
        self._late_ms = 0.0
        "When the next of them may come again."
        self._turns: dict[str, float] = {}

    def wait_ms(self, ticket: str, now_ms: float, *, interval_ms: float, burst: float) -> int:
        """Return how long a request has to wait for its turn; 0: it may leave, and is expected to."""
        turn_ms = self._turns.get(ticket)
        if turn_ms is None:
            if len(self._turns) >= MOST_TURNS:
                return _ASK_AGAIN_MS
            turn_ms = max(self._next_ms, now_ms) - max(burst - 1, 0) * interval_ms
            self._next_ms = max(self._next_ms, now_ms) + interval_ms
        if turn_ms <= now_ms:
            free_ms = max(self._left_ms, now_ms) - max(burst - 1, 0) * interval_ms
            if free_ms <= now_ms:
                self._left_ms = max(self._left_ms, now_ms) + interval_ms
                self._turns.pop(ticket, None)
                return 0
            turn_ms = max(self._late_ms, free_ms)
            self._late_ms = turn_ms + interval_ms
        self._forget(now_ms)
        self._turns[ticket] = turn_ms
        return max(1, math.ceil(turn_ms - now_ms))

    def _forget(self, now_ms: float) -> None:
        """Turns were given in order: those that nobody took stand first."""
        for ticket, turn_ms in list(islice(self._turns.items(), 2)):
            if turn_ms < now_ms - _FORGOTTEN_MS:
                del self._turns[ticket]
