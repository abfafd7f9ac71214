"""What all routes of the JSON interface have in common: who may come in, and that answers are counted."""

from __future__ import annotations

from typing import Any, Final

from litestar import Controller, Request
from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler

from omapush.errors import PeerIsWrong, shortened
from omapush.pap_http import json_permissions
from omapush.pap_http.parts import Parts, parts_of

_NOT_ASKED_FOR: Final = frozenset({"request", "data"})
"Of the parameters of a route, what is not in the query."


async def _admit(connection: ASGIConnection[Any, Any, Any, Any], route: BaseRouteHandler) -> None:
    parts: Parts = connection.app.state.parts
    account = connection.scope["user"] = await parts.door.admit(connection)
    json_permissions.check(account, route.name)
    _check_query(connection, route)
    await parts.large_bodies.admit(connection)


def _check_query(connection: ASGIConnection[Any, Any, Any, Any], route: BaseRouteHandler) -> None:
    """A filter that is misspelt must not show everything."""
    if not connection.scope["query_string"]:
        return
    known = {
        getattr(field.kwarg_definition, "name", None) or name
        for name, field in route.parsed_fn_signature.parameters.items()
        if name not in _NOT_ASKED_FOR and name not in connection.path_params
    }
    for name in connection.query_params:
        if name not in known:
            right = f"known are {', '.join(sorted(known))}" if known else "nothing can be asked for here"
            raise PeerIsWrong(shortened(name), f"not known; {right}")


async def _count(request: Request[Any, Any, Any]) -> None:
    status = getattr(request.route_handler, "status_code", 200)
    parts_of(request).metrics.count_json(request, status)


class JsonRoute(Controller):
    """Routes behind the door: `request.user` is the initiator's account."""

    guards = (_admit,)
    after_response = staticmethod(_count)
