"""Removes forgotten pushes from the lists of initiators' pushes."""

from __future__ import annotations

import asyncio
from typing import Final

from omapush import clock, log
from omapush.config import Config
from omapush.errors import PushError
from omapush.store.client import Store
from omapush.store.own_pushes import Pruner

_EVERY_S: Final = 10.0
_NEXT_S: Final = 0.2
"Pause between two parts of a round, so that a round does not block Redis for long."


class Pruning:
    """Checks the lists of the initiators in the configuration, again and again; any node may do so."""

    def __init__(self, config: Config, store: Store) -> None:
        self._kept_ms = max(config.delivery.retention_s, config.delivery.push_id_s) * 1000
        self._pruner = Pruner(store, list(config.initiator), kept_s=config.delivery.push_id_s)

    async def run(self) -> None:
        """Work for ever; Redis being away only makes it wait."""
        while True:
            rest_s = _EVERY_S
            try:
                before_ms = (
                    clock.now_ms() - self._kept_ms
                )  # a younger push is not forgotten, or its push-id is taken
                if await asyncio.to_thread(self._pruner.prune, before_ms):
                    rest_s = _NEXT_S
            except PushError as error:
                log.get().warning("store_trouble", problem=str(error), action="trying again")
            await asyncio.sleep(rest_s)
