"""What operators want traced, as a process that makes spans knows it; looked up every second."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Final

from omapush import clock
from omapush.config import Trace
from omapush.errors import PushError
from omapush.push.tracing import Switches
from omapush.store import traces
from omapush.store.client import Store

_EVERY_S: Final = 1.0


class Wishes:
    """One for a process."""

    def __init__(self, settings: Trace, store: Store) -> None:
        self.share = settings.share
        "Percentage that is used unless an operator has set another one."
        self._is_needed = bool(settings.otlp)
        self._store = store
        self.switches = Switches()
        "Result of the last look; nothing without a collector."

    async def watch(self) -> None:
        """Look again and again; Redis being away leaves it as it was."""
        while self._is_needed:
            with suppress(PushError):
                self.switches = await asyncio.to_thread(
                    traces.wanted, self._store, clock.now_ms(), share=self.share
                )
            await asyncio.sleep(_EVERY_S)
