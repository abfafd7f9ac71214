"""
SIP messages without what a trace must not hold: credentials, passwords in URIs, and content.

This looks at any bytes, not only at what RFC 3261 allows: what is traced may be what nobody could parse.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

LEFT_OUT: Final = b"left-out"
"Stands for the value of a header that is not shown."

_END_OF_HEAD: Final = re.compile(rb"\r?\n\r?\n")
# Header lines with those that continue them (RFC 3261 7.3.1). Credentials: 20.7, 20.28; how one side shows
# the other that it knows the password: RFC 7615. A lone CR begins a line for some parsers.
_SECRET: Final = re.compile(
    rb"(?<![^\r\n])((?:Proxy-)?(?:Authorization|Authentication-Info)[ \t]*:)[^\n]*(?:\n[ \t][^\n]*)*",
    re.IGNORECASE,
)
# userinfo = user [ ":" password ] "@"  RFC 3261 25.1
_PASSWORD: Final = re.compile(rb"(?i)(\bsips?:[^\s<>\"@:;?]{1,255}):[^\s<>\"@]{1,255}@")
_CONTENT_TYPE: Final = re.compile(
    rb"^(?:Content-Type|c)[ \t]*:[ \t]*([^\s;,]{1,128})", re.IGNORECASE | re.MULTILINE
)
_SIGNALLING: Final = frozenset({b"application/sdp", b"message/sipfrag"})
"Bodies that are no content but say how it travels."
# key-field = %s"k" "=", and keys of SRTP  RFC 8866 5.12, RFC 4568
_SDP_KEY: Final = re.compile(rb"^(k=|a=crypto:)[^\r\n]*", re.MULTILINE)
_FILLER: Final = b"."


class Redacted(NamedTuple):
    """A message as a trace may hold it."""

    shown: bytes
    "Start line, headers, and the body when it may be shown."
    left_out: int = 0
    "Octets of a body that is not shown."

    @property
    def whole(self) -> bytes:
        """The message in its length on the wire: full stops stand for what is left out."""
        return self.shown + _FILLER * self.left_out


def redact(message: bytes, *, content: bool) -> Redacted:
    """Return a message without credentials, and without its content unless `content`."""
    end = _END_OF_HEAD.search(message)
    head, body = (message, b"") if end is None else (message[: end.end()], message[end.end() :])
    head = _PASSWORD.sub(rb"\1@", _SECRET.sub(_left_out, head))
    if not body:
        return Redacted(head)
    kind = _CONTENT_TYPE.search(head)
    if kind is not None and kind[1].lower() in _SIGNALLING:
        return Redacted(head + _PASSWORD.sub(rb"\1@", _SDP_KEY.sub(rb"\1" + LEFT_OUT, body)))
    return Redacted(head + body) if content else Redacted(head, len(body))


def _left_out(header: re.Match[bytes]) -> bytes:
    return header[1] + b" " + LEFT_OUT + (b"\r" if header[0].endswith(b"\r") else b"")
