"""What runs beside the requests of one device, and ends with it."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Hashable
from typing import Any

from omapush import log
from omapush.errors import PushError


class Tasks:
    """Work without a name, and work that is found again by its key."""

    def __init__(self) -> None:
        self._nameless: set[asyncio.Task[None]] = set()
        self._running: dict[Hashable, asyncio.Task[None]] = {}

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run something that deals with its own errors."""
        task = asyncio.create_task(work)
        self._nameless.add(task)
        task.add_done_callback(self._nameless.discard)

    def run(self, key: Hashable, work: Coroutine[Any, Any, None]) -> None:
        """Run something under a key; an error ends it and is logged."""

        async def logged() -> None:
            try:
                await work
            except PushError as error:
                log.get().warning("receiver_task_ended", reason=str(error))
            except Exception:  # noqa: BLE001 - the others go on
                log.get().exception("receiver_failed", task=str(key))
            finally:
                self._running.pop(key, None)

        task = self._running[key] = asyncio.create_task(logged())
        task.add_done_callback(lambda _: work.close())  # it may have been cancelled before it began

    def __contains__(self, key: Hashable) -> bool:
        return key in self._running

    def running(self) -> tuple[Hashable, ...]:
        """Return the keys of what runs."""
        return tuple(self._running)

    def cancel(self, key: Hashable) -> bool:
        """End what runs under a key; False: nothing does."""
        task = self._running.get(key)
        return task is not None and task.cancel()

    async def close(self) -> None:
        """End everything but the caller's own task."""
        tasks = [
            one for one in (*self._running.values(), *self._nameless) if one is not asyncio.current_task()
        ]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
