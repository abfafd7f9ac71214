"""Do Redis and Kamailio really answer? Asked by /readyz and by the overload gate."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from omapush.errors import PushError
from omapush.health.sip_ping import problem_of_kamailio
from omapush.store import outbox, redis_state
from omapush.store.client import Store, store_errors

__all__ = ["OutboxGate", "problem_of_kamailio", "problem_of_redis"]


async def problem_of_redis(store: Store) -> str:
    """Return why Redis does not answer, or takes nothing; or an empty text."""
    try:
        await asyncio.to_thread(_ping, store)
    except PushError as error:
        return str(error)
    return ""


def _ping(store: Store) -> None:
    with store_errors("ping"):
        store.db.ping()
    redis_state.require_writes(store)


class OutboxGate:
    """Whether the outbox has room; looked up at most every half second, so that it costs a push nothing."""

    _LOOK_EVERY_S = 0.5

    def __init__(self, store: Store, limit: int) -> None:
        self._store = store
        self.limit = limit
        "Deliveries that may wait in all."
        self._depth = outbox.Depth(0, 0, 0, 0, 0)

    async def watch(self) -> None:
        """Keep looking, for as long as the api runs."""
        while True:
            with suppress(PushError):  # the submission itself will meet the same trouble and say so
                self._depth = await asyncio.to_thread(outbox.depth, self._store)
            await asyncio.sleep(self._LOOK_EVERY_S)

    def has_room(self) -> bool:
        """Tell whether new deliveries may be accepted."""
        return self._depth.all < self.limit

    @property
    def depth(self) -> outbox.Depth:
        """Return the last look."""
        return self._depth
