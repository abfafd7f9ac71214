"""Stores the outcome of notifications in Redis: those that end while one trip is under way share the next."""

from __future__ import annotations

import asyncio
from typing import Final

from omapush.store import owed
from omapush.store.client import Store
from omapush.store.owed import Settlement

_MOST: Final = 256
"Largest number in one trip."


class Settling:
    """One for each event loop."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._waiting: list[tuple[Settlement, asyncio.Future[None]]] = []
        self._running: asyncio.Task[None] | None = None

    async def settle(self, settlement: Settlement) -> None:
        """
        Return when the outcome is stored.

        Raises:
            PushError: whether it is noted is not known; it may be told again.
        """
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((settlement, future))
        if self._running is None or self._running.done():
            self._running = asyncio.create_task(self._work())
        await future

    async def _work(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting[:_MOST], self._waiting[_MOST:]
            problem: Exception | None = None
            try:
                await asyncio.to_thread(owed.settle_all, self._store, [settlement for settlement, _ in batch])
            except Exception as error:  # noqa: BLE001 - whoever waits is told, or would wait for ever
                problem = error
            for _, future in batch:
                if future.done():
                    continue
                if problem is None:
                    future.set_result(None)
                else:
                    future.set_exception(problem)
