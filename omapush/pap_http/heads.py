"""HEAD wherever GET is (RFC 9110 9.3.2), the same answer without its content; and OPTIONS."""

from __future__ import annotations

from typing import Any, Final

_BELOW: Final = (b"/v1/", b"/schema", b"/metrics", b"/device-documents/", b"/console")
"Where routes know GET alone. Other paths answer HEAD by themselves."
_ENDLESS: Final = b"/console/events"
"What is streamed has no end, and so no answer to HEAD."
_ALLOW: Final = b"allow"


def may_be_asked(raw_path: bytes) -> bool:
    """Tell whether a path, as it was sent, is one of those whose routes know GET alone."""
    return raw_path.startswith(_BELOW) and not raw_path.startswith(_ENDLESS)


async def tell_of_all(send: Any) -> None:
    """Answer OPTIONS for the server as a whole (RFC 9110 9.3.7)."""
    allow = [(b"allow", b"DELETE, GET, HEAD, OPTIONS, POST, PUT")]
    await send({"type": "http.response.start", "status": 204, "headers": allow})
    await send({"type": "http.response.body", "body": b"", "more_body": False})


def as_get(scope: Any, send: Any, allow: str) -> tuple[Any, Any]:
    """
    Return the request as its route knows it, and what takes the answer.

    The answer to HEAD loses its content; one that lists methods lists HEAD beside GET. `allow`: all methods
    of the path, for the answer to OPTIONS; the framework's own knows only those of the first route.
    """
    is_head = scope["method"] == "HEAD"

    async def fitted(message: Any) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [_listed(name, value, allow) for name, value in message.get("headers", ())]
        elif is_head and message["type"] == "http.response.body":
            message = {**message, "body": b""}
        await send(message)

    if is_head:
        return {**scope, "method": "GET"}, fitted
    return scope, send if scope["method"] == "GET" else fitted


def _listed(name: bytes, value: bytes, allow: str) -> tuple[bytes, bytes]:
    if name.lower() != _ALLOW:
        return name, value
    return name, with_head(allow or value.decode("latin-1")).encode("latin-1")


def with_head(allow: str) -> str:
    """Return a list of methods, as Allow has it, with HEAD where GET is, in the order of the alphabet."""
    methods = {one.strip() for one in allow.split(",") if one.strip()}
    return ", ".join(sorted(methods | {"HEAD"} if "GET" in methods else methods))
