"""Slots for exchanges: a limited number at the same time, with one host at most half, as many as it takes."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final
from urllib.parse import urlsplit

from omapush.notifier.gate import Gate

MOST_HELD: Final = 4_096
"Largest number of results that are borrowed, most of them waiting for a slot; one host may have half."


def host_of(url: str) -> str:
    """Return host and port of a URL; the text itself when it cannot be read."""
    try:
        return urlsplit(url).netloc.rpartition("@")[2].lower() or url
    except ValueError:
        return url


class Turn:
    """One exchange, for whoever carries it out."""

    def __init__(self) -> None:
        self.is_answered = True
        "False: there was no answer, or one that says that the host has too much to do."
        self.took_s = 0.0
        "How long the host took to answer; 0: nobody told."


class Slots:
    """Slots for exchanges, shared out so that hosts that answer slowly leave room for the others."""

    def __init__(self, number: int) -> None:
        self._share = max(1, number // 2)
        self._all = asyncio.Semaphore(number)
        self._of_host: dict[str, Gate] = {}
        self._held: Counter[str] = Counter()

    def room(self) -> int:
        """Return how many more results may be held."""
        return MOST_HELD - self._held.total()

    def room_of(self, host: str) -> int:
        """Return how many more of a host may be held."""
        return min(self.room(), MOST_HELD // 2 - self._held[host])

    def hold(self, host: str) -> bool:
        """Hold a result, until let_go(); False if the host has as many as it may."""
        if self._held[host] >= MOST_HELD // 2:
            return False
        self._held[host] += 1
        self._of_host.setdefault(host, Gate(self._share))
        return True

    def let_go(self, host: str) -> None:
        """Let a result go that was held."""
        self._held[host] -= 1
        if self._held[host] <= 0:
            del self._held[host], self._of_host[host]

    @asynccontextmanager
    async def exchange(self, host: str) -> AsyncIterator[Turn]:
        """Wait for a slot of the host and one of all, and have both inside the block."""
        gate, turn = self._of_host[host], Turn()
        entered = await gate.enter()
        try:
            async with self._all:
                yield turn
        except BaseException:
            turn.is_answered = False
            raise
        finally:
            gate.leave(entered, is_answered=turn.is_answered, took_s=turn.took_s)
