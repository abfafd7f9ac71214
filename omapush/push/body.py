"""
The content of a push as the body of a SIP request: native or wrapped, compressed when that helps.

PROP-CTRL-1; the same for every method that carries content.
"""

from __future__ import annotations

import gzip
from typing import Final, NamedTuple

from omapush.push.values import Delivery

WRAPPED_TYPE: Final = "application/vnd.oma.push"
_CRLF: Final = "\r\n"
_NATIVE: Final = frozenset({"content-language", "content-encoding", "content-disposition"})
"Control lines of a content part that are SIP headers of their own (PROP-CTRL-1, native form)."
_NOT_WRAPPED: Final = frozenset({"x-wap-application-id", "content-type", "content-length"})


class Body(NamedTuple):
    """Content, ready to travel."""

    headers: tuple[str, ...]
    "Lines without CRLF; Content-Type is the last."
    data: bytes


def body_of(delivery: Delivery, *, wrapped: bool, compress: bool) -> Body:
    """Return the content as it travels; `compress`: by gzip if that makes it smaller and it is not coded."""
    content_type, data = delivery.content_type, delivery.content
    headers: list[str] = []
    if wrapped:
        content_type, data = WRAPPED_TYPE, _wrap(delivery)
    else:
        headers = [f"{name}: {value}" for name, value in delivery.content_headers if name.lower() in _NATIVE]
    if compress and not any(line.lower().startswith("content-encoding:") for line in headers):
        smaller = gzip.compress(data, mtime=0)
        if len(smaller) < len(data):
            data = smaller
            headers.append("Content-Encoding: gzip")
    return Body((*headers, f"Content-Type: {content_type}"), data)


def _wrap(delivery: Delivery) -> bytes:
    """Return the wrapped form: control lines, an empty line, the content bytes (PROP-CTRL-1)."""
    lines = [f"X-Wap-Application-Id: {delivery.application}", f"Content-Type: {delivery.content_type}"]
    lines.extend(
        f"{name}: {value}" for name, value in delivery.content_headers if name.lower() not in _NOT_WRAPPED
    )
    return (_CRLF.join(lines) + _CRLF * 2).encode() + delivery.content
