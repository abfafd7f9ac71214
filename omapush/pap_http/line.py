"""
Pushes begin in turn, a few in each round of the event loop, so that all else gets in between.

An event loop takes in everything that has come before it goes on with any of it: with a thousand connections
that send at once, /healthz would be answered behind a thousand pushes. Here a push that finds others before
it waits, which costs next to nothing, and how long it does is what admission goes by.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

from omapush import clock

EACH_ROUND: Final = 8
"Pushes that begin in one round: some milliseconds of work."


class Line:
    """One for each event loop."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[float, asyncio.Future[None]]] = deque()
        "When each came, the first of them first."
        self._begun = 0
        "In this round."
        self._is_watched = False
        "Whether the next round is looked at."

    async def turn(self) -> None:
        """Return when it is the turn of one more push."""
        loop = asyncio.get_running_loop()
        if not self._is_watched:
            self._is_watched = True
            loop.call_soon(self._next_round)
        if self._begun < EACH_ROUND and not self._waiting:
            self._begun += 1
            return
        future: asyncio.Future[None] = loop.create_future()
        self._waiting.append((clock.monotonic(), future))
        await future

    def wait_s(self, now: float) -> float:
        """Return how long the first of those that wait has waited."""
        return now - self._waiting[0][0] if self._waiting else 0.0

    def _next_round(self) -> None:
        self._begun = 0
        while self._waiting and self._begun < EACH_ROUND:
            future = self._waiting.popleft()[1]
            if not future.done():  # who waited has not been cancelled
                future.set_result(None)
                self._begun += 1
        self._is_watched = bool(self._waiting or self._begun)
        if self._is_watched:
            asyncio.get_running_loop().call_soon(self._next_round)
