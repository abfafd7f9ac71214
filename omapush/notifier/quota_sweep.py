"""Takes results into account for initiators with a limit of outstanding deliveries."""

from __future__ import annotations

import asyncio
from typing import Final

from omapush import log
from omapush.config import Config
from omapush.errors import PushError
from omapush.store import limits
from omapush.store.client import Store

_EVERY_S: Final = 0.2
_REST_S: Final = 1.0


class QuotaSweep:
    """Does so again and again; any number of nodes may."""

    def __init__(self, config: Config, store: Store) -> None:
        self._store = store
        self._initiators = [name for name, one in limits.limits_of(config).items() if one.outstanding]

    async def run(self) -> None:
        """Work for ever, when there is anything to do; Redis being away only makes it wait."""
        while self._initiators:
            try:
                await asyncio.to_thread(limits.catch_up, self._store, self._initiators)
                await asyncio.sleep(_EVERY_S)
            except PushError as error:
                log.get().warning("store_trouble", problem=str(error), action="trying again")
                await asyncio.sleep(_REST_S)
