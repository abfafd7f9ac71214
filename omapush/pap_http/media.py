"""What a request's body may be, before it is read: a type that its interface takes, and not packed."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final

from litestar import Request
from litestar.exceptions import ClientException

_PAP_TYPES: Final = ("multipart/related", "application/xml", "text/xml")
_JSON_TYPES: Final = ("application/json",)
_AS_IT_IS: Final = ("", "identity")


def require_pap(request: Request[Any, Any, Any]) -> None:
    """Raise 415 for a body that is not PAP, or that would have to be unpacked first."""
    _require(request, _PAP_TYPES, "multipart/related or application/xml expected")


async def json_only(request: Request[Any, Any, Any]) -> None:
    """Raise 415 for a body that is not JSON, or that would have to be unpacked first."""
    _require(request, _JSON_TYPES, "application/json expected")


def _require(request: Request[Any, Any, Any], types: Collection[str], expected: str) -> None:
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() not in types:
        raise _unsupported("Content-Type", expected)
    codings = ",".join(request.headers.getall("content-encoding", ())).split(",")
    if any(one.strip().lower() not in _AS_IT_IS for one in codings):
        raise _unsupported("Content-Encoding", "send the body as it is")


def _unsupported(header: str, problem: str) -> ClientException:
    extra = [{"key": header, "message": problem}]
    return ClientException(f"{header}: {problem}", status_code=415, extra=extra)
