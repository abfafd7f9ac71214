"""Content-Disposition (RFC 2183), as it goes with a file."""

from __future__ import annotations

import re
from typing import Final

_NEEDS_ESCAPE: Final = re.compile(r'["\\]')
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")


def write_disposition(kind: str, name: str = "", size: int | None = None) -> str:
    """Return the header's value; an empty `name` is left out, and control characters of one."""
    parts = [kind]
    if name:
        parts.append(f'filename="{_NEEDS_ESCAPE.sub(_escaped, _CONTROL.sub("", name))}"')
    if size is not None:
        parts.append(f"size={size}")
    return "; ".join(parts)


def _escaped(found: re.Match[str]) -> str:
    return "\\" + found[0]
