"""Who asks for a page: sessions by cookie, roles, and the token that every form has to carry."""

from __future__ import annotations

import asyncio
import hmac
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote, urlsplit

from litestar import Request, Response
from litestar.connection import ASGIConnection
from litestar.datastructures import Cookie
from litestar.handlers import BaseRouteHandler

from omapush.errors import PushRefused
from omapush.pap_http.audited import told
from omapush.pap_http.console.desk import Desk, desk_of
from omapush.pap_http.console.operators import Operator
from omapush.store import console_sessions

ROOT: Final = "/console"
LOG_IN: Final = f"{ROOT}/log-in"
SESSION_COOKIE: Final = "omapush_session"
LOG_IN_COOKIE: Final = "omapush_log_in"
"Holds the token of the log-in's own form, before there is a session."
_LONGEST_TOKEN: Final = 128


class LogInFirst(Exception):
    """Nobody is logged in."""


class Forbidden(PushRefused):
    """The console does not do this for who asks."""


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who asks for a page."""

    operator: Operator
    csrf: str
    token: str


async def visitor(connection: ASGIConnection[Any, Any, Any, Any]) -> Visitor | None:
    """Return who is logged in; None: nobody, or not any more."""
    token = connection.cookies.get(SESSION_COOKIE, "")
    if not 0 < len(token) <= _LONGEST_TOKEN:
        return None
    desk = desk_of(connection)
    session = await asyncio.to_thread(console_sessions.read, desk.store, token)
    operator = desk.operators.named(session.operator) if session else None
    if session is None or operator is None:
        return None
    if not session.began_with(token, desk.operators.password_of(operator)):
        return None  # the password was changed: whoever knew the old one is out
    return Visitor(operator, session.csrf, token)


async def enter(connection: ASGIConnection[Any, Any, Any, Any], _route: BaseRouteHandler) -> None:
    """Let in who is logged in."""
    found = await visitor(connection)
    if found is None:
        raise LogInFirst
    connection.scope["user"] = found


async def deed(request: Request[Visitor, Any, Any], did: str) -> dict[str, str]:
    """
    Return the fields of a form that wants something done, and have it in the audit record.

    Raises:
        Forbidden: the form is not one of this session, or the role does not allow it; nothing is done.
    """
    who = request.user
    told(request, who=f"operator/{who.operator.name}", did=did)
    fields = await form(request)
    if not hmac.compare_digest(fields.get("csrf", "").encode(), who.csrf.encode()):
        raise Forbidden("this form is not of your session: load the page again")
    if not who.operator.may_operate:
        raise Forbidden("your role is view: ask somebody who may operate")
    return fields


async def form(request: Request[Any, Any, Any]) -> dict[str, str]:
    """
    Return the fields of a form, each the last of its name.

    Raises:
        Forbidden: a page of another site sent it.
    """
    origin = request.headers.get("origin", "")
    if origin and urlsplit(origin).netloc != request.headers.get("host", ""):
        raise Forbidden("this form comes from another site")
    return {name: value for name, value in (await request.form()).multi_items() if isinstance(value, str)}


def cookie(desk: Desk, request: Request[Any, Any, Any], name: str, value: str, max_age: int) -> Cookie:
    """Return a cookie that only we read, and that no other site makes the browser send."""
    is_secure = request.scope.get("scheme") == "https" or desk.config.console.secure_cookies
    return Cookie(
        name, path=ROOT, value=value, max_age=max_age, httponly=True, samesite="strict", secure=is_secure
    )


def see(path: str, request: Request[Any, Any, Any] | None = None) -> Response[str]:
    """Return an answer that leads to another page; one that htmx follows as the browser would."""
    if request is not None and request.headers.get("hx-request"):
        return Response("", headers={"HX-Redirect": path})
    return Response("", status_code=303, headers={"Location": path})


def log_in_for(request: Request[Any, Any, Any]) -> str:
    """Return the path of the log-in that leads back to what was asked for."""
    if request.method != "GET" or request.headers.get("hx-request"):
        return LOG_IN
    query = request.scope["query_string"].decode("latin-1")
    wanted = request.scope["path"] + (f"?{query}" if query else "")
    return LOG_IN if wanted.rstrip("/") == ROOT else f"{LOG_IN}?next={quote(wanted, safe='/')}"
