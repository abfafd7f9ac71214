"""Pages of pushes: find one, see what happened to it."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any, Final

from litestar import Controller, Request, Response, get
from litestar.params import FromQuery, QueryParameter

from omapush.errors import NotKnown, shortened
from omapush.pap_http.console import push_view
from omapush.pap_http.console.access import ROOT, Visitor, enter, see
from omapush.pap_http.console.desk import desk_of
from omapush.pap_http.console.shown import shown
from omapush.push.values import REF_LENGTH

_SECTION: Final = f"{ROOT}/pushes"
_MOST: Final = 1_000_000


class Pushes(Controller):
    """Pushes of all initiators."""

    guards = (enter,)

    @get("/push", name="console_push")
    async def push(
        self,
        request: Request[Visitor, Any, Any],
        ref: FromQuery[str] = "",
        after: Annotated[int, QueryParameter(ge=0, le=_MOST)] = 0,
    ) -> Response[str]:
        """Show one push: ladder, recipients, what may be done."""
        desk = desk_of(request)
        if len(ref) != REF_LENGTH:
            raise NotKnown("ref", f"{shortened(ref)} is no reference of a push")
        found = await asyncio.to_thread(push_view.view, desk.config, desk.store, ref, after)
        template = "push_live.html" if request.headers.get("hx-request") else "push.html"
        return shown(request, template, _SECTION, view=found)

    @get("/find", name="console_find")
    async def find(self, request: Request[Visitor, Any, Any], q: FromQuery[str] = "") -> Response[str]:
        """Lead to what a text names: a push."""
        desk, text = desk_of(request), q.strip()
        ref = await asyncio.to_thread(push_view.find, desk.config, desk.store, text) if text else ""
        if ref:
            return see(f"{ROOT}/push?ref={ref}")
        raise NotKnown("q", f"nothing is known of {shortened(text)}")
