"""What all routes of the JSON interface have in common: who may come in, and that answers are counted."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any, Final

from litestar import Controller, Request
from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler

from omapush.errors import PeerIsWrong, shortened
from omapush.pap_http import json_permissions, json_words
from omapush.pap_http.json_body import JsonRequest
from omapush.pap_http.parts import Parts, parts_of

_NOT_ASKED_FOR: Final = frozenset({"request", "data"})
"Of the parameters of a route, what is not in the query."
_MAY_BE_EMPTY: Final = "after"
"What `next` of an answer is at the end, and a program may have at the beginning."
_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ]")
"How RFC 3339 times begin; a bare number would count as seconds since 1970."


_LOST_PLUS: Final = re.compile(r" [0-9]{2}:[0-9]{2}$")
"What a zone looks like whose `+` was not escaped, which means a blank in a query."


async def _admit(connection: ASGIConnection[Any, Any, Any, Any], route: BaseRouteHandler) -> None:
    if connection.scope.get("method") == "OPTIONS":
        return
    parts: Parts = connection.app.state.parts
    account = connection.scope["user"] = await parts.door.admit(connection)
    json_permissions.check(account, route.name)
    _check_query(connection, route)
    await parts.large_bodies.admit(connection)


def _check_query(connection: ASGIConnection[Any, Any, Any, Any], route: BaseRouteHandler) -> None:
    """A filter that is misspelt, or that a script has left empty, must not show everything."""
    if not connection.scope["query_string"]:
        return
    known = {
        getattr(field.kwarg_definition, "name", None) or name: field
        for name, field in route.parsed_fn_signature.parameters.items()
        if name not in _NOT_ASKED_FOR and name not in connection.path_params
    }
    seen: set[str] = set()
    for name, value in connection.query_params.multi_items():
        if name not in known:
            right = f"known are {', '.join(sorted(known))}" if known else "nothing can be asked for here"
            raise PeerIsWrong(shortened(name), f"not known; {right}")
        if name in seen:
            raise PeerIsWrong(name, "comes twice")
        if not value and name != _MAY_BE_EMPTY:
            raise PeerIsWrong(name, "is empty")
        if known[name].has_inner_subclass_of(datetime):
            if _LOST_PLUS.search(value):
                raise PeerIsWrong(name, f"{json_words.NEEDED_TIME}; a + is written %2B in a query")
            if not _DATE.match(value):
                raise PeerIsWrong(name, json_words.NEEDED_TIME)
        seen.add(name)


async def _count(request: Request[Any, Any, Any]) -> None:
    status = getattr(request.route_handler, "status_code", 200)
    parts_of(request).metrics.count_json(request, status)


class JsonRoute(Controller):
    """Routes behind the door: `request.user` is the initiator's account."""

    guards = (_admit,)
    request_class = JsonRequest
    after_response = staticmethod(_count)
