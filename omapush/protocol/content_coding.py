"""Content-Encoding of a body undone, never larger than wanted (RFC 3261 20.12, RFC 9110 8.4)."""

from __future__ import annotations

import zlib
from typing import Final

from omapush.errors import MalformedSip, TooLarge

CODINGS: Final = ("gzip", "deflate", "identity")
"What can be undone, as Accept-Encoding lists it."
MOST_CODINGS: Final = 2

_GZIP_WINDOW: Final = 16 + zlib.MAX_WBITS
_NAMES: Final = {"gzip": "gzip", "x-gzip": "gzip", "deflate": "deflate", "identity": "identity"}


class UnknownCoding(MalformedSip):
    """A Content-Encoding that is not understood: 415 with Accept-Encoding."""

    sip_status = 415
    sip_reason = "Unsupported Media Type"


def decode(body: bytes, content_encoding: str, *, most_bytes: int) -> bytes:
    """
    Return what the codings, the last applied first, were applied to.

    Raises:
        UnknownCoding: one of them is not in CODINGS, or there are more than two.
        MalformedSip: the body is not what its coding says.
        TooLarge: it would grow above `most_bytes`; nothing larger was ever held.
    """
    names = [name.strip().lower() for name in content_encoding.split(",") if name.strip()]
    if len(names) > MOST_CODINGS or any(name not in _NAMES for name in names):
        raise UnknownCoding("Content-Encoding", f"none of {', '.join(CODINGS)}")
    for name in reversed(names):
        if _NAMES[name] == "gzip":
            body = _inflated(body, _GZIP_WINDOW, most_bytes)
        elif _NAMES[name] == "deflate":
            body = _deflated(body, most_bytes)
    return body


def _deflated(body: bytes, most_bytes: int) -> bytes:
    """`deflate` is the zlib format; some send it without its frame (RFC 9110 8.4.1.2)."""
    try:
        return _inflated(body, zlib.MAX_WBITS, most_bytes)
    except MalformedSip:
        return _inflated(body, -zlib.MAX_WBITS, most_bytes)


def _inflated(body: bytes, window: int, most_bytes: int) -> bytes:
    inflater = zlib.decompressobj(window)
    try:
        found = inflater.decompress(body, most_bytes + 1)
    except zlib.error:
        raise MalformedSip("Content-Encoding", "the body cannot be decompressed") from None
    if len(found) > most_bytes:
        raise TooLarge(f"content is above {most_bytes} bytes once decompressed")
    if not inflater.eof:
        raise MalformedSip("Content-Encoding", "the compressed body ends too early")
    return found
