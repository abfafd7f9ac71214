"""What an initiator reads when its request is refused: JSON that names the field below /v1, else one line."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, Final, NamedTuple

from litestar import Request, Response
from litestar.exceptions import HTTPException, SerializationException
from litestar.openapi.datastructures import ResponseSpec
from msgspec import Struct

from omapush import log
from omapush.errors import PushError, TryLater, shortened
from omapush.pap_http import heads, json_words
from omapush.pap_http.json_paths import is_json
from omapush.pap_http.metrics import Metrics
from omapush.push.acceptance import NotTaken

PROBLEM_TYPE: Final = "application/problem+json"
NOT_NOW: Final = "not now, try again later"
_MISSING: Final = "Object missing required field `"
_RENAMED: Final = {"in_state": "state"}
"Parameters that have another name in our functions, where litestar keeps theirs for itself."
_UNKNOWN: Final = "Object contains unknown field `"


class Fault(NamedTuple):
    """Why a request was refused."""

    field: str
    "Member of the body, query or path parameter, or header; empty when none is at fault."
    problem: str
    code: str = ""
    "PAP status code of the refusal; empty when the request was not read so far."


class Problem(Struct, frozen=True):
    """Body of every answer of the JSON interface from 400 on: problem details (RFC 9457)."""

    type: str
    "Always `about:blank`: status, field and code say what kind of problem it is."
    title: str
    "What the HTTP status means."
    status: int
    detail: str
    "What is wrong, in words."
    field: str
    "Member of the body, query or path parameter, or header that is at fault; empty when none is."
    code: str
    "PAP status code of the refusal (docs/result-codes.md); empty when the request was not read so far."


def refusals(**meanings: str) -> dict[int, ResponseSpec]:
    """Return, for the OpenAPI description, what a route may refuse: `_404="no such push"`."""
    specs = {
        "_401": "You are not known: password, token or certificate",
        "_403": "The operator has not allowed it to you",
        "_429": "Too many wrong passwords came from you; Retry-After says when to try again",
        "_503": "Not now: try again after Retry-After seconds",
        **meanings,
    }
    return {
        int(status[1:]): ResponseSpec(
            Problem, description=text, generate_examples=False, media_type=PROBLEM_TYPE
        )
        for status, text in specs.items()
    }


class Problems:
    """Exception handlers of the application."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def of_http(self, request: Request[Any, Any, Any], error: HTTPException) -> Response[Any]:
        """Answer what HTTP itself, or the types of the interface, refuse."""
        headers = dict(error.headers or {})
        return self._answer(request, error.status_code, _fault(request, error), error.detail, headers)

    def of_push(self, request: Request[Any, Any, Any], error: PushError) -> Response[Any]:
        """Answer a refusal of ours, or that the request cannot be carried out now."""
        status = error.http_status
        if status < 500:
            field, problem = getattr(error, "field", ""), getattr(error, "problem", str(error))
            after_s = getattr(error, "retry_after_s", 0)
            headers = {"Retry-After": str(after_s)} if after_s else {}
            return self._answer(request, status, Fault(field, problem, _code(error)), str(error), headers)
        log.get().warning("push_not_taken", status=status, problem=str(error))
        if not isinstance(error, TryLater):
            return self._answer(request, status, Fault("", str(error)), str(error), {})
        text = NOT_NOW
        headers = {"Retry-After": str(error.retry_after_s)}
        return self._answer(
            request, status, Fault(getattr(error, "field", ""), text, error.pap_code), text, headers
        )

    def of_depth(self, request: Request[Any, Any, Any], _error: RecursionError) -> Response[Any]:
        """Answer a body that is nested too deep to be read."""
        return self._answer(request, 400, Fault("body", "nested too deep"), "nested too deep", {})

    def of_defect(self, request: Request[Any, Any, Any], error: Exception) -> Response[Any]:
        """Answer that we failed; the log says why, the initiator does not read it."""
        route = request.scope.get("path_template", "")  # a path may be a link with its secret
        log.get().error("http_crashed", route=route, exc_info=error)
        text = "a defect of ours; the log of the api says why"
        return self._answer(request, 500, Fault("", text), text, {})

    def _answer(
        self, request: Request[Any, Any, Any], status: int, fault: Fault, text: str, headers: dict[str, str]
    ) -> Response[Any]:
        if not is_json(request):
            self._metrics.http_refused.labels(str(status)).inc()
            return Response(f"{text}\n", status_code=status, media_type="text/plain", headers=headers)
        self._metrics.count_json(request, status)
        problem = Problem(
            "about:blank", HTTPStatus(status).phrase, status, fault.problem, fault.field, fault.code
        )
        return Response(problem, status_code=status, headers=headers, media_type=PROBLEM_TYPE)


def _code(error: PushError) -> str:
    return error.code if isinstance(error, NotTaken) else error.pap_code


def _fault(request: Request[Any, Any, Any], error: HTTPException) -> Fault:
    """What litestar found, in the words of the interface."""
    extra = error.extra
    if isinstance(extra, list) and extra and isinstance(extra[0], dict):
        return _of_member(request, str(extra[0].get("key", "")), str(extra[0].get("message", "")))
    if error.status_code == 413 or isinstance(error.__cause__, SerializationException):
        return Fault("body", json_words.told(error.detail, None))
    if error.status_code == 405:
        allow = (error.headers or {}).get("allow", "")
        methods = (
            heads.with_head(allow) if heads.may_be_asked(request.scope.get("raw_path") or b"") else allow
        )
        return Fault("", f"possible here: {methods}")
    return Fault("", "there is no such path" if error.status_code == 404 else error.detail)


def _of_member(request: Request[Any, Any, Any], key: str, message: str) -> Fault:
    for beginning, problem in ((_MISSING, "missing"), (_UNKNOWN, "not known")):
        if message.startswith(beginning):
            above = "" if key == "data" else f"{key}."
            return Fault(above + shortened(message.removeprefix(beginning).rstrip("`")), problem)
    route = request.scope.get("route_handler")
    kind = json_words.kind_of(route.parsed_fn_signature, key) if route else None
    if key == "data":
        return Fault("body", "missing" if message == "'data'" else json_words.told(message, None))
    return Fault(_RENAMED.get(key, shortened(key)), json_words.told(message, kind))
