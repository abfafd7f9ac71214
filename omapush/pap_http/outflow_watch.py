"""Whether more pushes come than leave: looked at twice a second, and in Redis only while some wait."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Final

from omapush import clock
from omapush.errors import PushError
from omapush.pap_http.admission import Admission
from omapush.pap_http.probes import OutboxGate
from omapush.push.outflow import Seen
from omapush.store import totals
from omapush.store.client import Store

_LOOK_EVERY_S: Final = 0.5


class OutflowWatch:
    """One for the whole process; those of all nodes see the same, so each lets in the same part."""

    def __init__(self, store: Store, gate: OutboxGate, admission: Admission) -> None:
        self._store = store
        self._gate = gate
        self._admission = admission
        self._before: tuple[float, int, int] | None = None
        "When it last looked, and how many had been accepted and had ended then; None: nothing waited."

    async def watch(self) -> None:
        """Keep looking, for as long as the api runs."""
        while True:
            with suppress(PushError):  # a push will meet the same trouble and say so
                await self.look()
            await asyncio.sleep(_LOOK_EVERY_S)

    async def look(self) -> None:
        """Look once."""
        ready = self._gate.depth.ready
        if not ready:
            self._before = None
            self._admission.look_at_outbox(Seen(0, 0, 1, _LOOK_EVERY_S))
            return
        known = await asyncio.to_thread(totals.read, self._store)
        now, ended = clock.monotonic(), sum(known.ended.values())
        before, self._before = self._before, (now, known.accepted, ended)
        if before is not None:
            since, accepted, done = before
            self._admission.look_at_outbox(
                Seen(ready, known.accepted - accepted, ended - done, max(now - since, 0.001))
            )
