"""The wrapped form of a push: control lines, an empty line, the content (PROP-CTRL-1)."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from omapush.errors import MalformedMime, shortened

WRAPPED_TYPE: Final = "application/vnd.oma.push"
MOST_LINES: Final = 64
LONGEST_BLOCK: Final = 8_192
"Bytes of all control lines."

_BLANK_LINE: Final = re.compile(rb"\r?\n\r?\n")
_NAME: Final = re.compile(r"[!#$%&'*+\-.0-9A-Z^_`a-z|~]{1,127}")
_UNSAFE: Final = re.compile("[\x00-\x08\x0a-\x1f\x7f]")


class WrappedPush(NamedTuple):
    """A push with the control information that came with it."""

    headers: tuple[tuple[str, str], ...]
    "In their order, names as written."
    content: bytes

    def header(self, name: str) -> str | None:
        """Return the first value of `name`, in any case; None when it is absent."""
        wanted = name.lower()
        return next((value for key, value in self.headers if key.lower() == wanted), None)


def unwrap(body: bytes) -> WrappedPush:
    """
    Return control lines and content.

    Raises:
        MalformedMime: no empty line within bounds, or a line that is not `name: value`.
    """
    if body.startswith((b"\r\n", b"\n")):  # no control lines at all
        return WrappedPush((), body[body.index(b"\n") + 1 :])
    end = _BLANK_LINE.search(body, 0, LONGEST_BLOCK + 4)
    if end is None:
        raise MalformedMime(WRAPPED_TYPE, f"no empty line within {LONGEST_BLOCK} bytes")
    try:
        text = body[: end.start()].decode()
    except UnicodeDecodeError:
        raise MalformedMime(WRAPPED_TYPE, "control lines are not UTF-8") from None
    headers: list[tuple[str, str]] = []
    for line in text.replace("\r\n", "\n").split("\n"):
        if line[:1] in (" ", "\t") and headers:
            headers[-1] = (headers[-1][0], f"{headers[-1][1]} {line.strip()}")
            continue
        name, colon, value = line.partition(":")
        if not colon or _NAME.fullmatch(name) is None or _UNSAFE.search(value):
            raise MalformedMime(WRAPPED_TYPE, f"not a control line: {shortened(name)}")
        headers.append((name, value.strip()))
    if len(headers) > MOST_LINES:
        raise MalformedMime(WRAPPED_TYPE, f"more than {MOST_LINES} control lines")
    return WrappedPush(tuple(headers), body[end.end() :])
