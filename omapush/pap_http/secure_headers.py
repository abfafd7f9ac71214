"""
Header fields that tell browsers to be careful, on every answer that does not bring its own.

Initiators' programs do not need them. A browser does, that somebody leads to the api, or that shows an
operator the console: contents of initiators come from the same address, and must not act as pages of ours.
"""

from __future__ import annotations

from typing import Any, Final

Fields = tuple[tuple[bytes, bytes], ...]

_ALWAYS: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
)
_OURS: Final = (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'")
_OF_INITIATORS: Final = (b"content-security-policy", b"sandbox; default-src 'none'; frame-ancestors 'none'")
"A page of an initiator gets an origin of its own, without scripts, forms and cookies."
_BY_TLS: Final = (b"strict-transport-security", b"max-age=31536000")
_WANTED: Final[dict[tuple[bool, bool], Fields]] = {
    (is_content, is_tls): (*_ALWAYS, _OF_INITIATORS if is_content else _OURS, *((_BY_TLS,) if is_tls else ()))
    for is_content in (False, True)
    for is_tls in (False, True)
}
_CONTENT: Final = "/content/"


def wanted(*, is_content: bool, is_tls: bool) -> Fields:
    """Return the fields that an answer has to have: one that may be a content of an initiator's, by TLS."""
    return _WANTED[is_content, is_tls]


def careful(scope: Any, send: Any) -> Any:
    """Return `send` with the fields that an answer lacks put into it."""
    missing = wanted(is_content=scope["path"].startswith(_CONTENT), is_tls=scope["scheme"] == "https")

    async def completed(message: Any) -> None:
        if message["type"] == "http.response.start":
            headers = list(message.get("headers", ()))
            there = {name.lower() for name, _ in headers}
            message["headers"] = headers + [field for field in missing if field[0] not in there]
        await send(message)

    return completed
