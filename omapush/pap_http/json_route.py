"""What all routes of the JSON interface have in common: who may come in, and that answers are counted."""

from __future__ import annotations

from typing import Any

from litestar import Controller, Request
from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler

from omapush.pap_http import json_permissions
from omapush.pap_http.parts import Parts, parts_of


async def _admit(connection: ASGIConnection[Any, Any, Any, Any], route: BaseRouteHandler) -> None:
    parts: Parts = connection.app.state.parts
    account = connection.scope["user"] = await parts.door.admit(connection)
    json_permissions.check(account, route.name)
    await parts.large_bodies.admit(connection)


async def _count(request: Request[Any, Any, Any]) -> None:
    status = getattr(request.route_handler, "status_code", 200)
    parts_of(request).metrics.count_json(request, status)


class JsonRoute(Controller):
    """Routes behind the door: `request.user` is the initiator's account."""

    guards = (_admit,)
    after_response = staticmethod(_count)
