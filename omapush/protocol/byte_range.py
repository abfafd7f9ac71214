"""Which part of a content an HTTP request is for: Range, If-Range, If-None-Match (RFC 9110 13 and 14)."""

from __future__ import annotations

import re
from typing import Final

# ranges-specifier with one range                         RFC 9110 14.1.1; more are served as the whole
_RANGE: Final = re.compile(
    r"bytes=[ \t]*(?:([0-9]{1,18})-([0-9]{1,18})?|-([0-9]{1,18}))[ \t]*", re.IGNORECASE
)
# entity-tag                                              RFC 9110 8.8.3
_ETAG: Final = re.compile(r'(?:W/)?("[\x21\x23-\x7e]*")')
_LONGEST: Final = 1_024


class NotSatisfiable(Exception):
    """The range begins behind the end of the content (416)."""


def wanted(value: str, if_range: str, etag: str, size: int) -> range | None:
    """
    Return the bytes that Range and If-Range ask for; None: the whole content.

    A Range that cannot be read, or that has several ranges, is ignored, as a server may (RFC 9110 14.2); so
    is one whose If-Range names another content.

    Raises:
        NotSatisfiable: nothing of it is there.
    """
    found = _RANGE.fullmatch(value) if len(value) <= _LONGEST else None
    if found is None or (if_range and if_range.strip() != etag):
        return None
    first, last, suffix = found.groups()
    if suffix is not None:
        begin, end = max(size - int(suffix), 0), size
    else:
        begin, end = int(first), size if last is None else min(int(last) + 1, size)
        if last is not None and int(last) < begin:
            return None
    if begin >= end:
        raise NotSatisfiable
    return range(begin, end)


def is_known(if_none_match: str, etag: str) -> bool:
    """Tell whether the peer has this very content already (304)."""
    if len(if_none_match) > _LONGEST:
        return False
    return if_none_match.strip() == "*" or etag in _ETAG.findall(if_none_match)
