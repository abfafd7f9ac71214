"""Log-in and log-out."""

from __future__ import annotations

import asyncio
import hmac
import secrets
from typing import Any, Final

from litestar import Controller, Request, Response, get, post

from omapush import log
from omapush.errors import shortened
from omapush.pap_http.audited import told
from omapush.pap_http.console.access import (
    LOG_IN,
    LOG_IN_COOKIE,
    ROOT,
    SESSION_COOKIE,
    Forbidden,
    cookie,
    form,
    see,
    visitor,
)
from omapush.pap_http.console.desk import Desk, desk_of
from omapush.store import console_sessions

_FORM_S: Final = 3_600
"How long the form of a log-in may stay open."
_WRONG: Final = "User or password is wrong."


class LogIn(Controller):
    """The only pages that nobody has to be logged in for."""

    @get("/log-in", name="console_log_in")
    async def show(self, request: Request[Any, Any, Any]) -> Response[str]:
        """Show the form."""
        return _form(request, _next(request.query_params.get("next", "")))

    @post("/log-in", name="console_enter")
    async def enter(self, request: Request[Any, Any, Any]) -> Response[str]:
        """Begin a session for who knows the password."""
        told(request, did="log-in", what="console")
        desk, fields = desk_of(request), await form(request)
        given, kept = fields.get("csrf", ""), request.cookies.get(LOG_IN_COOKIE, "")
        if not kept or not hmac.compare_digest(given.encode(), kept.encode()):
            return _form(
                request, _next(fields.get("next", "")), "This form was open too long. Try again.", 403
            )
        name, password = fields.get("user", ""), fields.get("password", "")
        tried = desk.operators.tried(name, request.client.host if request.client else "")
        await desk.lockout.check(tried)
        operator = await desk.operators.authenticate(name, password, tried.address)
        if operator is None:
            told(request, what=f"console as {shortened(name)}")
            await desk.lockout.failed(tried)
            return _form(request, _next(fields.get("next", "")), _WRONG, 401)
        lifetime_s = desk.config.console.session_s
        password_of = desk.operators.password_of(operator)
        token = await asyncio.to_thread(
            console_sessions.begin, desk.store, operator.name, password_of, lifetime_s
        )
        desk.lockout.succeeded(tried)
        told(request, who=f"operator/{operator.name}", result="done")
        log.get().info("console_log_in", operator=operator.name, role=operator.role)
        answer = see(_next(fields.get("next", "")))
        answer.set_cookie(cookie(desk, request, SESSION_COOKIE, token, lifetime_s))
        answer.set_cookie(cookie(desk, request, LOG_IN_COOKIE, "", 0))
        return answer

    @post("/log-out", name="console_leave")
    async def leave(self, request: Request[Any, Any, Any]) -> Response[str]:
        """End the session; every role may."""
        desk, who = desk_of(request), await visitor(request)
        if who is not None:
            told(request, did="log-out", what="console", who=f"operator/{who.operator.name}")
            fields = await form(request)
            if not hmac.compare_digest(fields.get("csrf", "").encode(), who.csrf.encode()):
                raise Forbidden("this form is not of your session: load the page again")
            await asyncio.to_thread(console_sessions.end, desk.store, who.token)
        answer = see(LOG_IN)
        answer.set_cookie(cookie(desk, request, SESSION_COOKIE, "", 0))
        return answer


def _form(
    request: Request[Any, Any, Any], leads_to: str, problem: str = "", status: int = 200
) -> Response[str]:
    desk: Desk = desk_of(request)
    token = request.cookies.get(LOG_IN_COOKIE, "") or secrets.token_urlsafe(32)
    answer = desk.pages.answer("log_in.html", status, csrf=token, next=leads_to, problem=problem)
    answer.set_cookie(cookie(desk, request, LOG_IN_COOKIE, token, _FORM_S))
    return answer


def _next(path: str) -> str:
    """A page of the console and nothing else: a link to the log-in must not lead elsewhere."""
    is_ours = path.startswith(f"{ROOT}/") and "\\" not in path and path.isprintable() and len(path) <= 2_048
    return path if is_ours else f"{ROOT}/"
