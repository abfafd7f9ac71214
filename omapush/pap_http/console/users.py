"""Pages of users: what is known of one, and what waits for it."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from litestar import Controller, Request, Response, get
from litestar.params import FromQuery

from omapush.pap_http.console import user_view
from omapush.pap_http.console.access import ROOT, Visitor, enter
from omapush.pap_http.console.desk import desk_of
from omapush.pap_http.console.shown import shown
from omapush.push.user_named import user_named

SECTION: Final = f"{ROOT}/users"


class Users(Controller):
    """Users that pushes are for."""

    guards = (enter,)

    @get("/users", name="console_users")
    async def users(self, request: Request[Visitor, Any, Any]) -> Response[str]:
        """Ask for a user."""
        return shown(request, "users.html", SECTION)

    @get("/user", name="console_user")
    async def user(self, request: Request[Visitor, Any, Any], aor: FromQuery[str] = "") -> Response[str]:
        """Show one user: devices, what they take, subscriptions, what waits, what came of the last pushes."""
        desk, named = desk_of(request), user_named(aor, "user")
        found = await asyncio.to_thread(user_view.view, desk.config, desk.store, named)
        return shown(
            request, "user.html", SECTION, view=found, sources=user_view.SOURCES, says=user_view.says
        )
