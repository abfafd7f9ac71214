"""The page of alarms: what stands, what was raised and cleared."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from litestar import Controller, Request, Response, get

from omapush import clock
from omapush.errors import PushError
from omapush.pap_http.console.access import ROOT, Visitor, enter
from omapush.pap_http.console.desk import desk_of
from omapush.pap_http.console.shown import shown
from omapush.push.alarms import Alarm, AlarmChange
from omapush.store import alarms
from omapush.store.client import Store

SECTION: Final = f"{ROOT}/alarms"
_HISTORY: Final = 100
TONES: Final = {"critical": "bad", "major": "bad", "minor": "warn", "warning": "warn"}


class Alarms(Controller):
    """What the system itself says is wrong, on any node."""

    guards = (enter,)

    @get("/alarms", name="console_alarms")
    async def alarms(self, request: Request[Visitor, Any, Any]) -> Response[str]:
        """Show cause, effect and action of each alarm that stands, and the last changes."""
        standing, changes = await asyncio.to_thread(_read, desk_of(request).store)
        return shown(
            request,
            "alarms.html",
            SECTION,
            standing=standing,
            changes=changes,
            tones=TONES,
            at_ms=clock.now_ms(),
        )


def _read(store: Store) -> tuple[list[Alarm], list[AlarmChange]]:
    standing = alarms.standing(store, clock.now_ms())
    try:
        return standing, alarms.history(store, _HISTORY)
    except PushError:  # Redis is away: that is among what stands
        return standing, []
