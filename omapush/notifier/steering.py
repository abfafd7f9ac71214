"""How an operator controls the notifier: it works in rounds, each with the configuration of its beginning."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from omapush import log
from omapush.config import Config

Work = Callable[[Config, asyncio.Event], Awaitable[None]]
"Works until the event is set, then finishes what it has begun."


class NotifierSteering:
    """
    A part as omapush/control wants it.

    What is owed stays in Redis between two rounds, and what was begun in one is brought to its end there, so
    that nothing is told twice for a reload.
    """

    def __init__(self, config: Config) -> None:
        self._config = self._working_with = config
        self._stop = asyncio.Event()
        self._changed = asyncio.Event()
        self._is_ended = False
        self._is_drained = False
        self._is_working = False

    async def run(self, work: Work) -> None:
        """Do rounds of work until `end`."""
        while not self._is_ended:
            if self._is_drained:
                await self._changed.wait()
                self._changed.clear()
                continue
            self._stop = asyncio.Event()
            self._is_working, self._working_with = True, self._config
            try:
                await work(self._config, self._stop)
            finally:
                self._is_working = False

    def end(self) -> None:
        """End the round, and begin no other."""
        self._is_ended = True
        self._wake()

    def busy(self) -> str:
        """Tell whether notifications are still under way."""
        return "results being told to initiators and back ends" if self._is_working else ""

    def drain(self, is_on: bool) -> None:
        """Begin no round, or begin one."""
        self._is_drained = is_on
        self._wake()

    def log_at(self, level: str) -> None:
        """Write lines of the log from that level on."""
        log.set_level(level)

    def take(self, config: Config) -> None:
        """Begin the next round with another configuration."""
        self._config = config
        self._wake()

    def taking(self) -> str:
        """Tell whether the round with the former configuration is still ending."""
        behind = self._is_working and self._working_with is not self._config
        return "the round before is ending" if behind else ""

    def _wake(self) -> None:
        self._stop.set()
        self._changed.set()
