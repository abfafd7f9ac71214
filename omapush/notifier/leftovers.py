"""
What happens to pushes for a hosted application whose table was taken out of the configuration.

A table may be gone by mistake, or be there on another node: so its pushes wait for it as long as anything is
remembered here, and go on when it comes back. Only then are they forgotten.
"""

from __future__ import annotations

import asyncio
from typing import Final

from omapush import clock, log
from omapush.config import Config
from omapush.errors import PushError
from omapush.store import hosted_leftovers
from omapush.store.client import Store

_EVERY_S: Final = 10.0
_GONE_AFTER_MS: Final = 60_000
"So long no notifier tells of serving it while this one looks: nodes change their configurations in turn."


class Leftovers:
    """Looks again and again; any number of nodes may."""

    def __init__(self, config: Config, store: Store) -> None:
        self._store = store
        self._served = [ari for ari, one in config.hosted.items() if not one.is_stream]
        self._kept_ms = config.delivery.retention_s * 1000
        self._seen: dict[str, tuple[int, int]] = {}
        "Until when each application was served, and since when that has not changed, ms."
        self._told: set[str] = set()
        "Applications that the log has been told of."

    async def run(self) -> None:
        """Work for ever; Redis being away only makes it wait."""
        while True:
            try:
                await asyncio.to_thread(self.look, clock.now_ms())
            except PushError as error:
                log.get().warning("store_trouble", problem=str(error), action="trying again")
            await asyncio.sleep(_EVERY_S)

    def look(self, now_ms: int) -> None:
        """Note what is served here, and see to what is served nowhere."""
        hosted_leftovers.serve(self._store, self._served, now_ms)
        for application, served_ms in hosted_leftovers.unserved(self._store, self._served).items():
            known_ms, since_ms = self._seen.get(application, (-1, now_ms))
            if known_ms != served_ms:  # after a long stop of all nodes others may only just be starting
                self._seen[application] = (served_ms, now_ms)
            elif now_ms - since_ms >= _GONE_AFTER_MS:
                self._see_to(application, served_ms + self._kept_ms, now_ms)

    def _see_to(self, application: str, until_ms: int, now_ms: int) -> None:
        waiting = hosted_leftovers.number(self._store, application)
        if not waiting:
            hosted_leftovers.no_more(self._store, application)
        elif now_ms >= until_ms:
            gone = hosted_leftovers.forget(self._store, application)
            log.get().error("hosted_forgotten", application=application, pushes=gone)
        elif application not in self._told:
            self._told.add(application)
            log.get().warning(
                "hosted_left", application=application, pushes=waiting, until=clock.iso(until_ms)
            )
