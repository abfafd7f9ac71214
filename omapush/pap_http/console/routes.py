"""The console as one router: its pages, and what is shown when one cannot be."""

from __future__ import annotations

from typing import Any, Final

from litestar import Request, Response, Router
from litestar.exceptions import HTTPException

from omapush import log
from omapush.errors import PushError, TryLater
from omapush.pap_http.console.access import ROOT, LogInFirst, log_in_for, see
from omapush.pap_http.console.alarms import Alarms
from omapush.pap_http.console.assets import Assets
from omapush.pap_http.console.catalogue import Catalogue
from omapush.pap_http.console.deeds import Deeds
from omapush.pap_http.console.desk import desk_of
from omapush.pap_http.console.fan_outs import FanOuts
from omapush.pap_http.console.log_in import LogIn
from omapush.pap_http.console.nodes import Nodes
from omapush.pap_http.console.now import Now
from omapush.pap_http.console.pushes import Pushes
from omapush.pap_http.console.send import Send
from omapush.pap_http.console.users import Users

_LARGEST_FORM: Final = 262_144


def router() -> Router:
    """Return all routes of the console."""
    return Router(
        ROOT,
        route_handlers=[Assets, LogIn, Now, Pushes, Deeds, Users, FanOuts, Catalogue, Alarms, Nodes, Send],
        exception_handlers={
            LogInFirst: _log_in,
            PushError: _refused,
            HTTPException: _broken,
            Exception: _crashed,
        },
        request_max_body_size=_LARGEST_FORM,
        include_in_schema=False,
    )


def _log_in(request: Request[Any, Any, Any], _error: LogInFirst) -> Response[str]:
    return see(log_in_for(request), request)


def _refused(request: Request[Any, Any, Any], error: PushError) -> Response[str]:
    if error.http_status >= 500:
        log.get().warning("console_failed", path=request.scope["path"], problem=str(error))
    status = error.http_status if error.http_status >= 400 else 422
    text = "Not now: Redis does not answer, or too much is asked for." if isinstance(error, TryLater) else ""
    answer = _problem(request, status, text or str(error), str(error) if text else "")
    if after_s := getattr(error, "retry_after_s", 0):
        answer.headers["Retry-After"] = str(after_s)
    return answer


def _broken(request: Request[Any, Any, Any], error: HTTPException) -> Response[str]:
    return _problem(request, error.status_code, error.detail, "")


def _crashed(request: Request[Any, Any, Any], error: Exception) -> Response[str]:
    """A defect of ours; it is in the log, and who waits for the page sees that it is not his."""
    problem = f"{type(error).__name__}: {error}"
    log.get().error("console_crashed", path=request.scope["path"], problem=problem, exc_info=error)
    return _problem(request, 500, "This page could not be made. The log of the api says why.", "")


def _problem(request: Request[Any, Any, Any], status: int, problem: str, more: str) -> Response[str]:
    return desk_of(request).pages.answer("problem.html", status, code=status, problem=problem, more=more)
