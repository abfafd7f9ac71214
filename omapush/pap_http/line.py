"""
Pushes begin in turn, some of them together, and between them all else gets its turn.

An event loop takes in all that has come before it goes on with any of it: with a thousand connections that
send at once, /healthz would be answered behind a thousand pushes. Here a push that finds others before it
waits, which costs next to nothing. How long it would wait is known when it comes, by how many are before it
and how many have begun lately: who would wait for too long is better told so.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

from omapush import clock

TOGETHER: Final = 16
"Pushes that begin in one round of the loop at most: milliseconds of work, and enough for one trip to Redis."
_LONG_S: Final = 0.025
"After a longer round, as when others have the processor, half as many begin in the next; else one more."
_LEAST_TOGETHER: Final = 4
"However long: what was let in must not starve where refusing others is what takes long."
_COUNTED_S: Final = 0.1
"So long is counted how many begin; the mean of that and of what was known counts on."


class Line:
    """One for each event loop."""

    def __init__(self) -> None:
        self._waiting: deque[asyncio.Future[None]] = deque()
        "The first of them first."
        self._begun = 0
        "In this round."
        self._together = TOGETHER
        "May begin in it."
        self._round_began: float | None = None
        self._is_watched = False
        "Whether the next round is looked at."
        self._rate = 0.0
        "Pushes that begin in a second, since some wait; 0: not for long enough to know."
        self._counted = 0
        self._counted_since: float | None = None
        "None: nobody waits."

    async def turn(self) -> None:
        """Return when it is the turn of one more push."""
        loop = asyncio.get_running_loop()
        if not self._is_watched:
            self._is_watched = True
            loop.call_soon(self._next_round)
        if self._begun < self._together and not self._waiting:
            self._begun += 1
            return
        future: asyncio.Future[None] = loop.create_future()
        self._waiting.append(future)
        await future

    def wait_s(self) -> float:
        """Return how long a push that comes now will wait, as far as is known."""
        return len(self._waiting) / self._rate if self._rate else 0.0

    def _next_round(self) -> None:
        now = clock.monotonic()
        is_long = self._round_began is not None and now - self._round_began > _LONG_S
        self._together = (
            max(self._together // 2, _LEAST_TOGETHER) if is_long else min(self._together + 1, TOGETHER)
        )
        self._begun = 0
        while self._waiting and self._begun < self._together:
            future = self._waiting.popleft()
            if not future.done():  # who waited has not been cancelled
                future.set_result(None)
                self._begun += 1
        self._count(now)
        self._is_watched = bool(self._waiting or self._begun)
        self._round_began = now if self._is_watched else None
        if self._is_watched:
            asyncio.get_running_loop().call_soon(self._next_round)

    def _count(self, now: float) -> None:
        """While some wait, see how many begin."""
        if not self._waiting:
            self._counted_since, self._rate = None, 0.0
            return
        self._counted += self._begun
        if self._counted_since is None:
            self._counted, self._counted_since = 0, now
        elif now - self._counted_since >= _COUNTED_S:
            rate = self._counted / (now - self._counted_since)
            self._rate = (self._rate + rate) / 2 if self._rate else rate
            self._counted, self._counted_since = 0, now
