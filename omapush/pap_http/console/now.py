"""The page Now, and the events that keep it so."""

from __future__ import annotations

from typing import Any

from litestar import Controller, Request, Response, get
from litestar.response import Stream

from omapush.errors import PushError
from omapush.pap_http.console.access import Visitor, enter, visitor
from omapush.pap_http.console.desk import desk_of
from omapush.pap_http.console.shown import shown


class Now(Controller):
    """What happens now, on all nodes."""

    guards = (enter,)

    @get("/", name="console_now")
    async def now(self, request: Request[Visitor, Any, Any]) -> Response[str]:
        """Show what is so now."""
        pieces = await desk_of(request).live.pieces()
        return shown(request, "now.html", "/console/", pieces=pieces)

    @get("/events", name="console_events")
    async def events(self, request: Request[Visitor, Any, Any]) -> Stream:
        """Give what changes, as server-sent events."""
        live = desk_of(request).live

        async def is_welcome() -> bool:
            try:
                return await visitor(request) is not None
            except PushError:  # Redis is away: that is the very time to go on looking
                return True

        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        return Stream(live.events(is_welcome), media_type="text/event-stream", headers=headers)
